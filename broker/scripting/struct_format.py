"""Lua's `struct` library: bytes from values by a format and back. Behaviour: struct 0.2 as Redis ships it."""

import math
import struct
from collections.abc import Callable
from typing import Final

from broker.scripting.errors import LibraryError, bad_argument, number, text

_MAX_SIZE: Final = 32  # bytes of an integer
_MAX_ALIGN: Final = 8
_LONGEST: Final = 100_000  # characters of a format: it is read in one go
_INT_MAX: Final = (1 << 31) - 1
_SIZES: Final = {"B": 1, "b": 1, "H": 2, "h": 2, "L": 8, "l": 8, "T": 8, "f": 4, "d": 8, "x": 1}
_INTEGERS: Final = "bBhHlLTiI"
_ENDIAN: Final = {"<": "little", ">": "big"}


class _Format:
    """Reads a format letter by letter: (letter, size of the item, bytes of padding before it)."""

    def __init__(self, spelled: bytes, function: str) -> None:
        self._rest = spelled.partition(b"\0")[0].decode("latin-1")
        if len(self._rest) > _LONGEST:
            raise LibraryError("format too long")
        self._at = 0
        self._function = function
        self._align = 1
        self.little = True

    def next(self) -> tuple[str, int] | None:
        """The next item, None at the end. Options for what follows (byte order, alignment) are taken on the way."""
        while self._at < len(self._rest):
            letter = self._rest[self._at]
            self._at += 1
            if letter in "iI":
                size = self._number(4)
                if size > _MAX_SIZE:
                    raise LibraryError(f"integral size {size} is larger than limit of {_MAX_SIZE}")
                return letter, size
            if letter == "c":
                return letter, self._number(1)
            if letter == "s":
                return letter, 0
            if letter in _SIZES:
                return letter, _SIZES[letter]
            self._option(letter)
        return None

    def padding(self, position: int, letter: str, size: int) -> int:
        if size == 0 or letter == "c":
            return 0
        size = min(size, self._align)
        return (size - (position & (size - 1))) & (size - 1)

    def _option(self, letter: str) -> None:
        if letter == " ":
            return
        if letter in _ENDIAN:
            self.little = letter == "<"
        elif letter == "!":
            align = self._number(_MAX_ALIGN)
            if align <= 0 or align & (align - 1):
                raise LibraryError(f"alignment {align} is not a power of 2")
            self._align = align
        elif self._function != "size" or not (letter.isascii() and letter.isalnum()):  # Redis: b_size (lua_struct.c)
            raise bad_argument(1, self._function, f"invalid format option '{letter}'")

    def _number(self, default: int) -> int:
        start = self._at
        while self._at < len(self._rest) and self._rest[self._at] in "0123456789":
            self._at += 1
            if int(self._rest[start : self._at]) > _INT_MAX:
                raise LibraryError("integral size overflow")
        return int(self._rest[start : self._at]) if self._at > start else default


def _integer(value: float, size: int, little: bool) -> bytes:
    whole = int(value) & 0xFFFFFFFFFFFFFFFF if math.isfinite(value) else 1 << 63  # as x86 has it
    data = whole.to_bytes(max(size, 8), "little")[:size]
    return data if little else data[::-1]


def pack(*values: object) -> bytes:
    layout = _Format(text(values[0] if values else None, 1, "pack"), "pack")
    out = bytearray()
    at = 1
    while (item := layout.next()) is not None:
        letter, size = item
        out += bytes(layout.padding(len(out), letter, size))
        if letter == "x":
            out.append(0)
            continue
        value = values[at] if at < len(values) else None
        at += 1
        if letter in _INTEGERS:
            out += _integer(number(value, at, "pack", "nil"), size, layout.little)
        elif letter in "fd":
            out += _real(number(value, at, "pack", "nil"), letter, layout.little)
        else:
            out += _string(text(value, at, "pack", "nil"), size, at + 1)
            if letter == "s":
                out.append(0)
    return bytes(out)


def _real(value: float, letter: str, little: bool) -> bytes:
    try:
        return struct.pack(("<" if little else ">") + letter, value)
    except OverflowError:
        return struct.pack(("<" if little else ">") + letter, float("inf") if value > 0 else float("-inf"))


def _string(value: bytes, size: int, index: int) -> bytes:
    if size == 0:
        return value
    if len(value) < size:
        raise bad_argument(index, "pack", "string too short")
    return value[:size]


def unpack(*values: object) -> tuple[object, ...]:
    """The values, then the position of the byte after the last one (from 1)."""
    layout = _Format(text(values[0] if values else None, 1, "unpack"), "unpack")
    data = text(values[1] if len(values) > 1 else None, 2, "unpack")
    offset = number(values[2], 3, "unpack") if len(values) > 2 and values[2] is not None else 1
    start = int(offset) if math.isfinite(offset) else _INT_MAX
    if start <= 0:
        raise bad_argument(3, "unpack", "offset must be 1 or greater")
    at = start - 1
    found: list[object] = []
    while (item := layout.next()) is not None:
        letter, size = item
        at += layout.padding(at, letter, size)
        if at + size > len(data):
            raise bad_argument(2, "unpack", "data string too short")
        if letter in _INTEGERS:
            raw = int.from_bytes(data[at : at + size], "little" if layout.little else "big") & 0xFFFFFFFFFFFFFFFF
            found.append(float(_signed(raw, size) if letter.islower() else raw))
        elif letter in "fd":
            found.append(struct.unpack(("<" if layout.little else ">") + letter, data[at : at + size])[0])
        elif letter == "c":
            if size == 0:
                size = _size_before(found)
                if at + size > len(data):
                    raise bad_argument(2, "unpack", "data string too short")
            found.append(data[at : at + size])
        elif letter == "s":
            end = data.find(b"\0", at)
            if end < 0:
                raise LibraryError("unfinished string in data")
            found.append(data[at:end])
            size = end + 1 - at
        at += size
        if len(found) > 7000:  # the C stack of Lua takes 8,000
            raise LibraryError("stack overflow (too many results)")
    return (*found, at + 1)


def _signed(raw: int, size: int) -> int:
    bits = min(size * 8, 64)
    raw &= (1 << bits) - 1
    return raw - (1 << bits) if raw >> (bits - 1) else raw


def _size_before(found: list[object]) -> int:
    if not found or not isinstance(found[-1], (int, float)):
        raise LibraryError("format 'c0' needs a previous size")
    size = found.pop()
    assert isinstance(size, (int, float))
    if size < 0 or size != size or size > _INT_MAX:
        raise bad_argument(2, "unpack", "data string too short")
    return int(size)


def size(*values: object) -> int:
    layout = _Format(text(values[0] if values else None, 1, "size"), "size")
    total = 0
    while (item := layout.next()) is not None:
        letter, length = item
        total += layout.padding(total, letter, length)
        if letter == "s":
            raise bad_argument(1, "size", "option 's' has no fixed size")
        if letter == "c" and length == 0:
            raise bad_argument(1, "size", "option 'c0' has no fixed size")
        total += length
    return total


FUNCTIONS: Final[dict[str, Callable[..., object]]] = {"pack": pack, "unpack": unpack, "size": size}
