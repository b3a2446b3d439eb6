"""One request in, one reply out: look up, admit, call, settle.

Everything here is synchronous and runs on one thread, so a request is atomic by construction. The hub calls
begin_turn() before it executes what it read, end_turn() after it, and then writes `journal.take()` to the log before
it sends any reply.
"""

from collections.abc import Callable
from random import Random
from time import perf_counter
from typing import Final

from mypy_extensions import i64

from broker.clock import Clock
from broker.commands.all import command_table
from broker.commands.blocked import Blocked, RunQueue, Unfinished, finished
from broker.commands.context import Context, Shared
from broker.commands.control import Control
from broker.commands.event_messages import tell_events
from broker.commands.monitor import show
from broker.commands.present_state import journal_present_state
from broker.commands.registry import (
    ADMIN,
    BLOCKING,
    DENYOOM,
    MAY_REPLICATE,
    NO_MANDATORY_KEYS,
    SKIP_MONITOR,
    WRITE,
    Command,
)
from broker.commands.session import (
    DISCONNECT,
    DROP_NEWEST,
    DROP_OLDEST,
    IN_MULTI,
    NEEDS_AUTH,
    TRACKS,
    UNTOUCHING,
    Session,
)
from broker.commands.stream_retention import after_groups
from broker.commands.tracking import end_of_transaction, note_reads, stop_tracking
from broker.commands.transactions import discard_queue
from broker.config import Config
from broker.datatypes.packed_entries import SHARED
from broker.engine import observation
from broker.engine.admission import (
    BUSY_FUNCTION,
    BUSY_SCRIPT,
    IS_KEPT,
    LIMITED,
    OUT_OF_MEMORY,
    PAUSED_ALL,
    PAUSED_WRITES,
    WRITES_REFUSED,
    admit,
)
from broker.engine.blocking import Blocking
from broker.engine.journal import Journal
from broker.engine.lookup import Lookup
from broker.engine.memory import MemoryLimit
from broker.engine.notifications import event_entries
from broker.engine.schedules import Schedules
from broker.engine.script_calls import ScriptCalls
from broker.engine.upkeep import Upkeep
from broker.errors import CommandError
from broker.keyspace.database import COUNTED, LAST_USE, UNNOTED, Keyspace
from broker.keyspace.events import parse_classes
from broker.keyspace.usage import TICK_BITS
from broker.protocol.replies import NOTHING, ErrorReply, Reply

_seconds: Final = perf_counter  # compiled, a name of this module's own is found without a dictionary
_MAY_WANT_MEMORY: Final = DENYOOM | MAY_REPLICATE  # flags: a script may write, too
_UNBLOCKED: Final = ErrorReply(b"UNBLOCKED")  # as INFO errorstats counts it
_INTERNAL_ERROR: Final = ErrorReply(b"ERR internal error")
_COMPRESSION: Final = {"no": 0, "fast": 1, "high": 6}  # levels of zlib
_SCRIPT_CODES: Final = 128  # codes of errors that are counted each by itself; new ones of scripts beyond it together,
_CODES: Final = 1024  # of others beyond this (ours are a few dozen, but DEBUG ERROR takes any)
_LATE: Final = 0.001  # seconds that the time of a turn may be behind when a request begins
_OVERFLOW: Final = {"disconnect": DISCONNECT, "drop-oldest": DROP_OLDEST, "drop-newest": DROP_NEWEST}


class Engine:
    """The keyspace, its commands and those who wait, without any I/O.

    on_bug: called with the command's name and the exception when one of our own lets out what it must not.
    """

    def __init__(
        self,
        config: Config,
        control: Control,
        clock: Clock,
        rng: Random,
        on_bug: Callable[[str, Exception], None],
    ) -> None:
        self.config = config
        self.clock = clock
        self.keyspace = Keyspace(config.integer("databases"), rng)
        self.commands: dict[bytes, Command] = command_table()
        self.shared = Shared(self.keyspace, config, clock, control, self.commands)
        self.journal = Journal(self.shared.log)
        self.shared.is_journaled = self.journal.is_read
        self.blocking = Blocking(self.keyspace, self._retry)
        self.schedules = Schedules(self.keyspace, self.journal, self._fire, self.settle)
        self.script_calls = ScriptCalls(self)
        self.upkeep = Upkeep(self)
        self._nobody = Context(Session(0, []), self.shared)  # whose requests are those that the broker makes itself
        self.observation = observation.Observation(self.shared)
        self.memory = MemoryLimit(self.shared, self.journal, self.settle)
        self.gate: i64 = 0
        self.log_moved = False  # more of the log is durable, and somebody waits for that
        self.executed: i64 = 0  # requests, for INFO
        self.error_replies: i64 = 0
        self.outgoing: list[Session] = []  # sessions with output, in the order in which they got it
        self._contexts: dict[int, Context] = {}
        self._unfinished: dict[Context, Unfinished] = {}  # requests that go on in each turn, oldest first
        self._may_split = False  # the call that comes may return Unfinished
        self._next_session: i64 = 1
        self._lookup = Lookup(self.commands)
        self._on_bug = on_bug
        self._mark: float = 0.0  # perf_counter() when the request being executed began
        self._told: float = 0.0  # perf_counter() when keyspace.now_ms was read off the clock
        self.unpause_ms: i64 = 0
        self._overflow: i64 = DISCONNECT
        self._event_stream = b""  # notify-keyspace-stream; empty: none
        self._event_stream_length: int = 0
        self._configure()

    def _configure(self) -> None:
        self._read_memory()
        for name in ("maxmemory", "maxmemory-policy", "maxmemory-samples", "lfu-decay-time", "lfu-log-factor"):
            self.config.on_change(name, self._read_memory)
        self._read_observation()
        self._read_notifications()
        for name in observation.SETTINGS:
            self.config.on_change(name, self._read_observation)
        for name in ("notify-keyspace-events", "notify-keyspace-stream", "notify-keyspace-stream-max-len"):
            self.config.on_change(name, self._read_notifications)
        self._read_overflow()
        self.config.on_change("pubsub-overflow", self._read_overflow)
        self._read_tracking_limit()
        self.config.on_change("tracking-table-max-keys", self._read_tracking_limit)
        self._read_stream_storage()
        for name in ("stream-node-max-entries", "stream-node-max-bytes", "stream-compression"):
            self.config.on_change(name, self._read_stream_storage)

    def _read_observation(self) -> None:
        self.observation.configure(self.config)

    def _read_memory(self) -> None:
        self.memory.configure(self.config)
        if self.memory.limit:
            self.gate |= LIMITED
        else:
            self.gate &= ~LIMITED

    def _read_stream_storage(self) -> None:
        SHARED.configure(
            self.config.integer("stream-node-max-entries"),
            self.config.memory("stream-node-max-bytes"),
            _COMPRESSION[self.config.text("stream-compression")],
        )

    def _read_tracking_limit(self) -> None:
        self.keyspace.tracking.limit = self.config.integer("tracking-table-max-keys")
        if self.keyspace.tracking.shrink():
            self.keyspace.tell_trackers()

    def _read_overflow(self) -> None:
        self._overflow = _OVERFLOW[self.config.text("pubsub-overflow")]
        for session in self.shared.sessions.values():
            session.overflow = self._overflow

    def _read_notifications(self) -> None:
        self.keyspace.event_classes = parse_classes("".join(self.config.event_classes())) or 0
        self._event_stream = self.config.text("notify-keyspace-stream").encode("utf-8", "surrogateescape")
        self._event_stream_length = self.config.integer("notify-keyspace-stream-max-len")

    # -- sessions

    def open_session(self) -> Context:
        """A new client. It has to be closed by close_session()."""
        session = Session(int(self._next_session), self.outgoing)
        self._next_session += 1
        session.created_ms = self.clock.now_ms()
        session.active_ms = session.created_ms
        session.set_gate(NEEDS_AUTH, self.config.text("requirepass") != "")
        session.overflow = self._overflow
        ctx = Context(session, self.shared)
        self._contexts[session.id] = ctx
        self.shared.sessions[session.id] = session
        return ctx

    def replay_session(self) -> Context:
        """A session for reading the log: no client sees it, nothing limits it."""
        session = Session(0, [])
        session.is_replay = True
        return Context(session, self.shared)

    def close_session(self, ctx: Context) -> None:
        session = ctx.session
        session.closed = True
        if session.durability:
            self.shared.durability_clients -= 1
        stop_tracking(self.shared, session)
        self.shared.monitors.pop(session.id, None)
        self.blocking.forget(session.id)
        self.keyspace.watches.forget(session.watcher)
        self.shared.subscriptions.leave(session.id, session.channels, session.patterns, session.shard_channels)
        self._contexts.pop(session.id, None)
        self.shared.sessions.pop(session.id, None)

    # -- turns

    def begin_turn(self) -> None:
        self._mark = _seconds()
        self._see_what_is_due()

    def _see_what_is_due(self) -> None:
        """Read the clock. What is over by then goes before anybody looks."""
        self._told = self._mark
        self.tell_time()
        if self.gate & (PAUSED_ALL | PAUSED_WRITES) and self.keyspace.now_ms >= self.unpause_ms:
            self.unpause()
        if self.keyspace.retention.next_ms <= self.keyspace.now_ms:
            self.upkeep.retain()
        if self.keyspace.fields_due_ms <= self.keyspace.now_ms:
            self.upkeep.expire_fields()

    def _catch_up(self) -> None:
        """The requests of this turn took a while: the next one is to see the time as it is.

        Within a transaction or a script it stands still, as in Redis from 7.2 on (enterExecutionUnit in server.c), and
        for those who are answered while a script runs.
        """
        if not self.gate & (BUSY_SCRIPT | BUSY_FUNCTION):
            self._see_what_is_due()

    def tell_time(self) -> None:
        self.keyspace.now_ms = self.clock.now_ms()
        if self.keyspace.now_ms >> TICK_BITS != self.keyspace.tick:
            self.keyspace.advance()

    def end_turn(self) -> None:
        """Append what was scheduled, answer whose time is up, remove what has expired."""
        self.upkeep.end_turn()

    def next_deadline_ms(self) -> int | None:
        """Milliseconds from now until end_turn() has something to do without any request; None: nothing is planned."""
        return self.upkeep.next_deadline_ms()

    # -- requests

    def execute(self, ctx: Context, argv: list[bytes]) -> Reply:
        """Execute one request of a client. The reply; NOTHING when it comes later; POSTPONED: offer it again."""
        session = ctx.session
        if self._mark - self._told >= _LATE:
            self._catch_up()
        command = self.commands.get(argv[0])
        if command is None:
            command = self._lookup.spellings.get(argv[0])
        if command is None or command.subcommands:
            found = self._lookup.find(argv)
            if isinstance(found, ErrorReply):
                session.last_command = b""
                if command is not None and len(argv) == 1:
                    session.last_command = command.wire_name
                    command.rejected += 1
                return self._refuse(session, found)
            command = found
        session.last_command = command.wire_name  # here, not in call(): of a transaction EXEC is the last one
        arity = command.arity
        count: i64 = len(argv)
        if arity != count and (arity >= 0 or count < -arity):
            return self._reject(
                ctx, command, argv, ErrorReply(b"ERR wrong number of arguments for '%b' command" % command.wire_name)
            )
        if session.gate | self.gate:
            gate = int(self.gate)
            flags = int(command.flags)
            if flags & NO_MANDATORY_KEYS and self.shared.scripts is not None:
                flags = self.shared.scripts.flags_of(argv, flags)
            if gate & LIMITED and not session.is_replay and (flags & _MAY_WANT_MEMORY or session.gate & IN_MULTI):
                if not self.memory.has_room() and not self.memory.make_room():
                    gate |= OUT_OF_MEMORY
            if gate & WRITES_REFUSED and command.name == b"PUBLISH":
                if self.keyspace.channel_log.rule_of(argv[1]) is not None:
                    gate |= IS_KEPT
            refused = admit(session, command, argv, gate, flags)
            if refused is not None:
                if isinstance(refused, ErrorReply):
                    return self._reject(ctx, command, argv, refused)
                return refused
        keyspace = self.keyspace
        dirty = keyspace.dirty
        self._may_split = not session.is_replay
        reply = self.call(ctx, command, argv)
        if keyspace.dirty != dirty:
            if (
                ctx.decisions is None
                and not keyspace.expired
                and not keyspace.events
                and not keyspace.ready
                and not keyspace.expired_fields
                and not command.flags & BLOCKING
            ):
                self.journal.write(int(session.database), argv)  # the common case, without any of what follows
                return reply
            self.record(ctx, argv)
            self.settle()
        elif keyspace.expired or keyspace.events or keyspace.ready or ctx.decisions is not None:
            self.settle()
        if isinstance(reply, (Blocked, RunQueue, Unfinished)):
            return self._deferred(ctx, argv, reply)
        if self.shared.unblock_requests:
            self._unblock()
        return reply

    def call(self, ctx: Context, command: Command, argv: list[bytes]) -> Reply:
        """Run a command's function; errors become replies; statistics are kept. Settles nothing."""
        self.executed += 1
        may_split = self._may_split
        self._may_split = False  # for what this call calls
        ctx.command = command
        ctx.decisions = None
        start = _seconds() if ctx.session.in_script else self._mark  # what Lua did before is no time of the command
        dirty = self.keyspace.dirty
        special = ctx.session.special
        if special & UNTOUCHING and command.name != b"TOUCH":
            self.keyspace.uses = UNNOTED
        if command.flags & SKIP_MONITOR and self.shared.monitors and not ctx.session.is_blocked:
            show(self.shared, ctx.session, argv)  # a script is shown ahead of what it calls
        try:
            reply = command.function(ctx, argv)
            if isinstance(reply, Unfinished) and not may_split:
                reply = finished(reply)
            if self.keyspace.retention.by_acks and command.flags & WRITE:
                after_groups(ctx, command, argv, self.keyspace.dirty != dirty)
        except CommandError as error:
            reply = self._failed(command, ErrorReply(f"{error.code} {error.text}".encode("utf-8", "surrogateescape")))
        except Exception as error:
            self._on_bug(command.name.decode(), error)
            self._journal_half(ctx, command, argv)
            reply = self._failed(command, _INTERNAL_ERROR)
        if special or self.shared.monitors:
            self._after_special(ctx, command, argv, reply)
        if self.keyspace.dirty != dirty:
            ctx.session.wrote = self.journal.progress.batch
        self._mark = _seconds()
        if command.flags & BLOCKING and isinstance(reply, Blocked):
            return reply  # it counts when it has ended
        elapsed = self._mark - start
        command.calls += 1
        command.seconds += elapsed
        observing = self.observation
        if observing.keeps_times:
            observing.time(command, elapsed)
        if elapsed >= observing.notable_seconds:
            observing.note_slow(ctx.session, command, argv, elapsed)
        if self.shared.hot_keys is not None and ctx.session.id:  # what a script calls is in the time of the script
            self.shared.hot_keys.note(command, argv, reply, ctx.session.resp3, elapsed, int(self.keyspace.now_ms))
        return reply

    def _after_special(self, ctx: Context, command: Command, argv: list[bytes], reply: Reply) -> None:
        """For a client that tracks keys or does not touch them, or while somebody monitors."""
        session = ctx.session
        if session.special & TRACKS:
            note_reads(ctx, command, argv)
        self.keyspace.uses = COUNTED if self.keyspace.lfu else LAST_USE
        if self.shared.monitors and not command.flags & (ADMIN | SKIP_MONITOR):
            if not session.is_blocked and not isinstance(reply, RunQueue):  # EXEC is shown behind what it executes
                show(self.shared, session, argv)

    def request_began(self) -> float:
        """perf_counter() then."""
        return self._mark

    def _journal_half(self, ctx: Context, command: Command, argv: list[bytes]) -> None:
        """A command broke off: what it did until then is done, and the log has to have it."""
        if command.flags & WRITE:
            try:
                journal_present_state(ctx, command, argv)
            except Exception as error:
                self._on_bug("the journal of " + command.name.decode(), error)  # the next rewrite has it right

    def report_bug(self, where: str, error: Exception) -> None:
        self._on_bug(where, error)

    def record(self, ctx: Context, argv: list[bytes]) -> None:
        """Note the effects of the call that just changed something."""
        if self.keyspace.expired_fields:
            self._record_expired_fields()
        database = int(ctx.session.database)
        if ctx.decisions is None:
            self.journal.record(database, argv)
        else:
            for decision in ctx.decisions:
                self.journal.record(database, decision)

    def _record_expired_fields(self) -> None:
        """Fields that a request found expired go before what it did."""
        for database, key, fields in self.keyspace.expired_fields:
            for field in fields:  # one by one, as Redis has them: who reads its logs knows them so
                self.journal.record(database, [b"HDEL", key, field])
        self.keyspace.expired_fields.clear()

    def settle(self) -> None:
        """End of a request that had effects: journal them, notify, serve who waited."""
        if self.gate & (BUSY_SCRIPT | BUSY_FUNCTION):
            return  # this is another client's request, while a script runs: its effects are settled at its own end
        self._commit()
        if self.keyspace.ready:
            if self._mark - self._told >= _LATE:
                self._catch_up()
            self.blocking.serve()

    def _commit(self) -> None:
        """Journal and notify."""
        keyspace = self.keyspace
        self._journal_expired()
        if self._event_stream and keyspace.events and keyspace.expiry:  # a log that is read has these entries
            self._keep_events()
        self.journal.commit()
        if keyspace.events:
            tell_events(self.shared)
            keyspace.events = []
            keyspace.told = 0

    def _keep_events(self) -> None:
        """Into the stream, in one unit of the journal with what they tell of. An error (another type is at that key)
        shows in INFO errorstats."""
        for argv in event_entries(self.keyspace, self._event_stream, self._event_stream_length):
            if self._fire(0, argv) is not None:
                return

    def _journal_expired(self) -> None:
        """Removals by time stand before the effects of the request that met them."""
        keyspace = self.keyspace
        for database, key in keyspace.expired:
            self.journal.write(database, [b"DEL", key])
            if key in keyspace.databases[database].waited:
                keyspace.ready.append((database, key))
        keyspace.expired.clear()

    def _deferred(self, ctx: Context, argv: list[bytes], reply: Reply) -> Reply:
        if isinstance(reply, Blocked):
            self.blocking.park(ctx, reply, self.clock.monotonic_ms())
            return NOTHING
        if isinstance(reply, Unfinished):
            self._unfinished[ctx] = reply
            ctx.session.is_blocked = True
            return NOTHING
        return self._run_queue(ctx, argv)

    def unfinished(self) -> int:
        """Requests that go on in the turns to come."""
        return len(self._unfinished)

    def may_go_on(self, held_up: bool) -> bool:
        """Whether go_on() has something to do."""
        if not self._unfinished or not held_up:
            return len(self._unfinished) > 0
        return not all([unfinished.writes for unfinished in self._unfinished.values()])

    def go_on(self, held_up: bool) -> None:
        """A step of each request that takes several turns. held_up: nothing may be written now."""
        for ctx, unfinished in list(self._unfinished.items()):
            if held_up and unfinished.writes:
                continue
            dirty = self.keyspace.dirty
            ctx.decisions = None
            try:
                reply = unfinished.step()
            except Exception as error:
                self._on_bug("unfinished", error)
                reply = _INTERNAL_ERROR
            if self.keyspace.dirty != dirty:
                self.record(ctx, [])
            self.settle()
            if reply is not NOTHING:
                del self._unfinished[ctx]
                if not ctx.session.closed:
                    ctx.session.is_blocked = False
                    self.blocking.answer(ctx.session, reply)

    def _retry(self, ctx: Context, argv: list[bytes]) -> Reply | Blocked:
        """Execute a parked request again, in the turn of whoever wrote to one of its keys."""
        command = self.find(argv)
        assert isinstance(command, Command), "a parked request was found before"
        dirty = self.keyspace.dirty
        reply = self.call(ctx, command, argv)
        if self.keyspace.dirty != dirty:
            self.record(ctx, argv)
        if self.keyspace.dirty != dirty or self.keyspace.events:
            self._commit()
        return reply

    def _fire(self, database: int, argv: list[bytes]) -> ErrorReply | None:
        """Execute a request of nobody and note its effects; settle() has to follow. The error when it failed."""
        ctx = self._nobody
        ctx.select(database)
        command = self.commands[argv[0]]
        dirty = self.keyspace.dirty
        reply = self.call(ctx, command, argv)
        if self.keyspace.dirty != dirty:
            self.record(ctx, argv)
        return reply if isinstance(reply, ErrorReply) else None

    def _run_queue(self, ctx: Context, argv: list[bytes]) -> Reply:
        """EXEC, after its checks: execute what was queued, as one unit of the journal."""
        session = ctx.session
        queue = session.queue
        session.set_gate(IN_MULTI, False)
        replies: list[Reply] = []
        session.in_exec = True
        self.shared.unit_us = 0
        for request in queue:
            found = self.find(request)
            if isinstance(found, ErrorReply):
                replies.append(found)
                continue
            dirty = self.keyspace.dirty
            reply = self.call(ctx, found, request)
            if self.keyspace.dirty != dirty:
                self.record(ctx, request)
            replies.append(reply.in_multi if isinstance(reply, Blocked) else reply)
        session.in_exec = False
        discard_queue(ctx)
        if self.shared.monitors:
            show(self.shared, session, argv)
        if session.special & TRACKS:
            end_of_transaction(self.shared, session)
        self.settle()
        if self.shared.unblock_requests:
            self._unblock()
        return replies

    def find(self, argv: list[bytes]) -> Command | ErrorReply:
        """The command that a request names, in any case."""
        return self._lookup.find(argv)

    def _refuse(self, session: Session, reply: ErrorReply) -> Reply:
        """Count an error that came before execution; it fails the transaction being queued."""
        if session.gate & IN_MULTI:
            session.queue_failed = True
        self.count_error(reply)
        return reply

    def _reject(self, ctx: Context, command: Command, argv: list[bytes], why: ErrorReply) -> Reply:
        """A command that there is was refused. If it is EXEC, the transaction is over: rejectCommand in server.c."""
        command.rejected += 1
        if command.name != b"EXEC":
            return self._refuse(ctx.session, why)
        discard_queue(ctx)
        if self.shared.monitors:
            show(self.shared, ctx.session, argv)
        aborted = ErrorReply(b"EXECABORT Transaction discarded because of: " + why.text.removeprefix(b"ERR "))
        return self._refuse(ctx.session, aborted)

    def _failed(self, command: Command, reply: ErrorReply) -> ErrorReply:
        command.failed += 1
        self.count_error(reply)
        return reply

    def count_error(self, reply: ErrorReply, is_from_script: bool = False) -> None:
        """is_from_script: its text is one that a script made up, which may begin with any code."""
        self.error_replies += 1
        code = reply.text.split(b" ", 1)[0]
        errors = self.shared.errors
        if code not in errors and len(errors) >= (_SCRIPT_CODES if is_from_script else _CODES):
            code = b"ERRORSTATS_OVERFLOW"  # as in Valkey
        errors[code] = errors.get(code, 0) + 1

    def _unblock(self) -> None:
        requests = self.shared.unblock_requests
        self.shared.unblock_requests = []
        for session_id, with_error in requests:
            if self.blocking.unblock(session_id, with_error) and with_error:
                self.count_error(_UNBLOCKED)

    def log_durable(self, batch: i64) -> bool:
        """All of the log up to that batch is on the disk. True when a turn is needed: somebody waits for that."""
        progress = self.shared.log
        if batch > progress.durable:
            progress.durable = batch
        self.log_moved = len(self.blocking.for_log) > 0
        return self.log_moved

    # -- pausing

    def pause(self, until_ms: int, writes_only: bool) -> None:
        """CLIENT PAUSE: a longer or stronger pause that is in force stays. until_ms: Unix time."""
        paused = bool(self.gate & (PAUSED_ALL | PAUSED_WRITES))
        if not writes_only or self.gate & PAUSED_ALL:
            self.gate = (self.gate & ~PAUSED_WRITES) | PAUSED_ALL
        else:
            self.gate |= PAUSED_WRITES
        if not paused or until_ms > self.unpause_ms:
            self.unpause_ms = until_ms
        self.keyspace.removal = False

    def unpause(self) -> None:
        self.gate &= ~(PAUSED_ALL | PAUSED_WRITES)
        self.unpause_ms = 0
        self.keyspace.removal = True

    def paused_action(self) -> tuple[str, int]:
        """(`none`, `all` or `write`, milliseconds left), for INFO."""
        left = max(0, int(self.unpause_ms) - self.clock.now_ms())
        if self.gate & PAUSED_ALL:
            return "all", left
        return ("write", left) if self.gate & PAUSED_WRITES else ("none", 0)
