"""Pending entries of a consumer group, flat: an id is 8 bytes in a sorted block, and so is what is known of it.

A dict of objects beside two sorted lists of ids took some 250 bytes for each entry. Here an id that has a small number
(small_ids.py) is that number in an array; a block that gets another one keeps its ids as they are. Ids that come or go
in a row, as those of a batch do, are moved as one piece.

Costs: add, remove, get O(log n + block); ranks O(n / block); a walk over k ids O(log n + n / block + k).
Invariant: no block is empty, ids rise through all of them, `_maxima[i]` is the last id of `_blocks[i]`.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Final

from mypy_extensions import i64

from broker.datatypes.small_ids import large_id, least_above, small_id

NEVER: Final = -1  # Consumer.active_ms of one that never got anything

_MOST: Final = 512  # ids of a block; a block with more is split. 4 KiB to move at worst
_HALF: Final = 256
_FEW: Final = 64  # a block with fewer joins a neighbour that has room


class IdList:
    """Ids in an array of small numbers, or in a list when one of them has none. The caller knows the order."""

    def __init__(self) -> None:
        self._numbers: array[int] | list[int] = array("q")
        self._is_wide = False

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, entry_id: int, low: int, high: int) -> int:
        """The first place from `low` to `high` whose id is not below `entry_id`; ids rise between them."""
        if self._is_wide:
            return bisect_left(self._numbers, entry_id, low, high)
        number = small_id(entry_id)
        return bisect_left(self._numbers, number if number >= 0 else least_above(entry_id), low, high)

    def place_of(self, entry_id: int) -> int:
        """Where an id is, or -1. All ids rise."""
        numbers = self._numbers
        number = entry_id if self._is_wide else small_id(entry_id)
        if number < 0:
            return -1
        if numbers[0] == number:  # what is oldest goes first as a rule
            return 0
        place = bisect_left(numbers, number)
        return place if place < len(numbers) and numbers[place] == number else -1

    def at(self, place: int) -> int:
        number = self._numbers[place]
        return number if self._is_wide else large_id(number)

    def slice(self, low: int, high: int) -> list[int]:
        numbers = self._numbers[low:high]
        if self._is_wide:
            return list(numbers)
        return [large_id(number) for number in numbers]

    def append(self, entry_id: int) -> None:
        number = entry_id if self._is_wide else small_id(entry_id)
        if number < 0:
            self._widen()
            number = entry_id
        self._numbers.append(number)

    def insert(self, place: int, entry_id: int) -> None:
        number = entry_id if self._is_wide else small_id(entry_id)
        if number < 0:
            self._widen()
            number = entry_id
        self._numbers.insert(place, number)

    def delete(self, place: int) -> None:
        del self._numbers[place]

    def delete_run(self, place: int, count: int) -> None:
        del self._numbers[place : place + count]

    def append_smalls(self, numbers: "array[int]") -> bool:
        """Small numbers, rising, above all that are there; False when this list has none."""
        if self._is_wide:
            return False
        self._numbers += numbers  # type: ignore[operator]  # it is an array, too
        return True

    def run(self, place: int, numbers: "array[int]", start: int) -> int:
        """How many of the small numbers from `start` on stand here from `place` on (a part of them, if not all)."""
        if self._is_wide:
            return 0
        count = min(len(self._numbers) - place, len(numbers) - start)
        while count > 0 and self._numbers[place : place + count] != numbers[start : start + count]:
            count //= 2
        return count

    def cut(self, place: int) -> "IdList":
        """Keep what is before `place`; the rest comes back."""
        rest = IdList()
        rest._numbers = self._numbers[place:]
        rest._is_wide = self._is_wide
        del self._numbers[place:]
        return rest

    def extend(self, other: "IdList") -> None:
        if self._is_wide == other._is_wide:
            self._numbers += other._numbers  # type: ignore[operator]  # they are of one type
        else:
            self._widen()
            self._numbers += other.slice(0, len(other))  # type: ignore[operator]

    def copy(self) -> "IdList":
        other = IdList()
        other._numbers = self._numbers[:]
        other._is_wide = self._is_wide
        return other

    def _widen(self) -> None:
        if not self._is_wide:
            self._numbers = [large_id(number) for number in self._numbers]
            self._is_wide = True


class _Block:
    """Some ids in order and, in a table, of each its owner's number, its time and its deliveries."""

    def __init__(self, has_facts: bool) -> None:
        self.ids = IdList()
        self.has_facts = has_facts
        self.owners: array[int] = array("i")
        self.times: array[int] = array("q")
        self.counts: array[int] = array("q")

    def delete(self, place: int) -> None:
        self.ids.delete(place)
        if self.has_facts:
            del self.owners[place]
            del self.times[place]
            del self.counts[place]

    def delete_run(self, place: int, count: int) -> None:
        self.ids.delete_run(place, count)
        if self.has_facts:
            del self.owners[place : place + count]
            del self.times[place : place + count]
            del self.counts[place : place + count]

    def cut(self, place: int) -> "_Block":
        rest = _Block(self.has_facts)
        rest.ids = self.ids.cut(place)
        rest.owners = self.owners[place:]
        rest.times = self.times[place:]
        rest.counts = self.counts[place:]
        del self.owners[place:]
        del self.times[place:]
        del self.counts[place:]
        return rest

    def extend(self, other: "_Block") -> None:
        self.ids.extend(other.ids)
        self.owners += other.owners
        self.times += other.times
        self.counts += other.counts

    def copy(self) -> "_Block":
        other = _Block(self.has_facts)
        other.ids = self.ids.copy()
        other.owners = self.owners[:]
        other.times = self.times[:]
        other.counts = self.counts[:]
        return other


class PendingIds:
    """Pending ids in order: those of a consumer, or with has_facts those of a group (PendingTable)."""

    def __init__(self, has_facts: bool = False) -> None:
        self._has_facts: Final = has_facts
        self._blocks: list[_Block] = []
        self._maxima: list[int] = []
        self._size: i64 = 0
        self._kept: dict[int, _Block] | None = None  # by id(): blocks that a frozen copy shares

    def __len__(self) -> int:
        return int(self._size)

    def __contains__(self, entry_id: int) -> bool:
        return self.place_of(entry_id) >= 0

    def __iter__(self) -> Iterator[int]:
        """In order. Not to be used while ids are added or removed."""
        for block in self._blocks:
            yield from block.ids.slice(0, len(block.ids))

    def first(self) -> int:
        """IndexError when there is none."""
        return self._blocks[0].ids.at(0)

    def last(self) -> int:
        """IndexError when there is none."""
        return self._maxima[-1]

    # -- one id

    def add(self, entry_id: int, owner: int = 0, time: int = 0, count: int = 0) -> None:
        """It must not be there."""
        maxima = self._maxima
        self._size += 1
        last = len(maxima) - 1
        if last < 0 or entry_id > maxima[last]:
            if last < 0 or len(self._blocks[last].ids) >= _MOST:
                # Ids that come in order leave full blocks behind, not halves.
                self._blocks.append(_Block(self._has_facts))
                maxima.append(entry_id)
                last += 1
            else:
                maxima[last] = entry_id
            block = self._blocks[last] if self._kept is None else self._own(last)
            block.ids.append(entry_id)
            if self._has_facts:
                block.owners.append(owner)
                block.times.append(time)
                block.counts.append(count)
            return
        pos = bisect_left(maxima, entry_id)
        block = self._blocks[pos]
        if len(block.ids) >= _MOST:
            self._split(pos)
            if maxima[pos] < entry_id:
                pos += 1
            block = self._blocks[pos]
        if self._kept is not None:
            block = self._own(pos)
        place = block.ids.find(entry_id, 0, len(block.ids))
        block.ids.insert(place, entry_id)
        if self._has_facts:
            block.owners.insert(place, owner)
            block.times.insert(place, time)
            block.counts.insert(place, count)

    def extend(self, numbers: "array[int]", owner: int = 0, time: int = 0, count: int = 0) -> bool:
        """Add ids by their small numbers, rising, all with the same facts. False, and nothing is added, unless they are
        above all that are there."""
        first = large_id(numbers[0])
        maxima = self._maxima
        if maxima and (first <= maxima[-1] or self._blocks[-1].ids._is_wide):
            return False
        start = 0
        while start < len(numbers):
            room = _MOST - len(self._blocks[-1].ids) if maxima else 0
            if room <= 0:
                self._blocks.append(_Block(self._has_facts))
                maxima.append(0)
                room = _MOST
            part = numbers[start : start + room]
            block = self._blocks[-1] if self._kept is None else self._own(len(self._blocks) - 1)
            block.ids.append_smalls(part)
            if self._has_facts:
                block.owners += array("i", [owner]) * len(part)
                block.times += array("q", [time]) * len(part)
                block.counts += array("q", [count]) * len(part)
            maxima[-1] = large_id(part[-1])
            start += len(part)
        self._size += len(numbers)
        return True

    def remove_run(self, entry_id: int, count: int) -> None:
        """Remove `count` ids that follow one another here, from `entry_id` on, which is there."""
        place = self.place_of(entry_id)
        pos = place // (_MOST + 1)
        index = place % (_MOST + 1)
        left = count
        self._size -= count
        while left > 0:
            block = self._own(pos)
            taken = min(left, len(block.ids) - index)
            block.delete_run(index, taken)
            left -= taken
            size = len(block.ids)
            if size == 0:
                del self._blocks[pos]
                del self._maxima[pos]
                continue
            if index == size:
                self._maxima[pos] = block.ids.at(size - 1)
            if left == 0 and size < _FEW:
                self._join(pos, size)
            pos += 1
            index = 0

    def remove(self, entry_id: int) -> bool:
        """True when it was there."""
        place = self.place_of(entry_id)
        if place < 0:
            return False
        self.remove_at(place)
        return True

    def place_of(self, entry_id: int) -> int:
        """Where an id is, or -1. Good until ids are added or removed."""
        maxima = self._maxima
        if not maxima or entry_id > maxima[len(maxima) - 1]:
            return -1
        pos = 0 if entry_id <= maxima[0] else bisect_left(maxima, entry_id)
        place = self._blocks[pos].ids.place_of(entry_id)
        return pos * (_MOST + 1) + place if place >= 0 else -1

    def remove_at(self, place: int) -> None:
        """place: from place_of()."""
        pos = place // (_MOST + 1)
        index = place % (_MOST + 1)
        block = self._blocks[pos] if self._kept is None else self._own(pos)
        block.delete(index)
        self._size -= 1
        size = len(block.ids)
        if size == 0:
            del self._blocks[pos]
            del self._maxima[pos]
            return
        if index == size:
            self._maxima[pos] = block.ids.at(size - 1)
        if size < _FEW and size % 16 == 0:  # not at each of the last ids, when a block is emptied in order
            self._join(pos, size)

    # -- ranks

    def rank(self, entry_id: int) -> int:
        """How many ids are below `entry_id`."""
        pos = bisect_left(self._maxima, entry_id)
        if pos == len(self._maxima):
            return int(self._size)
        before: i64 = 0
        for i in range(pos):
            before += len(self._blocks[i].ids)
        ids = self._blocks[pos].ids
        return int(before) + ids.find(entry_id, 0, len(ids))

    def slice(self, start: int, stop: int) -> list[int]:
        """The ids at the ranks start <= rank < stop, in order; ranks that are none are left out."""
        index = max(start, 0)
        pos: i64 = 0
        while pos < len(self._blocks) and index >= len(self._blocks[pos].ids):
            index -= len(self._blocks[pos].ids)
            pos += 1
        return self._take(int(pos), index, stop - max(start, 0))

    def from_id(self, start: int, count: int) -> list[int]:
        """The first `count` ids that are at least `start`, in order."""
        pos = bisect_left(self._maxima, start)
        if pos == len(self._maxima):
            return []
        ids = self._blocks[pos].ids
        return self._take(pos, ids.find(start, 0, len(ids)), count)

    def _take(self, pos: int, index: int, count: int) -> list[int]:
        found: list[int] = []
        left = count
        while left > 0 and pos < len(self._blocks):
            ids = self._blocks[pos].ids
            taken = ids.slice(index, index + left)
            found += taken
            left -= len(taken)
            index = 0
            pos += 1
        return found

    # -- blocks

    def _own(self, pos: int) -> _Block:
        """The block at `pos`, to be changed: a copy takes its place if a frozen copy has it, too."""
        block = self._blocks[pos]
        if self._kept is not None and id(block) in self._kept:
            block = block.copy()
            self._blocks[pos] = block
        return block

    def _split(self, pos: int) -> None:
        block = self._own(pos)
        self._blocks.insert(pos + 1, block.cut(_HALF))
        self._maxima.insert(pos, block.ids.at(_HALF - 1))

    def _join(self, pos: int, size: int) -> None:
        """Put a small block and a neighbour together, if that leaves room to grow."""
        if pos + 1 < len(self._blocks) and len(self._blocks[pos + 1].ids) + size <= _HALF:
            left = pos
        elif pos > 0 and len(self._blocks[pos - 1].ids) + size <= _HALF:
            left = pos - 1
        else:
            return
        self._own(left).extend(self._blocks[left + 1])
        del self._blocks[left + 1]
        del self._maxima[left]

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        return [self._blocks, self._maxima]

    def copy(self) -> "PendingIds":
        other = PendingIds(self._has_facts)
        self._copy_into(other)
        return other

    def frozen(self) -> "PendingIds":
        """As they are now, for reading only, whatever is done to these until thaw(): blocks are shared, and copied
        before they change. O(n / block). One frozen copy at a time."""
        other = PendingIds(self._has_facts)
        self._share_with(other)
        return other

    def thaw(self) -> None:
        """The frozen copy is not needed any more."""
        self._kept = None

    def _share_with(self, other: "PendingIds") -> None:
        other._blocks = self._blocks.copy()
        other._maxima = self._maxima.copy()
        other._size = self._size
        self._kept = {id(block): block for block in self._blocks}

    def _copy_into(self, other: "PendingIds") -> None:
        other._blocks = [block.copy() for block in self._blocks]
        other._maxima = list(self._maxima)
        other._size = self._size


class Consumer:
    """seen_ms: Unix time of its last attempt; active_ms: of its last success, or NEVER."""

    def __init__(self, name: bytes, now_ms: int) -> None:
        self.name: Final = name
        self.seen_ms = now_ms
        self.active_ms = NEVER
        self.order = PendingIds()  # its pending ids
        self.number = -1  # in PendingTable.owners, once it had an entry


class Pending:
    """An entry delivered and not acknowledged, as it is now: later changes do not show. delivered_ms: Unix time of the
    last delivery; of an entry that nobody has, the time from which it may be delivered (0: at once).
    """

    def __init__(self, consumer: Consumer, delivered_ms: int, deliveries: int) -> None:
        self.consumer: Final = consumer
        self.delivered_ms: Final = delivered_ms
        self.deliveries: Final = deliveries


class PendingTable(PendingIds):
    """Pending ids with what is known of each; as a mapping {id: Pending}, in order, that only its Group changes."""

    def __init__(self) -> None:
        super().__init__(True)
        self.owners: list[Consumer | None] = []  # by number

    def get(self, entry_id: int) -> Pending | None:
        place = self.place_of(entry_id)
        return None if place < 0 else self.at(place)

    def __getitem__(self, entry_id: int) -> Pending:
        place = self.place_of(entry_id)
        if place < 0:
            raise KeyError(entry_id)
        return self.at(place)

    def at(self, place: int) -> Pending:
        """place: from place_of()."""
        block = self._blocks[place // (_MOST + 1)]
        index = place % (_MOST + 1)
        return Pending(self.owner_at(place), block.times[index], block.counts[index])

    def owner_at(self, place: int) -> Consumer:
        owner = self.owners[self._blocks[place // (_MOST + 1)].owners[place % (_MOST + 1)]]
        assert owner is not None
        return owner

    def run_at(self, place: int, numbers: "array[int]", start: int) -> int:
        """How many of the small numbers from `start` on stand from `place` on in one block, with equal owners and times
        (a part of them, if not all)."""
        block = self._blocks[place // (_MOST + 1)]
        index = place % (_MOST + 1)
        count = block.ids.run(index, numbers, start)
        owner = block.owners[index : index + 1]
        time = block.times[index : index + 1]
        while count > 0 and (
            block.owners[index : index + count] != owner * count or block.times[index : index + count] != time * count
        ):
            count //= 2
        return count

    def time_at(self, place: int) -> int:
        return self._blocks[place // (_MOST + 1)].times[place % (_MOST + 1)]

    def idle_from(self, entry_id: int, until_ms: int) -> int:
        """The first id from `entry_id` on in a block in which some time is not above `until_ms`; -1 when none is."""
        pos = bisect_left(self._maxima, entry_id)
        while pos < len(self._blocks):
            block = self._blocks[pos]
            if min(block.times) <= until_ms:
                return max(entry_id, block.ids.at(0))
            pos += 1
        return -1

    def set_at(self, place: int, consumer: Consumer, delivered_ms: int, deliveries: int) -> None:
        block = self._own(place // (_MOST + 1))
        index = place % (_MOST + 1)
        block.owners[index] = self.number_of(consumer)
        block.times[index] = delivered_ms
        block.counts[index] = deliveries

    def items(self) -> Iterator[tuple[int, Pending]]:
        """In order. Not to be used while ids are added or removed."""
        pos = 0
        for block in self._blocks:
            ids = block.ids.slice(0, len(block.ids))
            for index in range(len(ids)):
                yield ids[index], self.at(pos * (_MOST + 1) + index)
            pos += 1

    def number_of(self, consumer: Consumer) -> int:
        if consumer.number < 0:
            for number in range(len(self.owners)):
                if self.owners[number] is None:
                    consumer.number = number
                    self.owners[number] = consumer
                    return number
            consumer.number = len(self.owners)
            self.owners.append(consumer)
        return consumer.number

    def forget(self, consumer: Consumer) -> None:
        """It has no entry any more and goes."""
        if consumer.number >= 0:
            self.owners[consumer.number] = None
            consumer.number = -1

    def copy_for(self, owners: list[Consumer | None]) -> "PendingTable":
        """owners: those of the copy, by the same numbers."""
        other = PendingTable()
        self._copy_into(other)
        other.owners = owners
        return other

    def frozen_for(self, owners: list[Consumer | None]) -> "PendingTable":
        """As frozen(); owners as in copy_for()."""
        other = PendingTable()
        self._share_with(other)
        other.owners = owners
        return other


class _Timed:
    """Some times with an id each, by time and then by id."""

    def __init__(self) -> None:
        self.times: array[int] = array("q")
        self.ids = IdList()

    def find(self, time: int, entry_id: int) -> int:
        low = bisect_left(self.times, time)
        return self.ids.find(entry_id, low, bisect_right(self.times, time, low))

    def cut(self, place: int) -> "_Timed":
        rest = _Timed()
        rest.times = self.times[place:]
        rest.ids = self.ids.cut(place)
        del self.times[place:]
        return rest


class TimeOrder:
    """Ids by time, and those of one time in order: 16 bytes each.

    Costs: add, remove O(log n + block); first O(1); a walk from the first one O(k).
    """

    def __init__(self) -> None:
        self._blocks: list[_Timed] = []
        self._maxima: list[tuple[int, int]] = []  # the last (time, id) of each block

    def fill(self, pairs: list[tuple[int, int]]) -> None:
        """Replace everything by these (time, id), which are sorted."""
        self._blocks = []
        self._maxima = []
        for time, entry_id in pairs:
            self.add(time, entry_id)

    def add(self, time: int, entry_id: int) -> None:
        """It must not be there."""
        item = (time, entry_id)
        maxima = self._maxima
        last = len(maxima) - 1
        if last < 0 or item > maxima[last]:
            if last < 0 or len(self._blocks[last].ids) >= _MOST:
                self._blocks.append(_Timed())
                maxima.append(item)
                last += 1
            else:
                maxima[last] = item
            self._blocks[last].times.append(time)
            self._blocks[last].ids.append(entry_id)
            return
        pos = bisect_left(maxima, item)
        block = self._blocks[pos]
        if len(block.ids) >= _MOST:
            self._blocks.insert(pos + 1, block.cut(_HALF))
            maxima.insert(pos, (block.times[_HALF - 1], block.ids.at(_HALF - 1)))
            if maxima[pos] < item:
                pos += 1
            block = self._blocks[pos]
        place = block.find(time, entry_id)
        block.times.insert(place, time)
        block.ids.insert(place, entry_id)

    def extend(self, time: int, numbers: "array[int]") -> bool:
        """Add ids of one time by their small numbers, rising. False, and nothing is added, unless they come last."""
        maxima = self._maxima
        if maxima and ((time, large_id(numbers[0])) <= maxima[-1] or self._blocks[-1].ids._is_wide):
            return False
        start = 0
        while start < len(numbers):
            room = _MOST - len(self._blocks[-1].ids) if maxima else 0
            if room <= 0:
                self._blocks.append(_Timed())
                maxima.append((0, 0))
                room = _MOST
            part = numbers[start : start + room]
            block = self._blocks[-1]
            block.ids.append_smalls(part)
            block.times += array("q", [time]) * len(part)
            maxima[-1] = (time, large_id(part[-1]))
            start += len(part)
        return True

    def remove_run(self, time: int, entry_id: int, count: int) -> None:
        """Remove `count` ids of one time that follow one another here, from `entry_id` on, which is there."""
        pos = bisect_left(self._maxima, (time, entry_id))
        place = self._blocks[pos].find(time, entry_id)
        left = count
        while left > 0:
            block = self._blocks[pos]
            taken = min(left, len(block.ids) - place)
            del block.times[place : place + taken]
            block.ids.delete_run(place, taken)
            left -= taken
            size = len(block.ids)
            if size == 0:
                del self._blocks[pos]
                del self._maxima[pos]
                continue
            if place == size:
                self._maxima[pos] = (block.times[size - 1], block.ids.at(size - 1))
            pos += 1
            place = 0

    def remove(self, time: int, entry_id: int) -> None:
        """It must be there."""
        pos = bisect_left(self._maxima, (time, entry_id))
        block = self._blocks[pos]
        place = block.find(time, entry_id)
        del block.times[place]
        block.ids.delete(place)
        size = len(block.ids)
        if size == 0:
            del self._blocks[pos]
            del self._maxima[pos]
        elif place == size:
            self._maxima[pos] = (block.times[size - 1], block.ids.at(size - 1))

    def first_time(self) -> int | None:
        return self._blocks[0].times[0] if self._blocks else None

    def until(self, time: int, limit: int) -> list[int]:
        """The ids of times up to `time`, at most `limit` of them (-1: all)."""
        found: list[int] = []
        for block in self._blocks:
            stop = bisect_right(block.times, time)
            if 0 <= limit < len(found) + stop:
                stop = limit - len(found)
            found += block.ids.slice(0, stop)
            if stop < len(block.ids):
                break
        return found

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        return [self._blocks, self._maxima]

    def copy(self) -> "TimeOrder":
        other = TimeOrder()
        for block in self._blocks:
            twin = _Timed()
            twin.times = block.times[:]
            twin.ids = block.ids.copy()
            other._blocks.append(twin)
        other._maxima = list(self._maxima)
        return other
