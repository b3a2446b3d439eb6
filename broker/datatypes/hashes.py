"""A hash: fields and their values.

Costs: get, set, pop O(1); scan O(count); the rest O(n). Invariant: `longest` and `most` never fall: they tell whether
Redis would have converted the hash to a table, which it never undoes.
"""

from sys import getsizeof
from typing import Final, cast

from mypy_extensions import i64

from broker.datatypes.table import Table

_SAMPLES: Final = 32


class HashValue:
    """{field: value}. `fields` may be read by anybody; changes go through set() and pop()."""

    def __init__(self) -> None:
        self.fields = Table()
        self.longest: i64 = 0  # the greatest length that a field or a value ever had, in bytes
        self.most: i64 = 0  # the greatest number of fields that there ever was

    def __len__(self) -> int:
        return int(self.fields.size)

    def get(self, field: bytes) -> bytes | None:
        return cast(bytes | None, self.fields.get(field))

    def set(self, field: bytes, value: bytes) -> bool:
        """True when the field is new."""
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
        return cast(bytes | None, self.fields.pop(field))

    def flat(self) -> list[object]:
        """field, value, field, value ..."""
        flat: list[object] = []
        for shard in self.fields.shards():
            for field, value in shard.items():
                flat.append(field)
                flat.append(value)
        return flat

    def values(self) -> list[object]:
        found: list[object] = []
        for shard in self.fields.shards():
            found.extend(shard.values())
        return found

    def copy(self) -> "HashValue":
        other = HashValue()
        other.fields = self.fields.copy()
        other.longest = self.longest
        other.most = self.most
        return other

    def frozen(self) -> "HashValue":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(n / 24): see Table.frozen()."""
        other = HashValue()
        other.fields = self.fields.frozen()
        other.longest = self.longest
        other.most = self.most
        return other

    def thaw(self) -> None:
        self.fields.thaw()

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
        return 40 + self.fields.approximate_bytes() + values  # 40: this object
