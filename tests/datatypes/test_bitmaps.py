"""Bits of strings, against a list of zeros and ones."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.datatypes import bitmaps

text = st.binary(max_size=12)


def bits_of(value: bytes) -> list[int]:
    return [byte >> (7 - i) & 1 for byte in value for i in range(8)]


def text_of(bits: list[int]) -> bytes:
    return bytes(int("".join(map(str, bits[i : i + 8])), 2) for i in range(0, len(bits), 8))


@given(text, st.integers(0, 120), st.integers(0, 1))
def test_single_bits(value: bytes, offset: int, bit: int) -> None:
    bits = bits_of(value)
    assert bitmaps.get_bit(value, offset) == (bits[offset] if offset < len(bits) else 0)
    if offset < len(bits):
        changed = bytearray(value)
        bitmaps.set_bit(changed, offset, bit)
        bits[offset] = bit
        assert changed == text_of(bits)


@given(text, st.data())
def test_counting_and_finding(value: bytes, data: st.DataObject) -> None:
    bits = bits_of(value)
    start = data.draw(st.integers(0, len(bits)))
    end = data.draw(st.integers(start, len(bits)))
    for form in (value, bytearray(value)):
        assert bitmaps.count_ones(form, start, end) == sum(bits[start:end])
        for bit in (0, 1):
            found = start + bits[start:end].index(bit) if bit in bits[start:end] else -1
            assert bitmaps.find_bit(form, bit, start, end) == found


OPERATIONS = {
    bitmaps.AND: lambda first, *rest: int(all([first, *rest])),
    bitmaps.OR: lambda first, *rest: int(any([first, *rest])),
    bitmaps.XOR: lambda first, *rest: reduce(lambda a, b: a ^ b, rest, first),
    bitmaps.DIFF: lambda first, *rest: int(first and not any(rest)),
    bitmaps.DIFF1: lambda first, *rest: int(not first and any(rest)),
    bitmaps.ANDOR: lambda first, *rest: int(first and any(rest)),
    bitmaps.ONE: lambda first, *rest: int(sum([first, *rest]) == 1),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@given(sources=st.lists(text, min_size=2, max_size=4))
def test_operations_on_strings_of_any_lengths(operation: int, sources: list[bytes]) -> None:
    size = max(len(source) for source in sources)
    columns = zip(*[bits_of(source.ljust(size, b"\0")) for source in sources], strict=True)
    expected = text_of([OPERATIONS[operation](*column) for column in columns])
    kept = [bytearray(source) if i % 2 else source for i, source in enumerate(sources)]
    assert bitmaps.combine(operation, kept) == expected
    assert [bytes(source) for source in kept] == sources, "the sources stay"


@given(text)
def test_not(value: bytes) -> None:
    assert bitmaps.combine(bitmaps.NOT, [value]) == bytes(byte ^ 255 for byte in value)


@given(text, st.integers(0, 100), st.integers(1, 64), st.booleans(), st.integers(-(2**63), 2**64))
def test_fields(value: bytes, offset: int, width: int, signed: bool, number: int) -> None:
    padded = value.ljust(24, b"\0")
    bits = bits_of(padded)
    raw = int("".join(map(str, bits[offset : offset + width])), 2)
    assert bitmaps.get_field(value, offset, width, False) == raw
    changed = bytearray(padded)
    kept = bitmaps.fit(number, width, signed, bitmaps.WRAP)
    assert kept is not None
    assert (kept - number) % (1 << width) == 0
    bitmaps.set_field(changed, offset, width, kept)
    assert bitmaps.get_field(changed, offset, width, signed) == kept
    after = bits_of(bytes(changed))
    assert after[:offset] + after[offset + width :] == bits[:offset] + bits[offset + width :]


@pytest.mark.parametrize(
    ("number", "width", "signed", "wrapped", "saturated"),
    [(255, 8, False, 255, 255), (256, 8, False, 0, 255), (-1, 8, False, 255, 0), (127, 8, True, 127, 127),
     (128, 8, True, -128, 127), (-129, 8, True, 127, -128), (2**63, 64, True, -(2**63), 2**63 - 1)],
)  # fmt: skip
def test_overflow(number: int, width: int, signed: bool, wrapped: int, saturated: int) -> None:
    assert bitmaps.fit(number, width, signed, bitmaps.WRAP) == wrapped
    assert bitmaps.fit(number, width, signed, bitmaps.SATURATE) == saturated
    assert bitmaps.fit(number, width, signed, bitmaps.FAIL) == (number if wrapped == number else None)
