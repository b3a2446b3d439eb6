"""Random requests of what is newer than Redis 7.0: streams in all their breadth, and all types of value.

Plain dice, no Hypothesis: the conversations that are recorded with them (tests/differential/recorded) are kept.
"""

from collections.abc import Callable
from random import Random

Request = list[bytes]

_KEYS = [b"k1", b"k2", b"k3"]
_IDS = [b"1-1", b"1-2", b"2-1", b"3", b"4-4", b"5-0", b"5-5", b"6-1"]
_ODD_IDS = [b"-", b"+", b"(1-1", b"(3", b"1-", b"-1", b"x", b"", b"$", b">", b"1-*", b"*", b"0", b"0-1", b"7-*"]


class Dice:
    """Parts of requests, drawn at random."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def of(self, *choices: bytes) -> bytes:
        return self.rng.choice(choices)

    def maybe(self, chance: float, *words: bytes) -> Request:
        return list(words) if self.rng.random() < chance else []

    def parts(self, *choices: Request) -> Request:
        return self.rng.choice(choices)

    def shuffled(self, *parts: Request) -> Request:
        """The parts, seldom in another order."""
        order = list(parts)
        if self.rng.random() < 0.3:
            self.rng.shuffle(order)
        return [word for part in order for word in part]

    def key(self) -> bytes:
        return self.rng.choice(_KEYS)

    def group(self) -> bytes:
        return self.of(b"g1", b"g2")

    def consumer(self) -> bytes:
        return self.of(b"alice", b"bob")

    def id(self) -> bytes:
        return self.rng.choice(_IDS if self.rng.random() < 0.85 else _ODD_IDS)

    def ids(self) -> Request:
        return [self.id() for _ in range(self.rng.randint(1, 3))]

    def counted_ids(self) -> Request:
        ids = self.ids()
        count = b"%d" % len(ids) if self.rng.random() < 0.92 else self.of(b"0", b"x", b"9", b"1", b"-1")
        return [b"IDS", count, *ids]

    def number(self) -> bytes:
        return self.of(b"0", b"1", b"2", b"5", b"-1", b"x", b"100", b"9223372036854775807")

    def few(self) -> bytes:
        return self.of(b"0", b"1", b"2", b"5", b"-1", b"x", b"1", b"2")

    def member(self) -> bytes:
        return self.of(b"a", b"b", b"c", b"1")

    def members(self) -> Request:
        return [self.member() for _ in range(self.rng.randint(1, 3))]

    def fields(self) -> Request:
        """`FIELDS n field [field ...]`"""
        members = self.members()
        return [b"FIELDS", b"%d" % len(members), *members]

    def pairs(self) -> Request:
        """Fields and values of an entry; seldom one value too few."""
        pairs: Request = []
        for _ in range(self.rng.randint(1, 2)):
            pairs += [self.of(b"f", b"g", b""), self.of(b"v", b"1", b"\x00\xff", b"")]
        return pairs if self.rng.random() < 0.97 else pairs[:-1]

    def policy(self, chance: float = 0.5) -> Request:
        return self.maybe(chance, self.of(b"KEEPREF", b"DELREF", b"ACKED", b"acked"))

    def trim(self, chance: float) -> Request:
        if self.rng.random() > chance:
            return []
        kind = self.of(b"MAXLEN", b"MINID")
        amounts = [b"0", b"1", b"2", b"5-0", b"2-1"] if kind == b"MINID" else [b"0", b"1", b"2", b"3", b"x", b"-1"]
        return [
            kind,
            *self.maybe(0.4, self.of(b"=", b"~")),
            self.rng.choice(amounts),
            *self.maybe(0.25, b"LIMIT", self.of(b"1", b"0", b"-1", b"2", b"100", b"x")),
        ]

    def keys_and_ids(self, *after: bytes) -> Request:
        count = self.rng.choice([1, 1, 1, 2])
        ids = count if self.rng.random() < 0.95 else count + 1
        return [b"STREAMS", *[self.key() for _ in range(count)], *[self.rng.choice(after) for _ in range(ids)]]


def _xreadgroup(d: Dice) -> Request:
    if d.rng.random() < 0.5:
        return [b"XREADGROUP", b"GROUP", d.group(), d.consumer(), b"STREAMS", d.key(), b">"]
    options = d.shuffled(
        [b"GROUP", d.group(), d.consumer()],
        d.maybe(0.4, b"COUNT", d.few()),
        d.maybe(0.2, b"BLOCK", d.of(b"1", b"-1", b"x")),
        d.maybe(0.2, b"NOACK"),
        d.maybe(0.3, b"CLAIM", d.of(b"0", b"100000", b"-1", b"x")),
    )
    return [b"XREADGROUP", *options, *d.keys_and_ids(b">", b">", b">", b"0", b"1-1", b"$", b"+", b"x", b"-")]


def _xread(d: Dice) -> Request:
    options = d.shuffled(d.maybe(0.4, b"COUNT", d.few()), d.maybe(0.3, b"BLOCK", d.of(b"1", b"-1", b"x")))
    return [b"XREAD", *options, *d.maybe(0.03, b"NOACK"), *d.keys_and_ids(b"$", b"+", b"0", b"2-1", b"-", b">", b"3")]


def _xadd(d: Dice) -> Request:
    options = d.shuffled(
        d.maybe(0.1, b"NOMKSTREAM"),
        d.policy(0.2),
        d.trim(0.35),
        d.maybe(0.05, b"IDMP", d.of(b"p", b"q", b""), d.of(b"i", b"j", b"")),
        d.maybe(0.05, b"IDMPAUTO", d.of(b"p", b"")),
    )
    return [b"XADD", d.key(), *options, d.id(), *d.pairs()]


def _xclaim(d: Dice) -> Request:
    options = d.shuffled(
        d.maybe(0.2, b"IDLE", d.of(b"1000", b"-5", b"x")),
        d.maybe(0.2, b"TIME", d.of(b"1000", b"x", b"99999999999999")),
        d.maybe(0.2, b"RETRYCOUNT", d.number()),
        d.maybe(0.4, b"FORCE"),
        d.maybe(0.3, b"JUSTID"),
        d.maybe(0.2, b"LASTID", d.id()),
    )
    least = d.of(b"0", b"0", b"100000", b"x", b"-1")
    return [b"XCLAIM", d.key(), d.group(), d.consumer(), least, *d.ids(), *options]


def _xnack(d: Dice) -> Request:
    mode = d.of(b"SILENT", b"FAIL", b"FATAL", b"FAIL", b"fatal", b"x")
    options = d.shuffled(d.counted_ids(), d.maybe(0.3, b"RETRYCOUNT", d.number()), d.maybe(0.4, b"FORCE"))
    return [b"XNACK", d.key(), d.group(), mode, *options, *d.maybe(0.02, b"zz")]


def _xpending(d: Dice) -> Request:
    idle = d.maybe(0.3, b"IDLE", d.of(b"0", b"100000", b"-5", b"x"))
    between = d.parts([b"-", b"+", b"10"], [d.id(), d.id(), d.of(b"5", b"1", b"x", b"-1")])
    return [b"XPENDING", d.key(), d.group(), *d.parts([], [*idle, *between, *d.maybe(0.4, d.consumer())])]


def _xcfgset(d: Dice) -> Request:
    options = d.shuffled(
        d.maybe(0.5, b"IDMP-DURATION", d.of(b"10", b"0", b"100", b"x", b"86401")),
        d.maybe(0.5, b"IDMP-MAXSIZE", d.of(b"1", b"2", b"0", b"100", b"10001")),
        d.maybe(0.05, b"IDMP-MAXSIZE", b"3"),
    )
    return [b"XCFGSET", d.key(), *options]


def _xadd_once(d: Dice) -> Request:
    name = d.parts([b"IDMP", d.of(b"p", b"q"), d.of(b"i", b"j")], [b"IDMPAUTO", d.of(b"p", b"q")])
    return [b"XADD", d.key(), *name, b"*", *d.pairs()]


_Make = Callable[[Dice], Request]
_STREAMS: list[tuple[float, _Make]] = [
    (6, lambda d: [b"XADD", d.key(), d.rng.choice(_IDS), *d.pairs()]),
    (5, _xadd),
    (5, _xreadgroup),
    (3, _xread),
    (2, lambda d: [b"XDEL", d.key(), *d.ids()]),
    (2, lambda d: [b"XTRIM", d.key(), *d.shuffled(d.trim(0.95), d.policy())]),
    (2, lambda d: [d.of(b"XRANGE", b"XREVRANGE"), d.key(), d.id(), d.id(), *d.maybe(0.3, b"COUNT", d.few())]),
    (
        4,
        lambda d: [
            *(b"XGROUP", b"CREATE", d.key(), d.group(), d.of(b"0", b"0", b"$", b"1-1", b"x", b"-")),
            *d.shuffled(d.maybe(0.6, b"MKSTREAM"), d.maybe(0.3, b"ENTRIESREAD", d.number())),
        ],
    ),
    (1, lambda d: [b"XGROUP", b"SETID", d.key(), d.group(), d.id(), *d.maybe(0.4, b"ENTRIESREAD", d.number())]),
    (0.5, lambda d: [b"XGROUP", b"DESTROY", d.key(), d.group()]),
    (1, lambda d: [b"XGROUP", d.of(b"CREATECONSUMER", b"DELCONSUMER"), d.key(), d.group(), d.consumer()]),
    (2, lambda d: [b"XACK", d.key(), d.group(), *d.ids()]),
    (3, _xpending),
    (3, _xclaim),
    (
        3,
        lambda d: [
            *(b"XAUTOCLAIM", d.key(), d.group(), d.consumer(), d.of(b"0", b"0", b"100000", b"x"), d.of(b"0", d.id())),
            *d.shuffled(d.maybe(0.4, b"COUNT", d.few()), d.maybe(0.3, b"JUSTID")),
        ],
    ),
    (2, lambda d: [b"XINFO", b"STREAM", d.key(), *d.maybe(0.7, b"FULL", *d.maybe(0.5, b"COUNT", d.few()))]),
    (2, lambda d: [b"XINFO", b"GROUPS", d.key()]),
    (1, lambda d: [b"XINFO", b"CONSUMERS", d.key(), d.group()]),
    (
        1.5,
        lambda d: [
            *(b"XSETID", d.key(), d.id()),
            *d.shuffled(d.maybe(0.4, b"ENTRIESADDED", d.number()), d.maybe(0.4, b"MAXDELETEDID", d.id())),
        ],
    ),
    (3, lambda d: [b"XACKDEL", d.key(), d.group(), *d.shuffled(d.policy(), d.counted_ids())]),
    (3, lambda d: [b"XDELEX", d.key(), *d.shuffled(d.policy(), d.counted_ids())]),
    (3, _xnack),
    (1, _xcfgset),
    (2, _xadd_once),
    (0.5, lambda d: [b"XIDMPRECORD", d.key(), d.of(b"r", b"s", b""), d.of(b"i", b""), d.id()]),
    (0.6, lambda d: d.parts([b"DEL", d.key()], [b"SET", d.key(), b"x"], [b"RENAME", d.key(), d.key()])),
    (0.4, lambda d: [b"COPY", d.key(), d.key(), *d.maybe(0.5, b"REPLACE")]),
]

_TIMES = ([], [b"PERSIST"], [b"EX", b"100"], [b"PXAT", b"1"])
_VALUES: list[tuple[float, _Make]] = [
    (
        2,
        lambda d: [
            *(b"SET", d.key(), d.member()),
            *d.parts([], [b"XX"], [b"NX"], [b"GET"], [b"KEEPTTL"], [b"EX", b"1000"], [b"EXAT", b"1"]),
        ],
    ),
    (1, lambda d: d.parts([b"SETEX", d.key(), b"100", b"v"], [b"GETSET", d.key(), b"v"], [b"GETDEL", d.key()])),
    (1, lambda d: [b"GETEX", d.key(), *d.parts(*_TIMES)]),
    (1, lambda d: [b"MSETEX", b"1", d.key(), b"v", *d.parts([], [b"EX", b"100"], [b"XX"], [b"NX"])]),
    (1, lambda d: d.parts([b"MSET", d.key(), b"1", d.key(), b"2"], [b"DELEX", d.key()], [b"INCREX", d.key()])),
    (1, lambda d: d.parts([b"APPEND", d.key(), b"x"], [b"INCR", d.key()], [b"BITOP", b"NOT", d.key(), d.key()])),
    (2, lambda d: d.parts([b"DEL", d.key()], [b"RENAME", d.key(), d.key()], [b"COPY", d.key(), d.key(), b"REPLACE"])),
    (1, lambda d: d.parts([b"EXPIRE", d.key(), d.of(b"100", b"-1")], [b"PERSIST", d.key()], [b"GET", d.key()])),
    (2, lambda d: [d.of(b"LPUSH", b"RPUSH", b"LPUSHX"), d.key(), *d.members()]),
    (1, lambda d: d.parts([b"LMOVE", d.key(), d.key(), b"LEFT", b"RIGHT"], [b"LPOP", d.key()], [b"RPOP", d.key()])),
    (2, lambda d: [d.of(b"SADD", b"SADD", b"SREM"), d.key(), *d.members()]),
    (1, lambda d: [d.of(b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE"), d.key(), d.key(), d.key()]),
    (2, lambda d: [b"HSET", d.key(), d.member(), b"1", d.member(), b"2"]),
    (1, lambda d: [b"HDEL", d.key(), *d.members()]),
    (1, lambda d: [d.of(b"HINCRBY", b"HINCRBYFLOAT"), d.key(), d.member(), b"1"]),
    (1, lambda d: [b"HEXPIRE", d.key(), d.of(b"100", b"0"), *d.parts([], [b"NX"], [b"XX"]), *d.fields()]),
    (1, lambda d: [d.of(b"HPERSIST", b"HGETDEL", b"HTTL"), d.key(), *d.fields()]),
    (1, lambda d: [b"HGETEX", d.key(), *d.parts(*_TIMES), *d.fields()]),
    (
        1,
        lambda d: [
            *(b"HSETEX", d.key(), *d.parts([], [b"FNX"], [b"FXX"])),
            *d.parts([], [b"EX", b"100"], [b"PXAT", b"1"], [b"KEEPTTL"]),
            *(b"FIELDS", b"2", d.member(), b"1", d.member(), b"2"),
        ],
    ),
    (2, lambda d: [b"ZADD", d.key(), *d.parts([], [b"XX"], [b"NX"], [b"CH"], [b"INCR"]), d.of(b"1", b"2"), d.member()]),
    (1, lambda d: [d.of(b"ZUNIONSTORE", b"ZINTERSTORE", b"ZDIFFSTORE"), d.key(), b"2", d.key(), d.key()]),
    (1, lambda d: d.parts([b"ZRANGESTORE", d.key(), d.key(), b"0", b"-1"], [b"ZREM", d.key(), d.member()])),
]

FAMILIES = {"streams": _STREAMS, "values": [*_VALUES, *[(weight / 8, make) for weight, make in _STREAMS]]}


def conversation(seed: int, family: str) -> list[Request]:
    """Requests that one client makes, one after another."""
    dice = Dice(Random(seed))
    weights = [weight for weight, _ in FAMILIES[family]]
    makers = [make for _, make in FAMILIES[family]]
    return [make(dice) for make in dice.rng.choices(makers, weights, k=dice.rng.randint(5, 25))]
