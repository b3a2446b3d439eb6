"""Bits of strings: replies, errors, journal, notifications."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "-ERR syntax error"
NO_INTEGER = "-ERR value is not an integer or out of range"
NO_OFFSET = "-ERR bit offset is not an integer or out of range"
NO_BIT = "-ERR bit is not an integer or out of range"
NO_TYPE = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("RPUSH list a")
    return harness


def test_setbit_and_getbit(h: Harness) -> None:
    assert [h.run(f"SETBIT k 7 {bit}") for bit in (1, 1, 0)] == [0, 1, 1]
    assert (h.run("GET k"), h.run("OBJECT ENCODING k")) == (b"\0", b"raw")
    assert h.run("SETBIT k 17 1") == 0
    assert (h.run("GET k"), h.run("GETBIT k 17"), h.run("GETBIT k 1700"), h.run("GETBIT no 0")) == (b"\0\0@", 1, 0, 0)
    h.run("SET k 1")
    assert (h.run("SETBIT k 6 1"), h.run("GET k")) == (0, b"3")


def test_a_bit_that_is_so_already_is_no_change(h: Harness) -> None:
    h.run("SETBIT k 3 1")
    h.journal()
    assert (h.run("SETBIT k 3 1"), h.run("SETBIT k 0 0")) == (1, 0)
    assert h.journal() == []
    assert h.run("SETBIT k 8 0") == 0
    assert h.journal() == [[b"SETBIT", b"k", b"8", b"0"]], "the string became longer"


def test_bitcount_in_bytes_and_bits(h: Harness) -> None:
    h.run("SET k foobar")
    for request, count in [
        ("BITCOUNT k", 26),
        ("BITCOUNT k 0 0", 4),
        ("BITCOUNT k 1 1 BYTE", 6),
        ("BITCOUNT k 5 30 BIT", 17),
        ("BITCOUNT k 0 -1", 26),
        ("BITCOUNT k -2", 7),
        ("BITCOUNT k 4", 7),
        ("BITCOUNT k 3 1", 0),
        ("BITCOUNT k 9 99", 0),
        ("BITCOUNT k -1 -5", 0),
        ("BITCOUNT no", 0),
    ]:
        assert h.run(request) == count, request


def test_bitpos_in_bytes_and_bits(h: Harness) -> None:
    h.run("SET", "k", b"\xff\xf0\x00")
    h.run("SET", "ones", b"\xff\xff")
    h.run("SET", "empty", b"")
    for request, at in [
        ("BITPOS k 0", 12),
        ("BITPOS k 1", 0),
        ("BITPOS k 1 2", -1),
        ("BITPOS k 0 2", 16),
        ("BITPOS k 1 3 8 BIT", 3),
        ("BITPOS k 0 3 8 BIT", -1),
        ("BITPOS k 0 -11 -1 BIT", 13),
        ("BITPOS ones 0", 16),
        ("BITPOS ones 0 1", 16),
        ("BITPOS ones 0 0 -1", -1),
        ("BITPOS ones 0 5", -1),
        ("BITPOS empty 0", -1),
        ("BITPOS no 0", 0),
        ("BITPOS no 1 0 -1", -1),
    ]:
        assert h.run(request) == at, request


def test_bitop(h: Harness) -> None:
    h.run("SET", "a", b"\x0f\xff")
    h.run("SET", "b", b"\x3c")
    for request, result in [
        ("AND d a b", b"\x0c\x00"),
        ("or d a b no", b"\x3f\xff"),
        ("XOR d a b", b"\x33\xff"),
        ("NOT d a", b"\xf0\x00"),
        ("DIFF d a b", b"\x03\xff"),
        ("DIFF1 d a b", b"\x30\x00"),
        ("ANDOR d a b no", b"\x0c\x00"),
        ("ONE d a b b", b"\x03\xff"),
        ("AND a a a", b"\x0f\xff"),
    ]:
        assert h.run(f"BITOP {request}") == len(result)
        assert h.run("GET", request.split()[1]) == result, request
    h.run("EXPIRE d 100")
    assert (h.run("BITOP OR list a"), h.run("TYPE list"), h.run("BITOP OR d b"), h.run("TTL d")) == (2, "string", 1, -1)


def test_bitop_of_nothing_deletes(h: Harness) -> None:
    h.run("SET d v")
    h.journal()
    assert (h.run("BITOP AND d no none"), h.run("EXISTS d"), h.run("BITOP AND d no none")) == (0, 0, 0)
    assert h.journal() == [[b"BITOP", b"AND", b"d", b"no", b"none"]]


def test_bitfield(h: Harness) -> None:
    assert h.run("BITFIELD k INCRBY i5 100 1 GET u4 0") == [1, 0]
    assert h.run("BITFIELD k SET u8 #0 255 GET u8 0 SET i8 #0 7") == [0, 255, -1]
    assert h.run("BITFIELD k INCRBY u2 102 1 OVERFLOW SAT INCRBY u2 104 3 INCRBY u2 104 3") == [1, 3, 3]
    assert h.run("BITFIELD k OVERFLOW FAIL INCRBY u2 104 1") == [None]
    assert h.run("BITFIELD k OVERFLOW wrap SET u8 0 -1 GET i8 0") == [7, -1]
    assert h.run("BITFIELD k OVERFLOW SAT SET u8 0 -1 GET u8 0") == [255, 255]
    assert h.run("BITFIELD_RO k GET u8 0 GET i64 #9") == [255, 0]
    assert (h.run("BITFIELD k"), h.run("BITFIELD_RO no GET u8 0"), h.run("EXISTS no")) == ([], [0], 0)
    assert wire(h, "BITFIELD k OVERFLOW FAIL SET u1 0 2") == (b"*1\r\n$-1\r\n", b"*1\r\n_\r\n")


def test_bitfield_makes_room_even_if_the_number_does_not_fit(h: Harness) -> None:
    h.journal()
    assert h.run("BITFIELD k OVERFLOW FAIL SET u1 9 2") == [None]
    assert (h.run("GET k"), len(h.journal())) == (b"\0\0", 1)
    assert h.run("BITFIELD k OVERFLOW FAIL SET u1 9 2 SET u1 9 0") == [None, 0]
    assert h.journal() == []


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("SETBIT k -1 1", NO_OFFSET),
        ("SETBIT k 4294967296 1", NO_OFFSET),
        ("SETBIT k #1 1", NO_OFFSET),
        ("SETBIT k 0 2", NO_BIT),
        ("SETBIT k 0 x", NO_BIT),
        ("GETBIT k x", NO_OFFSET),
        ("SETBIT list 0 1", WRONG),
        ("GETBIT list 0", WRONG),
        ("BITCOUNT k 0 x", NO_INTEGER),
        ("BITCOUNT k 0 1 hello", SYNTAX),
        ("BITCOUNT k 0 1 BIT x", SYNTAX),
        ("BITCOUNT list", WRONG),
        ("BITPOS k 2", "-ERR The bit argument must be 1 or 0."),
        ("BITPOS k x", NO_INTEGER),
        ("BITPOS k 0 x", NO_INTEGER),
        ("BITPOS k 0 0 1 hello", SYNTAX),
        ("BITPOS list 0", WRONG),
        ("BITOP x d a", SYNTAX),
        ("BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key."),
        ("BITOP diff d a", "-ERR BITOP DIFF must be called with at least two source keys."),
        ("BITOP AND d list", WRONG),
        ("BITFIELD k GET u64 0", NO_TYPE),
        ("BITFIELD k GET i0 0", NO_TYPE),
        ("BITFIELD k GET x 0", NO_TYPE),
        ("BITFIELD k GET u8 -1", NO_OFFSET),
        ("BITFIELD k GET u8 #9223372036854775807", NO_OFFSET),
        ("BITFIELD k SET u8 0 x", NO_INTEGER),
        ("BITFIELD k SET u8 0", SYNTAX),
        ("BITFIELD k OVERFLOW x", "-ERR Invalid OVERFLOW type specified"),
        ("BITFIELD list SET u8 0 1", WRONG),
        ("BITFIELD list GET u8 0", WRONG),
        ("BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"),
    ],
)
def test_what_is_refused_and_changes_nothing(h: Harness, request_: str, error: str) -> None:
    h.journal()
    assert h.run(request_) == error
    assert (h.journal(), h.run("EXISTS k d")) == ([], 0)


def test_notifications(h: Harness) -> None:
    h.run("CONFIG SET notify-keyspace-events KEA")
    subscriber = h.client()
    subscriber.run("PSUBSCRIBE __keyevent@0__:*")
    subscriber.received()
    for request in ("SETBIT k 1 1", "BITFIELD k SET u8 0 9", "BITOP NOT d k", "BITOP NOT d no"):
        h.run(request)
    heard = subscriber.received()
    events = [part for part in heard.split(b"\r\n") if part.startswith(b"__keyevent") and part[-1:] != b"*"]
    assert events == [b"__keyevent@0__:" + name for name in (b"setbit", b"setbit", b"set", b"del")]


def test_the_journal_replays(h: Harness) -> None:
    for request in ("SETBIT a 100 1", "BITFIELD a OVERFLOW SAT INCRBY u4 3 99", "BITOP ONE b a a", "BITOP NOT c a",
                    "BITFIELD d OVERFLOW FAIL SET u1 9 2"):  # fmt: skip
        h.run(request)
    assert_replays(h)


def test_the_keys_of_bitop_are_found(h: Harness) -> None:
    assert h.run("COMMAND GETKEYS BITOP AND d a b") == [b"d", b"a", b"b"]
