"""Values in the form of RDB: the number of their kind, and their bytes. Redis: rdbSaveObjectType, rdbSaveObject.

A value of a few hundred elements is written in one go: put_value(). A larger one is written in pieces, by Pieces, of
some hundred elements, or 64 KiB, each, so that whoever writes millions of them can do other things in between; it must
not change meanwhile.

Costs: O(bytes); the kind O(1).
"""

from struct import pack
from typing import Final

from mypy_extensions import i64

from broker.datatypes.field_deadlines import NEVER
from broker.datatypes.frozen_text import FrozenText
from broker.datatypes.hashes import HashValue
from broker.datatypes.listpack import ListpackWriter, listpack
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import Stream
from broker.protocol.numbers import format_double
from broker.rdb import codes
from broker.rdb.extras import ExtrasWriter, put_record
from broker.rdb.lengths import length_bytes, put_string
from broker.rdb.limits import Format
from broker.rdb.long_text import LONG, LongText
from broker.rdb.old_encodings import intset
from broker.rdb.streams_out import StreamPieces

_AT_ONCE: Final = 1024  # elements of a value that is written in one go
_PIECE_BYTES: Final = 64 * 1024
_NODE_BYTES: Final = 8192  # of a node of a list: Redis's list-max-listpack-size -2
_INTEGRAL: Final = float(1 << 52)  # whole numbers below it are written as such in listpacks. Redis: double2ll


def kind_of(value: object, form: Format) -> int:
    """The number that stands before a value. What is written in pieces has no flat form."""
    limits = form.limits
    is_short = not is_large(value)
    if isinstance(value, (bytes, bytearray, FrozenText)):
        return codes.STRING
    if isinstance(value, HashValue):
        if value.deadlines is not None and len(value.deadlines) and form.version >= codes.FIELD_EXPIRY:
            return codes.HASH_LISTPACK_EX if is_short and limits.is_small_hash(value) else codes.HASH_METADATA
        return codes.HASH_LISTPACK if is_short and limits.is_small_hash(value) else codes.HASH
    if isinstance(value, ListValue):
        return codes.LIST_QUICKLIST_2 if is_short else codes.LIST
    if isinstance(value, SetValue):
        if is_short and limits.is_intset(value):
            return codes.SET_INTSET
        return codes.SET_LISTPACK if is_short and form.version >= 11 and limits.is_small_set(value) else codes.SET
    if isinstance(value, SortedSet):
        return codes.ZSET_LISTPACK if is_short and limits.is_small_zset(value) else codes.ZSET_2
    if isinstance(value, Stream):
        return codes.STREAM_3 if form.version >= codes.ACTIVE_TIMES else codes.STREAM_2
    raise TypeError(f"no value of the keyspace: {type(value).__name__}")


def is_large(value: object) -> bool:
    """Whether it is worth writing in pieces."""
    if isinstance(value, Stream):
        return len(value) > _AT_ONCE or len(value.groups) > 0
    if isinstance(value, (bytes, bytearray, FrozenText)):
        return len(value) > LONG
    if isinstance(value, ListValue):
        return len(value) > _AT_ONCE or _is_heavy(value)
    if isinstance(value, HashValue | SetValue | SortedSet):
        return len(value) > _AT_ONCE or len(value) * int(value.longest) > LONG
    return False


def _is_heavy(value: ListValue) -> bool:
    size: i64 = 0
    for block in value.blocks():
        for item in block:
            size += len(item)
    return size > LONG


def put_value(value: object, kind: int, form: Format, out: list[bytes]) -> None:
    """Without the number of its kind, with what only we know of it; kind: from kind_of()."""
    if is_large(value):
        _put_pieces(value, form, out)
        return
    if isinstance(value, bytes):
        put_string(value, form.compressed, out)
    elif isinstance(value, bytearray):
        put_string(bytes(value), form.compressed, out)
    elif kind == codes.HASH_LISTPACK_EX:
        assert isinstance(value, HashValue)
        _put_timed(value, form, out)
    elif kind in _FLAT:
        put_string(_flat(value, kind), form.compressed, out)
    elif kind == codes.LIST_QUICKLIST_2:
        assert isinstance(value, ListValue)
        _put_nodes(value.values(), form, out)
    else:
        _put_pieces(value, form, out)
        return
    if has_extras(value, form):
        extras = ExtrasWriter(value, form.version)
        record = extras.next()
        while record is not None:
            put_record(record, form.compressed, out)
            record = extras.next()


def _put_pieces(value: object, form: Format, out: list[bytes]) -> None:
    pieces = Pieces(value, form)
    while pieces.put_some(out):
        pass


def has_extras(value: object, form: Format) -> bool:
    """Whether there may be something of it that only we know."""
    if isinstance(value, Stream):
        return value.settings is not None or len(value.groups) > 0
    return isinstance(value, HashValue) and value.deadlines is not None and form.version < codes.FIELD_EXPIRY


_FLAT: Final = frozenset([codes.HASH_LISTPACK, codes.SET_INTSET, codes.SET_LISTPACK, codes.ZSET_LISTPACK])


def _flat(value: object, kind: int) -> bytes:
    """A value as one listpack, or intset."""
    kept = _listpack_kept(value)
    if kept is not None and kind != codes.SET_INTSET:
        return kept
    writer = ListpackWriter()
    if isinstance(value, HashValue):
        for shard in value.fields.shards():
            for field, text in shard.items():
                assert isinstance(text, bytes)
                writer.add(field)
                writer.add(text)
    elif isinstance(value, SortedSet):
        for score, member in value.items():
            writer.add(member)
            _add_score(writer, score)
    elif isinstance(value, SetValue):
        members = value.members.key_list()
        if kind == codes.SET_INTSET:
            numbers = [int(member) for member in members]
            numbers.sort()
            return intset(numbers)
        return listpack(members)
    return writer.finish()


def _listpack_kept(value: object) -> bytes | None:
    """That of a value that is still as it came from a file."""
    if isinstance(value, HashValue):
        return value.packed if value.is_listpack else None
    if isinstance(value, SetValue):
        return value.packed if value.is_listpack else None
    if isinstance(value, SortedSet):
        return value.packed if value.is_listpack else None
    return None


def _put_timed(value: HashValue, form: Format, out: list[bytes]) -> None:
    """The least time; then field, value and time in the order of times, those without one at the end."""
    timed: list[tuple[int, bytes]] = []
    for field in value.fields.key_list():
        when = value.time_of(field)
        timed.append((when if when >= 0 else NEVER, field))
    timed.sort()
    out.append(timed[0][0].to_bytes(8, "little"))
    writer = ListpackWriter()
    for when, field in timed:
        writer.add(field)
        writer.add(value.get(field) or b"")
        writer.add_number(0 if when == NEVER else when)
    put_string(writer.finish(), form.compressed, out)


def _add_score(writer: ListpackWriter, score: float) -> None:
    if -_INTEGRAL < score < _INTEGRAL and score == int(score):
        writer.add_number(int(score))
    else:
        writer.add(format_double(score))


def _put_nodes(items: list[bytes], form: Format, out: list[bytes]) -> None:
    """A list as listpacks of up to 8 KiB, or of one element that is longer."""
    nodes: list[bytes] = []
    writer = ListpackWriter()
    for item in items:
        if writer.count > 0 and writer.size + len(item) + 2 > _NODE_BYTES:
            nodes.append(writer.finish())
            writer = ListpackWriter()
        writer.add(item)
    nodes.append(writer.finish())
    out.append(length_bytes(len(nodes)))
    for node in nodes:
        out.append(length_bytes(codes.PACKED_NODE))
        put_string(node, form.compressed, out)


class Pieces:
    """A value that is written a few hundred elements at a time, without the number of its kind, and then what only we
    know of it (extras.py).
    """

    def __init__(self, value: object, form: Format) -> None:
        self._value = value
        self._form = form
        self._at: i64 = -1  # the next part of the value; -1: nothing is written yet
        self._strings: list[bytes] = []  # of that part
        self._string: i64 = 0  # of them, the next one to be written
        self._text: LongText | None = None
        self._stream: StreamPieces | None = None
        self._extras: ExtrasWriter | None = None  # once the value is written
        self._least_ms = -1  # of the times of fields, where they are written with the hash
        if isinstance(value, Stream):
            self._stream = StreamPieces(value, form)
        elif isinstance(value, (bytes, bytearray, FrozenText)):
            self._text = LongText(value, form.compressed)
        elif isinstance(value, HashValue) and kind_of(value, form) == codes.HASH_METADATA:
            deadlines = value.deadlines
            if deadlines is not None:
                self._least_ms = int(deadlines.next_ms)

    def put_some(self, out: list[bytes]) -> bool:
        """True when there is more."""
        extras = self._extras
        if extras is None:
            if self._put_part(out):
                return True
            if not has_extras(self._value, self._form):
                return False
            self._extras = ExtrasWriter(self._value, self._form.version)
            return True
        record = extras.next()
        if record is None:
            return False
        put_record(record, self._form.compressed, out)
        return True

    def _put_part(self, out: list[bytes]) -> bool:
        value = self._value
        if self._stream is not None:
            return self._stream.put_some(out)
        if self._text is not None:
            return self._text.put_some(out)
        if self._at < 0:
            self._put_head(value, out)
            self._at = 0
        if isinstance(value, SortedSet):
            return self._put_scored(value, out)
        if isinstance(value, HashValue):
            shards = value.fields.shards()
            if self._least_ms >= 0:
                put_timed_pairs(value, shards[self._at], self._least_ms, self._form.compressed, out)
                self._at += 1
                return self._at < len(shards)
            if not self._strings:
                self._strings = flat_pairs(shards[self._at])
            return self._put_strings(out, len(shards))
        if isinstance(value, SetValue):
            shards = value.members.shards()
            if not self._strings:
                self._strings = list(shards[self._at])
            return self._put_strings(out, len(shards))
        assert isinstance(value, ListValue)
        blocks = value.blocks()
        self._strings = blocks[self._at]
        return self._put_strings(out, len(blocks))

    def _put_head(self, value: object, out: list[bytes]) -> None:
        assert isinstance(value, HashValue | ListValue | SetValue | SortedSet)
        if self._least_ms >= 0:
            out.append(self._least_ms.to_bytes(8, "little"))
        out.append(length_bytes(len(value)))

    def _put_strings(self, out: list[bytes], parts: i64) -> bool:
        """Some strings of the part. parts: how many there are."""
        strings = self._strings
        compressed = self._form.compressed
        count: i64 = len(strings)
        i = self._string
        left: i64 = _PIECE_BYTES
        while i < count and left > 0:
            text = strings[i]
            left -= len(text)
            put_string(text, compressed, out)
            i += 1
        self._string = i
        if i < count:
            return True
        self._string = 0
        self._strings = []
        self._at += 1
        return self._at < parts

    def _put_scored(self, value: SortedSet, out: list[bytes]) -> bool:
        """From the greatest down, as Redis does: then each is put in front of the others when it is read. _at: how many
        are written."""
        some: i64 = min(_AT_ONCE, max(1, _PIECE_BYTES // (value.longest + 1)))
        stop: i64 = len(value) - self._at
        items = value.slice(int(max(stop - some, 0)), int(stop))
        items.reverse()
        for score, member in items:
            put_string(member, self._form.compressed, out)
            out.append(pack("<d", score))
        self._at += some
        return stop > some


def flat_pairs(pairs: dict[bytes, object]) -> list[bytes]:
    """Fields and values of a hash, one after another."""
    flat: list[bytes] = []
    for field, text in pairs.items():
        assert isinstance(text, bytes)
        flat.append(field)
        flat.append(text)
    return flat


def put_timed_pairs(
    value: HashValue, pairs: dict[bytes, object], least_ms: int, compressed: bool, out: list[bytes]
) -> None:
    """Time, field and value. The time is 0 for none, 1 for the least one."""
    for field, text in pairs.items():
        assert isinstance(text, bytes)
        when = value.time_of(field)
        out.append(length_bytes(when - least_ms + 1 if when >= 0 else 0))
        put_string(field, compressed, out)
        put_string(text, compressed, out)


def value_bytes(value: object, form: Format) -> bytes:
    """The number of its kind, the value, and what only we know of it."""
    kind = kind_of(value, form)
    out: list[bytes] = [bytes([kind])]
    put_value(value, kind, form, out)
    return b"".join(out)
