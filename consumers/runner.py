"""The worker: who runs which task, and how it ends.

    Worker.run                    one client, one `Station` per consumer, signals
      Station.run                 everything for one (stream, group)
        Keeper.run                renews leases, until the last handler is done
        _hand x concurrency       take messages from a bounded channel and handle them
        _intake                   cancelled by drain(); closes the channel
          _read                   XREADGROUP: new messages
          Claimer.run             retries, and what dead workers left

Draining cancels the intake only. Hands finish the message they have and take no other; at the end of the grace period
they are cancelled. What is then still pending here is released: marked on the server as free for every worker at
once.
"""

import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

import attrs
import structlog
import trio
from coredis import Redis
from coredis.exceptions import RedisError, StreamConsumerGroupError, UnblockedError

from consumers import groups
from consumers.app import App
from consumers.claiming import Claimer
from consumers.connection import ride_out
from consumers.errors import TRANSIENT
from consumers.handling import Counts, Handling, chain
from consumers.leases import Keeper, Lease, Leases, State
from consumers.message import Message
from consumers.middleware import Middleware
from consumers.options import Consumer
from consumers.pending import Entry, PendingList, entry
from consumers.transactions import transact

log = structlog.get_logger("consumers")

_REPLY_MARGIN = 10.0  # seconds beyond the longest BLOCK after which a silent connection counts as lost
_RELEASE_LIMIT = 5.0  # seconds given to the releasing of messages at the end
_REFUSED_PAUSE = 1.0


class Station:
    """One consumer of the app at work in this process."""

    def __init__(self, client: Redis[bytes], consumer: Consumer, name: str, middleware: Sequence[Middleware]) -> None:
        options = consumer.options
        self.consumer = consumer
        self.name = name
        self._client = client
        self._options = options
        self._pending = PendingList(client, options.stream, options.group)
        self._leases = Leases()
        # Of messages read and not settled; claimed ones use none
        self._slots = trio.Semaphore(options.concurrency + options.ahead)
        self._send, self._receive = trio.open_memory_channel[tuple[Message, Lease, bool]](
            options.concurrency + options.ahead
        )
        self._claimer = Claimer(self._pending, name, options, self._leases, self._submit_claimed, self._bury)
        self._handling = Handling(client, consumer, self._leases, self._claimer, chain(middleware, consumer.invoke))
        self._ready = False
        self._intake_scope = trio.CancelScope()
        self._work_scope = trio.CancelScope()

    @property
    def counts(self) -> Counts:
        return self._handling.counts

    def drain(self, deadline: float) -> None:
        """Take nothing more; running handlers have until `deadline` (Trio's clock)."""
        self._intake_scope.cancel()
        self._work_scope.deadline = min(self._work_scope.deadline, deadline)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until drained. `task_status.started()` is called once the group exists and reading begins."""
        try:
            with self._work_scope:
                async with trio.open_nursery() as keepers:
                    keepers.start_soon(Keeper(self._pending, self.name, self._options, self._leases).run)
                    async with trio.open_nursery() as hands:
                        for _ in range(self._options.concurrency):
                            hands.start_soon(self._hand)
                        hands.start_soon(self._intake, task_status)
                    keepers.cancel_scope.cancel()
        finally:
            with trio.move_on_after(_RELEASE_LIMIT, shield=True):
                await self._let_go()

    async def _hand(self) -> None:
        async for message, lease, read in self._receive:
            if self._intake_scope.cancel_called:
                return  # what is still in the channel is released by _let_go
            try:
                if not lease.lost:
                    await self._handling.run(message, lease)
                else:
                    self._leases.drop(lease)
            finally:
                if read:
                    self._slots.release()

    async def _intake(self, task_status: trio.TaskStatus[None]) -> None:
        with self._send, self._intake_scope:
            await self._ensure_group()
            self._ready = True
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._claimer.run)
                nursery.start_soon(self._read)
        if not self._ready:
            task_status.started()  # drained before there was a server: whoever waits for the start need not any more

    async def _ensure_group(self) -> None:
        while True:
            try:
                if await ride_out(lambda: groups.ensure_group(self._client, self._options), "group creation"):
                    log.info(
                        "group.created",
                        stream=self._options.stream,
                        group=self._options.group,
                        start=self._options.start,
                    )
                return
            except RedisError as error:
                log.error("group.refused", stream=self._options.stream, group=self._options.group, error=str(error))
                await trio.sleep(_REFUSED_PAUSE)

    async def _read(self) -> None:
        while True:
            wanted = await self._reserve()
            entries = await self._fetch(wanted)
            for _ in range(wanted - len(entries)):
                self._slots.release()
            for one in entries:
                await self._submit(one, self._leases.add(one.id, 1, trio.current_time()), read=True)

    async def _reserve(self) -> int:
        """As many slots as are free; waits for the first."""
        await self._slots.acquire()
        reserved = 1
        while self._slots.value:
            self._slots.acquire_nowait()
            reserved += 1
        return reserved

    async def _fetch(self, count: int) -> list[Entry]:
        """New entries; none after `block` seconds without any."""
        options = self._options
        try:
            found = await ride_out(lambda: self._xreadgroup(count), "reading")
        except (StreamConsumerGroupError, UnblockedError):  # the second: it went while we were waiting
            log.warning("group.missing", stream=options.stream, group=options.group)
            await self._ensure_group()
            return []
        except RedisError as error:
            log.error("reading.refused", stream=options.stream, group=options.group, error=str(error))
            await trio.sleep(_REFUSED_PAUSE)
            return []
        return [entry(raw) for entries in (found or {}).values() for raw in entries]

    async def _xreadgroup(self, count: int) -> Any:
        options = self._options
        with trio.fail_after(options.block + _REPLY_MARGIN):
            return await self._client.xreadgroup(
                options.group, self.name, {options.stream: ">"}, count=count, block=int(options.block * 1000)
            )

    def _message(self, one: Entry, lease: Lease) -> Message:
        options = self._options
        return Message(
            one.id,
            one.fields,
            options.stream,
            options.group,
            self.name,
            lease.deliveries,
            client=self._client,
            transact=transact,
        )

    async def _submit(self, one: Entry, lease: Lease, *, read: bool) -> None:
        await self._send.send((self._message(one, lease), lease, read))

    async def _submit_claimed(self, one: Entry, lease: Lease) -> None:
        await self._submit(one, lease, read=False)

    async def _bury(self, one: Entry, lease: Lease, reason: str) -> None:
        try:
            await self._handling.bury(self._message(one, lease), reason)
        finally:
            self._leases.drop(lease)

    async def _let_go(self) -> None:
        """Free what is pending here for other workers, and leave the group if nothing is.

        The list is asked of the server: a read that was cancelled may have been answered with entries that never
        arrived.
        """
        try:
            released = await self._release_all()
            left = await groups.leave(self._client, self._options, self.name)
            facts = {"stream": self._options.stream, "group": self._options.group}
            log.info("consumer.drained", **facts, released=released, left_group=left, **attrs.asdict(self.counts))
        except (*TRANSIENT, RedisError) as error:
            log.warning(
                "consumer.not_released", stream=self._options.stream, group=self._options.group, error=str(error)
            )

    async def _release_all(self) -> int:
        after: str | None = None
        released = 0
        while page := await self._pending.page(after=after, consumer=self.name):
            after = page[-1].id
            for one in page:
                lease = self._leases.get(one.id)
                if lease is not None and lease.state is State.WAITING:
                    continue  # it failed: whoever takes it over observes its back-off
                begun = lease is not None and lease.state is State.RUNNING
                deliveries = one.deliveries if begun else max(0, one.deliveries - 1)  # never begun: not an attempt
                idle = self._options.takeover_after(one.id, deliveries) + 1.0
                await self._pending.release(one.id, self.name, idle=idle, deliveries=deliveries)
                released += 1
        return released


class Worker:
    """All consumers of an app in one process: `await Worker(app).run()`."""

    def __init__(
        self, app: App, *, url: str | None = None, concurrency: int | None = None, grace: float = 30.0
    ) -> None:
        """`url` and `concurrency` (of every consumer) override what the app says; `grace` is the time, in seconds,
        that drain() gives.
        """
        self.app = app
        self.name = groups.consumer_name()
        self._url = url or app.url
        self._grace = grace
        self._consumers = [_with_concurrency(one, concurrency) for one in app.consumers]
        self._stations: list[Station] = []
        self._greeting = trio.CancelScope()
        self._scope = trio.CancelScope()
        self._draining = False

    @property
    def counts(self) -> dict[str, Counts]:
        """By "stream/group"."""
        return {f"{one.consumer.options.stream}/{one.consumer.options.group}": one.counts for one in self._stations}

    @property
    def cancelled(self) -> bool:
        return self._scope.cancel_called

    def drain(self) -> None:
        """Stop taking messages, let running handlers finish within the grace period; run() then returns."""
        if not self._draining:
            log.info("worker.draining", worker=self.name, grace=self._grace)
        self._draining = True
        self._greeting.cancel()  # no matter once it is connected
        deadline = trio.current_time() + self._grace
        for station in self._stations:
            station.drain(deadline)
        for service in self.app.services:
            service.drain(deadline)

    def cancel(self) -> None:
        """Don't wait for running handlers either."""
        log.warning("worker.cancelled", worker=self.name)
        self._scope.cancel()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until drained or cancelled. `task_status.started()` is called when every consumer reads."""
        longest = max((one.options.block for one in self._consumers), default=0.0)
        options: dict[str, Any] = {"reply_timeout": longest + _REPLY_MARGIN, "name": self.name}
        async with AsyncExitStack() as lives:
            connecting = self.app.connect(self._url, patience=self._greeting, **options)
            connection = await lives.enter_async_context(connecting)
            if self._greeting.cancelled_caught:
                task_status.started()  # drained before there was a server
                return
            for consumer in self._consumers:
                await lives.enter_async_context(consumer.invoke.open(self, consumer.options))
            await self._hooks("on_worker_start")
            try:
                await self._work(connection.client, task_status)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _RELEASE_LIMIT):
                    await self._hooks("on_worker_stop")

    async def _work(self, client: Redis[bytes], task_status: trio.TaskStatus[None]) -> None:
        self._stations = [Station(client, one, self.name, self.app.middleware) for one in self._consumers]
        with self._scope:
            async with trio.open_nursery() as nursery:
                log.info("worker.started", worker=self.name, consumers=len(self._stations))
                if self._draining:
                    self.drain()
                for station in self._stations:
                    await nursery.start(station.run)
                for service in self.app.services:
                    await nursery.start(service.run, self.app, self.name)
                task_status.started()
        log.info("worker.stopped", worker=self.name)

    async def _hooks(self, name: Literal["on_worker_start", "on_worker_stop"]) -> None:
        for one in self.app.middleware:
            try:
                await (one.on_worker_start(self) if name == "on_worker_start" else one.on_worker_stop(self))
            except Exception:
                log.exception("middleware.failed", middleware=type(one).__name__, hook=name)


def _with_concurrency(consumer: Consumer, concurrency: int | None) -> Consumer:
    if concurrency is None:
        return consumer
    return attrs.evolve(consumer, options=attrs.evolve(consumer.options, concurrency=concurrency))


async def run_worker(worker: Worker) -> bool:
    """Run it with SIGTERM and SIGINT meaning: drain; a second one: cancel. True where it was drained, not cancelled."""
    async with trio.open_nursery() as nursery:
        await nursery.start(_obey_signals, worker)
        await worker.run()
        nursery.cancel_scope.cancel()
    return not worker.cancelled


async def _obey_signals(worker: Worker, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        seen = 0
        async for _ in signals:
            seen += 1
            if seen == 1:
                worker.drain()
            else:
                worker.cancel()
