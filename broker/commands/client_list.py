"""CLIENT LIST, INFO and KILL: who is connected, in lines of `field=value`, and who of them is meant."""

from typing import Final

from broker.commands.args import to_int
from broker.commands.context import Context, Shared
from broker.commands.registry import ADMIN, LOADING, NOSCRIPT, SENTINEL, STALE, Group
from broker.commands.session import IN_MULTI, Session
from broker.errors import CommandError, syntax_error
from broker.protocol.numbers import parse_int
from broker.protocol.replies import OK, Reply, Verbatim

command = Group("connection").command
_ANY_TIME: Final = NOSCRIPT | LOADING | STALE | SENTINEL
_TYPES: Final = frozenset([b"normal", b"slave", b"replica", b"pubsub", b"master", b"primary"])
_SYNTAX: Final = (
    "ID client-id [client-id ...] | TYPE <NORMAL | MASTER | REPLICA | PUBSUB> | USER username | ADDR addr | "
    "LADDR laddr | SKIPME <YES | NO> | MAXAGE maxage | NAME name | IDLE seconds | FLAGS flags | LIB-NAME libname | "
    "LIB-VER libver | DB db | IP ip"
)


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


# -- what is known about a client


def flags_of(shared: Shared, session: Session) -> bytes:
    """Letters for what is special about a client. Redis: catClientInfoString."""
    flags = b""
    tracker = shared.keyspace.tracking.trackers.get(session.id)
    if session.subscriptions:
        flags += b"P"
    if session.gate & IN_MULTI or session.in_exec:
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
    if session.id in shared.monitors:
        flags += b"O"
    if session.address.startswith(b"/"):
        flags += b"U"
    if session.no_evict:
        flags += b"e"
    if session.no_touch:
        flags += b"T"
    return flags or b"N"


def line_of(ctx: Context, session: Session) -> bytes:
    """One line of CLIENT LIST, with the fields of Redis in their order. What we have no equal of is 0."""
    unread, pieces, unsent = ctx.control.client_buffers(session)
    traffic = ctx.control.client_traffic(session)
    last = session.last_command.lower()
    now = ctx.now_ms
    tracker = ctx.keyspace.tracking.trackers.get(session.id)
    return (
        b"id=%d addr=%b laddr=%b fd=%d name=%b age=%d idle=%d flags=%b db=%d sub=%d psub=%d ssub=%d multi=%d watch=%d "
        b"qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=%d rbs=0 rbp=0 obl=0 oll=%d omem=%d tot-mem=%d events=%b cmd=%b "
        b"user=%b redir=%d resp=%d lib-name=%b lib-ver=%b "
        b"tot-net-in=%d tot-net-out=%d tot-cmds=%d\n"
        % (
            session.id,
            session.address,
            session.local_address,
            session.fd,
            session.name,
            max(0, (now - session.created_ms) // 1000),
            max(0, (now - session.active_ms) // 1000),
            flags_of(ctx.shared, session),
            session.database,
            len(session.channels),
            len(session.patterns),
            len(session.shard_channels),
            len(session.queue) if session.in_multi or session.in_exec else -1,
            len(session.watcher.keys),
            unread,
            session.queue_bytes,
            pieces,
            unsent,
            traffic[3],
            b"rw" if unsent else b"r",
            last or b"NULL",
            session.user,
            -1 if tracker is None else tracker.redirect,
            3 if session.resp3 else 2,
            session.lib_name,
            session.lib_ver,
            traffic[0],
            traffic[1],
            traffic[2],
        )
    )


def type_of(session: Session) -> bytes:
    return b"pubsub" if session.subscriptions else b"normal"


def client_type(text: bytes) -> bytes:
    """`normal`, `pubsub`, `replica` or `master`."""
    kind = text.lower()
    if kind not in _TYPES:
        raise CommandError("ERR", f"Unknown client type '{_shown(text)}'")
    if kind == b"slave":
        return b"replica"
    return b"master" if kind == b"primary" else kind


@command("CLIENT|INFO", arity=2, flags=_ANY_TIME, since="6.2.0", summary="What is known about this connection",
         cost="O(1)")  # fmt: skip
def client_info(ctx: Context, argv: list[bytes]) -> Reply:
    return Verbatim(line_of(ctx, ctx.session))


# -- who is meant


class _Condition:
    """One condition of a filter: `NAME worker`, or `NOT-NAME worker`."""

    def __init__(self, option: bytes, value: bytes, number: int, negated: bool) -> None:
        self.option: Final = option
        self.value: Final = value
        self.number: Final = number
        self.negated: Final = negated

    def holds(self, ctx: Context, session: Session) -> bool:
        return self._fits(ctx, session) != self.negated

    def _fits(self, ctx: Context, session: Session) -> bool:
        option, value = self.option, self.value
        if option == b"MAXAGE":
            return (ctx.now_ms - session.created_ms) // 1000 >= self.number
        if option == b"IDLE":
            return (ctx.now_ms - session.active_ms) // 1000 >= self.number
        if option == b"DB":
            return session.database == self.number
        if option == b"FLAGS":
            flags = flags_of(ctx.shared, session)
            return all([letter in flags for letter in value])
        return _field(session, option) == value


def _field(session: Session, option: bytes) -> bytes:
    """The text that an option of a filter is compared with."""
    if option == b"ADDR":
        return session.address
    if option == b"LADDR":
        return session.local_address
    if option == b"IP":
        return session.address.rpartition(b":")[0].strip(b"[]")
    if option == b"TYPE":
        return type_of(session)
    if option == b"USER":
        return session.user
    if option == b"NAME":
        return session.name
    return session.lib_name if option == b"LIB-NAME" else session.lib_ver


_TEXTS: Final = frozenset([b"ADDR", b"LADDR", b"IP", b"NAME", b"LIB-NAME", b"LIB-VER", b"FLAGS"])


class Filter:
    """Which clients CLIENT KILL or LIST means: all conditions have to hold. ids: None for any."""

    def __init__(self, skip_me: bool) -> None:
        self.ids: list[int] | None = None
        self.other_ids: list[int] = []
        self.conditions: list[_Condition] = []
        self.skip_me = skip_me

    def chosen(self, ctx: Context) -> list[Session]:
        """Oldest first, or in the order of the ids."""
        sessions = ctx.shared.sessions
        if self.ids is None:
            return [session for session in sessions.values() if self.takes(ctx, session)]
        named = [sessions[number] for number in self.ids if number in sessions]
        return [session for session in named if self.takes(ctx, session)]

    def takes(self, ctx: Context, session: Session) -> bool:
        if (self.skip_me and session is ctx.session) or session.id in self.other_ids:
            return False
        for condition in self.conditions:
            if not condition.holds(ctx, session):
                return False
        return True

    def read(self, argv: list[bytes], start: int, bad_id: str) -> None:
        """The options from `start` on. bad_id: the error of an id that is none."""
        i = start
        while i < len(argv):
            option = argv[i].upper()
            negated = option.startswith(b"NOT-")
            if negated:
                option = option[4:]
            if i + 1 >= len(argv):
                raise syntax_error()
            if option == b"ID":
                i = self._read_ids(argv, i + 1, negated, bad_id)
                continue
            self._add(option, argv[i + 1], negated)
            i += 2

    def _read_ids(self, argv: list[bytes], start: int, negated: bool, bad_id: str) -> int:
        ids: list[int] = []
        i = start
        while i < len(argv):
            number = parse_int(argv[i])
            if number is None and ids and (bad_id != _BAD_ID or argv[i].upper().removeprefix(b"NOT-") in _OPTIONS):
                break  # the next option, or none: LIST calls it an id, KILL an option
            if number is None or number < 1:
                raise CommandError("ERR", bad_id)
            ids.append(number)
            i += 1
        if negated:
            self.other_ids.extend(ids)
        else:
            self.ids = ids
        return i

    def _add(self, option: bytes, value: bytes, negated: bool) -> None:
        number = 0
        if option == b"SKIPME" and not negated and value.upper() in (b"YES", b"NO"):
            self.skip_me = value.upper() == b"YES"
            return
        if option == b"TYPE":
            value = client_type(value)
        elif option == b"USER":
            if value != b"default":
                raise CommandError("ERR", f"No such user '{_shown(value)}'")
        elif option in (b"MAXAGE", b"IDLE"):
            number = to_int(value)
            if number <= 0:
                raise CommandError("ERR", f"{option.decode().lower()} should be greater than 0")
        elif option == b"DB":
            number = to_int(value)
        elif option not in _TEXTS:
            raise syntax_error()
        self.conditions.append(_Condition(option, value, number, negated))


_BAD_ID: Final = "Invalid client ID"  # of CLIENT LIST
_OPTIONS: Final = _TEXTS | {b"ID", b"TYPE", b"USER", b"MAXAGE", b"IDLE", b"DB", b"SKIPME"}


@command("CLIENT|LIST", arity=-2, flags=_ANY_TIME | ADMIN, since="2.4.0", syntax=f"[<{_SYNTAX}> ...]",
         summary="What is known about the connections", cost="O(n), n connections",
         differs="Takes the filters of Valkey 9")  # fmt: skip
def client_list(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = Filter(skip_me=False)
    wanted.read(argv, 2, _BAD_ID)
    return Verbatim(b"".join([line_of(ctx, session) for session in wanted.chosen(ctx)]))


@command("CLIENT|KILL", arity=-3, flags=_ANY_TIME | ADMIN, since="2.4.0", syntax=f"<ip:port | <{_SYNTAX}> ...>",
         summary="Close connections", cost="O(n), n connections",
         differs="Takes the filters of Valkey 9")  # fmt: skip
def client_kill(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = Filter(skip_me=len(argv) > 3)  # the old form may close one's own connection
    if len(argv) == 3:
        wanted.conditions.append(_Condition(b"ADDR", argv[2], 0, False))
        if not argv[2] or not _kill(ctx, wanted):
            raise CommandError("ERR", "No such client")
        return OK
    wanted.read(argv, 2, "client-id should be greater than 0")
    return _kill(ctx, wanted)


def _kill(ctx: Context, wanted: Filter) -> int:
    """The number of clients killed; one's own connection gets its reply first."""
    victims = wanted.chosen(ctx)
    for session in victims:
        ctx.control.disconnect(session, session is ctx.session)
    return len(victims)
