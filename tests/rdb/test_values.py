"""Values go into the form of RDB and come back: all types, small and large, by any pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine import Harness
from support.rdb_files import file_of, read

from broker.keyspace.digest import dataset_digest
from broker.rdb.limits import Format

_NUMBERS = st.one_of(
    st.integers(-200, 200),
    st.sampled_from([s * (1 << b) + d for s in (1, -1) for b in (12, 15, 23, 31, 63) for d in (-1, 0, 1)]),
).map(lambda number: b"%d" % number)
_TEXTS = st.one_of(
    _NUMBERS,
    st.binary(max_size=80),
    st.builds(lambda text, n: text * n, st.binary(min_size=1, max_size=9), st.integers(1, 3000)),
    st.sampled_from(
        [b"-0", b"007", b"+1", b" 1", b"1" * 21, b"x" * 63, b"x" * 64, b"x" * 4095, b"x" * 4096, b"y" * 16383]
    ),
)
_SCORES = st.one_of(st.integers(-1000, 1000), st.floats(allow_nan=False)).map(float)


def comes_back(harness: Harness, form: Format | None = None, piece: int = 1 << 16) -> None:
    keyspace, reader = read(file_of(harness, form), piece=piece)
    assert dataset_digest(keyspace, True) == dataset_digest(harness.engine.keyspace, True)
    assert reader.loaded == sum(db.size() for db in keyspace.databases)


def assert_all_forms(harness: Harness) -> None:
    for version in (10, 11, 12):
        for compressed in (False, True):
            comes_back(harness, Format(version, compressed))
    comes_back(harness, piece=7)


@given(st.lists(_TEXTS, max_size=8, unique=True))
def test_strings_come_back(values):
    harness = Harness()
    for number, value in enumerate(values):
        harness.run("SET", value, values[-number])
        harness.run("SET", b"e%d" % number, value, "PXAT", 2_000_000_000_000 + number)
        harness.run("APPEND", value, b"more")  # changed in place from now on
    assert_all_forms(harness)


@given(st.lists(_TEXTS, min_size=1, max_size=30), st.sampled_from([1, 60]))
def test_lists_come_back(values, times):
    harness = Harness()
    harness.run("RPUSH", "l", *values * times)
    assert_all_forms(harness)


@given(st.sets(_TEXTS, min_size=1, max_size=30), st.sets(_NUMBERS, min_size=1))
def test_sets_come_back(members, numbers):
    harness = Harness()
    harness.run("SADD", "s", *members)
    harness.run("SADD", "i", *numbers)
    assert_all_forms(harness)


@given(st.dictionaries(_TEXTS, _TEXTS, min_size=1, max_size=30))
def test_hashes_come_back(pairs):
    harness = Harness()
    harness.run("HSET", "h", *[part for pair in pairs.items() for part in pair])
    assert_all_forms(harness)


@given(st.dictionaries(_TEXTS, _SCORES, min_size=1, max_size=30))
def test_sorted_sets_come_back(scores):
    harness = Harness()
    harness.run("ZADD", "z", *[part for member, score in scores.items() for part in (repr(score), member)])
    assert_all_forms(harness)


@pytest.mark.parametrize("count", [512, 513, 1024, 1025, 5000])
def test_large_values_come_back(count):
    harness = Harness()
    run = harness.run
    run("RPUSH", "l", *range(count))
    run("RPUSH", "long", *[b"%d" % i * 50 for i in range(count)])
    run("SADD", "i", *range(count))
    run("SADD", "s", *[b"m%d" % i for i in range(count)])
    run("HSET", "h", *[part for i in range(count) for part in (b"f%d" % i, i)])
    run("ZADD", "z", *[part for i in range(count) for part in (i / 7, b"m%d" % i)])
    for i in range(count):
        run("XADD", "x", "*", "n", i, "other", "text")
    assert_all_forms(harness)


_ENTRIES = st.lists(st.lists(st.tuples(_TEXTS, _TEXTS), min_size=1, max_size=4), min_size=1, max_size=20)


@given(_ENTRIES, st.sampled_from([1, 30]), st.data())
def test_streams_come_back(entries, times, data):
    harness = Harness()
    run = harness.run
    harness.run("CONFIG", "SET", "stream-node-max-entries", 16)
    ids = []
    for number, pairs in enumerate(entries * times):
        ids.append(
            run("XADD", "x", f"{number}-{number % 3}" if number else "0-1", *[p for pair in pairs for p in pair])
        )
    if data.draw(st.booleans()):
        run("XGROUP", "CREATE", "x", "g", "0")
        run("XGROUP", "CREATE", "x", "empty", "$", "ENTRIESREAD", 3)
        run("XGROUP", "CREATECONSUMER", "x", "empty", "idle")
        for consumer in ("a", "b", "a"):
            run("XREADGROUP", "GROUP", "g", consumer, "COUNT", data.draw(st.integers(1, 9)), "STREAMS", "x", ">")
    gone = data.draw(st.sets(st.sampled_from(ids)))
    if gone:
        run("XDEL", "x", *gone)
    run("XTRIM", "x", "MAXLEN", data.draw(st.integers(0, len(ids))))
    assert_all_forms(harness)


def test_pending_entries_of_many_consumers_come_back():
    harness = Harness()
    run = harness.run
    run("XGROUP", "CREATE", "x", "g", "0", "MKSTREAM")
    for i in range(3000):
        run("XADD", "x", "*", "n", i)
    for consumer in ("a", "b", "c", "d"):
        run("XREADGROUP", "GROUP", "g", consumer, "COUNT", 700, "STREAMS", "x", ">")
        harness.advance(5)
    assert_all_forms(harness)
    before = run("XPENDING", "x", "g")
    keyspace, _ = read(file_of(harness))
    group = keyspace.databases[0].table.get(b"x").groups[b"g"]
    assert [[name.decode(), str(len(c.order))] for name, c in group.consumers.items()] == [
        [name.decode(), number.decode()] for name, number in before[3]
    ]
    assert group.acknowledge(group.pending.first())


def test_databases_and_times_come_back():
    harness = Harness()
    for number in range(4):
        harness.run("SELECT", number)
        harness.run("SET", "k", number, "PX", 1000 * (number + 1))
    keyspace, reader = read(file_of(harness), now_ms=int(harness.engine.keyspace.now_ms) + 2500)
    assert [db.size() for db in keyspace.databases[:5]] == [0, 0, 1, 1, 0]
    assert (reader.loaded, reader.expired) == (2, 2)
    assert keyspace.databases[3].expiry(b"k") == harness.engine.keyspace.databases[3].expiry(b"k")
    assert keyspace.next_expiry_ms() == keyspace.databases[2].expiry(b"k")
