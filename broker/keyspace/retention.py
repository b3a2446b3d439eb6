"""Streams from which something may be due to go by time: an age limit, a time to live, a group that falls idle.

The agenda has names of keys and when to look at them; what a look finds, and when the next one is due, is decided by
broker/commands/stream_retention.py. A look too early costs little, so nothing is taken out when a key goes.

Costs: plan, take O(log n).
"""

from heapq import heappop, heappush
from typing import Final

from mypy_extensions import i64

NEVER: Final = 1 << 62


class RetentionAgenda:
    """next_ms: Unix time at which take() may have something, NEVER when it has nothing.

    by_acks: some stream, now or once, loses entries when they are acknowledged: until then nobody need look.
    """

    def __init__(self) -> None:
        self.next_ms: i64 = NEVER
        self.by_acks = False
        self._planned: dict[tuple[int, bytes], int] = {}  # {(database, key): Unix time in ms}
        self._heap: list[tuple[int, int, bytes]] = []  # (Unix time in ms, database, key), some outdated

    def __len__(self) -> int:
        return len(self._planned)

    def plan(self, database: int, key: bytes, when_ms: int) -> None:
        """Look at `key` at that time, or before if that was planned already."""
        place = (database, key)
        planned = self._planned.get(place)
        if planned is not None and planned <= when_ms:
            return
        self._planned[place] = when_ms
        heappush(self._heap, (when_ms, database, key))
        if when_ms < self.next_ms:
            self.next_ms = when_ms

    def take(self, now_ms: int) -> tuple[int, bytes] | None:
        """The (database, key) that has been due for longest, which is planned no more; None when nothing is due."""
        heap = self._heap
        found: tuple[int, bytes] | None = None
        while heap and ((found is None and heap[0][0] <= now_ms) or self._is_outdated(heap[0])):
            entry = heappop(heap)
            place = (entry[1], entry[2])
            if self._planned.get(place) == entry[0]:
                del self._planned[place]
                found = place
        self.next_ms = heap[0][0] if heap else NEVER
        return found

    def swap(self, first: int, second: int) -> None:
        """The keys of two databases changed places. O(n)."""
        numbers = {first: second, second: first}
        places = [((numbers.get(place[0], place[0]), place[1]), when) for place, when in self._planned.items()]
        self._planned.clear()
        self._heap.clear()
        self.next_ms = NEVER
        for place, when in places:
            self.plan(place[0], place[1], when)

    def _is_outdated(self, entry: tuple[int, int, bytes]) -> bool:
        return self._planned.get((entry[1], entry[2])) != entry[0]
