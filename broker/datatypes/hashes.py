"""A hash: fields and their values, and when a field goes.

Costs: get, set, pop O(1), O(log n) for a field with a time; scan O(count); the rest O(n).
Invariant: `longest` and `most` never fall: they tell whether Redis would have converted the hash to a table, which it
never undoes. A field of `deadlines` is a field of `fields`.

Times of fields: `deadlines` is None as long as no field ever had one (Redis: the encodings without `ex`), and stays
when the last one is gone. `deadlines.times` is {field: Unix time in ms}; give_time() and clear_time() change it. One
whose time has come stays until somebody takes it with pop_due() or pop(): who must not see it passes `now_ms` to the
readers (-1: show everything, as whoever writes a snapshot or replays a log wants it).
"""

from sys import getsizeof
from typing import Final, cast

from mypy_extensions import i64

from broker.datatypes.field_deadlines import NEVER, Deadlines
from broker.datatypes.listpack import count_of, read_listpack
from broker.datatypes.listpack_survey import Survey
from broker.datatypes.packing import LONGEST, MOST, fits, pack, texts_in, unpack
from broker.datatypes.table import Table

_SAMPLES: Final = 32


_NOTHING: Final = Table()  # in the place of that of a packed hash, never written to


class HashValue:
    """{field: value}. `fields` and `deadlines` may be read by anybody; changes go through the methods.

    A small hash may be packed (packing.py), or a listpack as it came from a file; whoever looks at `fields` unpacks it,
    and need not know.
    """

    def __init__(self, fields: Table | None = None) -> None:
        self._fields = Table() if fields is None else fields
        self.packed: bytes | None = None  # then the table is not in use
        self.is_listpack = False  # that is what `packed` is
        self.deadlines: Deadlines | None = None
        self.longest: i64 = 0  # the greatest length that a field or a value ever had, in bytes
        self.most: i64 = 0  # the greatest number of fields that there ever was

    def __len__(self) -> int:
        """With the fields whose time has come, as HLEN counts."""
        if self.packed is None:
            return int(self._fields.size)
        return (count_of(self.packed) if self.is_listpack else texts_in(self.packed)) // 2

    @property
    def fields(self) -> Table:
        if self.packed is not None:
            self._unpack()
        return self._fields

    # -- packing

    def pack(self) -> bool:
        """Keep it as one bytes object until somebody looks. False when it is too big, or has times."""
        table = self._fields
        if self.packed is not None or self.deadlines is not None:
            return False
        if not 0 < table.size <= MOST or self.longest > LONGEST:
            return False
        texts: list[bytes] = []
        for shard in table.shards():
            for field, value in shard.items():
                texts.append(field)
                texts.append(cast(bytes, value))
        self.packed = pack(texts)
        self.is_listpack = False
        self._fields = _NOTHING
        return True

    def _unpack(self) -> None:
        packed = self.packed
        assert packed is not None
        texts = read_listpack(packed) if self.is_listpack else unpack(packed)
        self._fields = Table()
        for i in range(0, len(texts), 2):
            self._fields.set(texts[i], texts[i + 1])
        self.packed = None

    def reserve(self, count: int) -> None:
        """For an empty one: so many fields are to come."""
        self._fields.reserve(count)

    # -- one field

    def get(self, field: bytes) -> bytes | None:
        if self.packed is not None:
            self._unpack()
        return cast(bytes | None, self._fields.get(field))

    def set(self, field: bytes, value: bytes) -> bool:
        """True when the field is new. One that had a time has none any more."""
        if self.deadlines is not None:
            self.deadlines.drop(field)
        return self.update(field, value)

    def update(self, field: bytes, value: bytes) -> bool:
        """As set(), but a time is kept."""
        length: i64 = len(value)
        if length > self.longest:
            self.longest = length
        if self.packed is not None:
            self._unpack()
        table = self._fields
        if not table.set(field, value):
            return False
        length = len(field)
        if length > self.longest:
            self.longest = length
        if table.size > self.most:
            self.most = table.size
        return True

    def pop(self, field: bytes) -> bytes | None:
        if self.deadlines is not None:
            self.deadlines.drop(field)
        return cast(bytes | None, self.fields.pop(field))

    # -- times

    def time_of(self, field: bytes) -> int:
        """Unix time in ms at which a field goes; -1 when it has none."""
        return -1 if self.deadlines is None else self.deadlines.get(field)

    def give_time(self, field: bytes, when_ms: int) -> None:
        """The field must exist."""
        if self.deadlines is None:
            self.deadlines = Deadlines()
        self.deadlines.set(field, when_ms)

    def clear_time(self, field: bytes) -> bool:
        """True when it had one."""
        return self.deadlines is not None and self.deadlines.drop(field)

    def next_ms(self) -> int:
        """Unix time in ms before which no field is due; NEVER when none has a time."""
        return NEVER if self.deadlines is None else int(self.deadlines.next_ms)

    def is_due(self, field: bytes, now_ms: int) -> bool:
        deadlines = self.deadlines
        if deadlines is None or deadlines.next_ms > now_ms:
            return False
        return 0 <= deadlines.get(field) <= now_ms

    def pop_due(self, now_ms: int, limit: int) -> list[bytes]:
        """Remove up to `limit` fields whose time has come, earliest first."""
        if self.deadlines is None:
            return []
        due = self.deadlines.take_due(now_ms, limit)
        for field in due:
            self.fields.pop(field)
        return due

    # -- all fields

    def flat(self, now_ms: int = -1) -> list[object]:
        """field, value, field, value ..."""
        flat: list[object] = []
        hide = self.next_ms() <= now_ms
        for shard in self.fields.shards():
            for field, value in shard.items():
                if not (hide and self.is_due(field, now_ms)):
                    flat.append(field)
                    flat.append(value)
        return flat

    def values(self, now_ms: int = -1) -> list[object]:
        if self.next_ms() <= now_ms:
            return self.flat(now_ms)[1::2]
        found: list[object] = []
        for shard in self.fields.shards():
            found.extend(shard.values())
        return found

    def names(self, now_ms: int = -1) -> list[bytes]:
        names = self.fields.key_list()
        if self.next_ms() <= now_ms:
            return [field for field in names if not self.is_due(field, now_ms)]
        return names

    def copy(self) -> "HashValue":
        return self._twin(False)

    def frozen(self) -> "HashValue":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(n / 24): see Table.frozen()."""
        return self._twin(True)

    def _twin(self, is_frozen: bool) -> "HashValue":
        other = HashValue(_NOTHING)
        other.packed = self.packed
        other.is_listpack = self.is_listpack
        if self.packed is None:
            other._fields = self._fields.frozen() if is_frozen else self._fields.copy()
        if self.deadlines is not None:
            other.deadlines = self.deadlines.frozen() if is_frozen else self.deadlines.copy()
        other.longest = self.longest
        other.most = self.most
        return other

    def thaw(self) -> None:
        self._fields.thaw()
        if self.deadlines is not None:
            self.deadlines.thaw()

    def approximate_bytes(self) -> int:
        """Memory, projected from a sample of the fields."""
        if self.packed is not None:
            return 64 + getsizeof(self.packed)
        sampled = 0
        total = 0
        for value in self.fields.values():
            total += getsizeof(value)
            sampled += 1
            if sampled == _SAMPLES:
                break
        values = total * int(self.fields.size) // sampled if sampled else 0
        times = 0 if self.deadlines is None else self.deadlines.approximate_bytes()
        return 48 + self.fields.approximate_bytes() + values + times  # 48: this object


def packed_hash(pairs: list[bytes]) -> HashValue | None:
    """A packed hash of field, value, field, value ...; None when they don't fit into one."""
    names = pairs[::2]
    if not fits(names):
        return None
    longest: i64 = 0
    for text in pairs:
        length: i64 = len(text)
        if length > longest:
            longest = length
    if longest > LONGEST:
        return None
    made = HashValue(_NOTHING)
    made.packed = pack(pairs)
    made.longest = longest
    made.most = len(names)
    return made


def hash_of_listpack(data: bytes, survey: Survey) -> HashValue | None:
    """A small hash that keeps the listpack; None when it is not small, or there is anything unusual about it."""
    if not survey.look(data, 2, False, MOST):
        return None
    made = HashValue(_NOTHING)
    made.packed = data
    made.is_listpack = True
    made.longest = survey.longest
    made.most = survey.count >> 1
    return made
