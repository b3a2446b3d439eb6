"""What this worker holds of one group of one stream: messages that wait for a free handler, that run, that wait for
their next attempt, or whose acknowledgement is on the way.

A plain data structure: the time is an argument. `Keeper` (consumers/keeping.py) renews what is held on the server
before another worker may think it abandoned; only what is *not* in the table is judged by the server's pending list.
"""

import enum
import heapq
from collections.abc import Iterator

import attrs
import trio


class State(enum.Enum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # failed, and due again later
    DONE = "done"  # handled, and not acknowledged yet


@attrs.define(eq=False)
class Lease:
    """One held message. Times are on Trio's clock."""

    id: str
    deliveries: int  # this one included
    renewed: float = 0.0
    fields: dict[bytes, bytes] = attrs.field(factory=dict, repr=False)
    abandoned: bool = False  # delivered often enough, and nobody lived to say that it failed: not to be handled again
    broken: Exception | None = None  # its key could not be computed
    returned: bool = False  # not read as a new message
    key: bytes | None = None
    level: int = 0  # of priority, 0 the most urgent
    arrived: float = 0.0
    state: State = State.QUEUED
    lost: bool = False
    due: float = 0.0
    scope: trio.CancelScope | None = None  # of the running handler


class Leases:
    """{id: lease}, and the waiting ones by due time. Adding, removing O(1); waiting O(log n)."""

    def __init__(self, waiting_limit: int = 10_000) -> None:
        self._held: dict[str, Lease] = {}
        # Heap; entries whose lease has gone, or has another due time, are stale
        self._due: list[tuple[float, str]] = []
        self._waiting = 0
        self._waiting_limit = waiting_limit

    def __contains__(self, id_: object) -> bool:
        return id_ in self._held

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def get(self, id_: str) -> Lease | None:
        return self._held.get(id_)

    def hold(self, lease: Lease, now: float) -> Lease:
        lease.renewed = lease.arrived = now
        self._held[lease.id] = lease
        return lease

    def drop(self, lease: Lease) -> None:
        if self._held.get(lease.id) is lease:
            del self._held[lease.id]
            if lease.state is State.WAITING:
                self._waiting -= 1

    def wait(self, lease: Lease, due: float) -> bool:
        """Keep a failed message until `due`. False, and dropped, where too many wait already: then the pending list
        alone remembers it.
        """
        if self._waiting >= self._waiting_limit:
            self.drop(lease)
            return False
        lease.state, lease.due, lease.scope = State.WAITING, due, None
        self._waiting += 1
        heapq.heappush(self._due, (due, lease.id))
        return True

    def next_due(self) -> float | None:
        while self._due:
            due, id_ = self._due[0]
            lease = self._held.get(id_)
            if lease is not None and lease.state is State.WAITING and lease.due == due:
                return due
            heapq.heappop(self._due)
        return None

    def pop_due(self, now: float) -> Lease | None:
        """The lease of the longest due message, queued again."""
        due = self.next_due()
        if due is None or due > now:
            return None
        lease = self._held[heapq.heappop(self._due)[1]]
        lease.state = State.QUEUED
        self._waiting -= 1
        return lease

    def stale(self, now: float, age: float) -> list[Lease]:
        """Those renewed `age` seconds ago or more."""
        return [lease for lease in self._held.values() if now - lease.renewed >= age]
