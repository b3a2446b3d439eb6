"""One consumer of the app at work in this process.

      Station.run                 everything for one consumer
        Keeper.run                renews leases, until the last handler is done
        Source.settle             acknowledges, until the last handler is done
        _hand x concurrency       take what is ready and handle it
        Source.take_in            per priority: what comes; cancelled by drain()

Draining cancels the intake only. Hands finish the message they have and take no other; at the end of the grace period
they are cancelled. What is then still pending here is released: free for every worker at once.
"""

import attrs
import structlog
import trio
from coredis.exceptions import RedisError

from consumers.app import App
from consumers.backends.choice import backend
from consumers.backends.scripts import tagged
from consumers.errors import TRANSIENT
from consumers.handling import Counts, Handling
from consumers.intake import Source
from consumers.leases import Lease, State
from consumers.options import Consumer
from consumers.rates import Limiter
from consumers.ready import Ready

log = structlog.get_logger("consumers")

_RELEASE_LIMIT = 5.0  # seconds given to the releasing of messages at the end


class Station:
    def __init__(self, app: App, consumer: Consumer, worker: str) -> None:
        options = consumer.options
        connection = app.connection
        client = connection.client
        self.consumer = consumer
        self._options = options
        self._sources: list[Source] = []
        for level, stream in enumerate(options.streams):
            chosen = backend(client, connection.native, options, stream, worker)
            self._sources.append(Source(client, options, stream, level, chosen, self))
        self._ready = Ready(len(self._sources))
        self._lot = trio.lowlevel.ParkingLot()  # of hands with nothing to do
        self._collecting = trio.Lock()
        self._handling = Handling(client, consumer, worker, app.middleware, app.clock)
        self._limiter: Limiter | None = None
        if options.rate is not None:
            key = f"{tagged(options.stream)}:rate:{options.group}"
            self._limiter = Limiter(client, key, options.rate, lambda: len(self._ready))
        self._intake_scope = trio.CancelScope()
        self._work_scope = trio.CancelScope()
        self._draining = False

    @property
    def counts(self) -> Counts:
        duplicates = sum(source.duplicates for source in self._sources)
        return attrs.evolve(self._handling.counts, skipped=self._handling.counts.skipped + duplicates)

    @property
    def sources(self) -> list[Source]:
        return self._sources

    # -- as a source sees it

    def submit(self, lease: Lease, *, again: bool = False) -> None:
        if self._ready.again(lease) if again else self._ready.put(lease):
            self._lot.unpark()

    def free(self, lease: Lease) -> None:
        if self._ready.done(lease):
            self._lot.unpark()

    def has_work(self) -> bool:
        return len(self._ready) > 0

    # -- life

    def drain(self, deadline: float) -> None:
        """Take nothing more; running handlers have until `deadline` (Trio's clock)."""
        self._draining = True
        for source in self._sources:
            source.drain()
        self._intake_scope.cancel()
        self._work_scope.deadline = min(self._work_scope.deadline, deadline)
        self._lot.unpark_all()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until drained. `task_status.started()` is called once the groups exist and reading begins."""
        try:
            with self._work_scope:
                async with trio.open_nursery() as keepers:
                    for source in self._sources:
                        keepers.start_soon(source.keeper().run)
                    async with trio.open_nursery() as settlers:
                        for source in self._sources:
                            settlers.start_soon(source.settle)
                        await self._work(task_status)
                        for source in self._sources:
                            source.close()
                    keepers.cancel_scope.cancel()
        finally:
            with trio.move_on_after(_RELEASE_LIMIT, shield=True):
                await self._let_go()

    async def _work(self, task_status: trio.TaskStatus[None]) -> None:
        hand = self._hand if self._options.batch is None else self._batch_hand
        async with trio.open_nursery() as hands:
            for _ in range(self._options.concurrency):
                hands.start_soon(hand)
            with self._intake_scope:
                async with trio.open_nursery() as intake:
                    for source in self._sources:
                        await intake.start(_take_in, source)
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
            if task_status is not trio.TASK_STATUS_IGNORED:
                task_status.started()  # drained before there was a server: whoever waits need not any more

    async def _hand(self) -> None:
        while (lease := await self._next()) is not None:
            source = self._sources[lease.level]
            try:
                await self._handling.run(source, lease)
            except Exception:  # of ours: what the app raises is an outcome
                self._broken([(source, lease)])
            await trio.lowlevel.checkpoint()  # a handler need not have one

    async def _next(self) -> Lease | None:
        """None when the worker drains: what is ready is released."""
        while not self._draining:
            if not len(self._ready):
                await self._lot.park()
                continue
            if self._limiter is not None:
                await self._limiter.take()
            lease = None if self._draining else self._ready.take()
            if lease is not None:
                return lease
            if self._limiter is not None:
                self._limiter.give_back()
        return None

    async def _batch_hand(self) -> None:
        while batch := await self._collect():
            found = [(self._sources[lease.level], lease) for lease in batch]
            try:
                await self._handling.run_batch(found)
            except Exception:
                self._broken(found)
            await trio.lowlevel.checkpoint()

    def _broken(self, found: list[tuple[Source, Lease]]) -> None:
        """The messages stay pending, and come again when their leases are over."""
        for source, lease in found:
            log.exception("message.not_settled", **source.facts, id=lease.id)
            if lease.state is not State.DONE:
                source.finish(lease)

    async def _collect(self) -> list[Lease]:
        """A full batch, or what has come within the time since the first of it arrived; [] when the worker drains."""
        async with self._collecting:
            first = await self._next()
            if first is None:
                return []
            batch = [first]
            with trio.move_on_at(first.arrived + self._options.within):
                while len(batch) < (self._options.batch or 1):
                    following = await self._next()
                    if following is None:
                        break
                    batch.append(following)
            return batch

    async def _let_go(self) -> None:
        """Free what is pending here for other workers, and leave the group if nothing is."""
        try:
            released = 0
            for source in self._sources:
                released += await source.let_go()
            facts = {"stream": self._options.stream, "group": self._options.group}
            log.info("consumer.drained", **facts, released=released, **attrs.asdict(self.counts))
        except (*TRANSIENT, RedisError) as error:
            log.warning(
                "consumer.not_released", stream=self._options.stream, group=self._options.group, error=str(error)
            )


async def _take_in(source: Source, *, task_status: trio.TaskStatus[None]) -> None:
    await source.take_in(task_status)
