"""Numbers as Redis reads and prints them: strict integers, doubles as text."""

import math
from typing import Final

I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1


def parse_int(text: bytes) -> int | None:
    """The signed 64-bit integer that `text` spells exactly, or None.

    No blanks, no plus sign, no leading zeros, no underscores (int() takes all of them). Redis: string2ll in util.c.
    """
    n = len(text)
    if n == 0 or n > 20:
        return None
    if not text.isdigit():  # ASCII digits only for bytes
        if text[0] != 45 or n == 1 or not text[1:].isdigit() or text[1] == 48:
            return None
    elif text[0] == 48 and n > 1:
        return None
    value = int(text)
    if value > I64_MAX or value < I64_MIN:
        return None
    return value


_SPELLED: Final[dict[bytes, float]] = {
    b"inf": math.inf,
    b"+inf": math.inf,
    b"-inf": -math.inf,
    b"infinity": math.inf,
    b"+infinity": math.inf,
    b"-infinity": -math.inf,
}
_FLOAT_CHARS: Final = frozenset(b"0123456789+-.eE")


def parse_float(text: bytes) -> float | None:
    """The double that `text` spells, or None. NaN is refused; inf is taken. Redis: getDoubleFromObject (strtod)."""
    for char in text:
        if char not in _FLOAT_CHARS:
            return _parse_odd_float(text)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isinf(value) else value  # strtod says ERANGE for 1e999


def _parse_odd_float(text: bytes) -> float | None:
    lowered = text.lower()
    if lowered in _SPELLED:
        return _SPELLED[lowered]
    if b"0x" in lowered:  # strtod reads hexadecimal
        try:
            return float.fromhex(lowered.decode("ascii"))
        except (ValueError, OverflowError):
            return None
    return None


def format_double(value: float) -> bytes:
    """A double as Redis prints it: 17 significant digits, integers without a point, shortest form otherwise.

    Redis: d2string in util.c (fpconv's shortest form), `inf`, `-inf`.
    """
    if value == math.inf:
        return b"inf"
    if value == -math.inf:
        return b"-inf"
    if math.isnan(value):
        return b"nan"
    if value == 0:
        return b"-0" if math.copysign(1.0, value) < 0 else b"0"
    if -1e15 < value < 1e15 and value == int(value):
        return b"%d" % int(value)
    return b"%.17g" % value


def format_long_double(value: float) -> bytes:
    """As INCRBYFLOAT prints: fixed notation, up to 17 decimals, no trailing zeros. Redis: ld2string, LD_STR_HUMAN."""
    text = b"%.17f" % value
    if b"." in text:
        text = text.rstrip(b"0").rstrip(b".")
    return b"0" if text == b"-0" else text
