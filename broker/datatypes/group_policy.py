"""What XGROUP POLICY keeps with a consumer group: leases, attempts, dead letters, limits, order; and the entries that
came back to a group.

Costs: ReturnZone and GroupPolicy O(log n) for each entry, a lane O(length of the lane) when its first entry leaves.
Invariant: an id is in `lane_of` exactly when it is in the lane of that name; lanes are sorted and never empty.
"""

from bisect import bisect_left, insort
from typing import Final, cast

from broker.datatypes.id_map import IdMap
from broker.datatypes.sorted_blocks import SortedBlocks
from broker.datatypes.table import Table
from broker.datatypes.trash import LARGE, TRASH

NEVER_DUE: Final = (1 << 63) - 1  # an entry that does not become due by itself: held back, or dead
NO_ENTRY: Final = -1


class ReturnZone:
    """Entries that were given back to the group and belong to nobody, by the time from which they may be delivered.

    Those of equal times come in the order in which they came back. Times: Unix ms, 0 for at once, or NEVER_DUE.
    """

    def __init__(self) -> None:
        self._places: IdMap[tuple[int, int, int]] = IdMap()  # {id: (due_ms, number, id)}
        self._order: SortedBlocks[tuple[int, int, int]] = SortedBlocks()
        self._number = 0

    def __len__(self) -> int:
        return len(self._places)

    def put(self, entry_id: int, due_ms: int) -> None:
        """Behind all of the same time, wherever it was before."""
        self.discard(entry_id)
        self._number += 1
        place = (due_ms, self._number, entry_id)
        self._places[entry_id] = place
        self._order.add(place)

    def discard(self, entry_id: int) -> None:
        place = self._places.discard(entry_id)
        if place is not None:
            self._order.remove(place)

    def due(self, now_ms: int, limit: int) -> list[int]:
        """Up to `limit` ids (-1: all) that may be delivered now, the longest due first."""
        stop = self._order.rank((now_ms + 1, 0, 0))
        if 0 <= limit < stop:
            stop = limit
        return [place[2] for place in self._order.slice(0, stop)]

    def next_due(self, after_ms: int) -> int:
        """The earliest time above `after_ms`; NEVER_DUE when there is none."""
        rank = self._order.rank((after_ms + 1, 0, 0))
        return self._order.at(rank)[0] if rank < len(self._order) else NEVER_DUE

    def ids(self) -> list[int]:
        """All of them, in order."""
        return [place[2] for place in self._order.slice(0, len(self._order))]

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        found = self._order.parts()
        found += self._places.parts()
        return found

    def copy(self) -> "ReturnZone":
        other = ReturnZone()
        other._places = self._places.copy()
        other._order = self._order.copy()
        other._number = self._number
        return other


class Attempts:
    """What went wrong with an entry so far. consumer: who had it last; is_dead: it won't be delivered again."""

    def __init__(self, failures: int, consumer: bytes, reason: bytes, is_dead: bool) -> None:
        self.failures: Final = failures
        self.consumer: Final = consumer
        self.reason: Final = reason
        self.is_dead: Final = is_dead


class GroupPolicy:
    """Settings (0 or empty: not set) and what they need to remember. Owned by a Group; None there means that the group
    behaves as Redis's.
    """

    def __init__(self) -> None:
        self.ack_wait_ms = 0
        self.max_deliver = 0
        self.backoff_ms: list[int] = []
        self.dead_letter = b""
        self.max_pending = 0
        self.max_per_consumer = 0
        self.consumer_ttl_ms = 0
        self.order_by = b""
        self.paused = False
        self.ordering = 0  # not 0: the lanes are being made, by the so-manieth request to do so
        self.orderings = 0
        self.attempts: IdMap[Attempts] = IdMap()  # of pending entries that failed; the others have no entry
        self.lanes = Table()  # {value of the ordering field: its pending ids, oldest first}
        self.lane_of: IdMap[bytes] = IdMap()
        self.sweep_ms = 0  # Unix time at which to look for idle consumers again

    def is_unset(self) -> bool:
        return (
            not self.ack_wait_ms
            and not self.max_deliver
            and not self.backoff_ms
            and not self.dead_letter
            and not self.max_pending
            and not self.max_per_consumer
            and not self.consumer_ttl_ms
            and not self.order_by
            and not self.paused
        )

    @property
    def wakes(self) -> bool:
        """Whether an acknowledgement may let others go on."""
        return self.max_pending > 0 or self.max_per_consumer > 0 or self.order_by != b""

    # -- attempts

    def failures(self, entry_id: int) -> int:
        record = self.attempts.get(entry_id)
        return 0 if record is None else record.failures

    def is_dead(self, entry_id: int) -> bool:
        record = self.attempts.get(entry_id)
        return record is not None and record.is_dead

    def note(self, entry_id: int, failures: int, consumer: bytes, reason: bytes, is_dead: bool) -> None:
        """failures: all of this entry so far. consumer: empty when nobody had it, and the one before is kept."""
        if not failures and not is_dead:
            self.attempts.discard(entry_id)
            return
        before = self.attempts.get(entry_id)
        if not consumer and before is not None:
            consumer = before.consumer
        self.attempts[entry_id] = Attempts(failures, consumer, reason, is_dead)

    def is_spent(self, failures: int) -> bool:
        return self.max_deliver > 0 and failures >= self.max_deliver

    def pause_ms(self, failures: int) -> int:
        """How long an entry rests after its n-th failure; the last of the list holds for all further ones."""
        if not self.backoff_ms or failures <= 0:
            return 0
        return self.backoff_ms[min(failures, len(self.backoff_ms)) - 1]

    # -- lanes

    def lane_value(self, fields: list[bytes]) -> bytes | None:
        """The value by which an entry is ordered, or None: it is ordered with no other."""
        if self.order_by:
            for i in range(0, len(fields) - 1, 2):
                if fields[i] == self.order_by:
                    return fields[i + 1]
        return None

    def enter(self, entry_id: int, fields: list[bytes]) -> None:
        """An entry became pending."""
        if entry_id in self.lane_of:
            return
        value = self.lane_value(fields)
        if value is not None:
            self.enter_lane(entry_id, value)

    def enter_lane(self, entry_id: int, value: bytes) -> None:
        """As enter(), for an id that is in no lane yet."""
        self.lane_of[entry_id] = value
        lane = self._lane(value)
        if lane is None:
            self.lanes.set(value, [entry_id])
        else:
            insort(lane, entry_id)

    def leave(self, entry_id: int) -> int:
        """An entry is no longer pending. The id that is the first of its lane now, or NO_ENTRY."""
        self.attempts.discard(entry_id)
        value = self.lane_of.discard(entry_id)
        if value is None:
            return NO_ENTRY
        lane = self._lane(value)
        if lane is None:
            return NO_ENTRY
        del lane[bisect_left(lane, entry_id)]
        if not lane:
            self.lanes.pop(value)
            return NO_ENTRY
        return lane[0]

    def is_behind(self, entry_id: int) -> bool:
        """Whether an earlier entry of its lane is pending, too."""
        value = self.lane_of.get(entry_id)
        lane = None if value is None else self._lane(value)
        return lane is not None and lane[0] != entry_id

    def forget_lanes(self) -> None:
        for part in self.lane_parts():
            TRASH.add([part])
        self.lanes = Table()
        self.lane_of = IdMap()

    def lane_parts(self) -> list[object]:
        return [self.lanes.shards(), *self.lane_of.parts()] if len(self.lane_of) > LARGE else []

    def _lane(self, value: bytes) -> list[int] | None:
        return cast("list[int] | None", self.lanes.get(value))

    # -- the whole

    def facts(self) -> list[bytes]:
        """All that a log has to bring back, for a digest."""
        numbers = [self.ack_wait_ms, self.max_deliver, self.max_pending, self.max_per_consumer, self.consumer_ttl_ms]
        found = [b"%d" % number for number in numbers + self.backoff_ms]
        found += [self.dead_letter, self.order_by, b"paused" if self.paused else b""]
        for entry_id in sorted(self.attempts):
            record = self.attempts[entry_id]
            found.append(b"%d failed %d %d" % (entry_id, record.failures, record.is_dead))
            found += [record.consumer, record.reason]
        for entry_id in sorted(self.lane_of):
            found += [b"%d in lane" % entry_id, self.lane_of[entry_id]]
        return found

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        return self.lane_parts() + self.attempts.parts()

    def copy(self) -> "GroupPolicy":
        other = GroupPolicy()
        other.ack_wait_ms = self.ack_wait_ms
        other.max_deliver = self.max_deliver
        other.backoff_ms = list(self.backoff_ms)
        other.dead_letter = self.dead_letter
        other.max_pending = self.max_pending
        other.max_per_consumer = self.max_per_consumer
        other.consumer_ttl_ms = self.consumer_ttl_ms
        other.order_by = self.order_by
        other.paused = self.paused
        other.attempts = self.attempts.copy()
        for value, lane in self.lanes.items():
            other.lanes.set(value, list(cast("list[int]", lane)))
        other.lane_of = self.lane_of.copy()
        return other
