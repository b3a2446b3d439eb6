"""Sets: members under one key, and the algebra of several keys."""

from typing import Final, cast

from broker.commands.args import Args, next_limit, to_positive
from broker.commands.context import Context
from broker.commands.ranges import MAX_DRAWS, above_zero, to_draws
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
    WRITE,
    Group,
    counted_keys,
    key,
    keys_to_end,
)
from broker.commands.scan import parse_cursor, parse_options, scan_reply, select
from broker.datatypes.sets import (
    SetValue,
    difference,
    difference_size,
    intersection,
    intersection_size,
    packed_set,
    union,
    union_size,
)
from broker.errors import CommandError, syntax_error, wrong_type
from broker.keyspace.events import GENERIC, SET
from broker.protocol.replies import Reply, Set

command = Group("set").command
_JOURNALED_AT_ONCE: Final = 1024  # members in one SREM: a request may not have any number of arguments


def _read(ctx: Context, name: bytes) -> SetValue | None:
    """The set at a key, for a reading command."""
    value = ctx.db.read(name)
    if value is None or isinstance(value, SetValue):
        return value
    raise wrong_type()


def _peek(ctx: Context, name: bytes) -> SetValue | None:
    """The set at a key, for a writing command."""
    value = ctx.db.peek(name)
    if value is None or isinstance(value, SetValue):
        return value
    raise wrong_type()


def _set_of(members: list[bytes]) -> Set:
    return Set(cast(list[Reply], members))  # no copy: nobody else holds the list


# -- one set


@command("SADD", arity=-3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="1.0.0",
         syntax="key member [member ...]", summary="Add members to a set", cost="O(n), n members")  # fmt: skip
def sadd(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    members = _peek(ctx, name)
    if members is None:
        packed = packed_set(argv[2:]) if len(argv) > 3 else None
        if packed is not None:
            ctx.db.put(name, packed)
            ctx.changed(name, b"sadd", SET)
            return len(argv) - 2
        members = SetValue()
        ctx.db.put(name, members)
    added = 0
    for i in range(2, len(argv)):
        if members.add(argv[i]):
            added += 1
    if added:
        ctx.changed(name, b"sadd", SET)
    return added


@command("SREM", arity=-3, flags=WRITE | FAST, keys=[key(RW, DELETE)], since="1.0.0",
         syntax="key member [member ...]", summary="Remove members from a set", cost="O(n), n members")  # fmt: skip
def srem(ctx: Context, argv: list[bytes]) -> Reply:
    members = _peek(ctx, argv[1])
    if members is None:
        return 0
    removed = 0
    for i in range(2, len(argv)):
        if members.remove(argv[i]):
            removed += 1
    if removed:
        ctx.changed(argv[1], b"srem", SET)
        if not members.members.size:
            ctx.dropped(argv[1])
    return removed


@command("SCARD", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="1.0.0",
         syntax="key", summary="Number of members of a set", cost="O(1)")  # fmt: skip
def scard(ctx: Context, argv: list[bytes]) -> Reply:
    members = _read(ctx, argv[1])
    return 0 if members is None else len(members)


@command("SISMEMBER", arity=3, flags=READONLY | FAST, keys=[key(RO)], since="1.0.0",
         syntax="key member", summary="Whether a set has a member", cost="O(1)")  # fmt: skip
def sismember(ctx: Context, argv: list[bytes]) -> Reply:
    members = _read(ctx, argv[1])
    return 1 if members is not None and members.has(argv[2]) else 0


@command("SMISMEMBER", arity=-3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="6.2.0",
         syntax="key member [member ...]", summary="Which of several a set has as members",
         cost="O(n), n members asked for")  # fmt: skip
def smismember(ctx: Context, argv: list[bytes]) -> Reply:
    members = _read(ctx, argv[1])
    found: list[Reply] = []
    for i in range(2, len(argv)):
        found.append(1 if members is not None and members.has(argv[i]) else 0)
    return found


@command("SMEMBERS", arity=2, flags=READONLY, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key", summary="All members of a set", cost="O(n), n members")  # fmt: skip
def smembers(ctx: Context, argv: list[bytes]) -> Reply:
    members = _read(ctx, argv[1])
    return _set_of(members.members.key_list()) if members is not None else Set([])


@command("SSCAN", arity=-3, flags=READONLY, keys=[key(RO, ACCESS)], since="2.8.0",
         syntax="key cursor [MATCH pattern] [COUNT count]", summary="Walk over a set, some members at a time",
         cost="O(1) for each call, O(n) for a whole walk, n members",
         differs="Cursors are other numbers; somewhat more than COUNT may come")  # fmt: skip
def sscan(ctx: Context, argv: list[bytes]) -> Reply:
    cursor = parse_cursor(argv[2])
    members = _read(ctx, argv[1])
    if members is None:
        return scan_reply(0, [])  # before the options are looked at, as Redis does
    options = parse_options(argv, 3, False)
    cursor, names = members.members.scan(cursor, options.count)
    return scan_reply(cursor, list(select(names, options)))


# -- drawing


@command("SRANDMEMBER", arity=-2, flags=READONLY, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key [count]", summary="Members of a set at random", cost="O(n), n members returned",
         differs="With repetition 2^24 are drawn at most")  # fmt: skip
def srandmember(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    if len(argv) == 2:
        members = _read(ctx, argv[1])
        return members.members.random_key(ctx.keyspace.rng) if members is not None else None
    count = to_draws(argv[2])
    if count < -MAX_DRAWS:
        raise CommandError("ERR", "value is out of range")
    members = _read(ctx, argv[1])
    return members.members.draw(count, ctx.keyspace.rng) if members is not None else []


@command("SPOP", arity=-2, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="1.0.0",
         syntax="key [count]", summary="Remove members of a set at random, and return them",
         cost="O(n), n members removed")  # fmt: skip
def spop(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    if len(argv) == 3:
        return _pop_several(ctx, argv[1], to_positive(argv[2]))
    members = _peek(ctx, argv[1])
    if members is None:
        return None
    member = members.members.random_key(ctx.keyspace.rng)
    assert member is not None, "a set is never empty"
    members.remove(member)
    ctx.changed(argv[1], b"spop", SET)
    ctx.journal(b"SREM", argv[1], member)
    if not members.members.size:
        ctx.dropped(argv[1])
    return member


def _pop_several(ctx: Context, name: bytes, count: int) -> Reply:
    members = _peek(ctx, name)
    if members is None or count == 0:
        return Set([])
    if count >= len(members):
        popped = members.members.key_list()
        ctx.changed(name, b"spop", SET)
        ctx.dropped(name)
        ctx.journal(b"DEL", name)
        return _set_of(popped)
    popped = members.members.sample(count, ctx.keyspace.rng)
    for member in popped:
        members.remove(member)
    ctx.changed(name, b"spop", SET)
    for i in range(0, count, _JOURNALED_AT_ONCE):
        ctx.journal_argv([b"SREM", name] + popped[i : i + _JOURNALED_AT_ONCE])
    return _set_of(popped)


@command("SMOVE", arity=4, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE), key(RW, INSERT, at=2)], since="1.0.0",
         syntax="source destination member", summary="Move a member from one set to another", cost="O(1)")  # fmt: skip
def smove(ctx: Context, argv: list[bytes]) -> Reply:
    source_name, name, member = argv[1], argv[2], argv[3]
    found = ctx.db.peek(source_name)
    if found is None:
        return 0  # whatever the destination is
    source = _peek(ctx, source_name)
    destination = _peek(ctx, name)
    assert source is not None
    if source is destination:
        return 1 if source.has(member) else 0
    if not source.remove(member):
        return 0
    ctx.changed(source_name, b"srem", SET)
    if not source.members.size:
        ctx.dropped(source_name)
    if destination is None:
        destination = SetValue()
        ctx.db.put(name, destination)
    if destination.add(member):
        ctx.changed(name, b"sadd", SET)
    return 1


# -- several sets


def _operands(ctx: Context, argv: list[bytes], first: int) -> list[SetValue | None]:
    """The sets at argv[first:]. Every one is looked at: a wrong type wins over an empty result."""
    found: list[SetValue | None] = []
    for i in range(first, len(argv)):
        found.append(_read(ctx, argv[i]))
    return found


def _present(sets: list[SetValue | None]) -> list[SetValue]:
    return [one for one in sets if one is not None]


def _intersection(sets: list[SetValue | None]) -> list[bytes]:
    present = _present(sets)
    return intersection(present) if len(present) == len(sets) else []


def _difference(sets: list[SetValue | None]) -> list[bytes]:
    first = sets[0]
    return difference(first, _present(sets[1:])) if first is not None else []


@command("SINTER", arity=-2, flags=READONLY, keys=[keys_to_end(RO, ACCESS)], since="1.0.0",
         syntax="key [key ...]", summary="Members that all of several sets have",
         cost="O(n * m), n members of the smallest of m sets")  # fmt: skip
def sinter(ctx: Context, argv: list[bytes]) -> Reply:
    return _set_of(_intersection(_operands(ctx, argv, 1)))


@command("SUNION", arity=-2, flags=READONLY, keys=[keys_to_end(RO, ACCESS)], since="1.0.0",
         syntax="key [key ...]", summary="Members that any of several sets has",
         cost="O(n), n members of all sets")  # fmt: skip
def sunion(ctx: Context, argv: list[bytes]) -> Reply:
    return _set_of(union(_present(_operands(ctx, argv, 1))))


@command("SDIFF", arity=-2, flags=READONLY, keys=[keys_to_end(RO, ACCESS)], since="1.0.0",
         syntax="key [key ...]", summary="Members of the first set that no other one has",
         cost="O(n), n members of all sets")  # fmt: skip
def sdiff(ctx: Context, argv: list[bytes]) -> Reply:
    return _set_of(_difference(_operands(ctx, argv, 1)))


class _CountOptions:
    """numkeys key [key ...] [APPROX] [LIMIT limit]"""

    def __init__(self, argv: list[bytes], may_approximate: bool) -> None:
        count = above_zero(argv[1], "numkeys")
        if count > len(argv) - 2:
            raise CommandError("ERR", "Number of keys can't be greater than number of args")
        self.stop: int = 2 + count  # of the keys
        self.limit: int = 0
        args = Args(argv, self.stop)
        while args.more():
            if may_approximate and args.flag(b"APPROX"):
                continue  # what is exact is near enough
            self.limit = next_limit(args)


@command("SINTERCARD", arity=-3, flags=READONLY, keys=[counted_keys(RO, ACCESS)], since="7.0.0",
         syntax="numkeys key [key ...] [LIMIT limit]", summary="Number of members that all of several sets have",
         cost="O(n * m), n members of the smallest of m sets")  # fmt: skip
def sintercard(ctx: Context, argv: list[bytes]) -> Reply:
    options = _CountOptions(argv, False)
    sets = _operands(ctx, argv[: options.stop], 2)
    present = _present(sets)
    return intersection_size(present, options.limit) if len(present) == len(sets) else 0


@command("SUNIONCARD", arity=-3, flags=READONLY, keys=[counted_keys(RO, ACCESS)], since="8.10.0",
         syntax="numkeys key [key ...] [APPROX] [LIMIT limit]",
         summary="Number of members that any of several sets has",
         cost="O(n), n members of all sets",
         differs="APPROX counts exactly")  # fmt: skip
def sunioncard(ctx: Context, argv: list[bytes]) -> Reply:
    options = _CountOptions(argv, True)
    return union_size(_present(_operands(ctx, argv[: options.stop], 2)), options.limit)


@command("SDIFFCARD", arity=-3, flags=READONLY, keys=[counted_keys(RO, ACCESS)], since="8.10.0",
         syntax="numkeys key [key ...] [LIMIT limit]",
         summary="Number of members of the first set that no other one has",
         cost="O(n), n members of all sets")  # fmt: skip
def sdiffcard(ctx: Context, argv: list[bytes]) -> Reply:
    options = _CountOptions(argv, False)
    sets = _operands(ctx, argv[: options.stop], 2)
    first = sets[0]
    return 0 if first is None else difference_size(first, _present(sets[1:]), options.limit)


def _store(ctx: Context, name: bytes, members: list[bytes], event: bytes) -> int:
    """Make these the set at a key, whatever was there; none delete it."""
    if not members:
        if ctx.db.discard(name):
            ctx.changed(name, b"del", GENERIC)
        return 0
    made = SetValue()
    for member in members:
        made.add(member)
    ctx.db.replace(name, made)
    ctx.changed(name, event, SET)
    return len(members)


@command("SINTERSTORE", arity=-3, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE), keys_to_end(RO, ACCESS, at=2)],
         since="1.0.0", syntax="destination key [key ...]", summary="Store what all of several sets have",
         cost="O(n * m), n members of the smallest of m sets")  # fmt: skip
def sinterstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _intersection(_operands(ctx, argv, 2)), b"sinterstore")


@command("SUNIONSTORE", arity=-3, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE), keys_to_end(RO, ACCESS, at=2)],
         since="1.0.0", syntax="destination key [key ...]", summary="Store what any of several sets has",
         cost="O(n), n members of all sets")  # fmt: skip
def sunionstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], union(_present(_operands(ctx, argv, 2))), b"sunionstore")


@command("SDIFFSTORE", arity=-3, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE), keys_to_end(RO, ACCESS, at=2)],
         since="1.0.0", syntax="destination key [key ...]", summary="Store what the first set has and no other one",
         cost="O(n), n members of all sets")  # fmt: skip
def sdiffstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv[1], _difference(_operands(ctx, argv, 2)), b"sdiffstore")
