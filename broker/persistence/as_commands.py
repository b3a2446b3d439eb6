"""A key as the commands that make it, a few at a time: for a log that holds no RDB. Redis: rewriteAppendOnlyFileRio.

redis-server understands all of them. What only Millstream knows stands between them in annotations
(log_records.py), which other servers skip.

Costs: put_some() some hundred elements, or 256 KiB of a long string.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.frozen_text import FrozenText
from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import Stream
from broker.persistence.log_records import put_key_record
from broker.persistence.stream_commands import StreamCommands
from broker.protocol.encoder import encode_request
from broker.protocol.numbers import format_double
from broker.rdb.codes import FIELD_EXPIRY, NO_EXPIRY
from broker.rdb.limits import Format
from broker.rdb.long_text import LONG, Text, part_of
from broker.rdb.values_out import flat_pairs

_SOME: Final = 64  # elements of a command. Redis: AOF_REWRITE_ITEMS_PER_CMD
_SCORED: Final = 512  # members of a sorted set that are read at a time
_PART: Final = 256 * 1024

_VALUE: Final = 0
_TIMES: Final = 1  # of the fields of a hash
_EXPIRY: Final = 2


def put_select(database: int, out: list[bytes]) -> None:
    encode_request([b"SELECT", b"%d" % database], out)


class KeyCommands:
    """is_within: what comes next belongs to a command that has begun."""

    def __init__(self, database: int, key: bytes, value: object, expire_at_ms: int, form: Format) -> None:
        self.is_within = False
        self._database = database
        self._key = key
        self._value = value
        self._expire_at_ms = expire_at_ms
        self._version: i64 = form.version
        self._phase: i64 = _VALUE
        self._at: i64 = 0  # of the parts of the value, or of the bytes of a string
        self._items: list[bytes] = []  # that are not written yet, since they make no whole command
        self._stream: StreamCommands | None = None
        if isinstance(value, Stream):
            self._stream = StreamCommands(database, key, value)

    def put_some(self, out: list[bytes]) -> bool:
        """True when there is more."""
        if self._phase == _VALUE:
            if not self._put_value(out):
                self._phase = _TIMES
                self._at = 0
        elif self._phase == _TIMES:
            if not self._put_times(out):
                self._phase = _EXPIRY
        else:
            if self._expire_at_ms != NO_EXPIRY:
                encode_request([b"PEXPIREAT", self._key, b"%d" % self._expire_at_ms], out)
            return False
        return self._phase != _EXPIRY or self._expire_at_ms != NO_EXPIRY

    def _put_value(self, out: list[bytes]) -> bool:
        value = self._value
        if isinstance(value, (bytes, bytearray, FrozenText)):
            return self._put_text(value, out)
        if self._stream is not None:
            return self._stream.put_some(out)
        if isinstance(value, ListValue):
            blocks = value.blocks()
            self._items += blocks[self._at]
            return self._put_items(b"RPUSH", 1, self._at + 1 < len(blocks), out)
        if isinstance(value, SetValue):
            shards = value.members.shards()
            self._items += list(shards[self._at])
            return self._put_items(b"SADD", 1, self._at + 1 < len(shards), out)
        if isinstance(value, SortedSet):
            start = int(self._at) * _SCORED
            for score, member in value.slice(start, min(start + _SCORED, len(value))):
                self._items.append(format_double(score))
                self._items.append(member)
            return self._put_items(b"ZADD", 2, start + _SCORED < len(value), out)
        assert isinstance(value, HashValue)
        shards = value.fields.shards()
        self._items += flat_pairs(shards[self._at])
        return self._put_items(b"HSET", 2, self._at + 1 < len(shards), out)

    def _put_items(self, name: bytes, width: i64, more: bool, out: list[bytes]) -> bool:
        """Of what is there the whole commands; at the end all. width: items that belong together."""
        self._at += 1
        items = self._items
        size: i64 = _SOME * width
        at: i64 = 0
        while at + size <= len(items) or (not more and at < len(items)):
            encode_request([name, self._key, *items[at : at + size]], out)
            at += size
        self._items = items[at:]
        return more

    def _put_text(self, text: Text, out: list[bytes]) -> bool:
        size: i64 = len(text)
        if size <= LONG:
            encode_request([b"SET", self._key, part_of(text, 0, size)], out)
            return False
        if not self.is_within:
            self.is_within = True
            out.append(b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n" % (len(self._key), self._key, size))
        out.append(part_of(text, self._at, min(self._at + _PART, size)))
        self._at += _PART
        if self._at < size:
            return True
        out.append(b"\r\n")
        self.is_within = False
        return False

    def _put_times(self, out: list[bytes]) -> bool:
        """Of the fields of a hash that expire, as far as the version of RDB says that its readers know of them."""
        value = self._value
        if not isinstance(value, HashValue) or value.deadlines is None:
            return False
        shards = value.deadlines.times.shards()
        record = [b"field-times"]
        for field in shards[self._at]:
            when = b"%d" % value.time_of(field)
            if self._version >= FIELD_EXPIRY:
                encode_request([b"HPEXPIREAT", self._key, when, b"FIELDS", b"1", field], out)
            else:
                record.append(field)
                record.append(when)
        if len(record) > 1:
            put_key_record(self._database, self._key, record, out)
        self._at += 1
        return self._at < len(shards)


def put_key(database: int, key: bytes, value: object, expire_at_ms: int, form: Format, out: list[bytes]) -> None:
    """All of it at once. The database has to be selected."""
    commands = KeyCommands(database, key, value, expire_at_ms, form)
    while commands.put_some(out):
        pass
