"""Which message is next: the most urgent, the messages of one key one after another. Pure.

Levels of priority: 0 is the most urgent. Every `_FAIR`-th message is taken from another level than the most urgent
one, by turns, so that none starves. Putting and taking are O(levels), O(n) for a message that comes before n others of
its key.
"""

from bisect import insort
from collections import deque

from consumers.leases import Lease

_FAIR = 8


def _order(lease: Lease) -> tuple[int, int]:
    ms, _, sequence = lease.id.partition("-")
    return int(ms), int(sequence)


class Ready:
    """Messages without a key are ready at once; of those with one the first is, until `done` is said of it.

    Invariant: `_lanes` has a key exactly while a message of it is ready, taken or resting.
    """

    def __init__(self, levels: int = 1) -> None:
        self._levels: list[deque[Lease]] = [deque() for _ in range(levels)]
        self._lanes: dict[bytes, list[Lease]] = {}  # {key: those behind the first, oldest first}
        self._taken = 0
        self._count = 0

    def __len__(self) -> int:
        """How many can be taken."""
        return self._count

    def put(self, lease: Lease) -> bool:
        """Whether it is ready now."""
        if lease.key is not None:
            behind = self._lanes.get(lease.key)
            if behind is not None:
                insort(behind, lease, key=_order)
                return False
            self._lanes[lease.key] = []
        return self.again(lease)

    def again(self, lease: Lease) -> bool:
        """A message that rested, as the first of its key."""
        self._levels[lease.level].append(lease)
        self._count += 1
        return True

    def take(self) -> Lease | None:
        if not self._count:
            return None
        self._count -= 1
        levels = self._levels
        if len(levels) == 1:
            return levels[0].popleft()
        self._taken += 1
        turn, rest = divmod(self._taken, _FAIR)
        first = 0 if rest else turn % len(levels)
        for at in range(first, first + len(levels)):
            if levels[at % len(levels)]:
                return levels[at % len(levels)].popleft()
        raise AssertionError("the count says that there is one")

    def done(self, lease: Lease) -> bool:
        """It has come to its end, and another one of its key may follow: whether one does. Bears repeating."""
        key, lease.key = lease.key, None
        if key is None:
            return False
        behind = self._lanes[key]
        if not behind:
            del self._lanes[key]
            return False
        return self.again(behind.pop(0))
