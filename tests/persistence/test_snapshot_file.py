"""An RDB file made in slices while requests go on, read again: the data of the moment at which it was begun, with all
that only Millstream knows."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Harness
from support.random_company import steps, take_step
from support.rdb_files import read

from broker.keyspace.digest import dataset_digest
from broker.keyspace.snapshot import Snapshot
from broker.persistence.rdb_writer import END, end
from broker.persistence.snapshot_bytes import SnapshotBytes
from broker.rdb.crc64 import crc64
from broker.rdb.limits import Format


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
