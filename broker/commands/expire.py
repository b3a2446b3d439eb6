"""Time-outs of keys. Kept, and journaled, as absolute Unix times in ms; a time in the past deletes the key at once."""

from typing import Final

from broker.commands.args import to_int
from broker.commands.context import Context
from broker.commands.registry import ACCESS, FAST, READONLY, RO, RW, UPDATE, WRITE, Group, key
from broker.errors import CommandError, invalid_expire
from broker.keyspace.events import GENERIC
from broker.protocol.numbers import I64_MAX, I64_MIN
from broker.protocol.replies import Reply

command = Group("generic").command
_CONDITIONS: Final = "[NX | XX | GT | LT]"

# Bits of the condition
_NX: Final = 1  # only if it has no time-out
_XX: Final = 2  # only if it has one
_GT: Final = 4  # only if the new one is later; none at all is the latest
_LT: Final = 8  # only if the new one is earlier
_WORDS: Final[dict[bytes, int]] = {b"NX": _NX, b"XX": _XX, b"GT": _GT, b"LT": _LT}


def _condition(argv: list[bytes]) -> int:
    """The words after the time. Redis: parseExtendedExpireArgumentsOrReply."""
    given = 0
    for i in range(3, len(argv)):
        bit = _WORDS.get(argv[i].upper())
        if bit is None:
            raise CommandError("ERR", f"Unsupported option {_c_text(argv[i])}")
        given |= bit
    if given & _NX and given != _NX:
        raise CommandError("ERR", "NX and XX, GT or LT options at the same time are not compatible")
    if given & _GT and given & _LT:
        raise CommandError("ERR", "GT and LT options at the same time are not compatible")
    return given


def _c_text(text: bytes) -> str:
    return text.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")  # C's %s ends at a zero byte


def _allows(condition: int, when: int, current: int | None) -> bool:
    if current is None:
        return not condition & (_XX | _GT)
    if condition & _NX or (condition & _GT and when <= current):
        return False
    return not (condition & _LT and when >= current)


def _set_expiry(ctx: Context, argv: list[bytes], unit: int, base: int, command_name: str) -> int:
    """unit: milliseconds in one of the argument's; base: the Unix time in ms that it counts from."""
    condition = _condition(argv) if len(argv) > 3 else 0
    when = to_int(argv[2]) * unit
    if when > I64_MAX - base or when < I64_MIN:
        raise invalid_expire(command_name)
    when += base
    name = argv[1]
    db = ctx.db
    if db.peek(name) is None or (condition and not _allows(condition, when, db.expiry(name))):
        return 0
    if when <= ctx.now_ms and not ctx.session.is_replay:
        db.discard(name)
        ctx.changed(name, b"del", GENERIC)
        ctx.journal(b"DEL", name)
        return 1
    db.set_expiry(name, when)
    ctx.changed(name, b"expire", GENERIC)
    ctx.journal(b"PEXPIREAT", name, b"%d" % when)
    return 1


@command("EXPIRE", arity=-3, flags=WRITE | FAST, keys=[key(RW, UPDATE)], acl=("keyspace",), since="1.0.0",
         syntax=f"key seconds {_CONDITIONS}", summary="Let a key go after some seconds", cost="O(1)")  # fmt: skip
def expire(ctx: Context, argv: list[bytes]) -> Reply:
    return _set_expiry(ctx, argv, 1000, ctx.now_ms, "expire")


@command("PEXPIRE", arity=-3, flags=WRITE | FAST, keys=[key(RW, UPDATE)], acl=("keyspace",), since="2.6.0",
         syntax=f"key milliseconds {_CONDITIONS}", summary="Let a key go after some milliseconds",
         cost="O(1)")  # fmt: skip
def pexpire(ctx: Context, argv: list[bytes]) -> Reply:
    return _set_expiry(ctx, argv, 1, ctx.now_ms, "pexpire")


@command("EXPIREAT", arity=-3, flags=WRITE | FAST, keys=[key(RW, UPDATE)], acl=("keyspace",), since="1.2.0",
         syntax=f"key unix-time-seconds {_CONDITIONS}", summary="Let a key go at a Unix time",
         cost="O(1)")  # fmt: skip
def expireat(ctx: Context, argv: list[bytes]) -> Reply:
    return _set_expiry(ctx, argv, 1000, 0, "expireat")


@command("PEXPIREAT", arity=-3, flags=WRITE | FAST, keys=[key(RW, UPDATE)], acl=("keyspace",), since="2.6.0",
         syntax=f"key unix-time-milliseconds {_CONDITIONS}", summary="Let a key go at a Unix time in milliseconds",
         cost="O(1)")  # fmt: skip
def pexpireat(ctx: Context, argv: list[bytes]) -> Reply:
    return _set_expiry(ctx, argv, 1, 0, "pexpireat")


@command("PERSIST", arity=2, flags=WRITE | FAST, keys=[key(RW, UPDATE)], acl=("keyspace",), since="2.2.0",
         syntax="key", summary="Take the time-out from a key", cost="O(1)")  # fmt: skip
def persist(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.db.peek(argv[1]) is None or not ctx.db.clear_expiry(argv[1]):
        return 0
    ctx.changed(argv[1], b"persist", GENERIC)
    return 1


def _expiry(ctx: Context, name: bytes) -> int:
    """Unix time in ms, -1 for a key without a time-out, -2 for none such."""
    if ctx.db.look(name) is None:
        return -2
    when = ctx.db.expiry(name)
    return -1 if when is None else when


@command("TTL", arity=2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], acl=("keyspace",), since="1.0.0",
         syntax="key", summary="Seconds until a key goes", cost="O(1)")  # fmt: skip
def ttl(ctx: Context, argv: list[bytes]) -> Reply:
    when = _expiry(ctx, argv[1])
    return when if when < 0 else (max(when - ctx.now_ms, 0) + 500) // 1000  # rounded, as Redis does


@command("PTTL", arity=2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], acl=("keyspace",), since="2.6.0",
         syntax="key", summary="Milliseconds until a key goes", cost="O(1)")  # fmt: skip
def pttl(ctx: Context, argv: list[bytes]) -> Reply:
    when = _expiry(ctx, argv[1])
    return when if when < 0 else max(when - ctx.now_ms, 0)


@command("EXPIRETIME", arity=2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], acl=("keyspace",), since="7.0.0",
         syntax="key", summary="Unix time at which a key goes", cost="O(1)")  # fmt: skip
def expiretime(ctx: Context, argv: list[bytes]) -> Reply:
    when = _expiry(ctx, argv[1])
    return when if when < 0 else (when + 500) // 1000


@command("PEXPIRETIME", arity=2, flags=READONLY | FAST, keys=[key(RO, ACCESS)], acl=("keyspace",), since="7.0.0",
         syntax="key", summary="Unix time in milliseconds at which a key goes", cost="O(1)")  # fmt: skip
def pexpiretime(ctx: Context, argv: list[bytes]) -> Reply:
    return _expiry(ctx, argv[1])
