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


def test_counters(h: Harness) -> None:
    assert [h.run(r) for r in ("INCR k", "INCRBY k 10", "DECR k", "DECRBY k 20", "DECRBY k -5")] == [1, 11, 10, -10, -5]
    assert h.run("GET k") == b"-5"


@pytest.mark.parametrize("text", ["9223372036854775807", "9223372036854775806"])
def test_a_counter_stops_at_the_ends_of_64_bits(h: Harness, text: str) -> None:
    h.run("SET", "k", text)
    assert h.run("INCRBY k 2") == "-ERR increment or decrement would overflow"
    assert h.run("GET k") == text.encode()
    h.run("SET k -9223372036854775808")
    assert h.run("DECR k") == "-ERR increment or decrement would overflow"
    assert h.run("INCRBY k 9223372036854775807") == -1


@pytest.mark.parametrize("text", ["", " 1", "+1", "01", "1.0", "1_0", "-0", "-", "9223372036854775808", "\u0661"])
def test_what_is_no_integer_is_no_counter(h: Harness, text: str) -> None:
    h.run("SET", "k", text)
    assert h.run("INCR k") == NO_INTEGER


def test_floating_point_counters_have_the_digits_of_a_long_double(h: Harness) -> None:
    h.run("SET k 0.1")
    assert h.run("INCRBYFLOAT k 0.2") == b"0.3"
    assert h.run("INCRBYFLOAT k 5.0e3") == b"5000.29999999999999982", "so does redis-server"
    assert h.run("INCRBYFLOAT k -5000.3") == b"0"
    assert h.run("INCRBYFLOAT new 3") == b"3"


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
