"""`aof-use-rdb-preamble no`: a base of commands, which redis-server loads too, and in which nothing of ours is lost."""

import functools
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from persistence.test_functions_both_ways import LIBRARY
from persistence.test_rdb_compatibility import write_large_values
from persistence.test_redis_compatibility import of_ours, of_theirs, write_of_every_type
from support.engine import Harness
from support.log_bases import base_of, harness_of
from support.log_folder import NAME
from support.random_company import steps, take_step
from support.servers import Broker, RedisServer, eventually
from support.wire import Wire

from broker.keyspace.digest import dataset_digest
from broker.keyspace.snapshot import Snapshot
from broker.persistence.log_reader import RECORD, LogReader
from broker.persistence.log_records import RecordReader, put_state_record
from broker.persistence.rdb_state import load_log_record
from broker.persistence.snapshot_commands import SnapshotCommands
from broker.rdb.codes import BadData
from broker.rdb.limits import Format

OURS = ["--appendonly", "yes", "--enable-debug-command", "yes", "--aof-use-rdb-preamble", "no", "--save", "",
        "--auto-aof-rewrite-percentage", "0"]  # fmt: skip


def assert_same(harness: Harness, version: int = 10, piece: int = 1 << 16) -> None:
    expected = dataset_digest(harness.engine.keyspace, True)
    now_ms = int(harness.engine.keyspace.now_ms)
    found = harness_of(base_of(harness, Format(version)), piece, now_ms)
    assert dataset_digest(found.engine.keyspace, True) == expected


@settings(max_examples=150, deadline=None)
@given(steps, st.integers(0, 30), st.integers(10, 12), st.randoms(use_true_random=False))
def test_a_base_holds_the_data_of_the_moment_at_which_it_was_begun(requests, start, version, rng):
    harness = Harness()
    clients = [harness.client() for _ in range(3)]
    harness.run("CHANNEL RETAIN *")
    for who, what in requests[:start]:
        take_step(harness, clients, who, what)
    keyspace = harness.engine.keyspace
    before, now_ms = dataset_digest(keyspace, True), int(keyspace.now_ms)
    source = SnapshotCommands(Snapshot(keyspace), Format(version), b"")
    out: list[bytes] = []
    for who, what in requests[start:]:
        take_step(harness, clients, who, what)
        for _ in range(rng.randrange(3)):
            source.put_some(out)
    while source.put_some(out):
        pass
    source.give_up()
    found = harness_of(b"".join(out), rng.choice([1000, 1 << 16]), now_ms)
    assert dataset_digest(found.engine.keyspace, True) == before


@pytest.mark.parametrize("version", [10, 12])
def test_large_values_and_what_changes_while_they_are_written(version):
    harness = Harness()
    rng = Random(3)
    harness.run("SET", "text", rng.randbytes(3_000_000))
    harness.run("SETRANGE", "changeable", 2_500_000, rng.randbytes(1000))
    harness.run("HSET", "hash", *range(4000))
    for i in range(0, 4000, 6):
        harness.run("HPEXPIREAT", "hash", 1_800_000_000_000 + i, "FIELDS", 1, i)
    harness.run("RPUSH", "list", *range(3000))
    harness.run("SADD", "set", *range(3000), "x")
    harness.run("ZADD", "zset", *[part for i in range(3000) for part in (i / 7, i)])
    for i in range(1, 1500):
        harness.run("XADD", "stream", f"{i}-{i % 3 + 1}", "f", i, *(["odd", "x" * 50] if i % 9 == 0 else []))
    harness.run("XGROUP CREATE stream g 0")
    harness.run("XGROUP CREATE stream empty 77-0")
    harness.run("XREADGROUP GROUP g c COUNT 900 STREAMS stream >")
    harness.run("XDEL", "stream", *[f"{i}-{i % 3 + 1}" for i in range(3, 1499, 5)])
    for i in range(50):
        harness.run("SET", f"k{i}", i, "PX", 10**9)
    keyspace = harness.engine.keyspace
    before, now_ms = dataset_digest(keyspace, True), int(keyspace.now_ms)
    source = SnapshotCommands(Snapshot(keyspace), Format(version), b"")
    out: list[bytes] = []
    step = longest = seen = 0
    while source.put_some(out):
        longest = max(longest, sum(map(len, out[seen:])))
        seen = len(out)
        step += 1
        harness.run("HSET", "hash", step, "changed")
        harness.run("SETRANGE", "changeable", step * 20_000, "changed")
        harness.run("SET", f"k{step % 50}", "changed")
        if step % 10 == 0:
            harness.run("DEL", rng.choice(["list", "set", "zset"]))
    source.give_up()
    assert longest < 300_000
    assert step > 200
    found = harness_of(b"".join(out), now_ms=now_ms)
    assert dataset_digest(found.engine.keyspace, True) == before


@pytest.mark.parametrize(
    "lines",
    [
        ["XGROUP CREATE x g $ MKSTREAM"],
        ["XADD x 5-5 f v", "XDEL x 5-5"],
        ["XADD x 5-5 f v", "XTRIM x MAXLEN 0", "XSETID x 9-9 ENTRIESADDED 7 MAXDELETEDID 6-0"],
        ["XADD x 1-1 f v", "XADD x 2-1 f v", "XGROUP CREATE x g 0", "XREADGROUP GROUP g c STREAMS x >",
         "XDEL x 1-1 2-1"],
        ["XADD x 1-1 f v", "XADD x 2-1 f v", "XADD x 3-1 f v", "XGROUP CREATE x g 0", "XGROUP CREATE x h 0",
         "XREADGROUP GROUP g c STREAMS x >", "XREADGROUP GROUP h d COUNT 2 STREAMS x >", "XDEL x 2-1",
         "XGROUP SETID x g 1-1 ENTRIESREAD 1", "XGROUP CREATECONSUMER x g nobody"],
    ],
)  # fmt: skip
def test_streams_without_what_was_there_once(lines):
    harness = Harness()
    for line in lines:
        harness.run(line)
        assert_same(harness)


def test_damaged_records_are_refused():
    out: list[bytes] = []
    put_state_record([b"x" * 3000, b"y"], out)
    assert len(out) > 3 and all(len(line) < 1000 for line in out)
    lines = [line.strip() for line in out]
    reader = RecordReader()
    assert [reader.take(line) for line in lines[:-1]] == [None] * (len(lines) - 1)
    assert reader.is_within
    assert reader.take(lines[-1]) == [b"", b"", b"x" * 3000, b"y"]
    assert not reader.is_within
    for line in (b"#MS:", b"#MS:?QUJD", b"#MS:.QUJ", b"#MS:.!!!!", b"#MS:.QUJD", b"#MS:."):
        with pytest.raises(BadData):
            RecordReader().take(line)


def of_ours_alone() -> Harness:
    """One that has a record of each kind."""
    harness = Harness()
    for line in [
        "XADD x 1700000000000-1 ttl 100000 f v",
        "XADD x 1700000000000-2 f v",
        "XADD x IDMP p name * f v",
        "XGROUP CREATE x g 0",
        "XCFGSET x MAXLEN 100 TTLFIELD ttl", "XADD x 1700000000000-4 ttl 1000000 f v", "XADD x 1700000000000-5 f w",
        "XGROUP POLICY x g ACKWAIT 1000 MAXDELIVER 3 ORDERBY f DEADLETTER dead", "XREADGROUP GROUP g c STREAMS x >",
        "XNACK x g FAIL IDS 1 1700000000000-1 REASON no DELAY 50", "XSCHEDULE later DELAY 1000000 f v",
        "XSCHEDULE later EVERY 1000000 f v", "CHANNEL RETAIN news", "PUBLISH news hello",
        "HSET h a 1 b 2", "HPEXPIREAT h 2000000000000 FIELDS 1 a",
    ]:  # fmt: skip
        harness.run(line)
    return harness


KINDS = {b"settings", b"window", b"due", b"policy", b"times", b"zone", b"attempts", b"lanes", b"nobody",
         b"field-times", b"names", b"ticket", b"rule", b"channel", b"messages", b"last-position"}  # fmt: skip


@functools.cache
def records_of_ours_alone() -> tuple[bytes, list[list[bytes]]]:
    base = base_of(of_ours_alone())
    records = [argv[1:] for argv in LogReader("base").feed(base) if argv[0] == RECORD]
    assert {record[2] for record in records} == KINDS
    return base, records


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_mutated_records_are_refused_or_taken_and_never_a_crash(data):
    base, records = records_of_ours_alone()
    record = list(data.draw(st.sampled_from(records)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(record) - 1))
        odd = st.one_of(st.binary(max_size=20), st.integers(-(2**65), 2**129).map(lambda n: b"%d" % n))
        match data.draw(st.integers(0, 3)):
            case 0:
                record[at] = data.draw(odd)
            case 1 if len(record) > 3:
                del record[at]
            case 2:
                record.insert(at, data.draw(odd))
            case _:
                record[at] = data.draw(st.sampled_from(data.draw(st.sampled_from(records))))
    if record[0] != b"" and not record[0].isdigit():
        return  # RecordReader takes no such
    found = harness_of(base)
    try:
        load_log_record(found.engine.keyspace, record)
    except BadData:
        return
    found.advance(10**9)
    found.run("XLEN", "x")
    assert not found.bugs


def check(folder: Path) -> None:
    program = shutil.which("redis-check-aof")
    if program is None:
        pytest.skip("redis-check-aof is not installed")
    path = folder / "appendonlydir" / f"{NAME}.manifest"
    done = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60)
    assert "All AOF files and manifest are valid" in done.stdout, done.stdout


def test_redis_server_loads_such_a_base_and_we_do(tmp_path):
    with Broker(tmp_path, *OURS, "--aof-timestamp-enabled", "yes") as broker, Wire(broker.port) as wire:
        wire("SELECT", "7")
        wire("XADD", "only ours", "1-1", "f", "v")
        wire("XADD", "only ours", "2-1", "f", "v")
        wire("XGROUP", "CREATE", "only ours", "g", "0")
        wire("XGROUP", "POLICY", "only ours", "g", "ACKWAIT", "10000000", "MAXDELIVER", "3")
        wire("XREADGROUP", "GROUP", "g", "c", "STREAMS", "only ours", ">")
        wire("XSCHEDULE", "later", "DELAY", "10000000", "f", "v" * 5000)
        wire("CHANNEL", "RETAIN", "news")
        wire("PUBLISH", "news", "x" * 3000)
        wire("SELECT", "0")
        write_of_every_type(wire, Random(61))
        write_large_values(wire)
        wire("FUNCTION", "LOAD", LIBRARY)
        exact = wire("DEBUG", "DIGEST")
        expected = of_ours(broker)
        wire("BGREWRITEAOF")
        eventually(lambda: b"aof_rewrites:1" in wire("INFO", "persistence"), what="the rewrite")
        wire("SET", "after", "wards")
        wire("DEL", "after")
        assert b"aof_last_bgrewrite_status:ok" in wire("INFO", "persistence")
        broker.kill()
    base = next((tmp_path / "appendonlydir").glob("*.base.*"))
    assert base.name == f"{NAME}.2.base.aof"
    assert base.read_bytes().startswith(b"#TS:")
    check(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "theirs")
    with RedisServer(tmp_path / "theirs", "--appendonly", "yes") as server, Wire(server.port) as wire:
        assert of_theirs(server) == expected
        assert wire("FCALL", "put", 1, "k", "v") == "OK"
    with Broker(tmp_path, *OURS) as broker, Wire(broker.port) as wire:
        assert wire("DEBUG", "DIGEST") == exact
        assert of_ours(broker) == expected
