"""Packed collections: what goes in comes out, and nobody can tell but by the memory."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.datatypes.hashes import HashValue, packed_hash
from broker.datatypes.packing import fits, pack, pack_scored, unpack, unpack_scored
from broker.datatypes.sets import SetValue, packed_set
from broker.datatypes.sorted_sets import SortedSet, packed_zset

texts = st.lists(st.binary(max_size=255), max_size=24)
scores = st.floats(allow_nan=False)


@given(texts)
def test_texts_come_out_as_they_went_in(some: list[bytes]) -> None:
    assert unpack(pack(some)) == some


@given(st.lists(st.tuples(scores, st.binary(max_size=255)), max_size=24))
def test_scores_come_out_as_they_went_in(some: list[tuple[float, bytes]]) -> None:
    assert unpack_scored(pack_scored([a for a, _ in some], [b for _, b in some])) == (
        [a for a, _ in some],
        [b for _, b in some],
    )


def test_what_does_not_fit() -> None:
    assert fits([b"%d" % i for i in range(24)])
    assert not fits([b"%d" % i for i in range(25)])
    assert not fits([b"a", b"b", b"a"])
    assert fits([b"x" * 255]) and not fits([b"x" * 256])
    assert packed_hash([b"a", b"x" * 256]) is None


@given(st.dictionaries(st.binary(max_size=9), st.binary(max_size=255), min_size=1, max_size=24))
def test_a_packed_hash_is_the_hash_that_one_gets_by_setting(pairs: dict[bytes, bytes]) -> None:
    plain = HashValue()
    for field, value in pairs.items():
        plain.set(field, value)
    packed = packed_hash([text for pair in pairs.items() for text in pair])
    assert packed is not None
    assert (packed.longest, packed.most) == (plain.longest, plain.most)
    assert packed.flat() == plain.flat()


@given(st.lists(st.one_of(st.binary(max_size=9), st.integers(-9, 9).map(b"%d".__mod__)), min_size=1, unique=True))
def test_a_packed_set_is_the_set_that_one_gets_by_adding(members: list[bytes]) -> None:
    members = members[:24]
    plain = SetValue()
    for member in members:
        plain.add(member)
    packed = packed_set(members)
    assert packed is not None
    assert (packed.longest, packed.most, packed.integers) == (plain.longest, plain.most, plain.integers)
    assert packed.members.key_list() == plain.members.key_list()


@given(st.dictionaries(st.binary(max_size=9), scores, min_size=1, max_size=24))
def test_a_packed_sorted_set_is_the_one_that_one_gets_by_setting(model: dict[bytes, float]) -> None:
    plain = SortedSet()
    for member, score in model.items():
        plain.set(member, score)
    packed = packed_zset(list(model.values()), list(model))
    assert packed is not None
    assert (packed.longest, packed.most) == (plain.longest, plain.most)
    assert packed.items() == plain.items()
    assert str(packed.items()) == str(plain.items())  # 0 and -0


def test_looking_unpacks_and_copies_share() -> None:
    packed = packed_hash([b"a", b"1", b"b", b"2"])
    assert packed is not None
    other, still = packed.copy(), packed.frozen()
    assert other.packed is packed.packed is still.packed
    other.set(b"a", b"9")
    assert packed.packed is not None and still.packed is not None
    assert packed.get(b"a") == b"1" == still.get(b"a")
    packed.thaw()
    assert packed.packed is None


@pytest.mark.parametrize("kind", ["hash", "set", "zset"])
def test_packed_it_takes_a_fraction_of_the_memory(kind: str) -> None:
    names = [b"member%d" % i for i in range(10)]
    value: HashValue | SetValue | SortedSet | None
    if kind == "hash":
        value = packed_hash([text for name in names for text in (name, name)])
    else:
        value = packed_set(names) if kind == "set" else packed_zset([1.5] * 9 + [inf], names)
    assert value is not None
    small = value.approximate_bytes()
    assert small < 300 and value.packed is not None
    assert len(value) == 10 and value.packed is not None
    table = value.fields if isinstance(value, HashValue) else value.members
    assert len(table) == 10 and value.packed is None
    assert value.approximate_bytes() > 3 * small


def test_a_hash_with_times_is_not_packed() -> None:
    value = HashValue()
    value.set(b"a", b"1")
    value.give_time(b"a", 5)
    assert not value.pack()
