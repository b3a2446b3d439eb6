"""Where values are read from: bytes that come in pieces, with the checksum of what was taken.

Lengths are not believed: what is said to follow must fit into what is left, so that a wrong one allocates nothing.
Raises BadData.
"""

from collections.abc import Callable
from typing import Final

from librt.strings import read_f64_le, read_i64_le
from mypy_extensions import i64

from broker.rdb.codes import BadData
from broker.rdb.crc64 import crc64
from broker.rdb.lzf import decompress

_LZF: Final = 3
_LITTLE: Final = [b"%d" % number for number in range(256)]

Refill = Callable[[], bytes]


def nothing_more() -> bytes:
    return b""


class Source:
    """total: bytes there are in all. refill: gives the next ones, none at the end."""

    def __init__(self, data: bytes, total: int, refill: Refill = nothing_more) -> None:
        self._data: bytes = data
        self._size: i64 = len(data)
        self._at: i64 = 0
        self._base: i64 = 0  # offset of _data
        self._total: i64 = total
        self._refill: Refill = refill
        self._summed: i64 = 0  # place in _data up to which `_crc` goes
        self._crc: int = 0

    @property
    def offset(self) -> int:
        return int(self._base + self._at)

    @property
    def left(self) -> int:
        return int(self._total - self._base - self._at)

    def checksum(self) -> int:
        """The CRC64 of all that was taken so far."""
        self._crc = crc64(self._data[self._summed : self._at], self._crc)
        self._summed = self._at
        return self._crc

    def rest(self) -> bytes:
        """What was refilled and not taken; it is taken now."""
        data = self._data[self._at :]
        self._at = self._size
        return data

    # -- bytes

    def byte(self) -> i64:
        if self._at >= self._size:
            self._need(1)
        found: i64 = self._data[self._at]
        self._at += 1
        return found

    def take(self, count: i64) -> bytes:
        at = self._at
        if count > self._size - at:
            self._need(count)
            at = self._at
        self._at = at + count
        return self._data[at : at + count]

    def _need(self, count: i64) -> None:
        """Have at least `count` bytes in the window."""
        if count > self.left:
            raise BadData(f"{int(count)} bytes should follow, but the file ends after {self.left}")
        self.checksum()
        pieces = [self._data[self._at :]]
        have: i64 = len(pieces[0])
        while have < count:
            piece = self._refill()
            if not piece:
                raise BadData("the file ends too early")
            pieces.append(piece)
            have += len(piece)
        self._base += self._at
        self._at = 0
        self._summed = 0
        self._data = b"".join(pieces)
        self._size = have

    # -- what RDB is made of

    def length(self) -> int:
        head = self.byte()
        kind = head >> 6
        if kind == 0:
            return int(head)
        if kind == 1:
            return int((head & 0x3F) << 8 | self.byte())
        if kind == 2:
            return self._long_length(head)
        raise BadData("an encoded string in the place of a length")

    def _long_length(self, head: i64) -> int:
        if head == 0x80:
            return int.from_bytes(self.take(4), "big")
        if head == 0x81:
            return int.from_bytes(self.take(8), "big")
        raise BadData(f"a length that begins with {int(head)}")

    def count(self) -> int:
        """The number of elements that follow: each takes a byte at least."""
        found = self.length()
        if found > self.left:
            raise BadData(f"{found} elements should follow, but there are only {self.left} bytes")
        return found

    def string(self) -> bytes:
        at = self._at
        if at >= self._size:
            self._need(1)
            at = self._at
        head: i64 = self._data[at]
        if head < 0x40:
            if head < self._size - at:
                self._at = at + head + 1
                return self._data[at + 1 : at + head + 1]
            self._at = at + 1
            return self.take(head)
        if head >= 0xC0:
            self._at = at + 1
            return self._encoded(head & 0x3F)
        size = self.length()
        if size > self.left:
            raise BadData(f"a string of {size} bytes, but there are only {self.left}")
        return self.take(size)

    def _encoded(self, encoding: i64) -> bytes:
        if encoding == 0:
            number: i64 = self.byte()
            return _LITTLE[number] if number < 128 else b"%d" % int(number - 256)
        if encoding == 1 or encoding == 2:
            return b"%d" % int.from_bytes(self.take(encoding * 2), "little", signed=True)
        if encoding != _LZF:
            raise BadData(f"a string in the unknown encoding {int(encoding)}")
        packed_size = self.length()
        size = self.length()
        if packed_size > self.left:
            raise BadData(f"a compressed string of {packed_size} bytes, but there are only {self.left}")
        return decompress(self.take(packed_size), size)

    def milliseconds(self) -> int:
        """64 bits with a sign."""
        at = self._eight()  # first of all: it may bring other data
        return int(read_i64_le(self._data, at))

    def double(self) -> float:
        at = self._eight()
        return read_f64_le(self._data, at)

    def _eight(self) -> i64:
        """Where the next eight bytes are; they are taken."""
        if self._size - self._at < 8:
            self._need(8)
        at = self._at
        self._at = at + 8
        return at

    def stream_id(self) -> int:
        ms = self.length()
        return ms << 64 | self.length()
