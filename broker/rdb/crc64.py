"""The checksum at the end of an RDB file and of what DUMP gives: CRC-64 with Jones's polynomial. Redis: crc64.c."""

from importlib import import_module
from typing import Any, Final

# By name: it has no types, and the build does not need it. 13 GB/s; a table in Python would take nanoseconds a byte.
_CRC: Final[Any] = import_module("anycrc").Model("CRC64-REDIS")


def crc64(data: bytes, before: int = 0) -> int:
    """The checksum of what gave `before`, and then `data`."""
    crc: int = _CRC.calc(data, before)
    return crc
