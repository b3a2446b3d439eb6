"""A hash table that grows a little at a time and can be walked under writes.

Python's dict is fast, but it doubles in one go (tens of milliseconds at a million keys), and it cannot be resumed from
a cursor. This table is a list of small dicts: linear hashing splits one of them at a time, so that no insert costs more
than a few microseconds, and a cursor walks the dicts in reverse binary order, as Redis does, so that whatever is in the
table from the first call of a walk to its last is returned at least once.

Costs: get, set, pop O(1); scan O(count); random_key O(1) expected.
Invariant: key k lives in shard `hash(k) & mask`, or in `hash(k) & (2 * mask + 1)` when the first is below `split`.
"""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Final

from mypy_extensions import i64

_LOAD: Final = 24  # keys a shard, on average, before one is split: about what SCAN returns for COUNT 10


class Table:
    """{bytes: object} with cursors. None is no value."""

    def __init__(self) -> None:
        self._shards: list[dict[bytes, object]] = [{}]
        self._first: dict[bytes, object] = self._shards[0]
        self._mask: i64 = 0  # 2**level - 1
        self._split: i64 = 0  # the shards below this one are split already
        self._count: i64 = 1  # of shards; 1 is the common case of small tables and has a way of its own
        self.size: i64 = 0

    def __len__(self) -> int:
        return int(self.size)

    def _shard(self, key: bytes) -> dict[bytes, object]:
        if self._count == 1:
            return self._first
        code: i64 = hash(key)
        index: i64 = code & self._mask
        if index < self._split:
            index = code & (2 * self._mask + 1)
        return self._shards[index]

    def get(self, key: bytes) -> object | None:
        if self._count == 1:
            return self._first.get(key)
        return self._shard(key).get(key)

    def has(self, key: bytes) -> bool:
        return key in self._shard(key)

    def set(self, key: bytes, value: object) -> bool:
        """True when the key is new."""
        shard = self._first if self._count == 1 else self._shard(key)
        before: i64 = len(shard)
        shard[key] = value
        if len(shard) == before:
            return False
        self.size += 1
        if self.size > _LOAD * self._count:
            self._grow()
        return True

    def pop(self, key: bytes) -> object | None:
        value = self._shard(key).pop(key, None)
        if value is not None:
            self.size -= 1
            if self._count > 1 and self.size * 4 < _LOAD * self._count:
                self._shrink()
        return value

    def clear(self) -> None:
        self._shards = [{}]
        self._first = self._shards[0]
        self._mask = 0
        self._split = 0
        self._count = 1
        self.size = 0

    def _grow(self) -> None:
        """Split the next shard in turn: its keys go to it and to a new last one."""
        wide: i64 = 2 * self._mask + 1
        split = self._split
        stay: dict[bytes, object] = {}
        move: dict[bytes, object] = {}
        for key, value in self._shards[split].items():
            code: i64 = hash(key)
            if code & wide == split:
                stay[key] = value
            else:
                move[key] = value
        self._shards[split] = stay
        self._shards.append(move)
        if split == 0:
            self._first = stay
        self._count += 1
        self._split += 1
        if self._split > self._mask:
            self._mask = wide
            self._split = 0

    def _shrink(self) -> None:
        """Undo the last split."""
        if self._split == 0:
            self._mask >>= 1
            self._split = self._mask + 1
        self._split -= 1
        self._count -= 1
        merged = dict(self._shards[self._split])
        merged.update(self._shards.pop())
        self._shards[self._split] = merged
        if self._split == 0:
            self._first = merged

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Up to a shard more than `count` keys from `cursor` on, and the cursor to go on with; 0 begins and ends."""
        keys: list[bytes] = []
        position: i64 = cursor & int(self._mask)
        while True:
            keys.extend(self._shards[position])
            if position < self._split:
                keys.extend(self._shards[position + self._mask + 1])
            position = _next_reversed(position, self._mask)
            if position == 0 or len(keys) >= count:
                return int(position), keys

    def random_key(self, rng: Random) -> bytes | None:
        """A key, each with the same chance; None when there is none.

        Shards are drawn evenly, so a draw is rejected in proportion to how much smaller its shard is than the limit.
        """
        if self.size == 0:
            return None
        limit = max(len(shard) for shard in self._shards) if self._count <= 8 else 4 * _LOAD
        while True:
            shard = self._shards[int(rng.random() * int(self._count))]
            index = int(rng.random() * limit)
            if len(shard) > limit:
                limit = len(shard)  # a rare overfull shard: from now on it has its fair share
            elif index < len(shard):
                for key in islice(shard, index, None):
                    return key

    def keys(self) -> Iterator[bytes]:
        for shard in self._shards:
            yield from shard

    def items(self) -> Iterator[tuple[bytes, object]]:
        for shard in self._shards:
            yield from shard.items()

    def values(self) -> Iterator[object]:
        for shard in self._shards:
            yield from shard.values()


def _next_reversed(position: i64, mask: i64) -> i64:
    """Add one to `position` with its bits read from the other end; 0 when it wraps.

    In that order a table may double or halve between two calls: the shards that a visited one was split into differ
    from it in higher bits only, and come before the cursor too. Redis: dictScan in dict.c.
    """
    bit: i64 = (mask + 1) >> 1
    while bit != 0 and position & bit != 0:
        position ^= bit
        bit >>= 1
    return position | bit
