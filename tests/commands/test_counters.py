"""Counters: INCR and its kin, INCREX."""

import pytest
from support.engine import Harness
from support.same_data import wire

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


MAX = 2**63 - 1
MIN = -(2**63)


@pytest.mark.parametrize(
    ("value", "request_", "reply"),
    [
        (None, "INCREX k", [1, 1]),
        ("10", "INCREX k BYINT -10", [0, -10]),
        ("10", "INCREX k BYINT 5 UBOUND 15", [15, 5]),
        ("10", "INCREX k BYINT 5 UBOUND 12", [10, 0]),
        ("10", "INCREX k BYINT 5 UBOUND 12 SATURATE", [12, 2]),
        ("10", "INCREX k BYINT -5 LBOUND 20 SATURATE", [20, 10]),
        ("50", "INCREX k BYINT -25 UBOUND 30", [25, -25]),
        (str(MAX - 7), "INCREX k BYINT 10", [MAX - 7, 0]),
        (str(MAX - 7), "INCREX k BYINT 10 SATURATE", [MAX, 7]),
        (str(MIN + 8), "INCREX k BYINT -10 SATURATE", [MIN, -8]),
        (None, "INCREX k UBOUND 0", [0, 0]),
        (None, "INCREX k LBOUND 5 SATURATE", [5, 5]),
        ("0.1", "INCREX k BYFLOAT 0.2", [b"0.3", b"0.2"]),
        ("10", "INCREX k BYFLOAT 5.5 UBOUND 12.5", [b"10", b"0"]),
        ("10", "INCREX k BYFLOAT 5.5 UBOUND 12.5 SATURATE", [b"12.5", b"2.5"]),
        ("10", "INCREX k BYFLOAT -6 LBOUND 8 SATURATE", [b"8", b"-2"]),
        ("10", "INCREX k BYFLOAT 1e4931 UBOUND 100 SATURATE", [b"100", b"90"]),
        ("10", "INCREX k BYFLOAT 1 UBOUND inf", [b"11", b"1"]),
    ],
)
def test_increx_within_bounds(h: Harness, value: str | None, request_: str, reply: list[object]) -> None:
    if value is not None:
        h.run("SET", "k", value)
    assert h.run(request_) == reply
    declined = reply[1] in (0, b"0") and "SATURATE" not in request_
    expected = (value.encode() if value is not None else None) if declined else str(reply[0]).strip("b'").encode()
    assert h.run("GET k") == expected


@pytest.mark.parametrize(
    ("value", "request_", "error"),
    [
        ("1", "INCREX k FOO", SYNTAX),
        ("1", "INCREX k BYINT", SYNTAX),
        ("1", "INCREX k BYINT 1 BYFLOAT 1", SYNTAX),
        ("1", "INCREX k LBOUND 1 LBOUND 1", SYNTAX),
        ("1", "INCREX k EX 10 EX 10", SYNTAX),
        ("1", "INCREX k PERSIST ENX", SYNTAX),
        ("1", "INCREX k EX 10 PERSIST", SYNTAX),
        ("1", "INCREX k BYINT x", "-ERR Increment is not an integer or out of range"),
        ("1", "INCREX k BYFLOAT x", "-ERR Increment is not a valid float"),
        ("1", "INCREX k BYFLOAT -inf", "-ERR BYFLOAT increment cannot be Infinity"),
        ("1", "INCREX k LBOUND 1.5", "-ERR LBOUND is not an integer or out of range"),
        ("1", "INCREX k UBOUND x BYFLOAT 1", "-ERR UBOUND is not a valid float"),
        ("1", "INCREX k LBOUND 2 UBOUND 1", "-ERR LBOUND can't be greater than UBOUND"),
        ("1", "INCREX k BYFLOAT 1 LBOUND inf", "-ERR LBOUND can't be greater than UBOUND"),
        ("1", "INCREX k ENX", "-ERR ENX flag requires an expiration"),
        ("1", "INCREX k EX 0", "-ERR invalid expire time in 'increx' command"),
        ("1.5", "INCREX k", NO_INTEGER),
        ("x", "INCREX k BYFLOAT 1", NO_FLOAT),
        ("-inf", "INCREX k BYFLOAT 1", "-ERR value cannot be Infinity"),
        (str(MAX), f"INCREX k UBOUND {MIN} SATURATE", "-ERR applied increment would overflow"),
        ("1", "INCREX k BYFLOAT 1 LBOUND inf UBOUND inf SATURATE", "-ERR applied increment would be Infinity"),
        ("1", "INCREX list", WRONG),
    ],
)
def test_what_increx_refuses(h: Harness, value: str, request_: str, error: str) -> None:
    h.run("SET", "k", value)
    h.journal()
    assert h.run(request_) == error
    assert (h.run("GET k"), h.journal()) == (value.encode(), [])


def test_increx_sets_keeps_or_removes_the_expiry(h: Harness) -> None:
    h.journal()
    for request, ttl, entry in [
        ("INCREX k BYINT 7", -1, "SET k 7 KEEPTTL"),
        ("INCREX k EX 10 ENX", 10, f"SET k 8 PXAT {NOW_MS + 10_000}"),
        ("INCREX k EX 99 ENX", 10, "SET k 9 KEEPTTL"),
        ("INCREX k EXAT 1 ENX", 10, "SET k 10 KEEPTTL"),
        ("INCREX k BYFLOAT 0.5 PX 5000", 5, f"SET k 10.5 PXAT {NOW_MS + 5000}"),
        ("INCREX k BYFLOAT 0.5 PERSIST", -1, "SET k 11"),
        ("INCREX k BYINT 9 UBOUND 5 EX 10", -1, None),
        ("INCREX k EXAT 1", -2, "DEL k"),
        ("INCREX k EXAT 1", -2, None),
    ]:
        h.run(request)
        assert h.run("TTL k") == ttl, request
        assert h.journal() == ([entry.encode().split()] if entry else []), request


def test_increx_counts_in_doubles_of_resp3(h: Harness) -> None:
    assert wire(h, "INCREX k BYFLOAT 2.5") == (b"*2\r\n$3\r\n2.5\r\n$3\r\n2.5\r\n", b"*2\r\n,2.5\r\n,2.5\r\n")
    assert wire(h, "INCREX n") == (b"*2\r\n:1\r\n:1\r\n", b"*2\r\n:1\r\n:1\r\n")
