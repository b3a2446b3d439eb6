"""Blocks of a stream: the newest takes entries in plain lists, the others are sealed (packed_entries.py).

A sealed block marks what is deleted beside the packed entries, and is packed again when most of it are holes.

Costs: append, first, last O(1); look-up, delete, count O(log block), or O(block) where holes are skipped by name.
"""

from bisect import bisect_left
from typing import Final

from mypy_extensions import i64

from broker.datatypes.entry_wire import encode_entry
from broker.datatypes.packed_entries import Packed, Sealer, Storage

# approximate_bytes(): of a block, of an entry of an open one (id and list slot), and of each field or value there (a
# list slot and the head of a bytes object; names that are shared are counted all the same).
_PER_BLOCK: Final = 180
_PER_ENTRY: Final = 60
_PER_FIELD: Final = 41

_PER_ID: Final = 4

_NO_IDS: Final[list[int]] = []
_NO_PARTS: Final[list[bytes]] = []


class Entries:
    """Some entries: ids[i] has the fields fields[i]."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.fields: list[list[bytes] | None] = []  # None is never in it; the type is that of a block's list


class Encoded:
    """Some entries in the form of the wire: wires[i] is that of ids[i]."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.wires: list[bytes] = []


class Block:
    """Some entries, oldest first. A slot is the place of an entry in its block, deleted or not.

    An open block keeps the fields and values of all entries in one flat list: a list for each entry would be one more
    object that is cold by the time the block is sealed (a third of XADD's time went into such misses).
    Invariant: no slot before `_head` is live; of the others those are that have no mark in `_dead`; `live` counts them.
    """

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._parts: list[bytes] = []  # of all entries, one after another
        self._width: i64 = 0  # parts of each entry; when they differ, _starts has where each begins
        self._starts: list[int] | None = None
        self._head: i64 = 0
        self._packed: Packed | None = None
        self._dead: bytearray | None = None  # 1 for each deleted slot, if there are any
        self.live: i64 = 0
        self.bytes: i64 = 0  # of fields and values, deleted ones included
        self.parts: i64 = 0  # fields and values, deleted ones included
        self._packed_bytes: i64 = 0  # what an open block takes once it is packed, at most: names are shared

    # -- open blocks

    def append(self, entry_id: int, fields: list[bytes]) -> None:
        parts = self._parts
        width: i64 = len(fields)
        before: i64 = len(parts) - width  # where the names of the last entry begin, if it is as wide
        if width != self._width or self._starts is not None:
            self._note_start(width)
            before = -1
        self._ids.append(entry_id)
        if self._dead is not None:
            self._dead.append(0)
        self.live += 1
        size: i64 = 0
        values: i64 = 0
        i: i64 = 0
        for part in fields:
            length: i64 = len(part)
            size += length
            if i & 1:
                values += length
                parts.append(part)
            elif before >= 0 and parts[before + i] == part:
                parts.append(parts[before + i])  # the same object again, so that this one is freed
            else:
                parts.append(part)
            i += 1
        self.bytes += size
        self.parts += width
        self._packed_bytes += values + width + _PER_ID  # two bytes for each value, as in Redis's listpacks

    def _note_start(self, width: i64) -> None:
        """An entry of another width than those before it comes next."""
        count = len(self._ids)
        if count == 0:
            self._width = width
            return
        starts = self._starts
        if starts is None:
            starts = [i * int(self._width) for i in range(count)]
            self._starts = starts
        starts.append(len(self._parts))

    def _row(self, slot: i64) -> list[bytes]:
        """The fields of an entry of an open block."""
        starts = self._starts
        if starts is None:
            start = slot * self._width
            return self._parts[start : start + self._width]
        if slot + 1 < len(starts):
            return self._parts[starts[slot] : starts[slot + 1]]
        return self._parts[starts[slot] :]

    def is_full(self, storage: Storage) -> bool:
        """Whether no more entries go in: a sealed block takes none."""
        if self._packed is not None:
            return True
        return len(self._ids) >= storage.max_entries or self._packed_bytes >= storage.max_bytes

    def seal(self, sealer: Sealer) -> None:
        """Pack an open block, or a sealed one again, without what is deleted. There must be a live entry."""
        if self._packed is None and self._dead is None and self._starts is None and self._head == 0:
            self._packed = sealer.seal_flat(self._ids, self._parts, int(self._width))
            self._ids = _NO_IDS
            self._parts = _NO_PARTS
            return
        found = Entries()
        self.collect(found, 0, self.last_slot_id(), -1, False)
        rows: list[list[bytes]] = []
        self.bytes = 0
        self.parts = 0
        for fields in found.fields:
            assert fields is not None
            rows.append(fields)
            self.parts += len(fields)
            for part in fields:
                self.bytes += len(part)
        self._packed = sealer.seal(found.ids, rows)
        self._dead = None
        self._head = 0
        self._ids = _NO_IDS
        self._parts = _NO_PARTS
        self._starts = None

    def fill(self, sealer: Sealer, ids: list[int], flat: list[bytes], width: int, rows: list[list[bytes]]) -> None:
        """Become a sealed block of these entries: Stream.append_sealed()."""
        self._packed = sealer.seal_flat(ids, flat, width) if width else sealer.seal(ids, rows)
        self._ids = _NO_IDS
        self._parts = _NO_PARTS
        self.live = len(ids)
        for part in flat:
            self.bytes += len(part)
        self.parts = len(flat)
        for row in rows:
            self.parts += len(row)
            for part in row:
                self.bytes += len(part)

    # -- what there is

    def slots(self) -> int:
        """Entries, deleted ones included."""
        packed = self._packed
        return len(self._ids) if packed is None else int(packed.slots)

    def is_sealed(self) -> bool:
        return self._packed is not None

    def is_mostly_holes(self) -> bool:
        """Whether it is sealed and packing it again halves what it takes, what was trimmed in front aside."""
        packed = self._packed
        return packed is not None and self.live * 2 <= packed.slots - self._head

    def last_slot_id(self) -> int:
        """The greatest id, be it a deleted one."""
        packed = self._packed
        return self._ids[len(self._ids) - 1] if packed is None else packed.last_id

    def first_id(self) -> int:
        """The least id of a live entry; there must be one."""
        while not self._is_live(self._head):
            self._head += 1
        return self._id_at(self._head)

    def last_id(self) -> int:
        """The greatest id of a live entry; there must be one."""
        i: i64 = self.slots() - 1
        while not self._is_live(i):
            i -= 1
        return self._id_at(i)

    def get(self, entry_id: int) -> list[bytes] | None:
        """The fields of a live entry, or None."""
        slot = self._slot_of(entry_id)
        if slot < 0:
            return None
        packed = self._packed
        if packed is None:
            return self._row(slot)
        view = packed.open_view()
        view.show(packed, slot, slot + 1)
        return view.rows[slot]

    def count_below(self, entry_id: int) -> int:
        """Live entries with ids below `entry_id`."""
        stop = self._slot_from(entry_id)
        if stop <= self._head:
            return 0
        dead = self._dead
        return int(stop - self._head) - (0 if dead is None else dead.count(1, int(self._head), int(stop)))

    def collect(self, found: Entries, start: int, end: int, limit: int, reverse: bool) -> None:
        """Append the live entries of start <= id <= end to `found`, up to `limit` of them (-1: all)."""
        low = self._slot_from(start)
        high = self._slot_from(end + 1)
        if low < self._head:
            low = self._head
        if low >= high:
            return
        packed = self._packed
        if self._dead is not None:
            self._collect_live(found, low, high, limit, reverse)
            return
        if 0 <= limit < high - low:
            if reverse:
                low = high - limit
            else:
                high = low + limit
        if packed is None:
            self._collect_open(found, low, high, reverse)
            return
        view = packed.open_view()
        view.show(packed, low, high)
        ids = view.ids
        rows = view.rows
        if reverse:
            found.ids += ids[low:high][::-1]
            found.fields += rows[low:high][::-1]
        else:
            found.ids += ids[low:high]
            found.fields += rows[low:high]

    def _collect_open(self, found: Entries, low: i64, high: i64, reverse: bool) -> None:
        """Of an open block without holes."""
        ids = self._ids[low:high]
        rows: list[list[bytes] | None] = []
        for slot in range(low, high):
            rows.append(self._row(slot))
        found.ids += ids[::-1] if reverse else ids
        found.fields += rows[::-1] if reverse else rows

    def _collect_live(self, found: Entries, low: i64, high: i64, limit: int, reverse: bool) -> None:
        """As collect(), for slots some of which are deleted."""
        packed = self._packed
        view = None if packed is None else packed.open_view()
        step: i64 = -1 if reverse else 1
        i: i64 = high - 1 if reverse else low
        steps: i64 = high - low
        left: i64 = limit
        while steps > 0 and left != 0:
            if self._is_live(i):
                if packed is None or view is None:
                    found.ids.append(self._ids[i])
                    found.fields.append(self._row(i))
                else:
                    view.show(packed, i, i + 1)
                    found.ids.append(view.ids[i])
                    found.fields.append(view.rows[i])
                left -= 1
            i += step
            steps -= 1

    def collect_encoded(self, found: Encoded, start: int, end: int, limit: int, with_ids: bool) -> None:
        """As collect(), oldest first, in the form of the wire. Without with_ids found.ids is left alone."""
        packed = self._packed
        low = self._slot_from(start)
        high = self._slot_from(end + 1)
        if low < self._head:
            low = self._head
        if packed is None or self._dead is not None:
            entries = Entries()
            if low < high:
                self._collect_live(entries, low, high, limit, False)
            for i in range(len(entries.ids)):
                fields = entries.fields[i]
                assert fields is not None
                found.wires.append(encode_entry(entries.ids[i], fields))
            if with_ids:
                found.ids += entries.ids
            return
        if 0 <= limit < high - low:
            high = low + limit
        view = packed.open_view()
        view.show_wires(packed, low, high)
        found.wires += view.wires[low:high]
        if with_ids:
            for slot in range(low, high):
                found.ids.append(packed.id_at(slot))

    def entries_apart(self) -> Entries:
        """All live entries, oldest first, past the cache of unpacked blocks: for whoever walks all of them once."""
        found = Entries()
        packed = self._packed
        if packed is None:
            self._collect_live(found, self._head, len(self._ids), -1, False)
            return found
        view = packed.view_apart()
        view.show(packed, self._head, packed.slots)
        for slot in range(self._head, packed.slots):
            if self._is_live(slot):
                found.ids.append(view.ids[slot])
                found.fields.append(view.rows[slot])
        return found

    # -- deletion

    def delete(self, entry_id: int) -> bool:
        """True when it was there, and live."""
        slot = self._slot_of(entry_id)
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
        if self._packed is not None:
            if self.last_id() != self.last_slot_id():
                self.seal(sealer)
            return
        dead = self._dead
        while dead is not None and dead[len(dead) - 1] == 1:
            width = len(self._row(len(self._ids) - 1))
            del self._parts[len(self._parts) - width :]
            if self._starts is not None:
                self._starts.pop()
            self._ids.pop()
            dead.pop()

    # -- slots

    def _id_at(self, slot: i64) -> int:
        packed = self._packed
        return self._ids[slot] if packed is None else packed.id_at(slot)

    def _is_live(self, slot: i64) -> bool:
        dead = self._dead
        return slot >= self._head and (dead is None or dead[slot] == 0)

    def _mark(self, slot: i64) -> None:
        """Delete what is in a slot."""
        if self._dead is None:
            self._dead = bytearray(self.slots())
        self._dead[slot] = 1

    def _slot_from(self, entry_id: int) -> i64:
        """The first slot with at least that id; slots() when there is none."""
        packed = self._packed
        if packed is not None:
            return packed.slot(entry_id)
        ids = self._ids
        if entry_id <= ids[0]:
            return 0
        return len(ids) if entry_id > ids[len(ids) - 1] else bisect_left(ids, entry_id)

    def _slot_of(self, entry_id: int) -> i64:
        """The slot of a live entry, or -1."""
        slot = self._slot_from(entry_id)
        if slot < self._head or slot >= self.slots() or self._id_at(slot) != entry_id or not self._is_live(slot):
            return -1
        return slot

    # -- the whole

    def copy(self) -> "Block":
        other = Block()
        packed = self._packed
        if packed is None:
            other._ids = list(self._ids)
            other._parts = list(self._parts)
            other._starts = None if self._starts is None else list(self._starts)
        else:
            other._packed = packed
            other._ids = _NO_IDS
            other._parts = _NO_PARTS
        other._width = self._width
        other._dead = None if self._dead is None else self._dead.copy()
        other._head = self._head
        other.live = self.live
        other.bytes = self.bytes
        other.parts = self.parts
        other._packed_bytes = self._packed_bytes
        return other

    def approximate_bytes(self) -> int:
        """Memory of the block, without what others share with it."""
        packed = self._packed
        if packed is None:
            return _PER_BLOCK + len(self._ids) * _PER_ENTRY + int(self.parts) * _PER_FIELD + int(self.bytes)
        return _PER_BLOCK + packed.bytes_in_memory() + (0 if self._dead is None else len(self._dead))
