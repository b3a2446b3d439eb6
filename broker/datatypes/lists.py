"""A list of values in blocks.

Costs: push and pop at both ends O(1); get, set, insert, slice O(n / block) to find the place, once after each change
that moves blocks, and O(log n) until the next one, plus what is moved or returned; remove and find O(n). An outer list
of thousands of blocks moves its pointers when a block comes or goes in front, once in `_MOST` pushes: not worth a
deque, which has no slices.

Invariant: there is always a block, and none is empty unless the list is. Order is the order of blocks. `_marks[k]` is
the number of values in the `k * _STRIDE` blocks behind the first one, and the last block is not among them: so pushing
and popping within the blocks at both ends leaves the marks right.
"""

from bisect import bisect_right
from typing import Final

from mypy_extensions import i64

from broker.datatypes.trash import LARGE, TRASH

_MOST: Final = 128  # values of a block. A push in front moves at most 1 KiB of pointers
_STRIDE: Final = 64  # blocks between two marks
_FAR: Final = 8192  # values from the nearer end: from there on marks are quicker than walking
_OVERHEAD: Final = 33  # of a bytes object in CPython

# approximate_bytes(): as sys.getsizeof gives them.
_LIST_BYTES: Final = 150  # the object, its outer list and one inner list
_BLOCK_BYTES: Final = 72
_SAMPLES: Final = 64


class ListValue:
    def __init__(self) -> None:
        self._blocks: list[list[bytes]] = [[]]
        self._marks: list[int] | None = None  # made when somebody looks into the middle
        self._kept: dict[int, list[bytes]] | None = None  # by id(): blocks that frozen() gave away
        self.size: i64 = 0

    def __len__(self) -> int:
        return int(self.size)

    # -- the ends

    def push_left(self, value: bytes) -> None:
        block = self._blocks[0]
        if len(block) >= _MOST:
            block = []
            self._blocks.insert(0, block)
            self._marks = None
        elif self._kept is not None:
            block = self._own(0)
        block.insert(0, value)
        self.size += 1

    def push_right(self, value: bytes) -> None:
        block = self._blocks[-1]
        if len(block) >= _MOST:
            block = []
            self._blocks.append(block)
        elif self._kept is not None:
            block = self._own(len(self._blocks) - 1)
        block.append(value)
        self.size += 1

    def extend(self, values: list[bytes]) -> None:
        """push_right() of all of them."""
        at: i64 = 0
        size: i64 = len(values)
        while at < size:
            block = self._blocks[-1]
            room: i64 = _MOST - len(block)
            if room == 0:
                block = []
                self._blocks.append(block)
                room = _MOST
            block += values[at : at + room]
            at += room
        self.size += size

    def pop_left(self) -> bytes:
        """IndexError when the list is empty."""
        block = self._blocks[0] if self._kept is None else self._own(0)
        value = block.pop(0)
        self.size -= 1
        if not block and len(self._blocks) > 1:
            del self._blocks[0]
            self._marks = None
        return value

    def pop_right(self) -> bytes:
        """IndexError when the list is empty."""
        block = self._blocks[-1] if self._kept is None else self._own(len(self._blocks) - 1)
        value = block.pop()
        self.size -= 1
        if not block and len(self._blocks) > 1:
            self._blocks.pop()
            if self._marks is not None:
                self._cut_marks()
        return value

    def take_left(self, count: int) -> list[bytes]:
        """Up to `count` values from the left, removed, in the order in which single pops would give them."""
        count = min(count, int(self.size))
        values = self.slice(0, count)
        self.trim(count, int(self.size))
        return values

    def take_right(self, count: int) -> list[bytes]:
        """Up to `count` values from the right, removed, in the order in which single pops would give them."""
        keep = int(self.size) - min(count, int(self.size))
        values = self.slice(keep, int(self.size))
        values.reverse()
        self.trim(0, keep)
        return values

    # -- by index, 0 <= index < size

    def get(self, index: int) -> bytes:
        """IndexError when there is none."""
        pos, offset = self._locate(index)
        return self._blocks[pos][offset]

    def set(self, index: int, value: bytes) -> None:
        """IndexError when there is none."""
        pos, offset = self._locate(index)
        self._own(pos)[offset] = value

    def slice(self, start: int, stop: int) -> list[bytes]:
        """The values at start <= index < stop, in order; 0 <= start, and indexes from the size on are left out."""
        left = min(stop, int(self.size)) - start
        if left <= 0:
            return []
        pos, offset = self._locate(start)
        values = self._blocks[pos][offset : offset + left]
        left -= len(values)
        while left > 0:
            pos += 1
            block = self._blocks[pos]
            values += block if len(block) <= left else block[:left]
            left -= len(block)
        return values

    def insert(self, index: int, value: bytes) -> None:
        """Put `value` before the one at `index`; at the end when index is the size."""
        if index >= self.size:
            self.push_right(value)
            return
        pos, offset = self._locate(index)
        block = self._own(pos)
        self._marks = None
        if len(block) >= _MOST:
            half = _MOST // 2
            self._blocks.insert(pos + 1, block[half:])
            del block[half:]
            if offset > half:
                block = self._blocks[pos + 1]
                offset -= half
        block.insert(offset, value)
        self.size += 1

    def trim(self, start: int, stop: int) -> None:
        """Keep the values at start <= index < stop; 0 <= start, stop <= size."""
        if start >= stop:
            if len(self._blocks) > LARGE:
                TRASH.add([self._blocks])
            self._blocks = [[]]
            self._marks = None
            self.size = 0
            return
        if stop < self.size:
            pos, offset = self._locate(stop - 1)
            if len(self._blocks) - pos > LARGE:
                TRASH.add([self._blocks[pos + 1 :]])
            del self._blocks[pos + 1 :]
            del self._own(pos)[offset + 1 :]
            self._cut_marks()
            self.size = stop
        if start > 0:
            pos, offset = self._locate(start)
            if pos > LARGE:
                TRASH.add([self._blocks[:pos]])
            if pos > 0:
                del self._blocks[:pos]
                self._marks = None
            del self._own(0)[:offset]
            self.size -= start

    # -- by value

    def find(self, value: bytes) -> int:
        """The index of the first that is equal, or -1."""
        before = 0
        for block in self._blocks:
            if value in block:
                return before + block.index(value)
            before += len(block)
        return -1

    def positions(self, value: bytes, rank: int, count: int, most: int) -> list[int]:
        """Indexes of the values that are equal to `value`.

        rank: the match to begin with, from 1 on; negative ones search from the end. count: how many, 0 is all.
        most: how many values to look at, 0 is all.
        """
        size = int(self.size)
        forward = rank > 0
        skip = abs(rank) - 1
        limit = most if 0 < most < size else size
        seen = 0
        found: list[int] = []
        for block in self._blocks if forward else self._blocks[::-1]:
            if value in block:
                for item in block if forward else block[::-1]:
                    if seen == limit:
                        return found
                    if item == value:
                        if skip > 0:
                            skip -= 1
                        else:
                            found.append(seen if forward else size - 1 - seen)
                            if len(found) == count:
                                return found
                    seen += 1
            else:
                seen += len(block)
            if seen >= limit:
                return found
        return found

    def remove(self, value: bytes, count: int) -> int:
        """Remove the first `count` that are equal, the last -count when negative, all when 0. The number removed."""
        left = abs(count) if count else int(self.size)
        removed = 0
        places = range(len(self._blocks))
        for pos in places if count >= 0 else reversed(places):
            if left == 0:
                break
            if value in self._blocks[pos]:
                here = _remove_from(self._own(pos), value, left, count >= 0)
                left -= here
                removed += here
        if removed:
            self.size -= removed
            self._marks = None
            self._tidy()
        return removed

    # -- all at once

    def values(self) -> list[bytes]:
        return self.slice(0, int(self.size))

    def blocks(self) -> list[list[bytes]]:
        """The lists that it is made of, to walk them in parts. Not to be changed."""
        return self._blocks

    def copy(self) -> "ListValue":
        other = ListValue()
        other._blocks = [list(block) for block in self._blocks]
        other.size = self.size
        return other

    def frozen(self) -> "ListValue":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(n / block): blocks are shared,
        and copied before they change. One frozen copy at a time."""
        other = ListValue()
        other._blocks = list(self._blocks)
        other.size = self.size
        self._kept = {id(block): block for block in self._blocks}
        return other

    def thaw(self) -> None:
        """The frozen copy is not needed any more."""
        self._kept = None

    def approximate_bytes(self) -> int:
        """Memory of the whole list, from the sizes of a sample of its values."""
        size = int(self.size)
        sample = self.slice(0, _SAMPLES // 2) + self.slice(max(size - _SAMPLES // 2, _SAMPLES // 2), size)
        values = sum([len(value) for value in sample]) * size // max(len(sample), 1)
        return _LIST_BYTES + _BLOCK_BYTES * len(self._blocks) + (8 + _OVERHEAD) * size + values

    # -- blocks

    def _own(self, pos: int) -> list[bytes]:
        """The block at `pos`, to be changed: a copy takes its place if a frozen list has it, too."""
        block = self._blocks[pos]
        if self._kept is not None and id(block) in self._kept:
            block = list(block)
            self._blocks[pos] = block
        return block

    def _locate(self, index: int) -> tuple[int, int]:
        """(block, index in it), from the nearer end."""
        blocks = self._blocks
        size: i64 = self.size
        at: i64 = index
        if at < 0 or at >= size:
            raise IndexError(index)
        if at > _FAR and size - at > _FAR:
            return self._locate_far(at)
        pos: i64 = 0
        if 2 * at <= size:
            while True:
                n: i64 = len(blocks[pos])
                if at < n:
                    return int(pos), int(at)
                at -= n
                pos += 1
        pos = len(blocks)
        while True:
            pos -= 1
            size -= len(blocks[pos])
            if at >= size:
                return int(pos), int(at - size)

    def _locate_far(self, at: i64) -> tuple[int, int]:
        """As _locate(), for an index behind the first block and before the last one."""
        blocks = self._blocks
        marks = self._marks
        if marks is None:
            marks = [0]
            self._marks = marks
        at -= len(blocks[0])
        while marks[-1] <= at and 1 + len(marks) * _STRIDE < len(blocks):
            total = marks[-1]
            for block in blocks[1 + (len(marks) - 1) * _STRIDE : 1 + len(marks) * _STRIDE]:
                total += len(block)
            marks.append(total)
        mark = bisect_right(marks, int(at)) - 1
        at -= marks[mark]
        pos: i64 = 1 + mark * _STRIDE
        while True:
            n: i64 = len(blocks[pos])
            if at < n:
                return int(pos), int(at)
            at -= n
            pos += 1

    def _cut_marks(self) -> None:
        """Blocks went at the end."""
        marks = self._marks
        if marks is not None:
            while len(marks) > 1 and len(self._blocks) <= 1 + (len(marks) - 1) * _STRIDE:
                marks.pop()

    def _tidy(self) -> None:
        """After removals anywhere: no empty blocks, and not many small ones."""
        blocks = [block for block in self._blocks if block]
        if len(blocks) * (_MOST // 4) > self.size + _MOST:
            flat: list[bytes] = []
            for block in blocks:
                flat += block
            blocks = [flat[i : i + _MOST // 2] for i in range(0, len(flat), _MOST // 2)]
        self._blocks = blocks if blocks else [[]]


def _remove_from(block: list[bytes], value: bytes, most: int, forward: bool) -> int:
    """Remove up to `most` values from one block, from its beginning or from its end. The number removed."""
    if block.count(value) <= most:
        kept = [item for item in block if item != value]
        removed = len(block) - len(kept)
        block[:] = kept
        return removed
    if forward:
        for _ in range(most):
            block.remove(value)
        return most
    block.reverse()
    for _ in range(most):
        block.remove(value)
    block.reverse()
    return most
