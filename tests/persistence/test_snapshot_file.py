"""An RDB file made in slices while requests go on, read again: the data of the moment at which it was begun, with all
that only Millstream knows."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Harness
from support.random_company import steps, take_step
from support.rdb_files import read

from broker.datatypes.frozen_text import LENT
from broker.keyspace.digest import dataset_digest
from broker.keyspace.snapshot import Snapshot
from broker.persistence.rdb_writer import END, end
from broker.persistence.snapshot_bytes import SnapshotBytes
from broker.rdb.crc64 import crc64
from broker.rdb.limits import Format, format_of
from broker.rdb.long_text import LONG


def finished(source: SnapshotBytes, out: list[bytes]) -> bytes:
    while source.put_some(out):
        pass
    source.give_up()
    data = b"".join(out) + END
    return data + end(crc64(data))


@settings(max_examples=150, deadline=None)
@given(steps, st.integers(0, 30), st.randoms(use_true_random=False))
def test_a_file_holds_the_data_of_the_moment_at_which_it_was_begun(requests, start, rng):
    harness = Harness("--databases", "3")
    clients = [harness.client() for _ in range(3)]
    harness.run("CHANNEL RETAIN *")
    for who, what in requests[:start]:
        take_step(harness, clients, who, what)
    keyspace = harness.engine.keyspace
    before = dataset_digest(keyspace, True)
    now_ms = int(keyspace.now_ms)
    source = SnapshotBytes(Snapshot(keyspace), Format(), [(b"redis-ver", b"7.0.0")])
    out: list[bytes] = []
    for who, what in requests[start:]:
        take_step(harness, clients, who, what)
        for _ in range(rng.randrange(3)):
            source.put_some(out)
    found, _ = read(finished(source, out), databases=3)
    found.now_ms = now_ms
    assert dataset_digest(found, True) == before
    assert not harness.bugs


def test_a_large_value_is_written_in_pieces_and_others_aside_of_it():
    harness = Harness()
    harness.run("HSET", "large", *range(10_000))
    harness.run("RPUSH", "large too", *range(5_000))
    for i in range(20):
        harness.run("SET", f"k{i}", i)
    keyspace = harness.engine.keyspace
    before = dataset_digest(keyspace, True)
    snapshot = Snapshot(keyspace)
    source = SnapshotBytes(snapshot, Format(), [])
    harness.run("HSET", "large", "1", "changed")  # so it is the first
    out: list[bytes] = []
    steps_taken = 0
    while snapshot.taken < 22:
        assert source.put_some(out)
        steps_taken += 1
        harness.run("HSET", "large", steps_taken, "changed")
        harness.run("RPUSH", "large too", "more")
        harness.run("SET", f"k{steps_taken % 20}", "changed")
    assert steps_taken > 10
    assert snapshot.waiting == 0
    found, reader = read(finished(source, out))
    found.now_ms = keyspace.now_ms
    assert dataset_digest(found, True) == before
    assert reader.loaded == 22


def texts():
    """Names, and strings that are long enough for parts, in which much or nothing repeats."""
    rng = Random(7)
    yield "repeats", b"some words " * 200_000
    yield "random", rng.randbytes(1_500_000)
    yield "half of both", rng.randbytes(700_000) + b"x" * 900_000
    yield "just too long", b"y" * (LONG + 1)
    yield "hardly packs", b"".join(rng.randbytes(60) + b"abcdefghi" for _ in range(200_000))  # more than is kept


@pytest.mark.parametrize("compressed", [True, False])
def test_long_strings_are_written_in_parts(compressed):
    harness = Harness()
    for name, text in texts():
        harness.run("SET", name, text)
    keyspace = harness.engine.keyspace
    before = dataset_digest(keyspace, True)
    source = SnapshotBytes(Snapshot(keyspace), Format(compressed=compressed), [])
    out: list[bytes] = []
    longest = seen = 0
    while source.put_some(out):
        longest = max(longest, sum(map(len, out[seen:])))
        seen = len(out)
    data = finished(source, out)
    size = sum(len(text) for _, text in texts())
    assert (len(data) < 0.8 * size) == compressed
    assert longest <= 9 * 1024 * 1024, "compressed parts that were kept come at once"
    found, _ = read(data)
    found.now_ms = keyspace.now_ms
    assert dataset_digest(found, True) == before


def test_elements_of_megabytes_are_written_by_and_by():
    harness = Harness()
    big = [Random(i).randbytes(100_000) for i in range(100)]
    harness.run("RPUSH", "list", *big)
    harness.run("SADD", "set", *big)
    harness.run("HSET", "hash", *big)
    harness.run("ZADD", "zset", *[part for i, member in enumerate(big) for part in (i, member)])
    keyspace = harness.engine.keyspace
    before = dataset_digest(keyspace, True)
    source = SnapshotBytes(Snapshot(keyspace), Format(), [])
    out: list[bytes] = []
    seen = 0
    while source.put_some(out):
        assert sum(map(len, out[seen:])) < 300_000
        seen = len(out)
    found, _ = read(finished(source, out))
    found.now_ms = keyspace.now_ms
    assert dataset_digest(found, True) == before


@pytest.mark.parametrize("seed", range(8))
def test_a_big_string_that_is_written_to_meanwhile_is_saved_as_it_was(seed):
    """It is lent, not copied, and each way to change it in place saves what it writes over."""
    rng = Random(seed)
    harness = Harness()
    for name in ("a", "b"):
        harness.run("SETRANGE", name, 3 << 20, rng.randbytes(100))
        harness.run("SETBIT", name, 17, 1)
    harness.run("SET", "small", "v")
    keyspace = harness.engine.keyspace
    before = dataset_digest(keyspace, True)
    source = SnapshotBytes(Snapshot(keyspace), Format(compressed=rng.random() < 0.5), [])
    out: list[bytes] = []
    more = True
    while more:
        for name in ("a", "b"):
            at = rng.randrange(3 << 20)
            change = rng.choice([["SETRANGE", name, at, rng.randbytes(rng.choice([1, 70_000]))],
                                 ["SETBIT", name, at, 1], ["BITFIELD", name, "SET", "u60", at * 7, at],
                                 ["APPEND", name, rng.randbytes(10)], ["RENAME", name, "c"], ["RENAME", "c", name],
                                 ["MOVE", name, 1], ["GET", "small"], ["SET", "small", at]])  # fmt: skip
            harness.run(*change)
        for _ in range(rng.randrange(4)):
            more = more and source.put_some(out)
        if rng.random() < 0.02:
            harness.run("DEL", "a")
    found, _ = read(finished(source, out))
    found.now_ms = keyspace.now_ms
    assert dataset_digest(found, True) == before
    assert not LENT
    assert not harness.bugs


def test_what_the_settings_call_small_is_written_as_one_piece_or_in_pieces_and_not_as_both():
    """More elements in a listpack than are written in one go."""
    harness = Harness("--hash-max-listpack-entries", "5000", "--zset-max-listpack-entries", "5000",
                      "--set-max-intset-entries", "5000", "--set-max-listpack-entries", "5000",
                      "--rdb-version", "11")  # fmt: skip
    harness.run("HSET", "hash", *range(4000))
    harness.run("SADD", "ints", *range(3000))
    harness.run("SADD", "words", *[f"w{i}" for i in range(3000)])
    harness.run("ZADD", "zset", *[part for i in range(3000) for part in (i, i)])
    keyspace = harness.engine.keyspace
    before = dataset_digest(keyspace, True)
    source = SnapshotBytes(Snapshot(keyspace), format_of(harness.engine.config), [])
    found, _ = read(finished(source, []))
    found.now_ms = keyspace.now_ms
    assert dataset_digest(found, True) == before
