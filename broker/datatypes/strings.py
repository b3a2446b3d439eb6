"""Strings: `bytes` as somebody set them, `bytearray` once a part of one was changed in place.

Most strings are set whole and never changed: bytes are the smallest and fastest form of them. APPEND, SETRANGE, SETBIT
and the like turn a string into a bytearray, once, and from then on change it where it is, so that a big one is not
copied at each of them. (Redis does the same: the encodings int and embstr become raw.) A bytearray belongs to one key:
whoever keeps a string longer than the request (a reply, a copy) takes bytes of it; snapshots borrow it
(frozen_text.py).

Costs: append amortized O(what is appended); overwrite O(what is written); changeable O(n) for bytes, O(1) after that.
"""

from typing import TypeAlias

from broker.datatypes.frozen_text import before_change

Text: TypeAlias = bytes | bytearray


def is_string(value: object) -> bool:
    return isinstance(value, (bytes, bytearray))


def part(value: Text, start: int, end: int) -> bytes:
    """The bytes from `start` up to, not including, `end`; both lie within the string."""
    if isinstance(value, bytes):
        return value[start:end]
    return bytes(memoryview(value)[start:end])  # one copy, not two


def changeable(value: Text | None) -> bytearray:
    """The string in the form that can be changed in place; a new empty one for None."""
    if value is None:
        return bytearray()
    if isinstance(value, bytearray):
        return value
    return bytearray(value)


def extend(value: bytearray, size: int) -> None:
    """Zero bytes at the end, up to that size."""
    missing = size - len(value)
    if missing > 0:
        value += bytes(missing)


def overwrite(value: bytearray, offset: int, data: Text) -> None:
    """Write over what is at `offset`, with zero bytes before it where the string is shorter."""
    extend(value, offset)
    before_change(value, offset, offset + len(data))
    value[offset : offset + len(data)] = data
