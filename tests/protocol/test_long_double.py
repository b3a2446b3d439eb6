"""INCRBYFLOAT's arithmetic against a real server's, digit by digit."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from support.servers import RedisServer
from support.wire import Wire, encode

from broker.protocol.long_double import add_long_double, parse_long_double

NOT_A_FLOAT = "ERR value is not a valid float"
INFINITE = "ERR increment would produce NaN or Infinity"

ODD = [
    "0",
    "-0",
    "+1",
    ".5",
    "5.",
    "-.5",
    "1e10",
    "0x10",
    "0x1p-3",
    "0X.8",
    "inf",
    "-inf",
    "INFINITY",
    "infinit",
    "nan",
]
ODD += [
    "",
    "1e5000",
    "1e-5000",
    "1e4932",
    "1.2e4932",
    "-1.2e4932",
    "1e-4951",
    "1e-4940",
    "abc",
    "1e",
    "--1",
    " 1",
    "1 ",
]
ODD += ["9" * 4400, "1" + "0" * 5000, "0." + "0" * 4990 + "1", "1e99999", "1e-99999", "1e999999999999", "0e999999"]
ODD += ["1" * 5119, "1" * 5120, "0" * 5119, "0" * 5120, "0x", "0b1", "1_0", "1\n", "18446744073709551616", "1e-4950"]
ODD += ["18446744073709551617", "36893488147419103233", "36893488147419103235", "0." + "1" * 4500, "." + "9" * 30]


def ours(a: str, b: str) -> bytes | str:
    x, y = parse_long_double(a.encode()), parse_long_double(b.encode())
    if x is None or y is None:
        return NOT_A_FLOAT
    return add_long_double(x, y) or INFINITE


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with RedisServer(folder) as server, Wire(server.port) as wire:
        yield wire


def assert_equal(redis: Wire, pairs: list[tuple[str, str]]) -> None:
    redis.send_raw(b"".join(encode("SET", "n", a) + encode("INCRBYFLOAT", "n", b) for a, b in pairs))
    replies = [(redis.read(), redis.read())[1] for _ in pairs]
    for (a, b), theirs in zip(pairs, replies, strict=True):
        assert ours(a, b) == theirs, f"{a[:80]} + {b[:80]}"


def number(random: Random) -> str:
    kind = random.randrange(5)
    if kind == 0:
        return repr(random.uniform(-1000, 1000))
    if kind == 1:
        return str(random.randint(-(10 ** random.randint(1, 25)), 10 ** random.randint(1, 25)))
    if kind == 2:
        return f"{random.uniform(-10, 10):.{random.randint(0, 25)}f}"
    if kind == 3:
        digits = random.randint(0, 10 ** random.randint(1, 18))
        return f"{random.randint(-99, 99)}.{digits}e{random.randint(-25, 25)}"
    return f"{random.uniform(-1e-10, 1e-10):.17g}"


def test_random_sums_are_those_of_a_real_server(redis: Wire) -> None:
    random = Random(20)
    assert_equal(redis, [(number(random), number(random)) for _ in range(5000)])


def test_long_and_odd_numbers_are_treated_as_by_a_real_server(redis: Wire) -> None:
    assert_equal(redis, [(a, b) for a in ODD for b in ["0", "1.5", "-3e-17"]])
    assert_equal(redis, [("0", b) for b in ODD])
    random = Random(21)
    assert_equal(redis, [(random.choice(ODD), random.choice(ODD)) for _ in range(600)])


def test_a_counter_runs_as_on_a_real_server(redis: Wire) -> None:
    """Each sum is printed, cut to 17 decimals, and read again: errors may not add up differently."""
    random = Random(22)
    steps = [number(random) for _ in range(1000)]
    redis("SET", "n", "0")
    value = "0"
    for step in steps:
        theirs = redis("INCRBYFLOAT", "n", step)
        assert ours(value, step) == theirs
        value = theirs.decode()
