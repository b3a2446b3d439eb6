"""Consumer groups: how far a group has read, who reads in it, and what was delivered but not yet acknowledged.

Costs: assign, acknowledge O(log n), n pending entries of the group; a walk over k pending ids O(log n + k).
Invariant: every pending id is in `Group.pending`, in `Group.order` and in the `order` of exactly one consumer, the one
that its Pending names.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.group_policy import GroupPolicy
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
    """An entry delivered and not acknowledged. delivered_ms: Unix time of the last delivery."""

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
        return True

    # -- the whole

    def copy(self) -> "Group":
        other = Group(self.last_id, self.entries_read)
        for name, consumer in self.consumers.items():
            twin = other.add_consumer(name, consumer.seen_ms)
            twin.active_ms = consumer.active_ms
            twin.order = consumer.order.copy()
        for entry_id, pending in self.pending.items():
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
