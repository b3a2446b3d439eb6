"""What keys and values take, in bytes: an estimate that follows every change, or, while nobody needs that, a sample.

The interpreter gives no figure that would do: the process keeps what was freed, and what the allocator has in use can
only be had by walking all of its pools. So sizes are added up. That costs a table of sizes and work at each change,
and is done only where there is a limit (maxmemory); else a few hundred keys are looked at when somebody asks. The table
of sizes itself, some 130 bytes a key, does not count: setting a limit is not to make it exceeded.
"""

from sys import getsizeof
from typing import TYPE_CHECKING, Final, cast

from mypy_extensions import i64

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import Stream
from broker.datatypes.table import Table

if TYPE_CHECKING:
    from broker.keyspace.database import Database

_BYTES: Final = 33  # of a bytes object without its contents
KEY_BYTES: Final = 100  # that a key costs in the table of its database, on average
EXPIRY_BYTES: Final = 90  # of a time-out
_SAMPLE: Final = 512  # keys that estimate() looks at
_LARGE: Final = 16  # bits: a value of 64 KiB is measured at every second change, one of 16 MiB at every 256th
_SELDOM: Final = 256
_AT_ONCE: Final = 5000  # keys that are measured when a limit is set; of more, some in each turn


def value_bytes(value: object) -> int:
    """Memory of a value, roughly."""
    if isinstance(value, bytes):
        return _BYTES + len(value)
    if isinstance(value, bytearray):
        return getsizeof(value)
    if isinstance(value, ListValue):
        return value.approximate_bytes()
    if isinstance(value, HashValue):
        return value.approximate_bytes()
    if isinstance(value, SetValue):
        return value.approximate_bytes()
    if isinstance(value, SortedSet):
        return value.approximate_bytes()
    if isinstance(value, Stream):
        return value.approximate_bytes()
    raise TypeError(f"no value of the keyspace: {type(value).__name__}")


def key_bytes(db: "Database", key: bytes, value: object) -> int:
    """Memory of a key with all that belongs to it."""
    extra = EXPIRY_BYTES if db.expires.times.size and db.expiry(key) is not None else 0
    return _BYTES + len(key) + KEY_BYTES + value_bytes(value) + extra


def estimate(db: "Database") -> int:
    """Memory of a database: exact for a small one, else projected from some of its keys."""
    shards = db.table.shards()
    wanted = _SAMPLE
    if db.table.size <= 2 * _SAMPLE:
        wanted = 2 * _SAMPLE
    step = max(1, len(shards) * 24 // wanted)  # about 24 keys a shard
    total = 0
    seen = 0
    for position in range(0, len(shards), step):
        for key, value in shards[position].items():
            total += key_bytes(db, key, value)
            seen += 1
            if seen >= wanted:
                return total * int(db.table.size) // seen
    return total * int(db.table.size) // seen if seen else 0


class Meter:
    """Adds up sizes while `on`. changed() is told of each change; total() brings the sum up to date."""

    def __init__(self, databases: list["Database"]) -> None:
        self.on = False
        self._databases: Final = databases
        self._sizes: list[Table] = [Table() for _ in databases]  # of {key: bytes}
        self._skips: dict[bytes, int] = {}  # {large key: changes until it is measured again}
        self._bytes: i64 = 0
        self._keys: i64 = 0  # measured
        self._changed: dict[tuple[int, bytes], None] = {}
        self._walking: i64 = -1  # database whose keys are being measured for the first time; -1: none is
        self._cursor = 0

    def start(self) -> None:
        if self.on:
            return
        self.on = True
        self._walking = 0
        self._cursor = 0
        self.walk(_AT_ONCE)

    def stop(self) -> None:
        self.on = False
        self._walking = -1
        self._sizes = [Table() for _ in self._databases]
        self._skips.clear()
        self._changed.clear()
        self._bytes = 0
        self._keys = 0

    @property
    def walking(self) -> bool:
        """Not all keys are measured yet."""
        return self._walking >= 0

    def walk(self, count: int) -> None:
        """Measure some of the keys that were there before start()."""
        left = count
        while self._walking >= 0 and left > 0:
            db = self._databases[self._walking]
            sizes = self._sizes[self._walking]
            self._cursor, keys = db.table.scan(self._cursor, left)
            left -= len(keys) + 1
            for key in keys:
                if not sizes.has(key):
                    self._measure(db, key)
            if self._cursor == 0:
                self._walking += 1
                if self._walking == len(self._databases):
                    self._walking = -1

    def changed(self, database: int, key: bytes) -> None:
        self._changed[(database, key)] = None

    def flushed(self) -> None:
        """Databases were emptied or exchanged: begin anew."""
        if self.on:
            self.stop()
            self.start()

    def total(self) -> int:
        """Bytes of all keys, as far as they are measured; the rest is projected from those."""
        if self._changed:
            self._settle()
        return self.known()

    def unsettled(self) -> int:
        """Changed keys whose sizes known() does not have."""
        return len(self._changed)

    def known(self) -> int:
        """total() without the latest changes."""
        measured = int(self._keys)
        total = int(self._bytes)
        if self._walking >= 0 and measured:
            keys = 0
            for db in self._databases:
                keys += int(db.table.size)
            total = total * max(keys, measured) // measured
        return total

    def _settle(self) -> None:
        changed = self._changed
        self._changed = {}
        for index, key in changed:
            skips = self._skips.get(key, 0) if self._skips else 0
            if skips > 0 and self._databases[index].table.has(key):
                self._skips[key] = skips - 1
            else:
                self._measure(self._databases[index], key)

    def _measure(self, db: "Database", key: bytes) -> None:
        sizes = self._sizes[db.index]
        value = db.table.get(key)
        if value is None:
            before = sizes.pop(key)
            if before is not None:
                self._bytes -= cast(int, before)
                self._keys -= 1
            if self._skips:
                self._skips.pop(key, None)
            return
        size = key_bytes(db, key, value)
        before = sizes.get(key)
        self._bytes += size - (cast(int, before) if before is not None else 0)
        if sizes.set(key, size):
            self._keys += 1
        if size >> _LARGE and not isinstance(value, (bytes, bytearray)):
            self._skips[key] = min(size >> _LARGE, _SELDOM)
