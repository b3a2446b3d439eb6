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
from broker.datatypes.table import Table

_SAMPLES: Final = 32


class HashValue:
    """{field: value}. `fields` and `deadlines` may be read by anybody; changes go through the methods."""

    def __init__(self) -> None:
        self.fields = Table()
        self.deadlines: Deadlines | None = None
        self.longest: i64 = 0  # the greatest length that a field or a value ever had, in bytes
        self.most: i64 = 0  # the greatest number of fields that there ever was

    def __len__(self) -> int:
        """With the fields whose time has come, as HLEN counts."""
        return int(self.fields.size)

    # -- one field

    def get(self, field: bytes) -> bytes | None:
        return cast(bytes | None, self.fields.get(field))

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
        if not self.fields.set(field, value):
            return False
        length = len(field)
        if length > self.longest:
            self.longest = length
        if self.fields.size > self.most:
            self.most = self.fields.size
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
        other = HashValue()
        other.fields = self.fields.copy()
        if self.deadlines is not None:
            other.deadlines = self.deadlines.copy()
        other.longest = self.longest
        other.most = self.most
        return other

    def frozen(self) -> "HashValue":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(n / 24): see Table.frozen()."""
        other = HashValue()
        other.fields = self.fields.frozen()
        if self.deadlines is not None:
            other.deadlines = self.deadlines.frozen()
        other.longest = self.longest
        other.most = self.most
        return other

    def thaw(self) -> None:
        self.fields.thaw()
        if self.deadlines is not None:
            self.deadlines.thaw()

    def approximate_bytes(self) -> int:
        """Memory, projected from a sample of the fields."""
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
