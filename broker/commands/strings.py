"""Strings: get, set, change a part. A string is bytes or a bytearray in the keyspace: see datatypes/strings.py."""

from typing import Final

from xxhash import xxh3_64_hexdigest

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
    RM,
    RO,
    RW,
    UPDATE,
    VARIABLE_FLAGS,
    WRITE,
    Group,
    KeySpec,
    key,
    keys_to_end,
)
from broker.commands.string_values import as_text, check_length, peek_text, read_text
from broker.datatypes.strings import Text, changeable, overwrite, part
from broker.errors import CommandError, invalid_expire, syntax_error, wrong_arity, wrong_type
from broker.keyspace.events import GENERIC, STRING
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import OK, Reply

command = Group("string").command

_CONDITIONS: Final = (b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE")
_EXPIRY: Final = (
    "[EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds"  # and a last choice
)


# -- reading


@command("GET", arity=2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key", summary="The string at a key", cost="O(1)")  # fmt: skip
def get(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.db.read(argv[1])
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    raise wrong_type()


@command("MGET", arity=-2, flags=READONLY | FAST, keys=[keys_to_end(RO, ACCESS)], since="1.0.0",
         syntax="key [key ...]", summary="The strings at several keys", cost="O(n), n keys")  # fmt: skip
def mget(ctx: Context, argv: list[bytes]) -> Reply:
    replies: list[Reply] = []
    for name in argv[1:]:
        value = ctx.db.read(name)
        if isinstance(value, bytearray):
            replies.append(bytes(value))
        else:
            replies.append(value if isinstance(value, bytes) else None)
    return replies


@command("STRLEN", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="2.2.0",
         syntax="key", summary="Length of a string in bytes", cost="O(1)")  # fmt: skip
def strlen(ctx: Context, argv: list[bytes]) -> Reply:
    value = read_text(ctx, argv[1])
    return 0 if value is None else len(value)


@command("GETRANGE", arity=4, flags=READONLY, keys=[key(RO, ACCESS)], since="2.4.0",
         syntax="key start end", summary="A part of a string", cost="O(n), n bytes returned")  # fmt: skip
def getrange(ctx: Context, argv: list[bytes]) -> Reply:
    start = to_int(argv[2])
    end = to_int(argv[3])
    value = read_text(ctx, argv[1])
    if value is None:
        return b""
    if start < 0 and end < 0 and start > end:
        return b""
    size = len(value)
    start = max(start + size, 0) if start < 0 else start
    end = max(end + size, 0) if end < 0 else min(end, size - 1)
    return part(value, start, end + 1) if size and start <= end else b""


@command("SUBSTR", arity=4, flags=READONLY, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key start end", summary="A part of a string (old name of GETRANGE)",
         cost="O(n), n bytes returned")  # fmt: skip
def substr(ctx: Context, argv: list[bytes]) -> Reply:
    return getrange(ctx, argv)


# -- setting


class _Options:
    """The options of SET, GETEX and MSETEX as they were given."""

    def __init__(self) -> None:
        self.only_new = False
        self.only_existing = False
        self.condition: bytes = b""  # IFEQ, IFNE, IFDEQ or IFDNE
        self.match: bytes = b""
        self.get = False
        self.keep_ttl = False
        self.persist = False
        self.expire: bytes = b""  # EX, PX, EXAT or PXAT
        self.amount: bytes = b""


_SET: Final = 1
_GETEX: Final = 2
_MSETEX: Final = 4


def _parse_options(argv: list[bytes], position: int, kind: int) -> _Options:
    """Options in any order; contradictions are syntax errors. Redis: parseExtendedStringArgumentsOrReply."""
    options = _Options()
    args = Args(argv, position)
    while args.more():
        # NX or XX after a condition is taken, and before it is not: so it is in Redis 8.9.
        if kind != _GETEX and not options.only_existing and args.flag(b"NX"):
            options.only_new = True
        elif kind != _GETEX and not options.only_new and args.flag(b"XX"):
            options.only_existing = True
        elif kind == _SET and args.flag(b"GET"):
            options.get = True
        elif kind != _GETEX and not options.expire and args.flag(b"KEEPTTL"):
            options.keep_ttl = True
        elif kind == _GETEX and not options.expire and args.flag(b"PERSIST"):
            options.persist = True
        elif not _take_pair(options, args, kind):
            raise syntax_error()
    return options


def _take_pair(options: _Options, args: Args, kind: int) -> bool:
    """An option of two words. The same one again is allowed: the last counts."""
    word = args.peek()
    if args.left < 2:
        return False
    if word in (b"EX", b"PX", b"EXAT", b"PXAT"):
        if options.keep_ttl or options.persist or options.expire not in (b"", word):
            return False
        options.expire = word
        args.next()
        options.amount = args.next()
        return True
    if kind != _SET or word not in _CONDITIONS:
        return False
    if options.only_new or options.only_existing or options.condition not in (b"", word):
        return False
    options.condition = word
    args.next()
    options.match = args.next()
    return True


def _meets(value: Text, condition: bytes, match: bytes) -> bool:
    """Whether an existing value lets SET or DELEX go on. condition: one of the four, in upper case."""
    if condition == b"IFEQ":
        return value == match
    if condition == b"IFNE":
        return value != match
    if len(match) != 16:  # its digits are not looked at: others just match nothing
        raise CommandError("ERR", "must be exactly 16 hexadecimal characters")
    return (_digest(value) == match.lower()) == (condition == b"IFDEQ")


def _digest(value: Text) -> bytes:
    return xxh3_64_hexdigest(value).encode("ascii")


def expire_at(ctx: Context, unit: bytes, amount: bytes, name: str) -> int:
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
         syntax="key value [NX | XX | IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest] "
                f"[GET] {_EXPIRY} | KEEPTTL]",
         summary="Store a string at a key", cost="O(1)",
         differs="A time that is past removes the key at once")  # fmt: skip
def set_(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    if len(argv) == 3:
        ctx.db.replace(name, argv[2])
        ctx.changed(name, b"set", STRING)
        return OK
    return _set_with_options(ctx, argv)


def _set_with_options(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    options = _parse_options(argv, 3, _SET)
    when = expire_at(ctx, options.expire, options.amount, "set") if options.expire else 0
    old = ctx.db.read(name) if options.get else ctx.db.peek(name)
    shown: Reply = None
    if options.get:
        text = as_text(old)
        shown = bytes(text) if isinstance(text, bytearray) else text
    if not _may_set(old, options):
        return shown
    _store(ctx, name, argv[2], when, options.keep_ttl)
    return shown if options.get else OK


def _may_set(old: object | None, options: _Options) -> bool:
    if old is None:
        return not options.only_existing and options.condition not in (b"IFEQ", b"IFDEQ")
    if options.only_new:
        return False
    if not options.condition:
        return True
    text = as_text(old)
    assert text is not None
    return _meets(text, options.condition, options.match)


def _store(
    ctx: Context, name: bytes, value: bytes, when: int, keep_ttl: bool, expire_is_told_first: bool = False
) -> None:
    """Set a string with an absolute expiry (0: none), and journal just that."""
    if keep_ttl:
        ctx.db.note_overwritten(name, value)
        ctx.db.put(name, value)
        ctx.changed(name, b"set", STRING)
        ctx.journal(b"SET", name, value, b"KEEPTTL")
        return
    if when and when <= ctx.now_ms and not ctx.session.is_replay:
        # A time in the past: the key is gone at once, and that is what the log has to say.
        if ctx.db.remove(name) is not None:
            ctx.changed(name, b"del", GENERIC)
            ctx.journal(b"DEL", name)
        return
    ctx.db.replace(name, value)
    if when and expire_is_told_first:
        ctx.notify(name, b"expire", GENERIC)
    ctx.changed(name, b"set", STRING)
    if when:
        ctx.db.set_expiry(name, when)
        if not expire_is_told_first:
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
    _store(ctx, argv[1], argv[3], expire_at(ctx, b"EX", argv[2], "setex"), False)
    return OK


@command("PSETEX", arity=4, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE)], since="2.6.0",
         syntax="key milliseconds value", summary="Store a string that expires, in milliseconds",
         cost="O(1)")  # fmt: skip
def psetex(ctx: Context, argv: list[bytes]) -> Reply:
    _store(ctx, argv[1], argv[3], expire_at(ctx, b"PX", argv[2], "psetex"), False)
    return OK


@command("GETSET", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="1.0.0",
         syntax="key value", summary="Store a string and return the one before", cost="O(1)")  # fmt: skip
def getset(ctx: Context, argv: list[bytes]) -> Reply:
    old = _read_bytes(ctx, argv[1])
    _store(ctx, argv[1], argv[2], 0, False)
    return old


@command("GETDEL", arity=2, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="6.2.0",
         syntax="key", summary="Return a string and delete its key", cost="O(1)")  # fmt: skip
def getdel(ctx: Context, argv: list[bytes]) -> Reply:
    old = _read_bytes(ctx, argv[1])
    if old is not None:
        delete_key(ctx, argv[1])
    return old


def _read_bytes(ctx: Context, name: bytes) -> bytes | None:
    text = read_text(ctx, name)
    return bytes(text) if isinstance(text, bytearray) else text


def delete_key(ctx: Context, name: bytes) -> None:
    """Journaled as what it is, whatever the request was called."""
    ctx.db.remove(name)
    ctx.changed(name, b"del", GENERIC)
    ctx.journal(b"DEL", name)


@command("DELEX", arity=-2, flags=WRITE | FAST, keys=[key(RW, DELETE, VARIABLE_FLAGS)], since="8.4.0",
         syntax="key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
         summary="Delete a key, or only if its string, or the digest of it, is this or is another",
         cost="O(1), O(n) for a digest, n the length of the string")  # fmt: skip
def delex(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 3 or len(argv) > 4:
        raise wrong_arity("delex")
    name = argv[1]
    value = ctx.db.peek(name) if len(argv) == 2 else ctx.db.read(name)
    if value is None:
        return 0
    if len(argv) == 4:
        if not isinstance(value, (bytes, bytearray)):
            raise CommandError("ERR", "Key should be of string type if conditions are specified")
        condition = argv[2].upper()
        if condition not in _CONDITIONS:
            raise CommandError("ERR", "Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE")
        if not _meets(value, condition, argv[3]):
            return 0
    delete_key(ctx, name)
    return 1


@command("DELIFEQ", arity=3, flags=WRITE, keys=[key(RM, ACCESS, DELETE)], since="9.0.0",
         syntax="key value", summary="Delete a key whose string is this one (Valkey's form of DELEX ... IFEQ)",
         cost="O(1)")  # fmt: skip
def delifeq(ctx: Context, argv: list[bytes]) -> Reply:
    value = peek_text(ctx, argv[1])
    if value is None or value != argv[2]:
        return 0
    delete_key(ctx, argv[1])
    return 1


@command("DIGEST", arity=2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="8.4.0",
         syntax="key", summary="The XXH3 hash of a string, as 16 hexadecimal digits",
         cost="O(n), n the length of the string")  # fmt: skip
def digest(ctx: Context, argv: list[bytes]) -> Reply:
    value = read_text(ctx, argv[1])
    return None if value is None else _digest(value)


@command("GETEX", arity=-2, flags=WRITE | FAST, keys=[key(RW, ACCESS, UPDATE)], since="6.2.0",
         syntax=f"key {_EXPIRY} | PERSIST]",
         summary="Return a string and set or remove its expiry", cost="O(1)")  # fmt: skip
def getex(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    options = _parse_options(argv, 2, _GETEX)
    value = _read_bytes(ctx, name)
    if value is None:
        return None
    when = expire_at(ctx, options.expire, options.amount, "getex") if options.expire else 0
    if when and when <= ctx.now_ms and not ctx.session.is_replay:
        delete_key(ctx, name)
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


@command("MSETEX", arity=-4, flags=WRITE | DENYOOM,
         keys=[KeySpec((OW, UPDATE), position=1, count_at=0, first=1, step=2)], since="8.4.0",
         syntax=f"numkeys key value [key value ...] [NX | XX] {_EXPIRY} | KEEPTTL]",
         summary="Store several strings at once, with one expiry for all", cost="O(n), n keys",
         differs="As SET, a time that is past removes the keys at once")  # fmt: skip
def msetex(ctx: Context, argv: list[bytes]) -> Reply:
    count = parse_int(argv[1])
    if count is None or not 1 <= count < 1 << 31:
        raise CommandError("ERR", "invalid numkeys value")
    end = 2 + 2 * count
    if end > len(argv):
        raise CommandError("ERR", "wrong number of key-value pairs")
    options = _parse_options(argv, end, _MSETEX)
    when = expire_at(ctx, options.expire, options.amount, "msetex") if options.expire else 0
    if options.only_new or options.only_existing:
        for i in range(2, end, 2):
            if (ctx.db.peek(argv[i]) is None) == options.only_existing:
                return 0
    for i in range(2, end, 2):
        _store(ctx, argv[i], argv[i + 1], when, options.keep_ttl, True)
    return 1


# -- changing a part


@command("APPEND", arity=3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="2.0.0",
         syntax="key value", summary="Append to a string",
         cost="O(n), n what is appended; at the first time the whole string")  # fmt: skip
def append(ctx: Context, argv: list[bytes]) -> Reply:
    name, more = argv[1], argv[2]
    old = peek_text(ctx, name)
    if old is None:
        ctx.db.put(name, more)
        ctx.changed(name, b"append", STRING)
        return len(more)
    size = len(old) + len(more)
    check_length(ctx, size)
    text = changeable(old)
    text += more
    ctx.db.put(name, text)
    ctx.changed(name, b"append", STRING)
    return size


@command("SETRANGE", arity=4, flags=WRITE | DENYOOM, keys=[key(RW, UPDATE)], since="2.2.0",
         syntax="key offset value", summary="Overwrite a part of a string",
         cost="O(n), n what is written; at the first time the whole string")  # fmt: skip
def setrange(ctx: Context, argv: list[bytes]) -> Reply:
    offset = to_int(argv[2])
    if offset < 0:
        raise CommandError("ERR", "offset is out of range")
    name, value = argv[1], argv[3]
    old = peek_text(ctx, name)
    if not value:
        return len(old) if old is not None else 0
    check_length(ctx, offset + len(value))
    text = changeable(old)
    overwrite(text, offset, value)
    ctx.db.put(name, text)
    ctx.changed(name, b"setrange", STRING)
    return len(text)
