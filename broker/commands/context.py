"""All that a command may see, besides its arguments."""

from collections.abc import Callable

from mypy_extensions import i64

from broker.clock import Clock
from broker.commands.control import Control
from broker.commands.hot_key_watch import HotKeyWatch
from broker.commands.log_progress import LogProgress
from broker.commands.logs import CommandLog, Latency
from broker.commands.registry import Command
from broker.commands.script_run import Scripts
from broker.commands.session import Session
from broker.config import Config
from broker.keyspace import events
from broker.keyspace.database import Database, Keyspace
from broker.keyspace.subscriptions import Subscriptions


def _always() -> bool:
    return True


class Shared:
    """What all sessions of an engine have in common. One object, made by the engine."""

    def __init__(
        self, keyspace: Keyspace, config: Config, clock: Clock, control: Control, commands: dict[bytes, Command]
    ) -> None:
        self.keyspace = keyspace
        self.config = config
        self.clock = clock
        self.control = control
        self.commands = commands
        self.sessions: dict[int, Session] = {}  # every connected client, oldest first
        self.subscriptions = Subscriptions()
        self.slow_requests = CommandLog()
        self.large_requests = CommandLog()
        self.large_replies = CommandLog()
        self.latency = Latency()
        self.hot_keys: HotKeyWatch | None = None  # HOTKEYS START
        self.key_sizes: dict[str, str] = {}  # of INFO keysizes, as they were counted last
        self.monitors: dict[int, Session] = {}  # {id: client} of MONITOR
        self.errors: dict[bytes, int] = {}  # {error code: times}, for INFO errorstats
        self.unblock_requests: list[tuple[int, bool]] = []  # CLIENT UNBLOCK: (session id, with an error)
        self.allow_noscript = False  # scripts may call what is kept from them (DEBUG SET-DISABLE-DENY-SCRIPTS)
        self.replaying = False
        self.unit_us: i64 = 0  # what TIME says all through a transaction or a script; 0: it was not asked yet
        self.is_journaled: Callable[[], bool] = _always  # whether anybody reads the journal; the engine knows
        self.log = LogProgress()
        self.durability_clients: i64 = 0  # that chose another durability than the server's
        self.scripts: Scripts | None = None  # set by whoever puts the broker together; None: no Lua


def set_durability(shared: Shared, session: Session, durability: int) -> None:
    before = 1 if session.durability else 0
    session.durability = durability
    shared.durability_clients += (1 if durability else 0) - before


class Context:
    """One per session, alive as long as it; the engine fills `decisions` and reads it back around each request.

    Body order of a command: parse, look up, validate, change, journal, reply. After the first change nothing may raise.
    """

    def __init__(self, session: Session, shared: Shared) -> None:
        self.session = session
        self.shared = shared
        self.keyspace = shared.keyspace
        self.db: Database = shared.keyspace.databases[0]
        self.command: Command | None = None  # being executed; set for the few that serve several names
        self.decisions: list[list[bytes]] | None = None

    # -- facts

    @property
    def now_ms(self) -> int:
        """Unix time of this request in ms."""
        return int(self.keyspace.now_ms)

    @property
    def control(self) -> Control:
        return self.shared.control

    @property
    def config(self) -> Config:
        return self.shared.config

    def select(self, index: int) -> None:
        self.session.database = index
        self.db = self.keyspace.databases[index]

    # -- reporting a change

    def changed(self, key: bytes, event: bytes, kind: int) -> None:
        """The value of `key` in the selected database is another one now.

        event, kind: the keyspace notification (kind: a bit of broker.keyspace.events). Fails WATCH, wakes whoever waits
        for the key, and makes the request one that is journaled.
        """
        self.changed_in(self.db, key, event, kind)

    def changed_in(self, db: Database, key: bytes, event: bytes, kind: int) -> None:
        keyspace = self.keyspace
        keyspace.dirty += 1
        keyspace.watches.touch(db.index, key)
        db.used(key)
        if keyspace.observed:
            keyspace.observe(db.index, key, int(self.session.author))
        if db.waited and key in db.waited:
            keyspace.ready.append((db.index, key))
        if keyspace.event_classes & kind:
            keyspace.events.append((db.index, key, event, kind))

    def touched(self, key: bytes) -> None:
        """Fails WATCH and tells who caches the key, though nothing changed: for the few cases where Redis does so."""
        self.keyspace.watches.touch(self.db.index, key)
        if self.keyspace.observed:
            self.keyspace.observe(self.db.index, key, int(self.session.author))

    def changed_too(self, key: bytes, event: bytes, kind: int) -> None:
        """Another part of a change that was reported already: INFO counts it once."""
        self.changed(key, event, kind)
        self.keyspace.dirty -= 1

    def changed_aside(self, key: bytes, event: bytes = b"") -> None:
        """A change that is journaled, but neither fails WATCH nor wakes who waits for entries of a stream.

        Redis signals a stream's key for its entries only, not for its groups (t_stream.c); and trying every blocked
        reader again at each XACK would be wasted.
        """
        self.keyspace.dirty += 1
        if event:
            self.notify(key, event, events.STREAM)

    def dropped(self, key: bytes) -> None:
        """`key` held a collection that became empty: remove it, and report that as a deletion.

        What made it empty was reported already.
        """
        self.db.discard(key)
        self.changed_too(key, b"del", events.GENERIC)

    def note_fields(self, key: bytes, event: bytes, fields: list[bytes]) -> None:
        """Which fields of a hash the event reported just before is about. Only worth a call when SUBKEYS are told."""
        keyspace = self.keyspace
        if keyspace.event_classes & events.SUBKEYS and keyspace.event_classes & events.HASH:
            keyspace.events.append((self.db.index, key, events.pack_fields(event, fields), events.HASH | events.FIELDS))

    def notify(self, key: bytes, event: bytes, kind: int) -> None:
        """A notification without a change of its own."""
        keyspace = self.keyspace
        if keyspace.event_classes & kind:
            keyspace.events.append((self.db.index, key, event, kind))

    # -- journaling the decision

    def is_journaled(self) -> bool:
        """Whether anybody reads the journal; without that, what would be long need not be told to it."""
        return self.shared.is_journaled()

    def journal(self, *argv: bytes) -> None:
        """Journal this instead of the request: what was decided (absolute times, chosen ids, what was popped).

        May be called several times; the effects of one request are journaled as one unit.
        """
        self.journal_argv(list(argv))

    def journal_argv(self, argv: list[bytes]) -> None:
        if self.decisions is None:
            self.decisions = []
        self.decisions.append(argv)

    def journal_nothing(self) -> None:
        """The change needs no entry (it is journaled otherwise, or not worth one)."""
        if self.decisions is None:
            self.decisions = []
