"""What is set for a stream as a whole: XCFGSET, XCFGGET; and XIDMPRECORD: what the log has of entries added by name."""

from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.context import Context
from broker.commands.registry import DENYOOM, FAST, READONLY, RO, RW, UPDATE, WRITE, Group, key
from broker.commands.stream_arguments import to_id
from broker.commands.stream_retention import enforce, plan, settings_of, sweep, tell_idle
from broker.commands.streams import peek_stream, read_stream
from broker.datatypes.stream_settings import (
    ACKED,
    LIMITS,
    NOT_FOUND,
    WORKQUEUE,
    StreamSettings,
)
from broker.datatypes.streams import Stream
from broker.errors import CommandError, must_be_positive, no_such_key, syntax_error
from broker.keyspace.events import STREAM
from broker.protocol.replies import OK, Map, Reply

command = Group("stream").command

_LONGEST_DURATION: Final = 86_400  # seconds
_MOST_RECORDS: Final = 10_000
_LARGEST: Final = 1 << 53  # of a limit
_RETAIN: Final[dict[bytes, int]] = {b"LIMITS": LIMITS, b"ACKED": ACKED, b"WORKQUEUE": WORKQUEUE}
_RETAIN_NAMES: Final[dict[int, bytes]] = {number: name.lower() for name, number in _RETAIN.items()}


class _Changes:
    """The options of XCFGSET. -1, and None of a field: not given."""

    def __init__(self, argv: list[bytes]) -> None:
        self.duration = -1
        self.max_size = -1
        self.max_length = -1
        self.max_age_ms = -1
        self.max_bytes = -1
        self.group_idle_ms = -1
        self.retain = -1
        self.ttl_field: bytes | None = None
        if len(argv) < 3:
            raise CommandError("ERR", "At least one parameter must be specified")
        args = Args(argv, 2)
        while args.more():
            self._take(args.next().upper(), args)

    def _take(self, word: bytes, args: Args) -> None:
        if not args.more():
            raise syntax_error()
        if word == b"IDMP-DURATION":
            if self.duration >= 0:
                raise CommandError("ERR", "IDMP-DURATION specified multiple times")
            self.duration = to_int(args.next())
            if not 1 <= self.duration <= _LONGEST_DURATION:
                raise CommandError("ERR", f"IDMP-DURATION must be between 1 and {_LONGEST_DURATION} seconds")
        elif word == b"IDMP-MAXSIZE":
            if self.max_size >= 0:
                raise CommandError("ERR", "IDMP-MAXSIZE specified multiple times")
            self.max_size = to_int(args.next())
            if not 1 <= self.max_size <= _MOST_RECORDS:
                raise CommandError("ERR", f"IDMP-MAXSIZE must be between 1 and {_MOST_RECORDS} entries")
        elif word == b"MAXLEN":
            self.max_length = _limit(args.next())
        elif word == b"MAXAGE":
            self.max_age_ms = _limit(args.next())
        elif word == b"MAXBYTES":
            self.max_bytes = _limit(args.next())
        elif word == b"GROUPIDLE":
            self.group_idle_ms = _limit(args.next())
        elif word == b"RETAIN":
            self.retain = _RETAIN.get(args.next().upper(), -1)
            if self.retain < 0:
                raise CommandError("ERR", "RETAIN must be one of limits, acked, workqueue")
        elif word == b"TTLFIELD":
            self.ttl_field = args.next()
        else:
            raise syntax_error()

    def apply(self, settings: StreamSettings) -> None:
        window = settings.window
        changes_window = (self.duration >= 0 and self.duration != window.duration) or (
            self.max_size >= 0 and self.max_size != window.max_size
        )
        if changes_window:  # what was counted under other rules does not count
            window.clear()
        window.duration = _given(self.duration, window.duration)
        window.max_size = _given(self.max_size, window.max_size)
        settings.max_length = _given(self.max_length, settings.max_length)
        settings.max_age_ms = _given(self.max_age_ms, settings.max_age_ms)
        settings.max_bytes = _given(self.max_bytes, settings.max_bytes)
        settings.group_idle_ms = _given(self.group_idle_ms, settings.group_idle_ms)
        settings.retain = _given(self.retain, int(settings.retain))
        settings.adds_until_measured = 0
        settings.looked_ms = 0
        if self.ttl_field is not None:
            settings.ttl_field = self.ttl_field


def _limit(text: bytes) -> int:
    value = to_int(text)
    if not 0 <= value <= _LARGEST:
        raise must_be_positive()
    return value


def _given(value: int, otherwise: int) -> int:
    return otherwise if value < 0 else value


@command("XCFGSET", arity=-2, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="8.6.0",
         syntax="key [IDMP-DURATION idmp-duration] [IDMP-MAXSIZE idmp-maxsize] [MAXLEN maxlen] [MAXAGE milliseconds] "
                "[MAXBYTES bytes] [RETAIN <LIMITS | ACKED | WORKQUEUE>] [GROUPIDLE milliseconds] [TTLFIELD field]",
         summary="Set what a stream retains, and for how long it recognises entries that are added again",
         cost="O(1), and what the new limits remove",
         differs="What keeps and removes entries is ours")  # fmt: skip
def xcfgset(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    stream = peek_stream(ctx, name)
    if stream is None:
        raise no_such_key()
    changes = _Changes(argv)
    settings = settings_of(ctx, name, stream)
    changes.apply(settings)
    if settings.retain != LIMITS:
        ctx.keyspace.retention.by_acks = True
    ctx.changed_aside(name)
    if ctx.session.is_replay:
        ctx.keyspace.retention.plan(ctx.db.index, name, 0)
        return OK
    decisions: list[list[bytes]] = []
    enforce(stream, settings, name, ctx.now_ms, decisions)
    sweep(stream, settings, name, ctx.now_ms, decisions)
    tell_idle(ctx, name, settings)
    plan(ctx, name, stream, settings)
    if decisions:
        ctx.changed(name, b"xtrim", STREAM)
    if decisions or ctx.decisions is not None:
        ctx.journal_argv(argv)
        for decision in decisions:
            ctx.journal_argv(decision)
    return OK


@command("XCFGGET", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="0.2.0", ours=True,
         syntax="key", summary="What is set for a stream", cost="O(groups)")  # fmt: skip
def xcfgget(ctx: Context, argv: list[bytes]) -> Reply:
    """0, and an empty field: no limit. idle-groups: those that RETAIN ACKED does not wait for."""
    stream = read_stream(ctx, argv[1])
    if stream is None:
        raise no_such_key()
    settings = StreamSettings() if stream.settings is None else stream.settings
    idle: list[Reply] = []
    for group_name in settings.idle_groups:
        idle.append(group_name)
    return Map([
        b"idmp-duration", settings.window.duration,
        b"idmp-maxsize", settings.window.max_size,
        b"maxlen", settings.max_length,
        b"maxage", settings.max_age_ms,
        b"maxbytes", settings.max_bytes,
        b"retain", _RETAIN_NAMES[int(settings.retain)],
        b"groupidle", settings.group_idle_ms,
        b"ttlfield", settings.ttl_field,
        b"idle-groups", idle,
    ])  # fmt: skip


# -- entries added by name


@command("XIDMPRECORD", arity=5, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="8.8.0",
         syntax="key pid iid stream-id",
         summary="Remember under which name a producer added an entry", cost="O(1)")  # fmt: skip
def xidmprecord(ctx: Context, argv: list[bytes]) -> Reply:
    """What the log has of XADD IDMP besides the entry itself: in it, `id@ms` tells of an entry that arrived at another
    time than that of its id."""
    name, producer, own_name = argv[1], argv[2], argv[3]
    id_text, at, arrived = argv[4].partition(b"@") if ctx.session.is_replay else (argv[4], b"", b"")
    entry_id = to_id(id_text)
    if not producer:
        raise CommandError("ERR", "producer ID must be non-empty")
    if not own_name:
        raise CommandError("ERR", "idempotent ID must be non-empty")
    arrived_ms = to_int(arrived) if at else entry_id >> 64
    stream = peek_stream(ctx, name)
    if stream is None:
        raise no_such_key()
    is_replay = ctx.session.is_replay  # in a log, the entry may have been trimmed by the request that added it
    if not is_replay and stream.get(entry_id) is None:
        raise CommandError("ERR", "No such message in stream")
    known = _known(stream, producer, own_name, arrived_ms)
    if known == entry_id:
        return OK
    if known != NOT_FOUND and not is_replay:
        raise CommandError("ERR", "IID already exists for this producer with a different stream ID")
    settings_of(ctx, name, stream).window.record(producer, own_name, entry_id, arrived_ms)
    ctx.changed_aside(name)
    if ctx.decisions is not None:
        ctx.journal_argv(argv)
    return OK


def _known(stream: Stream, producer: bytes, own_name: bytes, now_ms: int) -> int:
    settings = stream.settings
    return NOT_FOUND if settings is None else settings.window.find(producer, own_name, now_ms)
