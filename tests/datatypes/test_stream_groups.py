"""Group against a dict of pending entries."""

from array import array

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.group_policy import NEVER_DUE
from broker.datatypes.small_ids import large_id, small_id
from broker.datatypes.stream_groups import NEVER, UNKNOWN, Consumer, Group, ids_from

ids = st.one_of(st.integers(1, 40), st.integers(1, 40).map(lambda number: number << 63))
names = st.sampled_from([b"ann", b"bob", b"eve"])


class GroupMachine(RuleBasedStateMachine):
    """The model: {id: (consumer, delivered_ms, deliveries)}."""

    def __init__(self) -> None:
        super().__init__()
        self.group = Group(0, UNKNOWN)
        self.model: dict[int, tuple[bytes, int, int]] = {}  # of nobody the name is empty

    def consumer(self, name: bytes) -> Consumer:
        return self.group.consumers.get(name) or self.group.add_consumer(name, 5)

    @rule(entry_id=ids, name=names, when=st.integers(0, 9), deliveries=st.integers(1, 5))
    def assign(self, entry_id: int, name: bytes, when: int, deliveries: int) -> None:
        self.group.assign(entry_id, self.consumer(name), when, deliveries)
        self.model[entry_id] = (name, when, deliveries)

    @rule(first=st.integers(1, 30), step=st.integers(0, 3), count=st.integers(1, 9), name=names, when=st.integers(0, 9))
    def assign_in_a_row(self, first: int, step: int, count: int, name: bytes, when: int) -> None:
        new = [first + i + (i * step << 64) for i in range(count)]
        numbers = array("q", [small_id(entry_id) for entry_id in new])
        done = self.group.assign_new(numbers, self.consumer(name), when)
        pending = max(self.model, default=0)
        assert done or pending >= new[0]
        if done:
            self.model.update(dict.fromkeys(new, (name, when, 1)))

    @rule(
        offset=st.integers(0, 10),
        count=st.integers(0, 20),
        odd=st.lists(st.integers(0, 60), max_size=4),
        is_behind=st.booleans(),
    )
    def acknowledge_all(self, offset: int, count: int, odd: list[int], is_behind: bool) -> None:
        """Some in a row, and others before or behind them, which may be the same, pending or not."""
        row = [entry_id for entry_id in sorted(self.model)[offset : offset + count] if small_id(entry_id) >= 0]
        chosen = row + odd if is_behind else odd + row
        before = len(self.model)
        for entry_id in chosen:
            self.model.pop(entry_id, None)
        numbers = array("q", [small_id(entry_id) for entry_id in chosen])
        assert self.group.acknowledge_all(numbers) == before - len(self.model)

    @rule(entry_id=ids)
    def acknowledge(self, entry_id: int) -> None:
        assert self.group.acknowledge(entry_id) == (self.model.pop(entry_id, None) is not None)

    @rule(entry_id=ids, due=st.integers(0, 9))
    def release(self, entry_id: int, due: int) -> None:
        self.group.release(entry_id, due, 1)
        self.model[entry_id] = (b"", due, 1)

    @rule(when=st.integers(-1, 10), limit=st.integers(-1, 8))
    def what_was_delivered_until_then_agrees(self, when: int, limit: int) -> None:
        found = sorted((one[1], i) for i, one in self.model.items() if one[0] and one[1] <= when)
        expected = [entry_id for _, entry_id in found]
        assert self.group.delivered_until(when, limit) == (expected if limit < 0 else expected[:limit])

    @rule()
    def the_oldest_delivery_agrees(self) -> None:
        times = [one[1] for one in self.model.values() if one[0]]
        assert self.group.oldest_delivery_ms() == min(times, default=NEVER_DUE)

    @rule(name=names)
    def remove_consumer(self, name: bytes) -> None:
        mine = [entry_id for entry_id, pending in self.model.items() if pending[0] == name]
        assert self.group.remove_consumer(name) == len(mine)
        for entry_id in mine:
            del self.model[entry_id]
        assert name not in self.group.consumers

    @rule()
    def go_on_with_a_copy(self) -> None:
        old = self.group
        self.group = old.copy()
        for name in list(old.consumers):
            old.remove_consumer(name)

    @rule(start=ids, count=st.integers(0, 10))
    def ids_from_a_start_agree(self, start: int, count: int) -> None:
        expected = sorted(entry_id for entry_id in self.model if entry_id >= start)
        assert ids_from(self.group.order, start, count) == expected[:count]

    @invariant()
    def pending_entries_agree(self) -> None:
        found = {i: (one.consumer.name, one.delivered_ms, one.deliveries) for i, one in self.group.pending.items()}
        assert found == self.model
        assert list(self.group.order) == sorted(self.model)

    @invariant()
    def each_entry_is_with_its_consumer_alone(self) -> None:
        for name, consumer in self.group.consumers.items():
            assert list(consumer.order) == sorted(i for i, pending in self.model.items() if pending[0] == name)
            for entry_id in consumer.order:
                assert self.group.pending[entry_id].consumer is consumer
        assert self.group.released() == sum(not one[0] for one in self.model.values())


TestGroup = GroupMachine.TestCase
TestGroup.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_new_consumer_was_seen_but_got_nothing_yet() -> None:
    consumer = Group(7, 3).add_consumer(b"ann", 1000)
    assert (consumer.seen_ms, consumer.active_ms, len(consumer.order)) == (1000, NEVER, 0)


def test_a_copy_keeps_times_and_positions() -> None:
    group = Group(7, 3)
    group.add_consumer(b"ann", 1000).active_ms = 900
    copy = group.copy()
    assert (copy.last_id, copy.entries_read) == (7, 3)
    assert (copy.consumers[b"ann"].seen_ms, copy.consumers[b"ann"].active_ms) == (1000, 900)


def test_memory_counts_consumers_and_pending_entries() -> None:
    group = Group(0, UNKNOWN)
    empty = group.approximate_bytes()
    consumer = group.add_consumer(b"ann", 1)
    with_consumer = group.approximate_bytes()
    group.assign(1, consumer, 1, 1)
    assert empty < with_consumer < group.approximate_bytes()


def test_batches_come_and_go_in_one_piece_wherever_blocks_end() -> None:
    group = Group(0, UNKNOWN)
    ann, bob = group.add_consumer(b"ann", 1), group.add_consumer(b"bob", 1)
    left = {}
    for batch in range(60):  # more than are kept without an order by time
        numbers = array("q", [(1 << 30) + batch * 100 + i for i in range(100)])
        consumer = (ann, ann, bob)[batch % 3]
        assert group.assign_new(numbers, consumer, 7 + batch // 2)
        assert not group.assign_new(numbers, consumer, 9), "they are pending already"
        left[batch] = numbers
    assert len(group.pending) == 6000
    for batch in [*range(0, 20), *range(59, 39, -1), 30, 25]:
        assert group.acknowledge_all(left.pop(batch)) == 100
    rest = [large_id(number) for numbers in left.values() for number in numbers]
    assert list(group.order) == rest
    assert sorted([*ann.order, *bob.order]) == rest
    assert group.delivered_until(100, -1) == rest
    assert {group.pending[entry_id].consumer for entry_id in bob.order} == {bob}
    whole = array("q", [number for numbers in left.values() for number in numbers])
    assert group.acknowledge_all(whole) == len(rest)
    assert (len(group.pending), len(ann.order), len(bob.order)) == (0, 0, 0)
    assert group.oldest_delivery_ms() == NEVER_DUE


def test_a_group_with_many_pending_entries_has_them_in_the_order_of_time_before_anybody_asks():
    """Sorting a million of them at the first question would hold everybody up."""
    group = Group(0, 0)
    consumer = group.add_consumer(b"c", 0)
    for i in range(4200):
        group.assign(i << 64, consumer, 10_000 - i, 1)
        if i == 4000:
            assert group._times is None
    times = group._times
    assert times is not None
    assert group.delivered_until(10_000 - 4195, -1) == [i << 64 for i in range(4199, 4194, -1)]
    assert group._times is times
    group.acknowledge(4199 << 64)
    assert group.oldest_delivery_ms() == 10_000 - 4198
