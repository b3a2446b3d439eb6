"""A set, and the algebra of several.

Costs: add, remove, has O(1); intersection O(size of the smallest * number of sets); union and difference O(sum of the
sizes). Invariant: `longest`, `most` and `integers` tell how Redis would store the set; a conversion is never undone.
"""

from sys import getsizeof
from typing import Final

from mypy_extensions import i64

from broker.datatypes.listpack import count_of, read_listpack
from broker.datatypes.listpack_survey import Survey
from broker.datatypes.packing import LONGEST, MOST, fits, pack, texts_in, unpack
from broker.datatypes.table import Table
from broker.protocol.numbers import parse_int

_NOTHING: Final = Table()  # in the place of that of a packed set, never written to


class SetValue:
    """`members` may be read by anybody; changes go through add() and remove().

    A small set may be packed (packing.py), or a listpack as it came from a file; whoever looks at `members` unpacks it,
    and need not know.
    """

    def __init__(self, members: Table | None = None) -> None:
        self._members = Table() if members is None else members  # {member: True}
        self.packed: bytes | None = None  # then the table is not in use
        self.is_listpack = False  # that is what `packed` is
        self.longest: i64 = 0  # the greatest length that a member ever had, in bytes
        self.most: i64 = 0  # the greatest number of members since there are others than integers, or ever
        self.integers = True  # every member that there ever was is a 64-bit integer

    def __len__(self) -> int:
        if self.packed is None:
            return int(self._members.size)
        return count_of(self.packed) if self.is_listpack else texts_in(self.packed)

    @property
    def members(self) -> Table:
        if self.packed is not None:
            self._unpack()
        return self._members

    def pack(self) -> bool:
        """Keep it as one bytes object until somebody looks. False when it is too big."""
        table = self._members
        if self.packed is not None or not 0 < table.size <= MOST or self.longest > LONGEST:
            return False
        self.packed = pack(table.key_list())
        self.is_listpack = False
        self._members = _NOTHING
        return True

    def _unpack(self) -> None:
        packed = self.packed
        assert packed is not None
        self._members = Table()
        for member in read_listpack(packed) if self.is_listpack else unpack(packed):
            self._members.set(member, True)
        self.packed = None

    def reserve(self, count: int) -> None:
        """For an empty one: so many members are to come."""
        self._members.reserve(count)

    def add(self, member: bytes) -> bool:
        """True when it is new."""
        if self.packed is not None:
            self._unpack()
        table = self._members
        if not table.set(member, True):
            return False
        length: i64 = len(member)
        if length > self.longest:
            self.longest = length
        if self.integers and parse_int(member) is None:
            self.integers = False
            self.most = table.size
        elif table.size > self.most:
            self.most = table.size
        return True

    def remove(self, member: bytes) -> bool:
        """True when it was there."""
        return self.members.pop(member) is not None

    def has(self, member: bytes) -> bool:
        if self.packed is not None:
            self._unpack()
        return self._members.has(member)

    def copy(self) -> "SetValue":
        return self._twin(False)

    def frozen(self) -> "SetValue":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(n / 24): see Table.frozen()."""
        return self._twin(True)

    def _twin(self, is_frozen: bool) -> "SetValue":
        other = SetValue(_NOTHING)
        other.packed = self.packed
        other.is_listpack = self.is_listpack
        if self.packed is None:
            other._members = self._members.frozen() if is_frozen else self._members.copy()
        other.longest = self.longest
        other.most = self.most
        other.integers = self.integers
        return other

    def thaw(self) -> None:
        self._members.thaw()

    def approximate_bytes(self) -> int:
        """Memory, projected from a sample of the members."""
        if self.packed is not None:
            return 56 + getsizeof(self.packed)
        return 48 + self.members.approximate_bytes()  # 48: this object


def packed_set(members: list[bytes]) -> SetValue | None:
    """A packed set of these members; None when they don't fit into one."""
    if not fits(members):
        return None
    made = SetValue(_NOTHING)
    made.packed = pack(members)
    made.most = len(members)
    for member in members:
        length: i64 = len(member)
        if length > made.longest:
            made.longest = length
        if made.integers and parse_int(member) is None:
            made.integers = False
    return made


def set_of_listpack(data: bytes, survey: Survey) -> SetValue | None:
    """A small set that keeps the listpack; None when it is not small, or there is anything unusual about it."""
    if not survey.look(data, 1, False, MOST):
        return None
    made = SetValue(_NOTHING)
    made.packed = data
    made.is_listpack = True
    made.longest = survey.longest
    made.most = survey.count
    made.integers = not survey.has_texts
    return made


def intersection(sets: list[SetValue]) -> list[bytes]:
    """Members of all sets. At least one set."""
    ordered = sorted(sets, key=len)  # walk the smallest, ask the others, the next smallest first: it rejects most
    others = ordered[1:]
    found: list[bytes] = []
    for shard in ordered[0].members.shards():
        for member in shard:
            if _in_all(member, others):
                found.append(member)
    return found


def intersection_size(sets: list[SetValue], limit: int) -> int:
    """The number of members of all sets, counted up to `limit` when it is not 0. At least one set."""
    ordered = sorted(sets, key=len)
    others = ordered[1:]
    if not others:
        return _capped(len(ordered[0]), limit)
    count = 0
    for shard in ordered[0].members.shards():
        for member in shard:
            if _in_all(member, others):
                count += 1
                if count == limit:
                    return count
    return count


def _capped(count: int, limit: int) -> int:
    return min(count, limit) if limit else count


def _in_all(member: bytes, sets: list[SetValue]) -> bool:
    for one in sets:
        if not one.members.has(member):
            return False
    return True


def union(sets: list[SetValue]) -> list[bytes]:
    """Members of any of the sets, each once."""
    if len(sets) == 1:
        return sets[0].members.key_list()
    found: dict[bytes, None] = {}
    for one in sets:
        for shard in one.members.shards():
            found.update(dict.fromkeys(shard))
    return list(found)


def union_size(sets: list[SetValue], limit: int) -> int:
    """The number of members of any of the sets, counted up to `limit` when it is not 0.

    A member is counted in the first set that has it, so nothing is built.
    """
    ordered = sorted(sets, key=len, reverse=True)
    if not ordered:
        return 0
    count = len(ordered[0])
    for i in range(1, len(ordered)):
        if limit and count >= limit:
            break
        count += difference_size(ordered[i], ordered[:i], limit - count if limit else 0)
    return _capped(count, limit)


def difference_size(first: SetValue, others: list[SetValue], limit: int) -> int:
    """The number of members of the first set in none of the others, counted up to `limit` when it is not 0."""
    if not others:
        return _capped(len(first), limit)
    count = 0
    for shard in first.members.shards():
        for member in shard:
            if not _in_any(member, others):
                count += 1
                if count == limit:
                    return count
    return count


def difference(first: SetValue, others: list[SetValue]) -> list[bytes]:
    """Members of the first set that are in none of the others."""
    total = 0
    for other in others:
        total += int(other.members.size)
    if total < int(first.members.size):
        return _without(first, others)
    found: list[bytes] = []
    for shard in first.members.shards():
        for member in shard:
            if not _in_any(member, others):
                found.append(member)
    return found


def _without(first: SetValue, others: list[SetValue]) -> list[bytes]:
    """The same for others that are small: walk them instead of asking each for every member of the first."""
    left = dict.fromkeys(first.members.key_list())
    for other in others:
        for shard in other.members.shards():
            for member in shard:
                left.pop(member, None)
    return list(left)


def _in_any(member: bytes, sets: list[SetValue]) -> bool:
    for one in sets:
        if one.members.has(member):
            return True
    return False
