"""The worker: what runs in one process, and how it ends.

Worker.run                    one client; one `Station` (consumers/station.py) per consumer, and the app's services
"""

import signal
from contextlib import AsyncExitStack
from typing import Any, Literal

import attrs
import structlog
import trio

from consumers import groups
from consumers.app import App
from consumers.handling import Counts
from consumers.options import Consumer
from consumers.station import Station

log = structlog.get_logger("consumers")

_REPLY_MARGIN = 10.0  # seconds beyond the longest BLOCK after which a silent connection counts as lost
_STOP_LIMIT = 5.0  # seconds given to what middleware does at the end


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
    def draining(self) -> bool:
        return self._draining

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
            await lives.enter_async_context(connecting)
            if self._greeting.cancelled_caught:
                task_status.started()  # drained before there was a server
                return
            for consumer in self._consumers:
                await lives.enter_async_context(consumer.invoke.open(self, consumer.options))
            await self._hooks("on_worker_start")
            try:
                await self._work(task_status)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _STOP_LIMIT):
                    await self._hooks("on_worker_stop")

    async def _work(self, task_status: trio.TaskStatus[None]) -> None:
        self._stations = [Station(self.app, one, self.name) for one in self._consumers]
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


async def run_worker(worker: Worker, ready: trio.Event | None = None) -> bool:
    """Run it with SIGTERM and SIGINT meaning: drain; a second one: cancel. True where it was drained, not cancelled.

    ready: set when every consumer reads.
    """
    async with trio.open_nursery() as signals:
        await signals.start(_obey_signals, worker)
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            if ready is not None:
                ready.set()
        signals.cancel_scope.cancel()
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
