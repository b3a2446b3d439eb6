"""MessagePack as scripts get it. Behaviour: lua-cmsgpack 0.4 as Redis ships it.

packing takes the flat row that lua/cmsgpack.lua makes of a value: strings, numbers and booleans stand for themselves;
None and a letter stand before `0` (nil), `a` n (an array of n values), `m` n (a map of n pairs).
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from broker.scripting.errors import PULSE, LibraryError
from broker.scripting.rows import Row

_MAX_DEPTH: Final = 150


def pack(row: list[Any]) -> bytes:
    out: list[bytes] = []
    i = 0
    while i < len(row):
        value = row[i]
        i += 1
        if value is not None:
            out.append(_plain(value))
            continue
        letter = row[i]
        i += 1
        if letter == b"0":
            out.append(b"\xc0")
            continue
        count = row[i]
        i += 1
        assert isinstance(count, int)
        out.append(_head(count, 0x90, 0xDC) if letter == b"a" else _head(count, 0x80, 0xDE))
    return b"".join(out)


def _head(count: int, fixed: int, wide: int) -> bytes:
    if count <= 15:
        return bytes([fixed | count])
    if count <= 0xFFFF:
        return struct.pack(">BH", wide, count)
    return struct.pack(">BI", wide + 1, count)


def _plain(value: object) -> bytes:
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return _integer(value)
    assert isinstance(value, (int, float))
    return _double(float(value))


def _text(value: bytes) -> bytes:
    size = len(value)
    if size < 32:
        return bytes([0xA0 | size]) + value
    if size <= 0xFF:
        return struct.pack(">BB", 0xD9, size) + value
    if size <= 0xFFFF:
        return struct.pack(">BH", 0xDA, size) + value
    return struct.pack(">BI", 0xDB, size) + value


def _integer(value: int) -> bytes:
    if value >= 0:
        if value <= 127:
            return bytes([value])
        for code, form, limit in ((0xCC, ">BB", 0xFF), (0xCD, ">BH", 0xFFFF), (0xCE, ">BI", 0xFFFFFFFF)):
            if value <= limit:
                return struct.pack(form, code, value)
        return struct.pack(">BQ", 0xCF, value)
    if value >= -32:
        return struct.pack(">b", value)
    for code, form, limit in ((0xD0, ">Bb", -0x80), (0xD1, ">Bh", -0x8000), (0xD2, ">Bi", -0x80000000)):
        if value >= limit:
            return struct.pack(form, code, value)
    return struct.pack(">Bq", 0xD3, value)


def _double(value: float) -> bytes:
    """As a float of 32 bits where that loses nothing."""
    try:
        single = struct.pack(">f", value)
        if struct.unpack(">f", single)[0] == value:
            return b"\xca" + single
    except OverflowError:
        pass  # too large for one; the double below is not
    return b"\xcb" + struct.pack(">d", value)


_FIXED: Final[dict[int, tuple[str, int]]] = {
    0xCC: (">B", 1), 0xCD: (">H", 2), 0xCE: (">I", 4), 0xCF: (">Q", 8),
    0xD0: (">b", 1), 0xD1: (">h", 2), 0xD2: (">i", 4), 0xD3: (">q", 8),
    0xCA: (">f", 4), 0xCB: (">d", 8),
}  # fmt: skip
_LENGTHS: Final[dict[int, tuple[str, int]]] = {
    0xD9: (">B", 1), 0xDA: (">H", 2), 0xDB: (">I", 4),
    0xDC: (">H", 2), 0xDD: (">I", 4), 0xDE: (">H", 2), 0xDF: (">I", 4),
}  # fmt: skip


class Unpacker:
    """Reads one value after another into a row. value(): what stands for it among the entries of its table. most: how
    many values there is room for. pulse(): called now and then; it may raise LibraryError."""

    def __init__(self, data: bytes, at: int, most: int, pulse: Callable[[], None]) -> None:
        self.data = data
        self.at = at
        self.row = Row()
        self._depth = 0
        self._left = most
        self._pulse = pulse

    def value(self) -> Any:
        self._left -= 1
        if self._left < 0:
            raise LibraryError("not enough memory")
        if self._left % PULSE == 0:
            self._pulse()
        code = self._take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 256
        if code >= 0xC0:
            return self._by_code(code)
        if code >= 0xA0:
            return self._take(code & 0x1F)
        return self._array(code & 15) if code >= 0x90 else self._map(code & 15)

    def _by_code(self, code: int) -> Any:
        if code in _FIXED:
            form, size = _FIXED[code]
            found: Any = struct.unpack(form, self._take(size))[0]
            return float(found) if code in (0xCF, 0xD3) else found
        if code in _LENGTHS:
            form, size = _LENGTHS[code]
            length = int(struct.unpack(form, self._take(size))[0])
            if code <= 0xDB:
                return self._take(length)
            return self._array(length) if code <= 0xDD else self._map(length)
        if code == 0xC0:
            return self.row.nil()
        if code in (0xC2, 0xC3):
            return code == 0xC3
        raise LibraryError("Bad data format in input.")

    def _take(self, size: int) -> bytes:
        if self.at + size > len(self.data):
            raise LibraryError("Missing bytes in input.")
        found = self.data[self.at : self.at + size]
        self.at += size
        return found

    def _descend(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise LibraryError("stack overflow (too deeply nested)")

    def _array(self, count: int) -> Any:
        self._descend()
        entries = [self.value() for _ in range(count)]
        self._depth -= 1
        return self.row.array(entries)

    def _map(self, count: int) -> Any:
        self._descend()
        pairs: list[Any] = []
        for _ in range(count):
            key = self._key()
            pairs.append(key)
            pairs.append(self.value())
        self._depth -= 1
        return self.row.pairs(pairs)

    def _key(self) -> Any:
        is_nil = self.data[self.at : self.at + 1] == b"\xc0"
        key = self.value()
        if is_nil or key != key:
            raise LibraryError("table index is nil" if is_nil else "table index is NaN")
        return key


def unpack(data: bytes, limit: int, offset: int, most: int, pulse: Callable[[], None]) -> Row:
    """An array of all values. With a limit or an offset: of the next offset (-1 at the end), and so many of them. most:
    of the values, those in others counted, too."""
    if offset < 0 or limit < 0:
        raise LibraryError(f"Invalid request to unpack with offset of {offset} and limit of {len(data)}.")
    if offset > len(data):
        raise LibraryError(f"Start offset {offset} greater than input length {len(data)}.")
    everything = not limit and not offset
    reader = Unpacker(data, offset, most, pulse)
    found: list[Any] = []
    while reader.at < len(data) and (everything or len(found) < limit):
        found.append(reader.value())
        if len(found) > 7000:
            raise LibraryError(
                "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)"
            )
    if not everything:
        found.insert(0, -1 if reader.at == len(data) else reader.at)
    reader.row.array(found)
    return reader.row
