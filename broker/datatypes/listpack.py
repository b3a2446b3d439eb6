"""Listpacks: Redis's flat lists of strings and numbers, as bytes. Redis: listpack.c.

A header (bytes in all, number of elements or 65535 for many), the elements, 0xFF. An element is its encoding, its data,
and the length of both, written so that it is read backwards.

Costs: O(bytes). What is read is checked: lengths never lead out of the listpack.
"""

from typing import Final

from mypy_extensions import i64

from broker.errors import BadData
from broker.protocol.numbers import parse_int

_HEADER: Final = 6
_MANY: Final = 0xFFFF
_END: Final = b"\xff"
_LONGEST_NUMBER: Final = 20


def _back_length(size: int) -> bytes:
    """The length of an element, to be read backwards. The limits of Redis are one less than bits allow."""
    if size <= 127:
        return bytes([size])
    if size < 16383:
        return bytes([size >> 7, (size & 127) | 128])
    if size < 2097151:
        return bytes([size >> 14, ((size >> 7) & 127) | 128, (size & 127) | 128])
    if size < 268435455:
        return bytes([size >> 21, ((size >> 14) & 127) | 128, ((size >> 7) & 127) | 128, (size & 127) | 128])
    high = [size >> 28, ((size >> 21) & 127) | 128, ((size >> 14) & 127) | 128]
    return bytes([*high, ((size >> 7) & 127) | 128, (size & 127) | 128])


def _back_size(size: i64) -> i64:
    if size <= 127:
        return 1
    if size < 16383:
        return 2
    return 3 if size < 2097151 else 4 if size < 268435455 else 5


def _number_element(number: int) -> bytes:
    if 0 <= number <= 127:
        data = bytes([number])
    elif -4096 <= number <= 4095:
        raw = number & 0x1FFF
        data = bytes([0xC0 | raw >> 8, raw & 0xFF])
    elif -0x8000 <= number <= 0x7FFF:
        data = b"\xf1" + (number & 0xFFFF).to_bytes(2, "little")
    elif -0x800000 <= number <= 0x7FFFFF:
        data = b"\xf2" + (number & 0xFFFFFF).to_bytes(3, "little")
    elif -0x80000000 <= number <= 0x7FFFFFFF:
        data = b"\xf3" + (number & 0xFFFFFFFF).to_bytes(4, "little")
    else:
        data = b"\xf4" + (number & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
    return data + bytes([len(data)])


_SMALL_NUMBERS: Final = [_number_element(number) for number in range(1024)]
_SHORT_HEADS: Final = [bytes([0x80 | size]) for size in range(64)]
_SHORT_BACKS: Final = [_back_length(size + 1) for size in range(64)]
_MIDDLE_HEADS: Final = [bytes([0xE0 | size >> 8, size & 0xFF]) for size in range(4096)]
_DECIMALS: Final = [b"%d" % number for number in range(1024)]


class ListpackWriter:
    """Elements one after another; finish() gives the bytes. size: of what there is so far, the end included."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = [b""]
        self.count: i64 = 0
        self.size: i64 = _HEADER + 1

    def add(self, text: bytes) -> None:
        """A string, as a number if it spells one."""
        size: i64 = len(text)
        if size <= _LONGEST_NUMBER and size > 0:
            first: i64 = text[0]
            if first <= 57:  # a digit or a minus; most texts begin with a letter
                number = parse_int(text)
                if number is not None:
                    self.add_number(number)
                    return
        pieces = self._pieces
        self.count += 1
        if size < 64:
            pieces.append(_SHORT_HEADS[size])
            pieces.append(text)
            pieces.append(_SHORT_BACKS[size])
            self.size += size + 2
            return
        head = _MIDDLE_HEADS[size] if size < 4096 else b"\xf0" + int(size).to_bytes(4, "little")
        size += len(head)
        back = _back_length(int(size))
        pieces.append(head)
        pieces.append(text)
        pieces.append(back)
        self.size += size + len(back)

    def add_number(self, number: int) -> None:
        """-2**63 <= number < 2**63."""
        element = _SMALL_NUMBERS[number] if 0 <= number < 1024 else _number_element(number)
        self._pieces.append(element)
        self.size += len(element)
        self.count += 1

    def finish(self) -> bytes:
        """It can't be used any more."""
        count = int(self.count) if self.count < _MANY else _MANY
        self._pieces[0] = int(self.size).to_bytes(4, "little") + count.to_bytes(2, "little")
        self._pieces.append(_END)
        return b"".join(self._pieces)


def listpack(items: list[bytes]) -> bytes:
    writer = ListpackWriter()
    for item in items:
        writer.add(item)
    return writer.finish()


def read_listpack(data: bytes) -> list[bytes]:
    """All elements, numbers as the text that spells them. Raises BadData."""
    size: i64 = len(data)
    if size < _HEADER + 1 or int.from_bytes(data[:4], "little") != size or data[size - 1] != 0xFF:
        raise BadData("a listpack whose length is not that of its bytes")
    stop = size - 1
    found: list[bytes] = []
    at: i64 = _HEADER
    while at < stop:
        head: i64 = data[at]
        if head < 0x80:
            found.append(_DECIMALS[head])
            at += 2
        elif head < 0xC0:
            length: i64 = head & 0x3F
            found.append(data[at + 1 : at + 1 + length])
            at += length + 2
        elif head < 0xE0:
            if at + 1 >= stop:
                raise _cut()
            number: i64 = (head & 0x1F) << 8 | data[at + 1]
            found.append(_decimal(number - 0x2000 if number >= 0x1000 else number))
            at += 3
        elif head < 0xF0:
            if at + 1 >= stop:
                raise _cut()
            length = (head & 0x0F) << 8 | data[at + 1]
            found.append(data[at + 2 : at + 2 + length])
            length += 2
            at += length + _back_size(length)
        else:
            at = _read_odd(data, at, stop, found)
    if at != stop:
        raise _cut()
    count = int.from_bytes(data[4:6], "little")
    if count != _MANY and count != len(found):
        raise BadData(f"a listpack of {count} elements holds {len(found)}")
    return found


def count_of(data: bytes) -> int:
    """The number of elements; for a listpack of fewer than 65535."""
    return data[4] | data[5] << 8


def _decimal(number: i64) -> bytes:
    return _DECIMALS[number] if 0 <= number < 1024 else b"%d" % int(number)


def _read_odd(data: bytes, at: i64, stop: i64, found: list[bytes]) -> i64:
    """A long string or a number of two and more bytes. Where the next element begins."""
    head: i64 = data[at]
    if head == 0xF0:
        if at + 5 > stop:
            raise _cut()
        length: i64 = int.from_bytes(data[at + 1 : at + 5], "little")
        found.append(data[at + 5 : at + 5 + length])
        length += 5
        return at + length + _back_size(length)
    width: i64 = head - 0xEF if head < 0xF4 else 8 if head == 0xF4 else 0
    if width == 0:
        raise BadData("an element of a listpack that is none")
    found.append(b"%d" % int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True))
    return at + width + 2


def _cut() -> BadData:
    return BadData("a listpack whose elements run over its end")
