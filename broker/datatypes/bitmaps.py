"""Strings seen as bits: bit 0 is the highest bit of the first byte. Pure; numbers of bits in, numbers out.

What looks at many bits at once is done by the bitarray library, which works on the string's own memory, a machine word
at a time. It cannot do so while the string changes its size, so nothing of it outlives a call here.

Costs: get, set and fields O(1); count, find and the operations O(n / 8 bytes), n the length.
"""

from typing import Final

from bitarray import bitarray

from broker.datatypes.frozen_text import before_change
from broker.datatypes.strings import Text, extend

# Operations
AND: Final = 0
OR: Final = 1
XOR: Final = 2
NOT: Final = 3
DIFF: Final = 4  # in the first, in none of the others
DIFF1: Final = 5  # in one of the others, not in the first
ANDOR: Final = 6  # in the first and in one of the others
ONE: Final = 7  # in exactly one

# What a field does when a number does not fit
WRAP: Final = 0
SATURATE: Final = 1
FAIL: Final = 2


def get_bit(text: Text, offset: int) -> int:
    """Zero beyond the end."""
    at = offset >> 3
    return text[at] >> (7 - (offset & 7)) & 1 if at < len(text) else 0


def set_bit(text: bytearray, offset: int, bit: int) -> None:
    """The string has to be long enough."""
    mask = 128 >> (offset & 7)
    before_change(text, offset >> 3, (offset >> 3) + 1)
    if bit:
        text[offset >> 3] |= mask
    else:
        text[offset >> 3] &= ~mask & 255


def count_ones(text: Text, start: int, end: int) -> int:
    """Ones among the bits from `start` up to, not including, `end`."""
    bits = bitarray(buffer=text, endian="big")
    return bits.count(1, start, end)


def find_bit(text: Text, bit: int, start: int, end: int) -> int:
    """Where the first such bit stands between the two, or -1."""
    bits = bitarray(buffer=text, endian="big")
    return bits.find(bit, start, end)


# -- operations


def combine(operation: int, sources: list[Text]) -> bytearray:
    """A new string, as long as the longest; shorter ones count as zeros beyond their end.

    NOT has one source; DIFF, DIFF1 and ANDOR have two at least.
    """
    size = max([len(source) for source in sources])
    if operation == NOT:
        result = bytearray(sources[0])
        bitarray(buffer=result).invert()
        return result
    if operation == AND:
        return _all(sources, size)
    if operation == ONE:
        return _exactly_one(sources, size)
    if operation == XOR:
        return _any(sources, size, True)
    if operation == OR:
        return _any(sources, size, False)
    others = _any(sources[1:], size, False)
    first = bytearray(sources[0])
    extend(first, size)
    first_bits = bitarray(buffer=first)
    other_bits = bitarray(buffer=others)
    if operation == ANDOR:
        first_bits &= other_bits
        return first
    (first_bits if operation == DIFF1 else other_bits).invert()
    first_bits &= other_bits
    return first


def _all(sources: list[Text], size: int) -> bytearray:
    shortest = min([len(source) for source in sources])
    result = bytearray(memoryview(sources[0])[:shortest])
    bits = bitarray(buffer=result)
    for source in sources[1:]:
        bits &= bitarray(buffer=memoryview(source)[:shortest])
    del bits
    extend(result, size)
    return result


def _any(sources: list[Text], size: int, exclusive: bool) -> bytearray:
    """By inclusive or exclusive or."""
    result = bytearray(sources[0])
    extend(result, size)
    for source in sources[1:]:
        bits = bitarray(buffer=memoryview(result)[: len(source)])
        if exclusive:
            bits ^= bitarray(buffer=source)
        else:
            bits |= bitarray(buffer=source)
    return result


def _exactly_one(sources: list[Text], size: int) -> bytearray:
    once = bytearray(sources[0])  # in one or more
    extend(once, size)
    twice = bytearray(size)
    for source in sources[1:]:
        here = bitarray(buffer=source)
        once_bits = bitarray(buffer=memoryview(once)[: len(source)])
        both = once_bits & here
        once_bits |= here
        twice_bits = bitarray(buffer=memoryview(twice)[: len(source)])
        twice_bits |= both
    all_twice = bitarray(buffer=twice)
    all_twice.invert()
    all_once = bitarray(buffer=once)
    all_once &= all_twice
    return once


# -- fields: integers of 1 to 64 bits at any place


def get_field(text: Text, offset: int, bits: int, signed: bool) -> int:
    """Zeros beyond the end."""
    first = offset >> 3
    last = (offset + bits + 7) >> 3
    window = bytes(text[first:last]).ljust(last - first, b"\0")
    value = int.from_bytes(window, "big") >> (last * 8 - offset - bits) & ((1 << bits) - 1)
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def set_field(text: bytearray, offset: int, bits: int, value: int) -> None:
    """The string has to be long enough."""
    first = offset >> 3
    last = (offset + bits + 7) >> 3
    shift = last * 8 - offset - bits
    mask = (1 << bits) - 1
    window = int.from_bytes(text[first:last], "big")
    window = window & ~(mask << shift) | (value & mask) << shift
    before_change(text, first, last)
    text[first:last] = window.to_bytes(last - first, "big")


def fit(value: int, bits: int, signed: bool, overflow: int) -> int | None:
    """The number that a field of that size keeps of `value`; None when it must not keep any other."""
    low = -(1 << (bits - 1)) if signed else 0
    high = low + (1 << bits) - 1
    if low <= value <= high:
        return value
    if overflow == FAIL:
        return None
    if overflow == SATURATE:
        return high if value > high else low
    return (value - low & ((1 << bits) - 1)) + low
