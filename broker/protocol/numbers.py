"""Numbers as Redis reads and prints them: strict integers, doubles as text."""

import math
import re
from typing import Final

from mypy_extensions import i64

I64_MIN: Final = -(1 << 63)
I64_MAX: Final = (1 << 63) - 1


def parse_int(text: bytes) -> int | None:
    """The signed 64-bit integer that `text` spells exactly, or None.

    No blanks, no plus sign, no leading zeros, no underscores (int() takes all of them). Redis: string2ll in util.c.
    """
    size: i64 = len(text)
    if size == 0 or size > 18:  # then it may not fit
        return _parse_long_int(text)
    sign: i64 = text[0]
    at: i64 = 1 if sign == 45 else 0
    if at == size or text[at] == 48:
        return 0 if size == 1 and sign == 48 else None
    value: i64 = 0
    while at < size:
        digit: i64 = text[at] - 48
        if digit < 0 or digit > 9:
            return None
        value = value * 10 + digit
        at += 1
    return int(-value) if sign == 45 else int(value)


def _parse_long_int(text: bytes) -> int | None:
    size = len(text)
    if size == 0 or size > 20:
        return None
    digits = text[1:] if text[0] == 45 else text
    if not digits.isdigit() or digits[0] == 48:  # ASCII digits only for bytes
        return None
    value = int(text)
    return value if I64_MIN <= value <= I64_MAX else None


_SPELLED: Final[dict[bytes, float]] = {
    b"inf": math.inf,
    b"+inf": math.inf,
    b"-inf": -math.inf,
    b"infinity": math.inf,
    b"+infinity": math.inf,
    b"-infinity": -math.inf,
}
_HEXADECIMAL: Final = re.compile(rb"[+-]?0x([0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(p[+-]?\d+)?")
_FLOAT_CHARS: Final = frozenset(b"0123456789+-.eE")


def parse_float(text: bytes) -> float | None:
    """The double that `text` spells, or None. NaN is refused; inf is taken. Redis: getDoubleFromObject (strtod)."""
    if len(text) < 16 and text.isdigit():  # the most common score by far, and exact
        return float(int(text))
    for char in text:
        if char not in _FLOAT_CHARS:
            return _parse_odd_float(text)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    if math.isinf(value) or (value == 0 and not _spells_zero(text.lower().partition(b"e")[0])):
        return None  # strtod says ERANGE, for 1e-999 too
    return value


def _spells_zero(mantissa: bytes) -> bool:
    return not mantissa.strip(b"+-0x.")


def _parse_odd_float(text: bytes) -> float | None:
    lowered = text.lower()
    if lowered in _SPELLED:
        return _SPELLED[lowered]
    if not _HEXADECIMAL.fullmatch(lowered):  # strtod reads that, too
        return None
    try:
        value = float.fromhex(lowered.decode("ascii"))
    except (ValueError, OverflowError):
        return None
    return None if value == 0 and not _spells_zero(lowered.partition(b"p")[0]) else value


_INTEGRAL: Final = float(I64_MAX // 2)  # beyond it a whole number is not printed as one. Redis: double2ll


def format_double(value: float) -> bytes:
    """A double as Redis prints it: the shortest digits that read back as the same double; `inf`, `-inf`, `nan`.

    Whole numbers have no point. Redis: d2string in util.c, with fpconv_dtoa for what is no whole number.
    """
    if value == math.inf:
        return b"inf"
    if value == -math.inf:
        return b"-inf"
    if math.isnan(value):
        return b"nan"
    if value == 0:
        return b"-0" if math.copysign(1.0, value) < 0 else b"0"
    if -_INTEGRAL <= value <= _INTEGRAL and value == int(value):
        return b"%d" % int(value)
    return _shortest(value)


def _shortest(value: float) -> bytes:
    """repr() knows the digits; where point and exponent go is fpconv's own way (emit_digits in fpconv_dtoa.c)."""
    sign = b"-" if value < 0 else b""
    mantissa, _, power = repr(abs(value)).partition("e")
    whole, _, decimals = mantissa.partition(".")
    spelled = (whole + decimals).lstrip("0")
    digits = spelled.rstrip("0")
    n = len(digits)
    k = int(power or "0") - len(decimals) + len(spelled) - n  # value = digits * 10**k
    exponent = k + n - 1
    if k >= 0 and exponent < n + 7:
        text = digits + "0" * k
    elif k < 0 and (k > -7 or abs(exponent) < 4):
        padded = digits.rjust(1 - k, "0")
        text = f"{padded[:k]}.{padded[k:]}"
    else:
        point = "." if n > 1 else ""
        text = f"{digits[0]}{point}{digits[1:]}e{exponent:+d}"
    return sign + text.encode("ascii")
