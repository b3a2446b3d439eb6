"""A database against a naive model: values, time-outs, swapping; and what it tells of removals by time."""

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.keyspace.database import Keyspace
from broker.keyspace.watch import Watcher

START = 1000
keys = st.sampled_from([b"k%d" % i for i in range(12)])
databases = st.integers(0, 1)


class DatabaseMachine(RuleBasedStateMachine):
    """The model: for each database {key: (value, time or None)}; due keys are taken out whenever time is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.keyspace = Keyspace(2, Random(1))
        self.keyspace.now_ms = START
        self.model: list[dict[bytes, tuple[bytes, int | None]]] = [{}, {}]
        self.put_off = False  # a time-out was: it may be looked at too early

    def living(self, database: int) -> dict[bytes, tuple[bytes, int | None]]:
        now = self.keyspace.now_ms
        return {k: v for k, v in self.model[database].items() if v[1] is None or v[1] > now}

    @rule(database=databases, key=keys, value=st.binary(max_size=3))
    def replace(self, database: int, key: bytes, value: bytes) -> None:
        self.keyspace.databases[database].replace(key, value)
        self.model[database][key] = (value, None)

    @rule(database=databases, key=keys, value=st.binary(max_size=3))
    def put(self, database: int, key: bytes, value: bytes) -> None:
        """As a command does: look first, which removes what is overdue, then store."""
        db = self.keyspace.databases[database]
        db.peek(key)
        db.put(key, value)
        old = self.living(database).get(key, (b"", None))
        self.model[database][key] = (value, old[1])

    @rule(database=databases, key=keys, after=st.integers(-5, 60))
    def set_expiry(self, database: int, key: bytes, after: int) -> None:
        db = self.keyspace.databases[database]
        if db.peek(key) is not None:
            when = int(self.keyspace.now_ms) + after
            before = self.model[database][key][1]
            self.put_off = self.put_off or (before is not None and before < when)
            db.set_expiry(key, when)
            self.model[database][key] = (self.model[database][key][0], when)

    @rule(database=databases, key=keys)
    def clear_expiry(self, database: int, key: bytes) -> None:
        db = self.keyspace.databases[database]
        if db.peek(key) is not None:
            value, when = self.model[database][key]
            assert db.clear_expiry(key) == (when is not None)
            self.model[database][key] = (value, None)

    @rule(database=databases, key=keys)
    def remove(self, database: int, key: bytes) -> None:
        db = self.keyspace.databases[database]
        expected = self.living(database).get(key)
        assert db.peek(key) == (expected[0] if expected else None)
        assert db.remove(key) == (expected[0] if expected else None)
        self.model[database].pop(key, None)

    @rule(database=databases, key=keys)
    def read(self, database: int, key: bytes) -> None:
        keyspace = self.keyspace
        asked = (int(keyspace.hits), int(keyspace.misses))
        expected = self.living(database).get(key)
        assert keyspace.databases[database].read(key) == (expected[0] if expected else None)
        hit = expected is not None
        assert (keyspace.hits, keyspace.misses) == (asked[0] + hit, asked[1] + (not hit))

    @rule(ms=st.integers(1, 40), limit=st.integers(1, 30))
    def time_passes(self, ms: int, limit: int) -> None:
        keyspace = self.keyspace
        keyspace.now_ms += ms
        due = sum(db.size() for db in keyspace.databases) - len(self.living(0)) - len(self.living(1))
        removed = keyspace.expire_due(limit)
        assert removed <= min(limit, due)
        earliest = keyspace.next_expiry_ms()
        if earliest is None or earliest > keyspace.now_ms:
            assert removed == due
        else:
            assert removed == limit or self.put_off  # a key that was put off takes a step, too

    @rule()
    def swap(self) -> None:
        one, two = self.keyspace.databases
        one.swap(two)
        self.model.reverse()

    @rule(database=databases)
    def clear(self, database: int) -> None:
        db = self.keyspace.databases[database]
        assert db.clear() >= len(self.living(database))
        self.model[database].clear()

    @invariant()
    def living_keys_are_there_and_time_outs_belong_to_keys(self) -> None:
        for database, db in enumerate(self.keyspace.databases):
            stored = dict(db.table.items())
            living = self.living(database)
            assert {key: stored.get(key) for key in living} == {key: value for key, (value, _) in living.items()}
            assert {key: db.expiry(key) for key in living} == {key: when for key, (_, when) in living.items()}
            times = dict(db.expires.items())
            assert set(times) <= set(stored)
            assert all(times[key] <= self.keyspace.now_ms for key in set(stored) - set(living))

    @invariant()
    def the_next_removal_is_the_earliest(self) -> None:
        times = [when for db in self.keyspace.databases for _, when in db.expires.items()]
        earliest = self.keyspace.next_expiry_ms()
        assert (earliest is None) == (not times)
        assert earliest is None or earliest <= min(times)
        assert earliest is None or earliest == min(times) or self.put_off


TestDatabase = DatabaseMachine.TestCase
TestDatabase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_removal_by_time_is_noted_counted_and_fails_watches() -> None:
    keyspace = Keyspace(2, Random(1))
    keyspace.now_ms = START
    db = keyspace.databases[1]
    db.put(b"k", b"v")
    db.set_expiry(b"k", START + 5)
    watcher = Watcher()
    keyspace.watches.add(watcher, 1, b"k")
    assert db.peek(b"k") == b"v" and not watcher.dirty
    keyspace.now_ms += 5
    assert db.peek(b"k") is None
    assert watcher.dirty and keyspace.expired == [(1, b"k")] and keyspace.expired_keys == 1


def test_while_a_log_is_replayed_nothing_goes_by_time() -> None:
    keyspace = Keyspace(1, Random(1))
    keyspace.now_ms = START
    keyspace.expiry = False
    db = keyspace.databases[0]
    db.put(b"k", b"v")
    db.set_expiry(b"k", 1)
    assert db.peek(b"k") == b"v" and keyspace.expired == []


def test_a_time_out_that_was_taken_away_and_set_again_counts_once() -> None:
    keyspace = Keyspace(1, Random(1))
    keyspace.now_ms = START
    db = keyspace.databases[0]
    for _ in range(3):
        db.put(b"k", b"v")
        db.set_expiry(b"k", START + 1)
        db.clear_expiry(b"k")
        db.set_expiry(b"k", START + 1)
        keyspace.now_ms = START + 1
        assert keyspace.expire_due(10) == 1
        keyspace.now_ms = START
