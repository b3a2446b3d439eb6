"""A stream as the commands that make it, a few at a time. Redis: rewriteStreamObject in aof.c.

XCLAIM gives nobody an entry that is not there any more; but what is pending may have been deleted since. Such entries
are added with the others, and deleted again at the end. (Redis loses them here.)

Costs: put_some() a block of entries, or some hundred pending ones; the deleted ones among these are sorted at once.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.stream_groups import Consumer, Group
from broker.datatypes.streams import Stream, format_id
from broker.persistence.log_records import put_key_record
from broker.protocol.encoder import encode_request
from broker.rdb.codes import ACTIVE_TIMES
from broker.rdb.extras import ExtrasWriter
from broker.rdb.streams_out import consumers_of

_SOME: Final = 256  # pending entries of a step
_DELETED: Final = 64  # ids of one XDEL
_TIMES: Final = 32  # consumers of one record
_MAX_ID: Final = 1 << 128

_SEARCH: Final = 0  # for pending entries that were deleted
_BLOCKS: Final = 1
_FACTS: Final = 2
_GROUP: Final = 3
_PENDING: Final = 4
_CLEANING: Final = 5
_RECORDS: Final = 6


class StreamCommands:
    def __init__(self, database: int, key: bytes, stream: Stream) -> None:
        self._database = database
        self._key = key
        self._stream = stream
        self._groups = list(stream.groups.items())
        self._group: i64 = 0
        self._phase: i64 = _SEARCH if self._groups else _BLOCKS
        self._at: i64 = 0  # the next block, or the next of the deleted ones
        self._after = 0  # pending ids from here on come next
        self._gone: list[int] = []  # pending, but deleted
        self._consumers: list[tuple[bytes, Consumer]] = []  # of the group; the next one last
        self._extras: ExtrasWriter | None = None

    def put_some(self, out: list[bytes]) -> bool:
        """True when there is more."""
        phase = self._phase
        if phase == _SEARCH:
            self._search()
        elif phase == _BLOCKS:
            self._put_block(out)
        elif phase == _FACTS:
            self._put_facts(out)
            self._phase = _GROUP
        elif phase == _GROUP:
            self._put_group(out)
        elif phase == _PENDING:
            self._put_pending(out)
        elif phase == _CLEANING:
            self._clean(out)
        else:
            return self._put_record(out)
        return True

    # -- entries

    def _search(self) -> None:
        group = self._groups[self._group][1]
        ids = group.pending.from_id(self._after, _SOME)
        for entry_id in ids:
            if self._stream.get(entry_id) is None:
                self._gone.append(entry_id)
        if len(ids) == _SOME:
            self._after = ids[_SOME - 1] + 1
            return
        self._after = 0
        self._group += 1
        if self._group == len(self._groups):
            self._group = 0
            self._gone = sorted(set(self._gone))
            self._phase = _BLOCKS

    def _put_block(self, out: list[bytes]) -> None:
        blocks = self._stream.blocks()
        if self._at < len(blocks):
            entries = blocks[self._at].entries_apart()
            for slot in range(len(entries.ids)):
                fields = entries.fields[slot]
                assert fields is not None
                self._put_gone(entries.ids[slot], out)
                encode_request([b"XADD", self._key, format_id(entries.ids[slot]), *fields], out)
        self._at += 1
        if self._at < len(blocks):
            return
        self._put_gone(_MAX_ID, out)
        self._after = 0
        self._phase = _FACTS
        if not len(self._stream) and not self._gone:
            encode_request([b"XADD", self._key, b"MAXLEN", b"0", b"0-1", b"x", b"y"], out)

    def _put_gone(self, before: int, out: list[bytes]) -> None:
        """Those that come before an id. _after: the number of those that are there by now."""
        gone = self._gone
        while self._after < len(gone) and gone[self._after] < before:
            encode_request([b"XADD", self._key, format_id(gone[self._after]), b"x", b"y"], out)
            self._after += 1

    def _put_facts(self, out: list[bytes]) -> None:
        stream = self._stream
        last, added = stream.last_id, stream.entries_added
        if self._phase == _FACTS and self._gone:  # those are there for now
            last = max(last, self._gone[len(self._gone) - 1])
            added = max(added, len(stream) + len(self._gone))
        deleted = format_id(min(stream.max_deleted_id, stream.last_id))  # logs of old may have it the wrong way round
        more = [b"ENTRIESADDED", b"%d" % added, b"MAXDELETEDID", deleted]
        encode_request([b"XSETID", self._key, format_id(last), *more], out)

    # -- groups

    def _put_group(self, out: list[bytes]) -> None:
        self._after = 0
        if self._group == len(self._groups):
            self._at = 0
            self._phase = _CLEANING
            return
        name, group = self._groups[self._group]
        read = b"%d" % group.entries_read
        encode_request([b"XGROUP", b"CREATE", self._key, name, format_id(group.last_id), b"ENTRIESREAD", read], out)
        self._consumers = consumers_of(group)
        for consumer_name, _ in self._consumers:
            encode_request([b"XGROUP", b"CREATECONSUMER", self._key, name, consumer_name], out)
        self._consumers.reverse()
        self._phase = _PENDING

    def _put_pending(self, out: list[bytes]) -> None:
        name, group = self._groups[self._group]
        if not self._consumers:
            self._put_times(name, group, out)
            self._group += 1
            self._phase = _GROUP
            return
        consumer_name, consumer = self._consumers[len(self._consumers) - 1]
        ids = consumer.order.from_id(self._after, _SOME)
        for entry_id in ids:
            pending = group.pending[entry_id]
            given = [b"TIME", b"%d" % pending.delivered_ms, b"RETRYCOUNT", b"%d" % pending.deliveries]
            claim = [b"XCLAIM", self._key, name, consumer_name, b"0", format_id(entry_id)]
            encode_request([*claim, *given, b"JUSTID", b"FORCE"], out)
        if len(ids) == _SOME:
            self._after = ids[_SOME - 1] + 1
            return
        self._after = 0
        self._consumers.pop()

    def _put_times(self, name: bytes, group: Group, out: list[bytes]) -> None:
        """When consumers were seen: the commands before say that it is now."""
        consumers = consumers_of(group)
        for start in range(0, len(consumers), _TIMES):
            record = [b"times", name]
            for consumer_name, consumer in consumers[start : start + _TIMES]:
                record += [consumer_name, b"%d" % consumer.seen_ms, b"%d" % consumer.active_ms]
            put_key_record(self._database, self._key, record, out)

    # -- the end

    def _clean(self, out: list[bytes]) -> None:
        some = self._gone[self._at : self._at + _DELETED]
        if some:
            encode_request([b"XDEL", self._key, *[format_id(entry_id) for entry_id in some]], out)
        self._at += _DELETED
        if self._at < len(self._gone):
            return
        if self._gone:
            self._put_facts(out)
        self._extras = ExtrasWriter(self._stream, ACTIVE_TIMES)
        self._phase = _RECORDS

    def _put_record(self, out: list[bytes]) -> bool:
        assert self._extras is not None
        record = self._extras.next()
        if record is None:
            return False
        put_key_record(self._database, self._key, record, out)
        return True
