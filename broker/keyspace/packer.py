"""Packs small collections that nobody has used for a while (datatypes/packing.py), some at a time, and the entries of
streams that are still as a file had them (datatypes/stream_nodes.py).

Collections that are made by one request are packed from the beginning; this is for the others (with an LFU policy no
times of use are kept, so it leaves them alone). The server calls sweep() once
a second; a walk over a million keys takes minutes, and costs well below a hundredth of the time.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from broker.datatypes.hashes import HashValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import Stream

if TYPE_CHECKING:
    from broker.keyspace.database import Keyspace

COLD_SECONDS: Final = 60  # not used for so long
LOOKED_AT: Final = 2000  # keys in one sweep
PACKED: Final = 800  # of them, at most: some 3 ms
_NODE: Final = 40  # as long as it takes to pack so many, it takes to pack a node of a stream


class Packer:
    """Goes on where the last sweep ended."""

    def __init__(self, keyspace: "Keyspace") -> None:
        self._keyspace = keyspace
        self._database: i64 = 0
        self._cursor: int = 0

    def sweep(self) -> int:
        """Look at some keys. The number of values that were packed; nodes of streams count as many."""
        keyspace = self._keyspace
        if not keyspace.expiry:
            return 0  # a log is being read
        looked = 0
        packed = 0
        for _ in range(len(keyspace.databases) + 1):
            db = keyspace.databases[self._database]
            while looked < LOOKED_AT and packed < PACKED:
                before = self._cursor
                self._cursor, names = db.table.scan(before, 100)
                looked += len(names)
                for name in names:
                    value = db.table.get(name)
                    if isinstance(value, Stream):
                        if value.has_nodes:
                            packed += _NODE * value.pack_nodes((PACKED - packed) // _NODE + 1)
                    elif not keyspace.lfu and _is_open(value) and db.idle_seconds(name) >= COLD_SECONDS:
                        packed += _pack(value)
                if packed >= PACKED:
                    self._cursor = before  # the last one may be a stream with more of it
                elif not self._cursor:
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
