"""A string of any length in the form of RDB, a part at a time, so that megabytes stop nobody.

Compressed data is a row of pieces of which none needs what comes after it; so chunks that were compressed one by one
are, one after another, the whole compressed. But its size comes first: chunks are compressed, kept up to some
megabytes, and beyond that made a second time when they are written.

Costs: put_some() O(a chunk of 64 KiB).
"""

from typing import Final, TypeAlias

from mypy_extensions import i64

from broker.datatypes.frozen_text import FrozenText
from broker.rdb.lengths import length_bytes
from broker.rdb.lzf import compress_whole

Text: TypeAlias = bytes | bytearray | FrozenText

LONG: Final = 256 * 1024  # bytes; what is shorter is written in one go
_CHUNK: Final = 64 * 1024
_PLAIN: Final = 256 * 1024  # bytes of a step that compresses nothing
_MOST_KEPT: Final = 8 * 1024 * 1024  # compressed bytes in memory
_TRIED: Final = 1024 * 1024  # bytes after which what has not become less is left as it is
_LEAST_GAIN: Final = 4

_MEASURE: Final = 0
_PACKED: Final = 1
_AS_IT_IS: Final = 2


def part_of(text: Text, start: i64, stop: i64) -> bytes:
    """The bytes from `start` up to, not including, `stop`."""
    if isinstance(text, FrozenText):
        return text.part(start, min(stop, text.size))
    if isinstance(text, bytes):
        return text[start:stop]
    return bytes(memoryview(text)[start:stop])


class LongText:
    def __init__(self, text: Text, compressed: bool) -> None:
        self._text = text
        self._size: i64 = len(text)
        self._phase: i64 = _MEASURE if compressed else _AS_IT_IS
        self._at: i64 = 0
        self._packed: i64 = 0  # bytes of what stands before _at, compressed
        self._kept: list[bytes] = []
        self._is_kept = True  # all of it

    def put_some(self, out: list[bytes]) -> bool:
        """True when there is more."""
        if self._phase == _MEASURE:
            self._measure()
            return True
        if self._at == 0:
            self._begin(out)
        if self._phase == _AS_IT_IS:
            out.append(part_of(self._text, self._at, self._at + _PLAIN))
            self._at += _PLAIN
        elif self._is_kept:
            out.extend(self._kept)
            self._kept = []
            return False
        else:
            out.append(self._next_packed())
        return self._at < self._size

    def _begin(self, out: list[bytes]) -> None:
        if self._phase == _PACKED:
            out.append(b"\xc3")
            out.append(length_bytes(int(self._packed)))
        out.append(length_bytes(int(self._size)))

    def _next_packed(self) -> bytes:
        packed = compress_whole(part_of(self._text, self._at, self._at + _CHUNK))
        self._at += _CHUNK
        return packed

    def _measure(self) -> None:
        packed = self._next_packed()
        self._packed += len(packed)
        if self._packed <= _MOST_KEPT:
            self._kept.append(packed)
        elif self._is_kept:
            self._is_kept = False
            self._kept = []
        is_useless = self._packed > self._size - _LEAST_GAIN or (self._at >= _TRIED and self._packed >= self._at)
        if self._at >= self._size or is_useless:
            self._phase = _AS_IT_IS if is_useless else _PACKED
            self._at = 0
            if is_useless:
                self._kept = []
