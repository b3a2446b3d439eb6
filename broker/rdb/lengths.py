"""Lengths and strings as RDB has them, to be written. Redis: rdbSaveLen and rdbSaveRawString in rdb.c."""

from typing import Final

from mypy_extensions import i64

from broker.protocol.numbers import parse_int
from broker.rdb.lzf import compress

_MOST_INT_TEXT: Final = 11  # characters of a number that fits into 32 bits
_LEAST_TO_COMPRESS: Final = 21
_MOST_TO_COMPRESS: Final = 256 * 1024  # in one go; LongText compresses what is longer
_LEAST_GAIN: Final = 4


def _one_length(number: int) -> bytes:
    if number < 1 << 6:
        return bytes([number])
    if number < 1 << 14:
        return bytes([0x40 | number >> 8, number & 0xFF])
    if number < 1 << 32:
        return b"\x80" + number.to_bytes(4, "big")
    return b"\x81" + number.to_bytes(8, "big")


_SHORT: Final = [_one_length(number) for number in range(2048)]


def length_bytes(number: int) -> bytes:
    """0 <= number < 2**64."""
    return _SHORT[number] if number < 2048 else _one_length(number)


def put_string(text: bytes, compressed: bool, out: list[bytes]) -> None:
    """A string in the shortest form: a number, compressed, or as it is. Very long ones are left as they are."""
    size: i64 = len(text)
    if size <= _MOST_INT_TEXT and size > 0:
        first: i64 = text[0]
        if first <= 57:  # a digit or a minus; most texts begin with a letter
            number = int_string(text)
            if number:
                out.append(number)
                return
    elif compressed and _LEAST_TO_COMPRESS <= size <= _MOST_TO_COMPRESS:
        packed = compress(text, int(size) - _LEAST_GAIN)
        if packed:
            out.append(b"\xc3")
            out.append(length_bytes(len(packed)))
            out.append(length_bytes(int(size)))
            out.append(packed)
            return
    out.append(length_bytes(int(size)))
    out.append(text)


def put_plain(text: bytes, out: list[bytes]) -> None:
    """A string as it is."""
    out.append(length_bytes(len(text)))
    out.append(text)


def int_string(text: bytes) -> bytes:
    """The form of a string that spells a number of up to 32 bits; empty when it doesn't."""
    number = parse_int(text)
    if number is None:
        return b""
    if -0x80 <= number <= 0x7F:
        return b"\xc0" + (number & 0xFF).to_bytes(1, "little")
    if -0x8000 <= number <= 0x7FFF:
        return b"\xc1" + (number & 0xFFFF).to_bytes(2, "little")
    if -0x80000000 <= number <= 0x7FFFFFFF:
        return b"\xc2" + (number & 0xFFFFFFFF).to_bytes(4, "little")
    return b""
