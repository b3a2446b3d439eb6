"""Strings that are changed in place, against plain bytes."""

from hypothesis import given
from hypothesis import strategies as st

from broker.datatypes.strings import changeable, extend, is_string, overwrite, part

text = st.binary(max_size=20)
change = st.tuples(st.integers(0, 30), text)


@given(text, st.lists(change, max_size=10))
def test_overwriting_gives_what_copying_gives(start: bytes, changes: list[tuple[int, bytes]]) -> None:
    model = start
    value = changeable(start)
    for offset, data in changes:
        padded = model.ljust(offset, b"\0")
        model = padded[:offset] + data + padded[offset + len(data) :]
        overwrite(value, offset, data)
        assert value == model
        assert changeable(value) is value, "no second copy"
        assert part(value, 0, len(value)) == part(bytes(value), 0, len(value)) == model


def test_extending_adds_zero_bytes() -> None:
    value = changeable(None)
    extend(value, 3)
    extend(value, 2)
    assert value == b"\0\0\0"


def test_both_forms_are_strings() -> None:
    assert [is_string(value) for value in (b"", bytearray(), None, 1, "x")] == [True, True, False, False, False]
