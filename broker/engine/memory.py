"""maxmemory: whether there is room for a request, and evicting keys until there is.

What counts is the memory of keys and values (keyspace/memory.py) and what clients hold (the hub says). The interpreter
itself does not count: a limit says how much data there may be.
"""

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from broker.commands.context import Shared
from broker.config import Config
from broker.engine.journal import Journal
from broker.keyspace.disposal import dispose
from broker.keyspace.events import EVICTED
from broker.keyspace.usage import FREQUENCY, IDLE_SECONDS, NO_HINT

START_BYTES: Final = 1 << 20  # a round figure for what a server holds that has no data and no clients
_KEYS_AT_ONCE: Final = 200  # evicted before one request, or at the end of one turn: some milliseconds
_UNSETTLED: Final = 32  # changed keys whose sizes need not be known before a request is executed
_WALKED_AT_ONCE: Final = 2000  # keys measured in one turn after a limit was set


class MemoryLimit:
    """limit: bytes, 0: none. clients_bytes: what requests and replies of clients hold, kept up to date by the hub."""

    def __init__(self, shared: Shared, journal: Journal, settle: Callable[[], None]) -> None:
        self.limit: i64 = 0
        self.clients_bytes: i64 = 0
        self.has_work = False  # there is more to evict or to measure in the next turn
        self._shared: Final = shared
        self._keyspace: Final = shared.keyspace
        self._journal: Final = journal
        self._settle: Final = settle

    def configure(self, config: Config) -> None:
        policy = config.text("maxmemory-policy")
        keyspace = self._keyspace
        keyspace.eviction.configure(policy, config.integer("maxmemory-samples"))
        keyspace.lfu_decay = config.integer("lfu-decay-time")
        keyspace.lfu_factor = config.integer("lfu-log-factor")
        keyspace.count_uses(policy.endswith("-lfu"))
        keyspace.hints = FREQUENCY if keyspace.lfu else IDLE_SECONDS if policy.endswith("-lru") else NO_HINT
        self.limit = config.memory("maxmemory")
        self.has_work = self.limit > 0
        if not self.limit and keyspace.meter.on:
            keyspace.meter.stop()
            keyspace.reconsider()

    def used(self) -> int:
        """Bytes that count, exactly so while there is a limit."""
        return self._total(self._keyspace.data_bytes())

    def _total(self, data_bytes: int) -> int:
        tracking = self._keyspace.tracking
        aside = len(tracking.keys) * 150 + int(tracking.items) * 30
        return START_BYTES + data_bytes + int(self.clients_bytes) + aside

    def has_room(self) -> bool:
        """A quick look, which may miss the changes of the last few requests; end_turn() is exact."""
        meter = self._keyspace.meter
        return meter.on and meter.unsettled() < _UNSETTLED and self._total(meter.known()) <= self.limit

    def make_room(self) -> bool:
        """Evict until the limit is kept. False when it can't be kept. (True while there are still keys that can go:
        the rest is done at the end of the turn.)"""
        keyspace = self._keyspace
        if not keyspace.meter.on:
            keyspace.meter.start()
            keyspace.reconsider()
        if self.used() <= self.limit:
            return True
        left = _KEYS_AT_ONCE
        while left:
            place = keyspace.eviction.choose()
            if place is None:
                break
            self._evict(place[0], place[1])
            left -= 1
            if self.used() <= self.limit:
                break
        if left < _KEYS_AT_ONCE:
            self._settle()
        self.has_work = left == 0
        return left == 0 or self.used() <= self.limit

    def end_turn(self) -> None:
        meter = self._keyspace.meter
        self.has_work = False
        self.make_room()
        if meter.walking:
            meter.walk(_WALKED_AT_ONCE)
        if meter.walking:
            self.has_work = True

    def _evict(self, database: int, key: bytes) -> None:
        keyspace = self._keyspace
        db = keyspace.databases[database]
        value = db.remove(key)
        if value is not None and not isinstance(value, (bytes, bytearray)):
            dispose(value)
        keyspace.evicted_keys += 1
        keyspace.dirty += 1
        keyspace.watches.touch(database, key)
        keyspace.observe(database, key, 0)
        self._journal.write(database, [b"DEL", key])
        if keyspace.event_classes & EVICTED:
            keyspace.events.append((database, key, b"evicted", EVICTED))
        if key in db.waited:
            keyspace.ready.append((database, key))
