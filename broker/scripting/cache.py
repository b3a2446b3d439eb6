"""The scripts that are compiled, by their SHA-1.

Who sends a new text with each EVAL must not fill the memory: of what came by EVAL the 500 used last are kept. What
SCRIPT LOAD brought stays until SCRIPT FLUSH. (So does Redis from 7.4 on, where a text that EVAL brought first may go
although it was loaded later.)
"""

from typing import Any, Final

EVICTABLE: Final = 500


class Cached:
    def __init__(self, name: bytes, source: bytes, function: Any, flags: int) -> None:
        self.name = name
        self.source = source
        self.function = function  # freed in Lua with the last reference to it here
        self.flags = flags
        self.may_go = False


class ScriptCache:
    """Nothing that runs is evicted: only a run by EVAL adds what evicts."""

    def __init__(self) -> None:
        self.scripts: Final[dict[bytes, Cached]] = {}  # {SHA-1 in hexadecimal: script}
        self.bytes = 0
        self.evicted = 0
        self._order: dict[bytes, None] = {}  # those that may go, the one used last at the end
        self._newest: Cached | None = None

    def add(self, script: Cached, lasting: bool) -> None:
        self.scripts[script.name] = script
        self.bytes += len(script.source) + len(script.name)
        if lasting:
            return
        script.may_go = True
        while len(self._order) >= EVICTABLE:
            self._evict(next(iter(self._order)))
        self._order[script.name] = None
        self._newest = script

    def use(self, script: Cached) -> None:
        """One that may go was run."""
        if script is not self._newest:
            del self._order[script.name]
            self._order[script.name] = None
            self._newest = script

    def keep(self, script: Cached) -> None:
        """SCRIPT LOAD of one that is here."""
        if script.may_go:
            script.may_go = False
            del self._order[script.name]

    def clear(self) -> None:
        self.scripts.clear()
        self._order.clear()
        self._newest = None
        self.bytes = 0

    def _evict(self, name: bytes) -> None:
        del self._order[name]
        gone = self.scripts.pop(name)
        self.bytes -= len(gone.source) + len(name)
        self.evicted += 1
