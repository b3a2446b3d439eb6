"""Strings and counters: replies, errors, forms in RESP3, journal."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "-ERR syntax error"
NO_INTEGER = "-ERR value is not an integer or out of range"
NO_FLOAT = "-ERR value is not a valid float"
NOW_MS = 1_700_000_000_000


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("RPUSH list a")
    return harness


def test_set_and_get(h: Harness) -> None:
    assert h.run("GET k") is None
    assert h.run("SET k v") == "OK"
    assert h.run("GET k") == b"v"
    assert h.run("SET", "k", b"\x00\r\n") == "OK"
    assert h.run("GET k") == b"\x00\r\n"
    assert h.run("SET list v") == "OK", "SET replaces any type"
    assert h.run("TYPE list") == "string"


def test_set_nx_and_xx(h: Harness) -> None:
    assert h.run("SET k 1 XX") is None
    assert h.run("SET k 1 NX") == "OK"
    assert h.run("SET k 2 nx") is None
    assert h.run("SET k 3 XX") == "OK"
    assert h.run("GET k") == b"3"


def test_set_get_returns_the_value_before(h: Harness) -> None:
    assert h.run("SET k 1 GET") is None
    assert h.run("SET k 2 GET") == b"1"
    assert h.run("SET k 3 NX GET") == b"2"
    assert h.run("GET k") == b"2"
    assert h.run("SET list 1 GET") == WRONG
    assert h.run("TYPE list") == "list"


@pytest.mark.parametrize(
    ("option", "left_ms"), [("EX 10", 10_000), ("PX 10", 10), ("EXAT 1700000007", 7000), (f"PXAT {NOW_MS + 7}", 7)]
)  # fmt: skip
def test_set_with_an_expiry_in_each_unit(h: Harness, option: str, left_ms: int) -> None:
    assert h.run(f"SET k v {option}") == "OK"
    assert h.run("PTTL k") == left_ms
    h.advance(left_ms / 1000)
    assert h.run("GET k") is None


def test_set_drops_the_expiry_unless_it_is_told_to_keep_it(h: Harness) -> None:
    h.run("SET k v EX 10")
    h.run("SET k w KEEPTTL")
    assert (h.run("GET k"), h.run("TTL k")) == (b"w", 10)
    h.run("SET k x")
    assert h.run("TTL k") == -1


def test_a_time_in_the_past_removes_the_key(h: Harness) -> None:
    h.run("SET k v")
    h.journal()
    assert h.run(f"SET k w PXAT {NOW_MS - 1}") == "OK"
    assert h.run("EXISTS k") == 0
    assert h.journal() == [[b"DEL", b"k"]]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("SET k", "-ERR wrong number of arguments for 'set' command"),
        ("SET k v NX XX", SYNTAX),
        ("SET k v EX", SYNTAX),
        ("SET k v EX 10 PX 10", SYNTAX),
        ("SET k v KEEPTTL EX 10", SYNTAX),
        ("SET k v PERSIST", SYNTAX),
        ("SET k v bogus", SYNTAX),
        ("SET k v EX 0", "-ERR invalid expire time in 'set' command"),
        ("SET k v PX -1", "-ERR invalid expire time in 'set' command"),
        ("SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
        ("SET k v EX 1.5", NO_INTEGER),
        ("SETEX k 0 v", "-ERR invalid expire time in 'setex' command"),
        ("PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command"),
        ("GETEX k EX 10 PERSIST", SYNTAX),
        ("GETEX k KEEPTTL", SYNTAX),
        ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
        ("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"),
        ("INCRBY k x", NO_INTEGER),
        ("INCRBY k 9223372036854775808", NO_INTEGER),
        ("DECRBY k -9223372036854775808", "-ERR decrement would overflow"),
        ("INCRBYFLOAT k x", NO_FLOAT),
        ("INCRBYFLOAT k inf", "-ERR increment would produce NaN or Infinity"),
        ("SETRANGE k -1 v", "-ERR offset is out of range"),
        ("SETRANGE k 536870912 v", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
        ("GETRANGE k a b", NO_INTEGER),
        *[(request, WRONG) for request in (
            "GET list", "STRLEN list", "GETRANGE list 0 1", "GETSET list v", "GETDEL list", "GETEX list",
            "APPEND list v", "SETRANGE list 0 v", "INCR list", "DECRBY list 1", "INCRBYFLOAT list 1")],
    ],
)  # fmt: skip
def test_what_is_refused_and_changes_nothing(h: Harness, request_: str, error: str) -> None:
    h.journal()
    assert h.run(request_) == error
    assert h.journal() == []
    assert h.run("EXISTS k") == 0
    assert h.run("LRANGE list 0 -1") == [b"a"]


def test_setnx_getset_getdel(h: Harness) -> None:
    assert (h.run("SETNX k 1"), h.run("SETNX k 2")) == (1, 0)
    assert h.run("GETSET k 3") == b"1"
    assert h.run("GETDEL k") == b"3"
    assert h.run("GETDEL k") is None
    assert h.run("GETSET k 4") is None


def test_setex_and_psetex(h: Harness) -> None:
    assert (h.run("SETEX a 5 v"), h.run("PSETEX b 5 v")) == ("OK", "OK")
    assert (h.run("TTL a"), h.run("PTTL b")) == (5, 5)


def test_getex_sets_keeps_or_removes_the_expiry(h: Harness) -> None:
    h.run("SET k v")
    assert (h.run("GETEX k EX 10"), h.run("TTL k")) == (b"v", 10)
    assert (h.run("GETEX k"), h.run("TTL k")) == (b"v", 10)
    assert (h.run("GETEX k PERSIST"), h.run("TTL k")) == (b"v", -1)
    assert h.run(f"GETEX k PXAT {NOW_MS - 1}") == b"v"
    assert h.run("EXISTS k") == 0
    assert h.run("GETEX no EX 10") is None


def test_several_keys_at_once(h: Harness) -> None:
    assert h.run("MSET a 1 b 2 a 3") == "OK"
    assert h.run("MGET a b no list") == [b"3", b"2", None, None]
    assert h.run("MSETNX c 1 a 2") == 0
    assert h.run("EXISTS c") == 0
    assert h.run("MSETNX c 1 d 2") == 1
    assert h.run("MGET c d") == [b"1", b"2"]


def test_parts_of_a_string(h: Harness) -> None:
    h.run("SET k Hello")
    for start, end, part in [
        (0, -1, b"Hello"),
        (1, 3, b"ell"),
        (-3, -1, b"llo"),
        (3, 1, b""),
        (-1, -3, b""),
        (10, 20, b""),
    ]:
        assert h.run("GETRANGE", "k", start, end) == part
        assert h.run("SUBSTR", "k", start, end) == part
    assert h.run("GETRANGE k -100 1") == b"He"
    assert h.run("GETRANGE no 0 -1") == b""
    assert h.run("SETRANGE k 6 world") == 11
    assert h.run("GET k") == b"Hello\x00world"
    assert h.run("SETRANGE k 0 J") == 11
    assert h.run("GETRANGE k 0 4") == b"Jello"


def test_setrange_of_nothing_creates_nothing(h: Harness) -> None:
    assert h.run("SETRANGE", "no", "5", "") == 0
    assert h.run("EXISTS no") == 0


def test_append_and_strlen(h: Harness) -> None:
    assert (h.run("APPEND k ab"), h.run("APPEND k cd")) == (2, 4)
    assert (h.run("GET k"), h.run("STRLEN k"), h.run("STRLEN no")) == (b"abcd", 4, 0)
    h.run("SET k v EX 10")
    h.run("APPEND k w")
    assert h.run("TTL k") == 10, "changing a part keeps the expiry"


def test_a_string_is_changed_where_it_is(h: Harness) -> None:
    """Once a part of it was changed, a big string is not copied at each change."""
    h.run("SET", "k", b"x" * 100_000)
    h.run("APPEND k y")
    value = h.engine.keyspace.databases[0].table.get(b"k")
    h.run("SETRANGE k 50000 z")
    h.run("APPEND k w")
    assert h.engine.keyspace.databases[0].table.get(b"k") is value
    assert h.run("GET k") == b"x" * 50_000 + b"z" + b"x" * 49_999 + b"yw"


def test_what_was_read_or_copied_stays_as_it_was(h: Harness) -> None:
    h.run("SET k abc")
    h.run("APPEND k d")
    seen = [h.run("GET k"), h.run("MGET k"), h.run("GETRANGE k 0 -1"), h.run("GETEX k"), h.run("SET k x NX GET")]
    h.run("COPY k copy")
    h.run("APPEND k e")
    h.run("SETRANGE k 0 X")
    assert seen == [b"abcd", [b"abcd"], b"abcd", b"abcd", b"abcd"]
    assert (h.run("GET copy"), h.run("GET k")) == (b"abcd", b"Xbcde")
    h.run("APPEND copy f")
    assert (h.run("GET copy"), h.run("GET k")) == (b"abcdf", b"Xbcde")
    assert (h.run("GETSET k y"), h.run("GETDEL copy"), h.run("GET k")) == (b"Xbcde", b"abcdf", b"y")


def test_the_encodings_of_strings_are_those_of_redis(h: Harness) -> None:
    def encoding(request: str) -> bytes:
        h.run("DEL k")
        for line in request.split("; "):
            h.run(line)
        return h.run("OBJECT ENCODING k")

    assert encoding("SET k 12") == b"int"
    assert encoding("SET k 012") == b"embstr"
    assert encoding("SET k " + "x" * 44) == b"embstr"
    assert encoding("SET k " + "x" * 45) == b"raw"
    assert encoding("APPEND k 12") == b"int"
    assert encoding("SET k 1; APPEND k 2") == b"raw"
    assert encoding("SET k 1; APPEND k 2; INCR k") == b"int"
    assert encoding("SET k 1234; SETRANGE k 0 2") == b"raw"
    assert encoding("SET k 1234; SETRANGE k 0 ''") == b"int"
    assert encoding("SET k 1; APPEND k 2; COPY k c; RENAME c k") == b"raw"


def test_set_if_the_string_is_this_or_another(h: Harness) -> None:
    digest = "9555e8555c62dcfd"
    assert h.run("SET k v IFEQ x") is None
    assert h.run("SET k v IFDEQ not-a-digest") is None, "nothing to compare with"
    assert h.run("SET k hello IFNE x") == "OK"
    assert h.run("DIGEST k") == digest.encode()
    assert (h.run("SET k x IFNE hello"), h.run("SET k x IFEQ x"), h.run("GET k")) == (None, None, b"hello")
    assert (h.run(f"SET k x IFDNE {digest}"), h.run("GET k")) == (None, b"hello")
    assert (h.run(f"SET k x IFDEQ {digest.upper()} EX 5"), h.run("GET k"), h.run("TTL k")) == ("OK", b"x", 5)
    assert (h.run("SET k y ifeq x GET"), h.run("SET k z IFEQ x GET"), h.run("GET k")) == (b"x", b"y", b"y")
    assert h.run("SET k z IFDEQ 123") == "-ERR must be exactly 16 hexadecimal characters"
    assert h.run("SET list v IFEQ a") == WRONG
    for options in ("IFEQ", "NX IFEQ y", "XX IFNE x", "IFEQ y NX XX", "IFEQ y IFNE z", "IFDEQ"):
        assert h.run(f"SET k z {options}") == SYNTAX
    assert h.run("GET k") == b"y"


def test_nx_or_xx_after_a_condition_adds_to_it(h: Harness) -> None:
    """Redis 8.9 takes them in this order, and refuses them in the other."""
    assert (h.run("SET k v IFEQ a NX"), h.run("SET k v IFNE a XX"), h.run("EXISTS k")) == (None, None, 0)
    assert (h.run("SET k a IFNE a NX"), h.run("SET k b IFNE x NX"), h.run("SET k c IFEQ a XX")) == ("OK", None, "OK")
    assert (h.run("SET k d IFEQ a XX GET"), h.run("GET k")) == (b"c", b"c")


def test_delex_and_delifeq(h: Harness) -> None:
    h.run("MSET a 1 b 2 c 3 d 4 e 5")
    h.run("APPEND a 1")
    h.journal()
    assert [h.run(r) for r in ("DELEX a IFEQ 1", "DELEX a IFNE 11", "DELEX a IFEQ 11", "DELEX a IFEQ 11")] == [
        0,
        0,
        1,
        0,
    ]
    digest = h.run("DIGEST b").decode()
    assert (h.run(f"DELEX b IFDNE {digest}"), h.run(f"DELEX b IFDEQ {digest}")) == (0, 1)
    assert (h.run("DELIFEQ c 4"), h.run("DELIFEQ c 3"), h.run("DELIFEQ c 3")) == (0, 1, 0)
    assert (h.run("DELEX d"), h.run("DELEX list")) == (1, 1)
    assert h.journal() == [[b"DEL", name] for name in (b"a", b"b", b"c", b"d", b"list")]
    h.run("RPUSH list a")
    for request, error in [
        ("DELEX e IFEQ", "-ERR wrong number of arguments for 'delex' command"),
        ("DELEX e IFEQ 5 6", "-ERR wrong number of arguments for 'delex' command"),
        ("DELEX e IF 5", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"),
        ("DELEX e IFDEQ 5", "-ERR must be exactly 16 hexadecimal characters"),
        ("DELEX list IFEQ a", "-ERR Key should be of string type if conditions are specified"),
        ("DELIFEQ list a", WRONG),
        ("DIGEST list", WRONG),
    ]:
        assert h.run(request) == error
    assert h.run("EXISTS e list") == 2


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"Hello world", b"b6acb9d84a38ff74"),
        (b"", b"2d06800538d394c2"),
        (b"v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd",
         b"00006c38adf31777"),
    ],
)  # fmt: skip
def test_digests_are_xxh3(h: Harness, text: bytes, digest: bytes) -> None:
    h.run("SET", "k", text)
    assert h.run("DIGEST k") == digest
    assert h.run("DIGEST no") is None


def test_msetex(h: Harness) -> None:
    h.journal()
    assert h.run("MSETEX 2 a 1 b 2 EX 10") == 1
    assert (h.run("TTL a"), h.run("TTL b")) == (10, 10)
    assert h.journal()[1:3] == [[b"SET", name, text, b"PXAT", b"%d" % (NOW_MS + 10_000)] for name, text in
                                ((b"a", b"1"), (b"b", b"2"))]  # fmt: skip
    assert (h.run("MSETEX 2 a 3 c 3 NX"), h.run("MSETEX 2 a 3 c 3 XX"), h.run("EXISTS c")) == (0, 0, 0)
    assert (h.run("MSETEX 2 a 3 b 3 XX KEEPTTL"), h.run("TTL a")) == (1, 10)
    assert (h.run("MSETEX 2 a 4 list 4"), h.run("TTL a"), h.run("GET list")) == (1, -1, b"4")
    for request, error in [
        ("MSETEX 0 a 1", "-ERR invalid numkeys value"),
        ("MSETEX x a 1", "-ERR invalid numkeys value"),
        ("MSETEX 2147483648 a 1", "-ERR invalid numkeys value"),
        ("MSETEX 2147483647 a 1", "-ERR wrong number of key-value pairs"),
        ("MSETEX 2 a 1 b", "-ERR wrong number of key-value pairs"),
        ("MSETEX 1 a 1 b", SYNTAX),
        ("MSETEX 1 a 1 NX XX", SYNTAX),
        ("MSETEX 1 a 1 EX 5 PX 5", SYNTAX),
        ("MSETEX 1 a 1 KEEPTTL EX 5", SYNTAX),
        ("MSETEX 1 a 1 GET", SYNTAX),
        ("MSETEX 1 a 1 EX 0", "-ERR invalid expire time in 'msetex' command"),
    ]:
        assert h.run(request) == error, request


def test_what_is_journaled(h: Harness) -> None:
    h.journal()
    for request, entry in [
        ("SET k v", "SET k v"),
        ("SET k v EX 10", f"SET k v PXAT {NOW_MS + 10_000}"),
        ("SET k w KEEPTTL", "SET k w KEEPTTL"),
        ("SETEX k 1 v", f"SET k v PXAT {NOW_MS + 1000}"),
        ("GETEX k PX 5", f"PEXPIREAT k {NOW_MS + 5}"),
        ("GETEX k PERSIST", "PERSIST k"),
        ("GETSET k u", "SET k u"),
        ("GETDEL k", "DEL k"),
        ("INCR k", "INCR k"),
        ("INCRBYFLOAT k 0.5", "SET k 1.5 KEEPTTL"),
        ("APPEND k 0", "APPEND k 0"),
    ]:
        h.run(request)
        assert h.journal() == [entry.encode().split()], request
    for request in ("GET k", "SET k v NX", "SETNX k v", "GETEX k", "GETEX k PERSIST", "MSETNX k v"):
        h.run(request)
        assert h.journal() == [], request


def test_the_journal_replays(h: Harness) -> None:
    for request in ("SET a 1 EX 100", "INCR a", "APPEND a 5", "SETRANGE b 3 x", "INCRBYFLOAT c 1.1", "GETEX a PX 50",
                    "MSET d 1 e 2", "GETDEL d", "PSETEX f 9 v", "SET g v PXAT 1"):  # fmt: skip
        h.run(request)
    assert_replays(h)


def test_a_missing_string_is_a_null_in_both_protocols(h: Harness) -> None:
    assert wire(h, "GET no") == (b"$-1\r\n", b"_\r\n")
    assert wire(h, "MGET no") == (b"*1\r\n$-1\r\n", b"*1\r\n_\r\n")
    assert wire(h, "SET k v NX GET")[1] == b"_\r\n"
