"""HyperLogLog in Redis's own bytes: a string that one server wrote can be set on the other.

16384 registers of 6 bits, found by a hash of each element; a register keeps the longest run of zeros that a hash had.
Head of 16 bytes: HYLL, encoding, three zero bytes, the cardinality (little-endian; its highest bit says that it has to
be counted anew). Then, dense: the registers one after another, the lowest bits first. Sparse: runs of registers,

    00xxxxxx            1 to 64 zeros
    01xxxxxx yyyyyyyy   1 to 16384 zeros
    1vvvvvxx            1 to 4 registers of value 1 to 32

Redis: hyperloglog.c. Which bytes a change gives is its doing, too, also when it turns a sketch from sparse to dense.

Costs: add O(bytes) when sparse, O(1) when dense; estimate, merge O(registers).
"""

import math
from binascii import a2b_base64, b2a_base64
from typing import Final

from mypy_extensions import i64

from broker.datatypes.strings import Text

REGISTERS: Final = 16384
_HEAD: Final = 16
_DENSE: Final = 0
_SPARSE: Final = 1
_DENSE_SIZE: Final = _HEAD + REGISTERS * 6 // 8
_HASH_BITS: Final = 50  # of a hash that are searched for zeros
_MOST_SPARSE: Final = 32  # greatest value of a register that a sparse sketch can hold
_RUN: Final = 4  # registers that one byte of values stands for at most
_ZEROS: Final = 64  # the same for one byte of zeros
_COUNT_ANEW: Final = 0x80  # in the last byte of the head


class CorruptSketch(Exception):
    """Its runs do not add up to the number of registers."""


def new_sketch() -> bytearray:
    return bytearray(b"HYLL\x01" + bytes(11) + b"\x7f\xff")


def is_sketch(text: Text) -> bool:
    """As far as the head tells."""
    if len(text) < _HEAD or text[:4] != b"HYLL" or text[4] > _SPARSE:
        return False
    return text[4] == _SPARSE or len(text) == _DENSE_SIZE


def is_sparse(text: Text) -> bool:
    return text[4] == _SPARSE


# -- the cached cardinality


def cached_count(text: Text) -> int | None:
    """None when it has to be counted."""
    return None if text[15] & _COUNT_ANEW else int.from_bytes(text[8:16], "little")


def cache_count(text: bytearray, count: int) -> None:
    text[8:16] = count.to_bytes(8, "little")


def forget_count(text: bytearray) -> None:
    text[15] |= _COUNT_ANEW


# -- adding

_SEED: Final = 0xADC83B19
_FACTOR: Final = 0xC6A4A7935BD1E995
_MASK: Final = (1 << 64) - 1


def _hash(element: bytes) -> int:
    """MurmurHash64A of Austin Appleby."""
    size = len(element)
    code = _SEED ^ (size * _FACTOR & _MASK)
    whole = size & ~7
    for i in range(0, whole, 8):
        word = int.from_bytes(element[i : i + 8], "little") * _FACTOR & _MASK
        word = (word ^ word >> 47) * _FACTOR & _MASK
        code = (code ^ word) * _FACTOR & _MASK
    if whole < size:
        code = (code ^ int.from_bytes(element[whole:], "little")) * _FACTOR & _MASK
    code = (code ^ code >> 47) * _FACTOR & _MASK
    return code ^ code >> 47


def add(text: bytearray, element: bytes, limit: int) -> bool:
    """True when the sketch changed. limit: bytes that a sparse one may have. Raises CorruptSketch, changing nothing."""
    code = _hash(element)
    register = code & (REGISTERS - 1)
    rest = code >> 14 | 1 << _HASH_BITS
    return raise_register(text, register, (rest & -rest).bit_length(), limit)


def raise_register(text: bytearray, register: int, value: int, limit: int) -> bool:
    """To that value, unless it is that high."""
    if text[4] == _SPARSE:
        return _raise_sparse(text, register, value, limit)
    return _raise_dense(text, register, value)


def _raise_dense(text: bytearray, register: int, value: int) -> bool:
    at = _HEAD + register * 6 // 8
    shift = register * 6 % 8
    word = text[at] | (text[at + 1] << 8 if shift > 2 else 0)
    if word >> shift & 63 >= value:
        return False
    word = word & ~(63 << shift) | value << shift
    text[at] = word & 255
    if shift > 2:
        text[at + 1] = word >> 8
    forget_count(text)
    return True


class _Run:
    """One run of a sparse sketch. before: where the one before it is, or its own place."""

    def __init__(self, at: int, before: int, first: int, span: int) -> None:
        self.at: Final = at
        self.before: Final = before
        self.first: Final = first
        self.span: Final = span


def _find_run(data: bytes, register: i64) -> _Run:
    """The run that covers a register."""
    at: i64 = _HEAD
    before: i64 = _HEAD
    first: i64 = 0
    end: i64 = len(data)
    while at < end:
        code: i64 = data[at]
        size: i64 = 1
        if code & 0x80:
            span: i64 = (code & 3) + 1
        elif code & 0x40:
            size = 2
            span = ((code & 0x3F) << 8 | (data[at + 1] if at + 1 < end else 0)) + 1
        else:
            span = code + 1
        if register < first + span:
            if at + size > end:
                break
            return _Run(int(at), int(before), int(first), int(span))
        before = at
        at += size
        first += span
    raise CorruptSketch


def _raise_sparse(text: bytearray, register: int, value: int, limit: int) -> bool:
    if value > _MOST_SPARSE:
        make_dense(text)
        return _raise_dense(text, register, value)
    run = _find_run(bytes(text), register)
    code = text[run.at]
    is_value = code & 0x80 != 0
    if is_value and (code >> 2 & 31) + 1 >= value:
        return False
    if run.span == 1 and code & 0xC0 != 0x40:
        text[run.at] = _value_run(value, 1)
    else:
        split = _split(run, register, value, (code >> 2 & 31) + 1 if is_value else 0)
        size = 2 if code & 0xC0 == 0x40 else 1
        if len(split) > size and len(text) + len(split) - size > limit:
            make_dense(text)
            return _raise_dense(text, register, value)
        text[run.at : run.at + size] = split
    _join(text, run.before)
    forget_count(text)
    return True


def _value_run(value: int, span: int) -> int:
    return 0x80 | (value - 1) << 2 | (span - 1)


def _split(run: _Run, register: int, value: int, old: int) -> bytes:
    """The run with one register in it raised. old: the value of the others."""
    left = register - run.first
    right = run.first + run.span - 1 - register
    if old:
        parts = [_value_run(old, left)] if left else []
        parts.append(_value_run(value, 1))
        if right:
            parts.append(_value_run(old, right))
        return bytes(parts)
    return _zeros(left) + bytes([_value_run(value, 1)]) + _zeros(right)


def _zeros(span: int) -> bytes:
    if span == 0:
        return b""
    if span > _ZEROS:
        return bytes([0x40 | (span - 1) >> 8, (span - 1) & 255])
    return bytes([span - 1])


def _join(text: bytearray, at: int) -> None:
    """Make one of neighbours of the same value where they fit, among the next few runs."""
    left = 5
    while at < len(text) and left:
        left -= 1
        code = text[at]
        if code & 0xC0 == 0x40:
            at += 2
            continue
        if code & 0x80 and at + 1 < len(text):
            other = text[at + 1]
            span = (code & 3) + (other & 3) + 2
            if other & 0x80 and other >> 2 == code >> 2 and span <= _RUN:
                text[at : at + 2] = bytes([_value_run((code >> 2 & 31) + 1, span)])
                continue  # with the same one: its next neighbour may fit, too
        at += 1


# -- registers as bytes, one each

# Base64 is what turns three bytes into four numbers of six bits, and back, in C; it begins at the highest bits.
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_NUMBERS: Final = bytes.maketrans(_ALPHABET, bytes(range(64)))
_TO_LETTERS: Final = bytes.maketrans(bytes(range(64)), _ALPHABET)


def registers_of(text: Text) -> bytes:
    """16384 bytes. Raises CorruptSketch."""
    if text[4] == _SPARSE:
        return _unpack_sparse(bytes(text))
    return _unpack(text[_HEAD:])


def _unpack(packed: Text) -> bytes:
    return b2a_base64(packed[::-1], newline=False).translate(_TO_NUMBERS)[::-1]


def _unpack_sparse(data: bytes) -> bytes:
    parts: list[bytes] = []
    total: i64 = 0
    at: i64 = _HEAD
    end: i64 = len(data)
    while at < end:
        code: i64 = data[at]
        at += 1
        value: i64 = 0
        if code & 0x80:
            span: i64 = (code & 3) + 1
            value = (code >> 2 & 31) + 1
        elif code & 0x40:
            span = ((code & 0x3F) << 8 | (data[at] if at < end else 0)) + 1
            at += 1
        else:
            span = code + 1
        total += span
        if total > REGISTERS or at > end:
            raise CorruptSketch
        parts.append(_VALUES[value] * int(span))
    if total != REGISTERS:
        raise CorruptSketch
    return b"".join(parts)


_VALUES: Final[list[bytes]] = [bytes([value]) for value in range(64)]


def make_dense(text: bytearray) -> None:
    """Raises CorruptSketch, changing nothing."""
    if text[4] == _SPARSE:
        set_registers(text, registers_of(text))


def set_registers(text: bytearray, registers: bytes) -> None:
    """To a dense sketch with the same head."""
    text[_HEAD:] = _pack(registers)
    text[4] = _DENSE


# -- registers as a dense sketch has them


def packed_registers(text: Text) -> bytes:
    """Raises CorruptSketch."""
    return _pack(registers_of(text)) if text[4] == _SPARSE else bytes(text[_HEAD:])


def _pack(registers: bytes) -> bytes:
    return a2b_base64(registers[::-1].translate(_TO_LETTERS))[::-1]


# One great number has room for a flag between the registers when it holds every other one of them.
_LANES: Final = REGISTERS // 2
_VALUE_BITS: Final = int.from_bytes(b"\x3f\xf0\x03" * (_LANES // 2), "little")  # no literal: mypyc would fold it
_FLAGS: Final = _VALUE_BITS // 63 << 6


def greatest(all_packed: list[bytes]) -> bytes:
    """Of each register the greatest value. At least one list."""
    number = int.from_bytes(all_packed[0], "little")
    even = number & _VALUE_BITS
    odd = number >> 6 & _VALUE_BITS
    for packed in all_packed[1:]:
        number = int.from_bytes(packed, "little")
        even = _greater(even, number & _VALUE_BITS)
        odd = _greater(odd, number >> 6 & _VALUE_BITS)
    return (even | odd << 6).to_bytes(_DENSE_SIZE - _HEAD, "little")


def _greater(one: int, other: int) -> int:
    """All are compared at once: with a flag set above each value, a difference tells by whether the flag is left."""
    not_less = ((one | _FLAGS) - other) & _FLAGS
    return other ^ ((one ^ other) & (not_less - (not_less >> 6)))


def merge(text: bytearray, packed: bytes, limit: int) -> None:
    """Raise a sketch to these registers, none of which is below its own."""
    if text[4] == _SPARSE:
        own = registers_of(text)
        registers = _unpack(packed)
        for register in range(REGISTERS):
            if registers[register] > own[register]:
                raise_register(text, register, registers[register], limit)
    else:
        text[_HEAD:] = packed
    forget_count(text)


# -- estimating


def estimate(text: Text) -> int:
    """Cardinality. Raises CorruptSketch."""
    return estimate_packed(packed_registers(text))


def estimate_packed(packed: bytes) -> int:
    return _from_histogram(_histogram(packed))


_FIELD: Final = 15  # bits that a number up to 16384 takes: four of them fit into a native int


def _histogram(data: bytes) -> list[int]:
    """How many registers have each value.

    Compiled, a list costs ten times as much to count in as a native int, so eight of those hold four counts each.
    """
    counts = [0] * 64
    a: i64 = 0
    b: i64 = 0
    c: i64 = 0
    d: i64 = 0
    e: i64 = 0
    at: i64 = 0
    end: i64 = len(data)
    shift: i64 = 0
    while at < end:
        word: i64 = data[at] | data[at + 1] << 8 | data[at + 2] << 16
        shift = 0
        while shift < 24:
            value: i64 = word >> shift & 63
            one: i64 = 1
            one <<= (value & 3) * _FIELD  # not `1 << ...`: mypyc gives C a literal of 32 bits there
            place: i64 = value >> 2
            if place == 1:
                b += one
            elif place == 2:
                c += one
            elif place == 0:
                a += one
            elif place == 3:
                d += one
            elif place == 4:
                e += one
            else:
                counts[value] += 1
            shift += 6
        at += 3
    _spread(a, counts, 0)
    _spread(b, counts, 4)
    _spread(c, counts, 8)
    _spread(d, counts, 12)
    _spread(e, counts, 16)
    return counts


def _spread(fields: i64, counts: list[int], first: int) -> None:
    for i in range(4):
        counts[first + i] = int(fields >> (i * _FIELD) & ((1 << _FIELD) - 1))


_ALPHA: Final = 0.721347520444481703680  # 0.5 / ln 2


def _from_histogram(histogram: list[int]) -> int:
    """Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284."""
    m = float(REGISTERS)
    z = m * _tau((m - histogram[_HASH_BITS + 1]) / m)
    for i in range(_HASH_BITS, 0, -1):
        z = (z + histogram[i]) * 0.5
    z += m * _sigma(histogram[0] / m)
    if z == 0:
        return -(1 << 63)  # what C makes of infinity: a sketch that nobody got by adding
    result = _ALPHA * m * m / z
    whole = int(result)
    return whole + 1 if result - whole >= 0.5 else whole


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y = 1.0
    z = x
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if z == before:
            return z


def _tau(x: float) -> float:
    if x == 0.0 or x == 1.0:
        return 0.0
    y = 1.0
    z = 1 - x
    while True:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= math.pow(1 - x, 2) * y
        if z == before:
            return z / 3


# -- looking into one


def runs_of(text: Text) -> bytes:
    """The runs of a sparse sketch, as PFDEBUG DECODE prints them: `z:` and `Z:` zeros, `v:` value and registers."""
    data = bytes(text)
    parts: list[bytes] = []
    at = _HEAD
    while at < len(data):
        code = data[at]
        at += 1
        if code & 0x80:
            parts.append(b"v:%d,%d" % ((code >> 2 & 31) + 1, (code & 3) + 1))
        elif code & 0x40:
            low = data[at] if at < len(data) else 0
            at += 1
            parts.append(b"Z:%d" % (((code & 0x3F) << 8 | low) + 1))
        else:
            parts.append(b"z:%d" % (code + 1))
    return b" ".join(parts)
