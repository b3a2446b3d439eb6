"""Tasks by the calendar and at intervals, each due time once across all workers."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from coredis import Redis
from support.workers import working

from consumers import App, ConfigurationError, Message
from consumers.backends.scripts import request
from consumers.cron import Timetable

AS_PLAIN_TOO = True


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("timetable", "after", "due"),
    [
        (Timetable("t", cron="*/5 * * * *"), "2026-01-01T10:00:00", "2026-01-01T10:05:00"),
        (Timetable("t", cron="30 2 * * *", tz="Europe/Berlin"), "2026-01-01T00:00:00", "2026-01-01T01:30:00"),
        (Timetable("t", cron="*/10 * * * * *"), "2026-01-01T10:00:05", "2026-01-01T10:00:10"),
        (Timetable("t", every_ms=30_000), "2026-01-01T10:00:30", "2026-01-01T10:01:00"),
        (Timetable("t", every_ms=7_000), "1970-01-01T00:00:20", "1970-01-01T00:00:21"),
    ],
)
def test_all_workers_come_to_the_same_due_times(timetable: Timetable, after: str, due: str) -> None:
    assert timetable.next_due(moment(after)) == moment(due)


async def needs(n: int) -> None: ...


async def fine() -> None: ...


def declared_twice(app: App) -> None:
    app.every("1s")(fine)
    app.every("2s")(app.queues["cron"].tasks["fine"])


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda app: app.cron("* * * *")(fine), "no cron expression"),
        (lambda app: app.cron("0 0 30 2 *")(fine), "no cron expression"),
        (lambda app: app.cron("* * * * *", tz="Mars/Base")(fine), "no time zone 'Mars/Base'"),
        (lambda app: app.every(0)(fine), "at least a millisecond"),
        (lambda app: app.every("1s")(needs), "nothing fills the parameter 'n'"),
        (lambda app: app.every("1s", retries=1)(app.task(queue="q")(fine)), "give 'retries' to app.task"),
        (declared_twice, "two timetables 'fine'"),
    ],
)
def test_a_timetable_that_can_not_work_is_refused_when_the_app_is_imported(declare: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        declare(App())


async def test_a_due_time_comes_once_though_several_workers_run(client: Redis[bytes], broker_url: str) -> None:
    apps = [App(), App(), App()]
    seen: list[tuple[float, str]] = []
    enough = trio.Event()
    for app in apps:

        @app.every("500ms", name="tick")
        async def tick(message: Message) -> None:
            seen.append((time.time(), message.id))
            if len(seen) == 3:
                enough.set()

    async with working(apps[0], broker_url), working(apps[1], broker_url), working(apps[2], broker_url):
        await enough.wait()
    slots = [int(id_.split("-")[0]) // 500 for _, id_ in seen]
    assert len(set(slots)) == len(slots), "each due time once"
    assert slots == list(range(slots[0], slots[0] + len(slots))), "and none left out"


async def test_the_server_keeps_a_schedule_for_an_hour_after_it_was_declared(
    client: Redis[bytes], broker_url: str
) -> None:
    app = App()
    app.every("30m")(fine)
    app.cron("0 0 1 1 *")(app.task(queue="yearly")(fine))
    async with working(app, broker_url):
        native = app.connection.native
    if not native:
        assert await client.keys("*:cron:*") == set()
        return
    (schedule,) = await request(client, "XSCHEDULES", "cron")
    facts = {name.decode(): value for name, value in schedule.items()}
    assert facts["ticket"] == b"cron:fine"
    assert facts["next"] % 1_800_000 == 0, "counted from 1970"
    assert 3_590 < facts["until"] / 1000 - time.time() <= 3_601
    assert await request(client, "XSCHEDULES", "yearly") == [], "what isn't due in this hour is declared again later"


async def test_hours_of_a_timetable_jump_in_a_test() -> None:
    app, seen = App(), []

    @app.cron("0 * * * *")
    async def hourly() -> None:
        seen.append("hourly")

    @app.every("25m")
    async def often() -> None:
        seen.append("often")

    async with app.test() as t:
        begin = t.now
        await t.advance("5h")
        hours = int((begin + 5 * 3600) // 3600 - begin // 3600)
        often_due = int((begin + 5 * 3600) // 1500 - begin // 1500)
    assert (seen.count("hourly"), seen.count("often")) == (hours, often_due)
