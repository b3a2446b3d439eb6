"""The name of a value's type, as TYPE prints it."""

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import Stream


def type_name(value: object | None) -> bytes:
    if value is None:
        return b"none"
    if isinstance(value, (bytes, bytearray)):
        return b"string"
    if isinstance(value, ListValue):
        return b"list"
    if isinstance(value, HashValue):
        return b"hash"
    if isinstance(value, SetValue):
        return b"set"
    if isinstance(value, SortedSet):
        return b"zset"
    if isinstance(value, Stream):
        return b"stream"
    raise TypeError(f"no value of the keyspace: {type(value).__name__}")
