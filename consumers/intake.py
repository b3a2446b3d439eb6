"""One stream of a consumer: what comes from it, what is held of it, and what the server is told became of it.

    Source.take_in              cancelled when the worker drains
      _read                     new messages (on a Millstream, those that come again, too)
      _take_back                those that come again, on a plain server
      _wake                     those that rest here, so that their key keeps its order
    Source.settle               acknowledges what is done, many at a time, until `close`
    Keeper.run                  renews what is held

A message that was read takes a slot until it has come to its end; one that came again takes a slot of another pool, so
that neither kind can keep out the other.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar, cast

import structlog
import trio
from coredis import Redis
from coredis.exceptions import RedisError, StreamConsumerGroupError, UnblockedError

from consumers.appetite import Appetite
from consumers.backends import Backend, Failure
from consumers.backends.scripts import request, tagged
from consumers.connection import ride_out
from consumers.keeping import Keeper
from consumers.leases import Lease, Leases, State
from consumers.message import Message
from consumers.options import Named, Options, named

log = structlog.get_logger("consumers")
T = TypeVar("T")

_REFUSED_PAUSE = 1.0
_REPLY_MARGIN = 10.0  # seconds beyond BLOCK after which a silent connection counts as lost
_SETTLED_AT_ONCE = 1000
_READ, _BACK = 0, 1  # the pools of slots


class Hands(Protocol):
    """The handlers, as a source sees them."""

    def submit(self, lease: Lease, *, again: bool = False) -> None:
        """A message to be handled; again: one that rested here, as the first of its key."""

    def free(self, lease: Lease) -> None:
        """The next message of its key may be handled. Bears repeating."""

    def has_work(self) -> bool:
        """Whether there is any that they haven't begun."""


class Source:
    def __init__(
        self,
        client: Redis[bytes],
        options: Options,
        stream: str,
        level: int,
        backend: Backend,
        hands: Hands,
    ) -> None:
        self.stream = stream
        self.level = level
        self.backend = backend
        self.leases = Leases()
        rate = float("inf") if options.rate is None else options.rate.count / options.rate.per
        self.appetite = Appetite(options.concurrency * (options.batch or 1), options.prefetch, rate)
        self.duplicates = 0
        self._client = client
        self._options = options
        self._hands = hands
        self._held = [0, 0]  # slots in use, of each pool
        self._slots: dict[Lease, int] = {}
        self._freed = [trio.Event(), trio.Event()]
        self._look = trio.Event()  # something may be due again
        self._look_at = float("inf")
        self._resting: dict[Lease, Failure] = {}
        self._rested = trio.Event()
        self._done: list[Lease] = []
        self._something_done = trio.Event()
        self._closed = False
        self._draining = False
        self.facts: dict[str, object] = {"stream": stream, "group": options.group}

    def keeper(self) -> Keeper:
        return Keeper(self.backend, self._options.renew_every, self.leases, self.facts, self.finish)

    # -- what comes

    async def take_in(self, task_status: trio.TaskStatus[None]) -> None:
        await self._ensure_group()
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            if not self.backend.pushes:
                nursery.start_soon(self._take_back)
            if self.rests_here:
                nursery.start_soon(self._wake)

    @property
    def rests_here(self) -> bool:
        """Whether a failed message waits in this process: the next of its key must not be handled meanwhile."""
        return self._options.key is not None and not self.backend.orders

    async def _ensure_group(self) -> None:
        while True:
            try:
                if await ride_out(self.backend.ensure, "group creation"):
                    log.info("group.created", **self.facts, start=self._options.start)
                return
            except RedisError as error:
                log.error("group.refused", **self.facts, error=str(error))
                await trio.sleep(_REFUSED_PAUSE)

    async def _read(self) -> None:
        while True:
            count = await self._room(_READ)
            found = await self._asked(lambda: self._fetch(count), "reading")  # noqa: B023 - awaited at once
            await self._admit(found or [], _READ)

    async def _fetch(self, count: int) -> list[Lease]:
        with trio.fail_after(self._options.block + _REPLY_MARGIN):
            return await self.backend.read(count, self._options.block)

    async def _take_back(self) -> None:
        wait = 0.0
        while True:
            with trio.move_on_at(min(self._look_at, trio.current_time() + wait)):
                await self._look.wait()
            self._look, self._look_at = trio.Event(), float("inf")
            count = await self._room(_BACK)
            answer = await self._asked(lambda: self.backend.returned(count, self.leases), "claiming")  # noqa: B023
            found, wait = answer or ([], _REFUSED_PAUSE)
            await self._admit(found, _BACK)

    async def _room(self, pool: int) -> int:
        """How many may come. Waits for a quarter of the slots while there is other work, so that few reads bring many
        messages.
        """
        while True:
            capacity = self.appetite.capacity
            free = capacity - self._held[pool]
            if free > 0 and (4 * free >= capacity or not self._hands.has_work()):
                return free
            self._freed[pool] = trio.Event()
            await self._freed[pool].wait()

    async def _asked(self, operation: Callable[[], Awaitable[T]], what: str) -> T | None:
        """None where the server refused."""
        try:
            return await ride_out(operation, what)
        except (StreamConsumerGroupError, UnblockedError):  # the second: it went while we were waiting
            log.warning("group.missing", **self.facts)
            await self._ensure_group()
        except RedisError as error:
            log.error("reading.refused", **self.facts, during=what, error=str(error))
            await trio.sleep(_REFUSED_PAUSE)
        return None

    async def _admit(self, found: list[Lease], pool: int) -> None:
        now = trio.current_time()
        new = []
        for lease in found:
            held = self.leases.get(lease.id)
            if held is not None:  # its lease ran out, and it came to us once more
                held.renewed, held.deliveries = now, lease.deliveries
                continue
            lease.level = self.level
            self.leases.hold(lease, now)
            self.appetite.weighed(sum(map(len, lease.fields.values())))
            self._slots[lease] = pool
            self._held[pool] += 1
            new.append(lease)
        if new and self._options.dedupe is not None:
            new = await self._first_of_their_name(new, self._options.dedupe)
        for lease in new:
            if self._options.key is not None:
                lease.key = self._named(self._options.key, lease)
            self._hands.submit(lease)

    async def _first_of_their_name(self, found: list[Lease], how: Named) -> list[Lease]:
        """Without those that are the same as an earlier one; these are done."""
        names = [self._named(how, lease) for lease in found]
        prefix = f"{tagged(self.stream)}:handled:{self._options.group}:".encode()
        window = max(1, int(self._options.window * 1000))

        async def ask() -> list[object]:
            async with self._client.pipeline(transaction=False) as pipe:
                for lease, name in zip(found, names, strict=True):
                    if name is not None:
                        request(cast(Any, pipe), "SET", prefix + name, lease.id, "NX", "GET", "PX", window)
            return list(pipe.results or ())

        answers = iter(await self._asked(ask, "deduplication") or ())
        first = []
        for lease, name in zip(found, names, strict=True):
            before = None if name is None else next(answers, None)
            if before in (None, lease.id.encode()):
                first.append(lease)
            else:
                self.duplicates += 1
                self.done(lease)
        return first

    def _named(self, how: Named, lease: Lease) -> bytes | None:
        """What a function of the app raises is the outcome of the message."""
        try:
            return named(how, Message(lease.id, lease.fields, self.stream, self._options.group))
        except Exception as error:
            lease.broken = error
            return None

    # -- what became of it

    def finish(self, lease: Lease) -> None:
        """The message is not held any more. Bears repeating."""
        self.leases.drop(lease)
        self._resting.pop(lease, None)
        self._hands.free(lease)
        self._leave_slot(lease)

    def _leave_slot(self, lease: Lease) -> None:
        pool = self._slots.pop(lease, None)
        if pool is not None:
            self._held[pool] -= 1
            self._freed[pool].set()

    def done(self, lease: Lease) -> None:
        """To be acknowledged. Goes on in the background, so that one request serves many."""
        lease.state = State.DONE
        self._hands.free(lease)
        self._done.append(lease)
        self._something_done.set()

    def drain(self) -> None:
        """Nothing more is wanted."""
        self._draining = True

    def close(self) -> None:
        """`settle` ends when all is acknowledged."""
        self._closed = True
        self._something_done.set()

    async def settle(self) -> None:
        while self._done or not self._closed:
            if not self._done:
                self._something_done = trio.Event()
                await self._something_done.wait()
                continue
            batch = self._done[:_SETTLED_AT_ONCE]
            del self._done[:_SETTLED_AT_ONCE]
            following: list[Lease] = []
            try:
                following = await ride_out(lambda: self._settle(batch), "acknowledgement")  # noqa: B023
            except RedisError as refusal:
                # They stay pending, and come again.
                log.error("message.not_settled", **self.facts, count=len(batch), error=str(refusal))
            for lease in batch:
                self.finish(lease)
            await self._admit(following, _READ)

    async def _settle(self, batch: list[Lease]) -> list[Lease]:
        return await self.backend.settle(batch, more=not self._draining)

    async def retry(self, lease: Lease, after: float, failure: Failure) -> bool:
        """To be delivered again. False where this worker keeps it until then, and its key waits for it."""
        if self.rests_here and self.leases.wait(lease, trio.current_time() + after):
            self._leave_slot(lease)
            self._resting[lease] = failure
            self._rested.set()
            return False
        self.leases.drop(lease)  # first: it may come again before the reply has
        await ride_out(lambda: self.backend.retry(lease, after, failure), "retry")
        self._look_at = min(self._look_at, trio.current_time() + after)
        self._look.set()
        self.finish(lease)
        return True

    async def _wake(self) -> None:
        while True:
            due = self.leases.next_due()
            with trio.move_on_at(float("inf") if due is None else due):
                await self._rested.wait()
            self._rested = trio.Event()
            while (lease := self.leases.pop_due(trio.current_time())) is not None:
                failure = self._resting.pop(lease)
                ours = await self._asked(lambda: self.backend.again(lease, failure), "retry")  # noqa: B023
                lease.deliveries += 1
                lease.lost = lease.lost or not ours
                lease.returned = True
                self._hands.submit(lease, again=True)

    async def let_go(self) -> int:
        """Free what is pending here for other workers; how many there were."""
        for lease, failure in list(self._resting.items()):
            await self.backend.retry(lease, max(0.0, lease.due - trio.current_time()), failure)
            self.finish(lease)
        return await self.backend.release(list(self.leases))
