"""Who has which keys in a cache of his own, and what is to be told to whom when they change.

Pure book-keeping over the numbers of clients: commands/tracking.py sends. In the usual mode a table remembers each key
that a client read; the key leaves the table with the message that it has changed. In broadcasting mode nothing is
remembered but prefixes, and the keys that changed in one turn are told together at its end.

Costs: touch() is called at every change and is one test while nobody tracks (Keyspace.observed); else O(1) and O(p),
p the prefixes in use. The table is bounded: what exceeds the limit is told as changed, oldest first.
"""

from typing import Final

from mypy_extensions import i64


class Tracker:
    """One client's tracking. redirect: the client that gets the messages instead; 0: none."""

    def __init__(self, redirect: int, broadcast: bool, opt_in: bool, opt_out: bool, no_loop: bool) -> None:
        self.redirect: Final = redirect
        self.broadcast: Final = broadcast
        self.opt_in: Final = opt_in
        self.opt_out: Final = opt_out
        self.no_loop: Final = no_loop
        self.caching = False  # CLIENT CACHING was given for the request that comes
        self.broken = False  # the client at `redirect` has gone
        self.prefixes: dict[bytes, None] = {}

    def wants(self) -> bool:
        """Whether the keys of the request that was just executed are to be remembered."""
        if self.opt_in:
            return self.caching
        return not (self.opt_out and self.caching)


class Prefix:
    """Who is told of keys with one prefix, and what has changed since they were told."""

    def __init__(self) -> None:
        self.clients: Final[dict[int, None]] = {}
        self.keys: dict[bytes, int] = {}  # {key: who changed it last, 0: nobody}


class Change:
    """A key that changed, and who is to be told, as they tracked at that moment. key: None means all keys."""

    def __init__(self, key: bytes | None, listeners: list[tuple[int, Tracker]]) -> None:
        self.key: Final = key
        self.listeners: Final = listeners  # (client, how it tracks)


class Tracking:
    """The table, the prefixes, and the changes that were not told yet."""

    def __init__(self) -> None:
        self.trackers: Final[dict[int, Tracker]] = {}  # {client: how it tracks}
        self.keys: dict[bytes, dict[int, None]] = {}  # {key: clients}, oldest first
        self.items: i64 = 0  # pairs of key and client in there
        self.prefixes: Final[dict[bytes, Prefix]] = {}
        self.limit: i64 = 0  # of keys in there, 0 for none: tracking-table-max-keys
        self.changes: list[Change] = []  # to be told at the end of the request
        self.broadcasts = False  # a Prefix has keys, to be told at the end of the turn

    def start(self, client: int, tracker: Tracker, prefixes: list[bytes]) -> None:
        """Prefixes add up as long as a client stays in broadcasting mode."""
        before = self.trackers.get(client)
        if before is not None:
            tracker.prefixes.update(before.prefixes)
            tracker.caching = before.caching
        self.trackers[client] = tracker
        if not tracker.broadcast:
            return
        for name in prefixes or [b""]:
            prefix = self.prefixes.get(name)
            if prefix is None:
                prefix = self.prefixes[name] = Prefix()
            prefix.clients[client] = None
            tracker.prefixes[name] = None

    def stop(self, client: int) -> None:
        """What the table has of this client stays until those keys change: looking for it would take long."""
        tracker = self.trackers.pop(client, None)
        if tracker is None:
            return
        for name in tracker.prefixes:
            prefix = self.prefixes[name]
            prefix.clients.pop(client, None)
            if not prefix.clients:
                del self.prefixes[name]
        if not self.trackers:
            self.keys.clear()
            self.items = 0

    def remember(self, client: int, key: bytes) -> bool:
        """The client has read the key. True when that has cost others their place."""
        clients = self.keys.get(key)
        if clients is None:
            self.keys[key] = {client: None}
            self.items += 1
        elif client not in clients:
            clients[client] = None
            self.items += 1
        return self.shrink()

    def shrink(self) -> bool:
        """Forget the oldest keys beyond the limit, and have that told as a change. False when there are none."""
        excess = len(self.keys) - self.limit
        if not self.limit or excess <= 0:
            return False
        for _ in range(excess):
            self._forget(next(iter(self.keys)), 0)
        return True

    def touch(self, key: bytes, writer: int) -> bool:
        """A key changed. True when somebody has to be told at the end of the request."""
        for name, prefix in self.prefixes.items():
            if key.startswith(name):
                prefix.keys[key] = writer
                self.broadcasts = True
        if key not in self.keys:
            return False
        self._forget(key, writer)
        return True

    def _forget(self, key: bytes, writer: int) -> None:
        clients = self.keys.pop(key)
        self.items -= len(clients)
        listeners: list[tuple[int, Tracker]] = []
        for client in clients:
            tracker = self.trackers.get(client)
            if tracker is None or tracker.broadcast or (tracker.no_loop and client == writer):
                continue  # it tracks no more, or otherwise than when it read the key
            listeners.append((client, tracker))
        if listeners:
            self.changes.append(Change(key, listeners))

    def flush(self) -> None:
        """All keys changed."""
        self.keys.clear()
        self.items = 0
        self.changes.append(Change(None, list(self.trackers.items())))
