"""OBJECT ENCODING: how Redis would store a value. We store it otherwise; tools and test suites read these names.

The limits are those of the settings now. A size that a hash or a set once had goes on to count: Redis does not convert
back.
"""

from typing import Final

from broker.config import Config
from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.protocol.numbers import parse_int

_SAFETY_BYTES: Final = 8192  # Redis: SIZE_SAFETY_LIMIT
_INTEGERS: Final = ((12, 2), (15, 3), (23, 4), (31, 5))  # (bits without the sign, bytes)
_EMBEDDED = 44  # Redis: OBJ_ENCODING_EMBSTR_SIZE_LIMIT


def encoding(value: object, config: Config) -> bytes:
    """Names as of Redis 7.2 and later."""
    if isinstance(value, bytes):
        if parse_int(value) is not None:
            return b"int"
        return b"embstr" if len(value) <= _EMBEDDED else b"raw"
    if isinstance(value, bytearray):
        return b"raw"
    if isinstance(value, HashValue):
        return _hash(value, config)
    if isinstance(value, SetValue):
        return _set(value, config)
    if isinstance(value, ListValue):
        return _list(value, config.integer("list-max-listpack-size"))
    if isinstance(value, SortedSet):
        return _sorted_set(value, config)
    return b"stream"


def _hash(value: HashValue, config: Config) -> bytes:
    small = value.most <= config.integer("hash-max-listpack-entries")
    if not small or value.longest > config.memory("hash-max-listpack-value"):
        return b"hashtable"
    return b"listpack" if value.deadlines is None else b"listpackex"


def _set(value: SetValue, config: Config) -> bytes:
    if value.integers:
        return b"intset" if value.most <= config.integer("set-max-intset-entries") else b"hashtable"
    small = value.most <= config.integer("set-max-listpack-entries")
    return b"listpack" if small and value.longest <= config.integer("set-max-listpack-value") else b"hashtable"


def _list(value: ListValue, limit: int) -> bytes:
    """limit: elements when it is above 0, in up to 8 KiB; -1 to -5: 4, 8, 16, 32, 64 KiB. Redis: quicklist.c."""
    size_limit = _SAFETY_BYTES if limit >= 0 else 2048 << min(-limit, 5)
    if (limit >= 0 and len(value) > max(limit, 1)) or len(
        value
    ) * 2 > size_limit:  # an element takes two bytes at least
        return b"quicklist"
    size = 7 + sum([_listpack_bytes(element) for element in value.values()])
    return b"listpack" if size <= size_limit else b"quicklist"


def _listpack_bytes(element: bytes) -> int:
    """Of an element in a listpack: head, text or number, length read from the back. Redis: listpack.c."""
    length = len(element)
    number = parse_int(element) if length <= 20 else None
    if number is not None:
        return _integer_bytes(number) + 1
    entry = length + (1 if length < 64 else 2 if length < 4096 else 5)
    return entry + (1 if entry < 128 else 2 if entry < 16384 else 3)


def _integer_bytes(number: int) -> int:
    if 0 <= number < 128:
        return 1
    for bits, size in _INTEGERS:
        if -(1 << bits) <= number < 1 << bits:
            return size
    return 9


def _sorted_set(value: SortedSet, config: Config) -> bytes:
    small = value.most <= config.integer("zset-max-listpack-entries")
    return b"listpack" if small and value.longest <= config.memory("zset-max-listpack-value") else b"skiplist"
