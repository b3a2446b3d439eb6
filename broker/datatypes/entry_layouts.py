"""How the fields of an entry become a few bytes: a Layout for entries with the same names, in the same order.

Names are stored once, in the layout. A column that always has the same value takes nothing; one that has few values
takes a byte; decimal numbers, also behind a prefix (`user:000123`), take what the number needs; any other value is
stored as it is, behind its length. Entries stay readable one by one, and become the form of the wire without a detour
over their parts.

The first layout for some names is plain: every column is text. analyzed() makes a better one of entries that are
there. A value that does not fit a layout is refused, and the entry takes another one: nothing is ever stored twice.

Costs: put, row, wire O(parts of the entry).
"""

from typing import Final

from librt.strings import BytesWriter, read_i32_le, read_i64_le, write_i32_le
from mypy_extensions import i32, i64, u8

from broker.datatypes.entry_wire import bulk_head

CONST: Final = 0
INDEX: Final = 1
NUMBER: Final = 2
TEXT: Final = 3

PAD: Final = bytes(8)  # has to stand behind encoded entries: numbers are read eight bytes at a time
_CRLF: Final = b"\r\n"
_SHORT: Final = 255  # texts below have one byte for their length
_DIGITS: Final = b"0123456789"
_MOST_DIGITS: Final = 18
_ODD_SHARE: Final = 8  # one in so many values may be no number in a column of numbers
_MOST_VALUES: Final = 128  # of an INDEX column
_MOST_VALUE: Final = 64  # bytes of one of them
_REPEATED: Final = 4  # how often each has to occur, on the average, among the entries that are looked at
_LARGE: Final = 1 << 32  # numbers from here on are stored relative to one somewhat below the least
_ROOM_BELOW: Final = 1 << 32
_PADDED: Final[list[list[bytes]]] = [
    [],
    [b"%d" % n for n in range(10)],
    [b"%02d" % n for n in range(100)],
    [b"%03d" % n for n in range(1000)],
]


class Column:
    """One field of a Layout. infix: what stands on the wire before the length of the value."""

    def __init__(self, name: bytes, kind: int) -> None:
        self.name: Final = name
        self.kind: i64 = kind
        self.infix: bytes = b""
        self.heads: list[bytes] = []  # INDEX: of each value; NUMBER: by digits; what stands before (and with) the value
        self.value: bytes = b""  # CONST
        self.values: list[bytes] = []  # INDEX
        self.numbers: dict[bytes, int] = {}  # INDEX: places in values
        self.prefix: bytes = b""  # NUMBER
        self.digits: i64 = 0  # NUMBER: of every value, zeros in front included; 0: as many as it has, and no such zeros
        self.base: i64 = 0  # NUMBER: what is to be added to the stored ones
        self.width: i64 = 0  # NUMBER: bytes
        self.limit: i64 = 0  # NUMBER: the first that is too large to be stored
        self.mask: i64 = 0  # NUMBER: of `width` bytes
        self.least = 0  # NUMBER: what it was made for
        self.most = 0

    def be_number(self, prefix: bytes, digits: int, least: int, most: int) -> None:
        """For numbers from `least` to `most`, and later ones like them."""
        self.prefix = prefix
        self.digits = digits
        self.least = least
        self.most = most
        if least >= _LARGE:
            self.base = least - _ROOM_BELOW
        top = 10**digits - 1 if 0 < digits < 10 else (most - int(self.base)) * 2
        self.width = max((top.bit_length() + 7) // 8, 1)
        self.limit = 1 << min(8 * int(self.width), 62)
        self.mask = -1 if self.width == 8 else (1 << 8 * int(self.width)) - 1
        self.heads = [b""] * (_MOST_DIGITS + 2)

    def add_value(self, value: bytes) -> int:
        """INDEX: the number of a new value, or -1 when there are enough."""
        number = len(self.values)
        if number >= _MOST_VALUES or len(value) > _MOST_VALUE:
            return -1
        self.values.append(value)
        self.numbers[value] = number
        self.heads.append(b"")
        return number

    def parse(self, part: bytes) -> i64:
        """NUMBER: what is to be stored, or -1 when the value does not fit."""
        prefix = self.prefix
        size: i64 = len(part)
        start: i64 = len(prefix)
        count = size - start
        if self.digits > 0:
            if count != self.digits:
                return -1
        elif count < 1 or count > _MOST_DIGITS or (count > 1 and part[start] == 48):
            return -1
        at: i64 = 0
        while at < start:
            if part[at] != prefix[at]:
                return -1
            at += 1
        number: i64 = 0
        while at < size:
            digit: i64 = part[at] - 48
            if digit < 0 or digit > 9:
                return -1
            number = number * 10 + digit
            at += 1
        number -= self.base
        return number if number < self.limit else -1

    def index_head(self, number: i64) -> bytes:
        """INDEX: infix, length and value. Made when it is first asked for."""
        head = self.heads[number]
        if not head:
            value = self.values[number]
            head = self.infix + bulk_head(len(value)) + value
            self.heads[number] = head
        return head

    def number_head(self, digits: i64) -> bytes:
        """NUMBER: infix, length and prefix, for so many digits."""
        head = self.heads[digits]
        if not head:
            head = self.infix + bulk_head(len(self.prefix) + digits) + self.prefix
            self.heads[digits] = head
        return head


class Layout:
    """columns: of all fields; none in the layout for entries that keep their names themselves (ANY)."""

    def __init__(self, columns: list[Column], is_plain: bool) -> None:
        self.columns: Final = columns
        self.is_plain: Final = is_plain
        self.has_text = is_plain
        self._width: i64 = 2 * len(columns)
        self._shown: list[Column] = []  # those that take bytes
        self._shape: list[bytes] = []  # a row with the values that take none
        before = b"\r\n*%d\r\n" % (2 * len(columns))
        for column in columns:
            self._shape.append(column.name)
            self._shape.append(column.value)
            column.infix = b"%b$%d\r\n%b\r\n" % (before, len(column.name), column.name)
            before = _CRLF
            if column.kind == CONST:
                before = column.infix + bulk_head(len(column.value)) + column.value + _CRLF
            else:
                self._shown.append(column)
                if column.kind == TEXT:
                    self.has_text = True
        self._tail: bytes = before

    def names(self) -> list[bytes]:
        return self._shape[0::2]

    def put(self, out: BytesWriter, fields: list[bytes]) -> bool:
        """Append an entry; False when names or values do not fit: then `out` may have a part of it."""
        if len(fields) != self._width:
            return False
        i: i64 = 0
        for column in self.columns:
            if fields[i] != column.name:
                return False
            part = fields[i + 1]
            i += 2
            kind = column.kind
            if kind == NUMBER:
                number = column.parse(part)
                if number < 0:
                    return False
                _put_number(out, number, column.width)
            elif kind == TEXT:
                put_text(out, part)
            elif kind == CONST:
                if part != column.value:
                    return False
            else:
                found = column.numbers.get(part)
                if found is None:
                    found = column.add_value(part)
                    if found < 0:
                        return False
                out.append(u8(found))
        return True

    def row(self, data: bytes, start: i64) -> list[bytes]:
        """The fields of the entry that begins at `start`."""
        row = self._shape.copy()
        at = start
        i: i64 = 1
        for column in self.columns:
            kind = column.kind
            if kind == NUMBER:
                number = (read_i64_le(data, at) & column.mask) + column.base
                at += column.width
                if column.digits > 0:
                    row[i] = column.prefix + (b"%d" % number).rjust(int(column.digits), b"0")
                else:
                    row[i] = b"%b%d" % (column.prefix, number)
            elif kind == TEXT:
                size: i64 = data[at]
                at += 1
                if size == _SHORT:
                    size = i64(read_i32_le(data, at))
                    at += 4
                row[i] = data[at : at + size]
                at += size
            elif kind == INDEX:
                row[i] = column.values[data[at]]
                at += 1
            i += 2
        return row

    def put_wire(self, out: BytesWriter, data: bytes, start: i64) -> None:
        """Append what the entry that begins at `start` has on the wire behind its id, from the CRLF after it on."""
        at = start
        for column in self._shown:
            kind = column.kind
            if kind == NUMBER:
                number = (read_i64_le(data, at) & column.mask) + column.base
                at += column.width
                digits = column.digits
                if digits == 0:
                    digits = count_digits(number)
                out.write(column.number_head(digits))
                put_digits(out, number, digits)
            elif kind == INDEX:
                out.write(column.index_head(data[at]))
                at += 1
            else:
                size: i64 = data[at]
                at += 1
                if size == _SHORT:
                    size = i64(read_i32_le(data, at))
                    at += 4
                out.write(column.infix)
                out.write(bulk_head(size))
                out.write(data[at : at + size])
                at += size
        out.write(self._tail)

    def bytes_in_memory(self) -> int:
        total = 300
        for column in self.columns:
            total += 400 + len(column.name)
        return total


class AnyLayout:
    """For entries that keep their names: how many parts, then each of them."""

    def put(self, out: BytesWriter, fields: list[bytes]) -> None:
        write_i32_le(out, i32(len(fields)))
        for part in fields:
            put_text(out, part)

    def row(self, data: bytes, start: i64) -> list[bytes]:
        count: i64 = i64(read_i32_le(data, start))
        at = start + 4
        row: list[bytes] = []
        for _ in range(count):
            size: i64 = data[at]
            at += 1
            if size == _SHORT:
                size = i64(read_i32_le(data, at))
                at += 4
            row.append(data[at : at + size])
            at += size
        return row

    def put_wire(self, out: BytesWriter, data: bytes, start: i64) -> None:
        row = self.row(data, start)
        out.write(b"\r\n*%d\r\n" % len(row))
        for part in row:
            out.write(bulk_head(len(part)))
            out.write(part)
            out.write(_CRLF)


ANY: Final = AnyLayout()


def plain(names: list[bytes]) -> Layout:
    """A layout that any values fit."""
    return Layout([Column(name, TEXT) for name in names], True)


def analyzed(names: list[bytes], rows: list[list[bytes]], before: Layout) -> Layout:
    """A layout for entries like these. before: the one that did not fit all of them."""
    columns: list[Column] = []
    place = 0
    for name in names:
        values = [row[2 * place + 1] for row in rows]
        earlier = None if before.is_plain else before.columns[place]
        columns.append(_column(name, values, earlier))
        place += 1
    return Layout(columns, False)


def _column(name: bytes, values: list[bytes], earlier: Column | None) -> Column:
    different = set(values)
    if earlier is not None and earlier.kind == CONST:
        different.add(earlier.value)
    elif earlier is not None and earlier.kind == INDEX:
        different.update(earlier.values)
    if len(different) == 1 and len(values[0]) <= _MOST_VALUE:
        column = Column(name, CONST)
        column.value = values[0]
        return column
    if len(different) <= _MOST_VALUES // 2 and len(set(values)) * _REPEATED <= len(values):
        if max([len(value) for value in different]) <= _MOST_VALUE:
            column = Column(name, INDEX)
            for value in sorted(different):
                column.add_value(value)
            return column
    if earlier is None or earlier.kind != TEXT:
        number = _number_column(name, values, earlier)
        if number is not None:
            return number
    return Column(name, TEXT)


def _number_column(name: bytes, values: list[bytes], earlier: Column | None) -> Column | None:
    prefix = _usual([value.rstrip(_DIGITS) for value in values])
    start = len(prefix)
    texts = [value[start:] for value in values if len(value) > start and value.rstrip(_DIGITS) == prefix]
    sizes = [len(text) for text in texts]
    if (len(values) - len(texts)) * _ODD_SHARE > len(values) or start > _MOST_VALUE or max(sizes) > _MOST_DIGITS:
        return None
    digits = 0
    for text in texts:
        if len(text) > 1 and text[:1] == b"0":  # zeros in front are kept when all are of one length only
            if min(sizes) != max(sizes):
                return None
            digits = max(sizes)
    numbers = [int(text) for text in texts]
    least = min(numbers)
    most = max(numbers)
    if earlier is not None and earlier.kind == NUMBER:
        if earlier.prefix != prefix or earlier.digits != digits:
            return None
        least = min(least, earlier.least)
        most = max(most, earlier.most)
    column = Column(name, NUMBER)
    column.be_number(prefix, digits, least, most)
    return column


def _usual(values: list[bytes]) -> bytes:
    """The value that occurs most often."""
    counts: dict[bytes, int] = {}
    most = values[0]
    for value in values:
        counts[value] = counts.get(value, 0) + 1
        if counts[value] > counts[most]:
            most = value
    return most


# -- numbers and texts


def put_text(out: BytesWriter, text: bytes) -> None:
    size: i64 = len(text)
    if size < _SHORT:
        out.append(u8(size))
    else:
        out.append(u8(_SHORT))
        write_i32_le(out, i32(size))
    out.write(text)


def _put_number(out: BytesWriter, number: i64, width: i64) -> None:
    rest = number
    left = width
    while left > 0:
        out.append(u8(rest & 255))
        rest >>= 8
        left -= 1


def count_digits(number: i64) -> i64:
    if number < 1000:
        return 1 if number < 10 else 2 if number < 100 else 3
    count: i64 = 4
    bound: i64 = 10_000
    while number >= bound and count < 19:
        bound *= 10
        count += 1
    return count


def put_digits(out: BytesWriter, number: i64, digits: i64) -> None:
    """A number in decimal, with zeros in front up to `digits`, which are enough for it."""
    if digits <= 3:
        out.write(_PADDED[digits][number])
    elif digits <= 6:
        out.write(_PADDED[digits - 3][number // 1000])
        out.write(_PADDED[3][number % 1000])
    else:
        put_digits(out, number // 1_000_000, digits - 6)
        out.write(_PADDED[3][number // 1000 % 1000])
        out.write(_PADDED[3][number % 1000])
