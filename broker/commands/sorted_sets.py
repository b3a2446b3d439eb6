"""Sorted sets: members with scores, one by one. Ranges are in sorted_set_ranges.py, several sets at once in
sorted_set_ops.py."""

from math import isnan
from typing import Final

from broker.commands.args import Args, to_float, to_positive, to_timeout_ms
from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.counted_pops import PopOptions, first_of_type
from broker.commands.ranges import MAX_DRAWS, to_draws
from broker.commands.registry import (
    ACCESS,
    BLOCKING,
    DELETE,
    DENYOOM,
    FAST,
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
from broker.datatypes.sorted_sets import Scored, SortedSet, packed_zset
from broker.errors import CommandError, syntax_error, wrong_arity, wrong_type
from broker.keyspace.events import ZSET
from broker.protocol.numbers import I64_MAX, format_double, parse_float
from broker.protocol.replies import NULL_ARRAY, Double, Pairs, Reply

command = Group("sorted_set").command

_SCAN_WHOLE: Final = 128  # members that ZSCAN returns in one go, whatever COUNT says: Redis's default for a listpack


def read_zset(ctx: Context, name: bytes) -> SortedSet | None:
    """The sorted set at a key, for a reading command."""
    value = ctx.db.read(name)
    if value is None or isinstance(value, SortedSet):
        return value
    raise wrong_type()


def peek_zset(ctx: Context, name: bytes) -> SortedSet | None:
    """The sorted set at a key, for a writing command."""
    value = ctx.db.peek(name)
    if value is None or isinstance(value, SortedSet):
        return value
    raise wrong_type()


# -- adding


class _AddOptions:
    def __init__(self) -> None:
        self.only_new: bool = False
        self.only_existing: bool = False
        self.greater: bool = False
        self.less: bool = False
        self.count_changed: bool = False
        self.increment: bool = False
        self.first: int = 2  # of the pairs


def _add_options(argv: list[bytes]) -> _AddOptions:
    options = _AddOptions()
    args = Args(argv, 2)
    while args.more():
        if args.flag(b"NX"):
            options.only_new = True
        elif args.flag(b"XX"):
            options.only_existing = True
        elif args.flag(b"GT"):
            options.greater = True
        elif args.flag(b"LT"):
            options.less = True
        elif args.flag(b"CH"):
            options.count_changed = True
        elif args.flag(b"INCR"):
            options.increment = True
        else:
            break
    options.first = int(args.position)
    return options


def _check_pairs(argv: list[bytes], options: _AddOptions) -> None:
    left = len(argv) - options.first
    if left == 0 or left % 2:
        raise syntax_error()
    if options.only_new and options.only_existing:
        raise CommandError("ERR", "XX and NX options at the same time are not compatible")
    if options.greater + options.less + options.only_new > 1:
        raise CommandError("ERR", "GT, LT, and/or NX options at the same time are not compatible")
    if options.increment and left > 2:
        raise CommandError("ERR", "INCR option supports a single increment-element pair")


@command("ZADD", arity=-4, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="1.2.0",
         syntax="key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
         summary="Add members to a sorted set, or give them other scores",
         cost="O(log n) for each member, n members of the set",
         differs="A score of -0 is stored as 0")  # fmt: skip
def zadd(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 4:
        score = parse_float(argv[2])
        if score is not None:  # else it may be an option
            return _add_one(ctx, argv[1], score, argv[3])
    options = _add_options(argv)
    _check_pairs(argv, options)
    first = options.first
    if options.increment:
        return _increment(ctx, argv[1], argv[first], argv[first + 1], options)
    scores: list[float] = []
    for i in range(first, len(argv), 2):
        scores.append(to_float(argv[i]))
    zset = peek_zset(ctx, argv[1])
    if zset is None:
        if options.only_existing:
            return 0
        packed = packed_zset(scores, argv[first + 1 :: 2]) if len(scores) > 1 else None
        if packed is not None:
            ctx.db.put(argv[1], packed)
            ctx.changed(argv[1], b"zadd", ZSET)
            return len(scores)
        zset = SortedSet()
        ctx.db.put(argv[1], zset)  # without XX the first member will be in it
    added = 0
    updated = 0
    at = first + 1
    for value in scores:
        member = argv[at]
        at += 2
        old = zset.score(member)
        if old is None:
            if not options.only_existing:
                zset.set(member, value)
                added += 1
        elif _wants(options, old, value):
            zset.set(member, value)
            updated += 1
    if added or updated:
        ctx.changed(argv[1], b"zadd", ZSET)
    return added + updated if options.count_changed else added


def _add_one(ctx: Context, name: bytes, score: float, member: bytes) -> Reply:
    """ZADD key score member: by far the most common form."""
    found = ctx.db.peek(name)
    if isinstance(found, SortedSet):
        old = found.score(member)
        if old is not None and old == score:
            return 0
        is_new = found.set(member, score)
    elif found is None:
        zset = SortedSet()
        is_new = zset.set(member, score)
        ctx.db.put(name, zset)
    else:
        raise wrong_type()
    ctx.changed(name, b"zadd", ZSET)
    return 1 if is_new else 0


def _wants(options: _AddOptions, old: float, score: float) -> bool:
    """Whether a member that is there gets this score."""
    if options.only_new or old == score:
        return False
    return not (options.greater and score < old) and not (options.less and score > old)


def _increment(ctx: Context, name: bytes, text: bytes, member: bytes, options: _AddOptions) -> Reply:
    """Add to a score; the member is made when it is not there. The new score, None when the options forbid it."""
    amount = to_float(text)
    zset = peek_zset(ctx, name)
    old = zset.score(member) if zset is not None else None
    if old is None:
        if options.only_existing:
            return None
        if zset is None:
            zset = SortedSet()
            ctx.db.put(name, zset)
        zset.set(member, amount)
        ctx.changed(name, b"zincr", ZSET)
        return Double(amount)
    assert zset is not None
    if options.only_new:
        return None
    score = old + amount
    if isnan(score):
        raise CommandError("ERR", "resulting score is not a number (NaN)")
    if (options.greater and score <= old) or (options.less and score >= old):
        return None
    if score != old:
        zset.set(member, score)
        ctx.changed(name, b"zincr", ZSET)
    return Double(score)


@command("ZINCRBY", arity=4, flags=WRITE | DENYOOM | FAST, keys=[key(RW, ACCESS, UPDATE)], since="1.2.0",
         syntax="key increment member", summary="Add to the score of a member of a sorted set",
         cost="O(log n), n members of the set")  # fmt: skip
def zincrby(ctx: Context, argv: list[bytes]) -> Reply:
    return _increment(ctx, argv[1], argv[2], argv[3], _AddOptions())


# -- removing


@command("ZREM", arity=-3, flags=WRITE | FAST, keys=[key(RW, DELETE)], since="1.2.0",
         syntax="key member [member ...]", summary="Remove members from a sorted set",
         cost="O(log n) for each member, n members of the set")  # fmt: skip
def zrem(ctx: Context, argv: list[bytes]) -> Reply:
    zset = peek_zset(ctx, argv[1])
    if zset is None:
        return 0
    removed = 0
    for i in range(2, len(argv)):
        if zset.remove(argv[i]):
            removed += 1
    if removed:
        ctx.changed(argv[1], b"zrem", ZSET)
        drop_if_empty(ctx, argv[1], zset)
    return removed


def drop_if_empty(ctx: Context, name: bytes, zset: SortedSet) -> None:
    if zset.members.size == 0:
        ctx.dropped(name)


# -- reading


@command("ZCARD", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="1.2.0",
         syntax="key", summary="Number of members of a sorted set", cost="O(1)")  # fmt: skip
def zcard(ctx: Context, argv: list[bytes]) -> Reply:
    zset = read_zset(ctx, argv[1])
    return 0 if zset is None else len(zset)


@command("ZSCORE", arity=3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="1.2.0",
         syntax="key member", summary="The score of a member of a sorted set", cost="O(1)")  # fmt: skip
def zscore(ctx: Context, argv: list[bytes]) -> Reply:
    zset = read_zset(ctx, argv[1])
    return None if zset is None else _score_reply(zset, argv[2])


@command("ZMSCORE", arity=-3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="6.2.0",
         syntax="key member [member ...]", summary="The scores of several members of a sorted set",
         cost="O(n), n members asked for")  # fmt: skip
def zmscore(ctx: Context, argv: list[bytes]) -> Reply:
    zset = read_zset(ctx, argv[1])
    replies: list[Reply] = []
    for i in range(2, len(argv)):
        replies.append(None if zset is None else _score_reply(zset, argv[i]))
    return replies


def _score_reply(zset: SortedSet, member: bytes) -> Reply:
    score = zset.score(member)
    return None if score is None else Double(score)


def _rank(ctx: Context, argv: list[bytes], reverse: bool) -> Reply:
    with_score = len(argv) > 3
    if len(argv) > 4:
        raise wrong_arity("zrevrank" if reverse else "zrank")
    if with_score and argv[3].upper() != b"WITHSCORE":
        raise syntax_error()
    zset = read_zset(ctx, argv[1])
    rank = -1 if zset is None else zset.rank(argv[2])
    if zset is None or rank < 0:
        return NULL_ARRAY if with_score else None
    if reverse:
        rank = len(zset) - 1 - rank
    return [rank, _score_reply(zset, argv[2])] if with_score else rank


@command("ZRANK", arity=-3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key member [WITHSCORE]", summary="The place of a member of a sorted set, lowest score first",
         cost="O(log n), n members of the set")  # fmt: skip
def zrank(ctx: Context, argv: list[bytes]) -> Reply:
    return _rank(ctx, argv, False)


@command("ZREVRANK", arity=-3, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key member [WITHSCORE]", summary="The place of a member of a sorted set, highest score first",
         cost="O(log n), n members of the set")  # fmt: skip
def zrevrank(ctx: Context, argv: list[bytes]) -> Reply:
    return _rank(ctx, argv, True)


def flat_scores(entries: list[Scored]) -> list[Reply]:
    """member, score, member, score ..."""
    flat: list[Reply] = []
    for score, member in entries:
        flat.append(member)
        flat.append(Double(score))
    return flat


@command("ZRANDMEMBER", arity=-2, flags=READONLY, keys=[key(RO, ACCESS)], since="6.2.0",
         syntax="key [count [WITHSCORES]]", summary="Members of a sorted set at random",
         cost="O(k log n), k members returned, n members of the set",
         differs="With repetition 2^24 are drawn at most")  # fmt: skip
def zrandmember(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2:
        one = read_zset(ctx, argv[1])
        return None if one is None else one.random_member(ctx.keyspace.rng)
    count = to_draws(argv[2])
    with_scores = len(argv) == 4
    if len(argv) > 4 or (with_scores and argv[3].upper() != b"WITHSCORES"):
        raise syntax_error()
    if (with_scores and abs(count) > I64_MAX // 2) or count < -MAX_DRAWS:
        raise CommandError("ERR", "value is out of range")
    zset = read_zset(ctx, argv[1])
    if zset is None:
        return []
    drawn = _draw(ctx, zset, count)
    return Pairs(flat_scores(drawn)) if with_scores else members_of(drawn)


def _draw(ctx: Context, zset: SortedSet, count: int) -> list[Scored]:
    """`count` different members in order of rank, or -count that may repeat."""
    rng = ctx.keyspace.rng
    size = len(zset)
    if count >= size:
        return zset.items()
    ranks = rng.sample(range(size), count) if count >= 0 else [rng.randrange(size) for _ in range(-count)]
    drawn: list[Scored] = []
    for rank in ranks:
        drawn.extend(zset.slice(rank, rank + 1))
    return drawn


def members_of(entries: list[Scored]) -> list[Reply]:
    members: list[Reply] = []
    for entry in entries:
        members.append(entry[1])
    return members


@command("ZSCAN", arity=-3, flags=READONLY, keys=[key(RO, ACCESS)], since="2.8.0",
         syntax="key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
         summary="Walk over a sorted set, some members at a time",
         cost="O(1) for each call, O(n) for a whole walk, n members of the set",
         differs="Cursors are other numbers; somewhat more than COUNT may come")  # fmt: skip
def zscan(ctx: Context, argv: list[bytes]) -> Reply:
    cursor = parse_cursor(argv[2])
    zset = read_zset(ctx, argv[1])
    if zset is None:
        return scan_reply(0, [])  # before the options are looked at, as Redis does
    options = parse_options(argv, 3, False, b"NOSCORES")
    if len(zset) <= _SCAN_WHOLE:
        cursor = 0
        members = [entry[1] for entry in zset.items()]
    else:
        cursor, members = zset.members.scan(cursor, options.count)
    found: list[Reply] = []
    if options.names_only:
        found.extend(select(members, options))
        return scan_reply(cursor, found)
    for member in select(members, options):
        score = zset.score(member)
        assert score is not None
        found.append(member)
        found.append(format_double(score))  # a bulk string in RESP3, too
    return scan_reply(cursor, found)


# -- popping


def _pop_one(ctx: Context, name: bytes, zset: SortedSet, lowest: bool) -> Scored:
    entry = zset.pop_first() if lowest else zset.pop_last()
    ctx.changed(name, b"zpopmin" if lowest else b"zpopmax", ZSET)
    drop_if_empty(ctx, name, zset)
    return entry


def _pop_several(ctx: Context, name: bytes, zset: SortedSet, lowest: bool, count: int) -> list[Scored]:
    """At least one; the first popped is the first returned."""
    size = len(zset)
    if lowest:
        entries = zset.pop_slice(0, count)
    else:
        entries = zset.pop_slice(max(size - count, 0), size)
        entries.reverse()
    ctx.changed(name, b"zpopmin" if lowest else b"zpopmax", ZSET)
    drop_if_empty(ctx, name, zset)
    return entries


def _pop(ctx: Context, argv: list[bytes], lowest: bool) -> Reply:
    if len(argv) > 3:
        raise syntax_error()
    count = to_positive(argv[2]) if len(argv) == 3 else 1
    zset = peek_zset(ctx, argv[1])
    if zset is None or count == 0:
        return []
    if len(argv) == 3:
        return Pairs(flat_scores(_pop_several(ctx, argv[1], zset, lowest, count)))
    score, member = _pop_one(ctx, argv[1], zset, lowest)
    return [member, Double(score)]


@command("ZPOPMIN", arity=-2, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="5.0.0",
         syntax="key [count]", summary="Remove and return the members of a sorted set with the lowest scores",
         cost="O(k log n), k members returned, n members of the set")  # fmt: skip
def zpopmin(ctx: Context, argv: list[bytes]) -> Reply:
    return _pop(ctx, argv, True)


@command("ZPOPMAX", arity=-2, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="5.0.0",
         syntax="key [count]", summary="Remove and return the members of a sorted set with the highest scores",
         cost="O(k log n), k members returned, n members of the set")  # fmt: skip
def zpopmax(ctx: Context, argv: list[bytes]) -> Reply:
    return _pop(ctx, argv, False)


# -- popping from the first of several


def _blocking_pop(ctx: Context, argv: list[bytes], lowest: bool) -> Reply:
    timeout = to_timeout_ms(argv[-1], ctx.now_ms)
    names = argv[1:-1]
    name = first_of_type(ctx, names, b"zset")
    if name is None:
        return Blocked(names, timeout, argv, NULL_ARRAY, b"zset")
    zset = peek_zset(ctx, name)
    assert zset is not None
    score, member = _pop_one(ctx, name, zset, lowest)
    ctx.journal_argv([b"ZPOPMIN" if lowest else b"ZPOPMAX", name])
    return [name, member, Double(score)]


@command("BZPOPMIN", arity=-3, flags=WRITE | FAST | BLOCKING,
         keys=[keys_to_end(RW, ACCESS, DELETE, last=-2)], since="5.0.0", syntax="key [key ...] timeout",
         summary="Remove and return the lowest member of the first sorted set that has any, or wait for one",
         cost="O(k + log n), k keys, n members of the set")  # fmt: skip
def bzpopmin(ctx: Context, argv: list[bytes]) -> Reply:
    return _blocking_pop(ctx, argv, True)


@command("BZPOPMAX", arity=-3, flags=WRITE | FAST | BLOCKING,
         keys=[keys_to_end(RW, ACCESS, DELETE, last=-2)], since="5.0.0", syntax="key [key ...] timeout",
         summary="Remove and return the highest member of the first sorted set that has any, or wait for one",
         cost="O(k + log n), k keys, n members of the set")  # fmt: skip
def bzpopmax(ctx: Context, argv: list[bytes]) -> Reply:
    return _blocking_pop(ctx, argv, False)


def _pop_counted(ctx: Context, options: PopOptions) -> Reply:
    """[key, [[member, score] ...]] of the first sorted set that is there; None when there is none."""
    name = first_of_type(ctx, options.keys, b"zset")
    if name is None:
        return None
    zset = peek_zset(ctx, name)
    assert zset is not None
    rows: list[Reply] = []
    for score, member in _pop_several(ctx, name, zset, options.at_first, options.count):
        rows.append([member, Double(score)])
    ctx.journal_argv([b"ZPOPMIN" if options.at_first else b"ZPOPMAX", name, b"%d" % len(rows)])
    return [name, rows]


@command("ZMPOP", arity=-4, flags=WRITE, keys=[counted_keys(RW, ACCESS, DELETE)], since="7.0.0",
         syntax="numkeys key [key ...] <MIN | MAX> [COUNT count]",
         summary="Remove and return members of the first sorted set that has any",
         cost="O(k + m log n), k keys, m members returned, n members of the set")  # fmt: skip
def zmpop(ctx: Context, argv: list[bytes]) -> Reply:
    found = _pop_counted(ctx, PopOptions(argv, 1, b"MIN", b"MAX"))
    return NULL_ARRAY if found is None else found


@command("BZMPOP", arity=-5, flags=WRITE | BLOCKING, keys=[counted_keys(RW, ACCESS, DELETE, at=2)], since="7.0.0",
         syntax="timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
         summary="Remove and return members of the first sorted set that has any, or wait for one",
         cost="O(k + m log n), k keys, m members returned, n members of the set")  # fmt: skip
def bzmpop(ctx: Context, argv: list[bytes]) -> Reply:
    options = PopOptions(argv, 2, b"MIN", b"MAX")
    timeout = to_timeout_ms(argv[1], ctx.now_ms)
    found = _pop_counted(ctx, options)
    return Blocked(options.keys, timeout, argv, NULL_ARRAY, b"zset") if found is None else found
