"""What is drawn at random is drawn evenly: chi-square tests with a fixed seed, for each type that one can draw from.

The limits are those that an even distribution exceeds once in a million; the seed makes that never or always.
"""

from collections import Counter

import pytest
from support.engine import Harness

MEMBERS = 200  # enough for several shards of the table, so that their sizes differ
DRAWS = 20_000
LIMIT = 312.0  # of chi-square with 199 degrees of freedom, one in a million


def filled(kind: str) -> Harness:
    h = Harness(seed=11)
    for i in range(MEMBERS):
        h.run({"set": f"SADD k m{i}", "hash": f"HSET k m{i} v", "zset": f"ZADD k {i} m{i}"}[kind])
    return h


def chi_square(drawn: list[bytes], members: int = MEMBERS) -> float:
    counts = Counter(drawn)
    assert len(counts) <= members
    expected = len(drawn) / members
    return sum((count - expected) ** 2 for count in counts.values()) / expected + (members - len(counts)) * expected


DRAWING = {"set": "SRANDMEMBER k", "hash": "HRANDFIELD k", "zset": "ZRANDMEMBER k"}


@pytest.mark.parametrize("kind", DRAWING)
def test_single_draws_are_even(kind: str) -> None:
    h = filled(kind)
    assert chi_square([h.run(DRAWING[kind]) for _ in range(DRAWS)]) < LIMIT


@pytest.mark.parametrize("kind", DRAWING)
@pytest.mark.parametrize("count", [-DRAWS, -50, 5, 60, 150])
def test_several_draws_are_even_and_different_where_they_have_to_be(kind: str, count: int) -> None:
    h = filled(kind)
    drawn: list[bytes] = []
    while len(drawn) < DRAWS:
        some = h.run(f"{DRAWING[kind]} {count}")
        assert len(some) == abs(count)
        assert count < 0 or len(set(some)) == count
        drawn += some
    assert chi_square(drawn) < LIMIT


@pytest.mark.parametrize("count", ["", " 1", " 7", " 120"])
def test_what_spop_takes_is_even(count: str) -> None:
    h = filled("set")
    popped: list[bytes] = []
    while len(popped) < DRAWS // 2:
        some = h.run(f"SPOP k{count}")
        some = some if isinstance(some, list) else [some]
        popped += some
        h.run("SADD", "k", *some)
    assert chi_square(popped) < LIMIT


def test_emptying_a_set_by_spop_takes_each_member_once() -> None:
    h = filled("set")
    assert sorted(h.run("SPOP k") for _ in range(MEMBERS)) == sorted(b"m%d" % i for i in range(MEMBERS))
    assert h.run("EXISTS k") == 0


def test_the_order_of_what_was_drawn_first_is_even() -> None:
    """A sample of three of five: each of the 10 subsets comes up as often as any other."""
    h = Harness(seed=3)
    h.run("SADD k a b c d e")
    subsets = [b"".join(sorted(h.run("SRANDMEMBER k 3"))) for _ in range(5000)]
    assert chi_square(subsets, 10) < 44.8  # 9 degrees of freedom, one in a million
