"""A connection's own affairs: PING, ECHO, HELLO, AUTH, SELECT, RESET, QUIT. CLIENT is in clients.py."""

from hmac import compare_digest
from typing import Final

from broker.commands.context import Context, set_durability
from broker.commands.pubsub import unsubscribe_channels, unsubscribe_patterns, unsubscribe_shards
from broker.commands.registry import (
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_AUTH,
    NOSCRIPT,
    SENTINEL,
    STALE,
    Group,
)
from broker.commands.session import DEFAULT_DURABILITY, NEEDS_AUTH, REPLY_ON, SUBSCRIBED, UNTOUCHING, Session
from broker.commands.tracking import stop_tracking
from broker.commands.transactions import discard_queue
from broker.errors import CommandError, syntax_error, wrong_arity
from broker.protocol.numbers import parse_int
from broker.protocol.replies import OK, PONG, RESET, Map, Reply
from broker.version import COMPATIBLE_WITH

command = Group("connection").command

# Put in the place of secrets in `argv` once they were read: the slow log shows what is in there.
REDACTED: Final = b"(redacted)"


@command("PING", arity=-1, flags=FAST | SENTINEL, since="1.0.0", syntax="[message]",
         summary="Answer PONG, or the message", cost="O(1)")  # fmt: skip
def ping(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 2:
        raise wrong_arity("ping")
    if ctx.session.gate & SUBSCRIBED:
        return [b"pong", argv[1] if len(argv) == 2 else b""]
    return argv[1] if len(argv) == 2 else PONG


@command("ECHO", arity=2, flags=LOADING | STALE | FAST, since="1.0.0", syntax="message",
         summary="Answer the message", cost="O(1)")  # fmt: skip
def echo(ctx: Context, argv: list[bytes]) -> Reply:
    return argv[1]


@command("SELECT", arity=2, flags=LOADING | STALE | FAST, since="1.0.0", syntax="index",
         summary="Choose the database of this connection", cost="O(1)")  # fmt: skip
def select(ctx: Context, argv: list[bytes]) -> Reply:
    index = to_int32(argv[1], "value is out of range, value must between -2147483648 and 2147483647")
    if index < 0 or index >= len(ctx.keyspace.databases):
        raise CommandError("ERR", "DB index is out of range")
    ctx.select(index)
    return OK


def to_int32(text: bytes, out_of_range: str) -> int:
    """Redis: getIntFromObjectOrReply, which has a text of its own for what fits 64 bits but not 32."""
    value = parse_int(text)
    if value is None:
        raise CommandError("ERR", "value is not an integer or out of range")
    if value < -(2**31) or value > 2**31 - 1:
        raise CommandError("ERR", out_of_range)
    return value


@command("QUIT", arity=-1, flags=ALLOW_BUSY | NOSCRIPT | LOADING | STALE | FAST | NO_AUTH, since="1.0.0",
         summary="Close this connection", cost="O(1)")  # fmt: skip
def quit_(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.disconnect(ctx.session, True)
    return OK


@command("RESET", arity=1, flags=NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY, since="6.2.0",
         summary="Make this connection as it was when it was new", cost="O(1)",
         differs="Ends NO-EVICT, too")  # fmt: skip
def reset(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    discard_queue(ctx)
    ctx.select(0)
    session.resp3 = False
    unsubscribe_channels(ctx, [])
    unsubscribe_shards(ctx, [])
    unsubscribe_patterns(ctx, [])
    session.name = b""
    session.reply_mode = REPLY_ON
    session.no_touch = False
    session.special &= ~UNTOUCHING
    stop_tracking(ctx.shared, session)
    ctx.shared.monitors.pop(session.id, None)
    session.no_evict = False
    set_durability(ctx.shared, session, DEFAULT_DURABILITY)
    session.user = b"default"
    session.set_gate(NEEDS_AUTH, ctx.config.text("requirepass") != "")
    return RESET


# -- who it is


def check_password(ctx: Context, user: bytes, password: bytes) -> None:
    """Raise WRONGPASS, or not. There is one user, `default`; without a password any will do."""
    wanted = ctx.config.text("requirepass").encode("utf-8", "surrogateescape")
    if user != b"default" or (wanted and not compare_digest(password, wanted)):
        raise CommandError("WRONGPASS", "invalid username-password pair or user is disabled.")


def let_in(ctx: Context, user: bytes) -> None:
    ctx.session.user = user
    ctx.session.set_gate(NEEDS_AUTH, False)


@command("AUTH", arity=-2, flags=NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | SENTINEL | ALLOW_BUSY, since="1.0.0",
         syntax="[username] password", summary="Show who one is", cost="O(1)")  # fmt: skip
def auth(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    if len(argv) == 3:
        user, password = argv[1], argv[2]
        argv[1] = argv[2] = REDACTED
        check_password(ctx, user, password)
        let_in(ctx, user)
        return OK
    password = argv[1]
    argv[1] = REDACTED
    if not ctx.config.text("requirepass"):
        raise CommandError(
            "ERR",
            "AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?",
        )
    check_password(ctx, b"default", password)
    let_in(ctx, b"default")
    return OK


@command("HELLO", arity=-1, flags=NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | SENTINEL | ALLOW_BUSY, since="6.0.0",
         syntax="[protover [AUTH username password] [SETNAME clientname]]",
         summary="Choose the protocol version, and learn about the server", cost="O(1)",
         differs="A HELLO that is refused changes nothing")  # fmt: skip
def hello(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    version = _protocol_version(argv[1]) if len(argv) > 1 else 0
    user = b""
    name: bytes | None = None
    i = 2
    while i < len(argv):
        option = argv[i].upper()
        if option == b"AUTH" and i + 2 < len(argv):
            user, password = argv[i + 1], argv[i + 2]
            argv[i + 1] = argv[i + 2] = REDACTED
            check_password(ctx, user, password)
            i += 3
        elif option == b"SETNAME" and i + 1 < len(argv):
            name = checked_name(argv[i + 1])
            i += 2
        else:
            text = argv[i].decode("utf-8", "surrogateescape")
            raise CommandError("ERR", f"Syntax error in HELLO option '{text}'")
    if session.gate & NEEDS_AUTH and not user:
        raise CommandError(
            "NOAUTH",
            "HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
            "<pass> option can be used to authenticate the client and select the RESP protocol version at the same "
            "time",
        )
    if user:
        let_in(ctx, user)
    if name is not None:
        session.name = name
    if version:
        set_protocol(session, version)
    return _facts(session)


def _protocol_version(text: bytes) -> int:
    version = parse_int(text)
    if version is None:
        raise CommandError("ERR", "Protocol version is not an integer or out of range")
    if version < 2 or version > 3:
        raise CommandError("NOPROTO", "unsupported protocol version")
    return version


def set_protocol(session: Session, version: int) -> None:
    session.resp3 = version == 3
    session.set_gate(SUBSCRIBED, session.subscriptions > 0 and not session.resp3)


def checked_name(name: bytes) -> bytes:
    """A client's name: printable ASCII without blanks, or nothing at all. Redis: validateClientName."""
    if not is_plain(name):
        raise CommandError("ERR", "Client names cannot contain spaces, newlines or special characters.")
    return name


def is_plain(text: bytes) -> bool:
    for byte in text:
        if byte < 33 or byte > 126:
            return False
    return True


def _facts(session: Session) -> Reply:
    modules: list[Reply] = []
    flat: list[Reply] = [
        b"server", b"redis",
        b"version", COMPATIBLE_WITH.encode(),
        b"proto", 3 if session.resp3 else 2,
        b"id", session.id,
        b"mode", b"standalone",
        b"role", b"master",
        b"modules", modules,
    ]  # fmt: skip
    return Map(flat)
