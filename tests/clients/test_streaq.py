"""streaQ on Trio: what it decides is one library of functions, and its queue is a stream with a group."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import streaq
import trio
from streaq.task import TaskStatus
from streaq.types import StreaqRetry
from support.servers import ServerProcess
from support.wire import Wire

pytestmark = pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning")


def make_worker(server: ServerProcess, **options: Any) -> streaq.Worker[None]:
    return streaq.Worker(server.url, anyio_backend="trio", handle_signals=False, **options)


@asynccontextmanager
async def working(worker: streaq.Worker[None]) -> AsyncIterator[None]:
    """The signal handler that it has for a program is of no use here: the nursery is cancelled."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run_async)
            yield
            nursery.cancel_scope.cancel()
    gc.collect()  # it leaves channels open; nothing else should meet their warnings


async def test_its_library_loads(server: ServerProcess) -> None:
    async with make_worker(server):
        with Wire(server.port) as wire:
            listed = wire("FUNCTION", "LIST", "LIBRARYNAME", "streaq")
    functions = {bytes(function[1]) for function in listed[0][listed[0].index(b"functions") + 1]}
    assert {b"publish_task", b"publish_delayed_tasks", b"read_streams", b"refresh_timeout"} <= functions
    assert len(functions) == 8


async def test_tasks_and_what_depends_on_them(server: ServerProcess) -> None:
    worker = make_worker(server)

    @worker.task()
    async def add(a: int, b: int) -> int:
        return a + b

    @worker.task()
    async def fail() -> None:
        raise ValueError("never")

    async with working(worker):
        tasks = [await add.enqueue(number, 1) for number in range(20)]
        assert [(await task.result(10)).result for task in tasks] == list(range(1, 21))
        chained = await add.enqueue(1, 2).then(add, b=3).then(add, b=4)
        assert (await chained.result(10)).result == 10
        after = await add.enqueue(5, 6).start(after=[task.id for task in tasks])
        assert (await after.result(10)).result == 11
        failing = fail.enqueue()
        dependent = await failing.then(add, b=1)
        assert not (await dependent.result(10)).success
        assert isinstance((await failing.result(10)).exception, ValueError)


async def test_what_is_due_later_comes_later(server: ServerProcess) -> None:
    """The scheduler looks twice a second."""
    worker = make_worker(server, priorities=["low", "high"], concurrency=1)
    order: list[str] = []
    tries: list[int] = []

    @worker.task()
    async def note(name: str) -> float:
        order.append(name)
        return datetime.now(UTC).timestamp()

    @worker.task(max_tries=3)
    async def third_time_lucky() -> int:
        tries.append(len(tries))
        if len(tries) < 3:
            raise StreaqRetry("not yet", delay=timedelta(milliseconds=10))
        return len(tries)

    async with worker:
        for name, priority in (("low", "low"), ("high", "high"), ("also low", "low")):
            await note.enqueue(name).start(priority=priority)
    async with working(worker):
        begin = datetime.now(UTC)
        delayed = await note.enqueue("delayed").start(delay=timedelta(milliseconds=600))
        scheduled = await note.enqueue("scheduled").start(schedule=begin + timedelta(milliseconds=100))
        lucky = await third_time_lucky.enqueue()
        assert await delayed.status() is TaskStatus.SCHEDULED
        assert (await lucky.result(10)).result == 3
        assert (await scheduled.result(10)).result >= begin.timestamp() + 0.1
        assert (await delayed.result(10)).result >= begin.timestamp() + 0.6
        assert await delayed.status() is TaskStatus.DONE
        assert await worker.queue_size() == 0
    assert order == ["high", "low", "also low", "scheduled", "delayed"]


async def test_tasks_come_again_and_again(server: ServerProcess) -> None:
    worker = make_worker(server)
    ids: list[str] = []
    twice = trio.Event()

    @worker.cron("* * * * * * *")
    async def tick() -> float:
        ids.append(tick.context.task_id)
        if len(ids) == 2:
            twice.set()
        return datetime.now(UTC).timestamp()

    async with working(worker):
        await twice.wait()
        first, second = [(await worker.result_by_id(each, 10)).result for each in ids]
        assert second - first > 0.3


async def test_a_task_is_aborted_and_one_of_a_dead_worker_taken_over(server: ServerProcess) -> None:
    dead = make_worker(server, idle_timeout=0.2, id="dead")
    worker = make_worker(server, idle_timeout=0.2, id="living")
    started = trio.Event()

    async def wait_for_ever() -> None:
        started.set()
        await trio.sleep_forever()

    async def name() -> str:
        return "done"

    for each in (dead, worker):
        each.task(name="wait")(wait_for_ever)
        each.task(name="name")(name)
    async with dead:
        abandoned = await dead.enqueue_unsafe("name")
        await dead.redis.xgroup_create(dead.stream_key + "normal", "workers", "0", mkstream=True)
        read = await dead.redis.xreadgroup("workers", "dead", {dead.stream_key + "normal": ">"})
        assert read is not None and len(read[dead.stream_key + "normal"]) == 1
    async with working(worker):
        stuck = await worker.enqueue_unsafe("wait")
        await started.wait()
        assert await stuck.abort(10)
        assert (await worker.result_by_id(abandoned.id, 10)).result == "done"
