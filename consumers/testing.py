"""`app.test()`: the handlers of an app on a real broker inside the test's own process, with a clock that jumps.

    async with app.test() as t:
        await app.publish("orders", Order("ann", 250))
        await t.finish()                            # all is done, retries and delayed messages too

The broker is a whole Millstream (`broker.open_broker`), in memory, on a port of its own; the worker is the one that
`millstream worker` runs. Retries, delays, schedules, leases and times to live go by the broker's clock: minutes jump.
What goes by Trio's clock (`trio.sleep` in a handler, its time-out) takes its time, unless the test runs on Trio's
MockClock: then both jump together.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol, cast

import attrs
import trio
from coredis import Redis

from consumers.backends.scripts import request
from consumers.dependencies import Factory
from consumers.durations import Duration, seconds
from consumers.errors import ConfigurationError, leaves
from consumers.message import Message
from consumers.middleware import Middleware
from consumers.runner import Worker

if TYPE_CHECKING:
    from consumers.app import App

_LOOK_EVERY = 0.002  # seconds between two looks at whether anything is left to do
_PATIENCE = 30.0  # real seconds after which what should come to rest is said not to
_BEHIND = 0.001  # how far behind a due time to jump
_ON_ITS_WAY = 1.0  # seconds after which what fell due can't be on its way any more
_STEP = 0.05  # seconds to jump for what is due at a time that nobody told


class Broker(Protocol):
    """Of an embedded broker, what is needed here."""

    @property
    def port(self) -> int: ...

    async def advance(self, seconds: float) -> None: ...


@attrs.frozen
class Attempt:
    """One failed attempt."""

    message: Message
    error: BaseException


class _Watch(Middleware):
    """Sees what happens. `due`: {(stream, id): when it is tried again, by the broker's clock}."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self.due: dict[tuple[str, str], float] = {}

    async def around(self, message: Message, call_next: Any) -> object:
        self.due.pop((message.stream, message.id), None)
        return await call_next(message)

    async def on_retry(self, message: Message, error: BaseException, after: float) -> None:
        self.due[message.stream, message.id] = self._rehearsal.now + after
        self._rehearsal.failures.append(Attempt(message, error))

    async def on_done(self, message: Message) -> None:  # of a batch: they pass `around` by
        self.due.pop((message.stream, message.id), None)

    async def on_dead(self, message: Message, reason: str) -> None:
        self.due.pop((message.stream, message.id), None)


class Rehearsal:
    """An app at work in a test. failures: the attempts that are tried again, in order."""

    def __init__(self, app: App, broker: Broker, worker: Worker) -> None:
        self.app = app
        self.broker = broker
        self.worker = worker
        self.failures: list[Attempt] = []
        self.watch = _Watch(self)
        self._added = 0.0

    @property
    def client(self) -> Redis[bytes]:
        return self.app.client

    @property
    def now(self) -> float:
        """Unix time, as the broker has it."""
        return time.time() + self._added

    async def idle(self) -> None:
        """Until all that can be done now is done. Raises trio.TooSlowError where something never ends."""
        with trio.fail_after(_PATIENCE):
            while await self._busy():  # noqa: ASYNC110 (what is left is for the broker to say)
                await trio.sleep(_LOOK_EVERY)

    async def _busy(self) -> bool:
        """What has just fallen due counts: it is on its way to a worker."""
        busy, resting = await self._left()
        now = self.now
        return busy > 0 or (resting > 0 and any(now - _ON_ITS_WAY < due <= now for due in self.watch.due.values()))

    async def advance(self, duration: Duration) -> None:
        """Finish what can be done now; then let so much time pass, at once but from one due time to the next, so that
        things happen in their order: retries, delayed messages, and what is done by the clock.
        """
        await self.idle()
        end = self.now + seconds(duration)
        while True:
            due = [one for one in (*self.watch.due.values(), *await self._scheduled()) if one < end]
            await self._jump(max((min(due) if due else end) - self.now, 0.0) + _BEHIND)
            await self.idle()
            if not due:
                return

    async def finish(self) -> None:
        """Until nothing is left, jumping from one due time to the next: retries and delayed messages. Schedules that
        repeat for ever are left alone.
        """
        with trio.fail_after(_PATIENCE):
            while True:
                await self.idle()
                scheduled = await self._scheduled(repeating=False)
                busy, resting = await self._left()
                if busy:  # something has fallen due meanwhile
                    continue
                if not resting and not scheduled:
                    return
                due = [*self.watch.due.values(), *scheduled]
                await self._jump(max(min(due) - self.now, 0.0) + _BEHIND if due else _STEP)

    async def letters(self, stream: str) -> list[dict[str, str]]:
        """The dead letters of a stream or queue, as text, the oldest first."""
        found: Any = await self.client.xrange(f"{stream}.dead")
        return [
            {
                name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
                for name, value in each.field_values.items()
            }
            for each in found
        ]

    async def _jump(self, duration: float) -> None:
        self._added += duration
        await self.broker.advance(duration)

    async def _left(self) -> tuple[int, int]:
        """How many messages wait for a handler or are with one, and how many rest until their next attempt."""
        wanted = [(stream, one.options.group) for one in self.app.consumers for stream in one.options.streams]
        async with self.client.pipeline(transaction=False) as pipe:
            for stream, _ in wanted:
                request(cast(Any, pipe), "XINFO", "GROUPS", stream)
        busy = resting = 0
        for (_, group), groups in zip(wanted, pipe.results or (), strict=True):
            for facts in map(_facts, groups):
                if facts["name"] == group.encode():
                    busy += (facts["lag"] or 0) + facts["in-flight"]
                    resting += facts["returned"]
        return busy, resting

    async def _scheduled(self, *, repeating: bool = True) -> list[float]:
        """When messages are due that the broker has schedules of."""
        found: list[float] = []
        for key, *_ in await request(self.client, "XSCHEDULES"):
            for each in await request(self.client, "XSCHEDULES", key):
                facts = _facts(each)
                if repeating or not {"every", "cron"} & facts.keys():
                    found.append(facts["next"] / 1000)
        return found


def _facts(reply: Any) -> dict[str, Any]:
    """A map of RESP3, or the list that it is in RESP2."""
    pairs = reply.items() if isinstance(reply, Mapping) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value for name, value in pairs}


@asynccontextmanager
async def rehearse(app: App, overrides: Mapping[Factory, Factory] | None) -> AsyncIterator[Rehearsal]:
    """What stands behind `App.test`."""
    from broker import open_broker

    if app.is_connected:
        raise ConfigurationError("the app is connected already: it can't be tested at the same time")
    before = dict(app.lifetimes.overrides)
    app.lifetimes.overrides.update(overrides or {})
    failure: BaseException | None = None
    try:
        async with open_broker() as broker, app.connect(broker.url):
            worker = Worker(app, url=broker.url)
            rehearsal = Rehearsal(app, broker, worker)
            with _watched(app, rehearsal):
                async with trio.open_nursery() as nursery:
                    await nursery.start(worker.run)
                    try:
                        yield rehearsal
                    except Exception as error:
                        failure = error
                        raise
                    worker.drain()
    except BaseExceptionGroup as group:
        if failure is not None and set(leaves(group)) == set(leaves(failure)):
            raise failure from None  # the test's own, out of all the groups around it
        raise
    finally:
        app.lifetimes.overrides.clear()
        app.lifetimes.overrides.update(before)


@contextmanager
def _watched(app: App, rehearsal: Rehearsal) -> Iterator[None]:
    clock, lease = app.clock, app.timetables.lease
    app.timetables.lease = None  # nobody would declare schedules again in time when hours jump
    app.middleware.append(rehearsal.watch)
    app.clock = lambda: rehearsal.now
    try:
        yield
    finally:
        app.middleware.remove(rehearsal.watch)
        app.clock, app.timetables.lease = clock, lease
