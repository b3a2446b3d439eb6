"""Ranges of sorted sets: by rank, by score, by text; to return, to count, to remove, to store.

Every range becomes a range of ranks, start <= rank < stop, and the rest is the same for all.
"""

from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    OW,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    Group,
    key,
)
from broker.commands.sorted_sets import drop_if_empty, flat_scores, members_of, peek_zset, read_zset
from broker.datatypes.sorted_sets import Scored, SortedSet, from_scores
from broker.errors import CommandError, syntax_error
from broker.keyspace.events import GENERIC, ZSET
from broker.protocol.numbers import parse_float
from broker.protocol.replies import Pairs, Reply

command = Group("sorted_set").command

_RANK: Final = 0
_SCORE: Final = 1
_TEXT: Final = 2
_UNDECIDED: Final = -1  # options of ZRANGE may say

_BLANKS: Final = b" \t\n\v\f\r"
_DIGITS: Final = frozenset(b"0123456789+-.eE")


# -- the two ends of a range


def _c_double(text: bytes) -> float:
    """A bound as strtod reads it: nothing is 0, blanks may lead, what is too great is infinite.

    Redis: zslParseRange in t_zset.c, which is laxer than what reads the scores of ZADD.
    """
    value = parse_float(text)
    if value is not None:
        return value
    text = text.split(b"\0")[0]  # the end of a C string
    if not text:
        return 0.0
    text = text.lstrip(_BLANKS)
    value = parse_float(text)
    if value is None and text and all([char in _DIGITS for char in text]):
        try:
            value = float(text)
        except ValueError:
            value = None
    if value is None:
        raise CommandError("ERR", "min or max is not a float")
    return value


class Bounds:
    """What a range asks for; `low` and `high` are only what its kind needs."""

    def __init__(self, kind: int, low: bytes, high: bytes) -> None:
        self.kind: int = kind
        self.low_rank: int = 0
        self.high_rank: int = 0
        self.low_score: float = 0.0
        self.high_score: float = 0.0
        self.low_text: bytes = b""
        self.high_text: bytes = b""
        self.low_open: bool = False  # the bound itself is not in the range
        self.high_open: bool = False
        self.low_end: int = 0  # by text: -1 is `-`, 1 is `+`
        self.high_end: int = 0
        if kind == _RANK:
            self.low_rank = to_int(low)
            self.high_rank = to_int(high)
        elif kind == _SCORE:
            self.low_open = low[:1] == b"("
            self.low_score = _c_double(low[1:] if self.low_open else low)
            self.high_open = high[:1] == b"("
            self.high_score = _c_double(high[1:] if self.high_open else high)
        else:
            self._read_texts(low, high)

    def _read_texts(self, low: bytes, high: bytes) -> None:
        self.low_end = _text_end(low)
        self.high_end = _text_end(high)
        self.low_open = low[:1] == b"("
        self.high_open = high[:1] == b"("
        self.low_text = low[1:]
        self.high_text = high[1:]

    def start(self, zset: SortedSet) -> int:
        """The first rank of the range, counted from the lowest."""
        if self.kind == _SCORE:
            return zset.rank_of_score(self.low_score, self.low_open)
        if self.low_end:
            return 0 if self.low_end < 0 else len(zset)
        return zset.rank_of_text(self.low_text, self.low_open)

    def stop(self, zset: SortedSet) -> int:
        """The rank behind the last one of the range."""
        if self.kind == _SCORE:
            return zset.rank_of_score(self.high_score, not self.high_open)
        if self.high_end:
            return 0 if self.high_end < 0 else len(zset)
        return zset.rank_of_text(self.high_text, not self.high_open)

    def ranks(self, zset: SortedSet, reverse: bool) -> tuple[int, int]:
        """(start, stop), counted from the lowest even when the range is reversed."""
        if self.kind != _RANK:
            return self.start(zset), self.stop(zset)
        size = len(zset)
        low = self.low_rank
        high = self.high_rank
        if low < 0:
            low = max(low + size, 0)
        high = high + size + 1 if high < 0 else min(high, size - 1) + 1
        return (size - high, size - low) if reverse else (low, high)


def _text_end(text: bytes) -> int:
    """-1 for `-`, 1 for `+`, 0 for `[text` and `(text`. Redis: zslParseLexRangeItem."""
    mark = text[:1]
    if mark == b"[" or mark == b"(":
        return 0
    if text == b"-":
        return -1
    if text == b"+":
        return 1
    raise CommandError("ERR", "min or max not valid string range item")


# -- returning a range


class _RangeOptions:
    def __init__(self, kind: int, reverse: bool, reverse_allowed: bool) -> None:
        self.kind: int = kind
        self.reverse: bool = reverse
        self.reverse_allowed: bool = reverse_allowed  # REV may still be said
        self.with_scores: bool = False
        self.offset: int = 0
        self.limit: int = -1  # all

    def read(self, argv: list[bytes], position: int, store: bool) -> None:
        """Redis: zrangeGenericCommand, whose order of checks is kept."""
        args = Args(argv, position)
        while args.more():
            if not store and args.flag(b"WITHSCORES"):
                self.with_scores = True
            elif args.left >= 3 and args.flag(b"LIMIT"):
                self.offset = args.next_int()
                self.limit = args.next_int()
            elif self.reverse_allowed and args.flag(b"REV"):
                self.reverse = True
                self.reverse_allowed = False
            elif self.kind == _UNDECIDED and args.flag(b"BYLEX"):
                self.kind = _TEXT
            elif self.kind == _UNDECIDED and args.flag(b"BYSCORE"):
                self.kind = _SCORE
            else:
                raise syntax_error()
        if self.kind == _UNDECIDED:
            self.kind = _RANK
        if self.limit != -1 and self.kind == _RANK:
            raise CommandError(
                "ERR", "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
            )
        if self.with_scores and self.kind == _TEXT:
            raise CommandError("ERR", "syntax error, WITHSCORES not supported in combination with BYLEX")

    def bounds(self, first: bytes, second: bytes) -> Bounds:
        """A reversed range of scores or texts is given as max, min."""
        if self.reverse and self.kind != _RANK:
            return Bounds(self.kind, second, first)
        return Bounds(self.kind, first, second)

    def entries(self, zset: SortedSet, bounds: Bounds) -> list[Scored]:
        start, stop = bounds.ranks(zset, self.reverse)
        if self.kind == _RANK:
            pass  # LIMIT is refused there, but for `LIMIT n -1`, which Redis lets pass without effect
        elif self.offset < 0 or self.limit == 0:
            return []
        elif self.reverse:
            stop -= self.offset
            if self.limit > 0:
                start = max(start, stop - self.limit)
        else:
            start += self.offset
            if self.limit > 0:
                stop = min(stop, start + self.limit)
        entries = zset.slice(start, stop)
        if self.reverse:
            entries.reverse()
        return entries


def _range(ctx: Context, argv: list[bytes], kind: int, reverse: bool) -> Reply:
    options = _RangeOptions(kind, reverse, kind == _UNDECIDED)
    options.read(argv, 4, False)
    bounds = options.bounds(argv[2], argv[3])
    zset = read_zset(ctx, argv[1])
    if zset is None:
        return []
    entries = options.entries(zset, bounds)
    return Pairs(flat_scores(entries)) if options.with_scores else members_of(entries)


@command("ZRANGE", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="1.2.0",
         syntax="key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
         summary="A range of a sorted set, by rank, score or text",
         cost="O(log n + k), k members returned, n members of the set")  # fmt: skip
def zrange(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, _UNDECIDED, False)


@command("ZREVRANGE", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="1.2.0",
         syntax="key start stop [WITHSCORES]", summary="A range of a sorted set by rank, highest score first",
         cost="O(log n + k), k members returned, n members of the set")  # fmt: skip
def zrevrange(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, _RANK, True)


@command("ZRANGEBYSCORE", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="1.0.5",
         syntax="key min max [WITHSCORES] [LIMIT offset count]", summary="A range of a sorted set by score",
         cost="O(log n + k), k members returned, n members of the set")  # fmt: skip
def zrangebyscore(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, _SCORE, False)


@command("ZREVRANGEBYSCORE", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="2.2.0",
         syntax="key max min [WITHSCORES] [LIMIT offset count]",
         summary="A range of a sorted set by score, highest first",
         cost="O(log n + k), k members returned, n members of the set")  # fmt: skip
def zrevrangebyscore(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, _SCORE, True)


@command("ZRANGEBYLEX", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="2.8.9",
         syntax="key min max [LIMIT offset count]", summary="A range of a sorted set of equal scores by text",
         cost="O(log n + k), k members returned, n members of the set")  # fmt: skip
def zrangebylex(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, _TEXT, False)


@command("ZREVRANGEBYLEX", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="2.8.9",
         syntax="key max min [LIMIT offset count]",
         summary="A range of a sorted set of equal scores by text, last first",
         cost="O(log n + k), k members returned, n members of the set")  # fmt: skip
def zrevrangebylex(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, _TEXT, True)


# -- storing a range


def store(ctx: Context, name: bytes, scores: dict[bytes, float], event: bytes) -> int:
    """Put a sorted set where anything may have been; an empty one is no key. The number of members."""
    if scores:
        ctx.db.replace(name, from_scores(scores))
        ctx.changed(name, event, ZSET)
    elif ctx.db.discard(name):
        ctx.changed(name, b"del", GENERIC)
    return len(scores)


@command("ZRANGESTORE", arity=-5, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE), key(RO, ACCESS, at=2)], since="6.2.0",
         syntax="dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
         summary="Store a range of a sorted set at another key",
         cost="O(log n + k), k members stored, n members of the set")  # fmt: skip
def zrangestore(ctx: Context, argv: list[bytes]) -> Reply:
    options = _RangeOptions(_UNDECIDED, False, True)
    options.read(argv, 5, True)
    bounds = options.bounds(argv[3], argv[4])
    zset = read_zset(ctx, argv[2])
    scores: dict[bytes, float] = {}
    if zset is not None:
        for score, member in options.entries(zset, bounds):
            scores[member] = score
    return store(ctx, argv[1], scores, b"zrangestore")


# -- counting a range


def _count(ctx: Context, argv: list[bytes], kind: int) -> Reply:
    bounds = Bounds(kind, argv[2], argv[3])
    zset = read_zset(ctx, argv[1])
    return 0 if zset is None else max(bounds.stop(zset) - bounds.start(zset), 0)


@command("ZCOUNT", arity=4, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="2.0.0",
         syntax="key min max", summary="Number of members of a sorted set in a range of scores",
         cost="O(log n), n members of the set")  # fmt: skip
def zcount(ctx: Context, argv: list[bytes]) -> Reply:
    return _count(ctx, argv, _SCORE)


@command("ZLEXCOUNT", arity=4, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="2.8.9",
         syntax="key min max", summary="Number of members of a sorted set of equal scores in a range of texts",
         cost="O(log n), n members of the set")  # fmt: skip
def zlexcount(ctx: Context, argv: list[bytes]) -> Reply:
    return _count(ctx, argv, _TEXT)


# -- removing a range


def _remove(ctx: Context, argv: list[bytes], kind: int, event: bytes) -> Reply:
    bounds = Bounds(kind, argv[2], argv[3])
    zset = peek_zset(ctx, argv[1])
    if zset is None:
        return 0
    start, stop = bounds.ranks(zset, False)
    removed = len(zset.pop_slice(start, stop))
    if removed:
        ctx.changed(argv[1], event, ZSET)
        drop_if_empty(ctx, argv[1], zset)
    return removed


@command("ZREMRANGEBYRANK", arity=4, flags=WRITE, keys=[key(RW, DELETE)], since="2.0.0",
         syntax="key start stop", summary="Remove a range of ranks from a sorted set",
         cost="O(log n + k), k members removed, n members of the set")  # fmt: skip
def zremrangebyrank(ctx: Context, argv: list[bytes]) -> Reply:
    return _remove(ctx, argv, _RANK, b"zremrangebyrank")


@command("ZREMRANGEBYSCORE", arity=4, flags=WRITE, keys=[key(RW, DELETE)], since="1.2.0",
         syntax="key min max", summary="Remove a range of scores from a sorted set",
         cost="O(log n + k), k members removed, n members of the set")  # fmt: skip
def zremrangebyscore(ctx: Context, argv: list[bytes]) -> Reply:
    return _remove(ctx, argv, _SCORE, b"zremrangebyscore")


@command("ZREMRANGEBYLEX", arity=4, flags=WRITE, keys=[key(RW, DELETE)], since="2.8.9",
         syntax="key min max", summary="Remove a range of texts from a sorted set of equal scores",
         cost="O(log n + k), k members removed, n members of the set")  # fmt: skip
def zremrangebylex(ctx: Context, argv: list[bytes]) -> Reply:
    return _remove(ctx, argv, _TEXT, b"zremrangebylex")
