"""Entries of a stream in a few bytes objects that never change: of a sealed block, or of an open one as it is now.

Entries are stored as their layouts have them (entry_layouts.py), each behind a byte that says which layout. Ids are
what they add to the first milliseconds and the least sequence, in as few bytes as the block needs, so a look-up, a
deletion or a count touches no entry. Where there are texts, all of it is compressed, if that pays; blocks of numbers
and of values that repeat are dense as they are, and are read without unpacking.

What is unpacked is kept as long as it fits into the bytes of a Storage, which all streams share; blocks that were used
since they were last looked at get a second chance.

Costs: pack O(n); an id O(1); the slot of an id O(log n); an entry O(its parts) once the block is unpacked.
"""

import zlib
from bisect import bisect_left
from collections import deque
from typing import Final

from librt.strings import BytesWriter, read_i32_le, read_i64_le, write_i32_le, write_i64_le
from mypy_extensions import i32, i64

from broker.datatypes.entry_layouts import ANY, PAD, Layout, analyzed, count_digits, plain, put_digits
from broker.datatypes.entry_wire import encode_id
from broker.datatypes.small_ids import MOST_MS, MOST_SEQ, SEQ_BITS

BLOCK_ENTRIES: Final = 100  # Redis's stream-node-max-entries, so that `~` trims the same entries
BLOCK_BYTES: Final = 4096  # of values, before compression: Redis's stream-node-max-bytes, for the same reason
MOST_ENTRIES: Final = 4096
MOST_BYTES: Final = 1024 * 1024
MOST_LAYOUTS: Final = 8  # of one block
NO_LAYOUT: Final = 255  # in the place of a layout's number: the entry keeps its names
_CACHE_BYTES: Final = 4 * 1024 * 1024
_SEQ_MASK: Final = (1 << 64) - 1
# Masks of some low bits are made of it by shifting to the right: the compiled `1 << n` is one of 32 bits.
_I64_MAX: Final = (1 << 63) - 1
_SMALL: Final = 1 << 62  # parts of ids from here on make a block wide

# zlib with its usual 32 KiB window clears 256 KiB for each block: 110 us instead of 15 for 3 KiB of values, and no byte
# saved, since a block hardly exceeds this window.
_WINDOW: Final = -13
_MEMORY: Final = 5
_LEAST_GAIN: Final = 32  # bytes; less is not worth unpacking
_MOST_SKIPPED: Final = 31  # blocks that go uncompressed after one that could not be compressed, doubling up to this

_MOST_KNOWN: Final = 256  # lists of names that have layouts
_MOST_NAMES: Final = 32  # of one of them
_MOST_NAME_BYTES: Final = 1024
_SAMPLE: Final = 128  # entries that a layout is made from, at most
_LEAST_SAMPLE: Final = 8
UNFIT_SHARE: Final = 8  # one is made anew when one in so many entries does not fit the one there is
_MOST_ROUNDS: Final = 12  # layouts made for the same names; then one that everything fits

# Of memory accounting: an unpacked block, a Packed
_PER_RAW: Final = 60
_PER_PACKED: Final = 330


class Known:
    """The layouts for some names. best: for entries like those that were seen last."""

    def __init__(self, names: list[bytes]) -> None:
        self.plain: Final = plain(names)
        self.best = self.plain
        self.rounds: i64 = 0  # how often a layout was made from entries


class Storage:
    """How blocks are sealed, and the unpacked ones that are kept. One for the process; tests make their own.

    max_entries, max_bytes: of a block; compression: a level of zlib, 0 for none; cache_bytes: what unpacked ones may
    take.
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
        self._unpacked: deque[Packed] = deque()  # in the order in which they came
        self._known: dict[tuple[bytes, ...], Known | None] = {}  # {names: None when they were seen once}

    def configure(self, max_entries: int, max_bytes: int, compression: int) -> None:
        """For blocks to come. max_entries, max_bytes: 0 for the greatest there are (a block is packed in one go)."""
        self.max_entries = min(max_entries or MOST_ENTRIES, MOST_ENTRIES)
        self.max_bytes = min(max_bytes or MOST_BYTES, MOST_BYTES)
        self.compression = compression

    # -- layouts

    def known(self, names: list[bytes]) -> Known | None:
        """The layouts for some names, from the second time on that they are asked for: many names come only once."""
        if len(names) > _MOST_NAMES:
            return None
        key = tuple(names)
        if key in self._known:
            found = self._known[key]
            if found is None:
                found = Known(names)
                self._known[key] = found
            return found
        if sum([len(name) for name in names]) <= _MOST_NAME_BYTES:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[key] = None
        return None

    def wants(self, names: tuple[bytes, ...]) -> bool:
        """Whether learn() may make a layout for these names."""
        known = self._known.get(names)
        return known is not None and known.rounds < _MOST_ROUNDS

    def learn(self, rows: list[list[bytes]]) -> None:
        """Make a better layout for entries of some names, unless the best one fits them well by now. rows: such."""
        if len(rows) < _LEAST_SAMPLE:
            return
        names = rows[0][0::2]
        known = self._known.get(tuple(names))
        if known is not None and not _fits_most(known.best, rows):
            known.rounds += 1
            known.best = analyzed(names, rows[len(rows) - min(len(rows), _SAMPLE) :], known.best)
            if known.rounds == _MOST_ROUNDS:
                known.best = known.plain

    # -- what is unpacked

    def keep(self, packed: "Packed") -> None:
        """`packed` was unpacked: drop others until it fits."""
        self._unpacked.append(packed)
        self.cached_bytes += packed.raw_bytes + _PER_RAW
        while self.cached_bytes > self.cache_bytes and self._unpacked:
            other = self._unpacked.popleft()
            if other.used:
                other.used = False
                self._unpacked.append(other)
            elif other.raw is not None:
                other.raw = None
                self.cached_bytes -= other.raw_bytes + _PER_RAW


SHARED: Final = Storage()


class Packed:
    """Some entries under rising ids. Nothing of it changes but what is unpacked, so copies share it.

    layouts: those of the entries, by number. data: the entries, PAD behind them. gap: bytes between two entries.
    An id is `base_ms + key >> bits`, `base_seq + key & (1 << bits) - 1`, its key in ids; or all of them are in `wide`.
    """

    def __init__(self, storage: Storage, layouts: list[Layout], slots: i64, last_id: int) -> None:
        self.storage: Final = storage
        self.layouts: Final = layouts
        self.slots: Final[i64] = slots
        self.last_id: Final = last_id
        self.ids: bytes = b""  # keys of id_width bytes each, then PAD
        self.id_width: i64 = 0
        self.bits: i64 = 0
        self.base_ms: i64 = 0
        self.base_seq: i64 = 0
        self.wide: list[int] | None = None
        self.data: bytes = b""
        self.is_compressed = False
        self.raw_bytes: i64 = 0  # of data, unpacked
        self.raw: bytes | None = None  # that, if it is kept
        self.used = False
        self.stride: i64 = (
            0  # bytes of each entry; 0: `starts` has where they begin, in start_width bytes each, and PAD
        )
        self.starts: bytes = b""
        self.start_width: i64 = 0
        self.gap: i64 = 0

    # -- ids

    def id_at(self, slot: i64) -> int:
        if self.wide is not None:
            return self.wide[slot]
        key = self._key(slot)
        return (int(self.base_ms + (key >> self.bits)) << 64) | int(
            self.base_seq + (key & (_I64_MAX >> (63 - self.bits)))
        )

    def _key(self, slot: i64) -> i64:
        width = self.id_width
        if width == 8:
            return read_i64_le(self.ids, slot * 8)
        return read_i64_le(self.ids, slot * width) & (_I64_MAX >> (63 - 8 * width))

    def slot(self, entry_id: int) -> i64:
        """The first slot with at least that id; `slots` when there is none."""
        if entry_id > self.last_id:
            return self.slots
        if self.wide is not None:
            return bisect_left(self.wide, entry_id)
        ms = i64(entry_id >> 64)  # it fits, for it is not above that of last_id
        if ms < self.base_ms:
            return 0
        seq_part = entry_id & _SEQ_MASK
        last: i64 = _I64_MAX >> (63 - self.bits)
        key = (ms - self.base_ms) << self.bits
        if seq_part > int(self.base_seq + last):
            key += last + 1
        elif seq_part > int(self.base_seq):
            key += i64(seq_part) - self.base_seq
        low: i64 = 0
        high: i64 = self.slots - 1
        while low < high:
            middle: i64 = (low + high) >> 1
            if self._key(middle) < key:
                low = middle + 1
            else:
                high = middle
        return low

    # -- entries

    def unpacked(self) -> bytes:
        """The entries; they are kept unpacked for the next reader."""
        if not self.is_compressed:
            return self.data
        raw = self.raw
        if raw is None:
            raw = self.unpacked_apart()
            self.raw = raw
            self.storage.keep(self)
        else:
            self.used = True
        return raw

    def unpacked_apart(self) -> bytes:
        """As unpacked(), but nobody keeps them."""
        if not self.is_compressed:
            return self.data
        raw = self.raw
        return zlib.decompress(self.data, _WINDOW, int(self.raw_bytes)) if raw is None else raw

    def start(self, slot: i64) -> i64:
        """Where an entry begins: the number of its layout."""
        if self.stride > 0:
            return slot * self.stride
        if self.start_width == 2:
            return read_i64_le(self.starts, slot * 2) & 0xFFFF
        return i64(read_i32_le(self.starts, slot * 4))

    def end(self, slot: i64) -> i64:
        return self.raw_bytes - 8 if slot + 1 == self.slots else self.start(slot + 1) - self.gap

    def row(self, raw: bytes, slot: i64) -> list[bytes]:
        """The fields of an entry. raw: what unpacked() gave."""
        start = self.start(slot)
        number: i64 = raw[start]
        if number == NO_LAYOUT:
            return ANY.row(raw, start + 1)
        return self.layouts[number].row(raw, start + 1)

    def put_wires(self, out: BytesWriter, raw: bytes, low: i64, high: i64, ends: list[int] | None) -> None:
        """Append the wire form of the slots low <= slot < high. ends: takes where each ends in `out`."""
        head: bytes = b""  # of an id, up to the sequence
        head_ms: i64 = -1
        head_digits: i64 = 0
        slot = low
        while slot < high:
            if self.wide is not None:
                out.write(encode_id(self.wide[slot]))
            else:
                key = self._key(slot)
                ms = self.base_ms + (key >> self.bits)
                seq = self.base_seq + (key & (_I64_MAX >> (63 - self.bits)))
                digits = count_digits(seq)
                if ms != head_ms or digits != head_digits:
                    head_ms = ms
                    head_digits = digits
                    head = b"*2\r\n$%d\r\n%d-" % (int(count_digits(ms) + 1 + digits), int(ms))
                out.write(head)
                put_digits(out, seq, digits)
            start = self.start(slot)
            number: i64 = raw[start]
            if number == NO_LAYOUT:
                ANY.put_wire(out, raw, start + 1)
            else:
                self.layouts[number].put_wire(out, raw, start + 1)
            if ends is not None:
                ends.append(len(out))
            slot += 1

    def put_smalls(self, out: BytesWriter, low: i64, high: i64) -> bool:
        """Append the small numbers of the ids of the slots low <= slot < high; False when one has none."""
        if self.wide is not None:
            return False
        mask: i64 = _I64_MAX >> (63 - self.bits)
        slot = low
        while slot < high:
            key = self._key(slot)
            ms = self.base_ms + (key >> self.bits)
            seq = self.base_seq + (key & mask)
            if ms > MOST_MS or seq > MOST_SEQ:
                return False
            write_i64_le(out, (ms << SEQ_BITS) | seq)
            slot += 1
        return True

    def bytes_in_memory(self) -> int:
        """Without what is unpacked and the layouts."""
        wide = 0 if self.wide is None else 44 * len(self.wide)
        return _PER_PACKED + len(self.ids) + len(self.data) + len(self.starts) + wide


class Sealer:
    """What the blocks of one stream have in common: their layouts, and whether compressing them pays."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._layouts: list[Layout] = []  # of the last block
        self._skip: i64 = 0  # blocks to leave uncompressed
        self._skipped: i64 = 0  # how many that was the last time

    def pack(self, source: Packed, slots: list[int]) -> Packed:
        """Some slots of `source`, at least one, in a Packed of their own."""
        if self._layouts != source.layouts:
            self._layouts = source.layouts.copy()
        last = slots[len(slots) - 1]
        packed = Packed(self.storage, self._layouts, len(slots), source.id_at(last))
        self._pack_ids(packed, source, slots)
        self._pack_entries(packed, source, slots)
        return packed

    def _pack_entries(self, packed: Packed, source: Packed, slots: list[int]) -> None:
        raw = source.unpacked_apart()
        out = BytesWriter()
        starts = BytesWriter()
        stride = source.end(slots[0]) - source.start(slots[0])
        text: i64 = 0  # bytes of entries that have texts
        for slot in slots:
            start = source.start(slot)
            end = source.end(slot)
            if end - start != stride:
                stride = 0
            number: i64 = raw[start]
            if number == NO_LAYOUT or packed.layouts[number].has_text:
                text += end - start
            write_i32_le(starts, i32(len(out)))
            out.write(raw[start:end])
        packed.stride = stride
        if stride == 0:
            packed.start_width = 4
            packed.starts = starts.getvalue() + PAD
            if len(out) < 1 << 16:
                packed.start_width = 2
                packed.starts = _narrowed(packed.starts, len(slots), 2)
        out.write(PAD)
        packed.raw_bytes = len(out)
        packed.data = out.getvalue()
        if text * 4 > len(out):
            self._compress(packed)

    def _pack_ids(self, packed: Packed, source: Packed, slots: list[int]) -> None:
        keys: list[int] = []
        if source.wide is not None:
            ids = [source.wide[slot] for slot in slots]
            least_seq = min([entry_id & _SEQ_MASK for entry_id in ids])
            most_seq = max([entry_id & _SEQ_MASK for entry_id in ids])
            base_ms = ids[0] >> 64
            bits = (most_seq - least_seq).bit_length()
            if (
                (packed.last_id >> 64) >= _SMALL
                or most_seq >= _SMALL
                or bits + (packed.last_id >> 64).bit_length() > 61
            ):
                packed.wide = ids
                return
            packed.base_ms = base_ms
            packed.base_seq = least_seq
            packed.bits = bits
            for entry_id in ids:
                keys.append((((entry_id >> 64) - base_ms) << bits) | ((entry_id & _SEQ_MASK) - least_seq))
        else:
            self._narrow_keys(packed, source, slots, keys)
        width = max((keys[len(keys) - 1].bit_length() + 7) // 8, 1)
        out = BytesWriter()
        for one in keys:
            key: i64 = one
            write_i64_le(out, key)
            out.truncate(len(out) - 8 + width)
        out.write(PAD)
        packed.ids = out.getvalue()
        packed.id_width = width

    def _narrow_keys(self, packed: Packed, source: Packed, slots: list[int], keys: list[int]) -> None:
        """Append the keys of these slots as `packed` is to have them; it gets its bases here."""
        mask: i64 = _I64_MAX >> (63 - source.bits)
        least: i64 = mask
        most: i64 = 0
        for slot in slots:
            seq = source._key(slot) & mask
            if seq < least:
                least = seq
            if seq > most:
                most = seq
        bits: i64 = 0
        while (most - least) >> bits > 0:
            bits += 1
        first = source._key(slots[0]) >> source.bits
        packed.base_ms = source.base_ms + first
        packed.base_seq = source.base_seq + least
        packed.bits = bits
        for slot in slots:
            key = source._key(slot)
            keys.append(int((((key >> source.bits) - first) << bits) | ((key & mask) - least)))

    def _compress(self, packed: Packed) -> None:
        level = int(self.storage.compression)
        if level == 0 or self._skip > 0:
            self._skip = max(self._skip - 1, 0)
            return
        raw = packed.data
        deflate = zlib.compressobj(level, zlib.DEFLATED, _WINDOW, _MEMORY)
        small = deflate.compress(raw) + deflate.flush()
        if len(small) + _LEAST_GAIN > len(raw) or len(small) * 10 > len(raw) * 9:
            self._skipped = min(self._skipped * 2 + 1, _MOST_SKIPPED)
            self._skip = self._skipped
            return
        self._skipped = 0
        packed.is_compressed = True
        packed.data = small


def _fits_most(layout: Layout, rows: list[list[bytes]]) -> bool:
    if layout.is_plain:
        return False
    out = BytesWriter()
    unfit = 0
    for row in rows:
        if not layout.put(out, row):
            unfit += 1
        out.truncate(0)
    return unfit * UNFIT_SHARE < len(rows)


def _narrowed(numbers: bytes, count: i64, width: i64) -> bytes:
    """Numbers of four bytes in `width` bytes each, and PAD."""
    out = BytesWriter()
    for i in range(count):
        out.write(numbers[4 * i : 4 * i + width])
    out.write(PAD)
    return out.getvalue()
