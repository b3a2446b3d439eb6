"""Consumer groups: how far a group has read, who reads in it, and what was delivered but not yet acknowledged.

Costs: assign, acknowledge O(log n), n pending entries of the group; a walk over k pending ids O(log n + k), by time,
too, after one O(n log n) for a few thousand at most.
Invariant: every pending id is in `Group.pending` and in the `order` of exactly one consumer, the one that its Pending
names. That may be `Group.nobody`, who is not in `consumers`: then the id is in `Group.zone`, too.
"""

from array import array
from typing import Final

from mypy_extensions import i64

from broker.datatypes.group_policy import NEVER_DUE, NO_ENTRY, GroupPolicy, ReturnZone
from broker.datatypes.pending import NEVER, Consumer, Pending, PendingIds, PendingTable, TimeOrder
from broker.datatypes.small_ids import large_id

__all__ = ["NEVER", "UNKNOWN", "Consumer", "Group", "Pending", "ids_from"]

UNKNOWN: Final = -1  # a count of entries read that can't be told

# approximate_bytes(): of a pending entry (in the table, with its consumer, by time), a consumer, a group
_PER_PENDING: Final = 42
_PER_TIME: Final = 18
_TIMED_FROM: Final = 4096  # pending entries
_PER_CONSUMER: Final = 420
_PER_GROUP: Final = 600


class Group:
    """last_id: of the last entry delivered; entries_read: how many were up to there, or UNKNOWN."""

    def __init__(self, last_id: int, entries_read: int) -> None:
        self.last_id = last_id
        self.entries_read = entries_read
        self.consumers: dict[bytes, Consumer] = {}
        self.pending = PendingTable()
        self.order: PendingIds = self.pending  # its ids; the name that a consumer's ids have, too
        self._times: TimeOrder | None = None  # pending entries by delivery but for nobody's, once somebody asked
        self.policy: GroupPolicy | None = None
        self.nobody: Consumer | None = None  # who has the entries that were given back; made for the first of them
        self.zone: ReturnZone | None = None  # and when those may be delivered

    # -- consumers

    def add_consumer(self, name: bytes, now_ms: int) -> Consumer:
        """There must not be one of that name yet."""
        consumer = Consumer(name, now_ms)
        self.consumers[name] = consumer
        return consumer

    def remove_consumer(self, name: bytes) -> int:
        """Remove a consumer with what is pending for it: the number of those entries; 0 when there is no consumer."""
        consumer = self.consumers.pop(name, None)
        if consumer is None:
            return 0
        for entry_id in consumer.order:
            self._take_out(self.pending.place_of(entry_id), entry_id)
        self.pending.forget(consumer)
        if self.policy is not None:
            for entry_id in consumer.order:
                self._leave_lane(entry_id)
        return len(consumer.order)

    # -- pending entries

    def assign(self, entry_id: int, consumer: Consumer, delivered_ms: int, deliveries: int) -> None:
        """Make `entry_id` a pending entry of `consumer`, whatever it was before."""
        table = self.pending
        place = table.place_of(entry_id)
        if place < 0:
            table.add(entry_id, table.number_of(consumer), delivered_ms, deliveries)
            consumer.order.add(entry_id)
        else:
            before = table.owner_at(place)
            if self._times is not None and before is not self.nobody:
                self._times.remove(table.time_at(place), entry_id)
            if before is not consumer:
                if self.zone is not None and before is self.nobody:
                    self.zone.discard(entry_id)
                before.order.remove(entry_id)
                consumer.order.add(entry_id)
            table.set_at(place, consumer, delivered_ms, deliveries)
        if self._times is not None:
            if consumer is not self.nobody:
                self._times.add(delivered_ms, entry_id)
        elif len(table) >= _TIMED_FROM:
            self._by_time()

    def assign_new(self, numbers: "array[int]", consumer: Consumer, delivered_ms: int) -> bool:
        """assign() for the first delivery of ids, rising, by their small numbers. False, and nothing is done, when they
        can't be added as one piece: an id that is not below them is pending already."""
        table = self.pending
        if not table.extend(numbers, table.number_of(consumer), delivered_ms, 1):
            return False
        if not consumer.order.extend(numbers):
            for number in numbers:
                consumer.order.add(large_id(number))
        if self._times is not None:
            if not self._times.extend(delivered_ms, numbers):
                for number in numbers:
                    self._times.add(delivered_ms, large_id(number))
        elif len(table) >= _TIMED_FROM:
            self._by_time()
        return True

    def acknowledge_all(self, numbers: "array[int]") -> int:
        """acknowledge() for ids by their small numbers, in any order: how many were pending."""
        count = 0
        at = 0
        while at < len(numbers):
            run = 0 if self.zone is not None or self.policy is not None else self._acknowledge_run(numbers, at)
            if run > 0:
                count += run
                at += run
            else:
                if self.acknowledge(large_id(numbers[at])):
                    count += 1
                at += 1
        return count

    def _acknowledge_run(self, numbers: "array[int]", at: int) -> int:
        """Acknowledge ids from numbers[at] on that follow one another in the table, and are of one consumer and time.
        Their number."""
        table = self.pending
        first = large_id(numbers[at])
        place = table.place_of(first)
        if place < 0:
            return 0
        run = table.run_at(place, numbers, at)
        if run == 0:
            return 0
        if self._times is not None:
            self._times.remove_run(table.time_at(place), first, run)
        table.owner_at(place).order.remove_run(first, run)
        table.remove_run(first, run)
        return run

    def acknowledge(self, entry_id: int) -> bool:
        """True when the entry was pending."""
        place = self.pending.place_of(entry_id)
        if place < 0:
            return False
        self.pending.owner_at(place).order.remove(entry_id)
        self._take_out(place, entry_id)
        if self.zone is not None:
            self.zone.discard(entry_id)
        if self.policy is not None:
            self._leave_lane(entry_id)
        return True

    def _take_out(self, place: int, entry_id: int) -> None:
        """Out of the table and the times."""
        table = self.pending
        if self._times is not None and table.owner_at(place) is not self.nobody:
            self._times.remove(table.time_at(place), entry_id)
        table.remove_at(place)

    # -- pending entries that nobody has

    def release(self, entry_id: int, due_ms: int, deliveries: int) -> None:
        """Give an entry (back) to the group: nobody has it, and from `due_ms` on (0: at once) it may be delivered."""
        if self.nobody is None or self.zone is None:
            self.nobody = Consumer(b"", 0)
            self.zone = ReturnZone()
        self.assign(entry_id, self.nobody, due_ms, deliveries)
        self.zone.put(entry_id, due_ms)

    def is_released(self, entry_id: int) -> bool:
        pending = self.pending.get(entry_id)
        return pending is not None and pending.consumer is self.nobody

    def released(self) -> int:
        """How many pending entries nobody has."""
        return 0 if self.nobody is None else len(self.nobody.order)

    def due(self, now_ms: int, limit: int) -> list[int]:
        """Ids that nobody has and that may be delivered now, up to `limit` (-1: all), the longest due first."""
        return [] if self.zone is None else self.zone.due(now_ms, limit)

    def delivered_until(self, when_ms: int, limit: int) -> list[int]:
        """Ids that some consumer has since `when_ms` or longer, up to `limit` (-1: all), the longest first."""
        return self._by_time().until(when_ms, limit)

    def oldest_delivery_ms(self) -> int:
        """Since when a consumer has had an entry for longest; NEVER_DUE when nobody has any."""
        oldest = self._by_time().first_time()
        return NEVER_DUE if oldest is None else oldest

    def _by_time(self) -> TimeOrder:
        """Kept from the first question on: groups without leases don't pay for it. (But when there are many, putting
        them in order would take long: then it is kept from the start.)"""
        times = self._times
        if times is None:
            times = TimeOrder()
            pairs: list[tuple[int, int]] = []
            for entry_id, pending in self.pending.items():
                if pending.consumer is not self.nobody:
                    pairs.append((pending.delivered_ms, entry_id))
            pairs.sort()
            times.fill(pairs)
            self._times = times
        return times

    def _leave_lane(self, entry_id: int) -> None:
        """An entry is no longer pending: the next one of its lane need not wait any longer."""
        policy = self.policy
        if policy is None:
            return
        following = policy.leave(entry_id)
        if following == NO_ENTRY or policy.is_dead(following):
            return
        pending = self.pending.get(following)
        if pending is not None and pending.consumer is self.nobody and pending.delivered_ms == NEVER_DUE:
            self.release(following, 0, pending.deliveries)

    # -- the whole

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        found = self.pending.parts()
        for consumer in self.consumers.values():
            found += consumer.order.parts()
        if self._times is not None:
            found += self._times.parts()
        if self.zone is not None:
            found += self.zone.parts()
        if self.policy is not None:
            found += self.policy.parts()
        return found

    def copy(self) -> "Group":
        other = Group(self.last_id, self.entries_read)
        other.pending = self.pending.copy_for(self._copy_consumers(other, False))
        other.order = other.pending
        other._times = None if self._times is None else self._times.copy()
        return other

    def frozen(self) -> "Group":
        """As it is now, for reading only, whatever is done to it until thaw(). O(consumers + pending / block), and
        what its policy remembers is copied. One frozen copy at a time."""
        other = Group(self.last_id, self.entries_read)
        other.pending = self.pending.frozen_for(self._copy_consumers(other, True))
        other.order = other.pending
        return other

    def thaw(self) -> None:
        """The frozen copy is not needed any more."""
        self.pending.thaw()
        for consumer in self.consumers.values():
            consumer.order.thaw()
        if self.nobody is not None:
            self.nobody.order.thaw()

    def _copy_consumers(self, other: "Group", is_frozen: bool) -> list[Consumer | None]:
        """With zone and policy. By number, for the table of pending entries."""
        owners: list[Consumer | None] = [None] * len(self.pending.owners)
        for name, consumer in self.consumers.items():
            twin = other.add_consumer(name, consumer.seen_ms)
            twin.active_ms = consumer.active_ms
            _copy_entries(consumer, twin, owners, is_frozen)
        if self.nobody is not None and self.zone is not None:
            other.nobody = Consumer(b"", 0)
            _copy_entries(self.nobody, other.nobody, owners, is_frozen)
            other.zone = self.zone.copy()
        other.policy = None if self.policy is None else self.policy.copy()
        return owners

    def approximate_bytes(self) -> int:
        """Memory of the group. O(consumers)."""
        names: i64 = 0
        for name in self.consumers:
            names += len(name)
        each = _PER_PENDING if self._times is None else _PER_PENDING + _PER_TIME
        return int(names) + _PER_GROUP + len(self.consumers) * _PER_CONSUMER + len(self.pending) * each


def _copy_entries(consumer: Consumer, twin: Consumer, owners: list[Consumer | None], is_frozen: bool) -> None:
    twin.order = consumer.order.frozen() if is_frozen else consumer.order.copy()
    twin.number = consumer.number
    if twin.number >= 0:
        owners[twin.number] = twin


def ids_from(order: PendingIds, start: int, count: int) -> list[int]:
    """The first `count` pending ids that are at least `start`, in order."""
    return order.from_id(start, count)
