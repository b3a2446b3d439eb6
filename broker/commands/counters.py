"""Counters: strings that spell a number."""

import math
from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.context import Context
from broker.commands.registry import ACCESS, DENYOOM, FAST, RW, UPDATE, WRITE, Group, key
from broker.commands.string_values import peek_bytes
from broker.commands.strings import delete_key, expire_at
from broker.errors import CommandError, not_a_float, not_an_integer, syntax_error
from broker.keyspace.events import GENERIC, STRING
from broker.protocol.long_double import (
    LARGEST,
    ONE,
    ZERO,
    LongDouble,
    add_long_double,
    compare,
    format_long_double,
    is_infinite,
    negative,
    parse_long_double,
    sum_of,
)
from broker.protocol.numbers import I64_MAX, I64_MIN, parse_float, parse_int
from broker.protocol.replies import DoubleText, Reply

command = Group("string").command

_SURE: Final = 1 << 60  # what fits for certain: mypyc compares small ints in an instant, and 64-bit ones slowly


def _add(ctx: Context, name: bytes, amount: int) -> Reply:
    old = peek_bytes(ctx, name)
    before = 0 if old is None else parse_int(old)
    if before is None:
        raise not_an_integer()
    number = before + amount
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
         syntax="key increment", summary="Add a floating point number to a counter", cost="O(1)",
         differs="What spells an integer is `int` to OBJECT ENCODING")  # fmt: skip
def incrbyfloat(ctx: Context, argv: list[bytes]) -> Reply:
    old = peek_bytes(ctx, argv[1])
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


# -- INCREX


class _IncrexOptions:
    def __init__(self) -> None:
        self.by = b""  # BYINT or BYFLOAT
        self.increment: int = 1
        self.real_increment: LongDouble = ONE
        self.low: bytes | None = None
        self.high: bytes | None = None
        self.saturate = False
        self.unit = b""  # EX, PX, EXAT, PXAT or PERSIST
        self.amount = b""
        self.if_none = False  # ENX


_UNITS: Final = (b"EX", b"PX", b"EXAT", b"PXAT")


def _increx_options(argv: list[bytes]) -> _IncrexOptions:
    """Each option once; an increment is read where it stands. Redis: parseIncrExArgumentsOrReply."""
    options = _IncrexOptions()
    args = Args(argv, 2)
    while args.more():
        word = args.peek()
        args.next()
        if word == b"SATURATE" and not options.saturate:
            options.saturate = True
        elif word == b"ENX" and not options.if_none and options.unit != b"PERSIST":
            options.if_none = True
        elif word == b"PERSIST" and not options.unit and not options.if_none:
            options.unit = word
        elif not args.more():
            raise syntax_error()
        elif word in (b"BYINT", b"BYFLOAT") and not options.by:
            options.by = word
            _read_increment(options, args.next())
        elif word == b"LBOUND" and options.low is None:
            options.low = args.next()
        elif word == b"UBOUND" and options.high is None:
            options.high = args.next()
        elif word in _UNITS and not options.unit:
            options.unit = word
            options.amount = args.next()
        else:
            raise syntax_error()
    return options


def _read_increment(options: _IncrexOptions, text: bytes) -> None:
    if options.by == b"BYINT":
        options.increment = _bound(text, "Increment", 0)
        return
    options.real_increment = _real_bound(text, "Increment", ZERO)
    if is_infinite(options.real_increment):
        raise CommandError("ERR", "BYFLOAT increment cannot be Infinity")


def _bound(text: bytes | None, name: str, default: int) -> int:
    if text is None:
        return default
    value = parse_int(text)
    if value is None:
        raise CommandError("ERR", f"{name} is not an integer or out of range")
    return value


def _real_bound(text: bytes | None, name: str, default: LongDouble) -> LongDouble:
    if text is None:
        return default
    value = parse_long_double(text)
    if value is None:
        raise CommandError("ERR", f"{name} is not a valid float")
    return value


class _Step:
    """What INCREX decided. new: the text to store, None when the step was declined."""

    def __init__(self, value: Reply, applied: Reply, new: bytes | None) -> None:
        self.reply: list[Reply] = [value, applied]
        self.new = new


def _check_bounds(low_is_greater: bool, options: _IncrexOptions) -> None:
    if low_is_greater:
        raise CommandError("ERR", "LBOUND can't be greater than UBOUND")
    if options.if_none and not options.unit:
        raise CommandError("ERR", "ENX flag requires an expiration")


def _integer_step(options: _IncrexOptions, old: bytes | None, low: int, high: int) -> _Step:
    before = 0 if old is None else parse_int(old)
    if before is None:
        raise not_an_integer()
    after = before + options.increment
    if not (low <= after <= high and I64_MIN <= after <= I64_MAX):
        if not options.saturate:
            return _Step(before, 0, None)
        if not I64_MIN <= after <= I64_MAX:
            after = high if options.increment >= 0 else low
        else:
            after = high if after > high else low
    applied = after - before
    if not I64_MIN <= applied <= I64_MAX:
        raise CommandError("ERR", "applied increment would overflow")
    return _Step(after, applied, b"%d" % after)


def _real_step(options: _IncrexOptions, old: bytes | None, low: LongDouble, high: LongDouble) -> _Step:
    before = ZERO if old is None else parse_long_double(old)
    if before is None:
        raise not_a_float()
    if is_infinite(before):
        raise CommandError("ERR", "value cannot be Infinity")
    after = sum_of(before, options.real_increment)
    overflow = is_infinite(after)
    if overflow or compare(after, high) > 0 or compare(after, low) < 0:
        if not options.saturate:
            return _Step(DoubleText(format_long_double(before)), DoubleText(b"0"), None)
        if overflow:
            after = high if compare(options.real_increment, ZERO) >= 0 else low
        else:
            after = high if compare(after, high) > 0 else low
    applied = sum_of(after, negative(before))
    if is_infinite(applied):
        raise CommandError("ERR", "applied increment would be Infinity")
    text = format_long_double(after)
    return _Step(DoubleText(text), DoubleText(format_long_double(applied)), text)


@command("INCREX", arity=-2, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="8.8.0",
         syntax="key [BYFLOAT increment | BYINT increment] [LBOUND lowerbound] [UBOUND upperbound] [SATURATE] "
                "[EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] "
                "[ENX]",
         summary="Add to a counter within bounds, and set its expiry", cost="O(1)")  # fmt: skip
def increx(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    options = _increx_options(argv)
    real = options.by == b"BYFLOAT"
    if real:
        lowest = _real_bound(options.low, "LBOUND", negative(LARGEST))
        highest = _real_bound(options.high, "UBOUND", LARGEST)
        _check_bounds(compare(lowest, highest) > 0, options)
    else:
        low = _bound(options.low, "LBOUND", I64_MIN)
        high = _bound(options.high, "UBOUND", I64_MAX)
        _check_bounds(low > high, options)
    when = expire_at(ctx, options.unit, options.amount, "increx") if options.amount else 0
    old = peek_bytes(ctx, name)
    step = _real_step(options, old, lowest, highest) if real else _integer_step(options, old, low, high)
    if step.new is not None:
        _store_step(ctx, name, step.new, b"incrbyfloat" if real else b"incrby", options, when)
    return step.reply


def _store_step(ctx: Context, name: bytes, new: bytes, event: bytes, options: _IncrexOptions, when: int) -> None:
    """Journaled as SET: what was decided, not how."""
    sets_expiry = when != 0 and not (options.if_none and ctx.db.expiry(name) is not None)
    if sets_expiry and when <= ctx.now_ms and not ctx.session.is_replay:
        if ctx.db.peek(name) is not None:
            delete_key(ctx, name)
        return
    ctx.db.put(name, new)
    ctx.changed(name, event, STRING)
    if options.unit == b"PERSIST":
        if ctx.db.clear_expiry(name):
            ctx.notify(name, b"persist", GENERIC)
        ctx.journal(b"SET", name, new)
    elif sets_expiry:
        ctx.db.set_expiry(name, when)
        ctx.notify(name, b"expire", GENERIC)
        ctx.journal(b"SET", name, new, b"PXAT", b"%d" % when)
    else:
        ctx.journal(b"SET", name, new, b"KEEPTTL")
