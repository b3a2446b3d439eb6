"""Streams read from the form of RDB, in steps. Redis: rdbLoadObject in rdb.c; the listpacks, t_stream.c."""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.stream_groups import UNKNOWN, Consumer, Group
from broker.datatypes.streams import Stream
from broker.protocol.numbers import parse_int
from broker.rdb import codes
from broker.rdb.codes import BadData
from broker.rdb.listpack import read_listpack
from broker.rdb.source import Source
from broker.rdb.stream_parts import BLOCKS, CONSUMER, CONSUMER_IDS, FACTS, GROUP, PENDING, U64

_I64_MAX: Final = (1 << 63) - 1


class StreamReader:
    """The stream that step() builds. Entries come in listpacks, each of which becomes a sealed block; those of the last
    one stay open to be appended to."""

    def __init__(self, source: Source, kind: int) -> None:
        self.stream = Stream()
        self._source = source
        self._kind = kind
        self._phase: i64 = BLOCKS
        self._left: i64 = source.count()  # of what the phase reads
        self._groups: i64 = 0
        self._group = Group(0, UNKNOWN)
        self._limbo = Consumer(b"", 0)  # who has the entries of a group until its consumers are read
        self._consumers: i64 = 0
        self._consumer = self._limbo

    def step(self, most: int) -> bool:
        """True when there is more."""
        phase = self._phase
        if phase == BLOCKS:
            if self._left == 0:
                self._phase = FACTS
                return True
            self._left -= 1
            self._read_block(self._left == 0)
        elif phase == FACTS:
            self._read_facts()
        elif phase == GROUP:
            if self._groups == 0:
                return False
            self._groups -= 1
            self._read_group()
        elif phase == PENDING:
            self._read_pending(most)
        elif phase == CONSUMER:
            self._read_consumer()
        else:
            self._read_consumer_ids(most)
        return True

    # -- entries

    def _read_block(self, is_last: bool) -> None:
        base = self._source.string()
        if len(base) != 16:
            raise BadData("a block of a stream without an id")
        entries = _Entries(int.from_bytes(base, "big"), read_listpack(self._source.string()))
        stream = self.stream
        if not entries.ids:
            return  # all deleted
        if entries.ids[0] <= stream.last_id and len(stream):
            raise BadData("entries of a stream out of order")
        if is_last:
            for slot in range(len(entries.ids)):
                stream.append(entries.ids[slot], entries.row(slot))
        else:
            stream.append_sealed(entries.ids, entries.flat, int(entries.width), entries.rows)

    # -- facts

    def _read_facts(self) -> None:
        source = self._source
        stream = self.stream
        size = source.length()
        if size != len(stream):
            raise BadData(f"a stream of {size} entries that holds {len(stream)}")
        last_id = source.stream_id()
        if last_id < stream.newest_id():
            raise BadData("a stream with an entry above its last id")
        stream.last_id = last_id
        stream.entries_added = size
        if self._kind != codes.STREAM:
            source.stream_id()  # of the first entry, which we know
            stream.max_deleted_id = source.stream_id()
            stream.entries_added = source.length()
        self._groups = source.count()
        self._phase = GROUP

    # -- groups

    def _read_group(self) -> None:
        source = self._source
        stream = self.stream
        name = source.string()
        if name in stream.groups:
            raise BadData("a stream that has a group twice")
        last_id = source.stream_id()
        if self._kind == codes.STREAM:
            entries_read = stream.entries_up_to(last_id)
        else:
            entries_read = source.length()
            if entries_read > _I64_MAX:
                entries_read -= 1 << 64  # it has a sign, -1 for unknown
        self._group = Group(last_id, entries_read)
        stream.groups[name] = self._group
        self._limbo = Consumer(b"", 0)
        self._left = source.count()
        self._phase = PENDING

    def _read_pending(self, most: int) -> None:
        source = self._source
        table = self._group.pending
        count: i64 = min(most, int(self._left))
        self._left -= count
        limbo = table.number_of(self._limbo)
        for _ in range(count):
            entry_id = int.from_bytes(source.take(16), "big")
            if table.place_of(entry_id) >= 0:
                raise BadData("a group that has a pending entry twice")
            delivered_ms = source.milliseconds()
            deliveries = source.length()
            if deliveries > _I64_MAX:
                raise BadData("a pending entry that was delivered too often")
            table.add(entry_id, limbo, delivered_ms, deliveries)
        if self._left == 0:
            self._consumers = source.count()
            self._next_consumer()

    def _next_consumer(self) -> None:
        if self._consumers > 0:
            self._consumers -= 1
            self._phase = CONSUMER
            return
        owned: i64 = 0
        for consumer in self._group.consumers.values():
            owned += len(consumer.order)
        if owned != len(self._group.pending):
            raise BadData("a pending entry that no consumer has")
        self._group.pending.forget(self._limbo)
        self._phase = GROUP

    def _read_consumer(self) -> None:
        source = self._source
        name = source.string()
        if name in self._group.consumers:
            raise BadData("a group that has a consumer twice")
        self._consumer = self._group.add_consumer(name, source.milliseconds())
        self._consumer.active_ms = source.milliseconds() if self._kind == codes.STREAM_3 else self._consumer.seen_ms
        self._left = source.count()
        self._phase = CONSUMER_IDS

    def _read_consumer_ids(self, most: int) -> None:
        source = self._source
        consumer = self._consumer
        table = self._group.pending
        count: i64 = min(most, int(self._left))
        self._left -= count
        for _ in range(count):
            entry_id = int.from_bytes(source.take(16), "big")
            place = table.place_of(entry_id)
            if place < 0 or table.owner_at(place) is not self._limbo:
                raise BadData("an entry of a consumer that is not pending, or that another one has")
            pending = table.at(place)
            table.set_at(place, consumer, pending.delivered_ms, pending.deliveries)
            consumer.order.add(entry_id)
        if self._left == 0:
            self._next_consumer()


class _Entries:
    """The live entries of a listpack. Where all have the fields of the first one, as a rule: ids and `flat`, their
    fields and values one after another, `width` for each. Else ids and rows, and no width."""

    def __init__(self, base: int, items: list[bytes]) -> None:
        self.ids: list[int] = []
        self.flat: list[bytes] = []
        self.rows: list[list[bytes]] = []
        self.width: i64 = 0
        self._items = items
        self._at: i64 = 0
        self._base_ms = base >> 64
        self._base_seq = base & U64
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
        ms = (self._base_ms + self._number()) & U64
        seq = (self._base_seq + self._number()) & U64
        entry_id = ms << 64 | seq
        if flags & codes.ENTRY_SAME_FIELDS:
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
        if flags & codes.ENTRY_DELETED:
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
