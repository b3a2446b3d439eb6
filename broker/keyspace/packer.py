"""Packs small collections that nobody has used for a while (datatypes/packing.py), some at a time.

Those that are made by one request are packed from the beginning; this is for the others. The server calls sweep() once
a second; a walk over a million keys takes minutes, and costs well below a hundredth of the time.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from broker.datatypes.hashes import HashValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet

if TYPE_CHECKING:
    from broker.keyspace.database import Keyspace

COLD_SECONDS: Final = 60  # not used for so long
LOOKED_AT: Final = 2000  # keys in one sweep
PACKED: Final = 800  # of them, at most: some 3 ms


class Packer:
    """Goes on where the last sweep ended."""

    def __init__(self, keyspace: "Keyspace") -> None:
        self._keyspace = keyspace
        self._database: i64 = 0
        self._cursor: int = 0

    def sweep(self) -> int:
        """Look at some keys. The number of values that were packed."""
        keyspace = self._keyspace
        if keyspace.lfu or not keyspace.expiry:
            return 0  # times of use are not kept, or a log is being read
        looked = 0
        packed = 0
        for _ in range(len(keyspace.databases) + 1):
            db = keyspace.databases[self._database]
            while looked < LOOKED_AT and packed < PACKED:
                self._cursor, names = db.table.scan(self._cursor, 100)
                looked += len(names)
                for name in names:
                    if _is_open(db.table.get(name)) and db.idle_seconds(name) >= COLD_SECONDS:
                        packed += _pack(db.table.get(name))
                if not self._cursor:
                    break
            if self._cursor:
                break
            self._database = (self._database + 1) % len(keyspace.databases)
            if looked >= LOOKED_AT or packed >= PACKED:
                break
        return packed


def _is_open(value: object) -> bool:
    """Of a type that can be packed, and not packed."""
    if isinstance(value, HashValue):
        return value.packed is None
    if isinstance(value, SetValue):
        return value.packed is None
    return isinstance(value, SortedSet) and value.packed is None


def _pack(value: object) -> int:
    if isinstance(value, HashValue):
        return 1 if value.pack() else 0
    if isinstance(value, SetValue):
        return 1 if value.pack() else 0
    return 1 if isinstance(value, SortedSet) and value.pack() else 0
