"""The two readers of JSON: what the fast one takes, the careful one takes for the same."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.scripting.errors import LibraryError
from broker.scripting.json_text import Reader, _Careful
from broker.scripting.rows import Row

NULL = object()

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), FLOATS, st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)
CHANGES = st.tuples(
    st.integers(0, 200), st.sampled_from([b"", b"-0", b"-", b"\\u00e9", b"\\ud800", b"0x1", b"\xff", b","])
)


def read(reader: Any) -> Any:
    try:
        return reader()
    except LibraryError as error:
        return error.text


def both(data: bytes, max_depth: int = 1000) -> tuple[Any, Any]:
    found = read(lambda: Reader(NULL, lambda: None).read(data, True, max_depth, 0))
    careful = read(lambda: _Careful(data, True, max_depth, NULL, lambda: None).whole())
    return as_floats(found), as_floats(careful)


def without_shapes(row: list[Any]) -> list[Any]:
    """As if no object had been named by its shape."""
    found: list[Any] = []
    shapes: dict[int, list[bytes]] = {}
    at = 0
    while at < len(row):
        head = row[at]
        if head is True:
            count = row[at + 4]
            shapes[row[at + 1]] = row[at + 5 : at + 5 + count]
            at += 5 + count
        elif head in shapes:
            entries = row[at + 1 : at + 1 + len(shapes[head])]
            found += [-1 - 2 * len(entries), sum(entry is None for entry in entries)]
            found += [part for pair in zip(shapes[head], entries, strict=True) for part in pair]
            at += 1 + len(entries)
        else:
            count = 0 if head is False else head if head >= 0 else -1 - head
            found += row[at : at + 2 + count]
            at += 2 + count
    return found


def as_floats(value: Any) -> Any:
    """An integer is the float that Lua makes of it. -0.0 equals 0, and 1 equals True, but not here."""
    if isinstance(value, Row):
        heads_too = [float(each) if type(each) is int else each for each in without_shapes(value.values)]
        return [(type(each), repr(each)) for each in heads_too]
    return (float, repr(float(value))) if type(value) is int else (type(value), repr(value))


@given(DOCUMENTS, st.booleans(), CHANGES)
@example(-0.0, True, (0, b""))
@example({"a": 10**400, "b": [2**53 + 1, -(2**64)]}, True, (0, b""))
@example(["job-0", "x,-0"], True, (0, b""))
def test_readers_agree(document: Any, ascii_only: bool, change: tuple[int, bytes]) -> None:
    data = json.dumps(document, ensure_ascii=ascii_only).encode()
    at = min(change[0], len(data))
    for text in (data, data[:at] + change[1] + data[at:]):
        found, careful = both(text)
        assert found == careful, text


@pytest.mark.parametrize("text", [b"-0", b"[-0]", b'{"a":-0}', b"-0.0", b"1e999", b"[1,-0 ]", b"1" * 5000])
def test_numbers_that_msgspec_would_read_otherwise(text: bytes) -> None:
    found, careful = both(text)
    assert found == careful


def test_nesting_is_limited_at_the_same_depth() -> None:
    for depth in (1, 3, 4, 899, 900, 901, 1000, 1001):
        text = b"[" * depth + b"]" * depth
        for limit in (3, 1000):
            found, careful = both(text, limit)
            assert found == careful
            assert (found[0] is str) == (depth > limit)
