"""The table of small dicts against a dict; the promise of its cursors; its fairness and its sizes."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.table import Table

numbers = st.integers(0, 600)


def key(number: int) -> bytes:
    return b"key:%d" % number


def filled(count: int) -> Table:
    table = Table()
    for i in range(count):
        table.set(key(i), i + 1)
    return table


def walk(table: Table, count: int = 10) -> list[bytes]:
    cursor, found = table.scan(0, count)
    while cursor:
        cursor, more = table.scan(cursor, count)
        found += more
    return found


class TableMachine(RuleBasedStateMachine):
    """Ranges of keys are set and removed at a time, so that tables grow and shrink over several levels."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        self.model: dict[bytes, int] = {}
        self.others: list[tuple[Table, dict[bytes, int]]] = []  # copies, which share dicts with it
        self.frozen: Table | None = None
        self.frozen_from: Table | None = None
        self.frozen_model: dict[bytes, int] = {}

    @rule(number=numbers, value=st.integers(1, 9))
    def set_one(self, number: int, value: int) -> None:
        assert self.table.set(key(number), value) == (key(number) not in self.model)
        self.model[key(number)] = value

    @rule(start=numbers, count=st.integers(1, 300))
    def set_many(self, start: int, count: int) -> None:
        for number in range(start, start + count):
            self.table.set(key(number), number + 1)
            self.model[key(number)] = number + 1

    @rule(start=numbers, count=st.integers(1, 300))
    def pop_many(self, start: int, count: int) -> None:
        for number in range(start, start + count):
            assert self.table.pop(key(number)) == self.model.pop(key(number), None)

    @rule(number=numbers)
    def look(self, number: int) -> None:
        assert self.table.get(key(number)) == self.model.get(key(number))
        assert self.table.has(key(number)) == (key(number) in self.model)

    @rule(seed=st.integers(0, 99), count=st.integers(-30, 30))
    def draw(self, seed: int, count: int) -> None:
        drawn = self.table.draw(count, Random(seed))
        assert set(drawn) <= set(self.model)
        if count >= 0:
            assert len(set(drawn)) == len(drawn) == min(count, len(self.model))
        else:
            assert len(drawn) == (-count if self.model else 0)

    @rule()
    def copy_is_independent(self) -> None:
        copy = self.table.copy()
        assert dict(copy.items()) == self.model
        for name in list(self.model):
            copy.pop(name)
        copy.set(b"other", 1)
        assert list(copy.keys()) == [b"other"]

    @rule()
    def make_a_copy(self) -> None:
        if len(self.others) < 3:
            self.others.append((self.table.copy(), dict(self.model)))

    @rule(which=st.integers(0, 2))
    def go_on_with_a_copy(self, which: int) -> None:
        if which < len(self.others):
            left, self.others[which] = self.others[which], (self.table, self.model)
            self.table, self.model = left

    @rule()
    def freeze(self) -> None:
        """A frozen copy is only read; another one makes it void."""
        self.frozen = self.table.frozen()
        self.frozen_model = dict(self.model)
        self.frozen_from = self.table

    @rule()
    def thaw(self) -> None:
        if self.frozen_from is not None:
            self.frozen_from.thaw()
            self.frozen = self.frozen_from = None

    @rule()
    def clear(self) -> None:
        self.table.clear()
        self.model.clear()

    @invariant()
    def same_as_a_dict(self) -> None:
        table = self.table
        assert len(table) == len(self.model)
        assert dict(table.items()) == self.model
        assert sorted(table.keys()) == sorted(table.key_list()) == sorted(self.model)
        assert sorted(map(repr, table.values())) == sorted(map(repr, self.model.values()))
        assert sorted(walk(table)) == sorted(self.model)
        assert sum(len(shard) for shard in table.shards()) == len(self.model)

    @invariant()
    def the_others_stay_as_they_were(self) -> None:
        for table, model in self.others:
            assert dict(table.items()) == model
            assert all(table.get(name) == value for name, value in model.items())
        if self.frozen is not None:
            assert dict(self.frozen.items()) == self.frozen_model


TestTable = TableMachine.TestCase
TestTable.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)

_change = st.tuples(st.booleans(), st.integers(0, 3000), st.integers(1, 1500))


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 1500),
    count=st.sampled_from([1, 10, 100]),
    changes=st.lists(st.lists(_change, max_size=2), min_size=1, max_size=12),
)
def test_a_walk_returns_what_is_there_from_its_first_call_to_its_last(
    size: int, count: int, changes: list[list[tuple[bool, int, int]]]
) -> None:
    """Between two calls keys come and go by the thousand, so that the table doubles and halves under the cursor."""
    table = filled(size)
    always = set(table.keys())
    found: set[bytes] = set()
    cursor = 0
    for step in range(100_000):
        cursor, keys = table.scan(cursor, count)
        found.update(keys)
        if cursor == 0:
            break
        for adding, start, number in changes[step % len(changes)] if step < 40 else []:
            for i in range(start, start + number):
                if adding:
                    table.set(key(i), i + 1)
                else:
                    table.pop(key(i))
                    always.discard(key(i))
    else:
        pytest.fail("the walk does not end")
    assert always <= found


def test_a_walk_over_a_table_that_rests_returns_each_key_once() -> None:
    for size in (0, 1, 24, 25, 26, 49, 100, 777, 3000):
        found = walk(filled(size))
        assert len(found) == len(set(found)) == size


def test_scan_returns_about_as_much_as_it_is_asked_for() -> None:
    table = filled(20_000)
    for count in (1, 10, 100, 1000):
        _, keys = table.scan(0, count)
        assert count <= len(keys) <= count + 4 * 24 + 24


def test_scan_takes_any_cursor() -> None:
    table = filled(1000)
    for cursor in (1, 2**63, 2**64 - 1, 12345):
        assert table.scan(cursor, 10)[0] >= 0


def test_no_single_write_moves_more_than_one_small_dict() -> None:
    """What makes it smooth: the sizes of the dicts stay small at every size of the table."""
    table = Table()
    for i in range(30_000):
        table.set(key(i), 1)
        if i % 1000 == 0:
            assert max(len(shard) for shard in table.shards()) < 24 * 6
    for i in range(30_000):
        table.pop(key(i))
        if i % 1000 == 0:
            assert len(table.shards()) <= 1 + 4 * len(table) // 24
            assert max(len(shard) for shard in table.shards()) < 24 * 6
    assert len(table.shards()) == 1


@pytest.mark.parametrize("size", [7, 60, 400])
def test_every_key_is_drawn_equally_often(size: int) -> None:
    """Chi-squared against the even distribution, with a bound that a fair table exceeds once in a million runs."""
    table = filled(size)
    rng = Random(7)
    draws = 60 * size
    counts = Counter(table.random_key(rng) for _ in range(draws))
    chi2 = sum((counts[key(i)] - 60) ** 2 / 60 for i in range(size))
    assert chi2 < size - 1 + 5 * (2 * (size - 1)) ** 0.5 + 12


def test_a_small_sample_of_a_big_table_is_made_of_single_draws() -> None:
    table = filled(5000)
    assert len(set(table.sample(50, Random(1)))) == 50
    assert len(set(table.sample(4000, Random(1)))) == 4000
    assert len(table.sample(9000, Random(1))) == 5000
    assert table.sample(0, Random(1)) == []


def test_an_empty_table_has_nothing_to_draw() -> None:
    assert Table().random_key(Random(1)) is None
    assert Table().draw(-5, Random(1)) == []


def test_a_copy_shares_what_neither_changes() -> None:
    table = filled(24_000)
    twin = table.copy()
    table.set(key(7), 0)
    twin.set(key(8), 0)
    twin.set(key(9), 0)
    dicts = list(zip(table.shards(), twin.shards(), strict=True))
    changed = len({table.place(key(7)), table.place(key(8)), table.place(key(9))})
    assert sum(one is not other for one, other in dicts) == changed
    assert (table.get(key(7)), twin.get(key(7)), table.get(key(8)), twin.get(key(8))) == (0, 8, 9, 0)
    shards = list(twin.shards())
    twin.set(key(8), 1)
    assert all(one is other for one, other in zip(twin.shards(), shards, strict=True)), "copied once"


def test_two_small_tables_share_nothing_that_is_written_to() -> None:
    one, two = Table(), Table()
    for i in range(100):
        one.set(key(i), 1)
    for i in range(100):
        one.pop(key(i))
    assert len(two) == 0 and two.shards() == [{}]


def test_the_memory_estimate_grows_with_keys_and_their_lengths() -> None:
    small, big = filled(10).approximate_bytes(), filled(10_000).approximate_bytes()
    assert 400 < small < 4000
    assert 500 * small < 1000 * big and 600_000 < big < 3_000_000
    long = Table()
    long.set(b"x" * 100_000, 1)
    assert long.approximate_bytes() > 100_000


@pytest.mark.parametrize("before", [0, 20, 300])
@pytest.mark.parametrize("reserved", [0, 24, 47, 48, 72, 100, 800, 1535, 1536, 5000])
def test_a_table_with_room_reserved_is_like_any_other(before: int, reserved: int) -> None:
    table = Table()
    keys = [b"%d" % i for i in range(1000)]
    for key in keys[:before]:
        assert table.set(key, key)
    table.reserve(reserved)
    for key in keys[before:]:
        assert table.set(key, key)
    assert not table.set(keys[0], keys[0]) and len(table) == 1000
    assert sorted(table.key_list()) == sorted(keys)
    assert all(table.get(key) == key for key in keys)
    cursor, found = 0, []
    while True:
        cursor, some = table.scan(cursor, 10)
        found += some
        if cursor == 0:
            break
    assert sorted(found) == sorted(keys)
    for key in keys:
        assert table.pop(key) == key
    assert len(table) == 0 and table.key_list() == []
