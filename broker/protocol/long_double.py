"""INCRBYFLOAT and HINCRBYFLOAT count in C's 80-bit long double: a 64-bit mantissa, printed with up to 17 decimals.

Python has no such type, so it is reproduced with integers: exact sums, rounded to 64 significant bits. Slower than a
float, and the same digits that a real server shows (0.1 + 0.2 is 0.3 there). Not reproduced: that the very smallest
numbers (below 1e-4932) have fewer bits; they are printed as 0.
"""

import re
from typing import Final, TypeAlias

LongDouble: TypeAlias = tuple[int, int]  # mantissa, power of two: at most 64 significant bits

_DECIMAL: Final = re.compile(rb"([+-]?)(?=\.?\d)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?")
_HEXADECIMAL: Final = re.compile(rb"([+-]?)0[xX](?=\.?[0-9a-fA-F])([0-9a-fA-F]*)\.?([0-9a-fA-F]*)(?:[pP]([+-]?\d+))?")
_INFINITE: Final = re.compile(rb"[+-]?inf(inity)?", re.IGNORECASE)
_MAX_TEXT: Final = 5 * 1024  # Redis: MAX_LONG_DOUBLE_CHARS
_MAX_EXPONENT: Final = 16384  # of two: beyond the greatest long double
_MIN_EXPONENT: Final = -16446  # half of the smallest one: what is not more becomes 0
_INFINITY: Final[LongDouble] = (1, _MAX_EXPONENT)
_PRECISION: Final = 64
ZERO: Final[LongDouble] = (0, 0)
ONE: Final[LongDouble] = (1, 0)
LARGEST: Final[LongDouble] = ((1 << _PRECISION) - 1, _MAX_EXPONENT - _PRECISION)
_DIGITS: Final = 4000  # what int() reads and prints at once: it refuses more than 4300


def parse_long_double(text: bytes) -> LongDouble | None:
    """The number, rounded as strtold does; None for anything else, and for what is too great or too small."""
    if len(text) >= _MAX_TEXT:
        return None
    match = _DECIMAL.fullmatch(text)
    if match is not None:
        return _ranged(_from_decimal(match[2], match[3], _power(match[4])), match[1])
    match = _HEXADECIMAL.fullmatch(text)
    if match is not None:
        number = int(match[2] + match[3], 16)
        return _ranged(_fit(number, _power(match[4]) - 4 * len(match[3])), match[1])
    if not _INFINITE.fullmatch(text):
        return None
    return negative(_INFINITY) if text.startswith(b"-") else _INFINITY


def add_long_double(a: LongDouble, b: LongDouble) -> bytes | None:
    """Their sum as Redis prints it, or None when it is infinite."""
    if is_infinite(a) or is_infinite(b):
        return None
    total = sum_of(a, b)
    return None if is_infinite(total) else _format(total)


def sum_of(a: LongDouble, b: LongDouble) -> LongDouble:
    """At most one of them may be infinite, or both with the same sign."""
    if is_infinite(a):
        return a
    if is_infinite(b):
        return b
    lowest = min(a[1], b[1])
    total = _fit((a[0] << (a[1] - lowest)) + (b[0] << (b[1] - lowest)), lowest)
    if _top(total) <= _MAX_EXPONENT:
        return total
    return _INFINITY if total[0] > 0 else negative(_INFINITY)


def is_infinite(number: LongDouble) -> bool:
    return _top(number) > _MAX_EXPONENT


def negative(number: LongDouble) -> LongDouble:
    return -number[0], number[1]


def compare(a: LongDouble, b: LongDouble) -> int:
    """Below 0, 0 or above it, as a is less than b, the same, or greater."""
    lowest = min(a[1], b[1])
    return (a[0] << (a[1] - lowest)) - (b[0] << (b[1] - lowest))


def format_long_double(number: LongDouble) -> bytes:
    """A finite number as Redis prints it (ld2string, LD_STR_HUMAN)."""
    return _format(number)


def _power(text: bytes | None) -> int:
    """An exponent; one of many digits is cut to what is out of range by far."""
    if not text:
        return 0
    digits = text.lstrip(b"+-").lstrip(b"0") or b"0"
    value = int(digits) if len(digits) < 7 else 10**6
    return -value if text.startswith(b"-") else value


def _from_decimal(whole: bytes, decimals: bytes, power: int) -> LongDouble | None:
    digits = (whole + decimals).lstrip(b"0")
    if not digits:
        return 0, 0
    power -= len(decimals)
    if len(digits) > _DIGITS:  # that many decide; of the others it counts whether there is one
        power += len(digits) - _DIGITS - 1
        digits = digits[:_DIGITS] + (b"1" if digits[_DIGITS:].strip(b"0") else b"0")
    if not -5000 < len(digits) + power < 5000:
        return None
    number = int(digits)
    if power >= 0:
        return _fit(number * 10**power, 0)
    divisor = 10**-power
    shift = max(0, _PRECISION + 2 + divisor.bit_length() - number.bit_length())
    quotient, rest = divmod(number << shift, divisor)
    return _fit(quotient << 1 | (1 if rest else 0), -shift - 1)


def _ranged(number: LongDouble | None, sign: bytes) -> LongDouble | None:
    if number is None or (number[0] and not _MIN_EXPONENT < _top(number) <= _MAX_EXPONENT):
        return None
    if number[0] and _top(number) == _MIN_EXPONENT + 1 and number[0] & (number[0] - 1) == 0:
        return None  # exactly half of the smallest: a tie, and 0 is the even one
    return (-number[0], number[1]) if sign == b"-" else number


def _top(number: LongDouble) -> int:
    """The power of two that is just above the number."""
    return number[0].bit_length() + number[1]


def _fit(number: int, exponent: int) -> LongDouble:
    """To 64 significant bits, ties to even."""
    excess = number.bit_length() - _PRECISION
    if excess <= 0:
        return number, exponent
    return _shifted(number, excess), exponent + excess


def _shifted(number: int, bits: int) -> int:
    """number / 2**bits, rounded to the nearest integer, ties to even."""
    size = abs(number)
    rest = size & ((1 << bits) - 1)
    size >>= bits
    half = 1 << (bits - 1)
    if rest > half or (rest == half and size & 1):
        size += 1
    return -size if number < 0 else size


def _format(number: LongDouble) -> bytes:
    mantissa, exponent = number
    scaled = abs(mantissa) * 10**17
    scaled = scaled << exponent if exponent >= 0 else _shifted(scaled, -exponent)
    whole, decimals = divmod(scaled, 10**17)
    text = _decimal_text(whole) + b".%017d" % decimals
    text = text.rstrip(b"0").rstrip(b".")
    return b"-" + text if mantissa < 0 and text != b"0" else text


def _decimal_text(number: int) -> bytes:
    upper, lower = divmod(number, 10**_DIGITS)
    return b"%d%0*d" % (upper, _DIGITS, lower) if upper else b"%d" % lower
