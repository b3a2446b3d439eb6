"""maxmemory: what is refused, what goes, and who is told."""

import pytest
from support.engine import Harness

OOM = "-OOM command not allowed when used memory > 'maxmemory'."


def limited(h: Harness, policy: str, room: int) -> None:
    h.run("CONFIG", "SET", "maxmemory", h.engine.memory.used() + room, "maxmemory-policy", policy)


def test_without_eviction_what_takes_memory_is_refused() -> None:
    h = Harness()
    h.run("RPUSH l a")
    limited(h, "noeviction", -1)
    assert h.run("SET k v") == OOM
    assert h.run("GET k") is None
    assert h.run("LPOP l") == b"a"
    h.run("CONFIG SET maxmemory 0")
    assert h.run("SET k v") == "OK"


def test_a_transaction_is_refused_as_a_whole() -> None:
    h = Harness()
    h.run("MULTI")
    h.run("SET k v")
    other = h.client()
    other.run("CONFIG", "SET", "maxmemory", 1)
    assert h.run("GET k") == OOM
    assert h.run("EXEC").startswith("-EXECABORT Transaction discarded because of: OOM command not allowed")
    assert h.run("EXISTS k") == 0
    other.run("CONFIG SET maxmemory 0")
    assert h.run("SET k v") == "OK"


def test_a_queue_of_readers_is_executed_when_memory_is_short() -> None:
    h = Harness()
    for request in ("MULTI", "GET k"):
        h.run(request)
    h.client().run("CONFIG SET maxmemory 1")
    assert h.run("EXEC") == [None]


@pytest.mark.parametrize("policy", ["lru", "lfu", "random"])
def test_keys_go_until_there_is_room(policy: str) -> None:
    h = Harness()
    limited(h, f"allkeys-{policy}", 50_000)
    for i in range(1000):
        assert h.run("SET", f"k{i}", "x" * 100) == "OK"
        assert h.engine.memory.used() <= h.engine.memory.limit + 600
    assert 50 < h.run("DBSIZE") < 250
    assert h.engine.keyspace.evicted_keys == 1000 - h.run("DBSIZE")


@pytest.mark.parametrize("policy", ["lru", "lfu", "random", "ttl"])
def test_volatile_policies_spare_keys_without_a_time(policy: str) -> None:
    h = Harness()
    for i in range(50):
        h.run("SET", f"stays{i}", "x" * 100)
    limited(h, f"volatile-{policy}", 20_000)
    for i in range(500):
        assert h.run("SET", f"goes{i}", "x" * 100, "EX", 1000) == "OK"
    assert len(h.run("KEYS stays*")) == 50
    h.run("CONFIG SET maxmemory 1")
    assert h.run("SET k v") == OOM
    assert h.run("KEYS *") and not h.run("KEYS goes*")


def test_what_expires_first_goes_first() -> None:
    h = Harness()
    for i in range(100):
        h.run("SET", f"k{i}", "x" * 100, "EX", 1000 + i * 10)
    limited(h, "volatile-ttl", -5000)
    h.run("PING")
    left = h.run("DBSIZE")
    assert 60 < left < 95
    assert sorted(int(key[1:]) for key in h.run("KEYS *")) == list(range(100 - left, 100))


def test_least_recently_used_keys_go() -> None:
    h = Harness()
    for i in range(400):
        h.run("SET", f"k{i}", "x" * 100)
    h.advance(10)
    for i in range(200):
        h.run("GET", f"k{i}")
    h.advance(10)
    limited(h, "allkeys-lru", -35_000)
    h.run("PING")
    gone = 400 - h.run("DBSIZE")
    assert gone > 80
    warm = sum(h.run("EXISTS", f"k{i}") for i in range(200))
    assert warm > 195


def test_least_frequently_used_keys_go() -> None:
    h = Harness()
    h.run("CONFIG SET maxmemory-policy allkeys-lfu")
    for i in range(400):
        h.run("SET", f"k{i}", "x" * 100)
    h.advance(1)
    for i in range(200):
        for _ in range(20):
            h.run("GET", f"k{i}")
    limited(h, "allkeys-lfu", -35_000)
    h.run("PING")
    assert 400 - h.run("DBSIZE") > 80
    assert sum(h.run("EXISTS", f"k{i}") for i in range(200)) > 195


def test_an_eviction_is_journaled_and_told() -> None:
    h = Harness("--notify-keyspace-events", "Ee")
    listener, watcher, tracker = h.client(), h.client(), h.client()
    listener.run("SUBSCRIBE __keyevent@0__:evicted")
    listener.received()
    h.run("SET", "k", "x" * 1000)
    watcher.run("WATCH k")
    watcher.run("MULTI")
    tracker.run("HELLO 3")
    tracker.run("CLIENT TRACKING ON")
    tracker.run("GET k")
    h.journal()
    limited(h, "allkeys-lru", -500)
    h.run("PING")
    assert h.journal() == [[b"DEL", b"k"]]
    assert listener.received().endswith(b"$1\r\nk\r\n")
    assert b"invalidate" in tracker.received()
    assert watcher.run("EXEC") is None


def test_the_meter_follows_every_change() -> None:
    h = Harness("--maxmemory", "100mb")
    requests = ["SET a x", "APPEND a yyyy", "RPUSH l a b c", "LPOP l", "HSET h f v", "EXPIRE a 100", "RENAME a b"]
    requests += [
        "SADD s 1 2 3",
        "ZADD z 1 m",
        "XADD x * f v",
        "DEL h",
        "PERSIST b",
        "COPY l l2",
        "MOVE s 1",
        "SWAPDB 0 1",
    ]
    requests += ["SELECT 1", "SETRANGE b 5000 x", "FLUSHDB", "SET again 1"]
    for request in requests:
        h.run(request)
        meter = h.engine.keyspace.meter
        followed = meter.total()
        meter.stop()
        meter.start()
        assert followed == meter.total(), request
    h.advance(200)


def test_a_limit_on_a_large_database_is_measured_bit_by_bit() -> None:
    h = Harness()
    h.run("DEBUG POPULATE 30000 key 50")
    sampled = h.engine.memory.used()
    h.run("CONFIG SET maxmemory 1gb")
    h.run("PING")
    keyspace = h.engine.keyspace
    assert keyspace.meter.walking
    while keyspace.meter.walking:
        assert h.engine.next_deadline_ms() == 0
        h.engine.end_turn()
    assert abs(h.engine.memory.used() - sampled) < sampled * 0.03
    assert h.engine.next_deadline_ms() is None
