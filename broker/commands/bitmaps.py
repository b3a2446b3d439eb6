"""Bits of strings: single ones, counts, operations on whole strings, and fields of up to 64 bits."""

from typing import Final

from broker.commands.args import to_int
from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    DENYOOM,
    FAST,
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
from broker.commands.string_values import peek_text, read_text
from broker.datatypes import bitmaps
from broker.datatypes.strings import Text, changeable, extend
from broker.errors import CommandError, syntax_error
from broker.keyspace.events import GENERIC, STRING
from broker.protocol.numbers import parse_int
from broker.protocol.replies import Reply

command = Group("bitmap").command


def _offset(ctx: Context, text: bytes, width: int) -> int:
    """The number of a bit; `#n` is the n-th field of `width` bits, where fields are allowed (width above 0)."""
    counts_fields = width > 0 and text.startswith(b"#")
    offset = parse_int(text[1:] if counts_fields else text)
    if offset is not None and counts_fields:
        offset *= width
    if offset is None or offset < 0 or offset >> 3 >= ctx.config.memory("proto-max-bulk-len"):
        raise CommandError("ERR", "bit offset is not an integer or out of range")
    return offset


# -- single bits


@command("SETBIT", arity=4, flags=WRITE | DENYOOM, keys=[key(RW, ACCESS, UPDATE)], since="2.2.0",
         syntax="key offset value", summary="Set or clear a bit of a string; returns what it was",
         cost="O(1); at the first time O(n), n the length of the string",
         differs="What changes nothing is not journaled, as in 7.2")  # fmt: skip
def setbit(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    offset = _offset(ctx, argv[2], 0)
    bit = parse_int(argv[3])
    if bit is None or not 0 <= bit <= 1:
        raise CommandError("ERR", "bit is not an integer or out of range")
    old = peek_text(ctx, name)
    before = 0 if old is None else bitmaps.get_bit(old, offset)
    if old is not None and before == bit and offset >> 3 < len(old):
        return before
    text = changeable(old)
    extend(text, (offset >> 3) + 1)
    bitmaps.set_bit(text, offset, bit)
    ctx.db.put(name, text)
    ctx.changed(name, b"setbit", STRING)
    return before


@command("GETBIT", arity=3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="2.2.0",
         syntax="key offset", summary="A bit of a string", cost="O(1)")  # fmt: skip
def getbit(ctx: Context, argv: list[bytes]) -> Reply:
    offset = _offset(ctx, argv[2], 0)
    text = read_text(ctx, argv[1])
    return 0 if text is None else bitmaps.get_bit(text, offset)


# -- ranges


class _Range:
    """Bits from `start` up to, not including, `end`; empty when they are the same. missing: there is no such key."""

    def __init__(self) -> None:
        self.text: Text = b""
        self.missing = True
        self.start = 0
        self.end = 0


def _by_bit(argv: list[bytes], at: int) -> bool:
    """The unit of a range, if argv is as long as that: bytes otherwise."""
    if len(argv) <= at:
        return False
    unit = argv[at].upper()
    if unit not in (b"BIT", b"BYTE"):
        raise syntax_error()
    return unit == b"BIT"


def _read_range(ctx: Context, argv: list[bytes], at: int, unit_first: bool) -> _Range:
    """`[start [end [BYTE | BIT]]]` from argv[at] on, both of them inclusive, below 0 from the end.

    unit_first: it is looked at before the end is, which matters when both are wrong.
    """
    if len(argv) > at + 3:
        raise syntax_error()
    start = to_int(argv[at]) if len(argv) > at else 0
    by_bit = unit_first and _by_bit(argv, at + 2)
    end = to_int(argv[at + 1]) if len(argv) > at + 1 else -1
    by_bit = by_bit or _by_bit(argv, at + 2)
    found = _Range()
    text = read_text(ctx, argv[1])
    if text is None:
        return found
    found.text = text
    found.missing = False
    size = len(text) * 8 if by_bit else len(text)
    if start < 0 and end < 0 and start > end:
        return found
    start = max(start + size, 0) if start < 0 else start
    end = max(end + size, 0) if end < 0 else min(end, size - 1)
    if start <= end < size:
        found.start = start if by_bit else start * 8
        found.end = end + 1 if by_bit else end * 8 + 8
    return found


@command("BITCOUNT", arity=-2, flags=READONLY, keys=[key(RO, ACCESS)], since="2.6.0",
         syntax="key [start [end [BYTE | BIT]]]", summary="How many bits of a string are set",
         cost="O(n), n bytes of the range",
         differs="`start` without `end` is taken, as in Valkey 8")  # fmt: skip
def bitcount(ctx: Context, argv: list[bytes]) -> Reply:
    bits = _read_range(ctx, argv, 2, False)
    return bitmaps.count_ones(bits.text, bits.start, bits.end) if bits.start < bits.end else 0


@command("BITPOS", arity=-3, flags=READONLY, keys=[key(RO, ACCESS)], since="2.8.7",
         syntax="key bit [start [end [BYTE | BIT]]]", summary="Where the first set, or clear, bit of a string is",
         cost="O(n), n bytes of the range")  # fmt: skip
def bitpos(ctx: Context, argv: list[bytes]) -> Reply:
    bit = to_int(argv[2])
    if not 0 <= bit <= 1:
        raise CommandError("ERR", "The bit argument must be 1 or 0.")
    bits = _read_range(ctx, argv, 3, True)
    if bits.missing:
        return -1 if bit else 0
    if bits.start == bits.end:
        return -1
    at = bitmaps.find_bit(bits.text, bit, bits.start, bits.end)
    if at < 0 and not bit and len(argv) < 5:
        return bits.end  # without an end, zeros follow
    return at


# -- operations

_OPERATIONS: Final[dict[bytes, int]] = {
    b"AND": bitmaps.AND,
    b"OR": bitmaps.OR,
    b"XOR": bitmaps.XOR,
    b"NOT": bitmaps.NOT,
    b"DIFF": bitmaps.DIFF,
    b"DIFF1": bitmaps.DIFF1,
    b"ANDOR": bitmaps.ANDOR,
    b"ONE": bitmaps.ONE,
}


@command("BITOP", arity=-4, flags=WRITE | DENYOOM,
         keys=[key(OW, UPDATE, at=2), keys_to_end(RO, ACCESS, at=3)], since="2.6.0",
         syntax="<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
         summary="Combine strings bit by bit, and store the result",
         cost="O(n), n bytes of all the strings")  # fmt: skip
def bitop(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1].upper()
    operation = _OPERATIONS.get(name)
    if operation is None:
        raise syntax_error()
    if operation == bitmaps.NOT and len(argv) != 4:
        raise CommandError("ERR", "BITOP NOT must be called with a single source key.")
    if operation in (bitmaps.DIFF, bitmaps.DIFF1, bitmaps.ANDOR) and len(argv) < 5:
        raise CommandError("ERR", f"BITOP {name.decode()} must be called with at least two source keys.")
    sources: list[Text] = []
    for i in range(3, len(argv)):
        source = read_text(ctx, argv[i])
        sources.append(b"" if source is None else source)
    result = bitmaps.combine(operation, sources)
    target = argv[2]
    if result:
        ctx.db.replace(target, result)
        ctx.changed(target, b"set", STRING)
    elif ctx.db.peek(target) is not None:
        ctx.db.remove(target)
        ctx.changed(target, b"del", GENERIC)
    return len(result)


# -- fields

_OVERFLOW: Final[dict[bytes, int]] = {b"WRAP": bitmaps.WRAP, b"SAT": bitmaps.SATURATE, b"FAIL": bitmaps.FAIL}
_GET: Final = 0
_SET: Final = 1
_INCREASE: Final = 2
_KINDS: Final[dict[bytes, int]] = {b"GET": _GET, b"SET": _SET, b"INCRBY": _INCREASE}


class _Step:
    """One of the things that BITFIELD has to do."""

    def __init__(self, kind: int, signed: bool, bits: int, offset: int, value: int, overflow: int) -> None:
        self.kind: Final = kind
        self.signed: Final = signed
        self.bits: Final = bits
        self.offset: Final = offset
        self.value: Final = value
        self.overflow: Final = overflow


def _parse_steps(ctx: Context, argv: list[bytes]) -> list[_Step]:
    steps: list[_Step] = []
    overflow = bitmaps.WRAP
    i = 2
    while i < len(argv):
        word = argv[i].upper()
        left = len(argv) - i - 1
        if word == b"OVERFLOW" and left >= 1:
            known = _OVERFLOW.get(argv[i + 1].upper())
            if known is None:
                raise CommandError("ERR", "Invalid OVERFLOW type specified")
            overflow = known
            i += 2
            continue
        kind = _KINDS.get(word)
        if kind is None or left < (2 if kind == _GET else 3):
            raise syntax_error()
        bits = _width(argv[i + 1])
        offset = _offset(ctx, argv[i + 2], bits)
        value = 0 if kind == _GET else to_int(argv[i + 3])
        steps.append(_Step(kind, argv[i + 1].startswith(b"i"), bits, offset, value, overflow))
        i += 3 if kind == _GET else 4
    return steps


def _width(text: bytes) -> int:
    """Of a field, from its type: i1 to i64, u1 to u63."""
    bits = parse_int(text[1:])
    if text[:1] not in (b"i", b"u") or bits is None or not 1 <= bits <= (64 if text[:1] == b"i" else 63):
        raise CommandError(
            "ERR",
            "Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        )
    return bits


@command("BITFIELD", arity=-2, flags=WRITE | DENYOOM, keys=[key(RW, UPDATE, ACCESS, VARIABLE_FLAGS)], since="3.2.0",
         syntax="key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] "
                "<SET encoding offset value | INCRBY encoding offset increment> "
                "[GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] "
                "<SET encoding offset value | INCRBY encoding offset increment> ...]]",
         summary="Read and change integers of any width in a string", cost="O(1) for each of them",
         differs="What changes nothing is not journaled, as in 7.2")  # fmt: skip
def bitfield(ctx: Context, argv: list[bytes]) -> Reply:
    steps = _parse_steps(ctx, argv)
    least = max([(step.offset + step.bits + 7) >> 3 for step in steps if step.kind != _GET], default=0)
    if not least:
        return _read_fields(ctx, argv[1], steps)
    name = argv[1]
    old = peek_text(ctx, name)
    text = changeable(old)
    changed = old is None or least > len(text)
    extend(text, least)
    replies: list[Reply] = []
    for step in steps:
        before = bitmaps.get_field(text, step.offset, step.bits, step.signed)
        if step.kind == _GET:
            replies.append(before)
            continue
        wanted = step.value + before if step.kind == _INCREASE else step.value
        if step.kind == _SET and not step.signed:
            wanted &= (1 << 64) - 1  # a negative number is a great one to a field without a sign
        after = bitmaps.fit(wanted, step.bits, step.signed, step.overflow)
        replies.append(before if step.kind == _SET and after is not None else after)
        if after is not None and after != before:
            bitmaps.set_field(text, step.offset, step.bits, after)
            changed = True
    if changed:
        ctx.db.put(name, text)
        ctx.changed(name, b"setbit", STRING)
    return replies


def _read_fields(ctx: Context, name: bytes, steps: list[_Step]) -> Reply:
    text = read_text(ctx, name)
    if text is None:
        text = b""
    return [bitmaps.get_field(text, step.offset, step.bits, step.signed) for step in steps]


@command("BITFIELD_RO", arity=-2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="6.0.0",
         syntax="key [GET encoding offset [GET encoding offset ...]]",
         summary="Read integers of any width in a string", cost="O(1) for each of them")  # fmt: skip
def bitfield_ro(ctx: Context, argv: list[bytes]) -> Reply:
    steps = _parse_steps(ctx, argv)
    for step in steps:
        if step.kind != _GET:
            raise CommandError("ERR", "BITFIELD_RO only supports the GET subcommand")
    return _read_fields(ctx, argv[1], steps)
