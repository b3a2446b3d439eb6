"""SCAN, HSCAN and SSCAN: cursors, options, and the promise of a walk while others write."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Harness

from broker.keyspace.glob import matches


@pytest.fixture
def h() -> Harness:
    return Harness()


def walk(h: Harness, *request: str) -> list[bytes]:
    """All elements of a walk; `0` in the request stands for the cursor."""
    found: list[bytes] = []
    cursor: Any = "0"
    while True:
        cursor, items = h.run(*(cursor if part == "0" else part for part in request))
        found += items
        if cursor == b"0":
            return found


def test_a_walk_returns_every_key_once_when_nobody_writes(h: Harness) -> None:
    for i in range(1000):
        h.run("SET", f"k{i}", i)
    assert sorted(walk(h, "SCAN", "0")) == sorted(b"k%d" % i for i in range(1000))
    assert sorted(walk(h, "SCAN", "0", "COUNT", "200", "MATCH", "k99*")) == sorted(
        [b"k99", *(b"k99%d" % i for i in range(10))]
    )


def test_walks_over_a_great_hash_and_a_great_set(h: Harness) -> None:
    for i in range(700):
        h.run("HSET", "h", f"f{i}", i)
        h.run("SADD", "s", f"m{i}")
    flat = walk(h, "HSCAN", "h", "0")
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == {b"f%d" % i: b"%d" % i for i in range(700)}
    assert sorted(walk(h, "HSCAN", "h", "0", "NOVALUES")) == sorted(b"f%d" % i for i in range(700))
    assert sorted(walk(h, "SSCAN", "s", "0")) == sorted(b"m%d" % i for i in range(700))


def test_scan_by_type(h: Harness) -> None:
    h.run("SET string 1")
    h.run("HSET hash a 1")
    h.run("SADD set a")
    h.run("RPUSH list a")
    assert h.run("SCAN 0 TYPE hash") == [b"0", [b"hash"]]
    assert h.run("SCAN 0 type STRING match s*") == [b"0", [b"string"]]
    assert h.run("SCAN 0 TYPE nosuchtype") == [b"0", []]


@pytest.mark.parametrize("cursor", ["x", "-", "1x", " 1", "18446744073709551616", "1.0"])
def test_what_is_no_cursor(h: Harness, cursor: str) -> None:
    assert h.run("SCAN", cursor) == "-ERR invalid cursor"
    assert h.run("HSCAN", "no", cursor) == h.run("SSCAN", "no", cursor) == "-ERR invalid cursor"


@pytest.mark.parametrize("cursor", ["0", "", "-0", "+7", "-1", "18446744073709551615", "000"])
def test_whatever_strtoul_reads_is_a_cursor(h: Harness, cursor: str) -> None:
    h.run("SET k v")
    assert h.run("SCAN", cursor) == [b"0", [b"k"]]


@pytest.mark.parametrize("options", ["COUNT 0", "COUNT -1", "COUNT", "MATCH", "TYPE", "FOO", "MATCH a FOO"])
def test_options_that_are_syntax_errors(h: Harness, options: str) -> None:
    assert h.run("SCAN 0 " + options) == "-ERR syntax error"


@pytest.mark.parametrize(("word", "only"), [("NOVALUES", "HSCAN"), ("NOSCORES", "ZSCAN")])
def test_names_alone_are_for_what_has_more_than_names(h: Harness, word: str, only: str) -> None:
    h.run("HSET h a 1")
    h.run("SADD s a")
    h.run("ZADD z 1 a 2 b")
    for request in ("SCAN 0", "HSCAN h 0", "SSCAN s 0", "ZSCAN z 0"):
        if not request.startswith(only):
            assert h.run(f"{request} {word}") == f"-ERR {word} option can only be used in {only}"
    assert h.run("HSCAN h 0 NOVALUES") == [b"0", [b"a"]]
    assert h.run("ZSCAN z 0 NOSCORES MATCH b COUNT 5") == [b"0", [b"b"]]


def test_a_count_that_is_no_number(h: Harness) -> None:
    assert h.run("SCAN 0 COUNT x") == "-ERR value is not an integer or out of range"


def test_scan_leaves_out_and_removes_what_has_expired(h: Harness) -> None:
    h.run("SET a 1")
    h.run("SET b 1 PX 50")
    h.journal()
    h.time.advance(1)
    assert h.run("SCAN 0") == [b"0", [b"a"]]
    assert h.journal() == [[b"DEL", b"b"]]


_write = st.tuples(st.sampled_from(["add", "remove", "expire"]), st.integers(0, 900), st.integers(1, 500))


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(0, 600),
    writes=st.lists(_write, min_size=1, max_size=20),
    kind=st.sampled_from("khsz"),
    count=st.sampled_from(["", "COUNT 1", "COUNT 7", "COUNT 100"]),
    match=st.sampled_from(["", "MATCH *", "MATCH n*", "MATCH *7*", "MATCH n[1-3]?", "MATCH x"]),
    by_type=st.booleans(),
)
def test_a_walk_returns_whatever_is_there_from_beginning_to_end(
    size: int, writes: list[tuple[str, int, int]], kind: str, count: str, match: str, by_type: bool
) -> None:
    """Over keys, fields of a hash and members of a set, with writes between the calls."""
    h = Harness()
    add = {
        "k": ("SET", "{}", "v"),
        "h": ("HSET", "x", "{}", "v"),
        "s": ("SADD", "x", "{}"),
        "z": ("ZADD", "x", 1, "{}"),
    }
    remove = {"k": ("DEL", "{}"), "h": ("HDEL", "x", "{}"), "s": ("SREM", "x", "{}"), "z": ("ZREM", "x", "{}")}
    scan = {"k": ("SCAN",), "h": ("HSCAN", "x"), "s": ("SSCAN", "x"), "z": ("ZSCAN", "x")}[kind]
    options = [*count.split(), *match.split(), *{"h": ["NOVALUES"], "z": ["NOSCORES"]}.get(kind, [])]
    options += ["TYPE", "string"] if kind == "k" and by_type else []
    pattern = (match.split() or ["", "*"])[1].encode()

    def run(words: dict[str, tuple[str | int, ...]], number: int) -> None:
        h.run(*(str(word).format(f"n{number}") for word in words[kind]))

    for i in range(size):
        run(add, i)
    always = {b"n%d" % i for i in range(size)}
    found: set[bytes] = set()
    cursor = b"0"
    pending = list(writes)
    while True:
        cursor, items = h.run(*scan, cursor, *options)
        found.update(items)
        if cursor == b"0":
            break
        if pending:
            what, start, count = pending.pop()
            for number in range(start, start + count):
                if what == "add":
                    run(add, number)
                else:
                    always.discard(b"n%d" % number)
                    if what == "expire" and kind == "k":
                        h.run("PEXPIRE", f"n{number}", 1)
                    else:
                        run(remove, number)
            h.time.advance(0.1)
    assert {name for name in always if matches(pattern, name)} <= found
    assert all(matches(pattern, name) for name in found)
