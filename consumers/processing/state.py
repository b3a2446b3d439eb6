"""What the steps of a pipeline remember, as live values in memory, and which of it changed since it was last committed.

A place is a tuple whose first element is the number of the step. All of it is held in memory, and `limit` bounds how
many places there are: beyond it the pipeline stops with a clear error rather than take the worker's memory.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from consumers.errors import ConsumerError

Place = tuple[Any, ...]

_BUILTIN = (str, int, float, bool, bytes, type(None), list, dict)


class StateLimitReached(ConsumerError):
    """More windows and waiting events than the pipeline may keep."""


class State:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: dict[Place, Any] = {}
        self._changed: dict[Place, None] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, place: Place) -> Any:
        return self._values.get(place)

    def put(self, place: Place, value: Any) -> None:
        """Also after a value that was got has been changed in place. Raises StateLimitReached."""
        if place not in self._values and len(self._values) >= self._limit:
            raise StateLimitReached(f"the pipeline keeps {self._limit} windows and waiting keys already (state_limit)")
        self._values[place] = value
        self._changed[place] = None

    def drop(self, place: Place) -> None:
        if self._values.pop(place, None) is not None:
            self._changed[place] = None

    def changes(self) -> tuple[dict[bytes, bytes], list[bytes]]:
        """What to write and what to delete, since the last time."""
        written: dict[bytes, bytes] = {}
        deleted: list[bytes] = []
        for place in self._changed:
            name = msgspec.msgpack.encode(place)
            if place in self._values:
                written[name] = msgspec.msgpack.encode(self._values[place])
            else:
                deleted.append(name)
        self._changed = {}
        return written, deleted

    def load(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        for name, value in pairs:
            self._values[hashable(msgspec.msgpack.decode(name))] = msgspec.msgpack.decode(value)

    def places(self) -> Iterable[tuple[Place, Any]]:
        return self._values.items()


def hashable(value: Any) -> Any:
    """msgpack has one kind of list: as part of a place, it was a tuple."""
    return tuple(hashable(one) for one in value) if isinstance(value, list) else value


def storable(value: Any, declared: Any) -> Any:
    """The value, where it comes back from the broker as what it is. Raises TypeError."""
    if declared is None and type(value) not in _BUILTIN:
        raise TypeError(
            f"a {type(value).__name__} is to be kept in the broker: annotate what the function before returns"
        )
    return value


def restored(value: Any, declared: Any) -> Any:
    return value if declared is None else msgspec.convert(value, declared)
