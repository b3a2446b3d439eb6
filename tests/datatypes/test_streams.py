"""Stream against a list of entries, ids against what Redis reads, lags against what is left to read."""

import re
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.datatypes.entry_wire import encode_entry
from broker.datatypes.packed_entries import Storage
from broker.datatypes.stream_groups import UNKNOWN, Group
from broker.datatypes.streams import MAX_ID, NO_ID, Stream, format_id, parse_id, parse_ms
from broker.protocol.replies import EntryList

FIELDS = [b"f", b"v"]
UNIFORM, ALTERNATING, WILD, LONG, TYPICAL, DRIFTING = range(6)

places = st.floats(0, 1)
forms = st.sampled_from([UNIFORM, ALTERNATING, WILD, LONG, TYPICAL, DRIFTING])
lengths = st.one_of(st.integers(0, 400), st.just(0))


def fields_of(form: int, number: int) -> list[bytes]:
    """Entries alike, of three kinds, each with names of its own, with values of many lengths; as a log has them, and of
    sorts that change from time to time."""
    if form == UNIFORM:
        return [b"f", b"%d" % number]
    if form == ALTERNATING:
        return [b"kind", b"%d" % (number % 3)] + [b"f%d" % i for i in range(number % 3 * 2)]
    if form == WILD:
        return [b"name%d" % number, b"\0\xff", b"", b""]
    if form == TYPICAL:
        user = b"user:%06d" % (number * 7919 % 5000)
        return [b"user", user, b"action", b"click", b"ms", b"%d" % (number * 31 % 900), b"level", b"%d" % (number % 3)]
    if form == DRIFTING:
        odd = b"n/a" if number % 37 == 0 else b"%d" % (10 ** (number // 40 % 19))
        return [b"a", odd, b"b", b"%s%03d" % (b"xy"[number // 60 % 2 :], number % 1000), b"c", b"%d" % (number // 100)]
    return [b"size", b"x" * (number % 7 * 60), b"", Random(number).randbytes(number % 5 * 100)]


class StreamMachine(RuleBasedStateMachine):
    """The model: {id: fields} in the order of ids, and what was ever added or deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.storage = Storage()
        self.stream = Stream(self.storage)
        self.model: dict[int, list[bytes]] = {}
        self.added = 0
        self.last_id = 0
        self.max_deleted = 0

    def an_id(self, place: float) -> int:
        """That of an entry, a neighbour of one, or any."""
        ids = list(self.model)
        nth = int(place * 1000)
        if not ids or nth % 4 == 0:
            return int(place * (self.last_id + 2))
        return max(ids[nth % len(ids)] + nth % 3 - 1, 0)

    @initialize(
        count=st.integers(0, 400),
        entries=st.sampled_from([1, 2, 3, 7, 100]),
        size=st.sampled_from([60, 300, 100_000]),
        compression=st.sampled_from([0, 1, 6]),
        cache=st.sampled_from([0, 3000, 100_000]),
    )
    def begin(self, count: int, entries: int, size: int, compression: int, cache: int) -> None:
        self.storage = Storage(entries, size, compression, cache)
        self.stream = Stream(self.storage)
        self.append(count, 1, UNIFORM)

    @rule(count=st.integers(1, 150), step=st.sampled_from([1, 2, 3, 1 << 40, 1 << 64, 3 << 80]), form=forms)
    def append(self, count: int, step: int, form: int) -> None:
        for _ in range(count):
            self.last_id += step
            fields = fields_of(form, self.added)
            self.stream.append(self.last_id, fields)
            self.model[self.last_id] = fields
            self.added += 1

    @rule(place=places, count=st.integers(1, 130))
    def delete(self, place: float, count: int) -> None:
        start = self.an_id(place)
        for entry_id in [start, *[i for i in self.model if i >= start][:count]]:
            was_there = self.model.pop(entry_id, None) is not None
            assert self.stream.delete(entry_id) == was_there
            if was_there:
                self.max_deleted = max(self.max_deleted, entry_id)

    @rule(length=lengths)
    def trim_to_length(self, length: int) -> None:
        gone = list(self.model)[: max(len(self.model) - length, 0)]
        assert self.stream.trim_to_length(length, False, 0) == len(gone)
        for entry_id in gone:
            del self.model[entry_id]

    @rule(place=places)
    def trim_below(self, place: float) -> None:
        threshold = self.an_id(place)
        gone = [entry_id for entry_id in self.model if entry_id < threshold]
        assert self.stream.trim_below(threshold, False, 0) == len(gone)
        for entry_id in gone:
            del self.model[entry_id]

    @rule(length=lengths, limit=st.sampled_from([0, 1, 99, 100, 250]))
    def trim_whole_blocks_to_length(self, length: int, limit: int) -> None:
        before = len(self.model)
        self.drop_oldest(self.stream.trim_to_length(length, True, limit), limit)
        assert len(self.model) >= min(length, before)

    @rule(place=places, limit=st.sampled_from([0, 1, 99, 100, 250]))
    def trim_whole_blocks_below(self, place: float, limit: int) -> None:
        threshold = self.an_id(place)
        wanted = sum(entry_id < threshold for entry_id in self.model)
        removed = self.stream.trim_below(threshold, True, limit)
        assert removed <= wanted
        if not limit:
            assert wanted - removed < self.storage.max_entries
        self.drop_oldest(removed, limit)

    def drop_oldest(self, count: int, limit: int) -> None:
        if limit:
            assert count <= limit
        for entry_id in list(self.model)[:count]:
            del self.model[entry_id]

    @rule(count=st.integers(0, 120), again=st.integers(1, 30))
    def delete_the_newest_and_use_their_ids_again(self, count: int, again: int) -> None:
        for entry_id in list(self.model)[len(self.model) - min(count, len(self.model)) :]:
            assert self.stream.delete(entry_id)
            del self.model[entry_id]
            self.max_deleted = max(self.max_deleted, entry_id)
        self.last_id = max(self.model, default=0)
        self.stream.set_last_id(self.last_id)
        self.append(again, 1, UNIFORM)

    @rule(share=st.integers(2, 9), keep=st.integers(0, 8))
    def delete_most(self, share: int, keep: int) -> None:
        for number, entry_id in enumerate(list(self.model)):
            if number % share != keep:
                assert self.stream.delete(entry_id)
                assert not self.stream.delete(entry_id)
                del self.model[entry_id]
                self.max_deleted = max(self.max_deleted, entry_id)

    @rule()
    def go_on_with_a_copy(self) -> None:
        old = self.stream
        self.stream = old.copy()
        old.append(self.last_id + 1, FIELDS)
        old.trim_to_length(0, False, 0)

    @invariant()
    def ranges_agree(self) -> None:
        rng = Random(self.added)
        for limit in (-1, 0, 1, 7, 150):
            low = self.an_id(rng.random())
            high = self.an_id(rng.random())
            self.range_agrees(min(low, high), max(low, high), limit)
            self.stream.get(low)
            assert self.stream.live_after(high) == sum(entry_id > high for entry_id in self.model)

    def range_agrees(self, low: int, high: int, limit: int) -> None:
        expected = [(i, fields) for i, fields in self.model.items() if low <= i <= high]
        cut = len(expected) if limit < 0 else limit
        forward = self.stream.range(low, high, limit, False)
        assert list(zip(forward.ids, forward.fields, strict=True)) == expected[:cut]
        backward = self.stream.range(low, high, limit, True)
        assert list(zip(backward.ids, backward.fields, strict=True)) == expected[::-1][:cut]
        for reverse in (False, True):
            wanted = expected[::-1][:cut] if reverse else expected[:cut]
            encoded = self.stream.range_encoded(low, high, limit, reverse, True)
            assert encoded.ids() == [entry_id for entry_id, _ in wanted]
            wires = [encode_entry(entry_id, fields) for entry_id, fields in wanted]
            assert encoded.wire() == b"".join(wires)
            assert encoded.ends == list(accumulate(len(wire) for wire in wires))
            assert self.stream.range_encoded(low, high, limit, reverse).wire() == encoded.wire()
            assert encoded.count == len(wanted)

    @rule(place=places)
    def look_up_agrees(self, place: float) -> None:
        assert self.stream.get(self.an_id(place)) == self.model.get(self.an_id(place))

    @invariant()
    def everything_agrees(self) -> None:
        stream = self.stream
        assert len(stream) == len(self.model)
        assert stream.range(0, MAX_ID, -1, False).ids == list(self.model)
        assert stream.first_id == min(self.model, default=0)
        assert stream.newest_id() == max(self.model, default=0)
        assert stream.last_id == self.last_id
        assert stream.entries_added == self.added
        assert stream.max_deleted_id == self.max_deleted

    @invariant()
    def blocks_are_in_order(self) -> None:
        blocks = self.stream._blocks
        firsts = self.stream._firsts
        slots = [[block._reader().id_at(slot) for slot in range(block.slots())] for block in blocks]
        flat = [entry_id for ids in slots for entry_id in ids]
        assert flat == sorted(set(flat))
        assert all(first <= ids[0] for first, ids in zip(firsts, slots, strict=True))
        assert all(first > ids[-1] for first, ids in zip(firsts[1:], slots[:-1], strict=True))
        assert all(block.is_sealed() for block in blocks[:-1])
        for block in blocks:
            assert 0 < block.live <= block.slots() <= self.storage.max_entries
            assert block.live == sum(block._is_live(slot) for slot in range(block.slots()))

    @invariant()
    def what_is_unpacked_fits(self) -> None:
        assert 0 <= self.storage.cached_bytes <= self.storage.cache_bytes


TestStream = StreamMachine.TestCase
TestStream.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"0-0", 0),
        (b"5", 5 << 64 | 9),
        (b"5-3", 5 << 64 | 3),
        (b"18446744073709551615-18446744073709551615", MAX_ID),
        (b"18446744073709551616-0", NO_ID),
        (b"5-18446744073709551616", NO_ID),
        (b"007-03", 7 << 64 | 3),
        (b"+5", 5 << 64 | 9),
        (b" 5- 3", 5 << 64 | 3),
        (b"5- -3", 5 << 64 | (1 << 64) - 3),  # strtoull negates
        (b"5--0", 5 << 64),
        (b"5--3", NO_ID),
        (b"5-3\0more", 5 << 64 | 3),
        (b"", NO_ID),
        (b"-", NO_ID),
        (b"+", NO_ID),
        (b"-5", NO_ID),
        (b"5-", NO_ID),
        (b"5-3-1", NO_ID),
        (b"5-*", NO_ID),
        (b"x", NO_ID),
        (b"1_0", NO_ID),
        (b"\xd9\xa1", NO_ID),
        (b"0" * 127 + b"-5", NO_ID),
    ],
)
def test_ids_are_read_as_redis_reads_them(text: bytes, expected: int) -> None:
    assert parse_id(text, 9) == expected


@pytest.mark.parametrize(("text", "expected"), [(b"5-*", 5), (b"5", NO_ID), (b"5-3*", NO_ID), (b"-*", NO_ID)])
def test_an_open_sequence_is_a_star_after_the_milliseconds(text: bytes, expected: int) -> None:
    assert parse_ms(text) == expected


def test_an_entry_is_encoded_as_an_array_of_its_id_and_its_fields() -> None:
    wire = b"*2\r\n$3\r\n1-2\r\n*4\r\n$1\r\nf\r\n$4\r\n\r\n$1\r\n$0\r\n\r\n$2000\r\n" + b"x" * 2000 + b"\r\n"
    assert encode_entry(1 << 64 | 2, [b"f", b"\r\n$1", b"", b"x" * 2000]) == wire
    assert EntryList(1, wire).items == [[b"1-2", [b"f", b"\r\n$1", b"", b"x" * 2000]]]


def test_formatting_undoes_parsing() -> None:
    for text in (b"0-0", b"1700000000000-12", b"18446744073709551615-18446744073709551615"):
        assert format_id(parse_id(text, 0)) == text


def test_new_ids_never_go_back_in_time() -> None:
    stream = Stream()
    assert stream.next_id(7) == 7 << 64
    stream.append(9 << 64, FIELDS)
    assert stream.next_id(7) == (9 << 64) + 1
    assert stream.next_id(10) == 10 << 64
    stream.append((11 << 64) - 1, FIELDS)
    assert stream.next_id(10) == 11 << 64, "the sequence of that millisecond is used up"


def test_large_entries_make_shorter_blocks() -> None:
    stream = Stream()
    for i in range(1, 9):
        stream.append(i, [b"f", b"x" * 3000])
    assert stream.block_count() == 4


def test_names_do_not_make_blocks_shorter_for_they_are_shared() -> None:
    stream = Stream()
    for i in range(1, 201):
        stream.append(i, [b"name" * 50, b"value"])
    assert stream.block_count() == 2


def test_blocks_without_limits_end_somewhere() -> None:
    storage = Storage()
    storage.configure(0, 0, 1)
    stream = Stream(storage)
    for i in range(1, 5001):
        stream.append(i, FIELDS)
    assert stream.block_count() == 2


def test_memory_grows_and_shrinks_with_the_entries() -> None:
    stream = Stream()
    empty = stream.approximate_bytes()
    for i in range(1, 5001):
        stream.append(i, [b"field", b"value" * 10 + b"%d" % i])
    full = stream.approximate_bytes()
    assert empty + 5000 * 3 < full < empty + 5000 * 20
    stream.groups[b"g"] = Group(0, UNKNOWN)
    assert stream.approximate_bytes() > full
    stream.trim_to_length(100, False, 0)
    assert stream.approximate_bytes() < full / 2


def test_short_streams_are_as_dense_as_long_ones() -> None:
    storage = Storage()
    empty = Stream(storage).approximate_bytes()
    streams = [Stream(storage) for _ in range(20)]
    for number in range(20 * 60):
        streams[number % 20].append((number + 1) << 64, fields_of(TYPICAL, number))
    plain_size = sum(len(part) for part in fields_of(TYPICAL, 0)[1::2]) + 12
    short = Stream(storage)
    for number in range(60):
        short.append((number + 1) << 64, fields_of(TYPICAL, number))
    assert short.approximate_bytes() - empty < 60 * 20 + 600
    assert streams[3].approximate_bytes() - empty < 60 * 20 + 600 + 17 * plain_size, "what came first stays as it was"


def test_values_that_do_not_fit_a_layout_spoil_it_for_no_others() -> None:
    storage = Storage(compression=0)
    empty = Stream(storage).approximate_bytes()
    stream = Stream(storage)
    for number in range(3000):
        odd = b"not a number at all" if number % 20 == 7 else b"a longer prefix:%07d" % (number * 1000)
        stream.append(number + 1, [b"reading", odd])
    assert stream.approximate_bytes() - empty < 3000 * 16
    assert stream.range(8, 8, -1, False).fields == [[b"reading", b"not a number at all"]]


def test_layouts_are_not_made_without_end() -> None:
    """For values that are always of another sort, and for names that are always others."""
    storage = Storage(20)
    stream = Stream(storage)
    for number in range(4000):
        stream.append(number + 1, [b"x", b"%c%d" % (65 + number // 20 % 26, number % 20)])
    known = storage.known([b"x"])
    assert known is not None
    assert known.rounds <= 12
    for number in range(4000, 5000):
        for times in range(2):
            stream.append((number << 1) + times, [b"name%d" % number, b"1"])
    assert len(storage._known) <= 256
    assert stream.range(4000, 4000, -1, False).fields == [[b"x", b"R19"]]


def stream_of(count: int) -> Stream:
    stream = Stream()
    for i in range(1, count + 1):
        stream.append(i, FIELDS)
    return stream


@pytest.mark.parametrize("threshold", [1, 2, 100, 101, 102, 200, 201, 250, 251])
def test_a_trim_ends_just_below_its_threshold_wherever_blocks_end(threshold: int) -> None:
    exact, in_blocks = stream_of(250), stream_of(250)
    assert exact.trim_below(threshold, False, 0) == threshold - 1
    assert in_blocks.trim_below(threshold, True, 0) == (250 if threshold == 251 else (threshold - 1) // 100 * 100)
    assert exact.range(0, MAX_ID, -1, False).ids == list(range(threshold, 251))


@pytest.mark.parametrize("length", [0, 1, 49, 50, 51, 149, 150, 151, 249, 250, 251])
def test_a_trim_leaves_as_many_as_it_is_told_wherever_blocks_end(length: int) -> None:
    exact, in_blocks = stream_of(250), stream_of(250)
    assert exact.trim_to_length(length, False, 0) == max(250 - length, 0)
    assert len(exact) == min(length, 250)
    in_blocks.trim_to_length(length, True, 0)
    assert len(in_blocks) == (0 if length == 0 else 50 if length <= 50 else 150 if length <= 150 else 250)


def test_the_lag_counts_down_as_a_group_reads() -> None:
    stream = stream_of(3)
    group = Group(0, UNKNOWN)
    assert stream.lag(group) == 3
    for read in (1, 2, 3):
        stream.advance(group, read)
        assert (group.entries_read, stream.lag(group)) == (read, 3 - read)


def test_the_lag_counts_what_is_there_when_entries_ahead_were_deleted() -> None:
    stream = stream_of(5)
    group = Group(0, UNKNOWN)
    stream.advance(group, 1)
    stream.delete(3)
    assert (group.entries_read, stream.lag(group)) == (1, 3)
    stream.advance(group, 2)
    assert (group.entries_read, stream.lag(group)) == (UNKNOWN, 2)
    stream.advance(group, 4)
    stream.advance(group, 5)
    assert (group.entries_read, stream.lag(group)) == (5, 0), "at the last id the count is known again"


def test_the_lag_survives_a_trim_and_an_empty_stream() -> None:
    stream = stream_of(5)
    group = Group(0, UNKNOWN)
    stream.trim_to_length(2, False, 0)
    assert stream.lag(group) == 2
    assert stream.entries_up_to(0) == 3
    assert stream.entries_up_to(4) == 4
    stream.trim_to_length(0, False, 0)
    assert stream.entries_up_to(4) == 5
    assert stream.entries_up_to(9) == UNKNOWN
    assert stream.lag(group) == 0
    assert Stream().lag(group) == 0


@pytest.mark.parametrize("blocks", [1, 2, 3, 40, 90])
def test_what_is_left_is_counted_while_blocks_come_and_go(blocks: int) -> None:
    """The tree over the blocks grows at its end and loses its front, a few blocks or many at a time."""
    stream = Stream(Storage(4))
    ids: list[int] = []
    rng = Random(blocks)
    for step in range(60):
        for _ in range(rng.randrange(4 * blocks)):
            entry_id = stream.last_id + 1
            stream.append(entry_id, FIELDS)
            ids.append(entry_id)
        place = rng.choice(ids) if ids else 0
        assert stream.live_after(place) == sum(one > place for one in ids)
        if step % 3 == 0:
            ids = ids[len(ids) - min(len(ids), rng.randrange(2 * blocks, 6 * blocks)) :]
            stream.trim_to_length(len(ids), False, 0)
        for entry_id in rng.sample(ids, len(ids) // 5):
            stream.delete(entry_id)
            ids.remove(entry_id)
        for place in [0, stream.last_id, *rng.sample(ids, min(len(ids), 5))]:
            assert stream.live_after(place) == sum(one > place for one in ids)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 12),
    st.sets(st.integers(1, 12), max_size=3),
    st.integers(0, 12),
    st.integers(UNKNOWN, 12),
    st.sampled_from([0, 5, 12, 30]),
    st.integers(0, 4),
)
def test_reading_a_batch_counts_as_reading_one_by_one(
    count: int, gone: set[int], last: int, read: int, added: int, trimmed: int
) -> None:
    stream = Stream()
    for i in range(1, count + 1):
        stream.append(i, [b"f", b"v"])
    for i in gone:
        stream.delete(i)
    stream.trim_to_length(max(len(stream) - trimmed, 0), False, 0)
    stream.entries_added = added
    ids = [entry_id for entry_id in stream.range(0, MAX_ID, -1, False).ids if entry_id > last]
    one_by_one, at_once = Group(last, read), Group(last, read)
    for entry_id in ids:
        stream.advance(one_by_one, entry_id)
    if ids and stream.advance_over(at_once, len(ids), ids[0], ids[-1]):
        assert (at_once.entries_read, at_once.last_id) == (one_by_one.entries_read, one_by_one.last_id)
    else:
        assert (at_once.entries_read, at_once.last_id) == (read, last)


@pytest.mark.parametrize("bits", range(1, 62, 5))
@pytest.mark.parametrize("shift", [0, 64], ids=["sequences", "milliseconds"])
def test_ids_may_lie_apart_by_any_number(bits: int, shift: int) -> None:
    """In the compiled build, too, where numbers have 64 bits."""
    step = 1 << bits
    if shift == 0 and bits > 60:
        step >>= 3  # three of them are to fit the small form
    ids = [(7 << 64) + ((step * i) << shift) + 3 for i in range(1, 8)]
    stream = Stream(Storage(3, 10_000, 0, 0))
    for entry_id in ids:
        stream.append(entry_id, [b"f", b"v"])
    assert stream.range(0, MAX_ID, -1, False).ids == ids
    assert [stream.get(entry_id) for entry_id in ids] == [[b"f", b"v"]] * 7
    assert [stream.live_after(entry_id) for entry_id in ids] == [6, 5, 4, 3, 2, 1, 0]
    assert b"".join(format_id(entry_id) for entry_id in ids) == b"".join(
        re.findall(rb"(\d+-\d+)", stream.range_encoded(0, MAX_ID, -1, False).wire())
    )
