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
    REPLY_OFF,
    REPLY_ON,
    REPLY_SKIP_NEXT,
    UNTOUCHING,
)
from broker.errors import CommandError, syntax_error
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import NOTHING, OK, Reply

command = Group("connection").command
_ANY_TIME: Final = NOSCRIPT | LOADING | STALE | SENTINEL


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


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


@command("CLIENT|CAPA", arity=-3, flags=NOSCRIPT | LOADING | STALE, since="8.0.0", syntax="capability [capability ...]",
         summary="Tell what this client can do, of which none matters here", cost="O(1)",
         differs="Has no effect")  # fmt: skip
def client_capa(ctx: Context, argv: list[bytes]) -> Reply:
    """Valkey knows `redirect` (a replica then sends the client to its primary), and ignores what it does not know."""
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
