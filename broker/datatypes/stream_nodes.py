"""Entries of a stream as files have them: a listpack under an id, which Redis calls a node.

The listpack: how many entries there are, and how many deleted ones, names of fields, a 0; then of each entry flags,
what its id adds to that of the node, the number of its fields and these, unless they are those of the node, the values,
and how many elements that was. Redis: t_stream.c, "The entry listpack".

A node can be kept as it is, until somebody reads it or time is found to pack it: NodeSurvey tells whether, walking it
without making anything of it. Costs: O(elements).
"""

from typing import Final

from mypy_extensions import i64

from broker.errors import BadData
from broker.protocol.numbers import parse_int

_U64: Final = (1 << 64) - 1
_DELETED: Final = 1  # flags
_SAME_FIELDS: Final = 2
_HEADER: Final = 6
_MOST_BYTES: Final = 16 * 1024  # of a node that is kept: it is packed in one go
_MOST_PART: Final = 1 << 60  # parts of ids that are kept are small numbers


class NodeSurvey:
    """Of the node that look() was given last. slots: entries, all of them live."""

    def __init__(self) -> None:
        self.slots: i64 = 0
        self.first_id = 0
        self.last_id = 0
        self._data: bytes = b""
        self._at: i64 = 0
        self._stop: i64 = 0
        self._elements: i64 = 0
        self._number: i64 = 0

    def look(self, base: int, data: bytes) -> bool:
        """Whether it is well-formed and nothing about it is unusual. base: its id."""
        size: i64 = len(data)
        if size <= _HEADER or size > _MOST_BYTES or data[size - 1] != 0xFF or base >> 64 >= _MOST_PART:
            return False
        if base & _U64 >= _MOST_PART or int.from_bytes(data[:4], "little") != size:
            return False
        self._data = data
        self._at = _HEADER
        self._stop = size - 1
        self._elements = 0
        return self._walk(i64(base >> 64), i64(base & _U64)) and self._elements == data[4] | data[5] << 8

    def _walk(self, base_ms: i64, base_seq: i64) -> bool:
        if not self._read() or self._number <= 0:
            return False
        self.slots = self._number
        if not self._read() or self._number != 0 or not self._read() or self._number < 0:  # none deleted; names
            return False
        width = self._number
        if not self._skip(width) or not self._read() or self._number != 0:
            return False
        last_ms: i64 = -1
        last_seq: i64 = 0
        for slot in range(self.slots):
            if not self._read() or self._number & ~_SAME_FIELDS != 0:
                return False
            is_same = self._number != 0
            if not self._read():
                return False
            ms = base_ms + self._number
            if not self._read():
                return False
            seq = base_seq + self._number
            if ms < 0 or ms < last_ms or seq < 0 or (ms == last_ms and seq <= last_seq):
                return False
            last_ms = ms
            last_seq = seq
            if slot == 0:
                self.first_id = int(ms) << 64 | int(seq)
            if not self._skip_fields(is_same, width):
                return False
        self.last_id = int(last_ms) << 64 | int(last_seq)
        return self._at == self._stop

    def _skip_fields(self, is_same: bool, width: i64) -> bool:
        """With the number of elements behind them."""
        if is_same:
            return self._skip(width) and self._read() and self._number == width + 3
        if not self._read() or self._number < 0:
            return False
        width = 2 * self._number
        return self._skip(width) and self._read() and self._number == width + 4

    def _read(self) -> bool:
        """A number of up to 60 bits goes to _number; False when there is something else."""
        data = self._data
        at = self._at
        if at >= self._stop:
            return False
        head: i64 = data[at]
        if head < 0x80:
            self._number = head
            self._at = at + 2
        elif 0xC0 <= head < 0xE0:
            number: i64 = (head & 0x1F) << 8 | data[at + 1]
            self._number = number if number < 0x1000 else number - 0x2000
            self._at = at + 3
        elif 0xF1 <= head <= 0xF4:
            width: i64 = head - 0xEF if head < 0xF4 else 8
            if at + width >= self._stop:
                return False
            found = int.from_bytes(data[at + 1 : at + 1 + width], "little", signed=True)
            if not -_MOST_PART < found < _MOST_PART:
                return False
            self._number = found
            self._at = at + width + 2
        else:
            return False
        self._elements += 1
        return True

    def _skip(self, count: i64) -> bool:
        """So many elements, numbers or texts of up to 4095 bytes; False when there are fewer, or others."""
        data = self._data
        stop = self._stop
        at = self._at
        left = count
        while left > 0 and at < stop:
            left -= 1
            head: i64 = data[at]
            if head < 0x80:
                at += 2
            elif head < 0xC0:
                at += (head & 0x3F) + 2
            elif head < 0xE0:
                at += 3
            elif head < 0xF0:
                size: i64 = 2 + ((head & 0x0F) << 8 | data[at + 1])
                at += size + (1 if size <= 127 else 2)
            elif 0xF1 <= head <= 0xF4:
                at += head - 0xED if head < 0xF4 else 10
            else:
                return False
        self._at = at
        self._elements += count
        return left == 0 and at <= stop


class NodeEntries:
    """The live entries of a node. Where all have the fields of the first one, as a rule: ids and `flat`, their fields
    and values one after another, `width` for each. Else ids and rows, and no width."""

    def __init__(self, base: int, items: list[bytes]) -> None:
        """items: of its listpack. Raises BadData."""
        self.ids: list[int] = []
        self.flat: list[bytes] = []
        self.rows: list[list[bytes]] = []
        self.width: i64 = 0
        self._items = items
        self._at: i64 = 0
        self._base_ms = base >> 64
        self._base_seq = base & _U64
        live = self._number()
        deleted = self._number()
        names = self._take(self._number())
        if self._number() != 0 or live < 0 or deleted < 0:
            raise BadData("a block of a stream whose head is damaged")
        self.width = 2 * len(names)
        for _ in range(live + deleted):
            self._read(names)
        if self._at != len(items) or len(self.ids) != live:
            raise BadData("a block of a stream that holds other entries than it says")

    def row(self, slot: i64) -> list[bytes]:
        if self.width == 0:
            return self.rows[slot]
        return self.flat[slot * self.width : (slot + 1) * self.width]

    def _read(self, names: list[bytes]) -> None:
        flags = self._number()
        ms = (self._base_ms + self._number()) & _U64
        seq = (self._base_seq + self._number()) & _U64
        entry_id = ms << 64 | seq
        if flags & _SAME_FIELDS:
            count: i64 = len(names)
            values = self._take(int(count))
            expected = count + 3
            is_same = True
        else:
            count = self._number()
            values = self._take(int(count) * 2)
            expected = count * 2 + 4
            is_same = False
        if self._number() != expected:
            raise BadData("an entry of a stream that is longer or shorter than it says")
        if flags & _DELETED:
            return
        if self.ids and entry_id <= self.ids[-1]:
            raise BadData("entries of a stream out of order")
        self.ids.append(entry_id)
        if not is_same and self.width > 0:
            self._split()
        if self.width == 0:
            self.rows.append(_joined(names, values) if is_same else values)
            return
        flat = self.flat
        i: i64 = 0
        while i < count:
            flat.append(names[i])
            flat.append(values[i])
            i += 1

    def _split(self) -> None:
        """An entry has fields of its own: from now on each has its list."""
        width = self.width
        for slot in range(len(self.ids) - 1):
            self.rows.append(self.flat[slot * width : (slot + 1) * width])
        self.flat = []
        self.width = 0

    def _take(self, count: int) -> list[bytes]:
        at = self._at
        if count < 0 or count > len(self._items) - at:
            raise BadData("an entry of a stream that runs over the end of its block")
        self._at = at + count
        return self._items[at : self._at]

    def _number(self) -> int:
        at = self._at
        if at >= len(self._items):
            raise BadData("an entry of a stream that runs over the end of its block")
        self._at = at + 1
        text = self._items[at]
        if len(text) == 1:
            digit: i64 = text[0]
            if 48 <= digit <= 57:
                return int(digit - 48)
        number = parse_int(text)
        if number is None:
            raise BadData("an entry of a stream with a number that is none")
        return number


def _joined(names: list[bytes], values: list[bytes]) -> list[bytes]:
    row: list[bytes] = []
    for i in range(len(names)):
        row.append(names[i])
        row.append(values[i])
    return row
