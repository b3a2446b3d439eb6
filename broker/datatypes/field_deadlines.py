"""When fields of a hash go.

Few times are a table and nothing else, which is walked to find those that have come. From some number on they stand in
order, too, as the keys of a database do (expiries.py): nothing then takes longer than a few microseconds for one field.

Costs: get O(1); set, drop O(log n); take_due O(k log n) for k fields, O(n) while they are few; copy O(n).
Invariant: `next_ms` is never later than the earliest time. `times` is the table of `_order` when there is one.
"""

from typing import Final, cast

from mypy_extensions import i64

from broker.datatypes.expiries import Expiries
from broker.datatypes.table import Table

NEVER: Final = 1 << 62
_FEW: Final = 64
_ORDER_BYTES: Final = 40  # of a field that stands in order


class Deadlines:
    """{field: Unix time in ms}. `times` may be read by anybody; changes go through the methods."""

    def __init__(self) -> None:
        self.times = Table()  # {field: int}
        self.next_ms: i64 = NEVER  # before that nothing is due
        self._order: Expiries | None = None

    def __len__(self) -> int:
        return int(self.times.size)

    def get(self, field: bytes) -> int:
        """Unix time in ms; -1 when it has none."""
        when = self.times.get(field)
        return -1 if when is None else cast(int, when)

    def set(self, field: bytes, when_ms: int) -> None:
        if self._order is not None:
            self._order.set(field, when_ms)
        else:
            self.times.set(field, when_ms)
            if self.times.size > _FEW:
                self._put_in_order()
        if when_ms < self.next_ms:
            self.next_ms = when_ms

    def drop(self, field: bytes) -> bool:
        """True when it had one."""
        found = self._order.pop(field) if self._order is not None else self.times.pop(field)
        if not self.times.size:
            self.next_ms = NEVER
        return found is not None

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        return [] if self._order is None else self._order.parts()

    def take_due(self, now_ms: int, limit: int) -> list[bytes]:
        """Up to `limit` fields whose time has come, earliest first; they have no time any more."""
        order = self._order
        if order is None:
            return self._take_of_few(now_ms, limit)
        taken: list[bytes] = []
        while True:
            earliest = order.next_ms()
            self.next_ms = NEVER if earliest is None else earliest
            if self.next_ms > now_ms or len(taken) == limit:
                return taken
            field = order.first_due(now_ms)
            if field is not None:
                order.pop(field)
                taken.append(field)

    def _take_of_few(self, now_ms: int, limit: int) -> list[bytes]:
        due: list[tuple[int, bytes]] = []
        for field, when in self.times.items():
            if cast(int, when) <= now_ms:
                due.append((cast(int, when), field))
        due.sort()
        del due[limit:]
        taken = [entry[1] for entry in due]
        for field in taken:
            self.times.pop(field)
        self.next_ms = min([cast(int, when) for when in self.times.values()], default=NEVER)
        return taken

    def _put_in_order(self) -> None:
        order = Expiries()
        for field, when in self.times.items():
            order.set(field, cast(int, when))
        self.times = order.times
        self._order = order

    # -- all at once

    def copy(self) -> "Deadlines":
        other = Deadlines()
        other.next_ms = self.next_ms
        if self._order is None:
            other.times = self.times.copy()
        else:
            other._order = self._order.copy()
            other.times = other._order.times
        return other

    def frozen(self) -> "Deadlines":
        """As it is now, for reading `times` only, whatever is done to this one until thaw()."""
        other = Deadlines()
        other.next_ms = self.next_ms
        other.times = self.times.frozen()
        return other

    def thaw(self) -> None:
        self.times.thaw()

    def approximate_bytes(self) -> int:
        return 64 + self.times.approximate_bytes() + (0 if self._order is None else _ORDER_BYTES * len(self))
