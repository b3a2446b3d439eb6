"""Streams: entries under rising ids, kept in blocks.

An id is one int, `ms << 64 | seq`. The fields of an entry are the list that came in, field, value, field, value ...:
whoever gets one must not change it.

Costs: append, length, newest id O(1); a look-up by id O(log n); a range O(log n + k); the number of entries after an id
O(log n + block); delete O(log n), and O(blocks) to move a list of them when it empties one; a trim O(what it removes).
Invariant: ids rise through blocks and slots, deleted ones included; no block is without a live entry; all blocks but
the last are sealed; `_firsts[i]` is above all ids of `_blocks[i - 1]` and not above those of `_blocks[i]`; `size` is
the number of live entries and `first_id` the least of their ids (0 when there is none); last_id is at least every id in
the blocks.
"""

from bisect import bisect_right
from typing import Final

from mypy_extensions import i64

from broker.datatypes.block_counts import BlockCounts
from broker.datatypes.packed_entries import BLOCK_ENTRIES, SHARED, Sealer, Storage
from broker.datatypes.stream_blocks import Block, Encoded, Entries
from broker.datatypes.stream_groups import UNKNOWN, Group
from broker.datatypes.stream_nodes import NodeSurvey
from broker.datatypes.stream_settings import StreamSettings
from broker.datatypes.trash import LARGE, TRASH

__all__ = ["BLOCK_ENTRIES", "MAX_ID", "NO_ID", "Entries", "Stream", "format_id", "parse_id", "parse_ms"]

_SEQ_MASK: Final = (1 << 64) - 1
_DASH: Final = 45
MAX_ID: Final = (1 << 128) - 1
_PLAIN_PART: Final = 1 << 62  # parts of ids below are plain numbers, as all that clocks give
NO_ID: Final = -1  # from parse_id(): not an id
_SAMPLED_FROM: Final = 1024  # blocks


def parse_id(text: bytes, missing_seq: int) -> int:
    """The id that `ms-seq` or `ms` spells, or NO_ID. Not the special ones (`-`, `+`, `$`, `*`).

    missing_seq: the sequence when only milliseconds are given.
    """
    size: i64 = len(text)
    at = _digits(text, 0, size)
    if at == size and at > 0:
        return (_number(text, 0, size) << 64) | missing_seq
    if at > 0 and text[at] == _DASH and at + 1 < size and _digits(text, at + 1, size) == size:
        return (_number(text, 0, at) << 64) | _number(text, at + 1, size)
    return _parse_odd_id(text, missing_seq)


def _digits(text: bytes, start: i64, size: i64) -> i64:
    """Index of the first byte from `start` on that is no digit, or where a number gets too long for 63 bits."""
    stop = start + 18 if start + 18 < size else size
    i = start
    while i < stop:
        digit: i64 = text[i]
        if digit < 48 or digit > 57:
            break
        i += 1
    return i


def _number(text: bytes, start: i64, stop: i64) -> int:
    """The digits text[start:stop]. Faster than int() of a slice, when compiled."""
    value: i64 = 0
    i = start
    while i < stop:
        digit: i64 = text[i]
        value = value * 10 + digit - 48
        i += 1
    return int(value)


def _parse_odd_id(text: bytes, missing_seq: int) -> int:
    dash = text.find(b"-")
    ms = _parse_u64(text if dash < 0 else text[:dash], len(text))
    seq = missing_seq if dash < 0 else _parse_u64(text[dash + 1 :], len(text))
    return NO_ID if ms < 0 or seq < 0 else (ms << 64) | seq


def parse_ms(text: bytes) -> int:
    """The milliseconds of an id whose sequence is left open (`ms-*`), or NO_ID."""
    return _parse_u64(text[:-2], len(text)) if text.endswith(b"-*") and text.find(b"-") == len(text) - 2 else NO_ID


def _parse_u64(text: bytes, whole: int) -> int:
    """An unsigned 64-bit number, or -1. whole: bytes of the id it is a part of."""
    if text.isdigit() and len(text) <= 19:
        return int(text)
    return _parse_odd_u64(text, whole)


def _parse_odd_u64(text: bytes, whole: int) -> int:
    """What strtoull takes and string2ll does not. Redis: string2ull in util.c, which tries one after the other."""
    text = text.split(b"\0", 1)[0]
    bare = text.lstrip(b" \t\n\v\f\r")
    is_negative = bare[:1] == b"-"
    digits = bare[1:] if is_negative or bare[:1] == b"+" else bare
    if whole > 127 or not digits.isdigit():
        return -1
    value = int(digits)
    if value > _SEQ_MASK:
        return -1
    if not is_negative or value == 0:
        return value
    if text == bare and digits[:1] != b"0" and value <= 1 << 63:
        return -1  # a negative number that string2ll reads
    return (1 << 64) - value  # strtoull negates


def format_id(entry_id: int) -> bytes:
    return b"%d-%d" % (entry_id >> 64, entry_id & _SEQ_MASK)


class Stream:
    """Entries and the groups that consume them. A stream may be empty: its key stays."""

    def __init__(self, storage: Storage = SHARED) -> None:
        self._storage = storage
        self._sealer = Sealer(storage)
        self._blocks: list[Block] = []
        self._firsts: list[int] = []
        self._counts = BlockCounts()  # of all blocks but the last, which changes at every append
        self._last: Block | None = None  # _blocks[-1]
        self.size: i64 = 0
        self.first_id = 0
        self.last_id = 0  # greatest id ever, or what set_last_id() said
        self.max_deleted_id = 0  # greatest id ever deleted by name (a trim does not count)
        self.entries_added: int = 0  # ever, or what XSETID said: then it may outgrow 64 bits
        self.groups: dict[bytes, Group] = {}
        self.settings: StreamSettings | None = None
        self._ms: i64 = -1  # milliseconds of last_id, or -1 when that has no plain parts
        self._seq: i64 = 0
        self._ms_start = 0  # the least id of those milliseconds
        self._ms_text = b""  # what an id of theirs begins with, as text
        self._split_id = -1  # the last_id whose parts these are
        self._kept: dict[int, Block] | None = None  # by id(): blocks that frozen() gave away
        self.has_nodes = False  # blocks may be nodes as they came from a file
        self._next_node: i64 = 0  # before this block none is

    def __len__(self) -> int:
        return int(self.size)

    # -- writing

    def next_id(self, now_ms: int) -> int:
        """The id for an entry of this moment: never before an earlier one. Above MAX_ID when ids are used up."""
        entry_id = now_ms << 64
        return entry_id if entry_id > self.last_id else self.last_id + 1

    def append_now(self, now_ms: int, fields: list[bytes]) -> bytes:
        """append() under next_id(). The text of that id; last_id must be below MAX_ID."""
        self._split_last()
        ms = self._ms
        if ms < 0:
            entry_id = self.next_id(now_ms)
            self.append(entry_id, fields)
            return format_id(entry_id)
        seq = self._seq + 1
        if now_ms > ms:
            ms = now_ms
            seq = 0
            self._ms_start = now_ms << 64
            entry_id = self._ms_start
            self._ms_text = b"%d-" % now_ms
        else:
            entry_id = self.last_id + 1
        self._append(entry_id, ms, seq, fields)
        return b"%b%d" % (self._ms_text, int(seq))

    def last_id_text(self) -> bytes:
        self._split_last()
        return format_id(self.last_id) if self._ms < 0 else b"%b%d" % (self._ms_text, int(self._seq))

    def append(self, entry_id: int, fields: list[bytes]) -> None:
        """entry_id: above last_id. fields: kept as it is."""
        added = entry_id - self._ms_start
        if self._ms >= 0 and 0 <= added < _PLAIN_PART:
            self._append(entry_id, self._ms, i64(added), fields)
            return
        ms = entry_id >> 64
        seq = entry_id & _SEQ_MASK
        if ms < _PLAIN_PART and seq < _PLAIN_PART:
            self._ms_start = ms << 64
            self._ms_text = b"%d-" % ms
            self._append(entry_id, i64(ms), i64(seq), fields)
        else:
            self._append(entry_id, -1, -1, fields)

    def _append(self, entry_id: int, ms: i64, seq: i64, fields: list[bytes]) -> None:
        """ms, seq: the parts of the id, or -1 when they are no plain numbers; else _ms_start and _ms_text fit them."""
        block = self._last
        if block is None or block.is_full(self._storage):
            block = self._next_block(entry_id)
        block.append(entry_id, ms, seq, fields)
        if self.size == 0:
            self.first_id = entry_id
        self.size += 1
        self.entries_added += 1
        self.last_id = entry_id
        self._ms = ms
        self._seq = seq
        self._split_id = entry_id

    def _split_last(self) -> None:
        """Bring the parts of last_id up to date: what sets it does not know of them."""
        if self._split_id == self.last_id:
            return
        ms = self.last_id >> 64
        seq = self.last_id & _SEQ_MASK
        self._ms = -1
        if ms < _PLAIN_PART and seq < _PLAIN_PART - 1:
            self._ms = i64(ms)
            self._seq = i64(seq)
            self._ms_start = ms << 64
            self._ms_text = b"%d-" % ms
        self._split_id = self.last_id

    def append_sealed(self, ids: list[int], flat: list[bytes], width: int, rows: list[list[bytes]]) -> None:
        """A block of entries at once, for whoever loads a stream. ids: at least one, rising, above last_id. flat: their
        fields and values, `width` for each; with width 0, rows has a list for each.
        """
        block = self._next_block(ids[0])
        slot = 0
        for entry_id in ids:
            ms = entry_id >> 64
            seq = entry_id & _SEQ_MASK
            fields = flat[slot * width : (slot + 1) * width] if width else rows[slot]
            if ms < _PLAIN_PART and seq < _PLAIN_PART:
                block.append(entry_id, i64(ms), i64(seq), fields)
            else:
                block.append(entry_id, -1, -1, fields)
            slot += 1
        block.seal(self._sealer)
        if self.size == 0:
            self.first_id = ids[0]
        self.size += len(ids)
        self.entries_added += len(ids)
        self.last_id = ids[len(ids) - 1]

    def append_node(self, node_id: int, data: bytes, survey: NodeSurvey) -> None:
        """As append_sealed(), for a node that the survey has just vouched for: it is kept as it is for now."""
        block = self._next_block(survey.first_id)
        block.keep_node(node_id, data, survey, self._sealer)
        if self.size == 0:
            self.first_id = survey.first_id
        self.size += survey.slots
        self.entries_added += int(survey.slots)
        self.last_id = survey.last_id
        self.has_nodes = True

    def pack_nodes(self, most: int) -> int:
        """Pack up to `most` of the nodes that were kept. The number packed."""
        packed = 0
        while self.has_nodes and packed < most:
            if self._next_node >= len(self._blocks):
                self._next_node = 0
                self.has_nodes = False
            elif self._blocks[self._next_node].pack_node():
                packed += 1
            self._next_node += 1
        return packed

    def _next_block(self, entry_id: int) -> Block:
        """Seal the last block and open another one, for an entry that does not fit."""
        last = self._last
        if last is not None:
            if last.is_open():
                last.seal(self._sealer)
            self._counts.append(int(last.live))
        block = Block(self._storage)
        self._blocks.append(block)
        self._firsts.append(entry_id)
        self._last = block
        return block

    def set_last_id(self, entry_id: int) -> None:
        """entry_id: at least newest_id(). It may be below ids that were deleted, which are free again then."""
        if self._last is not None:
            self._own(len(self._blocks) - 1).drop_deleted_tail(self._sealer)
        self.last_id = entry_id

    def delete(self, entry_id: int) -> bool:
        """True when there was such an entry."""
        place = self._place(entry_id)
        if place >= len(self._blocks):
            return False
        block = self._own(place)
        if not block.delete(entry_id):
            return False
        self.size -= 1
        if place < len(self._blocks) - 1:
            self._counts.add(place, -1)
        if block.live == 0:
            self._drop_block(place)
        elif block.is_mostly_holes():
            block.seal(self._sealer)
        if entry_id > self.max_deleted_id:
            self.max_deleted_id = entry_id
        self._find_first()
        return True

    def trim_to_length(self, length: int, whole_blocks: bool, limit: int) -> int:
        """Remove the oldest entries until `length` are left. The number removed.

        whole_blocks: only what can be had by dropping whole blocks. limit: stop before more than so many are removed
        (0: no limit).
        """
        gone = 0
        removed = 0
        for block in self._blocks:
            live = int(block.live)
            if self.size <= length or (limit and removed + live > limit):
                break
            if self.size - live < length:
                if not whole_blocks:
                    count = int(self.size) - length
                    self._trim_block(gone, count)
                    removed += count
                break
            gone += 1
            removed += live
            self.size -= live
        self._trimmed(gone, removed)
        return removed

    def trim_below(self, entry_id: int, whole_blocks: bool, limit: int) -> int:
        """Remove the entries with ids below `entry_id`. The rest as trim_to_length()."""
        gone = 0
        removed = 0
        for block in self._blocks:
            live = int(block.live)
            if limit and removed + live > limit:
                break
            if block.last_slot_id() >= entry_id:
                if not whole_blocks:
                    count = block.count_below(entry_id)
                    if count == live:
                        gone += 1  # only deleted entries would be left
                        self.size -= count
                    else:
                        self._trim_block(gone, count)
                    removed += count
                break
            gone += 1
            removed += live
            self.size -= live
        self._trimmed(gone, removed)
        return removed

    def _trim_block(self, place: int, count: int) -> None:
        """Remove the oldest entries of a block that keeps some."""
        self._own(place).drop_oldest(count)
        self.size -= count
        if place < len(self._blocks) - 1:
            self._counts.add(place, -count)

    def _trimmed(self, gone: int, removed: int) -> None:
        if gone:
            self._drop_front(gone)
        if removed:
            self._find_first()

    def _drop_front(self, count: int) -> None:
        blocks = self._blocks
        if count == len(blocks):
            self._counts.forget()
        elif self._counts.is_built():
            self._counts.drop_front([int(block.live) for block in blocks[:count]])
        if count > LARGE:
            TRASH.add([blocks[:count]])
        del blocks[:count]
        del self._firsts[:count]
        self._last = blocks[len(blocks) - 1] if blocks else None

    def _drop_block(self, place: int) -> None:
        """Remove a block that is empty."""
        if place == 0:
            self._drop_front(1)
            return
        self._counts.forget()
        del self._blocks[place]
        del self._firsts[place]
        self._last = self._blocks[len(self._blocks) - 1]

    def _find_first(self) -> None:
        self.first_id = self._blocks[0].first_id() if self._blocks else 0

    # -- reading

    def newest_id(self) -> int:
        """The greatest id of an entry that is there; 0 when there is none."""
        block = self._last
        return 0 if block is None else block.last_id()

    def get(self, entry_id: int) -> list[bytes] | None:
        """The fields of an entry, or None."""
        place = self._place(entry_id)
        return self._blocks[place].get(entry_id) if place < len(self._blocks) else None

    def range(self, start: int, end: int, limit: int, reverse: bool) -> Entries:
        """The entries with start <= id <= end, at most `limit` of them (-1: all); newest first with `reverse`."""
        found = Entries()
        if start > end or limit == 0 or self.size == 0:
            return found
        blocks = self._blocks
        first = self._place(start)
        last = self._place(end)
        step: i64 = -1 if reverse else 1
        i: i64 = last if reverse else first
        steps: i64 = last - first + 1
        while steps > 0:
            blocks[i].collect(found, start, end, limit - len(found.ids) if limit >= 0 else -1, reverse)
            if limit >= 0 and len(found.ids) >= limit:
                break
            i += step
            steps -= 1
        return found

    def range_encoded(self, start: int, end: int, limit: int, reverse: bool, with_ids: bool = False) -> Encoded:
        """As range(), in the form of the wire."""
        found = Encoded(with_ids)
        if start > end or limit == 0 or self.size == 0:
            return found
        first: i64 = self._place(start)
        last: i64 = self._place(end)
        step: i64 = -1 if reverse else 1
        i: i64 = last if reverse else first
        steps: i64 = last - first + 1
        while steps > 0:
            self._blocks[i].collect_encoded(found, start, end, limit - found.count if limit >= 0 else -1, reverse)
            if limit >= 0 and found.count >= limit:
                break
            i += step
            steps -= 1
        return found

    def _place(self, entry_id: int) -> int:
        """Index of the block that has `entry_id` if any has: the last that does not begin after it, else the first."""
        if self._last is not None and entry_id >= self._firsts[-1]:
            return len(self._firsts) - 1
        return max(bisect_right(self._firsts, entry_id) - 1, 0)

    def block_span(self, entry_id: int) -> tuple[int, int]:
        """(greatest id, live entries) of the first block with ids from `entry_id` on; (MAX_ID, 0): there is none."""
        place = self._place(entry_id)
        if place < len(self._blocks) and self._blocks[place].last_slot_id() < entry_id:
            place += 1
        if place >= len(self._blocks):
            return MAX_ID, 0
        return self._blocks[place].last_slot_id(), int(self._blocks[place].live)

    def live_after(self, entry_id: int) -> int:
        """How many entries have ids above `entry_id`. O(log n + block)."""
        if self.size == 0 or entry_id >= self.last_id:
            return 0
        if entry_id < self.first_id:
            return int(self.size)
        place = self._place(entry_id)
        return int(self.size) - self._live_before(place) - self._blocks[place].count_below(entry_id + 1)

    def _live_before(self, place: int) -> int:
        """Live entries in the blocks before `place`."""
        if place == 0:
            return 0
        last = len(self._blocks) - 1
        if place == last:
            return int(self.size - self._blocks[last].live)
        if not self._counts.is_built():
            self._counts.build([int(block.live) for block in self._blocks[:last]])
        return self._counts.before(place)

    # -- how far groups have read. But for the lag, Redis's rules: t_stream.c

    def has_gap_after(self, entry_id: int) -> bool:
        """Whether an entry was deleted by name at or after `entry_id`, within what is left of the stream.

        Redis: streamRangeHasTombstones.
        """
        if self.size == 0 or self.max_deleted_id == 0 or self.first_id > self.max_deleted_id:
            return False
        return entry_id <= self.max_deleted_id

    def entries_up_to(self, entry_id: int) -> int:
        """How many entries were added up to `entry_id`, ever, or UNKNOWN.

        Redis: streamEstimateDistanceFromFirstEverEntry.
        """
        if self.entries_added == 0:
            return 0
        if self.size == 0 and entry_id <= self.last_id:
            return self.entries_added
        if 0 < entry_id < self.max_deleted_id:
            return UNKNOWN
        if entry_id == self.last_id:
            return self.entries_added
        if entry_id > self.last_id:
            return UNKNOWN
        if self.max_deleted_id == 0 or self.max_deleted_id < self.first_id:
            if entry_id < self.first_id:
                return self.entries_added - int(self.size)
            if entry_id == self.first_id:
                return self.entries_added - int(self.size) + 1
        return UNKNOWN

    def lag(self, group: Group) -> int:
        """How many entries `group` has yet to read, counted.

        Redis computes it from counters and replies null after an XDEL ahead of the group (streamReplyWithCGLag), and
        what XGROUP SETID ... ENTRIESREAD said shows in it.
        """
        return self.live_after(group.last_id)

    def advance(self, group: Group, entry_id: int) -> None:
        """`group` reads the entry `entry_id`, the next one after its last_id. Redis: streamReplyWithRange."""
        if group.entries_read != UNKNOWN and group.last_id >= self.first_id and not self.has_gap_after(group.last_id):
            group.entries_read += 1
        elif self.entries_added:
            group.entries_read = self.entries_up_to(entry_id)
        group.last_id = entry_id

    def advance_over(self, group: Group, count: int, first: int, last: int) -> bool:
        """advance() over `count` entries in a row. False, and nothing is done, when each has to be looked at."""
        read = group.entries_read
        before = group.last_id
        if before < self.first_id:  # what ENTRIESREAD said does not count, as in advance()
            read = self.entries_up_to(first) - 1 if self.entries_added else UNKNOWN
            before = first
        if read < 0 or self.has_gap_after(before):
            return False
        group.entries_read = read + count
        group.last_id = last
        return True

    # -- the whole

    def block_count(self) -> int:
        return len(self._blocks)

    def blocks(self) -> list[Block]:
        """To walk them in parts. Not to be changed; a sealed one changes only in what is deleted of it."""
        return self._blocks

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        found: list[object] = [self._blocks, self._firsts, self.groups]
        if self.settings is not None:
            found += self.settings.parts()
        return found

    def copy(self) -> "Stream":
        other = Stream(self._storage)
        other._blocks = [block.copy() for block in self._blocks]
        other.groups = {name: group.copy() for name, group in self.groups.items()}
        self._copy_into(other)
        return other

    def _copy_into(self, other: "Stream") -> None:
        """All but the blocks and the groups, which it has already."""
        other._firsts = list(self._firsts)
        other.has_nodes = self.has_nodes
        other._last = other._blocks[-1] if other._blocks else None
        other.size = self.size
        other.first_id = self.first_id
        other.last_id = self.last_id
        other.max_deleted_id = self.max_deleted_id
        other.entries_added = self.entries_added
        other.settings = None if self.settings is None else self.settings.copy()

    def frozen(self) -> "Stream":
        """As it is now, for reading only, whatever is done to this one until thaw().

        O(blocks + pending entries / 512 + consumers): sealed blocks, and those of pending entries, are shared, and
        copied before they change; the open one and the settings are copied. One frozen copy at a time.
        """
        other = Stream(self._storage)
        other._blocks = list(self._blocks)
        self._kept = {id(block): block for block in self._blocks}
        last = self._last
        if last is not None and not last.is_sealed():
            other._blocks[-1] = last.copy()
            self._kept.pop(id(last))  # it goes on being appended to
        other.groups = {name: group.frozen() for name, group in self.groups.items()}
        self._copy_into(other)
        return other

    def thaw(self) -> None:
        """The frozen copy is not needed any more."""
        self._kept = None
        for group in self.groups.values():
            group.thaw()

    def _own(self, place: int) -> Block:
        """A block in which something is to be deleted: a copy takes its place if a frozen stream has it, too."""
        block = self._blocks[place]
        if self._kept is not None and id(block) in self._kept:
            block = block.copy()
            self._blocks[place] = block
            if place == len(self._blocks) - 1:
                self._last = block
        return block

    def approximate_bytes(self) -> int:
        """Memory of the whole stream with its groups and settings, projected from a sample of its blocks.

        O(consumers + producers).
        """
        count = len(self._blocks)
        sample = self._blocks if count < _SAMPLED_FROM else self._blocks[:: count // _SAMPLED_FROM + 1]
        total = 0
        for block in sample:
            total += block.approximate_bytes()
        total = 500 + (total * count // len(sample) if sample else 0)
        for name, group in self.groups.items():
            total += len(name) + group.approximate_bytes()
        if self.settings is not None:
            total += self.settings.approximate_bytes()
        return total
