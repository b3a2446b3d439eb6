"""A hash table that grows a little at a time and can be walked under writes.

Python's dict is fast, but it doubles in one go (tens of milliseconds at a million keys), and it cannot be resumed from
a cursor. This table is a list of small dicts: linear hashing splits one of them at a time, so that no insert costs more
than a few microseconds, and a cursor walks the dicts in reverse binary order, as Redis does, so that whatever is in the
table from the first call of a walk to its last is returned at least once.

Costs: get, set, pop O(1); scan O(count); random_key O(1) expected; keys, items, values O(n); copy, frozen O(n / 24).
Invariant: key k lives in shard `hash(k) & mask`, or in `hash(k) & (2 * mask + 1)` when the first is below `split`.
"""

from collections.abc import Iterator
from itertools import islice
from random import Random
from sys import getsizeof
from typing import Final

from mypy_extensions import i64

_LOAD: Final = 24  # keys a shard, on average, before one is split: about what SCAN returns for COUNT 10
_MOST_RESERVED: Final = 1 << 17  # shards: some milliseconds to make them
_SAMPLES: Final = 8  # keys of each of a few dicts that approximate_bytes() looks at


class Table:
    """{bytes: object} with cursors. None is no value.

    A small table is one dict and nothing else: `_shards` is empty until there are two.
    """

    def __init__(self) -> None:
        self._first: dict[bytes, object] = {}
        self._shards: list[dict[bytes, object]] = _NO_SHARDS
        self._count: i64 = 1  # of shards; 1 is the common case of small tables and has a way of its own
        self._mask: i64 = 0  # 2**level - 1
        self._wide: i64 = 1  # 2 * mask + 1
        self._split: i64 = 0  # the shards below this one are split already
        self._is_shared = False  # one of the next two is not None
        self._kept: list[dict[bytes, object]] | None = None  # what frozen() gave away: not to be changed in place
        self._twins: bytearray | None = None  # by shard, 1: some table that came or went by copy() may have it, too
        self.size: i64 = 0

    def __len__(self) -> int:
        return int(self.size)

    def _shard(self, key: bytes) -> dict[bytes, object]:
        if self._count == 1:
            return self._first
        code: i64 = hash(key)
        index: i64 = code & self._mask
        if index < self._split:
            index = code & self._wide
        return self._shards[index]

    def shards(self) -> list[dict[bytes, object]]:
        """The dicts that the table is made of, to walk them without a generator. Not to be changed."""
        return self._shards if self._count > 1 else [self._first]

    def exchange(self, key: bytes, value: object) -> object | None:
        """As set(); what was there before, or None."""
        shard = self._first if self._count == 1 else self._shard(key)
        if self._is_shared:
            shard = self._own(key, shard)
        before = shard.get(key)
        shard[key] = value
        if before is None:
            self.size += 1
            if self.size > _LOAD * self._count:
                self._grow()
        return before

    def get(self, key: bytes) -> object | None:
        if self._count == 1:
            return self._first.get(key)
        return self._shard(key).get(key)

    def has(self, key: bytes) -> bool:
        if self._count == 1:
            return key in self._first
        return key in self._shard(key)

    def set(self, key: bytes, value: object) -> bool:
        """True when the key is new."""
        shard = self._first if self._count == 1 else self._shard(key)
        if self._is_shared:
            shard = self._own(key, shard)
        before: i64 = len(shard)
        shard[key] = value
        after: i64 = len(shard)
        if after == before:
            return False
        self.size += 1
        if self.size > _LOAD * self._count:
            self._grow()
        return True

    def pop(self, key: bytes) -> object | None:
        shard = self._shard(key)
        if self._is_shared:
            shard = self._own(key, shard)
        value = shard.pop(key, None)
        if value is not None:
            self.size -= 1
            if self._count > 1 and self.size * 4 < _LOAD * self._count:
                self._shrink()
        return value

    def clear(self) -> None:
        self._first = {}
        self._shards = _NO_SHARDS
        self._count = 1
        self._mask = 0
        self._wide = 1
        self._split = 0
        self._is_shared = False
        self._kept = None
        self._twins = None
        self.size = 0

    def copy(self) -> "Table":
        """A table of its own with the same values. The two share the dicts until either of them changes one."""
        if self._count == 1:
            other = Table()
            other._first = self._first.copy()
            other.size = self.size
            return other
        other = self._of_same_dicts()
        other._twins = bytearray(b"\x01") * len(self._shards)
        self._twins = bytearray(b"\x01") * len(self._shards)
        self._is_shared = other._is_shared = True
        return other

    def _of_same_dicts(self) -> "Table":
        other = Table()
        other._count = self._count
        other._mask = self._mask
        other._wide = self._wide
        other._split = self._split
        other.size = self.size
        other._shards = self._shards.copy()
        other._first = other._shards[0]
        return other

    # -- a copy that shares what does not change

    def frozen(self) -> "Table":
        """The table as it is now, for reading only: O(shards), whatever is done to this one afterwards.

        It shares the dicts; one of them is copied here before it changes for the first time, until thaw(). Values are
        not copied. There may be one frozen copy at a time: another one lets the first follow the changes.
        """
        self.thaw()
        if self._count == 1:
            return self.copy()
        other = self._of_same_dicts()
        self._kept = other._shards
        self._is_shared = True
        return other

    def thaw(self) -> None:
        """The frozen copy is not needed any more."""
        self._kept = None
        self._is_shared = self._twins is not None

    def _own(self, key: bytes, shard: dict[bytes, object]) -> dict[bytes, object]:
        """The shard of `key`, to be changed: a copy takes its place if another table has it, too."""
        if self._count == 1:
            return shard
        index = self.place(key)
        kept = self._kept
        twins = self._twins
        is_kept = kept is not None and index < len(kept) and kept[index] is shard
        has_twin = twins is not None and index < len(twins) and twins[index] != 0
        if not is_kept and not has_twin:
            return shard
        if twins is not None and has_twin:
            twins[index] = 0
        shard = shard.copy()
        self._shards[index] = shard
        if index == 0:
            self._first = shard
        return shard

    def place(self, key: bytes) -> i64:
        """The number of the shard in which `key` is, or would be."""
        code: i64 = hash(key)
        index: i64 = code & self._mask
        if index < self._split:
            index = code & self._wide
        return index

    def shard_count(self) -> i64:
        return self._count

    def take_shard(self, index: i64) -> dict[bytes, object]:
        """Of a frozen table: that shard, which it has no longer. Whoever it was taken from need not keep it either."""
        if self._count == 1:
            return self._first
        shard = self._shards[index]
        self._shards[index] = _TAKEN
        if index == 0:
            self._first = _TAKEN
        return shard

    def approximate_bytes(self) -> int:
        """Memory of the table with its keys, without its values, projected from a sample."""
        shards = self.shards()
        chosen = shards[:: len(shards) // 8 + 1]  # spread out: those that were split are smaller than those that wait
        structure = sum([getsizeof(shard) for shard in chosen]) * len(shards) // len(chosen)
        if len(shards) > 1:
            structure += getsizeof(shards)
        sampled = 0
        keys = 0
        for shard in chosen:
            for key in islice(shard, _SAMPLES):
                keys += getsizeof(key)
                sampled += 1
        return 72 + structure + (keys * int(self.size) // sampled if sampled else 0)  # 72: this object

    # -- resizing

    def reserve(self, count: int) -> None:
        """Room for about `count` keys, which then need not be moved as they come. O(count / 24), and O(n) at once: for
        a table that has few keys yet, or none."""
        shards: i64 = min(count // _LOAD, _MOST_RESERVED)
        if shards < 2 or shards <= self._count or self._kept is not None:
            return
        before = self.shards()
        mask: i64 = 1
        while 2 * mask + 2 <= shards:
            mask = 2 * mask + 1
        self._shards = [{} for _ in range(shards)]
        self._twins = None
        self._is_shared = False
        self._count = shards
        self._mask = mask
        self._wide = 2 * mask + 1
        self._split = shards - mask - 1
        for shard in before:
            for key, value in shard.items():
                self._shards[self.place(key)][key] = value
        self._first = self._shards[0]

    def _grow(self) -> None:
        """Split the next shard in turn: its keys go to it and to a new last one."""
        if self._count == 1:
            self._shards = [self._first]
        wide: i64 = self._wide
        split: i64 = self._split
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
            self._wide = 2 * wide + 1
            self._split = 0

    def _shrink(self) -> None:
        """Undo the last split."""
        if self._split == 0:
            self._wide = self._mask
            self._mask >>= 1
            self._split = self._mask + 1
        self._split -= 1
        self._count -= 1
        merged = self._shards[self._split].copy()
        merged.update(self._shards.pop())
        self._shards[self._split] = merged
        if self._split == 0:
            self._first = merged
        if self._count == 1:
            self._shards = _NO_SHARDS

    # -- walking

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """Up to two shards more than `count` keys from `cursor` on, and the cursor to go on with; 0 begins and ends.

        Any cursor is taken: its bits beyond those in use are ignored.
        """
        if self._count == 1:
            return 0, list(self._first)
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
        if self._count == 1:
            return _key_at(self._first, int(rng.random() * int(self.size)))
        limit = max([len(shard) for shard in self._shards]) if self._count <= 8 else 4 * _LOAD
        count = int(self._count)
        while True:
            shard = self._shards[int(rng.random() * count)]
            index = int(rng.random() * limit)
            if len(shard) > limit:
                limit = len(shard)  # a rare overfull shard: from now on it has its fair share
            elif index < len(shard):
                return _key_at(shard, index)

    def sample(self, count: int, rng: Random) -> list[bytes]:
        """`count` different keys, each subset with the same chance; all keys when there are not as many.

        Few are drawn one by one; when that would hit the same ones too often, all are listed and a part is taken.
        """
        size = int(self.size)
        if count >= size:
            return self.key_list()
        if count * 3 > size:
            return rng.sample(self.key_list(), count)
        drawn: dict[bytes, None] = {}
        while len(drawn) < count:
            key = self.random_key(rng)
            if key is not None:
                drawn[key] = None
        return list(drawn)

    def draw(self, count: int, rng: Random) -> list[bytes]:
        """sample() for a count of 0 or more; `-count` independent draws for one below, none when the table is empty."""
        if count >= 0:
            return self.sample(count, rng)
        drawn: list[bytes] = []
        for _ in range(-count):
            key = self.random_key(rng)
            if key is None:
                break
            drawn.append(key)
        return drawn

    def some(self, count: int) -> list[bytes]:
        """Up to `count` keys and one shard more, those of the last shards: these go first when the table shrinks."""
        found: list[bytes] = []
        for shard in reversed(self.shards()):
            found.extend(shard)
            if len(found) >= count:
                break
        return found

    def key_list(self) -> list[bytes]:
        """All keys. Faster than keys(), and the table may change meanwhile."""
        if self._count == 1:
            return list(self._first)
        found: list[bytes] = []
        for shard in self._shards:
            found.extend(shard)
        return found

    def keys(self) -> Iterator[bytes]:
        for shard in self.shards():
            yield from shard

    def items(self) -> Iterator[tuple[bytes, object]]:
        for shard in self.shards():
            yield from shard.items()

    def values(self) -> Iterator[object]:
        for shard in self.shards():
            yield from shard.values()


_NO_SHARDS: Final[list[dict[bytes, object]]] = []  # shared by all small tables, never written to
_TAKEN: Final[dict[bytes, object]] = {}  # likewise


def _key_at(shard: dict[bytes, object], index: int) -> bytes | None:
    """The key at a place; that is a walk, but shards are small."""
    for key in islice(shard, index, None):
        return key
    return None


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
