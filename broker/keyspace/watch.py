"""WATCH: who looks at which key, and whether it changed since."""

from typing import Final


class Watcher:
    """One session's watch. Once dirty, it stays so until the session watches anew."""

    def __init__(self) -> None:
        self.dirty = False
        self.keys: Final[dict[tuple[int, bytes], None]] = {}  # {(database, key): None}, in the order of WATCH


class Watches:
    """{(database, key): watchers}. touch() is called at every change, so it has to be cheap when nobody watches."""

    def __init__(self) -> None:
        self._watchers: dict[tuple[int, bytes], dict[Watcher, None]] = {}

    def add(self, watcher: Watcher, database: int, key: bytes) -> None:
        place = (database, key)
        watcher.keys[place] = None
        self._watchers.setdefault(place, {})[watcher] = None

    def forget(self, watcher: Watcher) -> None:
        """UNWATCH, EXEC, DISCARD, or the client went away."""
        for place in watcher.keys:
            watchers = self._watchers.get(place)
            if watchers is not None:
                watchers.pop(watcher, None)
                if not watchers:
                    del self._watchers[place]
        watcher.keys.clear()
        watcher.dirty = False

    def touch(self, database: int, key: bytes) -> None:
        if self._watchers:
            for watcher in self._watchers.get((database, key), ()):
                watcher.dirty = True

    def watched_in(self, database: int) -> list[bytes]:
        """The keys of one database that somebody watches: FLUSHDB and SWAPDB have to look at each."""
        return [key for index, key in self._watchers if index == database]

    def count(self) -> int:
        return len(self._watchers)
