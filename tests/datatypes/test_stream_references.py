"""Trims that regard the groups of a stream, against a naive model of entries and sets."""

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.datatypes.stream_groups import Group
from broker.datatypes.stream_references import is_referenced, trim_acknowledged, trim_with_references
from broker.datatypes.streams import MAX_ID, Stream

COUNT = 230  # more than two blocks

gone = st.sets(st.integers(1, COUNT), max_size=40)
acked = st.lists(
    st.tuples(st.integers(0, COUNT), st.integers(1, 9), st.sets(st.integers(1, COUNT), max_size=30)), max_size=3
)
length = st.one_of(st.just(-1), st.integers(0, COUNT + 5))
below = st.integers(1, COUNT + 5)


def build(deleted: set[int], groups: list[tuple[int, int, set[int]]]) -> tuple[Stream, list[tuple[int, set[int]]]]:
    """groups: (last id, every how many read entries one is pending, further pending ids); and what came of them."""
    stream = Stream()
    for i in range(1, COUNT + 1):
        stream.append(i, [b"n", b"%d" % i])
    model: list[tuple[int, set[int]]] = []
    for number, (last, step, more) in enumerate(groups):
        group = Group(last, -1)
        consumer = group.add_consumer(b"c", 0)
        pending = {i for i in range(1, last + 1) if i % step == 0} | {i for i in more if i <= last}
        for i in sorted(pending):
            group.assign(i, consumer, 0, 1)
        stream.groups[b"%d" % number] = group
        model.append((last, pending))
    for i in deleted:
        stream.delete(i)
    return stream, model


def live(stream: Stream) -> list[int]:
    return stream.range(0, MAX_ID, -1, False).ids


def pending_of(stream: Stream) -> list[set[int]]:
    return [set(group.pending) for group in stream.groups.values()]


@settings(max_examples=100, deadline=None)
@given(gone, acked, length, below)
def test_a_trim_of_what_is_acknowledged_removes_the_oldest_that_nobody_needs(
    deleted: set[int], groups: list[tuple[int, int, set[int]]], most: int, min_id: int
) -> None:
    stream, model = build(deleted, groups)
    if not groups:
        return
    before = live(stream)
    free = [i for i in before if not any(i > last or i in pending for last, pending in model)]
    if most < 0:
        doomed = {i for i in free if i < min_id}
    else:
        doomed = set(free[: max(len(before) - most, 0)])
    result = trim_acknowledged(stream, list(stream.groups.values()), most, min_id, 0)
    assert live(stream) == [i for i in before if i not in doomed]
    assert result.removed == len(doomed) == len(before) - len(stream)
    # What is journaled gives the same: the oldest down to a length, then single ones.
    front = [i for i in before if i in doomed and i not in result.holes]
    assert front == before[: len(front)]
    assert result.length == len(before) - len(front)
    assert pending_of(stream) == [pending for _, pending in model]


@settings(max_examples=100, deadline=None)
@given(gone, acked, length, below, st.booleans())
def test_a_trim_drops_the_references_to_what_it_removes_and_no_others(
    deleted: set[int], groups: list[tuple[int, int, set[int]]], most: int, min_id: int, whole_blocks: bool
) -> None:
    stream, model = build(deleted, groups)
    before = live(stream)
    removed = trim_with_references(stream, most, min_id, whole_blocks, 0)
    after = live(stream)
    assert removed == len(before) - len(after)
    went = set(before) - set(after)
    assert pending_of(stream) == [pending - went for _, pending in model]
    if not whole_blocks:
        assert after == ([i for i in before if i >= min_id] if most < 0 else before[max(len(before) - most, 0) :])


@settings(max_examples=50, deadline=None)
@given(acked)
def test_an_entry_is_needed_until_every_group_has_acknowledged_it(groups: list[tuple[int, int, set[int]]]) -> None:
    stream, model = build(set(), groups)
    for i in range(1, COUNT + 1):
        expected = any(i > last or i in pending for last, pending in model)
        assert is_referenced(list(stream.groups.values()), i) == expected
