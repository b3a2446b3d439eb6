"""Django's cache, sessions and locks through django-redis."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache.backends.base import BaseCache
from django_redis.cache import RedisCache
from support.servers import ServerProcess, eventually
from support.wire import Wire

if not settings.configured:
    settings.configure(DJANGO_REDIS_CLOSE_CONNECTION=True)


@pytest.fixture
def cache(server: ServerProcess) -> Iterator[Any]:
    cache: BaseCache = RedisCache(f"{server.url}/1", {"KEY_PREFIX": "site"})
    yield cache
    cache.close()


def test_everyday_calls(cache: Any, server: ServerProcess) -> None:
    assert cache.set("a", {"deep": [1, 2.5, None]}, timeout=100)
    assert cache.get("a") == {"deep": [1, 2.5, None]}
    assert 90 < cache.ttl("a") <= 100
    assert not cache.add("a", "other")
    assert cache.get("none", "default") == "default"
    cache.set_many({f"k{number}": number for number in range(50)}, timeout=100)
    assert cache.get_many(["k1", "k7", "none"]) == {"k1": 1, "k7": 7}
    assert cache.incr("k7", 3) == 10
    assert cache.touch("k7", 5) and cache.ttl("k7") <= 5
    assert cache.get_or_set("made", lambda: "value") == "value"
    assert sorted(cache.iter_keys("k1*", itersize=5)) == ["k1", *[f"k1{number}" for number in range(10)]]
    assert cache.delete_pattern("k*") == 50
    assert cache.has_key("a") and cache.delete("a") and not cache.has_key("a")
    cache.set("short", 1, timeout=0.02)
    eventually(lambda: cache.get("short") is None)
    with Wire(server.port) as wire:
        wire("SELECT", 1)
        assert wire("KEYS", "*") == [b"site:1:made"]


def test_a_lock(cache: Any) -> None:
    lock = cache.lock("report", timeout=10)
    assert lock.acquire()
    assert not cache.lock("report", timeout=10).acquire(blocking=False)
    lock.release()
    with cache.lock("report", timeout=10):
        pass
