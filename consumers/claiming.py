"""Second deliveries: own messages whose back-off is over, and messages that dead workers left behind.

The state is the server's: the pending list keeps who has an entry, since when it is idle, and how often it was
delivered. What a worker keeps in memory (consumers/leases.py) is only the exact time of its own retries; a message
that nobody remembers is judged by `judge` alone, so retries survive a restart of any worker, and of all of them.
"""

import enum
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import structlog
import trio
from coredis.exceptions import RedisError, StreamConsumerGroupError

from consumers import groups
from consumers.connection import ride_out
from consumers.leases import Lease, Leases
from consumers.options import Options
from consumers.pending import Entry, Pending, PendingList

log = structlog.get_logger("consumers")

_CLEAN_EVERY = 60.0
_PAGE = 100


class Verdict(enum.Enum):
    LEAVE = "leave"
    TAKE = "take"
    BURY = "bury"


def judge(found: Pending, options: Options) -> Verdict:
    """What to do about a pending entry that this worker doesn't hold. Pure: every worker comes to the same verdict."""
    if found.idle < options.takeover_after(found.id, found.deliveries):
        return Verdict.LEAVE
    # Delivered often enough, and nobody lived to say that it failed: it may be what kills the workers.
    return Verdict.BURY if found.deliveries >= options.max_deliveries else Verdict.TAKE


Submit = Callable[[Entry, Lease], Awaitable[None]]  # hands over to the handlers; waits while they have enough
Bury = Callable[[Entry, Lease, str], Awaitable[None]]


@attrs.define(eq=False)
class Claimer:
    """The task that brings messages back, until it is cancelled. Messages that wait for their time hold no handler
    and no place in the queue.
    """

    pending: PendingList
    consumer: str
    options: Options
    leases: Leases
    submit: Submit
    bury: Bury
    _changed: trio.Event = attrs.field(factory=trio.Event)
    _next_cleaning: float = 0.0

    def retry_at(self, lease: Lease, due: float) -> None:
        """Deliver this failed message again at `due` (Trio's clock)."""
        self.leases.wait(lease, due)
        self._changed.set()

    async def run(self) -> None:
        next_scan = trio.current_time()
        while True:
            await self._retry_due()
            if trio.current_time() >= next_scan:
                await self._guarded(self._scan, "claiming")
                next_scan = trio.current_time() + self.options.scan_every
            await self._sleep_until(next_scan)

    async def _sleep_until(self, moment: float) -> None:
        due = self.leases.next_due()
        with trio.move_on_at(moment if due is None else min(moment, due)):
            await self._changed.wait()
        self._changed = trio.Event()

    async def _guarded(self, work: Callable[[], Awaitable[None]], what: str) -> bool:
        """False where the server refused."""
        try:
            await ride_out(work, what)
        except RedisError as error:
            # Without the group there is nothing pending; the reader makes it anew.
            if not isinstance(error, StreamConsumerGroupError):
                log.error(
                    "claiming.refused",
                    stream=self.options.stream,
                    group=self.options.group,
                    during=what,
                    error=str(error),
                )
            return False
        return True

    async def _retry_due(self) -> None:
        while (lease := self.leases.pop_due(trio.current_time())) is not None:
            if not await self._guarded(partial(self._retry, lease), "retry"):
                self.leases.drop(lease)

    async def _retry(self, lease: Lease) -> None:
        """Take our own entry once more. It bears repeating: on a lost connection the entry is still ours, delivered
        once more at worst.
        """
        found = await self.pending.look_at(lease.id)
        if found is None or found.consumer != self.consumer:
            self.leases.drop(lease)
            return
        await self._take(found, lease, min_idle=0.0)

    async def _scan(self) -> None:
        """Look at all that is idle for long enough, whoever has it; then clean up after dead workers now and then."""
        after: str | None = None
        while page := await self.pending.page(after=after, count=_PAGE, idle=self.options.claim_idle):
            after = page[-1].id
            for found in page:
                if found.id not in self.leases and judge(found, self.options) is not Verdict.LEAVE:
                    await self._take_over(found)
        if trio.current_time() >= self._next_cleaning:
            self._next_cleaning = trio.current_time() + _CLEAN_EVERY
            for name in await groups.remove_expired(self.pending.client, self.options, self.consumer):
                log.info("consumer.removed", stream=self.options.stream, group=self.options.group, consumer=name)

    async def _take_over(self, found: Pending) -> None:
        lease = self.leases.add(found.id, found.deliveries, trio.current_time())
        try:
            # The bound makes it a race that one worker wins: for the others the entry isn't idle any more.
            await self._take(found, lease, min_idle=self.options.takeover_after(found.id, found.deliveries))
        except BaseException:
            self.leases.drop(lease)
            raise

    async def _take(self, found: Pending, lease: Lease, min_idle: float) -> None:
        entry = await self.pending.take(found.id, self.consumer, min_idle)
        if entry is None:
            self.leases.drop(lease)
            return
        lease.renewed = trio.current_time()
        lease.deliveries = found.deliveries + 1
        if found.consumer != self.consumer:
            facts = {"stream": self.options.stream, "group": self.options.group, "id": found.id, "idle": found.idle}
            log.info("message.claimed", **facts, owner=found.consumer, deliveries=lease.deliveries)
        if found.deliveries >= self.options.max_deliveries:
            lease.deliveries = found.deliveries  # this take is no attempt
            await self.bury(
                entry, lease, f"abandoned after {found.deliveries} deliveries: no worker lived to handle it"
            )
        else:
            await self.submit(entry, lease)
