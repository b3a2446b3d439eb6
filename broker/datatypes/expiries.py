"""When keys expire: by key, and in the order of their times.

A heap of (time, key) with outdated entries was the alternative. It has to be built anew now and then, half a second at
a million keys, and so has a dict as it grows. Here each key stands in the order once, in a sorted block of at most 512.

A time-out that is put off, as sessions and caches do at each use, does not move the key: it stays where it was, and
moves when that time has come. So that costs one look-up.

Whoever brings many keys at once (a file is loaded) lets them wait, and has them put in order at the end, in steps:
that is several times faster than finding the place of each. Blocks are sorted when somebody looks into them.

Costs: get O(1); set, pop O(log n + block), or O(1) for one that is put off; the first one O(1). About 90 bytes a key.
Invariant: every key of `times` stands in the order once, at its mark: its time, or an earlier one, kept in `_marks`; or
it waits in `_late_keys`. Blocks follow each other; within one that is not `is_sorted` keys are in no order.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, cast

from mypy_extensions import i64

from broker.datatypes.table import Table

_MOST: Final = 512  # keys of a block; a block with more is split
_HALF: Final = 256
_FEW: Final = 64  # a block with fewer joins a neighbour that has room
_SAMPLES: Final = 4  # of each part of what came late

# A place is one number, time and then some bits of the key's hash: so that it is found among a million of equal times.
_NEAR: Final = 16  # keys that soonest() compares: some may have been put off
_HASH_BITS: Final = 20
_HASH_MASK: Final = (1 << _HASH_BITS) - 1
_LAST_MS: Final = (1 << 42) - 1  # in the year 2109; what is later stands there, and moves when it has come


def _place(when_ms: int, key: bytes) -> int:
    if when_ms < 0:
        when_ms = 0
    elif when_ms > _LAST_MS:
        when_ms = _LAST_MS
    when: i64 = when_ms
    code: i64 = hash(key) & _HASH_MASK
    return int(when << _HASH_BITS | code)


class _Block:
    def __init__(self, places: Iterable[int] = (), keys: list[bytes] | None = None, is_sorted: bool = True) -> None:
        self.places: array[int] = array("q", places)
        self.keys: list[bytes] = [] if keys is None else keys
        self.is_sorted = is_sorted
        self.is_shared = False  # another order may have it, too: nothing may come or go

    def sort(self) -> None:
        items = sorted(zip(self.places, self.keys, strict=True))
        self.places = array("q", [place for place, _ in items])
        self.keys = [key for _, key in items]
        self.is_sorted = True

    def copy(self) -> "_Block":
        other = _Block()
        other.places = self.places[:]
        other.keys = list(self.keys)
        other.is_sorted = self.is_sorted
        return other


def _append(block: _Block, blocks: list[_Block]) -> None:
    """Not one that is empty; one that is too large in parts."""
    size = len(block.keys)
    if size <= _MOST:
        if size:
            blocks.append(block)
        return
    block.sort()
    for start in range(0, size, _MOST):
        blocks.append(_Block(block.places[start : start + _MOST], block.keys[start : start + _MOST]))


class Expiries:
    """{key: Unix time in ms}. times: may be read by anybody; changes go through the methods."""

    def __init__(self) -> None:
        self.times = Table()  # {key: Unix time in ms}
        self._marks = Table()  # {key: time at which it stands in the order}, where that is not its own
        self._blocks: list[_Block] = []
        self._maxima: list[int] = []  # the last place of each block
        self._late_keys: list[bytes] = []  # that are not in the order yet
        self._late_places: list[int] = []  # theirs

    def __len__(self) -> int:
        return int(self.times.size)

    def get(self, key: bytes) -> int | None:
        return cast("int | None", self.times.get(key))

    def items(self) -> Iterator[tuple[bytes, int]]:
        """In no order. Not to be used while keys come or go."""
        for shard in self.times.shards():
            for key, when in shard.items():
                yield key, cast(int, when)

    def sample(self, count: int) -> list[int]:
        """The times of up to `count` keys."""
        found: list[int] = []
        for shard in self.times.shards():
            for when in shard.values():
                if len(found) == count:
                    return found
                found.append(cast(int, when))
        return found

    # -- many at once

    def set_late(self, key: bytes, when_ms: int) -> None:
        """As set(), for a key that has no time yet. It is not found to be due before arrange() is through."""
        self.times.set(key, when_ms)
        self._late_places.append(_place(when_ms, key))
        self._late_keys.append(key)

    def arrange(self) -> Iterator[None]:
        """Put in order what came late, in steps of some hundred keys. It counts when all of them are taken, and
        nothing else may be done to the order before that."""
        places = self._late_places
        keys = self._late_keys
        blocks: list[_Block] = []
        if not self._blocks and len(keys) >= _MOST:
            yield from self._cut_late(blocks)
            self._blocks = blocks
            self._maxima = [max(block.places) for block in blocks]
        self._late_places = []
        self._late_keys = []
        if not blocks:
            for i in range(len(keys)):
                self._add(places[i], keys[i])

    def _cut_late(self, blocks: list[_Block]) -> Iterator[None]:
        """Append it as blocks that follow each other; within them there need be no order. A sample tells where to cut
        for about half a block."""
        places = self._late_places
        keys = self._late_keys
        count = len(keys)
        number = count // _HALF
        sample = sorted(places[:: max(1, count // (number * _SAMPLES))])
        cuts = [sample[len(sample) * i // number] for i in range(1, number)]
        places_of: list[list[int]] = [[] for _ in range(number)]
        keys_of: list[list[bytes]] = [[] for _ in range(number)]
        for start in range(0, count, _MOST):
            for i in range(start, min(start + _MOST, count)):
                part = bisect_right(cuts, places[i])
                places_of[part].append(places[i])
                keys_of[part].append(keys[i])
            yield None
        for part in range(number):
            _append(_Block(places_of[part], keys_of[part], False), blocks)
            yield None

    def settle(self) -> None:
        """arrange() in one go, if anything came late."""
        if self._late_keys:
            for _ in self.arrange():
                pass

    # -- changing

    def set(self, key: bytes, when_ms: int) -> None:
        if self._late_keys:
            self.settle()
        times = self.times
        before = cast("int | None", times.get(key))
        times.set(key, when_ms)
        if before is None:
            self._add(_place(when_ms, key), key)
        elif before != when_ms:
            self._retime(key, before, when_ms)

    def _retime(self, key: bytes, before: int, when_ms: int) -> None:
        mark = self._mark_of(key, before)
        if when_ms > mark:
            self._marks.set(key, mark)
            return
        if self._marks.size:
            self._marks.pop(key)
        if when_ms < mark:
            self._remove(_place(mark, key), key)
            self._add(_place(when_ms, key), key)

    def _mark_of(self, key: bytes, when_ms: int) -> int:
        mark = self._marks.get(key) if self._marks.size else None
        return when_ms if mark is None else cast(int, mark)

    def pop(self, key: bytes) -> int | None:
        """The time that the key had; None when it had none."""
        if self._late_keys:
            self.settle()
        when = cast("int | None", self.times.pop(key))
        if when is not None:
            mark = self._mark_of(key, when)
            if self._marks.size:
                self._marks.pop(key)
            self._remove(_place(mark, key), key)
        return when

    # -- time

    def next_ms(self) -> int | None:
        """The earliest time at which first_due() may have something, or None."""
        return self._block(0).places[0] >> _HASH_BITS if self._blocks else None

    def first_due(self, now_ms: int) -> bytes | None:
        """A key whose time has come, of an earliest time; None when none has, or when one only had to be moved."""
        if not self._blocks:
            return None
        block = self._block(0)
        if block.places[0] >> _HASH_BITS > now_ms:
            return None
        key = block.keys[0]
        when = cast(int, self.times.get(key))
        if when <= now_ms:
            return key
        if self._marks.size:
            self._marks.pop(key)
        self._take(0, 0)
        self._add(_place(when, key), key)
        return None

    def soonest(self) -> bytes | None:
        """A key of about the earliest time, or None: the first of those few that stand first."""
        if not self._blocks:
            return None
        found: bytes | None = None
        earliest = 0
        for key in self._block(0).keys[:_NEAR]:
            when = cast(int, self.times.get(key))
            if found is None or when < earliest:
                found = key
                earliest = when
        return found

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart."""
        return [self.times.shards(), self._marks.shards(), self._blocks, self._late_keys]

    def copy(self) -> "Expiries":
        """O(n / block), about: the two share what they are made of until either of them changes it."""
        self.settle()
        other = Expiries()
        other.times = self.times.copy()
        other._marks = self._marks.copy()
        for block in self._blocks:
            block.is_shared = True
        other._blocks = list(self._blocks)
        other._maxima = list(self._maxima)
        return other

    # -- the order

    def _block(self, pos: int) -> _Block:
        block = self._blocks[pos]
        if not block.is_sorted:
            block.sort()
        return block

    def _add(self, place: int, key: bytes) -> None:
        maxima = self._maxima
        last = len(maxima) - 1
        if last < 0 or place >= maxima[last]:
            if last < 0 or len(self._blocks[last].keys) >= _MOST:
                # Times that rise leave full blocks behind, not halves.
                self._blocks.append(_Block())
                maxima.append(place)
                last += 1
            else:
                maxima[last] = place
            block = self._own(last)
            block.places.append(place)
            block.keys.append(key)
            return
        pos = bisect_left(maxima, place)
        block = self._block(pos)
        if len(block.keys) >= _MOST:
            self._split(pos)
            if maxima[pos] < place:
                pos += 1
        block = self._own(pos)
        index = bisect_left(block.places, place)
        block.places.insert(index, place)
        block.keys.insert(index, key)

    def _own(self, pos: int) -> _Block:
        """The block at `pos`, to be changed."""
        block = self._block(pos)
        if block.is_shared:
            block = block.copy()
            self._blocks[pos] = block
        return block

    def _split(self, pos: int) -> None:
        block = self._own(pos)
        rest = _Block()
        rest.places = block.places[_HALF:]
        rest.keys = block.keys[_HALF:]
        del block.places[_HALF:]
        del block.keys[_HALF:]
        self._blocks.insert(pos + 1, rest)
        self._maxima.insert(pos, block.places[_HALF - 1])

    def _remove(self, place: int, key: bytes) -> None:
        """It must be there. Equal places, and there are few of a kind, may go over the end of a block."""
        pos = bisect_left(self._maxima, place)
        index = bisect_left(self._block(pos).places, place)
        while True:
            keys = self._block(pos).keys
            while index < len(keys):
                if keys[index] == key:
                    self._take(pos, index)
                    return
                index += 1
            pos += 1
            index = 0

    def _take(self, pos: int, index: int) -> None:
        block = self._own(pos)
        del block.places[index]
        del block.keys[index]
        size: i64 = len(block.keys)
        if size == 0:
            del self._blocks[pos]
            del self._maxima[pos]
            return
        if index == size:
            self._maxima[pos] = block.places[size - 1]
        if size < _FEW and size % 16 == 0:  # not at each of the last ones, when a block is emptied in order
            self._join(pos, int(size))

    def _join(self, pos: int, size: int) -> None:
        """Put a small block and a neighbour together, if that leaves room to grow."""
        if pos + 1 < len(self._blocks) and len(self._blocks[pos + 1].keys) + size <= _HALF:
            left = pos
        elif pos > 0 and len(self._blocks[pos - 1].keys) + size <= _HALF:
            left = pos - 1
        else:
            return
        joined, gone = self._own(left), self._block(left + 1)
        joined.places += gone.places
        joined.keys += gone.keys
        del self._blocks[left + 1]
        del self._maxima[left]
