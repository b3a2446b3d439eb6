"""Entries of a stream and the groups that still refer to them.

A group refers to an entry that it has yet to read, and to one that is pending in it. What Redis calls KEEPREF, DELREF
and ACKED is decided here, for entries named one by one and for trims.

Costs: one entry O(groups); a trim that drops references O(what it removes + pending entries among it); a trim of what
is acknowledged O(blocks removed + entries looked at between pending ones).
"""

from typing import Final

from broker.datatypes.stream_groups import Group, ids_from
from broker.datatypes.streams import MAX_ID, Stream

# What happens to references when an entry goes.
KEEP: Final = 0  # they stay, and point nowhere
DROP: Final = 1  # they go, too
ACKED: Final = 2  # the entry goes only if there are none

_CHUNK: Final = 256  # ids looked at in one go
_LOOK_AT: Final = 10_000  # entries that a trim with a limit looks at behind one that is needed, at least


def is_referenced(groups: list[Group], entry_id: int) -> bool:
    """Whether one of the groups has yet to read or to acknowledge it."""
    for group in groups:
        if entry_id > group.last_id or entry_id in group.pending:
            return True
    return False


def drop_references(stream: Stream, entry_id: int) -> bool:
    """Make an entry pending nowhere. True when it was."""
    any_dropped = False
    for group in stream.groups.values():
        if group.acknowledge(entry_id):
            any_dropped = True
    return any_dropped


def floor_of(stream: Stream, groups: list[Group]) -> int:
    """The least id that one of `groups` still refers to, or may refer to later: no entry below it is needed."""
    floor = MAX_ID
    for group in groups:
        floor = min(floor, group.last_id + 1)
        pending = ids_from(group.order, stream.first_id, 1)
        if pending:
            floor = min(floor, pending[0])
    return floor


def trim(stream: Stream, max_length: int, min_id: int, whole_blocks: bool, limit: int) -> int:
    """Remove the oldest entries: until `max_length` are left (or -1), or below `min_id`. Their number.

    whole_blocks, limit: as Stream.trim_to_length() has them.
    """
    if max_length >= 0:
        return stream.trim_to_length(max_length, whole_blocks, limit)
    return stream.trim_below(min_id, whole_blocks, limit)


def trim_with_references(stream: Stream, max_length: int, min_id: int, whole_blocks: bool, limit: int) -> int:
    """As trim(), and what was removed is pending nowhere any more. References to what was gone before stay."""
    if not stream.groups:
        return trim(stream, max_length, min_id, whole_blocks, limit)
    pending: list[list[int]] = []  # of each group, what may go
    groups = list(stream.groups.values())
    for group in groups:
        pending.append(_oldest_pending(stream, group, max_length, min_id))
    removed = trim(stream, max_length, min_id, whole_blocks, limit)
    stop = stream.first_id if stream.size else MAX_ID
    for i in range(len(groups)):
        for entry_id in pending[i]:
            if entry_id >= stop:
                break
            groups[i].acknowledge(entry_id)
    return removed


def _oldest_pending(stream: Stream, group: Group, max_length: int, min_id: int) -> list[int]:
    """The pending entries of a group that the exact trim could remove, oldest first, without those that are gone."""
    most = len(stream) - max_length if max_length >= 0 else len(group.pending)
    stop = min_id if max_length < 0 else MAX_ID
    found: list[int] = []
    start = stream.first_id
    while len(found) < most:
        chunk = ids_from(group.order, start, min(_CHUNK, most - len(found)))
        for entry_id in chunk:
            if entry_id >= stop:
                return found
            if stream.get(entry_id) is not None:
                found.append(entry_id)
        if not chunk:
            break
        start = chunk[-1] + 1
    return found


class AckedTrim:
    """What a trim of acknowledged entries removed: the oldest, and single ones behind an entry that is still needed.

    length: of the stream after the first of the two; holes: ids of the second.
    """

    def __init__(self) -> None:
        self.removed = 0
        self.length = 0
        self.holes: list[int] = []
        self.next_id = MAX_ID  # where to go on when no more entries were to be looked at


def trim_acknowledged(
    stream: Stream, groups: list[Group], max_length: int, min_id: int, limit: int, start: int = 0, look_at: int = 0
) -> AckedTrim:
    """Remove entries that no group refers to, oldest first: until `max_length` are left (or -1), or below `min_id`.

    limit: as Stream.trim_to_length() has it; then no more than so many, or _LOOK_AT, entries are looked at behind the
    first one that is still needed. start, look_at: without a limit, look there from `start` on, at about so many
    (0: all).
    """
    result = AckedTrim()
    floor = floor_of(stream, groups)
    if max_length < 0:
        result.removed = stream.trim_below(min(floor, min_id), False, limit)
    elif len(stream) > max_length:
        if stream.live_after(floor - 1) >= max_length:
            result.removed = stream.trim_below(floor, False, limit)
        else:
            result.removed = stream.trim_to_length(max_length, False, limit)
    result.length = len(stream)
    last = min([group.last_id for group in groups], default=0)
    if max_length < 0:
        last = min(last, min_id - 1)
    most = len(stream) - max_length if max_length >= 0 else len(stream)
    _find_holes(stream, groups, max(floor, start), last, most, limit, look_at, result)
    for entry_id in result.holes:
        stream.delete(entry_id)
    result.removed += len(result.holes)
    return result


def _find_holes(
    stream: Stream, groups: list[Group], start: int, last: int, most: int, limit: int, look_at: int, result: AckedTrim
) -> None:
    """Up to `most` entries of start <= id <= last that are pending in none of `groups`."""
    found = result.holes
    removed = result.removed  # those count for the limit already
    seen = 0
    while start <= last and len(found) < most and not (limit and seen >= max(limit, _LOOK_AT)):
        end, live = stream.block_span(start)
        if not live or (limit and removed + len(found) + live > limit):
            break
        if look_at and seen >= look_at:
            result.next_id = start
            return
        seen += live
        for entry_id in stream.range(start, min(end, last), -1, False).ids:
            if len(found) < most and not is_referenced(groups, entry_id):
                found.append(entry_id)
        start = end + 1
