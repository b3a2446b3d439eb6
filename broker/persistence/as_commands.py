"""A key as the commands that make it, for a log that holds no RDB: native ones, and RESTORE for streams, whose groups
no other command brings back.
"""

from collections.abc import Iterator
from typing import Final

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.protocol.numbers import format_double
from broker.rdb.codes import NO_EXPIRY
from broker.rdb.limits import Format
from broker.rdb.payload import payload_of

_SOME: Final = 64  # elements of a command. Redis: AOF_REWRITE_ITEMS_PER_CMD


def commands_of(key: bytes, value: object, expire_at_ms: int, form: Format) -> Iterator[list[bytes]]:
    if isinstance(value, (bytes, bytearray)):
        yield [b"SET", key, bytes(value)]
    elif isinstance(value, ListValue):
        yield from _in_parts(b"RPUSH", key, value.values(), _SOME)
    elif isinstance(value, SetValue):
        yield from _in_parts(b"SADD", key, value.members.key_list(), _SOME)
    elif isinstance(value, SortedSet):
        flat = [part for score, member in value.items() for part in (format_double(score), member)]
        yield from _in_parts(b"ZADD", key, flat, 2 * _SOME)
    elif isinstance(value, HashValue):
        pairs: list[bytes] = []
        for field, text in value.fields.items():
            assert isinstance(text, bytes)
            pairs += (field, text)
        yield from _in_parts(b"HSET", key, pairs, 2 * _SOME)
        if value.deadlines is not None:
            for field in value.deadlines.times.key_list():
                yield [b"HPEXPIREAT", key, b"%d" % value.time_of(field), b"FIELDS", b"1", field]
    else:
        yield [b"RESTORE", key, b"0", payload_of(value, form)]
    if expire_at_ms != NO_EXPIRY:
        yield [b"PEXPIREAT", key, b"%d" % expire_at_ms]


def _in_parts(name: bytes, key: bytes, items: list[bytes], size: int) -> Iterator[list[bytes]]:
    for start in range(0, len(items), size):
        yield [name, key, *items[start : start + size]]
