"""A set, and the algebra of several.

Costs: add, remove, has O(1); intersection O(size of the smallest * number of sets); union and difference O(sum of the
sizes). Invariant: `longest`, `most` and `integers` tell how Redis would store the set; a conversion is never undone.
"""

from mypy_extensions import i64

from broker.datatypes.table import Table
from broker.protocol.numbers import parse_int


class SetValue:
    """`members` may be read by anybody; changes go through add() and remove()."""

    def __init__(self) -> None:
        self.members = Table()  # {member: True}
        self.longest: i64 = 0  # the greatest length that a member ever had, in bytes
        self.most: i64 = 0  # the greatest number of members since there are others than integers, or ever
        self.integers = True  # every member that there ever was is a 64-bit integer

    def __len__(self) -> int:
        return int(self.members.size)

    def add(self, member: bytes) -> bool:
        """True when it is new."""
        if not self.members.set(member, True):
            return False
        length: i64 = len(member)
        if length > self.longest:
            self.longest = length
        if self.integers and parse_int(member) is None:
            self.integers = False
            self.most = self.members.size
        elif self.members.size > self.most:
            self.most = self.members.size
        return True

    def remove(self, member: bytes) -> bool:
        """True when it was there."""
        return self.members.pop(member) is not None

    def has(self, member: bytes) -> bool:
        return self.members.has(member)

    def copy(self) -> "SetValue":
        other = SetValue()
        other.members = self.members.copy()
        other.longest = self.longest
        other.most = self.most
        other.integers = self.integers
        return other

    def frozen(self) -> "SetValue":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(n / 24): see Table.frozen()."""
        other = SetValue()
        other.members = self.members.frozen()
        other.longest = self.longest
        other.most = self.most
        other.integers = self.integers
        return other

    def thaw(self) -> None:
        self.members.thaw()

    def approximate_bytes(self) -> int:
        """Memory, projected from a sample of the members."""
        return 48 + self.members.approximate_bytes()  # 48: this object


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
