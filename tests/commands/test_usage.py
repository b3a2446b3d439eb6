"""OBJECT IDLETIME and FREQ: what counts as use of a key."""

import pytest
from support.engine import Harness


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.advance(0)
    harness.run("SET k v")
    harness.advance(1)  # the clock ticks, and the slots grow
    return harness


def idle(h: Harness, key: str = "k") -> int:
    return int(h.run(f"OBJECT IDLETIME {key}"))


@pytest.mark.parametrize("request_", ["GET k", "STRLEN k", "SET k w", "APPEND k x", "TOUCH k", "MGET other k"])
def test_what_uses_a_key(h: Harness, request_: str) -> None:
    h.advance(100)
    assert idle(h) >= 100
    h.run(request_)
    assert idle(h) == 0


@pytest.mark.parametrize("request_", ["TTL k", "TYPE k", "EXISTS k", "OBJECT ENCODING k", "MEMORY USAGE k", "SCAN 0"])
def test_what_only_looks_at_a_key(h: Harness, request_: str) -> None:
    h.advance(100)
    h.run(request_)
    assert idle(h) >= 100


def test_a_client_can_choose_not_to_count(h: Harness) -> None:
    h.advance(100)
    h.run("CLIENT NO-TOUCH ON")
    h.run("GET k")
    assert idle(h) >= 100
    h.run("TOUCH k")
    assert idle(h) == 0
    h.advance(50)
    h.run("CLIENT NO-TOUCH OFF")
    h.run("GET k")
    assert idle(h) == 0


def test_idle_times_stay_when_slots_grow(h: Harness) -> None:
    h.advance(100)
    usage = h.engine.keyspace.databases[0].usage
    before = len(usage.slots)
    usage.grow(50_000)
    assert len(usage.slots) == 2**17 > before
    assert 100 <= idle(h) <= 101
    h.run("GET k")
    assert idle(h) == 0


def test_an_lfu_policy_counts_uses(h: Harness) -> None:
    assert h.run("OBJECT FREQ k").startswith("-ERR An LFU maxmemory policy is not selected")
    h.run("CONFIG SET maxmemory-policy allkeys-lfu")
    assert h.run("OBJECT IDLETIME k").startswith("-ERR An LFU maxmemory policy is selected, idle time not tracked")
    h.run("SET new v")
    assert h.run("OBJECT FREQ new") == 5
    for _ in range(500):
        h.run("GET new")
    assert 10 < h.run("OBJECT FREQ new") < 40
    before = h.run("OBJECT FREQ new")
    h.advance(180)
    assert h.run("OBJECT FREQ new") == before - 3
    h.run("CONFIG SET maxmemory-policy allkeys-lru")
    assert idle(h, "new") == 0


def test_swapdb_and_flush_carry_times_along(h: Harness) -> None:
    h.advance(100)
    h.run("SWAPDB 0 1")
    h.run("SELECT 1")
    assert idle(h) >= 100
    h.run("FLUSHDB")
    h.run("SET k v")
    assert idle(h) == 0


def test_the_time_of_the_last_use_stays_until_a_key_is_used_again() -> None:
    h = Harness()

    def lru() -> bytes:
        return bytes(h.run("DEBUG OBJECT k").encode().split(b"lru:")[1].split()[0])

    h.run("SET k v")
    before = lru()
    for _ in range(50):
        h.advance(0.17)
        assert lru() == before
    h.run("GET k")
    assert int(lru()) > int(before)
