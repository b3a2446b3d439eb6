"""What this worker holds of one group: messages that wait for a free handler, that run, or that wait for their next
attempt.

Everything held is renewed on the server before another worker may think it abandoned. The table is a plain data
structure (the time is an argument); `Keeper` is the task that renews. Only what is *not* in the table is judged by
the pending list alone.
"""

import enum
import heapq
from collections.abc import Iterator

import attrs
import structlog
import trio
from coredis.exceptions import RedisError, StreamConsumerGroupError

from consumers.connection import ride_out
from consumers.options import Options
from consumers.pending import PendingList

log = structlog.get_logger("consumers")


class State(enum.Enum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # failed, and due again later


@attrs.define(eq=False)
class Lease:
    """One held message. Times are on Trio's clock."""

    id: str
    deliveries: int
    renewed: float
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

    def __contains__(self, id_: str) -> bool:
        return id_ in self._held

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._held.values())

    def get(self, id_: str) -> Lease | None:
        return self._held.get(id_)

    def add(self, id_: str, deliveries: int, now: float) -> Lease:
        lease = self._held[id_] = Lease(id_, deliveries, now)
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


@attrs.define(eq=False)
class Keeper:
    """Renews the leases of one consumer until it is cancelled."""

    pending: PendingList
    consumer: str
    options: Options
    leases: Leases

    async def run(self) -> None:
        while True:
            await trio.sleep(self.options.renew_every)
            try:
                await ride_out(self.renew, "lease renewal")
            except StreamConsumerGroupError:
                continue  # without the group nothing is pending, and the reader makes it anew
            except RedisError as error:
                log.error(
                    "lease.renewal_refused", stream=self.pending.stream, group=self.pending.group, error=str(error)
                )

    async def renew(self) -> None:
        """Renew what is older than half a period.

        Both halves are needed not to steal from a worker that took an entry over: the look drops what has another
        owner, and the idle bound of the claim refuses what changed hands after the look (its idle time begins at 0
        there).
        """
        now = trio.current_time()
        stale = {lease.id: lease for lease in self.leases.stale(now, self.options.renew_every / 2)}
        if not stale:
            return
        found = await self.pending.look(stale)
        ours = [id_ for id_ in stale if id_ in found and found[id_].consumer == self.consumer]
        if ours:
            await self.pending.renew(ours, self.consumer, self.options.renew_every / 4)
        for id_, lease in stale.items():
            if id_ in ours:
                lease.renewed = now
            elif self.leases.get(id_) is lease:  # else it was finished while the server was asked
                self._lost(lease, taken=id_ in found)

    def _lost(self, lease: Lease, *, taken: bool) -> None:
        """A running handler is stopped only where another worker has the message. One that is acknowledged may be so
        by this very handler.
        """
        if lease.state is State.RUNNING and not taken:
            return
        facts = {"stream": self.pending.stream, "group": self.pending.group, "id": lease.id}
        log.warning("message.lease_lost", **facts, state=lease.state.value, taken=taken)
        lease.lost = True
        if lease.scope is not None:
            lease.scope.cancel()
        if lease.state is State.WAITING:
            self.leases.drop(lease)
