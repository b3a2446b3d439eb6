"""What nobody has any more, and is too big to be freed in one go: it is taken apart a little in each turn.

CPython frees an object when the last reference to it goes, with all that only it had: a tenth of a second and more for
a million elements. So who drops something big hands it over here instead, and the engine calls sweep() in each turn.

Memory is the process's, and so is the trash: one for all engines of a process. What is in it can't be seen by anybody,
but in INFO as a number. What somebody turns out to have still (a snapshot under way) is left alone, and let go of.

Costs: add O(1); sweep O(steps).
"""

from collections.abc import Callable
from sys import getrefcount
from typing import Final, TypeAlias

from mypy_extensions import i64

LARGE: Final = 64  # elements; what has fewer is freed where it is dropped
_LEAST_STEPS: Final = 1000  # of a turn: some tenths of a millisecond
_MOST_STEPS: Final = 8000
_SHARE: Final = 256  # a turn frees at least this fraction of what is there: it falls, however fast more comes
_PER_VALUE: Final = 8  # steps for an object that is freed as it is: a block of entries, a small hash

# What a value is made of: lists, dicts and further values. Nothing, when it can be freed as it is.
PartsOf: TypeAlias = Callable[[object], list[object]]


class Trash:
    """size: elements known of; those within them are counted when their turn comes.

    freed: values that were handed over, whatever they are made of.
    """

    def __init__(self) -> None:
        self.size: i64 = 0
        self.freed: i64 = 0
        self._stack: list[object] = []  # lists and dicts; the last one goes first
        fresh: object = []
        self._alone = self._references(fresh)

    def _references(self, thing: object) -> int:
        return getrefcount(thing)

    def add(self, parts: list[object], values: int = 1) -> None:
        """Lists and dicts that nobody will look at any more; what else there is of a value goes with the caller.

        values: of how many they are the parts.
        """
        self.freed += values
        for part in parts:
            self._push(part)

    def _push(self, part: object) -> None:
        if isinstance(part, (list, dict)):
            self.size += len(part)
            self._stack.append(part)

    def steps(self) -> int:
        """For sweep(), in a turn."""
        return min(max(_LEAST_STEPS, int(self.size) // _SHARE), _MOST_STEPS)

    def sweep(self, steps: int, parts_of: PartsOf) -> None:
        """Free about so many elements."""
        stack = self._stack
        left = steps
        while left > 0 and stack:
            part = stack.pop()
            if self._references(part) > self._alone:
                assert isinstance(part, (list, dict))
                self.size -= len(part)
            elif isinstance(part, list):
                left -= self._empty_list(part, left, parts_of)
            elif isinstance(part, dict):
                left -= self._empty_dict(part, left, parts_of)

    def _empty_list(self, part: list[object], steps: int, parts_of: PartsOf) -> int:
        """Take elements out, as far as the steps go. How many that were, at least 1: an empty one was work, too."""
        used = 1
        while part and used <= steps:
            used += self._drop(part.pop(), parts_of)
            self.size -= 1
        if part:
            self._stack.append(part)
        return used

    def _empty_dict(self, part: dict[object, object], steps: int, parts_of: PartsOf) -> int:
        used = 1
        while part and used <= steps:
            used += self._drop(part.popitem()[1], parts_of)
            self.size -= 1
        if part:
            self._stack.append(part)
        return used

    def _drop(self, thing: object, parts_of: PartsOf) -> int:
        """Put what is big of a thing on the stack; the rest of it is freed with the last reference. The steps."""
        if isinstance(thing, (bytes, bytearray, int, float, tuple)):
            return 1
        if isinstance(thing, list):
            if len(thing) > LARGE:
                self._push(thing)
                return 1
            return self._drop_few(thing, parts_of)
        if isinstance(thing, dict):
            if len(thing) > LARGE:
                self._push(thing)
                return 1
            return self._drop_few(list(thing.values()), parts_of)
        for part in parts_of(thing):
            self._push(part)
        return _PER_VALUE

    def _drop_few(self, things: list[object], parts_of: PartsOf) -> int:
        steps = 1
        for thing in things:
            steps += self._drop(thing, parts_of)
        return steps


TRASH: Final = Trash()
