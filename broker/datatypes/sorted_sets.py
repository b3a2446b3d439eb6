"""A sorted set: members with scores, in the order of (score, member).

Costs: score O(1); set, remove, rank O(log n + block); slice O(log n + k); scan O(count).
Invariant: `members` maps each member to the very tuple (score, member) that stands in `order`: one tuple and one float
for a member, however it is looked at. Scores are never NaN; that is the caller's duty. `longest` and `most` never fall:
they tell whether Redis would have converted the set to a skip list, which it never undoes.
"""

from math import inf, nextafter
from random import Random
from sys import getsizeof
from typing import Final, TypeAlias, cast

from mypy_extensions import i64

from broker.datatypes.listpack import count_of, read_listpack
from broker.datatypes.listpack_survey import Survey
from broker.datatypes.packing import LONGEST, MOST, fits, pack_scored, unpack_scored
from broker.datatypes.sorted_blocks import HALF, SortedBlocks
from broker.datatypes.table import Table
from broker.protocol.numbers import parse_float

Scored: TypeAlias = tuple[float, bytes]
# The same as a plain Python tuple: mypyc would take a tuple of known shape apart, and make a new one at each use.
_Entry: TypeAlias = tuple[float | bytes, ...]

_MEMBER_BYTES: Final = 56 + 24 + 8  # its tuple, its float, its place in the order
_POSITIVE_ZERO: Final = 0.0  # added, it makes 0 of -0, as Redis's listpacks do (its skip lists keep the sign)
_MOST_RESERVED: Final = 100_000  # members: room for more is made as they come
_OBJECT_BYTES: Final = 400  # this object and an empty order


# In the place of those of a packed sorted set, never written to
_NOTHING: Final = Table()
_NO_ORDER: Final[SortedBlocks[_Entry]] = SortedBlocks()


class SortedSet:
    """`members` may be read by anybody, as may `order`; changes go through the methods.

    A small one may be packed (packing.py), or a listpack as it came from a file; whoever looks at `members` or `order`
    unpacks it, and need not know.
    """

    def __init__(self, members: Table | None = None, order: SortedBlocks[_Entry] | None = None) -> None:
        self._members = Table() if members is None else members  # {member: (score, member)}
        self._order: SortedBlocks[_Entry] = SortedBlocks() if order is None else order
        self.packed: bytes | None = None  # then neither of them is in use
        self.is_listpack = False  # that is what `packed` is
        self.longest: i64 = 0  # the greatest length that a member ever had, in bytes
        self.most: i64 = 0  # the greatest number of members that there ever was

    def __len__(self) -> int:
        if self.packed is None:
            return int(self._members.size)
        return count_of(self.packed) // 2 if self.is_listpack else self.packed[0]

    @property
    def members(self) -> Table:
        if self.packed is not None:
            self._unpack()
        return self._members

    @property
    def order(self) -> SortedBlocks[_Entry]:
        if self.packed is not None:
            self._unpack()
        return self._order

    # -- packing

    def pack(self) -> bool:
        """Keep it as one bytes object until somebody looks. False when it is too big."""
        size = int(self._members.size)
        if self.packed is not None or not 0 < size <= MOST or self.longest > LONGEST:
            return False
        scores: list[float] = []
        members: list[bytes] = []
        for score, member in cast(list[Scored], self._order.slice(0, size)):
            scores.append(score)
            members.append(member)
        self._hold(pack_scored(scores, members), False)
        return True

    def _hold(self, packed: bytes, is_listpack: bool) -> None:
        self.packed = packed
        self.is_listpack = is_listpack
        self._members = _NOTHING
        self._order = _NO_ORDER

    def _unpack(self) -> None:
        packed = self.packed
        assert packed is not None
        scores, members = _from_listpack(packed) if self.is_listpack else unpack_scored(packed)
        self._members = Table()
        self._order = SortedBlocks()
        entries: list[_Entry] = []
        for i in range(len(members)):
            entry: _Entry = (scores[i], members[i])
            entries.append(entry)
            self._members.set(members[i], entry)
        if self.is_listpack:
            entries.sort()
        self._order.fill(entries)
        self.packed = None

    # -- one member

    def score(self, member: bytes) -> float | None:
        if self.packed is not None:
            self._unpack()
        entry = self._members.get(member)
        return None if entry is None else cast(float, cast(_Entry, entry)[0])

    def set(self, member: bytes, score: float) -> bool:
        """True when the member is new."""
        if self.packed is not None:
            self._unpack()
        table = self._members
        order = self._order
        old = table.get(member)
        entry: _Entry = (score + _POSITIVE_ZERO, member)
        if old is not None:
            order.remove(cast(_Entry, old))
            order.add(entry)
            table.set(member, entry)
            return False
        table.set(member, entry)
        order.add(entry)
        length: i64 = len(member)
        if length > self.longest:
            self.longest = length
        if table.size > self.most:
            self.most = table.size
        return True

    def remove(self, member: bytes) -> bool:
        """True when it was there."""
        old = self.members.pop(member)
        if old is None:
            return False
        self.order.remove(cast(_Entry, old))
        return True

    def rank(self, member: bytes) -> int:
        """Its place from 0 on, lowest score first; -1 when it is not there."""
        entry = self.members.get(member)
        return -1 if entry is None else self.order.rank(cast(_Entry, entry))

    def random_member(self, rng: Random) -> bytes | None:
        """Each with the same chance; None when there is none."""
        return self.members.random_key(rng)

    # -- ranges of ranks, start <= rank < stop

    def slice(self, start: int, stop: int) -> list[Scored]:
        """(score, member) in order; ranks that are none are left out."""
        return cast(list[Scored], self.order.slice(start, stop))

    def pop_slice(self, start: int, stop: int) -> list[Scored]:
        """As slice(), and they are removed."""
        entries = self.order.pop_slice(start, stop)
        for entry in entries:
            self.members.pop(cast(bytes, entry[1]))
        return cast(list[Scored], entries)

    def pop_first(self) -> Scored:
        """The lowest, removed. IndexError when there is none."""
        entry = self.order.pop_first()
        self.members.pop(cast(bytes, entry[1]))
        return cast(Scored, entry)

    def pop_last(self) -> Scored:
        """The highest, removed. IndexError when there is none."""
        entry = self.order.pop_last()
        self.members.pop(cast(bytes, entry[1]))
        return cast(Scored, entry)

    # -- the ranks at which a range begins or ends

    def rank_of_score(self, score: float, above: bool) -> int:
        """The first rank with a score >= `score`; `above`: > `score`."""
        if above:
            if score == inf:
                return len(self)
            score = nextafter(score, inf)
        return self.order.rank((score, b""))

    def rank_of_text(self, text: bytes, above: bool) -> int:
        """The first rank with a member >= `text`; `above`: > `text`.

        It goes by the members alone, as Redis does: right where all scores are equal, and also where the members happen
        to rise with their scores.
        """
        if above:
            text += b"\0"  # nothing stands between the two
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if cast(bytes, self.order.at(middle)[1]) < text:
                low = middle + 1
            else:
                high = middle
        return low

    # -- all of it

    def items(self) -> list[Scored]:
        """(score, member) in order."""
        return self.slice(0, len(self))

    def copy(self) -> "SortedSet":
        return self._twin(False)

    def frozen(self) -> "SortedSet":
        """As it is now, for reading only, whatever is done to this one until thaw(). O(n / 24): see Table.frozen()."""
        return self._twin(True)

    def _twin(self, is_frozen: bool) -> "SortedSet":
        other = SortedSet()
        if self.packed is not None:
            other._hold(self.packed, self.is_listpack)
        elif is_frozen:
            other._members = self._members.frozen()
            other._order = self._order.frozen()
        else:
            other._members = self._members.copy()
            other._order = self._order.copy()
        other.longest = self.longest
        other.most = self.most
        return other

    def thaw(self) -> None:
        self._members.thaw()
        self._order.thaw()

    def approximate_bytes(self) -> int:
        """Memory; the members are projected from a sample."""
        if self.packed is not None:
            return 72 + getsizeof(self.packed)
        return _OBJECT_BYTES + self.members.approximate_bytes() + _MEMBER_BYTES * len(self)


def from_scores(scores: dict[bytes, float]) -> SortedSet:
    """A sorted set of {member: score}. O(n log n), several times faster than one by one."""
    made = SortedSet()
    entries: list[_Entry] = []
    longest: i64 = 0
    made.members.reserve(len(scores))
    for member, score in scores.items():
        entry: _Entry = (score + _POSITIVE_ZERO, member)
        entries.append(entry)
        made.members.set(member, entry)
        length: i64 = len(member)
        if length > longest:
            longest = length
    entries.sort()
    made.order.fill(entries)
    made.longest = longest
    made.most = made.members.size
    return made


class Falling:
    """A sorted set that is made of members from the greatest down, as files have them, in steps: there is nothing left
    to sort at the end. Where they come in another order it is all sorted then."""

    def __init__(self, count: int) -> None:
        self._made = SortedSet()
        self._made.members.reserve(min(count, _MOST_RESERVED))
        self._blocks: list[list[_Entry]] = []  # whole ones, the greatest first
        self._block: list[_Entry] = []  # from the greatest down
        self._last: _Entry | None = None
        self._falls = True

    def add(self, member: bytes, score: float) -> bool:
        """False when the member is there already; then there is no going on."""
        made = self._made
        entry: _Entry = (score + _POSITIVE_ZERO, member)
        if not made.members.set(member, entry):
            return False
        length: i64 = len(member)
        if length > made.longest:
            made.longest = length
        last = self._last
        if last is not None and last < entry:
            self._falls = False
        self._last = entry
        if len(self._block) == HALF:
            self._end_block()
        self._block.append(entry)
        return True

    def _end_block(self) -> None:
        self._block.reverse()
        self._blocks.append(self._block)
        self._block = []

    def finish(self) -> SortedSet:
        made = self._made
        if self._block:
            self._end_block()
        self._blocks.reverse()
        if self._falls:
            made.order.take_blocks(self._blocks, int(made.members.size))
        else:
            entries: list[_Entry] = []
            for block in self._blocks:
                entries += block
            entries.sort()
            made.order.fill(entries)
        made.most = made.members.size
        return made


def packed_zset(scores: list[float], members: list[bytes]) -> SortedSet | None:
    """A packed sorted set of members and their scores; None when they don't fit into one."""
    if not fits(members):
        return None
    entries: list[_Entry] = []
    for i in range(len(members)):
        entries.append((scores[i] + _POSITIVE_ZERO, members[i]))
    entries.sort()
    made = SortedSet()
    scored = pack_scored([cast(float, entry[0]) for entry in entries], [cast(bytes, entry[1]) for entry in entries])
    made._hold(scored, False)
    made.most = len(members)
    for member in members:
        length: i64 = len(member)
        if length > made.longest:
            made.longest = length
    return made


def zset_of_listpack(data: bytes, survey: Survey) -> SortedSet | None:
    """A small sorted set that keeps the listpack; None when it is not small, or there is anything unusual about it."""
    if not survey.look(data, 2, True, MOST):
        return None
    made = SortedSet(_NOTHING, _NO_ORDER)
    made.packed = data
    made.is_listpack = True
    made.longest = survey.longest
    made.most = survey.count >> 1
    return made


def _from_listpack(data: bytes) -> tuple[list[float], list[bytes]]:
    """Scores and members of a listpack that a Survey vouched for."""
    items = read_listpack(data)
    scores: list[float] = []
    for text in items[1::2]:
        score = parse_float(text)
        assert score is not None, "it was looked at before"
        scores.append(score + _POSITIVE_ZERO)
    return scores, items[::2]
