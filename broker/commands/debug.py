"""DEBUG: what test suites need, and nothing that could harm a server in use.

Redis reads the sub-commands of DEBUG inside the command, so `enable-debug-command` guards all of them, and an unknown
one is an error like a missing argument.
"""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

from broker.commands.args import to_positive
from broker.commands.context import Context
from broker.commands.debug_server import SUBCOMMANDS, USAGES
from broker.commands.docs import bad_subcommand, help_from
from broker.commands.encodings import encoding
from broker.commands.modules import check_permission
from broker.commands.registry import ADMIN, LOADING, NOSCRIPT, PROTECTED, STALE, Group
from broker.errors import CommandError, no_such_key
from broker.keyspace.digest import dataset_digest, key_digest
from broker.keyspace.events import STRING
from broker.keyspace.glob import matches
from broker.keyspace.memory import value_bytes
from broker.protocol.numbers import parse_float, parse_int
from broker.protocol.replies import (
    OK,
    Boolean,
    Double,
    ErrorReply,
    Map,
    Push,
    Raw,
    Replies,
    Reply,
    Set,
    Simple,
    Verbatim,
)

command = Group("server").command

Subcommand: TypeAlias = Callable[[Context, list[bytes]], Reply]


@command("DEBUG", arity=-2, flags=ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED, since="1.0.0",
         syntax="subcommand [arg [arg ...]]", summary="Helps for tests", cost="that of the sub-command",
         differs="Has what test suites use")  # fmt: skip
def debug(ctx: Context, argv: list[bytes]) -> Reply:
    check_permission(ctx, "DEBUG", "enable-debug-command")
    found = _SUBCOMMANDS.get(argv[1].upper()) or SUBCOMMANDS.get(argv[1].upper())
    if found is None or len(argv) < found[1] or (found[2] and len(argv) > found[2]):
        raise bad_subcommand(argv)
    return found[0](ctx, argv)


# -- time


def _sleep(ctx: Context, argv: list[bytes]) -> Reply:
    """The whole server stands still, which is what is asked for. What is no number is 0, as in Redis (strtod)."""
    seconds = parse_float(argv[2])
    if seconds is not None and seconds > 0:
        time.sleep(seconds)
    return OK


def _set_active_expire(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.keyspace.active_expiry = parse_int(argv[2]) not in (None, 0)
    return OK


# -- data


def _digest(ctx: Context, argv: list[bytes]) -> Reply:
    """With REDIS: the very digest that a Redis server has for the same data."""
    if len(argv) == 3 and argv[2].upper() != b"REDIS":
        raise bad_subcommand(argv)
    return Simple(dataset_digest(ctx.keyspace, len(argv) == 2))


def _digest_value(ctx: Context, argv: list[bytes]) -> Reply:
    digests: list[Reply] = [Simple(key_digest(ctx.db, name, False)) for name in argv[2:]]
    return digests


def _reload(ctx: Context, argv: list[bytes]) -> Reply:
    options = {option.upper() for option in argv[2:]}
    if options - {b"MERGE", b"NOFLUSH", b"NOSAVE"}:
        raise CommandError("ERR", "DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
    ctx.control.reload(b"NOSAVE" not in options, b"NOFLUSH" not in options, b"MERGE" in options)
    return OK


def _load_log(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.load_log()
    return OK


def _object(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.db.peek(argv[2])
    if value is None:
        raise no_such_key()
    idle = 0 if ctx.keyspace.lfu else ctx.db.idle_seconds(argv[2])
    used_ms = ctx.now_ms if ctx.keyspace.lfu else ctx.db.last_use_ms(argv[2])
    lru = used_ms // 1000 & 0xFFFFFF  # the clock of Redis, in seconds
    return Simple(
        b"Value at:0x%012x refcount:1 encoding:%b serializedlength:%d lru:%d lru_seconds_idle:%d"
        % (id(value), encoding(value, ctx.config), value_bytes(value), lru, idle)
    )


def _listpack(ctx: Context, argv: list[bytes]) -> Reply:
    """Redis prints the bytes to its standard output. There are none here: only the answers are the same."""
    value = ctx.db.peek(argv[2])
    if value is None:
        raise no_such_key()
    if not encoding(value, ctx.config).startswith(b"listpack"):
        raise CommandError("ERR", "Not a listpack encoded object.")
    return Simple(b"Listpack structure printed on stdout")


def _quicklist_packed_threshold(ctx: Context, argv: list[bytes]) -> Reply:
    """From which size on Redis keeps an element outside of its packed nodes; our lists have none."""
    return OK


def _populate(ctx: Context, argv: list[bytes]) -> Reply:
    """Keys `<prefix>:0` and so on; those that exist stay as they are."""
    count = to_positive(argv[2])
    prefix = argv[3] if len(argv) > 3 else b"key"
    size = to_positive(argv[4]) if len(argv) > 4 else -1
    for i in range(count):
        name = b"%b:%d" % (prefix, i)
        if ctx.db.peek(name) is not None:
            continue
        value = b"value:%d" % i
        if size > 0:
            value = value[:size].ljust(size, b"\0")
        ctx.db.put(name, value)
        ctx.changed(name, b"set", STRING)
        ctx.journal(b"SET", name, value)
    return OK


def _stringmatch(ctx: Context, argv: list[bytes]) -> Reply:
    return 1 if matches(argv[2], argv[3]) else 0


# -- replies


def _error(ctx: Context, argv: list[bytes]) -> Reply:
    return ErrorReply(argv[2])


_PROTOCOL_TYPES: Final = "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false"
_BIG: Final = b"1234567999999999999999999999999999999"


def _protocol(ctx: Context, argv: list[bytes]) -> Reply:
    """A reply of the type that is asked for: for the tests of client libraries."""
    resp3 = ctx.session.resp3
    kind = argv[2].lower()
    numbers: list[Reply] = [0, 1, 2]
    if kind == b"attrib":
        attribute: Reply = Raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n" if resp3 else b"")
        return Replies([attribute, b"Some real reply following the attribute"])
    if kind == b"push":
        if not resp3:
            raise CommandError("ERR", "RESP2 is not supported by this command")
        return Replies([Push([b"server-cpu-usage", 42]), b"Some real reply following the push reply"])
    replies: dict[bytes, Reply] = {
        b"string": b"Hello World",
        b"integer": 12345,
        b"double": Double(3.141),
        b"bignum": Raw(b"(" + _BIG + b"\r\n") if resp3 else _BIG,
        b"null": None,
        b"array": numbers,
        b"set": Set(numbers),
        b"map": Map([0, Boolean(False), 1, Boolean(True), 2, Boolean(False)]),
        b"verbatim": Verbatim(b"This is a verbatim\nstring"),
        b"true": Boolean(True),
        b"false": Boolean(False),
    }
    if kind not in replies:
        raise CommandError("ERR", f"Wrong protocol type name. Please use one of the following: {_PROTOCOL_TYPES}")
    return replies[kind]


_USAGES: Final[list[tuple[bytes, bytes]]] = [
    (b"DIGEST [REDIS]", b"A fingerprint of all data; with REDIS the one that a Redis server has for the same data"),
    (b"DIGEST-VALUE <key> [<key> ...]", b"Fingerprints of values"),
    (b"ERROR <string>", b"Answer an error with that text"),
    (b"LISTPACK <key>", b"Whether Redis would keep a value as a listpack"),
    (b"LOADAOF", b"Drop all data, and load the log"),
    (b"OBJECT <key>", b"Encoding and size of a value"),
    (b"POPULATE <count> [<prefix>] [<size>]", b"Make <count> strings <prefix>:<number> of <size> bytes"),
    (b"PROTOCOL <type>", b"Answer a value of that type of reply"),
    (b"QUICKLIST-PACKED-THRESHOLD <size>", b"Accepted, without effect"),
    (b"RELOAD [NOSAVE] [NOFLUSH] [MERGE]", b"Save all data to the RDB file, drop it, and load the file"),
    (b"SET-ACTIVE-EXPIRE <0|1>", b"With 0, expired keys stay until somebody looks"),
    (b"SLEEP <seconds>", b"Stop the whole server for a while"),
    (b"STRINGMATCH-LEN <pattern> <string>", b"Whether a glob pattern matches"),
]


def _help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_from(b"DEBUG", sorted(_USAGES + USAGES))


# {name: (function, fewest arguments, most or 0)}, with DEBUG and the name
_SUBCOMMANDS: Final[dict[bytes, tuple[Subcommand, int, int]]] = {
    b"DIGEST": (_digest, 2, 3),
    b"DIGEST-VALUE": (_digest_value, 2, 0),
    b"ERROR": (_error, 3, 3),
    b"HELP": (_help, 2, 2),
    b"LISTPACK": (_listpack, 3, 3),
    b"LOADAOF": (_load_log, 2, 2),
    b"OBJECT": (_object, 3, 3),
    b"POPULATE": (_populate, 3, 5),
    b"PROTOCOL": (_protocol, 3, 3),
    b"QUICKLIST-PACKED-THRESHOLD": (_quicklist_packed_threshold, 3, 3),
    b"RELOAD": (_reload, 2, 0),
    b"SET-ACTIVE-EXPIRE": (_set_active_expire, 3, 3),
    b"SLEEP": (_sleep, 3, 3),
    b"STRINGMATCH-LEN": (_stringmatch, 4, 4),
}
