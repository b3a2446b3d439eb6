"""Small numbers stand for ids and compare as they do."""

from hypothesis import given
from hypothesis import strategies as st

from broker.datatypes.small_ids import large_id, least_above, parse_small, parse_smalls, small_id
from broker.datatypes.streams import format_id, parse_id

parts = st.one_of(
    st.integers(0, 5), st.sampled_from([2**20 - 1, 2**20, 2**42 - 1, 2**42, 2**64 - 1]), st.integers(0, 2**64 - 1)
)
ids = st.tuples(parts, parts).map(lambda pair: pair[0] << 64 | pair[1])


@given(ids, ids)
def test_they_compare_as_ids_do(one: int, other: int) -> None:
    a, b = small_id(one), small_id(other)
    if a >= 0:
        assert large_id(a) == one
        if b >= 0:
            assert (a < b) == (one < other)
        else:
            assert (a < least_above(other)) == (one < other)


@given(ids)
def test_the_text_of_an_id_gives_its_number(entry_id: int) -> None:
    assert parse_small(format_id(entry_id)) == small_id(entry_id)


@given(st.text("0123456789-+* x", max_size=20).map(str.encode))
def test_what_is_read_is_what_the_careful_way_reads(text: bytes) -> None:
    number = parse_small(text)
    if number >= 0:
        assert large_id(number) == parse_id(text, 9)


def test_a_row_has_numbers_only_if_all_have() -> None:
    found = parse_smalls([b"XACK", b"1-0", b"1-1"], 1)
    assert found is not None
    assert list(found) == [1 << 20, (1 << 20) + 1]
    assert parse_smalls([b"1-0", b"2"], 0) is None
    assert parse_smalls([b"1-0", b"1-1048576"], 0) is None
