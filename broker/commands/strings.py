"""Strings and counters. A string is `bytes` in the keyspace."""

import math
from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    OW,
    READONLY,
    RO,
    RW,
    UPDATE,
    VARIABLE_FLAGS,
    WRITE,
    Group,
    key,
    keys_to_end,
)
from broker.errors import (
    CommandError,
    invalid_expire,
    not_a_float,
    not_an_integer,
    syntax_error,
    wrong_arity,
    wrong_type,
)
from broker.keyspace.events import GENERIC, STRING
from broker.protocol.long_double import add_long_double, parse_long_double
from broker.protocol.numbers import I64_MAX, I64_MIN, parse_float, parse_int
from broker.protocol.replies import OK, Reply

command = Group("string").command

_SURE: Final = 1 << 60  # what fits for certain: mypyc compares small ints in an instant, and 64-bit ones slowly


def _read(ctx: Context, name: bytes) -> bytes | None:
    """The string at a key, for a reading command."""
    value = ctx.db.read(name)
    if value is None or isinstance(value, bytes):
        return value
    raise wrong_type()


def _peek(ctx: Context, name: bytes) -> bytes | None:
    """The string at a key, for a writing command."""
    value = ctx.db.peek(name)
    if value is None or isinstance(value, bytes):
        return value
    raise wrong_type()


def _check_length(ctx: Context, length: int) -> None:
    # The setting's least value is a megabyte: below that there is nothing to look up.
    if length > 1024 * 1024 and length > ctx.config.integer("proto-max-bulk-len"):
        raise CommandError("ERR", "string exceeds maximum allowed size (proto-max-bulk-len)")


# -- reading


@command("GET", arity=2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key", summary="The string at a key", cost="O(1)")  # fmt: skip
def get(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.db.read(argv[1])
    if value is None or isinstance(value, bytes):
        return value
    raise wrong_type()


@command("MGET", arity=-2, flags=READONLY | FAST, keys=[keys_to_end(RO, ACCESS)], since="1.0.0",
         syntax="key [key ...]", summary="The strings at several keys", cost="O(n), n keys")  # fmt: skip
def mget(ctx: Context, argv: list[bytes]) -> Reply:
    replies: list[Reply] = []
    for name in argv[1:]:
        value = ctx.db.read(name)
        replies.append(value if isinstance(value, bytes) else None)
    return replies


@command("STRLEN", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="2.2.0",
         syntax="key", summary="Length of a string in bytes", cost="O(1)")  # fmt: skip
def strlen(ctx: Context, argv: list[bytes]) -> Reply:
    value = _read(ctx, argv[1])
    return 0 if value is None else len(value)


@command("GETRANGE", arity=4, flags=READONLY, keys=[key(RO, ACCESS)], since="2.4.0",
         syntax="key start end", summary="A part of a string", cost="O(n), n bytes returned")  # fmt: skip
def getrange(ctx: Context, argv: list[bytes]) -> Reply:
    start = to_int(argv[2])
    end = to_int(argv[3])
    value = _read(ctx, argv[1])
    if value is None:
        return b""
    if start < 0 and end < 0 and start > end:
        return b""
    size = len(value)
    start = max(start + size, 0) if start < 0 else start
    end = max(end + size, 0) if end < 0 else min(end, size - 1)
    return value[start : end + 1] if size and start <= end else b""


@command("SUBSTR", arity=4, flags=READONLY, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key start end", summary="A part of a string (old name of GETRANGE)",
         cost="O(n), n bytes returned")  # fmt: skip
def substr(ctx: Context, argv: list[bytes]) -> Reply:
    return getrange(ctx, argv)


# -- setting


class _SetOptions:
    """The options of SET and GETEX as they were given."""

    def __init__(self) -> None:
        self.only_new = False
        self.only_existing = False
        self.get = False
        self.keep_ttl = False
        self.persist = False
        self.expire: bytes = b""  # EX, PX, EXAT or PXAT
        self.amount: bytes = b""


def _set_options(argv: list[bytes], position: int, getex: bool) -> _SetOptions:
    """Options in any order; contradictions are syntax errors. Redis: parseExtendedStringArgumentsOrReply."""
    options = _SetOptions()
    args = Args(argv, position)
    while args.more():
        if not getex and not options.only_existing and args.flag(b"NX"):
            options.only_new = True
        elif not getex and not options.only_new and args.flag(b"XX"):
            options.only_existing = True
        elif not getex and args.flag(b"GET"):
            options.get = True
        elif not getex and not options.expire and args.flag(b"KEEPTTL"):
            options.keep_ttl = True
        elif getex and not options.expire and args.flag(b"PERSIST"):
            options.persist = True
        elif (
            args.peek() in (b"EX", b"PX", b"EXAT", b"PXAT")
            and args.left >= 2
            and not (options.keep_ttl or options.persist)
            and options.expire in (b"", args.peek())  # the same one again is allowed: the last counts
        ):
            options.expire = args.next().upper()
            options.amount = args.next()
        else:
            raise syntax_error()
    return options


def _expire_at(ctx: Context, unit: bytes, amount: bytes, name: str) -> int:
    """Unix time in ms. Redis: getExpireMillisecondsOrReply."""
    value = to_int(amount)
    if value <= 0:
        raise invalid_expire(name)
    if unit in (b"EX", b"EXAT"):
        if value > I64_MAX // 1000:
            raise invalid_expire(name)
        value *= 1000
    if unit in (b"EX", b"PX"):
        if value > I64_MAX - ctx.now_ms:
            raise invalid_expire(name)
        value += ctx.now_ms
    return value


@command("SET", arity=-3, flags=WRITE | DENYOOM, keys=[key(RW, ACCESS, UPDATE, VARIABLE_FLAGS)], since="1.0.0",
         syntax="key value [NX | XX] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | "
                "PXAT unix-time-milliseconds | KEEPTTL]",
         summary="Store a string at a key", cost="O(1)")  # fmt: skip
def set_(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    if len(argv) == 3:
        ctx.db.replace(name, argv[2])
        ctx.changed(name, b"set", STRING)
        return OK
    return _set_with_options(ctx, argv)


def _set_with_options(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    options = _set_options(argv, 3, False)
    when = _expire_at(ctx, options.expire, options.amount, "set") if options.expire else 0
    old = ctx.db.read(name) if options.get else ctx.db.peek(name)
    if options.get and old is not None and not isinstance(old, bytes):
        raise wrong_type()
    if (options.only_new and old is not None) or (options.only_existing and old is None):
        return old if options.get else None
    _store(ctx, name, argv[2], when, options.keep_ttl)
    return old if options.get else OK


def _store(ctx: Context, name: bytes, value: bytes, when: int, keep_ttl: bool) -> None:
    """Set a string with an absolute expiry (0: none), and journal just that."""
    if keep_ttl:
        ctx.db.put(name, value)
        ctx.changed(name, b"set", STRING)
        ctx.journal(b"SET", name, value, b"KEEPTTL")
        return
    if when and when <= ctx.now_ms and not ctx.session.is_replay:
        # A time in the past: the key is gone at once, and that is what the log has to say.
        ctx.db.remove(name)
        ctx.changed(name, b"del", GENERIC)
        ctx.journal(b"DEL", name)
        return
    ctx.db.replace(name, value)
    ctx.changed(name, b"set", STRING)
    if when:
        ctx.db.set_expiry(name, when)
        ctx.notify(name, b"expire", GENERIC)
        ctx.journal(b"SET", name, value, b"PXAT", b"%d" % when)
    else:
        ctx.journal(b"SET", name, value)


@command("SETNX", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(OW, INSERT)], since="1.0.0",
         syntax="key value", summary="Store a string at a key that does not exist", cost="O(1)")  # fmt: skip
def setnx(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.db.peek(argv[1]) is not None:
        return 0
    _store(ctx, argv[1], argv[2], 0, False)
    return 1


@command("SETEX", arity=4, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE)], since="2.0.0",
         syntax="key seconds value", summary="Store a string that expires", cost="O(1)")  # fmt: skip
def setex(ctx: Context, argv: list[bytes]) -> Reply:
    _store(ctx, argv[1], argv[3], _expire_at(ctx, b"EX", argv[2], "setex"), False)
    return OK


@command("PSETEX", arity=4, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE)], since="2.6.0",
         syntax="key milliseconds value", summary="Store a string that expires, in milliseconds",
         cost="O(1)")  # fmt: skip
def psetex(ctx: Context, argv: list[bytes]) -> Reply:
    _store(ctx, argv[1], argv[3], _expire_at(ctx, b"PX", argv[2], "psetex"), False)
    return OK


@command("GETSET", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="1.0.0",
         syntax="key value", summary="Store a string and return the one before", cost="O(1)")  # fmt: skip
def getset(ctx: Context, argv: list[bytes]) -> Reply:
    old = _read(ctx, argv[1])
    _store(ctx, argv[1], argv[2], 0, False)
    return old


@command("GETDEL", arity=2, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="6.2.0",
         syntax="key", summary="Return a string and delete its key", cost="O(1)")  # fmt: skip
def getdel(ctx: Context, argv: list[bytes]) -> Reply:
    old = _read(ctx, argv[1])
    if old is not None:
        ctx.db.remove(argv[1])
        ctx.changed(argv[1], b"del", GENERIC)
        ctx.journal(b"DEL", argv[1])
    return old


@command("GETEX", arity=-2, flags=WRITE | FAST, keys=[key(RW, ACCESS, UPDATE)], since="6.2.0",
         syntax="key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
         summary="Return a string and set or remove its expiry", cost="O(1)")  # fmt: skip
def getex(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    options = _set_options(argv, 2, True)
    value = _read(ctx, name)
    if value is None:
        return None
    when = _expire_at(ctx, options.expire, options.amount, "getex") if options.expire else 0
    if when and when <= ctx.now_ms and not ctx.session.is_replay:
        ctx.db.remove(name)
        ctx.changed(name, b"del", GENERIC)
        ctx.journal(b"DEL", name)
    elif when:
        ctx.db.set_expiry(name, when)
        ctx.changed(name, b"expire", GENERIC)
        ctx.journal(b"PEXPIREAT", name, b"%d" % when)
    elif options.persist and ctx.db.clear_expiry(name):
        ctx.changed(name, b"persist", GENERIC)
        ctx.journal(b"PERSIST", name)
    return value


@command("MSET", arity=-3, flags=WRITE | DENYOOM, keys=[keys_to_end(OW, UPDATE, step=2)], since="1.0.1",
         syntax="key value [key value ...]", summary="Store several strings at once", cost="O(n), n keys")  # fmt: skip
def mset(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2 == 0:
        raise wrong_arity("mset")
    _set_pairs(ctx, argv)
    return OK


@command("MSETNX", arity=-3, flags=WRITE | DENYOOM, keys=[keys_to_end(OW, INSERT, step=2)], since="1.0.1",
         syntax="key value [key value ...]", summary="Store several strings if none of the keys exists",
         cost="O(n), n keys")  # fmt: skip
def msetnx(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2 == 0:
        raise wrong_arity("msetnx")
    for i in range(1, len(argv), 2):
        if ctx.db.peek(argv[i]) is not None:
            return 0
    _set_pairs(ctx, argv)
    return 1


def _set_pairs(ctx: Context, argv: list[bytes]) -> None:
    for i in range(1, len(argv), 2):
        ctx.db.replace(argv[i], argv[i + 1])
        ctx.changed(argv[i], b"set", STRING)


# -- changing a part


@command("APPEND", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="2.0.0",
         syntax="key value", summary="Append to a string", cost="O(n), n its length")  # fmt: skip
def append(ctx: Context, argv: list[bytes]) -> Reply:
    old = _peek(ctx, argv[1]) or b""
    _check_length(ctx, len(old) + len(argv[2]))
    ctx.db.put(argv[1], old + argv[2])
    ctx.changed(argv[1], b"append", STRING)
    return len(old) + len(argv[2])


@command("SETRANGE", arity=4, flags=WRITE | DENYOOM, keys=[key(RW, UPDATE)], since="2.2.0",
         syntax="key offset value", summary="Overwrite a part of a string", cost="O(n), n its length")  # fmt: skip
def setrange(ctx: Context, argv: list[bytes]) -> Reply:
    offset = to_int(argv[2])
    if offset < 0:
        raise CommandError("ERR", "offset is out of range")
    old = _peek(ctx, argv[1])
    value = argv[3]
    if not value:
        return len(old) if old is not None else 0
    _check_length(ctx, offset + len(value))
    old = (old or b"").ljust(offset, b"\0")
    new = old[:offset] + value + old[offset + len(value) :]
    ctx.db.put(argv[1], new)
    ctx.changed(argv[1], b"setrange", STRING)
    return len(new)


# -- counters


def _add(ctx: Context, name: bytes, amount: int) -> Reply:
    old = _peek(ctx, name)
    number = 0 if old is None else parse_int(old)
    if number is None:
        raise not_an_integer()
    number += amount
    if not -_SURE <= number <= _SURE and not I64_MIN <= number <= I64_MAX:
        raise CommandError("ERR", "increment or decrement would overflow")
    ctx.db.put(name, b"%d" % number)
    ctx.changed(name, b"incrby", STRING)
    return number


@command("INCR", arity=2, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="1.0.0",
         syntax="key", summary="Add one to a counter", cost="O(1)")  # fmt: skip
def incr(ctx: Context, argv: list[bytes]) -> Reply:
    return _add(ctx, argv[1], 1)


@command("DECR", arity=2, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="1.0.0",
         syntax="key", summary="Take one from a counter", cost="O(1)")  # fmt: skip
def decr(ctx: Context, argv: list[bytes]) -> Reply:
    return _add(ctx, argv[1], -1)


@command("INCRBY", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="1.0.0",
         syntax="key increment", summary="Add to a counter", cost="O(1)")  # fmt: skip
def incrby(ctx: Context, argv: list[bytes]) -> Reply:
    return _add(ctx, argv[1], to_int(argv[2]))


@command("DECRBY", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="1.0.0",
         syntax="key decrement", summary="Take from a counter", cost="O(1)")  # fmt: skip
def decrby(ctx: Context, argv: list[bytes]) -> Reply:
    amount = to_int(argv[2])
    if amount == I64_MIN:
        raise CommandError("ERR", "decrement would overflow")
    return _add(ctx, argv[1], -amount)


def _spells_infinity(text: bytes) -> bool:
    """A number to Redis, too, but one that no sum may contain."""
    return parse_float(text) in (math.inf, -math.inf)


@command("INCRBYFLOAT", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="2.6.0",
         syntax="key increment", summary="Add a floating point number to a counter", cost="O(1)")  # fmt: skip
def incrbyfloat(ctx: Context, argv: list[bytes]) -> Reply:
    old = _peek(ctx, argv[1])
    text = b"0" if old is None else old
    number = parse_long_double(text)
    amount = parse_long_double(argv[2])
    if (number is None and not _spells_infinity(text)) or (amount is None and not _spells_infinity(argv[2])):
        raise not_a_float()
    total = add_long_double(number, amount) if number is not None and amount is not None else None
    if total is None:
        raise CommandError("ERR", "increment would produce NaN or Infinity")
    ctx.db.put(argv[1], total)
    ctx.changed(argv[1], b"incrbyfloat", STRING)
    ctx.journal(b"SET", argv[1], total, b"KEEPTTL")
    return total
