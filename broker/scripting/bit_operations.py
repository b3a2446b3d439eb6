"""Lua's `bit` library: operations on 32 bits, results signed. Behaviour: Lua BitOp 1.0.2."""

import struct
from collections.abc import Callable
from typing import Final

from broker.scripting.errors import number

_MASK: Final = 0xFFFFFFFF
_SMALL: Final = 1 << 51
_MAGIC: Final = 6755399441055744.0
_DOUBLE: Final = struct.Struct("<d")
_LOWEST: Final = struct.Struct("<I")


def _bits(values: tuple[object, ...], index: int, function: str) -> int:
    """The value at `index` (from 0) modulo 2**32; fractions are rounded to even.

    BitOp adds 1.5 * 2**52 and takes the lowest bits of the double, which says what becomes of large numbers, too.
    """
    value = values[index] if index < len(values) else None
    if isinstance(value, int) and not isinstance(value, bool) and -_SMALL < value < _SMALL:
        return value & _MASK
    bits: int = _LOWEST.unpack_from(_DOUBLE.pack(number(value, index + 1, function) + _MAGIC))[0]
    return bits


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 32) if value & 0x80000000 else value


def tobit(*values: object) -> int:
    return _signed(_bits(values, 0, "tobit"))


def bnot(*values: object) -> int:
    return _signed(~_bits(values, 0, "bnot"))


def band(*values: object) -> int:
    found = _bits(values, 0, "band")
    for i in range(len(values) - 1, 0, -1):
        found &= _bits(values, i, "band")
    return _signed(found)


def bor(*values: object) -> int:
    found = _bits(values, 0, "bor")
    for i in range(len(values) - 1, 0, -1):
        found |= _bits(values, i, "bor")
    return _signed(found)


def bxor(*values: object) -> int:
    found = _bits(values, 0, "bxor")
    for i in range(len(values) - 1, 0, -1):
        found ^= _bits(values, i, "bxor")
    return _signed(found)


def lshift(*values: object) -> int:
    return _signed(_bits(values, 0, "lshift") << (_bits(values, 1, "lshift") & 31))


def rshift(*values: object) -> int:
    return _signed(_bits(values, 0, "rshift") >> (_bits(values, 1, "rshift") & 31))


def arshift(*values: object) -> int:
    return _signed(_signed(_bits(values, 0, "arshift")) >> (_bits(values, 1, "arshift") & 31))


def rol(*values: object) -> int:
    value, n = _bits(values, 0, "rol"), _bits(values, 1, "rol") & 31
    return _signed(value << n | value >> (32 - n))


def ror(*values: object) -> int:
    value, n = _bits(values, 0, "ror"), _bits(values, 1, "ror") & 31
    return _signed(value << (32 - n) | value >> n)


def bswap(*values: object) -> int:
    return _signed(int.from_bytes(_bits(values, 0, "bswap").to_bytes(4, "little"), "big"))


def tohex(*values: object) -> bytes:
    value = _bits(values, 0, "tohex")
    digits = _signed(_bits(values, 1, "tohex")) if len(values) > 1 else 8
    count = min(abs(digits), 8)
    shown = b"%08x" % value if digits >= 0 else b"%08X" % value
    return shown[8 - count :]


FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    function.__name__: function
    for function in (tobit, bnot, band, bor, bxor, lshift, rshift, arshift, rol, ror, bswap, tohex)
}
