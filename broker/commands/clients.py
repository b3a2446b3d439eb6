"""CLIENT: who is connected, and what to do with them."""

from typing import Final

from broker.commands.args import to_int
from broker.commands.connection import checked_name, is_plain
from broker.commands.context import Context, set_durability
from broker.commands.docs import bad_subcommand, help_of
from broker.commands.registry import ADMIN, LOADING, NOSCRIPT, SENTINEL, STALE, Group
from broker.commands.session import (
    ALWAYS,
    DEFAULT_DURABILITY,
    EVERYSEC,
    IN_MULTI,
    REPLY_OFF,
    REPLY_ON,
    REPLY_SKIP_NEXT,
    UNTOUCHING,
    Session,
)
from broker.errors import CommandError, syntax_error
from broker.keyspace.tracking import Tracker
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import NOTHING, OK, Reply, Verbatim

command = Group("connection").command
_ANY_TIME: Final = NOSCRIPT | LOADING | STALE | SENTINEL
_TYPES: Final = frozenset([b"normal", b"slave", b"replica", b"pubsub", b"master", b"primary"])


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


# -- looking at clients


@command("CLIENT|LIST", arity=-2, flags=_ANY_TIME | ADMIN, since="2.4.0",
         syntax="[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
         summary="What is known about the connections", cost="O(n), n connections")  # fmt: skip
def client_list(ctx: Context, argv: list[bytes]) -> Reply:
    sessions = ctx.shared.sessions
    lines: list[bytes] = []
    if len(argv) == 4 and argv[2].upper() == b"TYPE":
        wanted = _client_type(argv[3])
        lines = [_line(ctx, session) for session in sessions.values() if _type_of(session) == wanted]
    elif len(argv) > 3 and argv[2].upper() == b"ID":
        for text in argv[3:]:
            number = parse_int(text)
            if number is None:
                raise CommandError("ERR", "Invalid client ID")
            if number in sessions:
                lines.append(_line(ctx, sessions[number]))
    elif len(argv) > 2:
        raise syntax_error()
    else:
        lines = [_line(ctx, session) for session in sessions.values()]
    return Verbatim(b"".join(lines))


@command("CLIENT|INFO", arity=2, flags=_ANY_TIME, since="6.2.0", summary="What is known about this connection",
         cost="O(1)")  # fmt: skip
def client_info(ctx: Context, argv: list[bytes]) -> Reply:
    return Verbatim(_line(ctx, ctx.session))


def _client_type(text: bytes) -> bytes:
    """`normal`, `pubsub`, `replica` or `master`."""
    kind = text.lower()
    if kind not in _TYPES:
        raise CommandError("ERR", f"Unknown client type '{_shown(text)}'")
    if kind == b"slave":
        return b"replica"
    return b"master" if kind == b"primary" else kind


def _type_of(session: Session) -> bytes:
    return b"pubsub" if session.subscriptions else b"normal"


def _flags(session: Session, tracker: Tracker | None) -> bytes:
    """Letters for what is special about a client. Redis: catClientInfoString."""
    flags = b""
    if session.subscriptions:
        flags += b"P"
    if session.gate & IN_MULTI:
        flags += b"x"
    if session.is_blocked:
        flags += b"b"
    if session.watcher.dirty:
        flags += b"d"
    if session.close_after_reply:
        flags += b"c"
    if tracker is not None:
        flags += b"t"
        if tracker.broken:
            flags += b"R"
        if tracker.broadcast:
            flags += b"B"
    if session.address.startswith(b"/"):
        flags += b"U"
    if session.no_evict:
        flags += b"e"
    if session.no_touch:
        flags += b"T"
    return flags or b"N"


def _line(ctx: Context, session: Session) -> bytes:
    """One line of CLIENT LIST, with the fields of Redis in their order. What we have no equal of is 0."""
    unread, pieces, unsent = ctx.control.client_buffers(session)
    queued = 0
    for request in session.queue:
        for argument in request:
            queued += len(argument)
    last = session.last_command.lower()
    if session is ctx.session and ctx.command is not None:
        last = ctx.command.wire_name
    now = ctx.now_ms
    tracker = ctx.keyspace.tracking.trackers.get(session.id)
    return (
        b"id=%d addr=%b laddr=%b fd=%d name=%b age=%d idle=%d flags=%b db=%d sub=%d psub=%d ssub=%d multi=%d watch=%d "
        b"qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=%d rbs=0 rbp=0 obl=0 oll=%d omem=%d tot-mem=%d events=%b cmd=%b "
        b"user=%b redir=%d resp=%d lib-name=%b lib-ver=%b\n"
        % (
            session.id,
            session.address,
            session.local_address,
            session.fd,
            session.name,
            max(0, (now - session.created_ms) // 1000),
            max(0, (now - session.active_ms) // 1000),
            _flags(session, tracker),
            session.database,
            len(session.channels),
            len(session.patterns),
            len(session.shard_channels),
            len(session.queue) if session.in_multi else -1,
            len(session.watcher.keys),
            unread,
            queued,
            pieces,
            unsent,
            unread + queued + unsent,
            b"rw" if unsent else b"r",
            last or b"NULL",
            session.user,
            -1 if tracker is None else tracker.redirect,
            3 if session.resp3 else 2,
            session.lib_name,
            session.lib_ver,
        )
    )


# -- this client


@command("CLIENT|ID", arity=2, flags=_ANY_TIME, since="5.0.0", summary="Number of this connection", cost="O(1)")
def client_id(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.session.id


@command("CLIENT|GETNAME", arity=2, flags=_ANY_TIME, since="2.6.9", summary="Name of this connection", cost="O(1)")
def client_getname(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.session.name or None


@command("CLIENT|SETNAME", arity=3, flags=_ANY_TIME, since="2.6.9", syntax="connection-name",
         summary="Name this connection", cost="O(1)")  # fmt: skip
def client_setname(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.session.name = checked_name(argv[2])
    return OK


@command("CLIENT|SETINFO", arity=4, flags=_ANY_TIME, since="7.2.0", syntax="<LIB-NAME libname | LIB-VER libver>",
         summary="Tell which library this client uses", cost="O(1)")  # fmt: skip
def client_setinfo(ctx: Context, argv: list[bytes]) -> Reply:
    option = argv[2].upper()
    if option not in (b"LIB-NAME", b"LIB-VER"):
        raise CommandError("ERR", f"Unrecognized option '{_shown(argv[2])}'")
    if not is_plain(argv[3]):
        raise CommandError("ERR", f"{_shown(argv[2])} cannot contain spaces, newlines or special characters.")
    if option == b"LIB-NAME":
        ctx.session.lib_name = argv[3]
    else:
        ctx.session.lib_ver = argv[3]
    return OK


def _on_or_off(text: bytes) -> bool:
    word = text.upper()
    if word not in (b"ON", b"OFF"):
        raise syntax_error()
    return word == b"ON"


@command("CLIENT|NO-EVICT", arity=3, flags=_ANY_TIME | ADMIN, since="7.0.0", syntax="<ON | OFF>",
         summary="Spare this connection when memory for clients runs out", cost="O(1)")  # fmt: skip
def client_no_evict(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.session.no_evict = _on_or_off(argv[2])
    return OK


@command("CLIENT|NO-TOUCH", arity=3, flags=NOSCRIPT | LOADING | STALE, since="7.2.0", syntax="<ON | OFF>",
         summary="Let this connection's reads not count as use of the keys", cost="O(1)")  # fmt: skip
def client_no_touch(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.session.no_touch = _on_or_off(argv[2])
    if ctx.session.no_touch:
        ctx.session.special |= UNTOUCHING
    else:
        ctx.session.special &= ~UNTOUCHING
    return OK


_DURABILITIES: Final = {b"DEFAULT": DEFAULT_DURABILITY, b"ALWAYS": ALWAYS, b"EVERYSEC": EVERYSEC}


@command("CLIENT|DURABILITY", arity=3, flags=NOSCRIPT | LOADING | STALE, since="1.0.0", ours=True,
         syntax="<DEFAULT | ALWAYS | EVERYSEC>",
         summary="Which of this connection's writes are answered after their fsync only", cost="O(1)")  # fmt: skip
def client_durability(ctx: Context, argv: list[bytes]) -> Reply:
    """Ours. ALWAYS: all of them, whatever appendfsync says; EVERYSEC: none; DEFAULT: as appendfsync says."""
    chosen = _DURABILITIES.get(argv[2].upper())
    if chosen is None:
        raise syntax_error()
    if chosen == ALWAYS and not ctx.shared.log.enabled:
        raise CommandError("ERR", "CLIENT DURABILITY ALWAYS cannot be used when appendonly is disabled.")
    set_durability(ctx.shared, ctx.session, chosen)
    return OK


@command("CLIENT|REPLY", arity=3, flags=_ANY_TIME, since="3.2.0", syntax="<ON | OFF | SKIP>",
         summary="Send replies to this connection, none, or none to the next request", cost="O(1)")  # fmt: skip
def client_reply(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    mode = argv[2].upper()
    if mode == b"ON":
        session.reply_mode = REPLY_ON
        return OK
    if mode == b"OFF":
        session.reply_mode = REPLY_OFF
    elif mode != b"SKIP":
        raise syntax_error()
    elif session.reply_mode != REPLY_OFF:
        session.reply_mode = REPLY_SKIP_NEXT
    return NOTHING


# -- acting on clients


class _Filter:
    """Which clients CLIENT KILL means. What is empty or 0 does not count."""

    def __init__(self) -> None:
        self.id = 0
        self.address = b""
        self.local_address = b""
        self.kind = b""
        self.user = b""
        self.max_age_seconds = 0
        self.skip_me = True

    def takes(self, ctx: Context, session: Session) -> bool:
        if self.address and session.address != self.address:
            return False
        if self.local_address and session.local_address != self.local_address:
            return False
        if self.kind and _type_of(session) != self.kind:
            return False
        if self.id and session.id != self.id:
            return False
        if self.user and session.user != self.user:
            return False
        if self.max_age_seconds and (ctx.now_ms - session.created_ms) // 1000 < self.max_age_seconds:
            return False
        return not (self.skip_me and session is ctx.session)


@command("CLIENT|KILL", arity=-3, flags=_ANY_TIME | ADMIN, since="2.4.0",
         syntax="<ip:port | <ID client-id | TYPE <NORMAL | MASTER | REPLICA | PUBSUB> | USER username | "
                "ADDR addr | LADDR laddr | SKIPME <YES | NO> | MAXAGE maxage> ...>",
         summary="Close connections", cost="O(n), n connections")  # fmt: skip
def client_kill(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 3:
        chosen = _Filter()
        chosen.address = argv[2]
        chosen.skip_me = False  # the old form may close one's own connection
        if not argv[2] or not _kill(ctx, chosen):
            raise CommandError("ERR", "No such client")
        return OK
    return _kill(ctx, _kill_filter(argv))


def _kill_filter(argv: list[bytes]) -> _Filter:
    chosen = _Filter()
    for i in range(2, len(argv), 2):
        if i + 1 >= len(argv):
            raise syntax_error()
        option, value = argv[i].upper(), argv[i + 1]
        if option == b"ID":
            chosen.id = parse_int(value) or 0
            if chosen.id < 1:
                raise CommandError("ERR", "client-id should be greater than 0")
        elif option == b"TYPE":
            chosen.kind = _client_type(value)
        elif option == b"ADDR":
            chosen.address = value
        elif option == b"LADDR":
            chosen.local_address = value
        elif option == b"USER":
            if value != b"default":
                raise CommandError("ERR", f"No such user '{_shown(value)}'")
            chosen.user = value
        elif option == b"MAXAGE":
            chosen.max_age_seconds = to_int(value)
            if chosen.max_age_seconds <= 0:
                raise CommandError("ERR", "maxage should be greater than 0")
        elif option == b"SKIPME" and value.upper() in (b"YES", b"NO"):
            chosen.skip_me = value.upper() == b"YES"
        else:
            raise syntax_error()
    return chosen


def _kill(ctx: Context, chosen: _Filter) -> int:
    """The number of clients killed; one's own connection gets its reply first."""
    victims = [session for session in ctx.shared.sessions.values() if chosen.takes(ctx, session)]
    for session in victims:
        ctx.control.disconnect(session, session is ctx.session)
    return len(victims)


@command("CLIENT|UNBLOCK", arity=-3, flags=_ANY_TIME | ADMIN, since="5.0.0", syntax="client-id [TIMEOUT | ERROR]",
         summary="End another connection's waiting", cost="O(log n), n connections")  # fmt: skip
def client_unblock(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 4:
        raise bad_subcommand(argv)
    with_error = False
    if len(argv) == 4:
        reason = argv[3].upper()
        if reason not in (b"TIMEOUT", b"ERROR"):
            raise CommandError("ERR", "CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
        with_error = reason == b"ERROR"
    number = to_int(argv[2])
    session = ctx.shared.sessions.get(number)
    if session is None or not session.is_blocked:
        return 0
    requests = ctx.shared.unblock_requests
    if any(already == number for already, _ in requests):
        return 0  # twice in one transaction: by now it does not wait any more
    requests.append((number, with_error))
    return 1


@command("CLIENT|PAUSE", arity=-3, flags=_ANY_TIME | ADMIN, since="3.0.0", syntax="timeout [WRITE | ALL]",
         summary="Hold back the requests of all clients for some milliseconds", cost="O(1)")  # fmt: skip
def client_pause(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 4:
        raise bad_subcommand(argv)
    mode = argv[3].upper() if len(argv) == 4 else b"ALL"
    if mode not in (b"WRITE", b"ALL"):
        raise CommandError("ERR", "CLIENT PAUSE mode must be WRITE or ALL")
    milliseconds = parse_int(argv[2])
    if milliseconds is None:
        raise CommandError("ERR", "timeout is not an integer or out of range")
    if milliseconds < 0:
        raise CommandError("ERR", "timeout is negative")
    if milliseconds > I64_MAX - ctx.now_ms:
        raise CommandError("ERR", "timeout is out of range")
    ctx.control.pause(ctx.now_ms + milliseconds, mode == b"WRITE")
    return OK


@command("CLIENT|UNPAUSE", arity=2, flags=_ANY_TIME | ADMIN, since="6.2.0", summary="End CLIENT PAUSE",
         cost="O(n), n requests held back")  # fmt: skip
def client_unpause(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.unpause()
    return OK


@command("CLIENT|HELP", arity=2, flags=LOADING | STALE | SENTINEL, since="5.0.0", summary="What CLIENT can do",
         cost="O(1)")  # fmt: skip
def client_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"CLIENT")
