"""{id of an entry: something}, for a million of them: a dict would grow by doubling, tens of milliseconds at a time.

Costs: get, set, pop O(1); going over from one dict to many O(n) once, for a few thousand.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from mypy_extensions import i64

T = TypeVar("T")

_FEW: Final = 4096  # entries of a single dict
_MANY: Final = 1024  # dicts then. Their sizes differ a little, so they don't all grow at once


class IdMap(Generic[T]):
    """It stays spread over many dicts once it was large."""

    def __init__(self) -> None:
        self._size: i64 = 0
        self._maps: list[dict[int, T]] = [{}]

    def __len__(self) -> int:
        return int(self._size)

    def __contains__(self, entry_id: int) -> bool:
        return entry_id in self._map(entry_id)

    def _map(self, entry_id: int) -> dict[int, T]:
        if len(self._maps) == 1:
            return self._maps[0]
        return self._maps[hash((entry_id >> 64, entry_id & 0xFFFF)) % _MANY]

    def get(self, entry_id: int) -> T | None:
        return self._map(entry_id).get(entry_id)

    def __getitem__(self, entry_id: int) -> T:
        return self._map(entry_id)[entry_id]

    def __setitem__(self, entry_id: int, value: T) -> None:
        found = self._map(entry_id)
        before = len(found)
        found[entry_id] = value
        if len(found) != before:
            self._size += 1
            if self._size > _FEW and len(self._maps) == 1:
                self._spread()

    def _spread(self) -> None:
        everything = self._maps[0]
        self._maps = [{} for _ in range(_MANY)]
        for entry_id, value in everything.items():
            self._map(entry_id)[entry_id] = value

    def discard(self, entry_id: int) -> T | None:
        """What was there, or None."""
        value = self._map(entry_id).pop(entry_id, None)
        if value is not None:
            self._size -= 1
        return value

    def __iter__(self) -> Iterator[int]:
        """In no order. Not to be used while entries come or go; nor are the next two."""
        for one in self._maps:
            yield from one

    def values(self) -> Iterator[T]:
        for one in self._maps:
            yield from one.values()

    def items(self) -> Iterator[tuple[int, T]]:
        for one in self._maps:
            yield from one.items()

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        return list(self._maps) if self._size else []

    def copy(self) -> "IdMap[T]":
        other: IdMap[T] = IdMap()
        other._size = self._size
        other._maps = [dict(one) for one in self._maps]
        return other
