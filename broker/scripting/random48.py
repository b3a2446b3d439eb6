"""math.random's source: the 48-bit generator of lrand48(), so that a seed gives the same numbers everywhere."""

from typing import Final

_A: Final = 0x5DEECE66D
_C: Final = 0xB
_MASK: Final = (1 << 48) - 1
_START: Final = 0x1234ABCD330E  # before any seed, as the C library has it


class Random48:
    def __init__(self) -> None:
        self._state = _START

    def seed(self, value: float) -> None:
        self._state = ((int(value) & 0xFFFFFFFF) << 16) + 0x330E

    def next(self) -> int:
        """31 bits."""
        self._state = (self._state * _A + _C) & _MASK
        return self._state >> 17
