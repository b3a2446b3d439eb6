from bisect import bisect_left, insort
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes import sorted_blocks
from broker.datatypes.sorted_blocks import SortedBlocks

ITEMS = st.integers(min_value=0, max_value=5000)


def check(blocks: SortedBlocks[int], model: list[int]) -> None:
    assert len(blocks) == len(model)
    assert list(blocks) == model
    assert all(blocks._blocks), "no block is empty"
    assert [block[-1] for block in blocks._blocks] == blocks._maxima
    assert all(len(block) <= sorted_blocks._MOST for block in blocks._blocks)


class SortedBlocksMachine(RuleBasedStateMachine):
    """Runs of additions and removals are long, so that blocks split and join."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: SortedBlocks[int] = SortedBlocks()
        self.model: list[int] = []
        self.others: list[tuple[SortedBlocks[int], list[int]]] = []  # copies, which share blocks with it

    @rule(item=ITEMS)
    def add(self, item: int) -> None:
        self.blocks.add(item)
        insort(self.model, item)

    @rule(seed=st.integers(0, 1000), count=st.sampled_from([10, 700]))
    def add_many(self, seed: int, count: int) -> None:
        rng = Random(seed)
        for _ in range(count):
            item = rng.randrange(5000)
            self.blocks.add(item)
            insort(self.model, item)

    @rule(count=st.sampled_from([3, 700, 1300]))
    def append_ascending(self, count: int) -> None:
        start = self.model[-1] if self.model else 0
        for item in range(start, start + count):
            self.blocks.add(item)
            insort(self.model, item)

    @rule(item=ITEMS)
    def remove(self, item: int) -> None:
        present = item in self.model
        assert self.blocks.remove(item) is present
        if present:
            self.model.remove(item)

    @rule(seed=st.integers(0, 1000), share=st.sampled_from([0.2, 0.9, 1.0]))
    def remove_many(self, seed: int, share: float) -> None:
        rng = Random(seed)
        for item in rng.sample(self.model, int(len(self.model) * share)):
            assert self.blocks.remove(item)
            self.model.remove(item)

    @rule()
    def pop_ends(self) -> None:
        if self.model:
            assert self.blocks.first() == self.model[0]
            assert self.blocks.pop_first() == self.model.pop(0)
        if self.model:
            assert self.blocks.last() == self.model[-1]
            assert self.blocks.pop_last() == self.model.pop()

    @rule(start=st.integers(-3, 4000), length=st.sampled_from([-1, 0, 1, 5, 300, 2000]))
    def slice(self, start: int, length: int) -> None:
        expected = self.model[max(start, 0) : max(start + length, 0)]
        assert self.blocks.slice(start, start + length) == expected

    @rule(start=st.integers(-3, 4000), length=st.sampled_from([-1, 1, 5, 300, 2000]))
    def pop_slice(self, start: int, length: int) -> None:
        begin, end = max(start, 0), max(start + length, 0)
        expected = self.model[begin:end]
        assert self.blocks.pop_slice(start, start + length) == expected
        if end > begin:
            del self.model[begin:end]

    @rule()
    def fill_and_copy(self) -> None:
        other = self.blocks.copy()
        self.blocks.fill(self.model)
        other.add(1)
        assert other.remove(1)
        check(other, self.model)

    @rule()
    def make_a_copy(self) -> None:
        if len(self.others) < 3:
            self.others.append((self.blocks.copy(), list(self.model)))

    @rule(which=st.integers(0, 2))
    def go_on_with_a_copy(self, which: int) -> None:
        if which < len(self.others):
            left, self.others[which] = self.others[which], (self.blocks, self.model)
            self.blocks, self.model = left

    @rule(item=ITEMS)
    def rank_and_membership(self, item: int) -> None:
        assert self.blocks.rank(item) == bisect_left(self.model, item)
        assert (item in self.blocks) is (item in self.model)

    @rule(rank=st.integers(-2, 6000))
    def at(self, rank: int) -> None:
        if 0 <= rank < len(self.model):
            assert self.blocks.at(rank) == self.model[rank]
        else:
            with pytest.raises(IndexError):
                self.blocks.at(rank)

    @invariant()
    def the_model_agrees(self) -> None:
        check(self.blocks, self.model)
        for blocks, model in self.others:
            assert blocks.slice(0, len(blocks)) == model


SortedBlocksMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestSortedBlocks = SortedBlocksMachine.TestCase


def test_ranks_stay_right_while_items_come_and_go_between_questions() -> None:
    rng = Random(5)
    blocks: SortedBlocks[int] = SortedBlocks()
    model = sorted(rng.sample(range(100_000), 6000))
    blocks.fill(model)
    for _ in range(3000):
        item = rng.randrange(100_000)
        if item in blocks:
            blocks.remove(item)
            del model[bisect_left(model, item)]
        else:
            blocks.add(item)
            insort(model, item)
        probe = rng.randrange(len(model))
        assert blocks.at(probe) == model[probe]
        assert blocks.rank(model[probe]) == probe


def test_items_that_come_in_order_fill_their_blocks() -> None:
    blocks: SortedBlocks[int] = SortedBlocks()
    for item in range(10 * sorted_blocks._MOST):
        blocks.add(item)
    assert len(blocks._blocks) == 10


def test_tuples_are_ordered_by_all_their_parts() -> None:
    blocks: SortedBlocks[tuple[float, bytes]] = SortedBlocks()
    for entry in [(2.0, b"a"), (1.0, b"b"), (1.0, b"a")]:
        blocks.add(entry)
    assert blocks.slice(0, 3) == [(1.0, b"a"), (1.0, b"b"), (2.0, b"a")]
    assert blocks.rank((2.0, b"")) == 2
