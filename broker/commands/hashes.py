"""Hashes: fields and their values under one key."""

from typing import Final

from broker.commands.args import to_int
from broker.commands.context import Context
from broker.commands.hash_fields import drop_if_empty, hidden_ms, made_hash, peek_hash, read_hash, value_of, without_due
from broker.commands.ranges import MAX_DRAWS, to_draws
from broker.commands.registry import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    Group,
    key,
)
from broker.commands.scan import parse_cursor, parse_options, scan_reply, select
from broker.datatypes.hashes import HashValue, packed_hash
from broker.errors import CommandError, not_a_float, syntax_error, wrong_arity, wrong_type
from broker.keyspace.events import HASH, SUBKEYS
from broker.protocol.long_double import add_long_double, parse_long_double
from broker.protocol.numbers import I64_MAX, I64_MIN, parse_int
from broker.protocol.replies import OK, Map, Pairs, Reply

command = Group("hash").command
_INFINITIES: Final = (b"inf", b"infinity")


# -- writing


@command("HSET", arity=-4, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="2.0.0",
         syntax="key field value [field value ...]", summary="Set fields of a hash",
         cost="O(n), n fields")  # fmt: skip
def hset(ctx: Context, argv: list[bytes]) -> Reply:
    """The number of fields that are new."""
    if len(argv) % 2:
        raise wrong_arity("hset")
    return _set_fields(ctx, argv)


@command("HMSET", arity=-4, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="2.0.0",
         syntax="key field value [field value ...]", summary="Set fields of a hash (old name of HSET)",
         cost="O(n), n fields")  # fmt: skip
def hmset(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2:
        raise wrong_arity("hmset")
    _set_fields(ctx, argv)
    return OK


def _set_fields(ctx: Context, argv: list[bytes]) -> int:
    name = argv[1]
    if len(argv) > 4 and ctx.db.peek(name) is None:
        packed = packed_hash(argv[2:])
        if packed is not None:
            ctx.db.put(name, packed)
            ctx.changed(name, b"hset", HASH)
            ctx.note_fields(name, b"hset", argv[2::2])
            return (len(argv) - 2) // 2
    fields = made_hash(ctx, name)
    added = 0
    for i in range(2, len(argv), 2):
        if fields.set(argv[i], argv[i + 1]):
            added += 1
    ctx.changed(name, b"hset", HASH)
    if ctx.keyspace.event_classes & SUBKEYS:
        ctx.note_fields(name, b"hset", argv[2::2])
    return added


@command("HSETNX", arity=4, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="2.0.0",
         syntax="key field value", summary="Set a field of a hash that does not exist", cost="O(1)")  # fmt: skip
def hsetnx(ctx: Context, argv: list[bytes]) -> Reply:
    fields = peek_hash(ctx, argv[1])
    if fields is not None and value_of(ctx, argv[1], fields, argv[2]) is not None:
        return 0
    made_hash(ctx, argv[1]).set(argv[2], argv[3])
    ctx.changed(argv[1], b"hset", HASH)
    ctx.note_fields(argv[1], b"hset", [argv[2]])
    return 1


@command("HDEL", arity=-3, flags=WRITE | FAST, keys=[key(RW, DELETE)], since="2.0.0",
         syntax="key field [field ...]", summary="Delete fields of a hash", cost="O(n), n fields")  # fmt: skip
def hdel(ctx: Context, argv: list[bytes]) -> Reply:
    fields = peek_hash(ctx, argv[1])
    if fields is None:
        return 0
    deleted: list[bytes] = []
    for i in range(2, len(argv)):
        if fields.pop(argv[i]) is not None:
            deleted.append(argv[i])
    if deleted:
        ctx.changed(argv[1], b"hdel", HASH)
        ctx.note_fields(argv[1], b"hdel", deleted)
        drop_if_empty(ctx, argv[1], fields)
    return len(deleted)


@command("HINCRBY", arity=4, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="2.0.0",
         syntax="key field increment", summary="Add to a counter in a hash", cost="O(1)")  # fmt: skip
def hincrby(ctx: Context, argv: list[bytes]) -> Reply:
    amount = to_int(argv[3])
    fields = peek_hash(ctx, argv[1])
    old = value_of(ctx, argv[1], fields, argv[2]) if fields is not None else None
    number = 0 if old is None else parse_int(old)
    if number is None:
        raise CommandError("ERR", "hash value is not an integer")
    number += amount
    if number > I64_MAX or number < I64_MIN:
        raise CommandError("ERR", "increment or decrement would overflow")
    made_hash(ctx, argv[1]).update(argv[2], b"%d" % number)
    ctx.changed(argv[1], b"hincrby", HASH)
    ctx.note_fields(argv[1], b"hincrby", [argv[2]])
    return number


@command("HINCRBYFLOAT", arity=4, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="2.6.0",
         syntax="key field increment", summary="Add a floating point number to a counter in a hash",
         cost="O(1)")  # fmt: skip
def hincrbyfloat(ctx: Context, argv: list[bytes]) -> Reply:
    if _is_infinite(argv[3]):
        raise CommandError("ERR", "value is NaN or Infinity")
    amount = parse_long_double(argv[3])
    if amount is None:
        raise not_a_float()
    fields = peek_hash(ctx, argv[1])
    old = value_of(ctx, argv[1], fields, argv[2]) if fields is not None else None
    number = parse_long_double(b"0" if old is None else old)
    if number is None and (old is None or not _is_infinite(old)):
        raise CommandError("ERR", "hash value is not a float")
    total = add_long_double(number, amount) if number is not None else None
    if total is None:
        raise CommandError("ERR", "increment would produce NaN or Infinity")
    fields = made_hash(ctx, argv[1])
    fields.update(argv[2], total)
    ctx.changed(argv[1], b"hincrbyfloat", HASH)
    ctx.note_fields(argv[1], b"hincrbyfloat", [argv[2]])
    ctx.journal(b"HSET", argv[1], argv[2], total)
    when = fields.time_of(argv[2])
    if when >= 0:  # HSET takes it away
        ctx.journal(b"HPEXPIREAT", argv[1], b"%d" % when, b"FIELDS", b"1", argv[2])
    return total


def _is_infinite(text: bytes) -> bool:
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    return digits.lower() in _INFINITIES


# -- reading


@command("HGET", arity=3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key field", summary="A field of a hash", cost="O(1)")  # fmt: skip
def hget(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.db.read(argv[1])
    if isinstance(value, HashValue):
        if value.deadlines is not None:
            return value_of(ctx, argv[1], value, argv[2])
        return value.get(argv[2])
    if value is None:
        return None
    raise wrong_type()


@command("HMGET", arity=-3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key field [field ...]", summary="Several fields of a hash", cost="O(n), n fields")  # fmt: skip
def hmget(ctx: Context, argv: list[bytes]) -> Reply:
    fields = read_hash(ctx, argv[1])
    found: list[Reply] = []
    for i in range(2, len(argv)):
        found.append(None if fields is None else value_of(ctx, argv[1], fields, argv[i]))
    return found


@command("HGETALL", arity=2, flags=READONLY, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key", summary="All fields of a hash with their values", cost="O(n), n fields")  # fmt: skip
def hgetall(ctx: Context, argv: list[bytes]) -> Reply:
    fields = read_hash(ctx, argv[1])
    return Map(fields.flat(hidden_ms(ctx)) if fields is not None else [])


@command("HKEYS", arity=2, flags=READONLY, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key", summary="All fields of a hash", cost="O(n), n fields")  # fmt: skip
def hkeys(ctx: Context, argv: list[bytes]) -> Reply:
    fields = read_hash(ctx, argv[1])
    return fields.names(hidden_ms(ctx)) if fields is not None else []


@command("HVALS", arity=2, flags=READONLY, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key", summary="All values of a hash", cost="O(n), n fields")  # fmt: skip
def hvals(ctx: Context, argv: list[bytes]) -> Reply:
    fields = read_hash(ctx, argv[1])
    return fields.values(hidden_ms(ctx)) if fields is not None else []


@command("HEXISTS", arity=3, flags=READONLY | FAST, keys=[key(RO)], since="2.0.0",
         syntax="key field", summary="Whether a hash has a field", cost="O(1)")  # fmt: skip
def hexists(ctx: Context, argv: list[bytes]) -> Reply:
    fields = read_hash(ctx, argv[1])
    return 1 if fields is not None and value_of(ctx, argv[1], fields, argv[2]) is not None else 0


@command("HLEN", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="2.0.0",
         syntax="key", summary="Number of fields of a hash", cost="O(1)")  # fmt: skip
def hlen(ctx: Context, argv: list[bytes]) -> Reply:
    fields = read_hash(ctx, argv[1])
    return 0 if fields is None else len(fields)


@command("HSTRLEN", arity=3, flags=READONLY | FAST, keys=[key(RO)], since="3.2.0",
         syntax="key field", summary="Length of a field of a hash in bytes", cost="O(1)")  # fmt: skip
def hstrlen(ctx: Context, argv: list[bytes]) -> Reply:
    fields = read_hash(ctx, argv[1])
    value = None if fields is None else value_of(ctx, argv[1], fields, argv[2])
    return 0 if value is None else len(value)


@command("HSCAN", arity=-3, flags=READONLY, keys=[key(RO, ACCESS)], since="2.8.0",
         syntax="key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
         summary="Walk over a hash, some fields at a time",
         cost="O(1) for each call, O(n) for a whole walk, n fields",
         differs="Cursors are other numbers; somewhat more than COUNT may come")  # fmt: skip
def hscan(ctx: Context, argv: list[bytes]) -> Reply:
    cursor = parse_cursor(argv[2])
    fields = read_hash(ctx, argv[1])
    if fields is None:
        return scan_reply(0, [])  # before the options are looked at, as Redis does
    options = parse_options(argv, 3, False, b"NOVALUES")
    cursor, names = fields.fields.scan(cursor, options.count)
    found: list[Reply] = []
    now = hidden_ms(ctx)
    for name in select(names, options):
        if fields.is_due(name, now):
            continue
        found.append(name)
        if not options.names_only:
            found.append(fields.fields.get(name))
    return scan_reply(cursor, found)


# -- drawing


@command("HRANDFIELD", arity=-2, flags=READONLY, keys=[key(RO, ACCESS)], since="6.2.0",
         syntax="key [count [WITHVALUES]]", summary="Fields of a hash at random",
         cost="O(n), n fields returned",
         differs="With repetition 2^24 are drawn at most")  # fmt: skip
def hrandfield(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2:
        fields = read_hash(ctx, argv[1])
        return None if fields is None else without_due(ctx, argv[1], fields).fields.random_key(ctx.keyspace.rng)
    count = to_draws(argv[2])
    with_values = len(argv) > 3
    if len(argv) > 4 or (with_values and argv[3].upper() != b"WITHVALUES"):
        raise syntax_error()
    if count < -MAX_DRAWS or (with_values and abs(count) > I64_MAX // 2):
        raise CommandError("ERR", "value is out of range")
    fields = read_hash(ctx, argv[1])
    if fields is None:
        return []
    fields = without_due(ctx, argv[1], fields)
    drawn = fields.fields.draw(count, ctx.keyspace.rng)
    if not with_values:
        return drawn
    flat: list[Reply] = []
    for name in drawn:
        flat.append(name)
        flat.append(fields.fields.get(name))
    return Pairs(flat)
