"""How much a Lua interpreter may take.

Lua's allocator refuses what goes beyond a hard limit, which is an error that scripts can't do anything about. It must
never refuse while a value crosses from Python to Lua, since that error would jump over Python's own frames: what is
handed over has to fit below a soft limit first, or the limit is lifted.

Between the two there is room for what Lua makes larger by itself when it takes a value: its table of strings, at most
0.45 of all that is used, or the stack.
"""

from collections.abc import Callable
from typing import Any, Final

RESERVE: Final = 8 << 20  # bytes above the limit, for what is needed to say that there is none left
PLACE: Final = 40  # bytes that an entry of a table takes, about
_MUCH: Final = 16 << 20  # bytes of which it is not left to Lua when they are collected


class Room:
    def __init__(self, lua: Any, limit: int) -> None:
        self._hard = limit + RESERVE
        self._soft = limit - limit // 3
        self._collect_above = _MUCH
        self._used: Callable[[], int] = lua.get_memory_used
        self._set_limit: Callable[[int], None] = lua.set_max_memory
        self._collect: Callable[[], None] = lua.gccollect
        self._lifted = False
        self._left = 0  # used when the last run had ended

    def has(self, size: int) -> bool:
        """May `size` bytes be handed to Lua?"""
        if self._used() + size <= self._soft:
            return True
        self._collect()
        return self._used() + size <= self._soft

    def lift(self) -> None:
        """No limit until relimit(): values are being made."""
        self._lifted = True
        self._set_limit(0)

    def relimit(self) -> None:
        if self._lifted:
            self._lifted = False
            self._set_limit(self._hard)

    def used(self) -> int:
        return self._used()

    def has_before_run(self, size: int) -> bool:
        """Like has(), while nothing has changed since tidy(): it costs less."""
        return self._left + size <= self._soft or self.has(size)

    def tidy(self) -> None:
        """After a run: its garbage must not be what stops the next one, for Lua collects at its own pace and never
        because there is no room."""
        self._left = self._used()
        if self._left > self._collect_above:
            self._collect()
            self._left = self._used()
            self._collect_above = max(_MUCH, 2 * self._left)

    def places(self) -> int:
        """For how many values of tables there is room."""
        if self._used() > self._soft // 2:
            self._collect()
        return max(self._soft - self._used(), 0) // PLACE
