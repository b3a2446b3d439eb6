"""Streams in the form of RDB: entries in listpacks under the id of the first, then what is known of the stream, then
its groups with what is pending. Redis: t_stream.c, "The entry listpack", and rdbSaveObject.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.listpack import ListpackWriter
from broker.datatypes.stream_blocks import Block, Entries
from broker.datatypes.stream_groups import Consumer, Group
from broker.datatypes.streams import Stream
from broker.rdb import codes
from broker.rdb.lengths import length_bytes, put_string
from broker.rdb.limits import Format
from broker.rdb.stream_parts import BLOCKS, CONSUMER, CONSUMER_IDS, FACTS, GROUP, PENDING, U64

_SIGN: Final = 1 << 63
_SOME: Final = 512  # pending entries of a piece
_NOBODY: Final = b""


def put_id(entry_id: int, out: list[bytes]) -> None:
    out.append(length_bytes(entry_id >> 64))
    out.append(length_bytes(entry_id & U64))


def put_block(block: Block, compressed: bool, out: list[bytes]) -> None:
    """One block as a listpack with its id."""
    out.append(_ID_HEAD)
    node = block.node()
    if node is not None:
        out.append(node[0].to_bytes(16, "big"))
        put_string(node[1], compressed, out)
        return
    entries = block.entries_apart()
    ids = entries.ids
    out.append(ids[0].to_bytes(16, "big"))
    put_string(_listpack_of(entries), compressed, out)


_ID_HEAD: Final = length_bytes(16)


def _listpack_of(entries: Entries) -> bytes:
    ids = entries.ids
    first = entries.fields[0]
    assert first is not None
    names = first[0::2]
    writer = ListpackWriter()
    writer.add_number(len(ids))
    writer.add_number(0)  # deleted ones
    writer.add_number(len(names))
    for name in names:
        writer.add(name)
    writer.add_number(0)
    base_ms = ids[0] >> 64
    base_seq = ids[0] & U64
    width: i64 = len(first)
    slot: i64 = 0
    for fields in entries.fields:
        assert fields is not None
        entry_id = ids[slot]
        slot += 1
        count: i64 = len(fields)
        is_same = fields is first or (count == width and fields[0::2] == names)
        writer.add_number(codes.ENTRY_SAME_FIELDS if is_same else 0)
        writer.add_number(_signed((entry_id >> 64) - base_ms))
        writer.add_number(_signed((entry_id & U64) - base_seq))
        if is_same:
            i: i64 = 1
            while i < count:
                writer.add(fields[i])
                i += 2
            writer.add_number(int(count >> 1) + 3)
        else:
            writer.add_number(int(count >> 1))
            for part in fields:
                writer.add(part)
            writer.add_number(int(count) + 4)
    return writer.finish()


def _signed(number: int) -> int:
    """A difference of two unsigned numbers as 64 bits with a sign hold it."""
    return ((number + _SIGN) & U64) - _SIGN


class StreamPieces:
    """A stream that is written a block, or some hundred pending entries, at a time."""

    def __init__(self, stream: Stream, form: Format) -> None:
        self._stream = stream
        self._form = form
        self._phase: i64 = BLOCKS
        self._at: i64 = 0
        self._groups = list(stream.groups.items())
        self._group: i64 = 0
        self._consumers: list[tuple[bytes, Consumer]] = []
        self._consumer: i64 = 0
        self._after = 0  # pending ids from here on are to be written

    def put_some(self, out: list[bytes]) -> bool:
        """True when there is more."""
        phase = self._phase
        if phase == BLOCKS:
            self._put_block(out)
        elif phase == FACTS:
            self._put_facts(out)
            self._phase = GROUP
            return self._has_group()
        elif phase == GROUP:
            self._put_group(out)
        elif phase == PENDING:
            self._put_pending(out)
        elif phase == CONSUMER:
            self._put_consumer(out)
        else:
            self._put_consumer_ids(out)
        return self._phase != GROUP or self._has_group()

    def _has_group(self) -> bool:
        return self._group < len(self._groups)

    def _put_block(self, out: list[bytes]) -> None:
        blocks = self._stream.blocks()
        if self._at == 0:
            out.append(length_bytes(len(blocks)))
        if self._at < len(blocks):
            put_block(blocks[self._at], self._form.compressed, out)
        self._at += 1
        if self._at >= len(blocks):
            self._phase = FACTS

    def _put_facts(self, out: list[bytes]) -> None:
        stream = self._stream
        out.append(length_bytes(len(stream)))
        put_id(stream.last_id, out)
        put_id(stream.first_id, out)
        put_id(stream.max_deleted_id, out)
        out.append(length_bytes(stream.entries_added & U64))
        out.append(length_bytes(len(self._groups)))

    def _put_group(self, out: list[bytes]) -> None:
        name, group = self._groups[self._group]
        put_string(name, self._form.compressed, out)
        put_id(group.last_id, out)
        out.append(length_bytes(group.entries_read & U64))
        out.append(length_bytes(len(group.pending)))
        self._after = 0
        self._phase = PENDING
        self._consumers = consumers_of(group)
        self._consumer = 0

    def _put_pending(self, out: list[bytes]) -> None:
        group = self._groups[self._group][1]
        ids = group.pending.from_id(self._after, _SOME)
        for entry_id in ids:
            pending = group.pending[entry_id]
            out.append(entry_id.to_bytes(16, "big"))
            out.append(pending.delivered_ms.to_bytes(8, "little", signed=True))
            out.append(length_bytes(pending.deliveries))
        if len(ids) == _SOME:
            self._after = ids[_SOME - 1] + 1
            return
        out.append(length_bytes(len(self._consumers)))
        self._next_consumer(0)

    def _next_consumer(self, number: i64) -> None:
        self._consumer = number
        if number < len(self._consumers):
            self._phase = CONSUMER
        else:
            self._group += 1
            self._phase = GROUP

    def _put_consumer(self, out: list[bytes]) -> None:
        name, consumer = self._consumers[self._consumer]
        put_string(name, self._form.compressed, out)
        out.append(consumer.seen_ms.to_bytes(8, "little", signed=True))
        if self._form.version >= codes.ACTIVE_TIMES:
            out.append(consumer.active_ms.to_bytes(8, "little", signed=True))
        out.append(length_bytes(len(consumer.order)))
        self._after = 0
        self._phase = CONSUMER_IDS

    def _put_consumer_ids(self, out: list[bytes]) -> None:
        consumer = self._consumers[self._consumer][1]
        ids = consumer.order.from_id(self._after, _SOME)
        for entry_id in ids:
            out.append(entry_id.to_bytes(16, "big"))
        if len(ids) == _SOME:
            self._after = ids[_SOME - 1] + 1
        else:
            self._next_consumer(self._consumer + 1)


def consumers_of(group: Group) -> list[tuple[bytes, Consumer]]:
    """All by name, with the one that stands for nobody if it has entries: Redis knows no entry without a consumer."""
    found = list(group.consumers.items())
    nobody = group.nobody
    if nobody is not None and len(nobody.order):
        found.append((name_of_nobody(group), nobody))
    return found


def name_of_nobody(group: Group) -> bytes:
    """The name under which released entries stand in a file: one that no consumer has."""
    name = _NOBODY
    while name in group.consumers:
        name += b"-"
    return name
