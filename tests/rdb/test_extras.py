"""What only Millstream knows survives a file, too, and the digest says so: it takes in all that a log brings back."""

import pytest
from hypothesis import given, settings
from support.engine import Harness
from support.random_company import steps as random_steps
from support.random_company import take_step
from support.rdb_files import file_of, read

from broker.datatypes.group_policy import NEVER_DUE
from broker.errors import CorruptFile
from broker.keyspace.digest import dataset_digest
from broker.persistence.rdb_writer import END, end, put_database, put_header
from broker.rdb.crc64 import crc64
from broker.rdb.extras import put_record
from broker.rdb.limits import Format


def assert_comes_back(harness: Harness) -> None:
    now = int(harness.engine.keyspace.now_ms)
    expected = dataset_digest(harness.engine.keyspace, True)
    for version in (10, 11, 12):
        keyspace, _ = read(file_of(harness, Format(version)), now_ms=now)
        assert dataset_digest(keyspace, True) == expected, version


@settings(max_examples=150, deadline=None)
@given(random_steps)
def test_whatever_was_done_comes_back(steps):
    harness = Harness()
    clients = [harness.client() for _ in range(3)]
    for who, what in steps:
        take_step(harness, clients, who, what)
    assert_comes_back(harness)


def test_times_of_fields_come_back():
    harness = Harness()
    run = harness.run
    for name, count in (("small", 3), ("large", 3000)):
        for start in range(0, count, 500):
            run("HSET", name, *[part for i in range(start, min(start + 500, count)) for part in (f"f{i}", i)])
        for i in range(0, count, 3):
            run("HPEXPIREAT", name, 1_700_000_100_000 + i, "FIELDS", 1, f"f{i}")
    assert_comes_back(harness)
    for version in (10, 12):
        keyspace, _ = read(file_of(harness, Format(version)), now_ms=1_700_000_000_000)
        assert keyspace.databases[0].field_agenda.get(b"large") == 1_700_000_100_000
        assert keyspace.fields_due_ms == 1_700_000_100_000


def test_settings_of_a_stream_its_window_and_times_of_its_entries_come_back():
    harness = Harness()
    run = harness.run
    run("XADD", "x", "*", "ttl", 100, "v", 1)
    run("XCFGSET", "x", "MAXLEN", 5000, "MAXAGE", 10**9, "MAXBYTES", 10**9, "RETAIN", "ACKED", "GROUPIDLE", 5,
        "TTLFIELD", "ttl", "IDMP-DURATION", 7, "IDMP-MAXSIZE", 300)  # fmt: skip
    for i in range(700):
        run("XADD", "x", "IDMP", f"producer {i % 3}", f"name {i}", "*", "ttl", 1000 + i, "n", i)
    assert_comes_back(harness)
    keyspace, _ = read(file_of(harness))
    stream = keyspace.databases[0].table.get(b"x")
    assert stream.settings.next_due_ms() == 1_700_000_000_000 + 1000
    assert keyspace.retention.by_acks
    assert keyspace.retention.next_ms <= 1_700_000_000_000 + 1000


def test_groups_that_look_after_themselves_come_back():
    harness = Harness()
    run = harness.run
    run("XGROUP", "CREATE", "x", "g", "0", "MKSTREAM")
    run("XGROUP", "POLICY", "x", "g", "ACKWAIT", 1000, "MAXDELIVER", 2, "BACKOFF", 10, 20, "DEADLETTER", "dead",
        "ORDERBY", "lane")  # fmt: skip
    ids = [run("XADD", "x", "*", "lane", i % 40, "n", i) for i in range(600)]
    run("XREADGROUP", "GROUP", "g", "", "COUNT", 300, "STREAMS", "x", ">")  # a consumer without a name
    held = [entry[0] for entry in run("XPENDING", "x", "g", "-", "+", 1000, "")]
    run("XNACK", "x", "g", "FAIL", "IDS", 4, *held[:4], "REASON", "no\nluck", "DELAY", 50)
    run("XNACK", "x", "g", "FATAL", "IDS", 1, held[5])
    assert len(held) == 40 and len(ids) == 600  # the others wait behind them
    assert_comes_back(harness)
    keyspace, _ = read(file_of(harness))
    group = keyspace.databases[0].table.get(b"x").groups[b"g"]
    original = harness.engine.keyspace.databases[0].table.get(b"x").groups[b"g"]
    assert group.released() == original.released() > 500
    assert group.due(1_700_000_000_000 + 50, -1) == original.due(1_700_000_000_000 + 50, -1) != []
    assert list(group.consumers) == [b""]
    assert group.zone.next_due(0) < NEVER_DUE


def test_consumers_keep_the_time_of_their_last_success():
    harness = Harness()
    run = harness.run
    run("XGROUP", "CREATE", "x", "g", "0", "MKSTREAM")
    run("XADD", "x", "*", "n", 1)
    run("XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">")
    run("XGROUP", "CREATECONSUMER", "x", "g", "never")
    harness.advance(3)
    run("XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">")
    for version in (10, 11):
        keyspace, _ = read(file_of(harness, Format(version)))
        consumers = keyspace.databases[0].table.get(b"x").groups[b"g"].consumers
        assert consumers[b"c"].seen_ms - consumers[b"c"].active_ms == 3000
        assert consumers[b"never"].active_ms == -1


def test_scheduled_messages_come_back():
    harness = Harness()
    run = harness.run
    for i in range(250):
        run("XSCHEDULE", f"s{i % 7}", "DELAY", 5000 + i // 50, "f", i)
    run("SELECT", 3)
    run("XSCHEDULE", "x", "ID", "t", "CRON", "*/5 * * * *", "f", "v")
    run("LSCHEDULE", "l", "LEFT", "EVERY", 5000, "MISSED", "all", "a", "b")
    assert_comes_back(harness)
    keyspace, _ = read(file_of(harness))
    ours = harness.engine.keyspace.databases[0].agenda
    theirs = keyspace.databases[0].agenda
    assert [(t.name, t.number) for t in theirs.tickets()] == [(t.name, t.number) for t in ours.tickets()]
    assert theirs.first().name == ours.first().name
    assert theirs.last_name == ours.last_name
    assert list(keyspace.planned) == [0, 3]


def test_retained_channels_come_back():
    harness = Harness()
    run = harness.run
    run("CHANNEL", "RETAIN", "n*", "MAXLEN", 400)
    run("CHANNEL", "RETAIN", "news.*", "MAXLEN", 2, "MAXAGE", 1000)
    for i in range(900):
        run("PUBLISH", f"n{i % 2}", b"%d" % i * 100)
        run("PUBLISH", "news.today", i)
    harness.advance(2)
    run("PUBLISH", "news.tomorrow", "x")
    assert_comes_back(harness)
    keyspace, _ = read(file_of(harness))
    log = keyspace.channel_log
    assert log.facts() == harness.engine.keyspace.channel_log.facts()
    assert log.newest(b"n7") == harness.engine.keyspace.channel_log.newest(b"n7")
    assert list(log.rules[b"n*"].filled) == list(harness.engine.keyspace.channel_log.rules[b"n*"].filled)


@pytest.mark.parametrize(
    "record",
    [
        [b"settings", b"1"],
        [b"policy", b"g", b"1"],
        [b"zone", b"g", b"1"],
        [b"ticket", b"0"],
        [b"ticket", b"99", b"k", b"n", b"p", b"0", b"0", b"0", b"0"],
        [b"channel", b"c", b"no rule", b"", b""],
        [b"messages", b"c", b"", b"m"],
        [b"what is this"],
    ],
)
def test_damaged_and_unknown_records_are_refused(record):
    harness = Harness()
    harness.run("XGROUP", "CREATE", "x", "g", "0", "MKSTREAM")
    form = Format()
    out: list[bytes] = []
    put_header(form, [], out)
    put_database(0, 1, 0, out)
    head = file_of(harness)
    data = head[: head.rindex(b"\xff")]
    put_record(record, True, out := [data])
    data = b"".join(out) + END
    with pytest.raises(CorruptFile):
        read(data + end(crc64(data)))
