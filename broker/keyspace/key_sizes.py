"""How large keys are, by type: the distribution that INFO keysizes shows.

Redis adjusts its counts at every change of a size. Here the keys are counted when somebody asks, some in each turn, so
that no change costs anything; the result is exact where nothing is written meanwhile.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet

if TYPE_CHECKING:
    from broker.keyspace.database import Database

KINDS: Final = ("strings_sizes", "lists_items", "sets_items", "zsets_items", "hashes_items")  # as Redis orders them
_OTHER: Final = -1  # streams are not counted
_UNITS: Final = ("", "K", "M", "G", "T", "P", "E")


class KeySizes:
    """One count of all keys: walk() until it says that it is done, then fields()."""

    def __init__(self, databases: list["Database"]) -> None:
        self._databases: Final = databases
        self._counts: list[dict[int, int]] = [{} for _ in range(len(databases) * len(KINDS))]  # {bits of a size: keys}
        self._database: i64 = 0
        self._cursor: int = 0

    def walk(self, count: int) -> bool:
        """Count about so many keys more. True when all are counted."""
        left: i64 = count
        while left > 0 and self._database < len(self._databases):
            db = self._databases[self._database]
            self._cursor, keys = db.table.scan(self._cursor, left)
            left -= len(keys) + 1
            for key in keys:
                self._count(db.index, db.table.get(key))
            if self._cursor == 0:
                self._database += 1
        return self._database >= len(self._databases)

    def _count(self, database: int, value: object | None) -> None:
        kind = _kind_of(value)
        if kind == _OTHER:
            return
        bits = _size_of(value).bit_length()
        counts = self._counts[database * len(KINDS) + kind]
        counts[bits] = counts.get(bits, 0) + 1

    def fields(self) -> dict[str, str]:
        """{`db0_distrib_strings_sizes`: `1=5,4K=1`}: a label is the least size that is counted there."""
        found: dict[str, str] = {}
        for place, counts in enumerate(self._counts):
            if counts:
                name = f"db{place // len(KINDS)}_distrib_{KINDS[place % len(KINDS)]}"
                found[name] = ",".join([f"{_label(bits)}={counts[bits]}" for bits in sorted(counts)])
        return found


def _kind_of(value: object | None) -> int:
    if isinstance(value, (bytes, bytearray)):
        return 0
    if isinstance(value, ListValue):
        return 1
    if isinstance(value, SetValue):
        return 2
    if isinstance(value, SortedSet):
        return 3
    return 4 if isinstance(value, HashValue) else _OTHER


def _size_of(value: object | None) -> int:
    """Bytes of a string, or elements. None of them is unpacked for that."""
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, ListValue):
        return len(value)
    if isinstance(value, SetValue):
        return len(value)
    if isinstance(value, SortedSet):
        return len(value)
    return len(value) if isinstance(value, HashValue) else 0


def _label(bits: int) -> str:
    """0, 1, 2, 4 ... 512, 1K ...: the least number of so many bits."""
    if bits == 0:
        return "0"
    unit, shift = divmod(bits - 1, 10)
    return f"{2**shift}{_UNITS[unit]}"
