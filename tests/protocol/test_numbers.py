"""Numbers as text: what is read, what is refused, what is printed. A real server is asked for the same."""

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.servers import RedisServer
from support.wire import Error, Wire

from broker.protocol.numbers import I64_MAX, I64_MIN, format_double, parse_float, parse_int


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with RedisServer(folder) as server, Wire(server.port) as wire:
        yield wire


INTEGERS = [b"0", b"1", b"-1", b"10", b"-10", b"9223372036854775807", b"-9223372036854775808", b"1000000000000000000"]
NO_INTEGERS = [b"", b"-", b"+1", b"01", b"-0", b"-01", b"00", b" 1", b"1 ", b"1_000", b"1.0", b"1e3", b"0x10", b"--1"]
NO_INTEGERS += [
    b"9223372036854775808",
    b"-9223372036854775809",
    b"99999999999999999999",
    b"1" * 30,
    b"\xd9\xa1",
    b"1\n",
]
NO_INTEGERS += ["\u0661".encode(), b"-9223372036854775808 ", b"1-", b"a"]


@pytest.mark.parametrize("text", INTEGERS)
def test_an_integer_is_read(redis: Wire, text: bytes) -> None:
    assert parse_int(text) == int(text)
    redis("SET", "n", text)
    assert redis("INCRBY", "n", 0) == int(text)


@pytest.mark.parametrize("text", NO_INTEGERS)
def test_what_is_no_integer_is_refused(redis: Wire, text: bytes) -> None:
    assert parse_int(text) is None
    redis("SET", "n", text)
    assert isinstance(redis("INCRBY", "n", 0), Error)


@given(st.integers(I64_MIN - 100, I64_MAX + 100))
def test_integers_are_read_within_64_bits(number: int) -> None:
    assert parse_int(b"%d" % number) == (number if I64_MIN <= number <= I64_MAX else None)


@given(st.binary(max_size=22))
def test_only_what_an_integer_prints_as_is_read_as_one(text: bytes) -> None:
    value = parse_int(text)
    assert value is None or b"%d" % value == text


FLOATS = [
    b"0",
    b"-0",
    b"1",
    b"+1",
    b"1.5",
    b".5",
    b"5.",
    b"-1e10",
    b"1E+5",
    b"1e-5",
    b"inf",
    b"-inf",
    b"+INF",
    b"Infinity",
]
FLOATS += [b"0x10", b"-0X1p-3", b"0x.8", b"0x1.8", b"1e308", b"5e-324", b"0e999", b"0x0p-9999", b"0" * 400 + b"7"]
NO_FLOATS = [
    b"",
    b" 1",
    b"1 ",
    b"nan",
    b"1e",
    b"e5",
    b".",
    b"-",
    b"+-1",
    b"1_0",
    b"0x",
    b"0xg",
    b"0x 1",
    b"1e400",
    b"-1e400",
]
NO_FLOATS += [
    b"1e-400",
    b"0x1p-9999",
    b"0x1p99999",
    b"infinit",
    b"1,5",
    b"1.5.5",
    b"1\0",
    b"0x1_0",
    b"\xff",
    b"0x\xff",
    b"1e5x",
]


@pytest.mark.parametrize("text", FLOATS)
def test_a_float_is_read(redis: Wire, text: bytes) -> None:
    value = parse_float(text)
    assert value is not None
    redis("DEL", "z")
    assert redis("ZADD", "z", text, "m") == 1
    assert float(redis("ZSCORE", "z", "m")) == value


@pytest.mark.parametrize("text", NO_FLOATS)
def test_what_is_no_float_is_refused(redis: Wire, text: bytes) -> None:
    assert parse_float(text) is None
    assert isinstance(redis("ZADD", "z", text, "m"), Error)


@given(st.text("0123456789+-.eEinfxXpP abn_", max_size=9))
@settings(max_examples=400)
def test_a_real_server_reads_the_same_floats(redis: Wire, text: str) -> None:
    redis("DEL", "z")
    reply = redis("ZADD", "z", text, "m")
    ours = parse_float(text.encode())
    assert (ours is None) == isinstance(reply, Error)
    if ours is not None:
        assert float(redis("ZSCORE", "z", "m")) == ours


# By hand, by the rules of d2string and fpconv_dtoa.
PRINTED: list[tuple[float, bytes]] = [
    (0.0, b"0"),
    (-0.0, b"-0"),
    (1.0, b"1"),
    (-17.0, b"-17"),
    (0.1, b"0.1"),
    (-2.5, b"-2.5"),
    (0.1 + 0.2, b"0.30000000000000004"),
    (1 / 3, b"0.3333333333333333"),
    (2.0**53, b"9007199254740992"),
    (2.0**62, b"4611686018427387904"),
    (2.0**63, b"9223372036854776000"),
    (1e18, b"1000000000000000000"),
    (1e20, b"1e+20"),
    (-1e21, b"-1e+21"),
    (12345678901234567000.0, b"12345678901234567000"),
    (1.5e300, b"1.5e+300"),
    (1.5e-7, b"1.5e-7"),
    (1e-6, b"0.000001"),
    (1e-7, b"1e-7"),
    (0.0012345, b"0.0012345"),
    (0.00012345, b"1.2345e-4"),
    (1234.5678901, b"1234.5678901"),
    (12345.678901234, b"1.2345678901234e+4"),
    (1700000000.123, b"1700000000.123"),
    (5e-324, b"5e-324"),
    (1.7976931348623157e308, b"1.7976931348623157e+308"),
    (1.25e-105, b"1.25e-105"),
    (math.inf, b"inf"),
    (-math.inf, b"-inf"),
    (math.nan, b"nan"),
]


@pytest.mark.parametrize(("value", "text"), PRINTED)
def test_a_double_is_printed_in_its_shortest_form(value: float, text: bytes) -> None:
    assert format_double(value) == text


@given(st.floats(allow_nan=False))
def test_a_printed_double_reads_back_as_the_same(value: float) -> None:
    text = format_double(value)
    assert struct.pack("d", float(text)) == struct.pack("d", value)
    assert struct.pack("d", parse_float(text) or 0.0) == struct.pack("d", value) or value == 0
    digits = text.lower().partition(b"e")[0].lstrip(b"-").replace(b".", b"").strip(b"0")
    assert len(digits) <= 17 or value == int(value)


@given(st.floats(-1e6, 1e6).map(lambda value: round(value, 3)))
def test_what_a_real_server_prints_is_the_same_number(redis: Wire, value: float) -> None:
    """It prints 17 digits where the shortest form has fewer (version 7.0): compared as numbers."""
    redis("ZADD", "z", repr(value), "m")
    assert float(redis("ZSCORE", "z", "m")) == float(format_double(value))
