"""A survey vouches for listpacks that read well, and only for those; what keeps one is what one gets by setting."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.datatypes.hashes import HashValue, hash_of_listpack
from broker.datatypes.listpack import listpack, read_listpack
from broker.datatypes.listpack_survey import Survey
from broker.datatypes.sets import SetValue, set_of_listpack
from broker.datatypes.sorted_sets import SortedSet, from_scores, zset_of_listpack
from broker.errors import BadData
from broker.protocol.numbers import parse_float

NUMBERS = st.one_of(
    st.integers(-200, 200),
    st.sampled_from([s * (1 << b) + d for s in (1, -1) for b in (12, 15, 23, 31, 63) for d in (-1, 0, 1)]),
).filter(lambda number: -(1 << 63) <= number < 1 << 63)
TEXTS = st.one_of(
    NUMBERS.map(lambda number: b"%d" % number),
    st.binary(max_size=9),
    st.sampled_from([b"-0", b"007", b"-", b"1.5", b"x" * 63, b"x" * 64, b"x" * 126, b"x" * 127, b"x" * 4095]),
)
SCORES = st.one_of(NUMBERS.map(float), st.floats(allow_nan=False, allow_infinity=False))


def spelled(score: float) -> bytes:
    return b"%d" % int(score) if score == int(score) and abs(score) < 1 << 52 else repr(score).encode()


@given(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=24))
def test_a_hash_that_keeps_its_listpack_is_the_hash_that_one_gets_by_setting(pairs: dict[bytes, bytes]) -> None:
    kept = hash_of_listpack(listpack([text for pair in pairs.items() for text in pair]), Survey())
    made = HashValue()
    for field, value in pairs.items():
        made.set(field, value)
    assert kept is not None
    assert (len(kept), kept.longest, kept.most) == (len(made), made.longest, made.most)
    assert len(kept.copy()) == len(kept) and kept.packed is not None
    assert kept.copy().flat() == made.flat() == kept.frozen().flat()
    assert kept.packed is not None and kept.flat() == made.flat() and kept.packed is None
    assert kept.pack() == made.pack() and kept.flat() == made.flat()


@given(st.lists(TEXTS, min_size=1, max_size=24, unique=True))
def test_a_set_that_keeps_its_listpack_is_the_set_that_one_gets_by_adding(members: list[bytes]) -> None:
    kept = set_of_listpack(listpack(members), Survey())
    made = SetValue()
    for member in members:
        made.add(member)
    assert kept is not None
    assert (len(kept), kept.longest, kept.most, kept.integers) == (len(made), made.longest, made.most, made.integers)
    assert kept.copy().members.key_list() == members == kept.members.key_list()


@given(st.dictionaries(TEXTS, SCORES, min_size=1, max_size=24))
def test_a_sorted_set_that_keeps_its_listpack_is_the_one_that_one_gets(scores: dict[bytes, float]) -> None:
    items = [text for member, score in scores.items() for text in (member, spelled(score))]
    kept = zset_of_listpack(listpack(items), Survey())
    made = from_scores(scores)
    if kept is None:  # an exponent of three digits
        assert any(b"e" in spelled(score)[-5:] for score in scores.values())
        return
    assert (len(kept), kept.longest, kept.most) == (len(made), made.longest, made.most)
    assert kept.copy().items() == made.items() == kept.items()


@pytest.mark.parametrize("step", [1, 2])
@given(items=st.lists(st.one_of(TEXTS, st.sampled_from([b"1", b"a", b"b"])), max_size=30), most=st.integers(1, 24))
def test_names_that_come_twice_or_are_too_many_are_not_vouched_for(step: int, items: list[bytes], most: int) -> None:
    names = items[::step]
    fits = 0 < len(names) <= most and len(set(names)) == len(names) and len(items) % step == 0
    assert Survey().look(listpack(items), step, False, most) == fits


@given(st.lists(TEXTS, min_size=1, max_size=8), st.data(), st.sampled_from([(1, False), (2, False), (2, True)]))
def test_what_is_vouched_for_reads_well(items: list[bytes], data: st.DataObject, kind: tuple[int, bool]) -> None:
    raw = bytearray(listpack(items))
    for _ in range(data.draw(st.integers(0, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    step, has_scores = kind
    if not Survey().look(bytes(raw), step, has_scores, 24):
        return
    found = read_listpack(bytes(raw))  # raises nothing
    assert len(found) % step == 0 and len(set(found[::step])) == len(found[::step])
    assert not has_scores or all(parse_float(text) is not None for text in found[1::2])


@given(st.one_of(st.binary(max_size=12), st.from_regex(rb"\A-?[0-9]{1,25}(\.[0-9]{1,4})?(e[+-]?[0-9]{1,3})?\Z")))
@example(b"1e5")
@example(b".5")
@example(b"1.")
@example(b"nan")
@example(b"-")
@example(b"")
def test_a_score_that_is_vouched_for_is_a_number(text: bytes) -> None:
    if Survey().look(listpack([b"member", text]), 2, True, 24):
        assert parse_float(text) is not None


def test_a_text_that_spells_a_number_of_the_same_listpack_is_the_same_name() -> None:
    number = b"\x05\x01"
    text = b"\x815\x02"
    raw = number + text
    data = (len(raw) + 7).to_bytes(4, "little") + (2).to_bytes(2, "little") + raw + b"\xff"
    assert read_listpack(data) == [b"5", b"5"]
    assert not Survey().look(data, 1, False, 24)


@pytest.mark.parametrize("keep", [hash_of_listpack, set_of_listpack, zset_of_listpack])
@pytest.mark.parametrize("cut", [b"", b"\xff", b"\x07\0\0\0\0\0\xff", listpack([]), listpack([b"a", b"1"])[:-1]])
def test_what_is_no_listpack_or_empty_is_not_kept(
    keep: Callable[[bytes, Survey], HashValue | SetValue | SortedSet | None], cut: bytes
) -> None:
    assert keep(cut, Survey()) is None


def test_a_listpack_that_is_damaged_is_left_to_the_one_who_says_so() -> None:
    data = listpack([b"field", b"value"])
    assert hash_of_listpack(data[:-2] + b"\xff", Survey()) is None
    with pytest.raises(BadData):
        read_listpack(data[:-2] + b"\xff")
