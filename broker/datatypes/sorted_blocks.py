"""A sorted list in blocks: what a sorted set keeps its order in, and a consumer group its pending ids.

A Python list finds a place by bisection but moves everything behind it; blocks bound that to a few kilobytes. Ranks
need the number of items before a block, which a Fenwick tree over the sizes of the blocks gives; it is built when a
rank is first asked for and dropped when blocks come or go (a plain sum over thousands of blocks was the alternative).

Costs: add, remove, rank, at O(log n + block); slice O(log n + k); first, last O(1).
Invariant: no block is empty, each is sorted, `_maxima[i]` is the last item of `_blocks[i]`, blocks are in order.
Equal items may be added more than once; remove() takes one of them.
"""

from bisect import bisect_left, insort_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from mypy_extensions import i64

if TYPE_CHECKING:
    from _typeshed import SupportsDunderLT

T = TypeVar("T", bound="SupportsDunderLT[Any]")

_MOST: Final = 512  # items of a block; a block with more is split. 4 KiB to move at worst
HALF: Final = 256
_FEW: Final = 64  # a block with fewer joins a neighbour that has room


class SortedBlocks(Generic[T]):
    """Items that compare with `<`: ints, or tuples of one shape."""

    def __init__(self) -> None:
        self._blocks: list[list[T]] = []
        self._maxima: list[T] = []
        self._tree: list[int] = []  # Fenwick, from 1; empty: to be built
        self._size: i64 = 0
        self._is_shared = False  # one of the next two is not None
        self._kept: dict[int, list[T]] | None = None  # by id(): blocks that frozen() gave away
        self._twins: dict[int, None] | None = None  # id() of blocks that a list by copy() may have, too

    def __len__(self) -> int:
        return int(self._size)

    def __contains__(self, item: T) -> bool:
        pos = bisect_left(self._maxima, item)
        if pos == len(self._maxima):
            return False
        block = self._blocks[pos]
        return block[bisect_left(block, item)] == item

    def __iter__(self) -> Iterator[T]:
        """In order. Not to be used while items are added or removed."""
        for block in self._blocks:
            yield from block

    # -- one item

    def add(self, item: T) -> None:
        maxima = self._maxima
        self._size += 1
        last = len(maxima) - 1
        if last < 0:
            self._blocks.append([item])
            maxima.append(item)
            return
        is_last = maxima[last] < item
        pos = last if is_last else bisect_left(maxima, item)
        block = self._blocks[pos]
        if len(block) >= _MOST:
            if is_last:
                # Items that come in order (times, ids) leave full blocks behind, not halves.
                self._blocks.append([item])
                maxima.append(item)
                self._tree = []
                return
            self._split(pos)
            if maxima[pos] < item:
                pos += 1
            block = self._blocks[pos]
        if self._is_shared:
            block = self._own(pos)
        insort_right(block, item)
        if is_last:
            maxima[last] = item
        if self._tree:
            self._count(pos, 1)

    def remove(self, item: T) -> bool:
        """True when it was there."""
        pos = bisect_left(self._maxima, item)
        if pos == len(self._maxima):
            return False
        block = self._blocks[pos]
        index = bisect_left(block, item)
        if block[index] != item:
            return False
        self._take(pos, index)
        return True

    def pop_first(self) -> T:
        """The smallest item, removed. IndexError when there is none."""
        item = self._blocks[0][0]
        self._take(0, 0)
        return item

    def pop_last(self) -> T:
        """The greatest item, removed. IndexError when there is none."""
        item = self._maxima[-1]
        pos = len(self._blocks) - 1
        self._take(pos, len(self._blocks[pos]) - 1)
        return item

    def first(self) -> T:
        """IndexError when there is none."""
        return self._blocks[0][0]

    def last(self) -> T:
        """IndexError when there is none."""
        return self._maxima[-1]

    # -- ranks

    def rank(self, item: T) -> int:
        """The number of items below `item`: the position of the first that is not."""
        pos = bisect_left(self._maxima, item)
        if pos == len(self._maxima):
            return int(self._size)
        return bisect_left(self._blocks[pos], item) + self._before(pos)

    def at(self, rank: int) -> T:
        """The item at a rank from 0 on. IndexError when there is none."""
        if rank < 0 or rank >= self._size:
            raise IndexError(rank)
        pos, index = self._locate(rank)
        return self._blocks[pos][index]

    def slice(self, start: int, stop: int) -> list[T]:
        """The items at the ranks start <= rank < stop, in order; ranks that are none are left out."""
        start = max(start, 0)
        left = min(stop, int(self._size)) - start
        if left <= 0:
            return []
        pos, index = self._locate(start)
        items = self._blocks[pos][index : index + left]
        left -= len(items)
        while left > 0:
            pos += 1
            block = self._blocks[pos]
            items += block if len(block) <= left else block[:left]
            left -= len(block)
        return items

    def pop_slice(self, start: int, stop: int) -> list[T]:
        """As slice(), and the items are removed."""
        start = max(start, 0)
        left = min(stop, int(self._size)) - start
        if left <= 0:
            return []
        first, index = self._locate(start)
        self._size -= left
        pos = first
        items: list[T] = []
        while left > 0:
            block = self._own(pos)
            taken = block[index : index + left]
            del block[index : index + left]
            items += taken
            left -= len(taken)
            index = 0
            pos += 1
        kept = [block for block in self._blocks[first:pos] if block]
        self._blocks[first:pos] = kept
        self._maxima[first:pos] = [block[-1] for block in kept]
        self._tree = []
        for place in range(first + len(kept) - 1, first - 1, -1):
            self._join(place)
        return items

    # -- all at once

    def fill(self, items: list[T]) -> None:
        """Replace everything by `items`, which are sorted already. The list is not kept."""
        self.take_blocks([items[i : i + HALF] for i in range(0, len(items), HALF)], len(items))

    def take_blocks(self, blocks: list[list[T]], size: int) -> None:
        """Replace everything by blocks of up to HALF items, `size` in all, in order; they are kept."""
        self._blocks = blocks
        self._maxima = [block[-1] for block in blocks]
        self._tree = []
        self._size = size
        self._is_shared = False
        self._kept = None
        self._twins = None

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        return [self._blocks, self._maxima]

    def copy(self) -> "SortedBlocks[T]":
        """A list of its own. O(blocks): the two share the blocks until either of them changes one."""
        other = self._of_same_blocks()
        # (One that is freed leaves its id to another, which then is copied in vain.)
        self._twins = {id(block): None for block in self._blocks}
        other._twins = self._twins.copy()
        self._is_shared = other._is_shared = True
        return other

    def frozen(self) -> "SortedBlocks[T]":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(blocks): blocks are shared, and
        copied before they change. One frozen copy at a time."""
        other = self._of_same_blocks()
        self._kept = {id(block): block for block in self._blocks}
        self._is_shared = True
        return other

    def thaw(self) -> None:
        """The frozen copy is not needed any more."""
        self._kept = None
        self._is_shared = self._twins is not None

    def _of_same_blocks(self) -> "SortedBlocks[T]":
        other: SortedBlocks[T] = SortedBlocks()
        other._blocks = list(self._blocks)
        other._maxima = list(self._maxima)
        other._size = self._size
        return other

    # -- blocks

    def _own(self, pos: int) -> list[T]:
        """The block at `pos`, to be changed: a copy takes its place if another list has it, too."""
        block = self._blocks[pos]
        if not self._is_shared:
            return block
        number = id(block)
        twins = self._twins
        has_twin = twins is not None and number in twins
        if not has_twin and not (self._kept is not None and number in self._kept):
            return block
        if twins is not None and has_twin:
            del twins[number]
        block = list(block)
        self._blocks[pos] = block
        return block

    def _take(self, pos: int, index: int) -> None:
        block = self._own(pos)
        del block[index]
        self._size -= 1
        if not block:
            del self._blocks[pos]
            del self._maxima[pos]
            self._tree = []
            return
        if index == len(block):
            self._maxima[pos] = block[-1]
        if self._tree:
            self._count(pos, -1)
        if len(block) < _FEW:
            self._join(pos)

    def _split(self, pos: int) -> None:
        block = self._own(pos)
        self._blocks.insert(pos + 1, block[HALF:])
        del block[HALF:]
        self._maxima.insert(pos, block[-1])
        self._tree = []

    def _join(self, pos: int) -> None:
        """Put a small block and a neighbour together, if that leaves room to grow."""
        size = len(self._blocks[pos])
        if size >= _FEW:
            return
        if pos + 1 < len(self._blocks) and len(self._blocks[pos + 1]) + size <= HALF:
            left = pos
        elif pos > 0 and len(self._blocks[pos - 1]) + size <= HALF:
            left = pos - 1
        else:
            return
        joined = self._own(left)
        joined += self._blocks[left + 1]
        del self._blocks[left + 1]
        del self._maxima[left]
        self._tree = []

    # -- the Fenwick tree: tree[i] is the number of items in the `i & -i` blocks up to block i - 1

    def _build(self) -> None:
        tree = [0]
        for block in self._blocks:
            tree.append(len(block))
        n = len(tree)
        for i in range(1, n):
            above = i + (i & -i)
            if above < n:
                tree[above] += tree[i]
        self._tree = tree

    def _count(self, pos: int, change: int) -> None:
        tree = self._tree
        n: i64 = len(tree)
        i: i64 = pos + 1
        while i < n:
            tree[i] += change
            i += i & -i

    def _before(self, pos: int) -> int:
        """The number of items in the blocks before `pos`."""
        if pos == 0:
            return 0
        if not self._tree:
            self._build()
        tree = self._tree
        total = 0
        i: i64 = pos
        while i > 0:
            total += tree[i]
            i &= i - 1
        return total

    def _locate(self, rank: int) -> tuple[int, int]:
        """(block, index in it) of an existing rank."""
        if rank < len(self._blocks[0]):
            return 0, rank
        last = len(self._blocks) - 1
        from_end = int(self._size) - rank
        if from_end <= len(self._blocks[last]):
            return last, len(self._blocks[last]) - from_end
        if not self._tree:
            self._build()
        tree = self._tree
        n: i64 = len(tree)
        step: i64 = 1
        while step * 2 < n:
            step *= 2
        pos: i64 = 0
        while step > 0:
            if pos + step < n and tree[pos + step] <= rank:
                pos += step
                rank -= tree[pos]
            step >>= 1
        return int(pos), rank
