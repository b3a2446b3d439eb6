"""Consumer groups: how far a group has read, who reads in it, and what was delivered but not yet acknowledged.

Costs: assign, acknowledge O(log n), n pending entries of the group; a walk over k pending ids O(log n + k).
Invariant: every pending id is in `Group.pending`, in `Group.order` and in the `order` of exactly one consumer, the one
that its Pending names. That may be `Group.nobody`, who is not in `consumers`: then the id is in `Group.zone`, too.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.group_policy import NEVER_DUE, NO_ENTRY, GroupPolicy, ReturnZone
from broker.datatypes.sorted_blocks import SortedBlocks

UNKNOWN: Final = -1  # a count of entries read that can't be told
NEVER: Final = -1  # Consumer.active_ms of one that never got anything

# approximate_bytes(): of a pending entry (the object, a dict entry, a slot in both orders), a consumer, a group
_PER_PENDING: Final = 170
_PER_CONSUMER: Final = 420
_PER_GROUP: Final = 600


class Consumer:
    """seen_ms: Unix time of its last attempt; active_ms: of its last success, or NEVER."""

    def __init__(self, name: bytes, now_ms: int) -> None:
        self.name: Final = name
        self.seen_ms = now_ms
        self.active_ms = NEVER
        self.order: SortedBlocks[int] = SortedBlocks()  # its pending ids


class Pending:
    """An entry delivered and not acknowledged. delivered_ms: Unix time of the last delivery; of an entry that nobody
    has, the time from which it may be delivered (0: at once).
    """

    def __init__(self, consumer: Consumer, delivered_ms: int, deliveries: int) -> None:
        self.consumer = consumer
        self.delivered_ms = delivered_ms
        self.deliveries = deliveries


class Group:
    """last_id: of the last entry delivered; entries_read: how many were up to there, or UNKNOWN."""

    def __init__(self, last_id: int, entries_read: int) -> None:
        self.last_id = last_id
        self.entries_read = entries_read
        self.consumers: dict[bytes, Consumer] = {}
        self.pending: dict[int, Pending] = {}
        self.order: SortedBlocks[int] = SortedBlocks()  # the keys of `pending`
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
            del self.pending[entry_id]
            self.order.remove(entry_id)
        if self.policy is not None:
            for entry_id in consumer.order:
                self._leave_lane(entry_id)
        return len(consumer.order)

    # -- pending entries

    def assign(self, entry_id: int, consumer: Consumer, delivered_ms: int, deliveries: int) -> None:
        """Make `entry_id` a pending entry of `consumer`, whatever it was before."""
        pending = self.pending.get(entry_id)
        if pending is None:
            self.pending[entry_id] = Pending(consumer, delivered_ms, deliveries)
            self.order.add(entry_id)
            consumer.order.add(entry_id)
            return
        if pending.consumer is not consumer:
            if self.zone is not None and pending.consumer is self.nobody:
                self.zone.discard(entry_id)
            pending.consumer.order.remove(entry_id)
            consumer.order.add(entry_id)
            pending.consumer = consumer
        pending.delivered_ms = delivered_ms
        pending.deliveries = deliveries

    def acknowledge(self, entry_id: int) -> bool:
        """True when the entry was pending."""
        pending = self.pending.pop(entry_id, None)
        if pending is None:
            return False
        self.order.remove(entry_id)
        pending.consumer.order.remove(entry_id)
        if self.zone is not None:
            self.zone.discard(entry_id)
        if self.policy is not None:
            self._leave_lane(entry_id)
        return True

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
        found = [
            (pending.delivered_ms, entry_id)
            for entry_id, pending in self.pending.items()
            if pending.delivered_ms <= when_ms and pending.consumer is not self.nobody
        ]
        found.sort()
        return [entry_id for _, entry_id in (found if limit < 0 else found[:limit])]

    def oldest_delivery_ms(self) -> int:
        """Since when a consumer has had an entry for longest; NEVER_DUE when nobody has any."""
        oldest = NEVER_DUE
        for pending in self.pending.values():
            if pending.delivered_ms < oldest and pending.consumer is not self.nobody:
                oldest = pending.delivered_ms
        return oldest

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

    def copy(self) -> "Group":
        other = Group(self.last_id, self.entries_read)
        for name, consumer in self.consumers.items():
            twin = other.add_consumer(name, consumer.seen_ms)
            twin.active_ms = consumer.active_ms
            twin.order = consumer.order.copy()
        if self.nobody is not None and self.zone is not None:
            other.nobody = Consumer(b"", 0)
            other.nobody.order = self.nobody.order.copy()
            other.zone = self.zone.copy()
        for entry_id, pending in self.pending.items():
            if other.nobody is not None and pending.consumer is self.nobody:
                other.pending[entry_id] = Pending(other.nobody, pending.delivered_ms, pending.deliveries)
                continue
            other.pending[entry_id] = Pending(
                other.consumers[pending.consumer.name], pending.delivered_ms, pending.deliveries
            )
        other.order = self.order.copy()
        other.policy = None if self.policy is None else self.policy.copy()
        return other

    def approximate_bytes(self) -> int:
        """Memory of the group. O(consumers)."""
        names: i64 = 0
        for name in self.consumers:
            names += len(name)
        return int(names) + _PER_GROUP + len(self.consumers) * _PER_CONSUMER + len(self.pending) * _PER_PENDING


def ids_from(order: SortedBlocks[int], start: int, count: int) -> list[int]:
    """The first `count` pending ids that are at least `start`, in order."""
    rank = order.rank(start)
    return order.slice(rank, rank + count)
