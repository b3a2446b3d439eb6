"""INCRBYFLOAT and HINCRBYFLOAT count in C's 80-bit long double: a 64-bit mantissa, printed with up to 17 decimals.

Python has no such type, so it is reproduced with fractions: exact sums, rounded to 64 significant bits. Slower than a
float, and the same digits that a real server shows (0.1 + 0.2 is 0.3 there).
"""

import re
from fractions import Fraction
from typing import Final

_NUMBER: Final = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,5})?")
_HUGE: Final = Fraction(2) ** 16384  # beyond the greatest long double
_DECIMALS: Final = 10**17


def parse_long_double(text: bytes) -> Fraction | None:
    """The number, rounded as strtold does; None for anything else, infinities included."""
    if not _NUMBER.fullmatch(text):
        return None
    value = _rounded(Fraction(text.decode("ascii")))
    return None if abs(value) >= _HUGE else value


def spells_infinity(text: bytes) -> bool:
    """Whether strtold would take the text as an infinity: a number to Redis, but one that no sum may contain."""
    return text.lower().lstrip(b"+-") in (b"inf", b"infinity") and len(text) - len(text.lstrip(b"+-")) <= 1


def add_long_double(a: Fraction, b: Fraction) -> bytes | None:
    """Their sum as Redis prints it (ld2string, LD_STR_HUMAN), or None when it is infinite."""
    total = _rounded(a + b)
    if abs(total) >= _HUGE:
        return None
    return _format(total)


def _rounded(value: Fraction) -> Fraction:
    """To 64 significant bits, ties to even."""
    if value == 0:
        return value
    n, d = abs(value.numerator), value.denominator
    shift = n.bit_length() - d.bit_length() - 64
    if n << max(-shift, 0) >= d << (64 + max(shift, 0)):
        shift += 1
    scaled = abs(value) / Fraction(2) ** shift
    mantissa = round(scaled)  # Fraction rounds half to even
    result = mantissa * Fraction(2) ** shift
    return -result if value < 0 else result


def _format(value: Fraction) -> bytes:
    scaled = round(abs(value) * _DECIMALS)
    whole, decimals = divmod(scaled, _DECIMALS)
    text = b"%d.%017d" % (whole, decimals)
    text = text.rstrip(b"0").rstrip(b".")
    return b"-" + text if value < 0 and text != b"0" else text
