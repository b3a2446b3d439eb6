"""Union, intersection and difference of sorted sets. A plain set takes part as if all its scores were 1."""

from math import isnan
from typing import Final

from broker.commands.args import Args, next_limit, to_int
from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    DENYOOM,
    OW,
    READONLY,
    RO,
    UPDATE,
    WRITE,
    Group,
    counted_keys,
    key,
)
from broker.commands.sorted_set_ranges import store
from broker.commands.sorted_sets import flat_scores, members_of
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import Scored, SortedSet
from broker.errors import CommandError, syntax_error, wrong_type
from broker.protocol.numbers import parse_float
from broker.protocol.replies import Pairs, Reply

command = Group("sorted_set").command

_UNION: Final = 0
_INTERSECTION: Final = 1
_DIFFERENCE: Final = 2

_SUM: Final = 0
_MIN: Final = 1
_MAX: Final = 2
_COUNT: Final = 3
_AGGREGATES: Final = {b"SUM": _SUM, b"MIN": _MIN, b"MAX": _MAX, b"COUNT": _COUNT}


class Source:
    """One of the sets. Neither member is set when its key is missing."""

    def __init__(self, value: object | None) -> None:
        self.zset: SortedSet | None = None
        self.plain: SetValue | None = None
        self.weight: float = 1.0
        if isinstance(value, SortedSet):
            self.zset = value
        elif isinstance(value, SetValue):
            self.plain = value
        elif value is not None:
            raise wrong_type()

    def size(self) -> int:
        if self.zset is not None:
            return len(self.zset)
        return len(self.plain) if self.plain is not None else 0

    def score(self, member: bytes) -> float | None:
        if self.zset is not None:
            return self.zset.score(member)
        return 1.0 if self.plain is not None and self.plain.has(member) else None

    def items(self) -> list[Scored]:
        """In order of score."""
        if self.zset is not None:
            return self.zset.items()
        if self.plain is None:
            return []
        return [(1.0, member) for member in self.plain.members.key_list()]


class _Request:
    """numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES] [LIMIT limit]

    Redis: zunionInterDiffGenericCommand, whose order of checks is kept: keys before options.
    """

    def __init__(self, ctx: Context, argv: list[bytes], numkeys_at: int, weighted: bool, replies: bool) -> None:
        """weighted: WEIGHTS and AGGREGATE are allowed; replies: WITHSCORES is."""
        count = to_int(argv[numkeys_at])
        if count < 1:
            assert ctx.command is not None
            name = ctx.command.wire_name.decode()
            raise CommandError("ERR", f"at least 1 input key is needed for '{name}' command")
        first = numkeys_at + 1
        if count > len(argv) - first:
            raise syntax_error()
        self.sources: list[Source] = []
        for i in range(first, first + count):
            self.sources.append(Source(ctx.db.read(argv[i])))
        self.aggregate: int = _SUM
        self.with_scores: bool = False
        self.limit: int = 0
        self.options: Args = Args(argv, first + count)
        self._weighted: bool = weighted
        self._replies: bool = replies

    def read_options(self) -> None:
        args = self.options
        while args.more():
            if self._weighted and args.left > len(self.sources) and args.flag(b"WEIGHTS"):
                for source in self.sources:
                    source.weight = _weight(args.next())
            elif self._weighted and args.left >= 2 and args.flag(b"AGGREGATE"):
                aggregate = _AGGREGATES.get(args.next().upper())
                if aggregate is None:
                    raise syntax_error()
                self.aggregate = aggregate
            elif self._replies and args.flag(b"WITHSCORES"):
                self.with_scores = True
            else:
                raise syntax_error()

    def read_limit(self) -> None:
        while self.options.more():
            self.limit = next_limit(self.options)


def _weight(text: bytes) -> float:
    value = parse_float(text)
    if value is None:
        raise CommandError("ERR", "weight value is not a float")
    return value


def _weighted(aggregate: int, score: float, weight: float) -> float:
    if aggregate == _COUNT:
        return weight
    product = score * weight
    return 0.0 if isnan(product) else product  # 0 times infinity


def _combined(aggregate: int, a: float, b: float) -> float:
    if aggregate == _SUM or aggregate == _COUNT:
        total = a + b
        return 0.0 if isnan(total) else total  # infinity minus infinity
    if aggregate == _MIN:
        return b if b < a else a
    return b if b > a else a


# -- the three operations: {member: score}


def _union(request: _Request) -> dict[bytes, float]:
    result: dict[bytes, float] = {}
    for source in sorted(request.sources, key=_size):
        for score, member in source.items():
            score = _weighted(request.aggregate, score, source.weight)
            old = result.get(member)
            result[member] = score if old is None else _combined(request.aggregate, old, score)
    return result


def _intersection(request: _Request, limit: int) -> dict[bytes, float]:
    """At most `limit` members when it is not 0."""
    ordered = sorted(request.sources, key=_size)
    smallest = ordered[0]
    others = ordered[1:]
    result: dict[bytes, float] = {}
    for score, member in smallest.items():
        total = _weighted(request.aggregate, score, smallest.weight)
        in_all = True
        for other in others:
            found = other.score(member)
            if found is None:
                in_all = False
                break
            # Redis does not look for NaN here (zunionInterDiffGenericCommand), only at sums.
            part = other.weight if request.aggregate == _COUNT else found * other.weight
            total = _combined(request.aggregate, total, part)
        if in_all:
            result[member] = total
            if len(result) == limit:
                break
    return result


def _difference(request: _Request) -> dict[bytes, float]:
    others = request.sources[1:]
    result: dict[bytes, float] = {}
    for score, member in request.sources[0].items():
        in_none = True
        for other in others:
            if other.score(member) is not None:
                in_none = False
                break
        if in_none:
            result[member] = score
    return result


def _size(source: Source) -> int:
    return source.size()


def _result(request: _Request, operation: int) -> dict[bytes, float]:
    if operation == _UNION:
        return _union(request)
    return _intersection(request, 0) if operation == _INTERSECTION else _difference(request)


def _reply(ctx: Context, argv: list[bytes], operation: int) -> Reply:
    request = _Request(ctx, argv, 1, operation != _DIFFERENCE, True)
    request.read_options()
    entries: list[Scored] = []
    for member, score in _result(request, operation).items():
        entries.append((score, member))
    entries.sort()
    return Pairs(flat_scores(entries)) if request.with_scores else members_of(entries)


def _store(ctx: Context, argv: list[bytes], operation: int, event: bytes) -> Reply:
    request = _Request(ctx, argv, 2, operation != _DIFFERENCE, False)
    request.read_options()
    return store(ctx, argv[1], _result(request, operation), event)


_STORE_KEYS: Final = [key(OW, UPDATE), counted_keys(RO, ACCESS, at=2)]


@command("ZUNION", arity=-3, flags=READONLY, keys=[counted_keys(RO, ACCESS)], since="6.2.0",
         syntax="numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] "
                "[WITHSCORES]",
         summary="Members of any of several sorted sets",
         cost="O(n + m log m), n members of all sets, m of the result")  # fmt: skip
def zunion(ctx: Context, argv: list[bytes]) -> Reply:
    return _reply(ctx, argv, _UNION)


@command("ZINTER", arity=-3, flags=READONLY, keys=[counted_keys(RO, ACCESS)], since="6.2.0",
         syntax="numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] "
                "[WITHSCORES]",
         summary="Members of all of several sorted sets",
         cost="O(n * k + m log m), n members of the smallest of k sets, m of the result")  # fmt: skip
def zinter(ctx: Context, argv: list[bytes]) -> Reply:
    return _reply(ctx, argv, _INTERSECTION)


@command("ZDIFF", arity=-3, flags=READONLY, keys=[counted_keys(RO, ACCESS)], since="6.2.0",
         syntax="numkeys key [key ...] [WITHSCORES]",
         summary="Members of the first sorted set that are in none of the others",
         cost="O(n * k + m log m), n members of the first of k sets, m of the result")  # fmt: skip
def zdiff(ctx: Context, argv: list[bytes]) -> Reply:
    return _reply(ctx, argv, _DIFFERENCE)


@command("ZUNIONSTORE", arity=-4, flags=WRITE | DENYOOM, keys=_STORE_KEYS, since="2.0.0",
         syntax="destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]",
         summary="Store the members of any of several sorted sets",
         cost="O(n + m log m), n members of all sets, m of the result",
         differs="Wakes who waits for the key")  # fmt: skip
def zunionstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv, _UNION, b"zunionstore")


@command("ZINTERSTORE", arity=-4, flags=WRITE | DENYOOM, keys=_STORE_KEYS, since="2.0.0",
         syntax="destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]",
         summary="Store the members of all of several sorted sets",
         cost="O(n * k + m log m), n members of the smallest of k sets, m of the result")  # fmt: skip
def zinterstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv, _INTERSECTION, b"zinterstore")


@command("ZDIFFSTORE", arity=-4, flags=WRITE | DENYOOM, keys=_STORE_KEYS, since="6.2.0",
         syntax="destination numkeys key [key ...]",
         summary="Store the members of the first sorted set that are in none of the others",
         cost="O(n * k + m log m), n members of the first of k sets, m of the result")  # fmt: skip
def zdiffstore(ctx: Context, argv: list[bytes]) -> Reply:
    return _store(ctx, argv, _DIFFERENCE, b"zdiffstore")


@command("ZINTERCARD", arity=-3, flags=READONLY, keys=[counted_keys(RO, ACCESS)], since="7.0.0",
         syntax="numkeys key [key ...] [LIMIT limit]", summary="Number of members of all of several sorted sets",
         cost="O(n * k), n members of the smallest of k sets")  # fmt: skip
def zintercard(ctx: Context, argv: list[bytes]) -> Reply:
    request = _Request(ctx, argv, 1, False, False)
    request.read_limit()
    return len(_intersection(request, request.limit))
