"""Blocks of a stream: the newest takes entries, the others are sealed (packed_entries.py).

An open block has its entries in one row of bytes, each behind its key, its size and the number of its layout: a stream
of a few entries is as dense as a long one, and nothing of an entry is an object that is cold by the time the block is
sealed. Who reads takes the bytes as they are at that moment. A sealed block marks what is deleted beside the packed
entries, and is packed again when most of it are holes. A node of a file (stream_nodes.py) is kept as it came until
somebody reads it, appends to it or packs it.

Costs: append, first, last O(1); look-up, delete, count O(log block) when sealed, else O(block).
"""

from array import array
from typing import Final

from librt.strings import BytesWriter, read_i32_le, read_i64_le, write_i32_le, write_i64_le
from mypy_extensions import i32, i64, u8

from broker.datatypes.entry_layouts import ANY, PAD, Layout
from broker.datatypes.listpack import read_listpack
from broker.datatypes.packed_entries import MOST_LAYOUTS, NO_LAYOUT, UNFIT_SHARE, Packed, Sealer, Storage
from broker.datatypes.small_ids import large_id, smalls_of
from broker.datatypes.stream_nodes import NodeEntries, NodeSurvey

_PER_BLOCK: Final = 180  # of memory accounting: a block
_PER_WRITER: Final = 320  # the bytes of an open one, besides the entries
_PER_WIDE_ID: Final = 52
_PER_ID: Final = 4
_HEADER: Final = 12  # bytes before an entry of an open block: its key, its size
_SEQ_BITS: Final = 22  # of a key
_MOST_SEQ: Final = 1 << _SEQ_BITS
_MOST_MS: Final = 1 << 40
_LARGE_SEQ: Final = 1 << 21  # a first sequence from here on is what those of the block count from
_SEQ_MASK: Final = (1 << 64) - 1
_NO_LAYOUTS: Final[list[Layout]] = []
_FIRST_LOOK: Final = 16  # entries of a block after which its layouts are looked at, and when it is sealed


class Entries:
    """Some entries: ids[i] has the fields fields[i]."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.fields: list[list[bytes] | None] = []  # None is never in it; the type is that of a block's list


class Encoded:
    """Some entries in the form of the wire.

    with_ids: ids are kept, too, as small numbers if all of them have one, and where each entry ends in the wire.
    """

    def __init__(self, with_ids: bool) -> None:
        self.count = 0
        self.with_ids: Final = with_ids
        self.ends: list[int] = []
        self._out = BytesWriter()
        self._smalls: BytesWriter | None = BytesWriter() if with_ids else None
        self._ids: list[int] = []  # instead of _smalls

    def wire(self) -> bytes:
        return self._out.getvalue()

    def smalls(self) -> "array[int] | None":
        """The small numbers of the ids, if all of them have one."""
        smalls = self._smalls
        return None if smalls is None else smalls_of(smalls.getvalue())

    def ids(self) -> list[int]:
        smalls = self.smalls()
        return self._ids if smalls is None else [large_id(number) for number in smalls]

    def add(self, packed: Packed, low: i64, high: i64) -> None:
        """The slots low <= slot < high."""
        self.count += int(high - low)
        if not self.with_ids:
            packed.put_wires(self._out, packed.unpacked(), low, high, None)
            return
        packed.put_wires(self._out, packed.unpacked(), low, high, self.ends)
        smalls = self._smalls
        if smalls is not None:
            before: i64 = len(smalls)
            if packed.put_smalls(smalls, low, high):
                return
            smalls.truncate(before)
            self._ids = self.ids()
            self._smalls = None
        for slot in range(low, high):
            self._ids.append(packed.id_at(slot))


class Block:
    """Some entries, oldest first. A slot is the place of an entry in its block, deleted or not.

    Invariant: no slot before `_head` is live; of the others those are that have no mark in `_dead`; `live` counts them.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage: Final = storage
        self._packed: Packed | None = None  # when it is sealed
        self._node: bytes | None = None  # as it came from a file: neither sealed nor open
        self._node_id = 0
        self._sealer: Sealer | None = None  # of a node
        self._rows: BytesWriter | None = BytesWriter()  # when it is open
        self._slots: i64 = 0
        self._last_id = 0  # of the last slot
        self._first_id = 0  # of the first one
        self._layouts: list[Layout] = []
        self._number: i64 = -1  # of the layout that is tried first
        self._base_ms: i64 = 0
        self._base_seq: i64 = 0
        self._wide: list[int] | None = None  # the ids, when one of them has no key
        self._head: i64 = 0
        self._dead: bytearray | None = None  # 1 for each deleted slot, if there are any
        self.live: i64 = 0
        self._packed_bytes: i64 = 0  # what an open block takes once it is packed, at most: names are shared

    # -- open blocks

    def append(self, entry_id: int, ms: i64, seq: i64, fields: list[bytes]) -> None:
        """ms, seq: the parts of the id; ms is negative when they are no small numbers."""
        if self._node is not None:
            self._open_node()
        rows = self._rows
        assert rows is not None, "sealed blocks take nothing"
        if self._slots == 0:
            self._begin(entry_id, ms, seq)
        key: i64 = 0
        if self._wide is None:
            key = ms - self._base_ms
            more = seq - self._base_seq
            if ms < 0 or key >= _MOST_MS or more < 0 or more >= _MOST_SEQ:
                self._widen()
                key = 0
            else:
                key = (key << _SEQ_BITS) | more
        start: i64 = len(rows)
        write_i64_le(rows, key)
        write_i32_le(rows, 0)
        self._put(rows, fields)
        size: i64 = len(rows) - start - _HEADER
        rows[start + 8] = u8(size & 255)
        rows[start + 9] = u8((size >> 8) & 255)
        if size >> 16:
            rows[start + 10] = u8((size >> 16) & 255)
            rows[start + 11] = u8(size >> 24)
        if self._wide is not None:
            self._wide.append(entry_id)
        self._slots += 1
        self._last_id = entry_id
        if self._slots == _FIRST_LOOK:
            self._learn(self._reader())
        if self._dead is not None:
            self._dead.append(0)
        self.live += 1
        width: i64 = len(fields)
        total: i64 = width + _PER_ID  # two bytes for each value, as in Redis's listpacks
        i: i64 = 1
        while i < width:
            total += len(fields[i])
            i += 2
        self._packed_bytes += total

    def _begin(self, entry_id: int, ms: i64, seq: i64) -> None:
        """The first entry."""
        self._first_id = entry_id
        if ms >= 0:
            self._base_ms = ms
            self._base_seq = seq if seq >= _LARGE_SEQ else 0

    def _widen(self) -> None:
        """An id comes that has no key."""
        packed = self._reader()
        self._wide = [packed.id_at(slot) for slot in range(self._slots)]

    def _put(self, rows: BytesWriter, fields: list[bytes]) -> None:
        """Append the number of a layout, and the entry as that has it."""
        number = self._number
        if number >= 0:
            start: i64 = len(rows)
            rows.append(u8(number))
            if self._layouts[number].put(rows, fields):
                return
            rows.truncate(start)
        self._put_otherwise(rows, fields)

    def _put_otherwise(self, rows: BytesWriter, fields: list[bytes]) -> None:
        """As _put(), with whatever layout fits."""
        known = self._storage.known(fields[0::2])
        if known is not None:
            if self._try(rows, fields, known.best, True):
                return
            if self._try(rows, fields, known.plain, False):
                return
        rows.append(u8(NO_LAYOUT))
        ANY.put(rows, fields)

    def _try(self, rows: BytesWriter, fields: list[bytes], layout: Layout, is_best: bool) -> bool:
        if layout in self._layouts:
            number = self._layouts.index(layout)
        elif len(self._layouts) < MOST_LAYOUTS:
            number = len(self._layouts)
        else:
            return False
        start: i64 = len(rows)
        rows.append(u8(number))
        if not layout.put(rows, fields):
            rows.truncate(start)
            return False
        if number == len(self._layouts):
            self._layouts.append(layout)
        if is_best:
            self._number = number
        return True

    def is_full(self, storage: Storage) -> bool:
        """Whether no more entries go in: a sealed block takes none."""
        if self._packed is not None:
            return True
        if self._node is not None and len(self._node) >= storage.max_bytes:
            return True
        return self._slots >= storage.max_entries or self._packed_bytes >= storage.max_bytes

    def seal(self, sealer: Sealer) -> None:
        """Pack an open block, or a sealed one again, without what is deleted. There must be a live entry."""
        if self._node is not None:
            self._open_node()
        source = self._reader()
        slots: list[int] = []
        for slot in range(self._head, self._slots):
            if self._is_live(slot):
                slots.append(int(slot))
        packed = self._pack(source, slots, sealer)
        self._dead = None
        self._head = 0
        self._slots = packed.slots
        self._first_id = packed.id_at(0)
        self._last_id = packed.last_id

    def _pack(self, source: Packed, slots: list[int], sealer: Sealer) -> Packed:
        if self._packed is None:
            self._learn(source)
        packed = sealer.pack(source, slots)
        self._packed = packed
        self._rows = None
        self._layouts = _NO_LAYOUTS
        self._wide = None
        return packed

    # -- nodes

    def keep_node(self, node_id: int, data: bytes, survey: NodeSurvey, sealer: Sealer) -> None:
        """For a new block: what the survey has vouched for is its entries, until somebody wants them otherwise."""
        self._node = data
        self._node_id = node_id
        self._sealer = sealer
        self._rows = None
        self._slots = survey.slots
        self.live = survey.slots
        self._first_id = survey.first_id
        self._last_id = survey.last_id

    def node(self) -> tuple[int, bytes] | None:
        """Its id and its listpack, if it is still as it came from a file and none of it was deleted."""
        return (self._node_id, self._node) if self._node is not None and self.live == self._slots else None

    def pack_node(self) -> bool:
        """False when it is none (any more)."""
        if self._node is None:
            return False
        self._seal_node()
        return True

    def _open_node(self) -> None:
        """It may be appended to, or sealed. Slots stay what they are."""
        assert self._node is not None, "only nodes are opened"
        entries = NodeEntries(self._node_id, read_listpack(self._node))
        made = Block(self._storage)
        for slot in range(len(entries.ids)):
            entry_id = entries.ids[slot]
            made.append(entry_id, i64(entry_id >> 64), i64(entry_id & _SEQ_MASK), entries.row(slot))
        self._node = None
        self._rows = made._rows
        self._layouts = made._layouts
        self._number = made._number
        self._base_ms = made._base_ms
        self._base_seq = made._base_seq
        self._wide = made._wide
        self._packed_bytes = made._packed_bytes

    def _seal_node(self) -> Packed:
        """As seal(), but slots stay what they are."""
        self._open_node()
        sealer = self._sealer
        assert sealer is not None, "nodes have one"
        return self._pack(self._reader(), list(range(self._slots)), sealer)

    def _learn(self, source: Packed) -> None:
        """Have layouts made for the names of which many entries did not fit the one there was."""
        unfit: list[int] = []
        for slot in range(source.slots):
            number: i64 = source.data[source.start(slot)]
            if number == NO_LAYOUT or source.layouts[number].is_plain:
                unfit.append(int(slot))
        if len(unfit) * UNFIT_SHARE < source.slots:
            return
        wanted: set[tuple[bytes, ...]] = set()
        for slot in unfit:
            names = tuple(source.row(source.data, slot)[0::2])
            if len(wanted) < MOST_LAYOUTS and self._storage.wants(names):
                wanted.add(names)
        if not wanted:
            return
        found: dict[tuple[bytes, ...], list[list[bytes]]] = {names: [] for names in wanted}
        for slot in range(source.slots):
            row = source.row(source.data, slot)
            rows = found.get(tuple(row[0::2]))
            if rows is not None:
                rows.append(row)
        for rows in found.values():
            self._storage.learn(rows)
        self._number = -1  # the better ones are for this block, too

    def _reader(self) -> Packed:
        """The entries: those of an open block as they are now."""
        packed = self._packed
        if packed is not None:
            return packed
        if self._node is not None:
            return self._seal_node()
        rows = self._rows
        assert rows is not None, "neither open nor sealed"
        rows.write(PAD)
        data = rows.getvalue()
        rows.truncate(len(rows) - 8)
        packed = Packed(self._storage, self._layouts, self._slots, self._last_id)
        ids = BytesWriter()
        starts = BytesWriter()
        at: i64 = 0
        for _ in range(self._slots):
            write_i64_le(ids, read_i64_le(data, at))
            write_i32_le(starts, i32(at + _HEADER))
            at += _HEADER + i64(read_i32_le(data, at + 8))
        ids.write(PAD)
        starts.write(PAD)
        packed.ids = ids.getvalue()
        packed.id_width = 8
        packed.bits = _SEQ_BITS
        packed.base_ms = self._base_ms
        packed.base_seq = self._base_seq
        packed.wide = self._wide
        packed.data = data
        packed.raw_bytes = len(data)
        packed.starts = starts.getvalue()
        packed.start_width = 4
        packed.gap = _HEADER
        return packed

    # -- what there is

    def slots(self) -> int:
        """Entries, deleted ones included."""
        return int(self._slots)

    def is_sealed(self) -> bool:
        return self._packed is not None

    def is_open(self) -> bool:
        return self._rows is not None

    def is_mostly_holes(self) -> bool:
        """Whether it is sealed and packing it again halves what it takes, what was trimmed in front aside."""
        return self._packed is not None and self.live * 2 <= self._slots - self._head

    def last_slot_id(self) -> int:
        """The greatest id, be it a deleted one."""
        return self._last_id

    def first_id(self) -> int:
        """The least id of a live entry; there must be one."""
        if self._is_live(0):
            return self._first_id
        while not self._is_live(self._head):
            self._head += 1
        return self._reader().id_at(self._head)

    def last_id(self) -> int:
        """The greatest id of a live entry; there must be one."""
        i = self._slots - 1
        if self._is_live(i):
            return self._last_id
        while not self._is_live(i):
            i -= 1
        return self._reader().id_at(i)

    def get(self, entry_id: int) -> list[bytes] | None:
        """The fields of a live entry, or None."""
        packed = self._reader()
        slot = self._slot_of(packed, entry_id)
        return None if slot < 0 else packed.row(packed.unpacked(), slot)

    def count_below(self, entry_id: int) -> int:
        """Live entries with ids below `entry_id`."""
        stop = self._slots if entry_id > self._last_id else self._reader().slot(entry_id)
        if stop <= self._head:
            return 0
        dead = self._dead
        return int(stop - self._head) - (0 if dead is None else dead.count(1, int(self._head), int(stop)))

    def collect(self, found: Entries, start: int, end: int, limit: int, reverse: bool) -> None:
        """Append the live entries of start <= id <= end to `found`, up to `limit` of them (-1: all)."""
        packed = self._reader()
        low = max(packed.slot(start), self._head)
        high = packed.slot(end + 1)
        if low >= high:
            return
        raw = packed.unpacked()
        for slot in self._live_slots(low, high, limit, reverse):
            found.ids.append(packed.id_at(slot))
            found.fields.append(packed.row(raw, slot))

    def collect_encoded(self, found: Encoded, start: int, end: int, limit: int, reverse: bool) -> None:
        """As collect(), in the form of the wire."""
        packed = self._reader()
        low = packed.slot(start)
        if low < self._head:
            low = self._head
        high = packed.slot(end + 1)
        if low >= high:
            return
        if self._dead is None and not reverse:
            if 0 <= limit < high - low:
                high = low + limit
            found.add(packed, low, high)
            return
        for slot in self._live_slots(low, high, limit, reverse):
            found.add(packed, slot, slot + 1)

    def _live_slots(self, low: i64, high: i64, limit: i64, reverse: bool) -> list[i64]:
        """Those of low <= slot < high that hold a live entry, up to `limit` of them (-1: all)."""
        slots: list[i64] = []
        step: i64 = -1 if reverse else 1
        slot: i64 = high - 1 if reverse else low
        steps: i64 = high - low
        while steps > 0 and limit != 0:
            if self._is_live(slot):
                slots.append(slot)
                limit -= 1
            slot += step
            steps -= 1
        return slots

    def entries_apart(self) -> Entries:
        """All live entries, oldest first, past the cache of unpacked blocks: for whoever walks all of them once."""
        found = Entries()
        packed = self._reader()
        raw = packed.unpacked_apart()
        for slot in range(self._head, self._slots):
            if self._is_live(slot):
                found.ids.append(packed.id_at(slot))
                found.fields.append(packed.row(raw, slot))
        return found

    # -- deletion

    def delete(self, entry_id: int) -> bool:
        """True when it was there, and live."""
        slot = self._slot_of(self._reader(), entry_id)
        if slot < 0:
            return False
        self._mark(slot)
        self.live -= 1
        return True

    def drop_oldest(self, count: int) -> None:
        """Delete the first `count` live entries; there must be more."""
        left: i64 = count
        i = self._head
        if self._dead is None:
            i += left  # no holes, and what is before the head needs no marks
        else:
            while left > 0:
                if self._is_live(i):
                    self._mark(i)
                    left -= 1
                i += 1
        self._head = i
        self.live -= count

    def drop_deleted_tail(self, sealer: Sealer) -> None:
        """Forget the deleted entries after the last live one; there must be one."""
        if self._is_live(self._slots - 1):
            return
        rows = self._rows
        if rows is None:
            self.seal(sealer)
            return
        packed = self._reader()
        dead = self._dead
        while dead is not None and dead[len(dead) - 1] == 1:
            dead.pop()
            self._slots -= 1
            rows.truncate(packed.start(self._slots) - _HEADER)
            if self._wide is not None:
                self._wide.pop()
        self._last_id = packed.id_at(self._slots - 1)

    # -- slots

    def _is_live(self, slot: i64) -> bool:
        dead = self._dead
        return slot >= self._head and (dead is None or dead[slot] == 0)

    def _mark(self, slot: i64) -> None:
        """Delete what is in a slot."""
        if self._dead is None:
            self._dead = bytearray(self.slots())
        self._dead[slot] = 1

    def _slot_of(self, packed: Packed, entry_id: int) -> i64:
        """The slot of a live entry, or -1. packed: from _reader()."""
        slot = packed.slot(entry_id)
        if slot < self._head or slot >= self._slots or packed.id_at(slot) != entry_id or not self._is_live(slot):
            return -1
        return slot

    # -- the whole

    def copy(self) -> "Block":
        other = Block(self._storage)
        rows = self._rows
        other._packed = self._packed
        other._node = self._node
        other._node_id = self._node_id
        other._sealer = self._sealer
        if rows is None:
            other._rows = None
        elif other._rows is not None:
            other._rows.write(rows.getvalue())
        other._slots = self._slots
        other._last_id = self._last_id
        other._first_id = self._first_id
        other._layouts = self._layouts.copy()
        other._number = self._number
        other._base_ms = self._base_ms
        other._base_seq = self._base_seq
        other._wide = None if self._wide is None else self._wide.copy()
        other._dead = None if self._dead is None else self._dead.copy()
        other._head = self._head
        other.live = self.live
        other._packed_bytes = self._packed_bytes
        return other

    def approximate_bytes(self) -> int:
        """Memory of the block, without what others share with it."""
        packed = self._packed
        total = _PER_BLOCK + (0 if self._dead is None else len(self._dead))
        if packed is not None:
            return total + packed.bytes_in_memory()
        if self._node is not None:
            return total + len(self._node)
        wide = 0 if self._wide is None else _PER_WIDE_ID * len(self._wide)
        return total + _PER_WRITER + (0 if self._rows is None else len(self._rows)) + wide
