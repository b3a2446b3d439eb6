"""SetValue and the algebra of sets against Python's sets."""

from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.sets import (
    SetValue,
    difference,
    difference_size,
    intersection,
    intersection_size,
    union,
    union_size,
)

members = st.one_of(st.integers(-40, 40).map(lambda n: b"%d" % n), st.sampled_from([b"a", b"b", b"", b"01", b"+1"]))


def made(names: set[bytes]) -> SetValue:
    value = SetValue()
    for name in names:
        value.add(name)
    return value


class SetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.value = SetValue()
        self.model: set[bytes] = set()

    @rule(names=st.lists(members, max_size=60))
    def add(self, names: list[bytes]) -> None:
        for name in names:
            assert self.value.add(name) == (name not in self.model)
            self.model.add(name)

    @rule(names=st.lists(members, max_size=60))
    def remove(self, names: list[bytes]) -> None:
        for name in names:
            assert self.value.remove(name) == (name in self.model)
            self.model.discard(name)

    @rule(name=members)
    def has(self, name: bytes) -> None:
        assert self.value.has(name) == (name in self.model)

    @rule()
    def pack(self) -> None:
        packed = self.value.packed is not None
        assert self.value.pack() == (not packed and 0 < len(self.model) <= 24)

    @rule()
    def go_on_with_a_copy(self) -> None:
        old = self.value
        self.value = old.copy()
        old.add(b"only in the old one")

    @invariant()
    def same_as_a_set(self) -> None:
        assert set(self.value.members.keys()) == self.model
        assert len(self.value) == len(self.model)


TestSetValue = SetMachine.TestCase
TestSetValue.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)

several = st.lists(st.sets(st.integers(0, 60).map(lambda n: b"%d" % n), max_size=60), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(several, st.integers(0, 5))
def test_algebra_gives_what_python_gives_and_nothing_twice(sets: list[set[bytes]], limit: int) -> None:
    values = [made(one) for one in sets]
    both = reduce(set.intersection, sets)
    for found, expected in [
        (intersection(values), both),
        (union(values), set().union(*sets)),
        (difference(values[0], values[1:]), sets[0].difference(*sets[1:])),
    ]:
        assert set(found) == expected and len(found) == len(expected)
    for size, expected in [
        (intersection_size(values, limit), both),
        (union_size(values, limit), set().union(*sets)),
        (difference_size(values[0], values[1:], limit), sets[0].difference(*sets[1:])),
    ]:
        assert size == (min(limit, len(expected)) if limit else len(expected))


def test_a_difference_with_others_that_are_smaller_or_greater_is_the_same() -> None:
    big = {b"%d" % i for i in range(300)}
    small = {b"1", b"2", b"x"}
    assert set(difference(made(big), [made(small)])) == big - small
    assert difference(made(small), [made(big)]) == [b"x"]


def test_whether_all_members_were_integers_is_remembered() -> None:
    value = made({b"1", b"-5", b"9223372036854775807"})
    assert value.integers
    value.add(b"9223372036854775808")
    value.remove(b"9223372036854775808")
    assert not value.integers and not value.copy().integers


def test_the_greatest_size_counts_anew_from_the_first_member_that_is_no_integer() -> None:
    value = made({b"%d" % i for i in range(200)})
    for i in range(190):
        value.remove(b"%d" % i)
    assert value.most == 200
    value.add(b"x")
    assert value.most == 11


def test_the_memory_estimate_counts_members() -> None:
    value = made({b"%01000d" % i for i in range(1000)})
    assert 1_000_000 < value.approximate_bytes() < 1_300_000
