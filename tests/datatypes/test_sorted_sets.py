from math import inf
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.sorted_sets import Falling, SortedSet, from_scores

MEMBERS = st.one_of(st.binary(max_size=3), st.integers(0, 2000).map(lambda n: b"%d" % n))
SCORES = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 1.5, inf, -inf, 1e300]), st.integers(-5, 5).map(float))


class SortedSetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.zset = SortedSet()
        self.model: dict[bytes, float] = {}

    def ordered(self) -> list[tuple[float, bytes]]:
        return sorted((score, member) for member, score in self.model.items())

    @rule(member=MEMBERS, score=SCORES)
    def set(self, member: bytes, score: float) -> None:
        assert self.zset.set(member, score) is (member not in self.model)
        self.model[member] = score

    @rule(seed=st.integers(0, 99), count=st.sampled_from([5, 600]))
    def set_many(self, seed: int, count: int) -> None:
        rng = Random(seed)
        for _ in range(count):
            member, score = b"%d" % rng.randrange(2000), float(rng.randrange(10))
            self.zset.set(member, score)
            self.model[member] = score

    @rule()
    def pack(self) -> None:
        packed = self.zset.packed is not None
        assert self.zset.pack() == (not packed and 0 < len(self.model) <= 24)

    @rule(member=MEMBERS)
    def remove(self, member: bytes) -> None:
        assert self.zset.remove(member) is (member in self.model)
        self.model.pop(member, None)

    @rule()
    def pop_the_ends(self) -> None:
        for first in (True, False):
            if self.model:
                expected = self.ordered()[0 if first else -1]
                assert (self.zset.pop_first() if first else self.zset.pop_last()) == expected
                del self.model[expected[1]]

    @rule(start=st.integers(0, 900), length=st.sampled_from([0, 1, 40, 700]), take=st.booleans())
    def slice(self, start: int, length: int, take: bool) -> None:
        expected = self.ordered()[start : start + length]
        assert self.zset.slice(start, start + length) == expected
        if take:
            assert self.zset.pop_slice(start, start + length) == expected
            for _, member in expected:
                del self.model[member]

    @rule(member=MEMBERS)
    def score_and_rank(self, member: bytes) -> None:
        assert self.zset.score(member) == self.model.get(member)
        members = [entry[1] for entry in self.ordered()]
        assert self.zset.rank(member) == (members.index(member) if member in self.model else -1)

    @rule(score=SCORES)
    def rank_of_score(self, score: float) -> None:
        scores = [entry[0] for entry in self.ordered()]
        assert self.zset.rank_of_score(score, False) == sum(one < score for one in scores)
        assert self.zset.rank_of_score(score, True) == sum(one <= score for one in scores)

    @rule()
    def make_it_anew(self) -> None:
        copy = self.zset.copy()
        self.zset = from_scores(self.model)
        assert copy.items() == self.zset.items()
        copy.set(b"only in the copy", 1.0)
        assert self.zset.score(b"only in the copy") is None

    @invariant()
    def the_model_agrees(self) -> None:
        assert len(self.zset) == len(self.model)
        assert self.zset.items() == self.ordered()

    @invariant()
    def both_sides_hold_the_same_tuple(self) -> None:
        for entry in self.zset.order:
            assert self.zset.members.get(entry[1]) is entry


SortedSetMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestSortedSet = SortedSetMachine.TestCase


@pytest.mark.parametrize("text", [b"", b"a", b"b", b"bb", b"c", b"\xff"])
def test_rank_of_text_among_equal_scores(text: bytes) -> None:
    members = [b"", b"a", b"b", b"b\0", b"ba", b"c"]
    zset = from_scores(dict.fromkeys(members, 3.0))
    assert zset.rank_of_text(text, False) == sum(member < text for member in members)
    assert zset.rank_of_text(text, True) == sum(member <= text for member in members)


def test_an_empty_one_has_rank_0_for_any_text() -> None:
    assert SortedSet().rank_of_text(b"a", True) == 0


def test_a_zero_has_no_sign() -> None:
    zset = SortedSet()
    zset.set(b"a", -0.0)
    assert str(zset.score(b"a")) == str(from_scores({b"a": -0.0}).score(b"a")) == "0.0"


def test_random_members_come_up_alike() -> None:
    zset = from_scores({b"%d" % i: float(i) for i in range(200)})
    rng = Random(3)
    drawn = [zset.random_member(rng) for _ in range(20_000)]
    counts = [drawn.count(b"%d" % i) for i in range(200)]
    assert min(counts) > 50 and max(counts) < 170
    assert SortedSet().random_member(rng) is None


def test_what_decides_on_an_encoding_never_falls() -> None:
    zset = SortedSet()
    zset.set(b"x" * 70, 1.0)
    zset.set(b"y", 1.0)
    zset.remove(b"x" * 70)
    assert (zset.longest, zset.most) == (70, 2)
    assert from_scores({b"abc": 1.0, b"d": 2.0}).longest == 3


def test_memory_grows_with_the_members() -> None:
    zset = from_scores({b"member:%06d" % i: float(i) for i in range(10_000)})
    assert 10_000 * 120 < zset.approximate_bytes() < 10_000 * 250


@pytest.mark.parametrize("count", [1, 255, 256, 257, 3000])
@pytest.mark.parametrize("order", ["falling", "rising", "random"])
def test_one_that_is_made_in_steps_is_like_one_that_is_made_at_once(count: int, order: str) -> None:
    rng = Random(count)
    model = {b"%d" % i: rng.choice([float(i % 7), -0.0, inf, i / 3]) for i in range(count)}
    items = sorted(model.items(), key=lambda item: (item[1] + 0.0, item[0]), reverse=order == "falling")
    if order == "random":
        rng.shuffle(items)
    made = Falling(1 << 60)
    assert all([made.add(member, score) for member, score in items])
    zset, twin = made.finish(), from_scores(model)
    assert zset.items() == twin.items()
    assert (zset.longest, zset.most, len(zset)) == (twin.longest, twin.most, count)
    for _ in range(300):
        member, score = b"%d" % rng.randrange(count * 2), float(rng.randrange(20))
        for one in (zset, twin):
            one.remove(member) if score < 8 else one.set(member, score)
        assert zset.rank(member) == twin.rank(member)
    assert zset.items() == twin.items()


def test_one_that_is_made_in_steps_takes_no_member_twice() -> None:
    made = Falling(2)
    assert made.add(b"a", 1.0)
    assert not made.add(b"a", 0.0)
