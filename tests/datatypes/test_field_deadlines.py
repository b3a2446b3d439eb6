"""Deadlines against a dict, whatever the order in which times come and go."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.field_deadlines import NEVER, Deadlines

fields = st.integers(0, 40).map(lambda n: b"f%d" % n)
times = st.integers(0, 100)


class DeadlinesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.value = Deadlines()
        self.model: dict[bytes, int] = {}

    @rule(pairs=st.lists(st.tuples(fields, times), max_size=60))
    def set(self, pairs: list[tuple[bytes, int]]) -> None:
        for field, when in pairs:
            self.value.set(field, when)
            self.model[field] = when

    @rule(names=st.lists(fields, max_size=30))
    def drop(self, names: list[bytes]) -> None:
        for field in names:
            assert self.value.drop(field) == (self.model.pop(field, None) is not None)

    @rule(now=times, limit=st.integers(1, 20))
    def take(self, now: int, limit: int) -> None:
        taken = self.value.take_due(now, limit)
        due = sorted([when for when in self.model.values() if when <= now])[:limit]
        assert [self.model.pop(field) for field in taken] == due
        if len(due) < limit:
            assert self.value.next_ms == min(self.model.values(), default=NEVER)

    @rule()
    def go_on_with_a_copy(self) -> None:
        old = self.value
        self.value = old.copy()
        old.set(b"only in the old one", 0)

    @invariant()
    def same_as_a_dict(self) -> None:
        assert dict(self.value.times.items()) == self.model
        assert len(self.value) == len(self.model)
        assert self.value.next_ms <= min(self.model.values(), default=NEVER)
        assert all(self.value.get(b"f%d" % n) == self.model.get(b"f%d" % n, -1) for n in range(41))


TestDeadlines = DeadlinesMachine.TestCase
TestDeadlines.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_a_copy_of_many_times_is_independent() -> None:
    value = Deadlines()
    for i in range(1000):
        value.set(b"%d" % i, 1000 - i)
    other = value.copy()
    assert value.take_due(10, 100) == [b"%d" % i for i in range(999, 989, -1)]
    other.drop(b"998")
    other.set(b"5", 3)
    assert sorted(other.take_due(3, 100)) == [b"5", b"997", b"999"]
    assert (value.get(b"5"), value.get(b"998"), len(value), len(other)) == (995, -1, 990, 996)
    assert (value.next_ms, other.next_ms) == (11, 4)


def test_times_that_change_often_leave_nothing_behind() -> None:
    value = Deadlines()
    for i in range(10_000):
        value.set(b"f", i)
    assert value.approximate_bytes() < 20_000
