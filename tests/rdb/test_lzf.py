"""LZF: our own code and the library agree, whatever the bytes are."""

import lzf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.rdb.codes import BadData
from broker.rdb.lzf import compress, compress_plainly, compress_whole, decompress, decompress_plainly

_REPEATING = st.builds(lambda parts, n: b"".join(parts) * n, st.lists(st.binary(max_size=40)), st.integers(0, 400))
_DATA = st.one_of(st.binary(max_size=300), _REPEATING, st.integers(0, 20000).map(lambda n: b"a" * n))


@given(_DATA)
def test_what_either_packs_both_unpack(data):
    packed = compress_plainly(data)
    assert decompress_plainly(packed, len(data)) == data
    assert not data or decompress(packed, len(data)) == data
    by_library = lzf.compress(data, 2 * len(data) + 100) if data else b""
    assert decompress_plainly(by_library, len(data)) == data


@given(st.lists(_DATA.filter(bool), max_size=5))
def test_what_was_packed_part_by_part_is_the_whole_packed(parts):
    """Long strings are packed so, a part in each slice."""
    whole = b"".join(parts)
    for pack in (compress_whole, compress_plainly):
        packed = b"".join(map(pack, parts))
        assert decompress_plainly(packed, len(whole)) == whole
        assert not whole or lzf.decompress(packed, len(whole)) == whole


def test_repetition_is_found_up_to_its_greatest_length_and_distance():
    noise = bytes(range(256)) * 32
    for data in (b"ab" * 5000, noise + b"x" * 300 + noise, b"".join(b"%d," % n for n in range(5000))):
        packed = compress_plainly(data)
        assert decompress_plainly(packed, len(data)) == data == decompress(packed, len(data))
        assert len(packed) < len(data) * 0.8


def test_what_does_not_get_smaller_stays_as_it_is():
    assert compress(bytes(range(256)), 252) == b""
    assert len(compress(b"a" * 300, 296)) < 20


@given(st.binary(min_size=1, max_size=100), st.integers(0, 1 << 64))
def test_damaged_data_is_refused_or_has_the_size_that_was_said(data, size):
    for unpack in (decompress, decompress_plainly):
        try:
            found = unpack(data, size)
        except BadData:
            continue
        assert len(found) == size


def test_a_size_that_can_not_be_allocates_nothing():
    for size in (1 << 40, 1 << 60):
        with pytest.raises(BadData):
            decompress(b"\x00a\xe0\xff\x00", size)
        with pytest.raises(BadData):
            decompress_plainly(b"\x00a\xe0\xff\x00", size)
