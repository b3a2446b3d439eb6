"""LZF, the compression of strings in RDB files: fast, of little effect on what is short.

A stream of pieces. A byte below 32: so many bytes and one more stand here as they are. Else its upper three bits are a
length (7: another byte is added to it), and its lower five with the next byte a distance backwards: copy length + 2
bytes from there, which may overlap what they make.

python-lzf packs 20 times, and unpacks 9 times, as fast as our own code does compiled (300 bytes of JSON: 0.3 and 0.2 us
instead of 5.4 and 2.0). It needs a C compiler, so it is not required.
"""

from importlib import import_module
from typing import Any, Final

from mypy_extensions import i64

from broker.rdb.codes import BadData

_MOST_LITERAL: Final = 32
_MOST_MATCH: Final = 264
_MOST_DISTANCE: Final = 8192


def _library() -> Any:
    try:
        return import_module("lzf")
    except ImportError:
        return None


_LZF: Final[Any] = _library()


def compress(data: bytes, limit: int) -> bytes:
    """At most `limit` bytes; none when it takes more."""
    if _LZF is not None:
        return _LZF.compress(data, limit) or b""
    packed = compress_plainly(data)
    return packed if len(packed) <= limit else b""


def compress_whole(data: bytes) -> bytes:
    """However many bytes it takes: a few more than before where nothing repeats."""
    if _LZF is None:
        return compress_plainly(data)
    packed: bytes | None = _LZF.compress(data, len(data) + len(data) // 16 + 16)
    if packed:
        return packed
    out: list[bytes] = []
    _literals(data, 0, len(data), out)
    return b"".join(out)


def decompress(data: bytes, size: int) -> bytes:
    """size: how many bytes it has to give. Raises BadData."""
    if size > len(data) * _MOST_MATCH:  # three bytes give no more: a wrong size allocates nothing
        raise BadData(f"{len(data)} compressed bytes can't hold {size}")
    if _LZF is None:
        return decompress_plainly(data, size)
    try:
        found: bytes | None = _LZF.decompress(data, size)
    except ValueError:
        found = None
    if found is None or len(found) != size:
        raise BadData("compressed data that can't be unpacked")
    return found


def compress_plainly(data: bytes) -> bytes:
    """Matches of three bytes and more, found by a table of the last place of each three bytes."""
    size: i64 = len(data)
    seen: dict[bytes, int] = {}
    out: list[bytes] = []
    done: i64 = 0  # what comes before is in `out`
    at: i64 = 0
    while at + 2 < size:
        three = data[at : at + 3]
        before: i64 = seen.get(three, -1)
        seen[three] = int(at)
        if before < 0 or at - before > _MOST_DISTANCE:
            at += 1
            continue
        _literals(data, done, at, out)
        most: i64 = size - at if size - at < _MOST_MATCH else _MOST_MATCH
        length: i64 = 3
        while length < most and data[before + length] == data[at + length]:
            length += 1
        distance = at - before - 1
        if length < 9:
            out.append(bytes([int((length - 2) << 5 | distance >> 8), int(distance & 0xFF)]))
        else:
            out.append(bytes([int(0xE0 | distance >> 8), int(length - 9), int(distance & 0xFF)]))
        at += length
        done = at
    _literals(data, done, size, out)
    return b"".join(out)


def _literals(data: bytes, start: i64, stop: i64, out: list[bytes]) -> None:
    at = start
    while at < stop:
        count = stop - at if stop - at < _MOST_LITERAL else _MOST_LITERAL
        out.append(bytes([int(count - 1)]))
        out.append(data[at : at + count])
        at += count


def decompress_plainly(data: bytes, size: int) -> bytes:
    stop: i64 = len(data)
    out = bytearray()
    at: i64 = 0
    while at < stop:
        head: i64 = data[at]
        at += 1
        if head < _MOST_LITERAL:
            if at + head + 1 > stop:
                raise BadData("compressed data that ends too early")
            out += data[at : at + head + 1]
            at += head + 1
            continue
        length = head >> 5
        if length == 7:
            if at >= stop:
                raise BadData("compressed data that ends too early")
            length += data[at]
            at += 1
        if at >= stop:
            raise BadData("compressed data that ends too early")
        start: i64 = len(out) - ((head & 31) << 8 | data[at]) - 1
        at += 1
        if start < 0 or len(out) + length + 2 > size:
            raise BadData("compressed data that can't be unpacked")
        _copy(out, start, length + 2)
    if len(out) != size:
        raise BadData(f"compressed data gives {len(out)} bytes instead of {size}")
    return bytes(out)


def _copy(out: bytearray, start: i64, length: i64) -> None:
    """Append `length` bytes of `out` from `start` on; they may run into what is appended."""
    distance: i64 = len(out) - start
    piece = bytes(out[start : start + length])
    if distance < length:
        piece = (piece * (int(length // distance) + 1))[:length]
    out += piece
