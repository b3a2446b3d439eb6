"""What a snapshot has yet to take of one database.

At the point in time of the snapshot the table is frozen (datatypes/table.py), which costs next to nothing. From then
on the snapshot walks it in slices; and whoever is about to change a key first calls keep(), which freezes the value as
it was, unless it was taken already. So the snapshot is exact however much is written meanwhile, and the memory it takes
is that of what changed before the walk got there.

Costs: keep O(1) for a string, O(blocks) for other values, once for each key; take O(1) for each key.
Invariant: each key of the frozen table is given exactly once: by the walk, or before it by keep().
"""

from collections import deque
from sys import getrefcount
from typing import Final

from mypy_extensions import i64

from broker.datatypes.expiries import Expiries
from broker.datatypes.frozen_text import LEAST, freeze, give_back
from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import Stream
from broker.datatypes.table import Table
from broker.keyspace.disposal import dispose
from broker.keyspace.usage import Hints, Usage

NEVER: Final = -1
_SKETCH: Final = b"HYLL"  # a HyperLogLog, which is changed in ways of its own; it is small


class Piece:
    """A key as it was at the point of the snapshot. expire_at_ms: Unix time, or NEVER.

    value: bytes, or a frozen copy; the value itself where nothing can change it (is_still). done() has to be called
    when it is not needed any more. use: see Hints.
    """

    def __init__(
        self, database: int, key: bytes, source: object, expire_at_ms: int, use: int, is_still: bool = False
    ) -> None:
        self.database: Final = database
        self.key: Final = key
        self.value: Final = source if is_still else frozen(source)
        self.expire_at_ms: Final = expire_at_ms
        self.use: Final = use
        self._source: Final = source
        self._is_still: Final = is_still

    def done(self) -> None:
        if self._is_still:
            return
        thaw(self._source)
        if _references({b"": self._source}, b"") <= _ALONE + 1:  # it was deleted meanwhile
            dispose(self._source)


class Unsaved:
    """kept: what keep() adds its pieces to, oldest first.

    expires: the very object of the database; what it says of a key that was not kept yet is as it was at the point.
    usage: likewise; it goes on, but what it says is a hint.
    """

    def __init__(
        self, database: int, table: Table, expires: Expiries, kept: deque[Piece], usage: Usage, hints: Hints
    ) -> None:
        self.database: Final = database
        self.size: Final = int(table.size)
        self._kept: Final = kept
        self._source: Final = table
        self._frozen: Final = table.frozen()
        self._expires: Final = expires
        self._usage: Final = usage
        self._hints: Final = hints
        self._position: i64 = 0  # of the shard that the walk takes next
        self._walked: dict[bytes, object] = {}  # what is left of the one before it
        self._early: dict[bytes, None] = {}  # keys further on that keep() has given

    def keep(self, key: bytes) -> None:
        """Before the key, its value or its expiry changes."""
        value: object | None = None
        if self._frozen.place(key) < self._position:
            if self._walked:
                value = self._walked.pop(key, None)
        elif key not in self._early:
            value = self._frozen.get(key)
            if value is not None:
                self._early[key] = None
        if value is not None:
            self._kept.append(self._piece(key, value))

    def take(self) -> Piece | None:
        """The next key of the walk; None at its end."""
        while not self._walked:
            if self._position >= self._frozen.shard_count():
                return None
            self._take_shard()
        key, value = self._walked.popitem()
        return self._piece(key, value)

    def _take_shard(self) -> None:
        walked = self._frozen.take_shard(self._position).copy()  # the other one may change from now on
        self._position += 1
        if self._early:
            for key in list(walked):
                if key in self._early:
                    if _references(walked, key) <= _ALONE:
                        dispose(walked[key])  # likewise
                    del walked[key]
                    del self._early[key]
        self._walked = walked

    def _piece(self, key: bytes, value: object) -> Piece:
        when = self._expires.get(key)
        return Piece(self.database, key, value, NEVER if when is None else when, self._hints.of(self._usage, key))

    def release(self) -> None:
        """Nothing more is taken."""
        self._source.thaw()


def _references(values: dict[bytes, object], key: bytes) -> int:
    return getrefcount(values[key])


_ALONE: Final = _references({b"": HashValue()}, b"")  # when nobody else has the value


def frozen(value: object) -> object:
    """The value as it is now, whatever is done to it until thaw()."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        if len(value) < LEAST or value.startswith(_SKETCH):
            return bytes(value)
        return freeze(value)
    if isinstance(value, HashValue):
        return value.frozen()
    if isinstance(value, ListValue):
        return value.frozen()
    if isinstance(value, SetValue):
        return value.frozen()
    if isinstance(value, SortedSet):
        return value.frozen()
    if isinstance(value, Stream):
        return value.frozen()
    raise TypeError(f"no value of the keyspace: {type(value).__name__}")


def thaw(value: object) -> None:
    if isinstance(value, bytes):
        return
    if isinstance(value, bytearray):
        give_back(value)
    elif isinstance(value, HashValue):
        value.thaw()
    elif isinstance(value, ListValue):
        value.thaw()
    elif isinstance(value, SetValue):
        value.thaw()
    elif isinstance(value, SortedSet):
        value.thaw()
    elif isinstance(value, Stream):
        value.thaw()
