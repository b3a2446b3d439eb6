from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes import lists
from broker.datatypes.lists import ListValue

VALUES = st.sampled_from([b"a", b"b", b"c", b"", b"long enough"])
INDEXES = st.integers(0, 700)


def positions(model: list[bytes], value: bytes, rank: int, count: int, most: int) -> list[int]:
    order = range(len(model)) if rank > 0 else range(len(model) - 1, -1, -1)
    looked_at = list(order)[: most or None]
    found = [index for index in looked_at if model[index] == value][abs(rank) - 1 :]
    return found[: count or None]


class ListMachine(RuleBasedStateMachine):
    """Many values at once, so that there are several blocks to get wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.items = ListValue()
        self.model: list[bytes] = []

    @rule(value=VALUES, count=st.sampled_from([1, 1, 100, 300]), left=st.booleans(), seed=st.integers(0, 99))
    def push(self, value: bytes, count: int, left: bool, seed: int) -> None:
        rng = Random(seed)
        for _ in range(count):
            pushed = rng.choice([value, b"other", b"%d" % rng.randrange(50)])
            if left:
                self.items.push_left(pushed)
                self.model.insert(0, pushed)
            else:
                self.items.push_right(pushed)
                self.model.append(pushed)

    @rule(count=st.sampled_from([1, 2, 150]), left=st.booleans())
    def pop(self, count: int, left: bool) -> None:
        for _ in range(min(count, len(self.model))):
            if left:
                assert self.items.pop_left() == self.model.pop(0)
            else:
                assert self.items.pop_right() == self.model.pop()

    @rule(count=st.sampled_from([0, 1, 5, 140, 2000]), left=st.booleans())
    def take(self, count: int, left: bool) -> None:
        expected = self.model[:count] if left else self.model[::-1][:count]
        assert (self.items.take_left(count) if left else self.items.take_right(count)) == expected
        self.model = self.model[count:] if left else self.model[: max(len(self.model) - count, 0)]

    @rule(index=INDEXES, value=VALUES)
    def get_and_set(self, index: int, value: bytes) -> None:
        if index < len(self.model):
            assert self.items.get(index) == self.model[index]
            self.items.set(index, value)
            self.model[index] = value
        else:
            with pytest.raises(IndexError):
                self.items.get(index)

    @rule(index=INDEXES, value=VALUES, count=st.sampled_from([1, 70]))
    def insert(self, index: int, value: bytes, count: int) -> None:
        index = min(index, len(self.model))
        for _ in range(count):
            self.items.insert(index, value)
            self.model.insert(index, value)

    @rule(start=INDEXES, length=st.sampled_from([-1, 0, 1, 10, 200, 1000]))
    def slice(self, start: int, length: int) -> None:
        assert self.items.slice(start, start + length) == self.model[start : max(start + length, 0)]

    @rule(start=INDEXES, length=st.sampled_from([0, 1, 10, 200, 1000]))
    def trim(self, start: int, length: int) -> None:
        stop = min(start + length, len(self.model))
        self.items.trim(start, stop)
        self.model = self.model[start:stop]

    @rule(value=VALUES, count=st.sampled_from([0, 1, 2, 40, -1, -2, -40]))
    def remove(self, value: bytes, count: int) -> None:
        found = positions(self.model, value, -1 if count < 0 else 1, abs(count), 0)
        assert self.items.remove(value, count) == len(found)
        self.model = [item for index, item in enumerate(self.model) if index not in found]

    @rule(
        value=VALUES,
        rank=st.sampled_from([1, 2, 30, -1, -2, -30]),
        count=st.sampled_from([0, 1, 3]),
        most=st.sampled_from([0, 1, 100, 129, 5000]),
    )
    def find(self, value: bytes, rank: int, count: int, most: int) -> None:
        assert self.items.positions(value, rank, count, most) == positions(self.model, value, rank, count, most)
        assert self.items.find(value) == (self.model.index(value) if value in self.model else -1)

    @rule()
    def copies_are_independent(self) -> None:
        other = self.items.copy()
        other.push_left(b"x")
        other.push_right(b"y")
        assert other.values() == [b"x", *self.model, b"y"]

    @invariant()
    def the_model_agrees(self) -> None:
        assert len(self.items) == len(self.model)
        assert self.items.values() == self.model

    @invariant()
    def blocks_are_of_fair_size(self) -> None:
        blocks = self.items._blocks
        assert blocks == [[]] or all(blocks)
        assert all(len(block) <= lists._MOST for block in blocks)


ListMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestListValue = ListMachine.TestCase


def test_removing_nearly_everything_leaves_few_blocks() -> None:
    items = ListValue()
    for i in range(10_000):
        items.push_right(b"keep" if i % 100 == 0 else b"drop")
    assert items.remove(b"drop", 0) == 9900
    assert items.values() == [b"keep"] * 100
    assert len(items._blocks) < 10


@pytest.mark.parametrize(("count", "length"), [(1, 10), (1000, 10), (1000, 1000)])
def test_memory_is_about_what_the_values_need(count: int, length: int) -> None:
    items = ListValue()
    for _ in range(count):
        items.push_right(b"x" * length)
    needed = count * (length + 33)
    assert needed < items.approximate_bytes() < needed * 1.5 + 300


def test_an_empty_list_has_nothing_to_pop() -> None:
    with pytest.raises(IndexError):
        ListValue().pop_left()
    with pytest.raises(IndexError):
        ListValue().pop_right()


def test_the_middle_of_a_long_list_is_found_whatever_happened_to_it() -> None:
    """Beyond some thousands of values places are found by marks, which changes move or make void."""
    rng = Random(5)
    items = ListValue()
    model = [b"%d" % i for i in range(60_000)]
    items.extend(list(model))
    for step in range(600):
        kind = rng.randrange(8)
        many = rng.choice([1, 3, 130, 3000])
        if kind == 0:
            for i in range(many):
                items.push_left(b"l%d" % i)
            model[:0] = [b"l%d" % i for i in range(many - 1, -1, -1)]
        elif kind == 1:
            for i in range(many):
                items.push_right(b"r%d" % i)
                model.append(b"r%d" % i)
        elif kind == 2:
            for _ in range(many):
                assert items.pop_left() == model.pop(0)
        elif kind == 3:
            for _ in range(many):
                assert items.pop_right() == model.pop()
        elif kind == 4:
            index = rng.randrange(len(model))
            items.insert(index, b"in")
            model.insert(index, b"in")
        elif kind == 5:
            assert items.take_right(many) == model[: -many - 1 : -1]
            del model[-many:]
        elif kind == 6:
            assert items.take_left(many) == model[:many]
            del model[:many]
        elif step % 20 == 0:
            value = rng.choice(model)
            assert items.remove(value, 1) == 1
            model.remove(value)
        if len(model) < 30_000:
            items.extend([b"%d" % i for i in range(30_000)])
            model += [b"%d" % i for i in range(30_000)]
        for index in rng.sample(range(len(model)), 20):
            assert items.get(index) == model[index], (step, kind, index)
    assert items.values() == model
