"""Random requests of strings, counters and bits to what Redis 8.8 has of them, for the recorded conversations."""

from collections.abc import Callable

from support.newer_requests import Dice, Request

_DIGESTS = (b"9555e8555c62dcfd", b"9555E8555C62DCFD", b"2d06800538d394c2", b"0123456789abcdef", b"zz")
_NUMBERS = (b"9223372036854775807", b"-9223372036854775808", b"-5", b"3", b"10", b"100", b"0", b"x", b"1.5")
_REALS = (b"0.1", b"2.5", b"-3.75", b"1e3", b"inf", b"-inf", b"nan", b"x", b"1e4932", b"-1e4932", b"3", b"0")


def _text(dice: Dice) -> bytes:
    return dice.of(b"hello", b"world", b"10", b"", b"12345")


def _condition(dice: Dice) -> Request:
    return dice.parts(
        [dice.of(b"IFEQ", b"IFNE", b"ifeq"), _text(dice)], [dice.of(b"IFDEQ", b"IFDNE"), dice.of(*_DIGESTS)]
    )


def _expiry(dice: Dice) -> Request:
    """In the far future, or long ago: the clocks of the two differ."""
    return dice.parts(
        [dice.of(b"EX", b"PX"), dice.of(b"1000000", b"0", b"-1", b"x")],
        [b"EXAT", dice.of(b"33177117420", b"1", b"x")],
        [b"PXAT", dice.of(b"33177117420000", b"1", b"0")],
    )


def _set(dice: Dice) -> Request:
    condition = dice.maybe(0.7, *_condition(dice))
    get = [] if b"zz" in condition else dice.maybe(0.3, b"GET")  # Redis replies twice, the value and the error
    return [b"SET", dice.key(), _text(dice), *condition, *get, *dice.maybe(0.3, *_expiry(dice))]


def _delex(dice: Dice) -> Request:
    return [b"DELEX", dice.key(), *dice.maybe(0.9, *_condition(dice)), *dice.maybe(0.05, b"x")]


def _msetex(dice: Dice) -> Request:
    pairs = [word for _ in range(2) for word in (dice.key(), _text(dice))]
    head = [b"MSETEX", dice.of(b"2", b"2", b"2", b"1", b"0", b"x", b"3"), *pairs]
    expiry = dice.maybe(0.3, *dice.parts([b"EX", b"1000000"], [b"PXAT", b"33177117420000"], [b"PX", b"x"]))
    return [*head, *dice.maybe(0.5, dice.of(b"NX", b"XX", b"KEEPTTL")), *expiry]


def _increx(dice: Dice) -> Request:
    numbers, by = (_NUMBERS, b"BYINT") if dice.rng.random() < 0.5 else (_REALS, b"BYFLOAT")
    parts = [
        dice.maybe(0.8, by, dice.of(*numbers)),
        dice.maybe(0.4, b"LBOUND", dice.of(*numbers)),
        dice.maybe(0.4, b"UBOUND", dice.of(*numbers)),
        dice.maybe(0.4, b"SATURATE"),
        dice.maybe(0.2, *_expiry(dice)),
        dice.maybe(0.15, b"ENX"),
        dice.maybe(0.1, b"PERSIST"),
    ]
    return [b"INCREX", dice.key(), *dice.shuffled(*parts)]


def _bitop(dice: Dice) -> Request:
    sources = [dice.key() for _ in range(dice.rng.randint(1, 4))]
    return [b"BITOP", dice.of(b"DIFF", b"DIFF1", b"ANDOR", b"ONE", b"one", b"AND", b"NOT"), dice.key(), *sources]


def _bits(dice: Dice) -> Request:
    place = dice.of(b"0", b"7", b"9", b"100", b"-1")
    return dice.parts(
        [b"SETBIT", dice.key(), place, dice.of(b"0", b"1", b"2")],
        [b"BITCOUNT", dice.key(), dice.number(), dice.number(), *dice.maybe(0.3, dice.of(b"BIT", b"BYTE", b"x"))],
        [b"BITPOS", dice.key(), dice.of(b"0", b"1", b"x"), *dice.maybe(0.5, dice.number(), dice.number())],
        [b"BITFIELD", dice.key(), *dice.maybe(0.3, b"OVERFLOW", dice.of(b"SAT", b"FAIL", b"x")), b"INCRBY",
         dice.of(b"u4", b"i8", b"u64"), dice.of(b"#1", b"3", b"-1"), dice.number()],
    )  # fmt: skip


def _plain(dice: Dice) -> Request:
    return dice.parts(
        [b"GET", dice.key()], [b"DIGEST", dice.key()], [b"SET", dice.key(), dice.of(*_NUMBERS, *_REALS)],
        [b"APPEND", dice.key(), _text(dice)], [b"LPUSH", dice.key(), b"x"],
        [b"SETRANGE", dice.key(), dice.of(b"0", b"3"), _text(dice)], [b"GETEX", dice.key(), *_expiry(dice)],
        [b"LCS", dice.key(), dice.key(), *dice.maybe(0.5, dice.of(b"IDX", b"LEN"))], [b"DEL", dice.key()],
        [b"SORT", dice.key(), *dice.maybe(0.5, b"STORE", dice.key())], [b"PERSIST", dice.key()],
    )  # fmt: skip


REQUESTS: list[tuple[float, Callable[[Dice], Request]]] = [
    (3, _plain), (2, _set), (1, _delex), (1, _msetex), (3, _increx), (1, _bitop), (1, _bits)
]  # fmt: skip
