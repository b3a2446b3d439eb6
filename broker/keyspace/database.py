"""Keys and their values: one Database for each SELECT number, one Keyspace that holds them.

A string is `bytes` or `bytearray` (see datatypes/strings.py); every other type is a class of `broker.datatypes`. A key
whose time has come is gone for every reader at once; the removal itself is a change like any other and is noted in
`Keyspace.expired` for the journal.
"""

from random import Random
from typing import Final, cast

from mypy_extensions import i64

from broker.datatypes.expiries import Expiries
from broker.datatypes.field_deadlines import NEVER
from broker.datatypes.hashes import HashValue
from broker.datatypes.schedules import Agenda, Ticket
from broker.datatypes.streams import Stream
from broker.datatypes.table import Table
from broker.keyspace.channel_log import ChannelLog
from broker.keyspace.disposal import dispose, dispose_all
from broker.keyspace.events import EXPIRED, KEY_MISS, NEW, OVERWRITTEN, TRACKED, TYPE_CHANGED
from broker.keyspace.eviction import Eviction
from broker.keyspace.memory import Meter, estimate
from broker.keyspace.retention import RetentionAgenda
from broker.keyspace.tracking import Tracking
from broker.keyspace.types import type_name
from broker.keyspace.unsaved import Unsaved
from broker.keyspace.usage import NO_HINT, TICK_BITS, Usage
from broker.keyspace.watch import Watches

# Keyspace.uses: what is noted of the use of a key
LAST_USE: Final = 0
COUNTED: Final = 1  # for the LFU policies
UNNOTED: Final = 2  # CLIENT NO-TOUCH

_FEW: Final = 50_000  # keys that are moved at once to make room for more: some milliseconds


class Keyspace:
    """All databases, and what commands and engine tell each other about changes.

    now_ms: Unix time of this turn; it stands still within a request, a transaction and a script, whatever they take.
    dirty: counts changes; a command that leaves it as it was is not journaled.
    """

    def __init__(self, databases: int, rng: Random) -> None:
        self.rng = rng
        self.now_ms: i64 = 0
        self.dirty: i64 = 0
        self.hits: i64 = 0
        self.misses: i64 = 0
        self.expired_keys: i64 = 0
        self.expired_keys_active: i64 = 0  # of them, those that nobody had looked at
        self.expired_subkeys: i64 = 0  # fields of hashes
        self.expired_subkeys_active: i64 = 0
        self.fields_due_ms: i64 = NEVER  # before that Unix time no field of any hash goes
        self.watches = Watches()
        self.tracking = Tracking()  # of the keys that clients cache
        self.observed = False  # every change has to be looked at by observe()
        self.channel_log = ChannelLog()  # of retained channels; they belong to no database, and no flush drops them
        self.active_expiry = True  # DEBUG SET-ACTIVE-EXPIRE
        self.expiry = True  # False while a log is replayed: its DELs decide
        self.removal = True  # False while clients are paused: what has expired is not shown, but stays
        self.expired: list[tuple[int, bytes]] = []  # (database, key) removed by time, not yet journaled
        self.expired_fields: list[tuple[int, bytes, list[bytes]]] = []  # (database, key, fields), likewise
        self.ready: list[tuple[int, bytes]] = []  # (database, key) written to while somebody waits for it
        self.events: list[tuple[int, bytes, bytes, int]] = []  # (database, key, event, class) to notify of
        self.told: i64 = 0  # of them, those that subscribers know already
        self.event_classes: i64 = 0  # notify-keyspace-events as bits; 0 keeps `events` empty
        self.libraries: dict[bytes, bytes] = {}  # {name: text}: of FUNCTION, which belong to no database
        self.planned: dict[int, None] = {}  # databases that may have scheduled messages; pruned by engine/schedules.py
        self.retention = RetentionAgenda()  # streams of which something goes by time, kept by stream_retention.py
        self.tick: i64 = 0  # now_ms >> TICK_BITS
        self.clock: object = 0  # the same as one object, which the slots of `Usage` share
        self.uses: i64 = LAST_USE
        self.lfu = False  # an LFU policy is set
        self.hints: i64 = NO_HINT  # what snapshots say of the use of keys
        self.lfu_decay = 1
        self.lfu_factor = 10
        self.evicted_keys: i64 = 0
        self.databases = [Database(i, self) for i in range(databases)]

        self.meter = Meter(self.databases)
        self.eviction = Eviction(self)

    # -- the use of keys

    def advance(self) -> None:
        """The clock ticks. To be called when now_ms has left a tick behind."""
        self.tick = self.now_ms >> TICK_BITS
        self.clock = int(self.tick)
        for db in self.databases:
            if db.table.size * 2 > db.usage.mask:
                db.usage.grow(db.table.size)

    def minute(self) -> int:
        return int(self.now_ms // 60000)

    def count_uses(self, counted: bool) -> None:
        """Begin to count accesses, for LFU, or to note the time of the last one, for everything else."""
        if counted != self.lfu:
            self.lfu = counted
            self.uses = COUNTED if counted else LAST_USE
            for db in self.databases:
                db.forget_uses()

    def coldness(self, db: "Database", key: bytes) -> int:
        """The more, the less a key is used."""
        if self.lfu:
            return 255 - db.usage.frequency(key, self.minute(), self.lfu_decay)
        return int(self.tick) - db.usage.last(key)

    def data_bytes(self) -> int:
        """Memory of all keys and values."""
        if self.meter.on:
            return self.meter.total()
        total = 0
        for db in self.databases:
            total += estimate(db)
        return total

    # -- who wants to know of every change

    def observe(self, database: int, key: bytes, writer: int) -> None:
        """A key changed while `observed`. writer: the client that did it, or 0."""
        if self.tracking.trackers and self.tracking.touch(key, writer):
            self.tell_trackers()
        if self.meter.on:
            self.meter.changed(database, key)

    def tell_trackers(self) -> None:
        """What tracking has to tell is due at the end of this request, after the events before it."""
        self.events.append((0, b"", b"", TRACKED))

    def observe_flush(self) -> None:
        """All keys of a database changed."""
        if self.tracking.trackers:
            self.tracking.flush()
            self.tell_trackers()
        self.meter.flushed()

    def reconsider(self) -> None:
        """Somebody began or ceased to look at every change."""
        self.observed = len(self.tracking.trackers) > 0 or self.meter.on

    # -- time

    def expire_due(self, limit: int) -> int:
        """Remove keys whose time has come, in all databases, in at most `limit` steps. The number removed."""
        left = limit
        before = self.expired_keys
        for db in self.databases:
            while left > 0 and db.expire_next():
                left -= 1
        removed = self.expired_keys - before
        self.expired_keys_active += removed
        return int(removed)

    def next_expiry_ms(self) -> int | None:
        """The earliest Unix time at which expire_due() may have work, or None."""
        earliest: int | None = None
        for db in self.databases:
            due = db.next_expiry_ms()
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    def take_due_hash(self) -> tuple[int, bytes] | None:
        """The (database, key) of a hash of which fields may be due; it is not planned any more."""
        earliest = NEVER
        for db in self.databases:
            key = db.take_due_hash(int(self.now_ms))
            if key is not None:
                return db.index, key
            due = db.field_agenda.next_ms()
            if due is not None:
                earliest = min(earliest, due)
        self.fields_due_ms = earliest
        return None


class Database:
    """One numbered database.

    Invariant: a key of `expires` is a key of `table`.
    """

    def __init__(self, index: int, keyspace: Keyspace) -> None:
        self.index: int = index
        self.keyspace = keyspace
        self.table = Table()
        self.expires = Expiries()  # {key: Unix time in ms}
        self.waited: dict[bytes, int] = {}  # {key: number of blocked clients}, kept by engine/blocking.py
        self.usage = Usage(keyspace.clock)
        self._newest = b""  # with LFU: the key that was just added, which is no use of it yet
        self.agenda = Agenda()  # scheduled messages: they belong to the names of keys, and stay when a key goes
        self.field_agenda = Expiries()  # {key of a hash: Unix time in ms} when its first fields go, or earlier
        self.unsaved: Unsaved | None = None  # while a snapshot is taken: it wants to know before a key changes

    # -- look-ups

    def read(self, key: bytes) -> object | None:
        """The value for a reading command, which must not change it; counts a hit or a miss."""
        value = self._find(key)
        if value is None:
            keyspace = self.keyspace
            keyspace.misses += 1
            if keyspace.event_classes & KEY_MISS:
                keyspace.events.append((self.index, key, b"keymiss", KEY_MISS))
        else:
            self.keyspace.hits += 1
            self.used(key)
        return value

    def look(self, key: bytes) -> object | None:
        """As read(), for commands that look at a key without using it."""
        value = self._find(key)
        keyspace = self.keyspace
        if value is not None:
            keyspace.hits += 1
        else:
            keyspace.misses += 1
            if keyspace.event_classes & KEY_MISS:
                keyspace.events.append((self.index, key, b"keymiss", KEY_MISS))
        return value

    def used(self, key: bytes) -> None:
        """A key was read or changed."""
        keyspace = self.keyspace
        if keyspace.uses == LAST_USE:
            self.usage.note(key, keyspace.clock)
        elif keyspace.uses == COUNTED:
            if key == self._newest:
                self._newest = b""
            else:
                self.usage.count(key, keyspace.minute(), keyspace.lfu_decay, keyspace.lfu_factor, keyspace.rng)

    def _first_use(self, key: bytes) -> None:
        self._newest = key
        self.usage.first(key, self.keyspace.minute())

    def forget_uses(self) -> None:
        if self.keyspace.lfu:
            self.usage.reset(0)
            self.usage.first(b"", self.keyspace.minute())
        else:
            self.usage.reset(self.keyspace.clock)
        self.usage.grow(self.table.size)

    def idle_seconds(self, key: bytes) -> int:
        return (self.keyspace.coldness(self, key) << TICK_BITS) // 1000

    def last_use_ms(self, key: bytes) -> int:
        """Unix time at which a key was used, as far as it is noted: the same until it is used again. Without LFU."""
        return self.usage.last(key) << TICK_BITS

    def set_idle(self, key: bytes, seconds: int) -> None:
        """RESTORE and files say how long a key was not used."""
        if not self.keyspace.lfu:
            ticks = -(-seconds * 1000 >> TICK_BITS)  # rounded up, so that idle_seconds() says the same
            self.usage.note(key, max(0, (int(self.keyspace.now_ms) >> TICK_BITS) - ticks))

    def frequency(self, key: bytes) -> int:
        return self.usage.frequency(key, self.keyspace.minute(), self.keyspace.lfu_decay)

    def set_frequency(self, key: bytes, counter: int) -> None:
        """RESTORE and files say how often a key was used, with an LFU policy."""
        if self.keyspace.lfu:
            self.usage.set_frequency(key, counter, self.keyspace.minute())

    def peek(self, key: bytes) -> object | None:
        """The value, without counting: for writing commands, which may change it, and for those that only look."""
        if self.unsaved is not None:
            self.unsaved.keep(key)
        return self._find(key)

    def _find(self, key: bytes) -> object | None:
        times = self.expires.times
        if times.size:
            when = times.get(key)
            if when is not None and cast(int, when) <= self.keyspace.now_ms and self.keyspace.expiry:
                if self.keyspace.removal:
                    self._expire(key)
                return None
        return self.table.get(key)

    def is_overdue(self, key: bytes) -> bool:
        """Its time has come, and it is there yet: nobody met it."""
        when = self.expires.get(key)
        return when is not None and when <= self.keyspace.now_ms and self.keyspace.expiry

    def size(self) -> int:
        return int(self.table.size)

    def expiry(self, key: bytes) -> int | None:
        """The Unix time in ms at which `key` goes, or None."""
        return self.expires.get(key)

    def before_change(self, key: bytes) -> None:
        """To be called before a value is changed that was not looked up by peek()."""
        if self.unsaved is not None:
            self.unsaved.keep(key)

    # -- changes. None of them tells anybody but that a key is new: commands do, through Context.changed()

    def put(self, key: bytes, value: object) -> None:
        """Store a value; a time-out that the key has is kept."""
        if isinstance(value, Stream) and (value.settings is not None or value.groups):
            self.keyspace.retention.plan(self.index, key, 0)
        if self.field_agenda.times.size:
            self.field_agenda.pop(key)
        if isinstance(value, HashValue) and value.deadlines is not None:
            self.plan_fields(key, value)
        if self.keyspace.event_classes & NEW:
            self._note_new(key)
        if self.unsaved is not None:
            self.unsaved.keep(key)
        if self.table.set(key, value) and self.keyspace.uses == COUNTED:
            self._first_use(key)

    def make_room(self, keys: int, expiring: int = 0) -> None:
        """A file is loaded that brings about so many."""
        self.usage.grow(keys)
        if self.table.size <= _FEW:
            self.table.reserve(keys)
            self.expires.times.reserve(expiring)

    def load(self, key: bytes, value: object, when_ms: int) -> bool:
        """Store what a file has, with its time-out (-1: none), and tell nobody. False when the key is there already.

        expires.arrange() has to follow when all is loaded.
        """
        if not self.table.set(key, value):
            return False
        if when_ms != -1:
            self.expires.set_late(key, when_ms)
        if self.keyspace.uses == COUNTED:
            self.usage.first(key, self.keyspace.minute())
        if isinstance(value, bytes):
            return True
        if isinstance(value, Stream) and (value.settings is not None or value.groups):
            self.keyspace.retention.plan(self.index, key, 0)
        elif isinstance(value, HashValue) and value.deadlines is not None:
            self.plan_fields(key, value)
        return True

    def replace(self, key: bytes, value: object) -> None:
        """Store a value; a time-out that the key has goes."""
        if isinstance(value, Stream) and (value.settings is not None or value.groups):
            self.keyspace.retention.plan(self.index, key, 0)
        if self.field_agenda.times.size:
            self.field_agenda.pop(key)
        if isinstance(value, HashValue) and value.deadlines is not None:
            self.plan_fields(key, value)
        if self.keyspace.event_classes & (OVERWRITTEN | TYPE_CHANGED):
            self.note_overwritten(key, value)
        if self.keyspace.event_classes & NEW:
            self._note_new(key)
        if self.unsaved is not None:
            self.unsaved.keep(key)
        if self.expires.times.size:
            when = self.expires.pop(key)
            if when is not None and when <= self.keyspace.now_ms and self.keyspace.expiry:
                self._note_expired(key)  # nobody had met it yet
        before = self.table.exchange(key, value)
        if before is not None and before is not value and not isinstance(before, (bytes, bytearray)):
            dispose(before)
        if before is None and self.keyspace.uses == COUNTED:
            self._first_use(key)

    def _note_new(self, key: bytes) -> None:
        if self.peek(key) is None:
            self.keyspace.events.append((self.index, key, b"new", NEW))

    def note_overwritten(self, key: bytes, value: object) -> None:
        """`value` is about to take the place of whatever is there."""
        if not self.keyspace.event_classes & (OVERWRITTEN | TYPE_CHANGED):
            return
        old = self.peek(key)
        if old is not None:
            self.tell_overwritten(key, type_name(old) != type_name(value))

    def tell_overwritten(self, key: bytes, with_another_type: bool) -> None:
        events = self.keyspace.events
        if self.keyspace.event_classes & OVERWRITTEN:
            events.append((self.index, key, b"overwritten", OVERWRITTEN))
        if with_another_type and self.keyspace.event_classes & TYPE_CHANGED:
            events.append((self.index, key, b"type_changed", TYPE_CHANGED))

    def remove(self, key: bytes) -> object | None:
        """Take a key out. Its value, or None when there was none."""
        if self.unsaved is not None:
            self.unsaved.keep(key)
        if self.expires.times.size:
            self.expires.pop(key)
        if self.field_agenda.times.size:
            self.field_agenda.pop(key)
        return self.table.pop(key)

    def discard(self, key: bytes) -> bool:
        """As remove(), for who has no use for the value. False when there was none."""
        value = self.remove(key)
        if value is None:
            return False
        dispose(value)
        return True

    def set_expiry(self, key: bytes, when_ms: int) -> None:
        """The key must exist."""
        if self.unsaved is not None:
            self.unsaved.keep(key)
        self.expires.set(key, when_ms)

    def clear_expiry(self, key: bytes) -> bool:
        """True when there was one."""
        if self.unsaved is not None:
            self.unsaved.keep(key)
        return self.expires.pop(key) is not None

    def plan_fields(self, key: bytes, value: HashValue) -> None:
        """The fields of the hash at `key` have other times now."""
        when = value.next_ms()
        if when == NEVER:
            self.field_agenda.pop(key)
            return
        planned = self.field_agenda.get(key)
        if planned is None or when < planned:  # a look too early costs little
            self.field_agenda.set(key, when)
        if when < self.keyspace.fields_due_ms:
            self.keyspace.fields_due_ms = when

    def take_due_hash(self, now_ms: int) -> bytes | None:
        """The key of a hash of which fields may be due; it is not planned any more. None when there is none."""
        while True:
            earliest = self.field_agenda.next_ms()
            if earliest is None or earliest > now_ms:
                return None
            key = self.field_agenda.first_due(now_ms)
            if key is not None:
                self.field_agenda.pop(key)
                return key

    def schedule(self, ticket: Ticket) -> None:
        self.agenda.add(ticket)
        self.keyspace.planned[self.index] = None

    def clear(self) -> int:
        """Drop every key and every scheduled message. Their number."""
        size = int(self.table.size) + len(self.agenda)
        self.agenda.clear()
        self.forget_uses()
        dispose_all(self.table)
        dispose(self.expires)  # a snapshot that still reads them keeps them whole
        dispose(self.field_agenda)
        self.table = Table()
        self.expires = Expiries()
        self.field_agenda = Expiries()
        self.unsaved = None  # nobody reaches the old values any more
        return size

    def swap(self, other: "Database") -> None:
        """Exchange keys and scheduled messages of two databases; those who wait or watch stay with the number."""
        self.agenda, other.agenda = other.agenda, self.agenda
        self.keyspace.planned[self.index] = None
        self.keyspace.planned[other.index] = None
        self.table, other.table = other.table, self.table
        self.keyspace.retention.swap(self.index, other.index)
        self.expires, other.expires = other.expires, self.expires
        self.usage, other.usage = other.usage, self.usage
        self.unsaved, other.unsaved = other.unsaved, self.unsaved
        self.field_agenda, other.field_agenda = other.field_agenda, self.field_agenda

    def average_ttl(self, now_ms: int) -> int:
        """Milliseconds, over at most a hundred of the keys that expire; 0 when none does. For INFO."""
        sample = self.expires.sample(100)
        return max(0, sum(sample) // len(sample) - now_ms) if sample else 0

    # -- time

    def next_expiry_ms(self) -> int | None:
        return self.expires.next_ms()

    def expire_next(self) -> bool:
        """A step towards having no key left whose time has come; False when none has."""
        now = int(self.keyspace.now_ms)
        when = self.expires.next_ms()
        if when is None or when > now:
            return False
        key = self.expires.first_due(now)
        if key is not None:
            self._expire(key)
        return True

    def _expire(self, key: bytes) -> None:
        self.discard(key)
        self._note_expired(key)

    def _note_expired(self, key: bytes) -> None:
        keyspace = self.keyspace
        keyspace.expired_keys += 1
        keyspace.expired.append((self.index, key))
        keyspace.watches.lapse(self.index, key)
        if keyspace.event_classes & EXPIRED:
            keyspace.events.append((self.index, key, b"expired", EXPIRED))
        if keyspace.observed:
            keyspace.observe(self.index, key, 0)
