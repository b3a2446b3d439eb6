"""The manifest, and the reader of commands (log_reader.py), on bytes alone."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import encode

from broker.errors import CorruptFile
from broker.persistence.aof_format import LogFile, Manifest, parse_manifest
from broker.persistence.log_reader import LogReader, swallowed_command, without_zeros

# -- the manifest


def test_a_manifest_reads_as_redis_writes_it():
    manifest = parse_manifest(
        b"# a comment\n"
        b"file appendonly.aof.2.base.rdb seq 2 type b\n"
        b"file appendonly.aof.1.incr.aof seq 1 type h\n"
        b"file appendonly.aof.2.incr.aof seq 2 type i\n"
        b"file appendonly.aof.3.incr.aof seq 3 type i\n",
        "m",
    )
    assert manifest.base == LogFile("appendonly.aof.2.base.rdb", 2, "b")
    assert manifest.history == [LogFile("appendonly.aof.1.incr.aof", 1, "h")]
    assert [file.sequence for file in manifest.files()] == [2, 2, 3]


def test_a_manifest_may_have_keys_that_nobody_knows_yet_and_any_order_of_them():
    manifest = parse_manifest(b" type i startoffset 12 seq 7 FILE x.aof \r\n", "m")
    assert manifest.increments == [LogFile("x.aof", 7, "i")]


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(names, st.integers(1, 2**63 - 1))
def test_a_manifest_that_was_written_reads_back_whatever_the_names(name, sequence):
    manifest = Manifest(LogFile(name + "b", 1, "b"), [LogFile(name, sequence, "i")], [LogFile(name, 3, "h")])
    assert parse_manifest(manifest.encode(), "m") == manifest


def test_a_name_that_is_no_text_survives():
    name = b"\xff \xfe\n".decode("utf-8", "surrogateescape")
    manifest = Manifest(None, [LogFile(name, 1, "i")])
    assert manifest.encode() == b'file "\\xff \\xfe\\n" seq 1 type i\n'
    assert parse_manifest(manifest.encode(), "m") == manifest


GOOD = b"file a seq 1 type b\n"


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"\n", "no `file"),
        (b"file a seq 1\n", "no `file"),
        (b"file a seq 1 type\n", "no `file"),
        (b"file a seq 1 type b extra\n", "no `file"),
        (b"file a seq x type i\n", "no `file"),
        (b"file a seq 0 type i\n", "no `file"),
        (b"file a seq -1 type i\n", "no `file"),
        (b"file a seq 1 type z\n", "no `file"),
        (b'file "a seq 1 type i\n', "no `file"),
        (b'file "" seq 1 type i\n', "no `file"),
        (b"file ../a seq 1 type i\n", "folder in it"),
        (b"file .. seq 1 type i\n", "folder in it"),
        (b"file b seq 2 type b\n", "second base"),
        (b"file b seq 2 type i\nfile c seq 2 type i\n", "out of order"),
        (b"file b seq 2 type i", "has no end"),
    ],
)
def test_a_bad_line_of_a_manifest_is_named_by_its_offset(bad, why):
    with pytest.raises(CorruptFile, match=why) as caught:
        parse_manifest(GOOD + bad, "the.manifest")
    assert caught.value.path == "the.manifest"
    assert caught.value.offset == len(GOOD) + (len(bad) // 2 if why == "out of order" else 0)


def test_an_empty_manifest_is_no_manifest():
    with pytest.raises(CorruptFile, match="empty"):
        parse_manifest(b"", "m")


@given(st.binary())
def test_any_bytes_give_a_manifest_or_corrupt_file(data):
    with contextlib.suppress(CorruptFile):  # anything else that is raised fails the test
        assert parse_manifest(data, "m") == parse_manifest(parse_manifest(data, "m").encode() or b"#\n", "m")


# -- the commands: a log of units, each of them bytes and the commands it stands for

SET = (encode("SET", "k", "v"), [[b"SET", b"k", b"v"]])
ODD = (encode("set", "\r\n*1\r\n$4\r\nEXEC\r\n", b"\0\xff" * 9), [[b"set", b"\r\n*1\r\n$4\r\nEXEC\r\n", b"\0\xff" * 9]])
MANY = (encode("RPUSH", "l", *range(300)), [[b"RPUSH", b"l", *[b"%d" % i for i in range(300)]]])
FLUSH = (encode("FLUSHALL"), [[b"FLUSHALL"]])
MULTI = (
    encode("MULTI") + encode("INCR", "a") + b"#TS:1700000001\r\n" + encode("FLUSHDB") + encode("exec"),
    [[b"INCR", b"a"], [b"FLUSHDB"]],
)
EMPTY_MULTI = (encode("MULTI") + encode("EXEC"), [])
STAMP = (b"#TS:1700000000\r\n", [])
LARGE = (encode("SET", "big", b"x" * 5000 + b"\r\n"), [[b"SET", b"big", b"x" * 5000 + b"\r\n"]])
UNITS = [SET, STAMP, MULTI, ODD, FLUSH, EMPTY_MULTI, SET, MULTI, MULTI]


def read(data: bytes, size: int) -> tuple[LogReader, list[list[bytes]]]:
    """Feed in chunks of `size` bytes."""
    reader = LogReader("a.log")
    given: list[list[bytes]] = []
    for at in range(0, len(data), size):
        given += reader.feed(data[at : at + size])
    return reader, given


def whole_before(units, length: int) -> tuple[int, list[list[bytes]]]:
    """What a log of units that is cut at `length` holds: (bytes of whole units, their commands)."""
    size, commands = 0, []
    for raw, stands_for in units:
        if size + len(raw) > length:
            break
        size += len(raw)
        commands += stands_for
    return size, commands


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1000, 1 << 20])
def test_a_log_torn_at_any_byte_gives_exactly_the_units_before(chunk):
    data = b"".join(raw for raw, _ in UNITS)
    for length in range(len(data) + 1):
        reader, given = read(data[:length], chunk)
        assert reader.damage is None
        assert (reader.whole, given) == whole_before(UNITS, length)
        assert reader.torn == length - reader.whole


@given(st.lists(st.sampled_from([SET, ODD, MANY, FLUSH, MULTI, EMPTY_MULTI, STAMP, LARGE]), max_size=8), st.data())
def test_chunks_of_any_sizes_give_the_same_units(units, data):
    log = b"".join(raw for raw, _ in units)
    log = log[: data.draw(st.integers(0, len(log)))]
    reader, given, at = LogReader("a.log"), [], 0
    while at < len(log):
        size = data.draw(st.integers(1, 6000))
        given += reader.feed(log[at : at + size])
        at += size
    assert (reader.whole, given) == whole_before(units, len(log))
    assert reader.damage is None


def test_a_transaction_larger_than_any_chunk_is_given_whole_or_not_at_all():
    inner = [encode("SET", f"k{i}", "v" * 2000) for i in range(2000)]  # 4 MB
    log = encode("SET", "before", 1) + encode("MULTI") + b"".join(inner)
    reader, given = read(log, 1 << 20)
    assert given == [[b"SET", b"before", b"1"]]
    assert reader.whole == len(encode("SET", "before", 1))
    assert len(reader.feed(encode("EXEC"))) == 2000
    assert reader.whole == len(log) + len(encode("EXEC"))


BREAKS = {
    "no star": b"+3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
    "an inline command": b"SET k v\r\n",
    "an empty line": b"\r\n",
    "no arguments": b"*0\r\n",
    "a negative number of arguments": b"*-1\r\n",
    "a number with a zero before it": b"*1\r\n$08\r\nFLUSHALL\r\n",
    "a negative length": b"*1\r\n$-1\r\n",
    "a length too short": b"*1\r\n$7\r\nFLUSHALL\r\n",
    "a length too long": b"*1\r\n$9\r\nFLUSHALL\r\n",
    "a monstrous length": b"*1\r\n$99999999999999\r\nFLUSHALL\r\n",
    "other bytes for the line end": b"*1\r\n$8\r\nFLUSHALLxx",
    "EXEC without MULTI": encode("EXEC"),
    "MULTI inside MULTI": encode("MULTI"),
    "no EXEC inside MULTI": encode("EXEB"),
}


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("chunk", [1, 5, 1 << 20])
def test_damage_is_found_where_it_is_and_what_stands_before_is_given(what, chunk):
    before, commands = b"", []
    for raw, stands_for in UNITS:
        before += raw
        commands = commands + stands_for
    start = before + (encode("MULTI") + encode("INCR", "n") if what.endswith("inside MULTI") else b"")
    reader, given = read(start + BREAKS[what] + SET[0] * 3, chunk)
    assert reader.damage is not None
    assert (reader.damage.path, reader.damage.offset) == ("a.log", len(start))
    assert reader.whole == len(before)
    assert given == commands
    assert reader.feed(SET[0]) == []


def test_every_byte_that_is_flipped_outside_of_values_is_noticed():
    """In what frames the arguments no bit may change unseen; in the arguments themselves nothing can tell. (A command
    with fewer arguments than it had may still be given: the damage is what follows it.)"""
    log = SET[0] + encode("RPUSH", "list", "value") + SET[0]
    framing = [i for i in range(len(log)) if log[i] in b"*$\r\n0123456789"]
    for i in framing:
        for bit in range(8):
            broken = bytearray(log)
            broken[i] ^= 1 << bit
            reader, _ = read(bytes(broken), 1 << 20)
            assert reader.damage is not None or reader.torn > 0, (i, bit)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_give_units_torn_ends_or_damage_and_nothing_else(data, chunk):
    reader, _ = read(data, chunk)
    assert 0 <= reader.whole <= len(data)
    if reader.damage is not None:
        assert reader.whole <= reader.damage.offset < len(data)


# -- the end of a file


def test_zeros_after_an_unfinished_command_are_taken_off():
    for length in [*range(60), *range(60, len(LARGE[0]), 397), len(LARGE[0]) - 1]:
        for zeros in (1, 3, 8192):
            assert without_zeros(LARGE[0][:length] + bytes(zeros)) == LARGE[0][:length]


@pytest.mark.parametrize("tail", [SET[0] + bytes(9), bytes(9) + SET[0], b"nonsense\r\n" + bytes(9), SET[0][:9]])
def test_what_is_more_than_an_unfinished_command_with_zeros_stays_as_it_is(tail):
    assert without_zeros(tail) is tail


def test_commands_inside_an_unfinished_one_are_found():
    damaged = SET[0].replace(b"$3", b"$9999", 1)
    assert swallowed_command(damaged + SET[0] + SET[0]) == len(damaged)
    assert swallowed_command(damaged + SET[0]) == len(damaged)
    assert swallowed_command(damaged + MULTI[0]) == len(damaged)


@pytest.mark.parametrize("length", range(1, len(ODD[0]), 3))
def test_a_command_that_is_merely_torn_holds_no_other(length):
    """Even if a piece of the protocol is part of its value."""
    assert swallowed_command(ODD[0][:length]) == -1


def test_text_that_looks_a_little_like_a_command_does_not_stop_the_search():
    text = b"*3\r\n$3\r\nSET\r\n$4\r\nnote\r\n$90000\r\n" + b"\n* a list\r\n*2\r\n$5\r\nab\r\n" * 500
    assert swallowed_command(text) == -1
    assert swallowed_command(text + b"\r\n" + SET[0]) == len(text) + 2
