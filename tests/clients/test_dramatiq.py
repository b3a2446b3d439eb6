"""dramatiq: its whole queue is one script; results, groups and rate limiters use the rest of the server."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import dq_name, xq_name
from dramatiq.middleware import Callbacks, GroupCallbacks, Pipelines, Retries
from dramatiq.rate_limits import Barrier, BucketRateLimiter, ConcurrentRateLimiter, WindowRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as Limits
from dramatiq.results import ResultFailure, Results, ResultTimeout
from dramatiq.results.backends import RedisBackend
from support.servers import ServerProcess, eventually


@pytest.fixture
def client(server: ServerProcess) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as client:
        yield client


@pytest.fixture
def queue(client: redis.Redis) -> RedisBroker:
    """A broker in dramatiq's sense, without the middleware that only watches."""
    results = Results(backend=RedisBackend(client=client))
    middleware = [Retries(), Callbacks(), Pipelines(), GroupCallbacks(Limits(client=client)), results]
    queue = RedisBroker(client=client, middleware=middleware)
    dramatiq.set_broker(queue)  # messages look for their results in the global one
    return queue


class Working:
    """A worker of a few threads, as `dramatiq` starts it in each process, while the block lasts."""

    def __init__(self, queue: RedisBroker) -> None:
        self._worker = dramatiq.Worker(queue, worker_timeout=20, worker_threads=4)

    def __enter__(self) -> None:
        self._worker.start()

    def __exit__(self, *_: object) -> None:
        self._worker.stop()


def actor(queue: RedisBroker, function: Any, **options: Any) -> Any:
    return dramatiq.actor(function, broker=queue, **options)


def test_messages_results_pipelines_and_groups(queue: RedisBroker) -> None:
    add = actor(queue, lambda a, b: a + b, actor_name="add", store_results=True)
    finished = threading.Event()
    finish = actor(queue, lambda: finished.set(), actor_name="finish")
    waiting = add.send(1, 2)
    with pytest.raises(ResultTimeout):
        waiting.get_result(block=True, timeout=1000)  # BRPOPLPUSH, and nobody works yet
    with Working(queue):
        assert waiting.get_result(block=True, timeout=10_000) == 3
        chain = dramatiq.pipeline([add.message(1, 2), add.message(3), add.message(4)]).run()
        assert chain.get_result(block=True, timeout=10_000) == 10
        group = dramatiq.group([add.message(number, 1) for number in range(20)])
        group.add_completion_callback(finish.message())
        assert list(group.run().get_results(block=True, timeout=10_000)) == list(range(1, 21))
        assert finished.wait(10)
        queue.join("default", timeout=10_000)


def test_many_messages_and_none_is_lost(queue: RedisBroker, client: redis.Redis) -> None:
    """Batches are unpacked in the script, as many at once as it found that the stack has room for."""
    done: list[int] = []
    note = actor(queue, done.append, actor_name="note")
    for number in range(300):
        note.send(number)
    with Working(queue):
        queue.join("default", timeout=20_000)
    assert sorted(done) == list(range(300))
    assert not client.exists("dramatiq:default", "dramatiq:default.msgs")


def test_a_delayed_message_comes_when_it_is_due(queue: RedisBroker) -> None:
    times: list[float] = []
    came = threading.Event()

    def note() -> None:
        times.append(time.time())
        came.set()

    later = actor(queue, note, actor_name="later")
    begin = time.time()
    later.send_with_options(delay=300)
    assert queue.do_qsize(dq_name("default")) == 1
    with Working(queue):
        assert came.wait(10)
        queue.join(dq_name("default"), timeout=10_000)
        queue.join("default", timeout=10_000)
    assert times[0] - begin >= 0.3 and len(times) == 1


def test_retries_end_among_the_dead(queue: RedisBroker, client: redis.Redis) -> None:
    tries: dict[str, int] = {}

    def fail(name: str, failures: int) -> str:
        tries[name] = tries.get(name, 0) + 1
        if tries[name] <= failures:
            raise RuntimeError(name)
        return name

    failing = actor(
        queue, fail, actor_name="failing", max_retries=2, min_backoff=10, max_backoff=20, store_results=True
    )
    cured, lost = failing.send("cured", 2), failing.send("lost", 100)
    with Working(queue):
        assert cured.get_result(block=True, timeout=10_000) == "cured"
        with pytest.raises(ResultFailure, match="lost"):
            lost.get_result(block=True, timeout=10_000)
        eventually(lambda: client.zcard("dramatiq:" + xq_name("default")) == 1)
    assert tries == {"cured": 3, "lost": 3}


def test_messages_of_a_worker_that_died_are_taken_over(queue: RedisBroker, client: redis.Redis) -> None:
    """Maintenance, a part of the script that asks for KEYS of a pattern."""
    done: list[int] = []
    note = actor(queue, done.append, actor_name="note")
    for number in range(3):
        note.send(number)
    dead = RedisBroker(client=client, middleware=[])
    assert len(dead.do_fetch("default", 3)) == 3
    assert queue.do_fetch("default", 3) == []
    queue.maintenance_chance, queue.heartbeat_timeout = 1_000_000, 0
    eventually(lambda: queue.do_qsize("default") == 3 and queue.client.llen("dramatiq:default") == 3)
    queue.maintenance_chance, queue.heartbeat_timeout = 0, 60_000
    with Working(queue):
        eventually(lambda: sorted(done) == [0, 1, 2])


def test_rate_limiters(client: redis.Redis) -> None:
    limits = Limits(client=client)
    concurrent = ConcurrentRateLimiter(limits, "concurrent", limit=2)
    with concurrent.acquire(), concurrent.acquire(), concurrent.acquire(raise_on_failure=False) as acquired:
        assert not acquired
    with concurrent.acquire() as acquired:
        assert acquired
    for limiter in (
        BucketRateLimiter(limits, "bucket", limit=3, bucket=3_600_000),
        WindowRateLimiter(limits, "w", limit=3, window=60),
    ):
        got = []
        for _ in range(4):
            with limiter.acquire(raise_on_failure=False) as acquired:
                got.append(acquired)
        assert got[:3] == [True] * 3 and not got[3]
    counts = []

    def count(number: int) -> None:
        own = ConcurrentRateLimiter(limits, "race", limit=4)
        for _ in range(20):
            with own.acquire(raise_on_failure=False) as acquired:
                counts.append(acquired)

    threads = [threading.Thread(target=count, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert counts == [True] * 80
    assert int(client.get("race") or b"") == 0


def test_a_barrier_lets_the_waiting_go(client: redis.Redis) -> None:
    barrier = Barrier(Limits(client=client), "barrier", ttl=30_000)
    assert barrier.create(parties=2)
    passed: list[bool] = []
    thread = threading.Thread(target=lambda: passed.append(barrier.wait(timeout=10_000)))
    thread.start()
    eventually(lambda: client.info("clients")["blocked_clients"] == 1)
    assert barrier.wait(block=False)
    thread.join(10)
    assert passed == [True]
