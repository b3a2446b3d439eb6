"""Streams read from the form of RDB, in steps. Redis: rdbLoadObject in rdb.c; the listpacks, t_stream.c."""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.listpack import read_listpack
from broker.datatypes.stream_groups import UNKNOWN, Consumer, Group
from broker.datatypes.stream_nodes import NodeEntries, NodeSurvey
from broker.datatypes.streams import Stream
from broker.rdb import codes
from broker.rdb.codes import BadData
from broker.rdb.source import Source
from broker.rdb.stream_parts import BLOCKS, CONSUMER, CONSUMER_IDS, FACTS, GROUP, PENDING

_I64_MAX: Final = (1 << 63) - 1

_NODE: Final = 100  # entries, about


class StreamReader:
    """The stream that step() builds. Entries come in nodes, which are kept as blocks as they are; those with deleted
    entries or oddities become sealed blocks, or an open one at the end."""

    def __init__(self, source: Source, kind: int) -> None:
        self.stream = Stream()
        self._survey = NodeSurvey()
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
            for _ in range(max(most // _NODE, 1)):
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
        node_id = int.from_bytes(base, "big")
        data = self._source.string()
        stream = self.stream
        if self._survey.look(node_id, data):
            if self._survey.first_id <= stream.last_id and len(stream):
                raise BadData("entries of a stream out of order")
            stream.append_node(node_id, data, self._survey)
            return
        entries = NodeEntries(node_id, read_listpack(data))
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
