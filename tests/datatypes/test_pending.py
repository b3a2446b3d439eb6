"""Pending ids and their order by time, against sets and sorted lists, with enough of them to split and join blocks."""

from array import array
from bisect import bisect_left

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.pending import Consumer, PendingIds, PendingTable, TimeOrder
from broker.datatypes.small_ids import small_id

NOW = 1_700_000_000_000

starts = st.integers(0, 3000)
strides = st.sampled_from([1, 2, 7])
counts = st.sampled_from([1, 5, 300, 700])
kinds = st.sampled_from([False, False, False, True])


def id_of(number: int, is_large: bool) -> int:
    """Ids that a clock gives, or some with a sequence or a time too large for a small number."""
    if not is_large:
        return (NOW + number // 3) << 64 | number % 3
    return (NOW + number) << 64 | 1 << (20 + number % 40) if number % 2 else (NOW << number % 20) << 64 | number


class PendingMachine(RuleBasedStateMachine):
    """The model: {id: (consumer, time, count)}. The order by time has the id at its time."""

    def __init__(self) -> None:
        super().__init__()
        self.ids = PendingIds()
        self.table = PendingTable()
        self.times = TimeOrder()
        self.consumers = [Consumer(b"%d" % i, 0) for i in range(3)]
        self.model: dict[int, tuple[Consumer, int, int]] = {}

    @rule(start=starts, stride=strides, count=counts, is_large=kinds, backwards=st.booleans())
    def add(self, start: int, stride: int, count: int, is_large: bool, backwards: bool) -> None:
        numbers = range(start, start + stride * count, stride)
        for number in reversed(numbers) if backwards else numbers:
            entry_id = id_of(number, is_large)
            if entry_id in self.model:
                continue
            consumer, time = self.consumers[number % 3], NOW + number % 50
            self.model[entry_id] = (consumer, time, number)
            self.ids.add(entry_id)
            self.table.add(entry_id, self.table.number_of(consumer), time, number)
            self.times.add(time, entry_id)

    @rule(start=starts, stride=strides, count=counts, is_large=kinds)
    def remove(self, start: int, stride: int, count: int, is_large: bool) -> None:
        for number in range(start, start + stride * count, stride):
            entry_id = id_of(number, is_large)
            was = self.model.pop(entry_id, None)
            assert self.ids.remove(entry_id) == (was is not None)
            assert self.table.remove(entry_id) == (was is not None)
            if was is not None:
                self.times.remove(was[1], entry_id)

    @rule(gap=st.integers(0, 5), count=counts, time=st.integers(NOW, NOW + 60))
    def add_in_a_row(self, gap: int, count: int, time: int) -> None:
        """Bulk lists take only what comes last."""
        last = max(self.model, default=id_of(0, False))
        if last >= NOW + 9999 << 64:
            last = id_of(1, False)
        new = [((last >> 64) + gap + 1 + i // 3) << 64 | i % 3 for i in range(count)]
        numbers = array("q", [small_id(entry_id) for entry_id in new])
        number = self.table.number_of(self.consumers[0])
        if not self.table.extend(numbers, number, time, 4):
            assert max(self.model) >= new[0] or self.table._blocks[-1].ids._is_wide
            return
        if not self.ids.extend(numbers):  # its blocks end elsewhere: one of them may be wide where the other's is not
            for entry_id in new:
                self.ids.add(entry_id)
        if not self.times.extend(time, numbers):
            for entry_id in new:
                self.times.add(time, entry_id)
        for entry_id in new:
            self.model[entry_id] = (self.consumers[0], time, 4)

    @rule(rank=starts, count=counts)
    def remove_in_a_row(self, rank: int, count: int) -> None:
        """What stands in one block with one owner and time goes at once."""
        row = [entry_id for entry_id in sorted(self.model)[rank : rank + count] if small_id(entry_id) >= 0]
        numbers = array("q", [small_id(entry_id) for entry_id in row])
        at = 0
        while at < len(row):
            place = self.table.place_of(row[at])
            run = self.table.run_at(place, numbers, at)
            facts = {self.model[entry_id][:2] for entry_id in row[at : at + run]}
            assert len(facts) <= 1
            if run == 0:  # a wide block
                at += 1
                continue
            self.times.remove_run(self.table.time_at(place), row[at], run)
            self.table.remove_run(row[at], run)
            self.ids.remove_run(row[at], run)
            for entry_id in row[at : at + run]:
                del self.model[entry_id]
            at += run

    @rule(start=starts, is_large=kinds, time=st.integers(NOW, NOW + 60))
    def give_to_another(self, start: int, is_large: bool, time: int) -> None:
        entry_id = id_of(start, is_large)
        place = self.table.place_of(entry_id)
        if place < 0:
            assert entry_id not in self.model
            return
        consumer = self.consumers[start % 2]
        self.times.remove(self.table.time_at(place), entry_id)
        self.table.set_at(place, consumer, time, 7)
        self.times.add(time, entry_id)
        self.model[entry_id] = (consumer, time, 7)

    @rule()
    def go_on_with_copies(self) -> None:
        old_ids, old_table, old_times = self.ids, self.table, self.times
        self.ids = old_ids.copy()
        self.table = old_table.copy_for(old_table.owners)
        self.times = old_times.copy()
        for entry_id, (_, time, _) in list(self.model.items())[:400]:
            old_ids.remove(entry_id)
            old_table.remove(entry_id)
            old_times.remove(time, entry_id)

    @rule(number=starts, count=st.integers(0, 900), is_large=kinds)
    def ranks_agree(self, number: int, count: int, is_large: bool) -> None:
        entry_id = id_of(number, is_large)
        expected = sorted(self.model)
        rank = bisect_left(expected, entry_id)
        for ids in (self.ids, self.table):
            assert ids.rank(entry_id) == rank
            assert ids.slice(rank, rank + count) == expected[rank : rank + count]
            assert ids.from_id(entry_id, count) == expected[rank : rank + count]
            assert (entry_id in ids) == (entry_id in self.model)

    @rule(time=st.integers(NOW - 1, NOW + 60), limit=st.sampled_from([-1, 0, 1, 600]))
    def times_agree(self, time: int, limit: int) -> None:
        found = sorted((one[1], entry_id) for entry_id, one in self.model.items() if one[1] <= time)
        expected = [entry_id for _, entry_id in found]
        assert self.times.until(time, limit) == (expected if limit < 0 else expected[:limit])

    @invariant()
    def all_agree(self) -> None:
        expected = sorted(self.model)
        assert list(self.ids) == list(self.table) == expected
        assert len(self.ids) == len(self.table) == len(expected)
        if expected:
            assert (self.ids.first(), self.ids.last()) == (expected[0], expected[-1])
        assert self.times.first_time() == min((one[1] for one in self.model.values()), default=None)
        found = {i: (one.consumer, one.delivered_ms, one.deliveries) for i, one in self.table.items()}
        assert found == self.model

    @invariant()
    def blocks_are_not_empty_and_not_too_long(self) -> None:
        for blocks, maxima in ((self.ids._blocks, self.ids._maxima), (self.table._blocks, self.table._maxima)):
            assert [block.ids.at(len(block.ids) - 1) for block in blocks] == maxima
            assert all(0 < len(block.ids) <= 512 for block in blocks)
        assert all(0 < len(block.ids) <= 512 for block in self.times._blocks)


TestPending = PendingMachine.TestCase
TestPending.settings = settings(max_examples=40, stateful_step_count=14, deadline=None)


def test_blocks_in_which_nothing_is_idle_are_passed_over():
    table = PendingTable()
    consumer = Consumer(b"c", 0)
    number = table.number_of(consumer)
    for i in range(5000):
        table.add(i << 64, number, 100 if i in (1500, 4000) else 200, 1)
    first = table.idle_from(0, 150)
    assert 0 <= first <= 1500 << 64  # the first id of its block
    assert first >> 64 >= 1024
    assert table.idle_from(1500 << 64, 150) == 1500 << 64
    behind = table.idle_from(first + (600 << 64), 150)
    assert 3500 < behind >> 64 <= 4000
    assert table.idle_from(0, 99) == -1
    assert table.idle_from(0, 200) == 0
    assert table.idle_from(5000 << 64, 200) == -1
