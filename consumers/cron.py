"""Tasks by the calendar and at intervals, each due time once across all workers.

    @app.cron("*/5 * * * *")        @app.every("30s")        @app.cron("0 8 * * 1-5", tz="Europe/Berlin")

On Millstream the server has the schedule (XSCHEDULE) and adds the message when it is due; every worker declares it at
its start and again from time to time, for an hour, so a schedule that is gone from the program goes from the server,
too. On plain servers each worker watches the clock (the server's), and a script adds the message for whoever is the
first to come for a due time: no leader, and nobody has to live.

Intervals are counted from 1970, so that all workers come to the same times. What falls due while no worker runs is not
made up for (on Millstream it is added for up to an hour).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import attrs
import structlog
import trio
from coredis.exceptions import RedisError
from cronsim import CronSim, CronSimError

from consumers import headers
from consumers.backends import Publication
from consumers.backends.scripts import Script, request, tagged
from consumers.connection import ride_out
from consumers.durations import milliseconds
from consumers.errors import ConfigurationError
from consumers.tasks import Task, declare

if TYPE_CHECKING:
    from consumers.app import App

log = structlog.get_logger("consumers")

QUEUE = "cron"
_LEASE = 3600.0
_CLAIMED_MS = 3_600_000  # for how long it is known that somebody has added the message of a due time
_LONGEST_SLEEP = 60.0  # clocks are put right now and then
_REFUSED_PAUSE = 1.0

# KEYS: stream. ARGV: ticket, lease in milliseconds (0: for ever), CRON or EVERY, its argument, time zone, fields
_DECLARE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local request = {KEYS[1], 'ID', ARGV[1]}
local function add(...) for _, word in ipairs({...}) do request[#request + 1] = word end end
if ARGV[3] == 'EVERY' then
  add('NEXT', string.format('%d', (math.floor(now / ARGV[4]) + 1) * ARGV[4]), 'EVERY', ARGV[4])
else
  add('CRON', ARGV[4], 'TZ', ARGV[5])
end
if ARGV[2] ~= '0' then add('UNTIL', string.format('%d', now + ARGV[2])) end
add('FIELDS', unpack(ARGV, 6))
return redis.call('XSCHEDULE', unpack(request))
""")

# KEYS: stream, the key that says that the due time was seen to. ARGV: how long it says so, fields
_ADD_ONCE = Script("""
if not redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[1]) then return false end
return redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2))
""")


@attrs.frozen
class Timetable:
    """When a task is due. Pure."""

    name: str
    cron: str | None = None
    tz: str = "UTC"
    every_ms: int = 0

    def __attrs_post_init__(self) -> None:
        if self.cron is None:
            if self.every_ms < 1:
                raise ConfigurationError(f"{self.name}: an interval has at least a millisecond")
            return
        try:
            self.next_due(0.0)
        except (CronSimError, StopIteration) as error:
            raise ConfigurationError(f"{self.name}: {self.cron!r} is no cron expression: {error}") from None
        except (KeyError, ValueError, OSError):
            raise ConfigurationError(f"{self.name}: there is no time zone {self.tz!r}") from None

    def next_due(self, after: float) -> float:
        """The first due time later than `after`, both in Unix time."""
        if self.cron is None:
            return (int(after * 1000) // self.every_ms + 1) * self.every_ms / 1000
        times: Iterator[datetime] = CronSim(self.cron, datetime.fromtimestamp(after, ZoneInfo(self.tz)))
        # Where clocks are put back, the first that it finds may lie an hour before.
        return next(found for one in times if (found := one.timestamp()) > after)


@attrs.frozen
class _Entry:
    timetable: Timetable
    task: Task[..., Any]

    def publication(self) -> Publication:
        """The same at each due time; the task's id is that of the entry."""
        prepared = self.task.prepare({}, "", {})
        del prepared.fields[headers.ID]
        return prepared


class Cron:
    """The timetables of an app, and what runs them in a worker. Implements consumers.app.Service."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self.lease: float | None = _LEASE
        self._scopes: list[trio.CancelScope] = []

    def add(self, timetable: Timetable, task: Task[..., Any]) -> None:
        if any((one.timetable.name, one.task.queue) == (timetable.name, task.queue) for one in self.entries):
            raise ConfigurationError(f"two timetables {timetable.name!r} in queue {task.queue.name!r}")
        if missing := task.arguments.missing({}):
            raise ConfigurationError(
                f"{timetable.name}: nothing fills the parameter {missing[0]!r} of a task by the clock"
            )
        self.entries.append(_Entry(timetable, task))

    def drain(self, deadline: float) -> None:
        for scope in self._scopes:
            scope.cancel()

    async def run(self, app: App, worker: str, *, task_status: trio.TaskStatus[None]) -> None:
        scope, ready = trio.CancelScope(), False
        self._scopes.append(scope)
        try:
            with scope:
                if app.connection.native:
                    await self._declare_all(app)
                ready = True
                task_status.started()
                await (self._keep_declared(app) if app.connection.native else self._watch(app))
        finally:
            self._scopes.remove(scope)
        if not ready:
            task_status.started()  # drained before the server answered

    # -- the server has the schedules

    async def _keep_declared(self, app: App) -> None:
        while True:
            await trio.sleep(float("inf") if self.lease is None else self.lease / 3)
            await self._declare_all(app)

    async def _declare_all(self, app: App) -> None:
        for one in self.entries:
            await _guarded(lambda one=one: self._declare(app, one), one)  # type: ignore[misc]

    async def _declare(self, app: App, one: _Entry) -> None:
        message, timetable = one.publication(), one.timetable
        ticket = f"cron:{timetable.name}"
        if self.lease is not None:
            now = await _server_time(app)
            if timetable.next_due(now) >= now + self.lease:  # the server would refuse it; it is declared again in time
                await app.cancel(message.stream, ticket)
                return
        kind = ["EVERY", timetable.every_ms] if timetable.cron is None else ["CRON", timetable.cron]
        lease = 0 if self.lease is None else milliseconds(self.lease)
        fields = [part for pair in message.fields.items() for part in pair]
        arguments: list[Any] = [ticket, lease, *kind, timetable.tz, *fields]
        await _DECLARE.run(app.client, [message.stream], arguments)

    # -- the workers watch the clock

    async def _watch(self, app: App) -> None:
        async with trio.open_nursery() as nursery:
            for one in self.entries:
                nursery.start_soon(self._watch_one, app, one)

    async def _watch_one(self, app: App, one: _Entry) -> None:
        due = 0.0
        while True:
            now = await _server_time(app)
            due = one.timetable.next_due(max(due, now))
            while (wait := due - now) > 0:
                await trio.sleep(min(wait, _LONGEST_SLEEP))
                now = await _server_time(app)
            await _guarded(lambda due=due: self._add(app, one, due), one)  # type: ignore[misc]

    async def _add(self, app: App, one: _Entry, due: float) -> None:
        message = one.publication()
        claim = f"{tagged(message.stream)}:cron:{one.timetable.name}:{round(due * 1000)}"
        fields = [part for pair in message.fields.items() for part in pair]
        await _ADD_ONCE.run(app.client, [message.stream, claim], [_CLAIMED_MS, *fields])


async def _server_time(app: App) -> float:
    seconds, micros = await ride_out(lambda: request(app.client, "TIME"), "clock")
    return int(seconds) + int(micros) / 1e6


async def _guarded(operation: Callable[[], Any], one: _Entry) -> None:
    try:
        await ride_out(operation, "schedule")
    except RedisError as error:
        log.error("schedule.refused", schedule=one.timetable.name, error=str(error))
        await trio.sleep(_REFUSED_PAUSE)


def timed(
    app: App, name: str | None, queue: str, options: Mapping[str, Any], **when: Any
) -> Callable[[Any], Task[..., Any]]:
    """What stands behind `App.cron` and `App.every`: a decorator of functions and of tasks."""

    def register(function: Any) -> Task[..., Any]:
        if isinstance(function, Task):
            if options:
                raise ConfigurationError(f"{function.name} is a task already: give {next(iter(options))!r} to app.task")
            task: Task[..., Any] = function
        else:
            task = declare(app, queue, name, {"results": None, **options})(function)
        app.timetables.add(Timetable(name or task.name, **when), task)
        if app.timetables not in app.services:
            app.services.append(app.timetables)
        return task

    return register
