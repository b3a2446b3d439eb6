"""Ids of entries in one number each, where their parts are small enough: all that clocks give.

The number has the milliseconds (below 2^42) above the sequence (below 2^20), so numbers compare as their ids do. Bulk
work goes through rows of such numbers, eight bytes each, little-endian: no object is made for an id.
"""

from array import array
from typing import Final

from librt.strings import BytesWriter, write_i64_le
from mypy_extensions import i64

SEQ_BITS: Final = 20
MOST_SEQ: Final = (1 << SEQ_BITS) - 1
MOST_MS: Final = (1 << 42) - 1
_ABOVE_ALL: Final = 1 << 62
_SEQ_MASK: Final = (1 << 64) - 1
_DASH: Final = 45
_MS_DIGITS: Final = 13  # numbers of so many digits are looked at; longer ones have no small number, or zeros in front
_SEQ_DIGITS: Final = 7


def small_id(entry_id: int) -> int:
    """The number that stands for an id, or -1."""
    ms = entry_id >> 64
    seq = entry_id & _SEQ_MASK
    return (ms << SEQ_BITS) | seq if ms <= MOST_MS and seq <= MOST_SEQ else -1


def least_above(entry_id: int) -> int:
    """Of an id that has no small number: that of the least id above it which has one, or more than any."""
    ms = entry_id >> 64
    return (ms + 1) << SEQ_BITS if ms < MOST_MS else _ABOVE_ALL


def large_id(number: int) -> int:
    """The id of a small number."""
    return ((number >> SEQ_BITS) << 64) | (number & MOST_SEQ)


def parse_small(text: bytes) -> i64:
    """The small number of the id that `ms-seq` spells, or -1: then it may have been an id all the same."""
    size: i64 = len(text)
    at: i64 = 0
    ms: i64 = 0
    while at < size and at < _MS_DIGITS:
        digit: i64 = text[at] - 48
        if digit < 0 or digit > 9:
            break
        ms = ms * 10 + digit
        at += 1
    if at == 0 or at >= size or text[at] != _DASH or ms > MOST_MS:
        return -1
    at += 1
    start = at
    seq: i64 = 0
    while at < size and at - start < _SEQ_DIGITS:
        digit = text[at] - 48
        if digit < 0 or digit > 9:
            break
        seq = seq * 10 + digit
        at += 1
    if at == start or at < size or seq > MOST_SEQ:
        return -1
    return (ms << SEQ_BITS) | seq


def parse_smalls(texts: list[bytes], start: int) -> "array[int] | None":
    """The small numbers of the ids texts[start:], or None unless all of them have one."""
    out = BytesWriter()
    i: i64 = start
    while i < len(texts):
        number = parse_small(texts[i])
        if number < 0:
            return None
        write_i64_le(out, number)
        i += 1
    return smalls_of(out.getvalue())


def smalls_of(row: bytes) -> "array[int]":
    numbers = array("q")
    numbers.frombytes(row)
    return numbers
