"""Sealed entries of a stream: a block of them in a few bytes objects that never change.

Ids stay readable without unpacking: what they add to the least milliseconds and the least sequence, in as few bytes as
the block needs, so a look-up, a deletion or a count touches no compressed data. Values are joined and compressed; the
names of fields are shared by all entries of the stream that have the same ones.

Reading unpacks a block into a View, row by row as rows are asked for. Views are kept as long as they fit into the bytes
of a Storage, which all streams share; one that was used since it was last looked at gets a second chance.

Costs: seal O(n); an id O(1); the slot of an id O(log n); a row O(its values) once the block is unpacked.
"""

import zlib
from collections import deque
from struct import pack, unpack
from typing import Final

from mypy_extensions import i64

from broker.datatypes.entry_wire import bulk_head, encode_entry, encode_id, infixes_of

BLOCK_ENTRIES: Final = 100  # Redis's stream-node-max-entries, so that `~` trims the same entries
BLOCK_BYTES: Final = 4096  # of values, before compression: Redis's stream-node-max-bytes, for the same reason
MOST_ENTRIES: Final = 4096
MOST_BYTES: Final = 1024 * 1024
_CACHE_BYTES: Final = 4 * 1024 * 1024
_SEQ_MASK: Final = (1 << 64) - 1
_I64_MAX: Final = (1 << 63) - 1

# zlib with its usual 32 KiB window clears 256 KiB for each block: 110 us instead of 15 for 3 KiB of values, and no byte
# saved, since a block hardly exceeds this window.
_WINDOW: Final = -13
_MEMORY: Final = 5
_LEAST_GAIN: Final = 32  # bytes; less is not worth unpacking
_MOST_SKIPPED: Final = 31  # blocks that go uncompressed after one that could not be compressed, doubling up to this

_MOST_SHAPES: Final = 8  # lists of names in one block; with more the names are stored beside the values
_MOST_KNOWN: Final = 64  # lists of names that a stream shares

# Of memory accounting: a View with its lists, a row of it, each value of a row, an encoded row; a Packed
_PER_VIEW: Final = 250
_PER_ROW: Final = 150
_PER_VALUE: Final = 48
_PER_WIRE: Final = 40
_PER_PACKED: Final = 330


class Storage:
    """How blocks are sealed, and the unpacked ones that are kept. One for the process; tests make their own.

    max_entries, max_bytes: of a block; compression: a level of zlib, 0 for none; cache_bytes: what views may take.
    """

    def __init__(
        self,
        max_entries: int = BLOCK_ENTRIES,
        max_bytes: int = BLOCK_BYTES,
        compression: int = 1,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        self.max_entries: i64 = max_entries
        self.max_bytes: i64 = max_bytes
        self.compression: i64 = compression
        self.cache_bytes: i64 = cache_bytes
        self.cached_bytes: i64 = 0
        self._viewed: deque[Packed] = deque()  # those with a view, in the order in which they came

    def configure(self, max_entries: int, max_bytes: int, compression: int) -> None:
        """For blocks to come. max_entries, max_bytes: 0 for the greatest there are (a block is packed in one go)."""
        self.max_entries = min(max_entries or MOST_ENTRIES, MOST_ENTRIES)
        self.max_bytes = min(max_bytes or MOST_BYTES, MOST_BYTES)
        self.compression = compression

    def keep(self, packed: "Packed") -> None:
        """`packed` has a view now."""
        self._viewed.append(packed)

    def charge(self, size: int) -> None:
        """Views grew by so many bytes: drop others until they fit."""
        self.cached_bytes += size
        while self.cached_bytes > self.cache_bytes and self._viewed:
            packed = self._viewed.popleft()
            view = packed.view
            if view is None:
                continue
            if view.used:
                view.used = False
                self._viewed.append(packed)
            else:
                self.cached_bytes -= view.size
                packed.view = None

    def drop_views(self) -> None:
        """Free the cache."""
        for packed in self._viewed:
            packed.view = None
        self._viewed.clear()
        self.cached_bytes = 0


SHARED: Final = Storage()


class Sealer:
    """What the blocks of one stream have in common: the names of fields, and whether compressing them pays."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._shapes: dict[tuple[bytes, ...], list[bytes]] = {}  # {names: a row with empty values}
        self._skip: i64 = 0  # blocks to leave uncompressed
        self._skipped: i64 = 0  # how many that was the last time

    def seal(self, ids: list[int], rows: list[list[bytes]]) -> "Packed":
        """ids: rising, at least one; rows[i]: the fields and values of ids[i]."""
        packed = Packed(self.storage, ids)
        flat: list[bytes] = []
        for row in rows:
            flat += row
        if self._is_uniform(rows, flat):
            packed.shapes = [self._shape(flat[0 : len(rows[0]) : 2])]
            heads = b""
            values = flat[1::2]
        else:
            heads, values = self._mixed(packed, rows, flat)
        self._store(packed, heads, values)
        return packed

    def seal_flat(self, ids: list[int], flat: list[bytes], width: int) -> "Packed":
        """As seal(), for entries of `width` fields and values each, one after another."""
        names = flat[0:width:2]
        if flat[0::2] != names * len(ids):
            return self.seal(ids, [flat[i : i + width] for i in range(0, len(flat), width)])
        packed = Packed(self.storage, ids)
        packed.shapes = [self._shape(names)]
        self._store(packed, b"", flat[1::2])
        return packed

    def _is_uniform(self, rows: list[list[bytes]], flat: list[bytes]) -> bool:
        """Whether all entries have the same names, which is by far the usual case."""
        width = len(rows[0])
        for row in rows:
            if len(row) != width:
                return False
        names = flat[0:width:2]
        return flat[0::2] == names * len(rows)

    def _mixed(self, packed: "Packed", rows: list[list[bytes]], flat: list[bytes]) -> tuple[bytes, list[bytes]]:
        """(a number for each entry: its shape, or without shapes its number of parts; what is stored of all entries)"""
        found: dict[tuple[bytes, ...], int] = {}
        shape_of: list[int] = []
        for row in rows:
            names = tuple(row[0::2])
            number = found.get(names)
            if number is None:
                number = len(found)
                found[names] = number
            shape_of.append(number)
        if len(found) > _MOST_SHAPES:
            counts = [len(row) for row in rows]
            packed.head_width = _width_of(max(counts))
            return _pack_numbers(counts, int(packed.head_width)), flat
        packed.shapes = [self._shape(list(names)) for names in found]
        packed.head_width = 1
        return bytes(shape_of), flat[1::2]

    def _shape(self, names: list[bytes]) -> list[bytes]:
        key = tuple(names)
        shape = self._shapes.get(key)
        if shape is None:
            shape = []
            for name in names:
                shape.append(name)
                shape.append(b"")
            if len(self._shapes) >= _MOST_KNOWN:
                self._shapes.clear()
            self._shapes[key] = shape
        return shape

    def _store(self, packed: "Packed", heads: bytes, values: list[bytes]) -> None:
        lengths: list[int] = []
        longest: i64 = 0
        for value in values:
            size: i64 = len(value)
            lengths.append(int(size))
            if size > longest:
                longest = size
        packed.length_width = _width_of(int(longest))
        packed.values = len(values)
        raw = b"".join([heads, _pack_numbers(lengths, int(packed.length_width))] + values)
        packed.raw_bytes = len(raw)
        packed.data = self._compress(packed, raw)

    def _compress(self, packed: "Packed", raw: bytes) -> bytes:
        level = int(self.storage.compression)
        if level == 0 or self._skip > 0:
            self._skip = max(self._skip - 1, 0)
            return raw
        deflate = zlib.compressobj(level, zlib.DEFLATED, _WINDOW, _MEMORY)
        small = deflate.compress(raw) + deflate.flush()
        if len(small) + _LEAST_GAIN > len(raw) or len(small) * 10 > len(raw) * 9:
            self._skipped = min(self._skipped * 2 + 1, _MOST_SKIPPED)
            self._skip = self._skipped
            return raw
        self._skipped = 0
        packed.is_compressed = True
        return small


class Packed:
    """Entries under rising ids, made by Sealer.seal(). Nothing of it changes but the view, so copies share it.

    shapes: rows without values, which the entries follow, or none: then entries are stored with their names.
    data: a head for each entry (its shape if there are several, its number of parts if there is none), the lengths of
    the values, the values.
    """

    def __init__(self, storage: Storage, ids: list[int]) -> None:
        self.storage = storage
        self.view: View | None = None
        self.shapes: list[list[bytes]] = []
        self.head_width: i64 = 0
        self.length_width: i64 = 0
        self.values: i64 = 0
        self.raw_bytes: i64 = 0
        self.is_compressed = False
        self.data: bytes = b""
        self.slots: i64 = len(ids)
        ms = [entry_id >> 64 for entry_id in ids]
        seqs = [entry_id & _SEQ_MASK for entry_id in ids]
        least_ms = ms[0]
        least_seq = min(seqs)
        self._base = (least_ms << 64) + least_seq
        self.last_id = ids[len(ids) - 1]
        ms = [one - least_ms for one in ms]
        seqs = [one - least_seq for one in seqs]
        self._ms_width: i64 = 0 if ms[len(ms) - 1] == 0 else _width_of(ms[len(ms) - 1])
        most_seq = max(seqs)
        self._seq_width: i64 = 0 if most_seq == 0 else _width_of(most_seq)
        self._ids = _pack_numbers(ms, int(self._ms_width)) + _pack_numbers(seqs, int(self._seq_width))

    def id_at(self, slot: i64) -> int:
        ms_width = self._ms_width
        seq_width = self._seq_width
        added = self._base
        if ms_width > 0:
            added += _number_at(self._ids, slot * ms_width, ms_width) << 64
        if seq_width > 0:
            added += _number_at(self._ids, self.slots * ms_width + slot * seq_width, seq_width)
        return added

    def slot(self, entry_id: int) -> i64:
        """The first slot with at least that id; `slots` when there is none."""
        if entry_id > self.last_id:
            return self.slots
        low: i64 = 0
        high: i64 = self.slots - 1
        while low < high:
            middle: i64 = (low + high) >> 1
            if self.id_at(middle) < entry_id:
                low = middle + 1
            else:
                high = middle
        return low

    def open_view(self) -> "View":
        """The view, unpacked now if there is none."""
        view = self.view
        if view is None:
            view = self.view_apart()
            self.view = view
            self.storage.keep(self)
            self.storage.charge(int(view.size))
        else:
            view.used = True
        return view

    def view_apart(self) -> "View":
        """The view if there is one, or one that nobody keeps."""
        view = self.view
        if view is not None:
            return view
        return View(self, zlib.decompress(self.data, _WINDOW, int(self.raw_bytes)) if self.is_compressed else self.data)

    def bytes_in_memory(self) -> int:
        """Without the view and the shared names."""
        return _PER_PACKED + len(self._ids) + len(self.data)


class View:
    """An unpacked block. ids[i], rows[i] are there once show() was called for them, wires[i] once show_wires() was.

    size: bytes that it takes.
    """

    def __init__(self, packed: Packed, raw: bytes) -> None:
        slots = packed.slots
        self.used = True
        self.ids: list[int] = []
        self.rows: list[list[bytes] | None] = []
        self.wires: list[bytes] = []
        self._hidden = slots  # rows that are not there yet
        self._unwired = slots
        self._infixes: list[bytes] = []
        self._raw = raw
        self._lengths_at: i64 = slots * packed.head_width
        self._places: list[int] = []  # where the values of a row begin in raw
        self._firsts: list[int] = []  # number of the first value of a row; empty: all rows have as many values
        self.size: i64 = _PER_VIEW + len(raw)

    def _find_places(self, packed: Packed) -> None:
        raw = self._raw
        width = packed.length_width
        is_uniform = packed.head_width == 0
        count: i64 = len(packed.shapes[0]) // 2 if is_uniform else 0
        at: i64 = self._lengths_at
        place: i64 = at + packed.values * width
        first: i64 = 0
        for slot in range(packed.slots):
            self._places.append(int(place))
            if not is_uniform:
                self._firsts.append(int(first))
                count = self._count(packed, slot)
                first += count
            place += _sum_of(raw, at, count, width)
            at += count * width

    def _count(self, packed: Packed, slot: i64) -> i64:
        """The number of values that are stored of an entry, if it has a head."""
        head = _number_at(self._raw, slot * packed.head_width, packed.head_width)
        return len(packed.shapes[head]) // 2 if packed.shapes else head

    def show(self, packed: Packed, low: i64, high: i64) -> None:
        """Fill ids and rows of the slots low <= slot < high."""
        if self._hidden == 0:
            return
        grown: i64 = 0
        if not self.rows:
            self.rows = [None] * int(packed.slots)
            self.ids = [0] * int(packed.slots)
            grown = packed.slots * 60
        if not self._places:
            self._find_places(packed)
        for slot in range(low, high):
            if self.rows[slot] is None:
                row = self._row(packed, slot)
                self.rows[slot] = row
                self.ids[slot] = packed.id_at(slot)
                self._hidden -= 1
                grown += _PER_ROW + len(row) * (_PER_VALUE // 2)
        self._grow(packed, grown)

    def show_wires(self, packed: Packed, low: i64, high: i64) -> None:
        """Fill wires of the slots low <= slot < high."""
        if self._unwired == 0 or low >= high:
            return
        grown: i64 = 0
        if not self.wires:
            self.wires = [b""] * int(packed.slots)
            grown = packed.slots * 8
        if packed.head_width > 0 and not self._places:
            self._find_places(packed)
        place: i64 = 0 if packed.head_width > 0 else self._place(packed, low)
        for slot in range(low, high):
            if not self.wires[slot]:
                if packed.head_width > 0:
                    wire = encode_entry(packed.id_at(slot), self._row(packed, slot))
                else:
                    wire = self._wire(packed, slot, place)
                self.wires[slot] = wire
                self._unwired -= 1
                grown += _PER_WIRE + len(wire)
            if packed.head_width == 0:
                count: i64 = len(self._infixes)
                width = packed.length_width
                place += _sum_of(self._raw, slot * count * width, count, width)
        self._grow(packed, grown)

    def _place(self, packed: Packed, slot: i64) -> i64:
        """Where the values of a row begin, in a block whose entries have the same names."""
        if not self._infixes:
            self._infixes = infixes_of(packed.shapes[0])
        width = packed.length_width
        return packed.values * width + _sum_of(self._raw, 0, slot * len(self._infixes), width)

    def _grow(self, packed: Packed, size: i64) -> None:
        if size > 0:
            self.size += size
            if packed.view is self:
                packed.storage.charge(int(size))

    def _wire(self, packed: Packed, slot: i64, start: i64) -> bytes:
        """start: where the values of the row begin."""
        pieces = [encode_id(packed.id_at(slot))]
        raw = self._raw
        width = packed.length_width
        place = start
        at: i64 = slot * len(self._infixes) * width
        for infix in self._infixes:
            length: i64 = raw[at] if width == 1 else _number_at(raw, at, width)
            pieces.append(infix)
            pieces.append(bulk_head(length))
            pieces.append(raw[place : place + length])
            place += length
            at += width
        pieces.append(b"\r\n")
        return b"".join(pieces)

    def _row(self, packed: Packed, slot: i64) -> list[bytes]:
        place: i64 = self._places[slot]
        width = packed.length_width
        if packed.shapes:
            number: i64 = 0 if packed.head_width == 0 else self._raw[slot]
            row = packed.shapes[number].copy()
            size: i64 = len(row)
            first: i64 = slot * (size >> 1) if packed.head_width == 0 else self._firsts[slot]
            self._fill(row, 1, 2, self._lengths_at + first * width, width, place)
            return row
        row = [b""] * int(self._count(packed, slot))
        first = self._firsts[slot]
        self._fill(row, 0, 1, self._lengths_at + first * width, width, place)
        return row

    def _fill(self, row: list[bytes], start: i64, step: i64, at: i64, width: i64, place: i64) -> None:
        """Put values into row[start::step]. at: of their lengths in raw; place: of the first value there."""
        raw = self._raw
        size: i64 = len(row)
        i = start
        while i < size:
            length: i64 = raw[at] if width == 1 else _number_at(raw, at, width)
            row[i] = raw[place : place + length]
            place += length
            at += width
            i += step


# -- numbers of a fixed width, little-endian


def _width_of(most: int) -> int:
    if most < 256:
        return 1
    return 2 if most < 1 << 16 else 4 if most < 1 << 32 else 8


def _pack_numbers(numbers: list[int], width: int) -> bytes:
    """width 0: all numbers are 0 and take nothing."""
    if width == 0:
        return b""
    if width == 1:
        return bytes(numbers)
    code = "H" if width == 2 else "I" if width == 4 else "Q"
    return pack(f"<{len(numbers)}{code}", *numbers)


def _number_at(data: bytes, at: i64, width: i64) -> int:
    if width == 1:
        return data[at]
    if width == 8:
        number: int = unpack("<Q", data[at : at + 8])[0]
        return number
    value: i64 = 0
    i = width - 1
    while i >= 0:
        value = (value << 8) | data[at + i]
        i -= 1
    return int(value)


def _sum_of(data: bytes, start: i64, count: i64, width: i64) -> i64:
    """The sum of `count` numbers from data[start] on."""
    total: i64 = 0
    at = start
    for _ in range(count):
        total += data[at] if width == 1 else _number_at(data, at, width)
        at += width
    return total
