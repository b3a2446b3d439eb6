"""huey: priorities in a sorted set, a schedule that a script empties, locks, and results that wake who waits."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from huey import Huey, PriorityRedisExpireHuey, PriorityRedisHuey, RedisHuey
from huey.exceptions import ResultTimeout, TaskException, TaskLockedException
from support.servers import Broker, ServerProcess, eventually


@pytest.fixture(params=[RedisHuey, PriorityRedisHuey, PriorityRedisExpireHuey])
def huey(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[Huey]:
    pool = redis.ConnectionPool(port=server.port)
    yield request.param("jobs", connection_pool=pool, notify_result=True, read_timeout=0.1)
    pool.disconnect()


@contextmanager
def consuming(huey: Huey) -> Iterator[None]:
    """Its consumer's threads, without the signal handlers that it sets up as a program."""
    consumer = huey.create_consumer(workers=2, check_worker_health=False, periodic=False)
    consumer.scheduler.start()
    for _, thread in consumer.worker_threads:
        thread.start()
    try:
        yield
    finally:
        consumer.stop(graceful=True)
        consumer.scheduler.join()


def test_results_retries_and_what_follows(huey: Huey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "huey")
    tries = []
    released = threading.Event()

    @huey.task()
    def add(a: int, b: int) -> int:
        return a + b

    @huey.task(retries=2)
    def third_time_lucky() -> int:
        tries.append(len(tries))
        if len(tries) < 3:
            raise RuntimeError("not yet")
        return len(tries)

    @huey.task()
    def fail() -> None:
        raise ValueError("never")

    @huey.task()
    def wait() -> bool:
        return released.wait(10)

    with consuming(huey):
        results = [add(number, 1) for number in range(20)]
        assert [result(blocking=True, timeout=10) for result in results] == list(range(1, 21))
        third_time_lucky()
        eventually(lambda: len(tries) == 3)
        with pytest.raises(TaskException, match="never"):
            fail()(blocking=True, timeout=10)
        chain = huey.enqueue(add.s(1, 2).then(add, 3).then(add, 4))
        assert chain.get(blocking=True, timeout=10) == [3, 6, 10]
        waiting = wait()
        with pytest.raises(ResultTimeout):
            waiting.get(blocking=True, timeout=0.1)
        released.set()
        assert waiting.get(blocking=True, timeout=10) is True


@pytest.mark.parametrize("huey", [PriorityRedisHuey], indirect=True)
def test_what_is_due_later_comes_later(huey: Huey) -> None:
    times: dict[str, float] = {}
    done = threading.Event()

    @huey.task()
    def note(name: str) -> None:
        times[name] = time.time()
        if name == "delayed":
            done.set()

    begin = time.time()
    note.schedule(("delayed",), delay=0.5)
    note.schedule(("at once",), eta=datetime.now() - timedelta(seconds=1))
    revoked = note.schedule(("revoked",), delay=0.2)
    revoked.revoke()
    assert huey.pending_count() == 3
    with consuming(huey):
        assert done.wait(10)
    assert set(times) == {"delayed", "at once"}
    assert times["delayed"] - begin >= 0.5
    assert huey.scheduled_count() == 0 and huey.pending_count() == 0


def test_locks(huey: Huey, server: ServerProcess) -> None:
    with huey.lock_task("report"):
        assert huey.is_locked("report")
        with pytest.raises(TaskLockedException), huey.lock_task("report"):
            pass
    with huey.lock_task("report"):
        pass
    assert huey.flush_locks() == set()
    if isinstance(server, Broker) and type(huey) is RedisHuey:  # the lock is a field of a hash, and expires (HEXPIRE)
        lock = huey.lock_task("short", ttl=1)
        assert lock.acquire()
        assert huey.is_locked("short")
        eventually(lambda: not huey.is_locked("short"))


def test_the_urgent_come_first(server: ServerProcess) -> None:
    with redis.ConnectionPool(port=server.port) as pool:
        huey: Any = PriorityRedisHuey("urgent", connection_pool=pool)
        order: list[str] = []

        @huey.task()
        def note(name: str) -> None:
            order.append(name)

        for name, priority in (("low", 1), ("none", None), ("high", 50), ("high, too", 50), ("below", -5)):
            huey.enqueue(note.s(name, priority=priority))
        while huey.pending_count():
            huey.execute(huey.dequeue())
        assert order == ["high", "high, too", "low", "none", "below"]
