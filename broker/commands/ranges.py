"""Integers that have to lie between two bounds, with the error that names them."""

from typing import Final

from broker.commands.args import to_int
from broker.errors import CommandError
from broker.protocol.numbers import I64_MAX, parse_int

MAX_DRAWS: Final = 1 << 24  # with repetition; Redis has no limit, and serves such a request until it runs out of memory


def to_int_between(text: bytes, low: int, high: int) -> int:
    """Redis: getRangeLongFromObjectOrReply without a text of its own, whose grammar is kept."""
    value = to_int(text)
    if value < low or value > high:
        raise CommandError("ERR", f"value is out of range, value must between {low} and {high}")
    return value


def to_c_int(text: bytes) -> int:
    """A signed 32-bit integer. Redis: getIntFromObjectOrReply."""
    return to_int_between(text, -(1 << 31), (1 << 31) - 1)


def above_zero(text: bytes, what: str) -> int:
    value = parse_int(text)
    if value is None or value <= 0:
        raise CommandError("ERR", f"{what} should be greater than 0")
    return value


def to_draws(text: bytes) -> int:
    """How many elements to draw at random; negative: one may come up again."""
    return to_int_between(text, -I64_MAX, I64_MAX)
