"""WATCH: who looks at which key, and whether it changed since."""

from typing import Final


class Watcher:
    """One session's watch. Once dirty, it stays so until the session forgets what it watches."""

    def __init__(self) -> None:
        self.dirty = False
        self.keys: Final[dict[tuple[int, bytes], bool]] = {}  # {(database, key): had its time come when WATCH came?}
        self.bytes: int = 0  # of these keys


class Watches:
    """{(database, key): watchers}. touch() is called at every change, so it has to be cheap when nobody watches."""

    def __init__(self) -> None:
        self._watchers: dict[tuple[int, bytes], dict[Watcher, None]] = {}

    def add(self, watcher: Watcher, database: int, key: bytes, stale: bool = False) -> None:
        """stale: the key is there, though its time has come; that it goes is no change then."""
        place = (database, key)
        if place in watcher.keys:
            return
        watcher.keys[place] = stale
        watcher.bytes += len(key)
        self._watchers.setdefault(place, {})[watcher] = None

    def forget(self, watcher: Watcher) -> None:
        """UNWATCH, EXEC, DISCARD, or the client went away."""
        self._leave(watcher)
        watcher.dirty = False

    def _leave(self, watcher: Watcher) -> None:
        for place in watcher.keys:
            watchers = self._watchers.get(place)
            if watchers is not None:
                watchers.pop(watcher, None)
                if not watchers:
                    del self._watchers[place]
        watcher.keys.clear()
        watcher.bytes = 0

    def touch(self, database: int, key: bytes) -> None:
        if self._watchers:
            watchers = self._watchers.get((database, key))
            if watchers is not None:
                for watcher in list(watchers):
                    watcher.dirty = True
                    self._leave(watcher)  # it needs no more watching. Redis: touchWatchedKey in multi.c

    def spoil(self, database: int, key: bytes) -> None:
        """As touch(), when all keys of a database go: who watched one is shown as watching. Redis does so, too
        (touchAllWatchedKeysInDb)."""
        for watcher in self._watchers.get((database, key), ()):
            watcher.dirty = True

    def lapse(self, database: int, key: bytes) -> None:
        """A key whose time had come goes: a change for those only who had found it in time."""
        if self._watchers:
            place = (database, key)
            watchers = self._watchers.get(place)
            if watchers is not None:
                for watcher in list(watchers):
                    if watcher.keys[place]:
                        watcher.keys[place] = False
                    else:
                        watcher.dirty = True
                        self._leave(watcher)

    def watched_in(self, database: int) -> list[bytes]:
        """The keys of one database that somebody watches: FLUSHDB and SWAPDB have to look at each."""
        return [key for index, key in self._watchers if index == database]

    def count(self) -> int:
        return len(self._watchers)
