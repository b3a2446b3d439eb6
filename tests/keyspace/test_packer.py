"""What is packed: small collections as they are made in one go, and those that were not used for a minute."""

import pytest
from support.engine import Harness

from broker.datatypes.streams import Stream
from broker.keyspace.digest import dataset_digest
from broker.keyspace.packer import COLD_SECONDS, PACKED

MAKING = ["HSET k a 1 b 2", "SADD k a b", "ZADD k 1 a 2 b"]
LOOKING = {"HSET": "HGET k a", "SADD": "SISMEMBER k a", "ZADD": "ZSCORE k a"}


def packed(h: Harness, name: str = "k") -> bool:
    return h.engine.keyspace.databases[0].table.get(name.encode()).packed is not None


@pytest.mark.parametrize("making", MAKING)
def test_what_one_request_makes_is_packed_until_somebody_looks(making: str) -> None:
    h = Harness()
    assert h.run(making) == 2
    assert packed(h)
    h.run("OBJECT ENCODING k")
    h.run("COPY k j")
    h.run("RENAME j l")
    assert packed(h) and packed(h, "l")
    h.run(LOOKING[making.split()[0]])
    assert not packed(h) and packed(h, "l")


@pytest.mark.parametrize(
    "making", ["HSET k a 1 a 2", "SADD k a a", "ZADD k 1 a 2 a", "HSET k a 1", "SADD k a", "ZADD k 1 a"]
)
def test_what_names_a_member_twice_or_one_only_is_not(making: str) -> None:
    h = Harness()
    assert h.run(making) == 1
    assert not packed(h)


@pytest.mark.parametrize("making", MAKING)
def test_what_nobody_uses_is_packed_after_a_while(making: str) -> None:
    h = Harness("--databases", "3")
    h.run("SELECT 1")
    h.run(making)
    h.run(LOOKING[making.split()[0]])
    h.run("COPY k k DB 0")
    h.run("SELECT 0")
    look = LOOKING[making.split()[0]]
    h.run(look)
    before = dataset_digest(h.engine.keyspace, True)
    h.run(look)
    h.advance(COLD_SECONDS - 10)
    h.run(look)
    h.advance(20)
    assert h.engine.upkeep.pack_cold() == 1  # the one in database 1
    assert not packed(h)
    h.advance(COLD_SECONDS)
    assert h.engine.upkeep.pack_cold() == 1
    assert packed(h)
    assert h.engine.upkeep.pack_cold() == 0
    assert dataset_digest(h.engine.keyspace, True) == before


def test_many_are_packed_some_at_a_time() -> None:
    h = Harness()
    for i in range(3000):
        h.run("HSET", f"k{i}", "a", 1)
    h.run("SET string x")
    h.advance(2 * COLD_SECONDS)
    sweeps = [h.engine.upkeep.pack_cold() for _ in range(8)]
    assert sum(sweeps) == 3000
    assert max(sweeps) < 1000


def test_big_ones_and_those_with_times_are_left_alone() -> None:
    h = Harness()
    h.run("HSET timed a 1")
    h.run("HEXPIRE timed 1000 FIELDS 1 a")
    h.run("SADD", "many", *range(30))
    h.run("HSET", "long", "a", "x" * 256)
    h.advance(2 * COLD_SECONDS)
    assert h.engine.upkeep.pack_cold() == 0


def test_nothing_is_packed_where_times_of_use_are_not_kept() -> None:
    h = Harness("--maxmemory-policy", "allkeys-lfu")
    h.run("HSET k a 1")
    h.advance(2 * COLD_SECONDS)
    assert h.engine.upkeep.pack_cold() == 0


def test_what_was_restored_is_kept_as_it_came_until_somebody_looks_and_dumped_so() -> None:
    h = Harness("--rdb-version", "11")
    h.run("HSET", "hash", "a", 1, "b", "x" * 60)
    h.run("SADD", "set", "a", "b", 7)
    h.run("ZADD", "zset", "1.5", "a", "-3", "b")
    for number in range(250):
        h.run("XADD", "stream", f"{number + 1}-1", "n", number)
    for name in ("hash", "set", "zset", "stream"):
        payload = h.run("DUMP", name)
        digest = h.run("DEBUG", "DIGEST-VALUE", name)
        h.run("RENAME", name, "old")
        h.run("RESTORE", name, 0, payload)
        assert h.run("DUMP", name) == payload
        assert h.run("OBJECT", "ENCODING", name) == h.run("OBJECT", "ENCODING", "old")
        if name != "stream":
            assert packed(h, name)
        assert h.run("DEBUG", "DIGEST-VALUE", name) == digest
        assert h.run("DUMP", name) == payload


def test_nodes_of_streams_are_packed_a_few_in_each_second() -> None:
    h = Harness()
    for number in range(5000):
        h.run("XADD", "s", f"{number + 1}-1", "n", number)
    h.run("RESTORE", "t", 0, h.run("DUMP", "s"))
    stream = h.engine.keyspace.databases[0].table.get(b"t")
    assert isinstance(stream, Stream) and stream.has_nodes
    assert [0 < h.engine.upkeep.pack_cold() < 2 * PACKED for _ in range(3)] == [True, True, True]
    assert not stream.has_nodes and not any(block.node() for block in stream.blocks())
    assert h.run("DEBUG", "DIGEST-VALUE", "t") == h.run("DEBUG", "DIGEST-VALUE", "s")
