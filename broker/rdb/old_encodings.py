"""Intsets, and the encodings that servers wrote before listpacks: ziplists and zipmaps. Redis: intset.c, ziplist.c,
zipmap.c. What is read is checked: lengths never lead out of the data.
"""

from typing import Final

from mypy_extensions import i64

from broker.rdb.codes import BadData

_ZIPLIST_HEADER: Final = 10
_MANY: Final = 0xFFFF


# -- intsets: width of a number, how many, the numbers in order


def intset(numbers: list[int]) -> bytes:
    """numbers: sorted, 64 bits."""
    low, high = numbers[0], numbers[-1]
    width = 2 if low >= -0x8000 and high <= 0x7FFF else 4 if low >= -0x80000000 and high <= 0x7FFFFFFF else 8
    pieces = [width.to_bytes(4, "little"), len(numbers).to_bytes(4, "little")]
    for number in numbers:
        pieces.append(number.to_bytes(width, "little", signed=True))
    return b"".join(pieces)


def read_intset(data: bytes) -> list[int]:
    """Raises BadData."""
    width = int.from_bytes(data[:4], "little")
    count = int.from_bytes(data[4:8], "little")
    if len(data) < 8 or width not in (2, 4, 8) or len(data) != 8 + count * width:
        raise BadData("an intset whose length is not that of its bytes")
    found: list[int] = []
    last = -(1 << 64)
    for at in range(8, len(data), width):
        number = int.from_bytes(data[at : at + width], "little", signed=True)
        if number <= last:
            raise BadData("an intset out of order")
        last = number
        found.append(number)
    return found


# -- ziplists: bytes in all, place of the last element, how many; elements with the length of the one before


def read_ziplist(data: bytes) -> list[bytes]:
    """All elements, numbers as the text that spells them. Raises BadData."""
    size: i64 = len(data)
    if size <= _ZIPLIST_HEADER or int.from_bytes(data[:4], "little") != size or data[size - 1] != 0xFF:
        raise BadData("a ziplist whose length is not that of its bytes")
    stop = size - 1
    found: list[bytes] = []
    at: i64 = _ZIPLIST_HEADER
    while at < stop:
        at += 5 if data[at] == 0xFE else 1
        if at >= stop:
            raise _cut()
        at = _read_zip_element(data, at, stop, found)
    if at != stop:
        raise _cut()
    count = int.from_bytes(data[8:10], "little")
    if count != _MANY and count != len(found):
        raise BadData(f"a ziplist of {count} elements holds {len(found)}")
    return found


def _read_zip_element(data: bytes, at: i64, stop: i64, found: list[bytes]) -> i64:
    """An element from its encoding on. Where the next one begins."""
    head: i64 = data[at]
    kind = head >> 6
    if kind == 3:
        return _read_zip_number(data, at, head, found)
    if kind == 0:
        length: i64 = head & 0x3F
        at += 1
    elif kind == 1:
        if at + 1 >= stop:
            raise _cut()
        length = (head & 0x3F) << 8 | data[at + 1]
        at += 2
    else:
        length = int.from_bytes(data[at + 1 : at + 5], "big")
        at += 5
    if at + length > stop:
        raise _cut()
    found.append(data[at : at + length])
    return at + length


def _read_zip_number(data: bytes, at: i64, head: i64, found: list[bytes]) -> i64:
    if 0xF1 <= head <= 0xFD:
        found.append(b"%d" % int(head - 0xF1))
        return at + 1
    width: i64 = 0
    if head == 0xC0:
        width = 2
    elif head == 0xD0:
        width = 4
    elif head == 0xE0:
        width = 8
    elif head == 0xF0:
        width = 3
    elif head == 0xFE:
        width = 1
    else:
        raise BadData("an element of a ziplist that is none")
    found.append(b"%d" % int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True))
    return at + 1 + width


def _cut() -> BadData:
    return BadData("a ziplist whose elements run over its end")


# -- zipmaps: how many pairs, field, value with unused bytes behind it ...


def read_zipmap(data: bytes) -> list[bytes]:
    """field, value, field, value ... Raises BadData."""
    size: i64 = len(data)
    found: list[bytes] = []
    at: i64 = 1
    is_value = False
    while at < size:
        length: i64 = data[at]
        if length == 0xFF:
            if at != size - 1 or is_value:
                break
            if data[0] < 0xFE and data[0] * 2 != len(found):
                raise BadData(f"a zipmap of {data[0]} pairs holds {len(found) // 2}")
            return found
        at += 1
        if length == 0xFE:
            length = int.from_bytes(data[at : at + 4], "little")
            at += 4
        unused: i64 = 0
        if is_value:
            if at >= size:
                break
            unused = data[at]
            at += 1
        if at + length > size:
            break
        found.append(data[at : at + length])
        at += length + unused
        is_value = not is_value
    raise BadData("a zipmap whose elements run over its end")
