"""limits: every strategy, whose decisions are scripts."""

import asyncio
from typing import Any

import pytest
import redis.asyncio
from limits import RateLimitItemPerHour, RateLimitItemPerSecond, parse
from limits.aio import strategies as from_asyncio
from limits.aio.storage import RedisStorage
from limits.storage import storage_from_string
from limits.strategies import (
    FixedWindowRateLimiter,
    MovingWindowRateLimiter,
    SlidingWindowCounterRateLimiter,
)
from support.servers import ServerProcess, eventually

STRATEGIES = [FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter]
FROM_ASYNCIO = [getattr(from_asyncio, strategy.__name__) for strategy in STRATEGIES]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_limit_holds_until_it_is_cleared(server: ServerProcess, strategy: Any) -> None:
    limiter = strategy(storage_from_string(server.url))
    item = RateLimitItemPerHour(3)
    assert [limiter.hit(item, "api", "ada") for _ in range(4)] == [True, True, True, False]
    assert limiter.hit(item, "api", "bob")
    assert not limiter.test(item, "api", "ada")
    window = limiter.get_window_stats(item, "api", "ada")
    assert window.remaining == 0 and window.reset_time > 0
    assert limiter.get_window_stats(item, "api", "bob").remaining == 2
    assert limiter.hit(item, "api", "bob", cost=2)
    assert not limiter.hit(item, "api", "bob", cost=2)
    limiter.clear(item, "api", "ada")
    assert limiter.hit(item, "api", "ada")


def test_windows_end_by_themselves(server: ServerProcess) -> None:
    item = RateLimitItemPerSecond(2)
    limiters = [strategy(storage_from_string(server.url)) for strategy in STRATEGIES]
    for limiter in limiters:
        hits = [limiter.hit(item, type(limiter).__name__) for _ in range(20)]
        assert hits[:2] == [True, True] and not all(hits)
    for limiter in limiters:
        eventually(lambda: limiter.hit(item, type(limiter).__name__), seconds=5)  # noqa: B023


def test_resetting_removes_what_the_prefix_names(server: ServerProcess) -> None:
    """A script that takes KEYS of a pattern, and deletes them by the thousand."""
    storage = storage_from_string(server.url)
    limiter = FixedWindowRateLimiter(storage)
    item = RateLimitItemPerHour(3)
    for number in range(50):
        limiter.hit(item, "user", str(number))
    assert storage.reset() == 50
    assert storage.check()
    assert limiter.get_window_stats(item, "user", "1").remaining == 3


def test_from_asyncio(server: ServerProcess) -> None:
    async def hit_all() -> list[list[bool]]:
        pool = redis.asyncio.ConnectionPool.from_url(server.url)
        storage = RedisStorage(f"async+{server.url}", connection_pool=pool, implementation="redispy")
        limiters = [strategy(storage) for strategy in FROM_ASYNCIO]
        item = parse("2/hour")
        try:
            return [[await limiter.hit(item, type(limiter).__name__) for _ in range(3)] for limiter in limiters]
        finally:
            await pool.disconnect()

    assert asyncio.run(hit_all()) == [[True, True, False]] * 3
