"""Values read from the form of RDB, of any version. Redis: rdbLoadObject in rdb.c.

A value is read in steps: begin() reads what stands in one string, or the number of elements, and step() some of these,
so that whoever reads millions of them can do other things in between. Nothing is believed: what is no value raises
BadData.

Costs: O(bytes).
"""

import math
from typing import Final

from mypy_extensions import i64

from broker.datatypes.hashes import HashValue, hash_of_listpack
from broker.datatypes.listpack import read_listpack
from broker.datatypes.listpack_survey import Survey
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue, set_of_listpack
from broker.datatypes.sorted_sets import Falling, from_scores, zset_of_listpack
from broker.protocol.numbers import I64_MAX, parse_float
from broker.rdb import codes
from broker.rdb.codes import BadData
from broker.rdb.old_encodings import read_intset, read_ziplist, read_zipmap
from broker.rdb.source import Source
from broker.rdb.streams_in import StreamReader

_MODULE_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SPELLED: Final[dict[int, float]] = {253: math.nan, 254: math.inf, 255: -math.inf}


class ValueReader:
    """One value at a time. value: what begin() and step() have made of it so far; None: it is empty.

    field_times: (field, Unix time in ms) of the fields of a hash that expire. is_valkey: as in files of Valkey, where
    the number 22 means another kind.
    """

    def __init__(self, source: Source, is_valkey: bool) -> None:
        self._source = source
        self._is_valkey = is_valkey
        self._kind: i64 = 0
        self._left: i64 = 0  # elements still to be read
        self._base_ms: int = 0  # what times of fields are counted from
        self._scored_members: Falling | None = None
        self._stream: StreamReader | None = None
        self._survey = Survey()
        self.value: object | None = None
        self.field_times: list[tuple[bytes, int]] = []

    def begin(self, kind: int) -> bool:
        """True when there is more to read, by step()."""
        self.value = None
        self.field_times = []
        source = self._source
        if kind == codes.STRING:
            self.value = source.string()
            return False
        self._kind = kind
        if kind in (codes.STREAM, codes.STREAM_2, codes.STREAM_3):
            stream = StreamReader(source, kind)
            self._stream = stream
            self.value = stream.stream
            return True
        if kind in _COUNTED:
            return self._begin_counted(kind)
        if kind == codes.HASH_LISTPACK_EX:
            source.milliseconds()  # the least of the times that follow
        if kind in (codes.HASH_LISTPACK_EX, codes.HASH_LISTPACK_EX_PRE_GA):
            self._timed_pairs(read_listpack(source.string()))
        elif kind in _FLAT:
            self._flat(kind, source.string())
        else:
            raise _unknown(source, kind)
        return False

    def _begin_counted(self, kind: int) -> bool:
        if kind == codes.HASH_METADATA:
            self._base_ms = self._source.milliseconds()
        elif kind == codes.HASH_METADATA_PRE_GA and self._is_valkey:
            self._kind = _VALKEY_HASH
        self._left = self._source.count()
        if self._left == 0:
            return False
        if kind in (codes.LIST, codes.LIST_QUICKLIST, codes.LIST_QUICKLIST_2):
            self.value = ListValue()
        elif kind == codes.SET:
            members = SetValue()
            members.reserve(int(self._left))
            self.value = members
        elif kind in (codes.ZSET, codes.ZSET_2):
            self._scored_members = Falling(int(self._left))
        else:
            fields = HashValue()
            fields.reserve(int(self._left))
            self.value = fields
        return True

    def step(self, most: int) -> bool:
        """Read up to about `most` elements; True when there is more."""
        stream = self._stream
        if stream is not None:
            if stream.step(most):
                return True
            self._stream = None
            return False
        count: i64 = min(most, int(self._left))
        self._left -= count
        value = self.value
        if isinstance(value, HashValue):
            self._read_pairs(value, count)
        elif isinstance(value, ListValue):
            self._read_elements(value, count)
        elif isinstance(value, SetValue):
            self._read_members(value, count)
        else:
            self._read_scored(count)
        if self._left > 0:
            return True
        if isinstance(value, ListValue) and len(value) == 0:
            self.value = None
        elif self._scored_members is not None:
            self.value = self._scored_members.finish()
            self._scored_members = None
        return False

    # -- element by element

    def _read_elements(self, value: ListValue, count: i64) -> None:
        source = self._source
        for _ in range(count):
            if self._kind == codes.LIST:
                value.push_right(source.string())
                continue
            container = source.length() if self._kind == codes.LIST_QUICKLIST_2 else codes.PACKED_NODE
            if container == codes.PLAIN_NODE:
                value.push_right(source.string())
                continue
            if container != codes.PACKED_NODE:
                raise BadData(f"a node of a list of the unknown form {container}")
            is_new = self._kind == codes.LIST_QUICKLIST_2
            value.extend(read_listpack(source.string()) if is_new else read_ziplist(source.string()))

    def _read_members(self, value: SetValue, count: i64) -> None:
        source = self._source
        for _ in range(count):
            if not value.add(source.string()):
                raise BadData("a set that has a member twice")

    def _read_scored(self, count: i64) -> None:
        source = self._source
        scored = self._scored_members
        assert scored is not None
        for _ in range(count):
            member = source.string()
            score = source.double() if self._kind == codes.ZSET_2 else self._spelled_score()
            if math.isnan(score):
                raise BadData("a score that is no number")
            if not scored.add(member, score):
                raise BadData("a sorted set that has a member twice")

    def _spelled_score(self) -> float:
        """As text with its length, or a length that means no number or infinity. Redis: rdbLoadDoubleValue."""
        size = int(self._source.byte())
        if size in _SPELLED:
            return _SPELLED[size]
        return _score(self._source.take(size))

    def _read_pairs(self, value: HashValue, count: i64) -> None:
        source = self._source
        kind = self._kind
        for _ in range(count):
            when = 0
            if kind == codes.HASH_METADATA or kind == codes.HASH_METADATA_PRE_GA:
                when = source.length()
                if when and kind == codes.HASH_METADATA:
                    when += self._base_ms - 1
            field = source.string()
            if not value.set(field, source.string()):
                raise BadData("a hash that has a field twice")
            if kind == _VALKEY_HASH:
                when = max(source.milliseconds(), 0)
            if when > I64_MAX:
                raise BadData("a field of a hash with a time beyond 64 bits")
            if when:
                self.field_times.append((field, when))

    # -- all in one string

    def _flat(self, kind: int, data: bytes) -> None:
        if kind == codes.SET_INTSET:
            self._members([b"%d" % number for number in read_intset(data)])
        elif kind == codes.SET_LISTPACK:
            self.value = set_of_listpack(data, self._survey)
            if self.value is None:
                self._members(read_listpack(data))
        elif kind == codes.HASH_LISTPACK:
            self.value = hash_of_listpack(data, self._survey)
            if self.value is None:
                self._pairs(read_listpack(data))
        elif kind == codes.ZSET_LISTPACK:
            self.value = zset_of_listpack(data, self._survey)
            if self.value is None:
                self._scored(read_listpack(data))
        elif kind == codes.HASH_ZIPLIST:
            self._pairs(read_ziplist(data))
        elif kind == codes.HASH_ZIPMAP:
            self._pairs(read_zipmap(data))
        elif kind == codes.LIST_ZIPLIST:
            elements = ListValue()
            elements.extend(read_ziplist(data))
            self.value = elements if len(elements) else None
        else:
            self._scored(read_ziplist(data))

    def _members(self, items: list[bytes]) -> None:
        made = SetValue()
        for member in items:
            if not made.add(member):
                raise BadData("a set that has a member twice")
        self.value = made if items else None

    def _pairs(self, items: list[bytes]) -> None:
        made = HashValue()
        size: i64 = len(items)
        if size & 1:
            raise BadData("a hash with a field that has no value")
        i: i64 = 0
        while i < size:
            if not made.set(items[i], items[i + 1]):
                raise BadData("a hash that has a field twice")
            i += 2
        self.value = made if size else None

    def _timed_pairs(self, items: list[bytes]) -> None:
        """field, value, Unix time in ms or 0 ..."""
        if len(items) % 3:
            raise BadData("a hash whose fields lack values or times")
        flat: list[bytes] = []
        for i in range(0, len(items), 3):
            flat.append(items[i])
            flat.append(items[i + 1])
            if not items[i + 2].isdigit():
                raise BadData("a time that is no number")
            if items[i + 2] != b"0":
                self.field_times.append((items[i], int(items[i + 2])))
        self._pairs(flat)

    def _scored(self, items: list[bytes]) -> None:
        """member, score, member, score ..."""
        if len(items) & 1:
            raise BadData("a sorted set with a member that has no score")
        scores: dict[bytes, float] = {}
        for i in range(0, len(items), 2):
            scores[items[i]] = _score(items[i + 1])
        if len(scores) * 2 != len(items):
            raise BadData("a sorted set that has a member twice")
        self.value = from_scores(scores) if items else None


_VALKEY_HASH: Final = 100  # a number of our own, since Valkey's is taken
_COUNTED: Final = frozenset(
    [
        codes.LIST, codes.SET, codes.ZSET, codes.HASH, codes.ZSET_2, codes.LIST_QUICKLIST, codes.LIST_QUICKLIST_2,
        codes.HASH_METADATA_PRE_GA, codes.HASH_METADATA,
    ]
)  # fmt: skip
_FLAT: Final = frozenset(
    [
        codes.HASH_ZIPMAP, codes.LIST_ZIPLIST, codes.SET_INTSET, codes.ZSET_ZIPLIST, codes.HASH_ZIPLIST,
        codes.HASH_LISTPACK, codes.ZSET_LISTPACK, codes.SET_LISTPACK,
    ]
)  # fmt: skip


def _score(text: bytes) -> float:
    score = parse_float(text)
    if score is None:
        raise BadData("a score that is no number")
    return score


def _unknown(source: Source, kind: int) -> BadData:
    if kind == codes.MODULE_2:
        return BadData(f"a value of the module type {module_name(source.length())}, which is not known here")
    if kind == codes.MODULE_PRE_GA:
        return BadData("a value of a module, in a form that no released server writes")
    return BadData(f"a value of the unknown kind {kind}")


def module_name(number: int) -> str:
    """The name of a module's type with its version: nine letters of six bits, and ten bits."""
    letters = "".join([_MODULE_LETTERS[number >> (10 + 6 * place) & 63] for place in range(8, -1, -1)])
    return f"{letters} (version {number & 1023})"


def read_value(source: Source, kind: int, is_valkey: bool) -> object | None:
    """The whole value at once; None when it is empty. Times of fields are left out: see ValueReader."""
    reader = ValueReader(source, is_valkey)
    more = reader.begin(kind)
    while more:
        more = reader.step(1 << 30)
    return reader.value
