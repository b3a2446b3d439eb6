"""A snapshot is the state of one moment, whatever is written while it is taken."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Harness
from support.point_in_time import Slow, loaded
from support.random_company import steps, take_step

from broker.datatypes.trash import TRASH
from broker.keyspace.digest import dataset_digest
from broker.keyspace.disposal import parts_of
from broker.keyspace.snapshot import Snapshot


def digest(keyspace):
    return dataset_digest(keyspace, True)


@settings(max_examples=300, deadline=None)
@given(steps, st.integers(0, 30), st.integers(0, 3), st.randoms(use_true_random=False))
def test_random_requests_while_it_is_taken_do_not_show(requests, start, pace, rng):
    """requests: some before the snapshot begins, the others between its slices."""
    harness = Harness("--databases", "3")
    clients = [harness.client() for _ in range(3)]
    for client in clients:
        client.run("SELECT", rng.randrange(2))
    for who, what in requests[:start]:
        take_step(harness, clients, who, what)
    keyspace = harness.engine.keyspace
    before = digest(keyspace)
    slow = Slow(Snapshot(keyspace))
    assert digest(keyspace) == before
    for who, what in requests[start:]:
        take_step(harness, clients, who, what)
        slow.advance(rng.randrange(pace + 1))
    slow.finish()
    assert digest(loaded(slow)) == before
    assert all(db.unsaved is None for db in keyspace.databases)
    assert not harness.bugs


def big(harness):
    """A value of each type that is made of many blocks, and a database of many tables."""
    harness.run("RPUSH", "list", *range(1000))
    harness.run("HSET", "hash", *range(4000))
    harness.run("SADD", "set", *range(1000), "x")
    harness.run("ZADD", "zset", *[part for i in range(2000) for part in (i % 50, i)])
    for i in range(1, 1000):
        harness.run("XADD", "stream", f"{i}-1", "f", i)
    harness.run("XGROUP CREATE stream g 0")
    harness.run("XREADGROUP GROUP g c COUNT 700 STREAMS stream >")
    for i in range(300):
        harness.run("SET", f"key:{i}", i, *([] if i % 3 else ["EX", 1000]))


CHANGES = [
    ["LSET", "list", 500, "new"], ["LREM", "list", 0, "17"], ["LTRIM", "list", 10, -10], ["LPOP", "list", 300],
    ["HSET", "hash", "10", "new", "more", "new"], ["HDEL", "hash", *range(0, 3000, 2)], ["SREM", "set", *range(500)],
    ["SADD", "set", *range(2000, 4000)], ["ZINCRBY", "zset", "1000", "7"], ["ZREMRANGEBYRANK", "zset", 100, 1500],
    ["ZPOPMIN", "zset", 20], ["XDEL", "stream", *[f"{i}-1" for i in range(1, 999, 3)]],
    ["XTRIM", "stream", "MAXLEN", 400], ["XADD", "stream", "5000-1", "f", "v"], ["XACK", "stream", "g", "5-1", "6-1"],
    ["XREADGROUP", "GROUP", "g", "d", "STREAMS", "stream", ">"], ["XGROUP", "DESTROY", "stream", "g"],
    ["RENAME", "hash", "list"], ["COPY", "zset", "set", "REPLACE"], ["MOVE", "stream", 1], ["SWAPDB", 0, 1],
    ["FLUSHDB"], ["FLUSHALL"], ["DEL", *[f"key:{i}" for i in range(300)]], ["APPEND", "key:5", "x"],
    ["PERSIST", "key:3"], ["EXPIRE", "key:4", 5], ["SET", "key:6", "y"], ["SET", "new", "key"], ["DEL", "zset"],
    ["SUNIONSTORE", "list", "set"], ["SORT_RO", "set", "LIMIT", 0, 1],
]  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_big_values_that_are_written_to_while_half_saved(seed):
    rng = Random(seed)
    harness = Harness()
    big(harness)
    keyspace = harness.engine.keyspace
    before = digest(keyspace)
    slow = Slow(Snapshot(keyspace))
    for change in rng.sample(CHANGES, len(CHANGES)):
        harness.run(*change)
        slow.advance(rng.choice([0, 1, 5, 40]))
        if rng.random() < 0.2:
            harness.advance(rng.choice([1, 2000]))
    slow.finish()
    assert digest(loaded(slow)) == before


def test_what_is_made_later_is_no_part_of_it_and_what_is_deleted_is():
    harness = Harness()
    harness.run("SET old 1")
    snapshot = Snapshot(harness.engine.keyspace)
    harness.run("DEL old")
    harness.run("SET old 2")
    harness.run("SET new 1")
    pieces = []
    while (piece := snapshot.take()) is not None:
        pieces.append((piece.key, piece.value))
        piece.done()
    assert pieces == [(b"old", b"1")]
    assert snapshot.total == snapshot.taken == 1


def test_keys_that_change_come_first_so_that_they_do_not_pile_up():
    harness = Harness()
    for i in range(100):
        harness.run("RPUSH", f"k{i}", "a")
    snapshot = Snapshot(harness.engine.keyspace)
    for i in range(50):
        harness.run("RPUSH", f"k{i}", "b")
        harness.run("RPUSH", f"k{i}", "c")
    assert snapshot.waiting == 50
    first = [snapshot.take() for _ in range(50)]
    assert {piece.key for piece in first} == {b"k%d" % i for i in range(50)}
    assert snapshot.waiting == 0


@pytest.mark.parametrize("place", [0, 3])
def test_a_big_value_that_was_deleted_meanwhile_is_freed_in_slices(place):
    """The first shard of a table has one reference more."""
    harness = Harness()
    for i in range(200):
        harness.run("SET", f"k{i}", i)
    table = harness.engine.keyspace.databases[0].table
    key = next(name for name in map("big{}".format, range(1000)) if table.place(name.encode()) == place)
    harness.run("RPUSH", key, *range(20_000))
    TRASH.sweep(10**9, parts_of)
    snapshot = Snapshot(harness.engine.keyspace)
    harness.run("DEL", key)
    TRASH.sweep(10**9, parts_of)
    while (piece := snapshot.take()) is not None:
        piece.done()
        del piece
    snapshot.end()
    assert TRASH.size > 0, "else it would have been freed in one go"
    TRASH.sweep(10**9, parts_of)
    assert TRASH.size == 0


def test_one_that_is_given_up_leaves_no_trace():
    harness = Harness()
    big(harness)
    keyspace = harness.engine.keyspace
    snapshot = Snapshot(keyspace)
    for _ in range(50):
        snapshot.take().done()
    harness.run("HSET hash new v")
    snapshot.end()
    assert all(db.unsaved is None for db in keyspace.databases)
    assert keyspace.databases[0].table._kept is None
    assert keyspace.databases[0].peek(b"hash").fields._kept is None
    before = digest(keyspace)
    again = Slow(Snapshot(keyspace))
    again.finish()
    assert digest(loaded(again)) == before
