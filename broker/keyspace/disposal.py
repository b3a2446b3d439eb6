"""Values that nobody has any more: small ones are freed as they go, big ones in parts (broker/datatypes/trash.py)."""

from broker.datatypes.expiries import Expiries
from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.stream_groups import Group
from broker.datatypes.streams import Stream
from broker.datatypes.table import Table
from broker.datatypes.trash import LARGE, TRASH


def dispose(value: object) -> None:
    """The caller has the last reference to `value`, and is about to drop it."""
    if isinstance(value, (bytes, bytearray)):
        return
    parts = parts_of(value)
    if parts:
        TRASH.add(parts)


def dispose_all(table: Table) -> None:
    """As dispose(), for a table of values."""
    if table.size > LARGE:
        TRASH.add([table.shards()], table.size)
        return
    for value in table.values():
        dispose(value)


def parts_of(value: object) -> list[object]:
    """The lists and dicts that it is made of; none when it is small, or of no kind that gets big."""
    if isinstance(value, Table):
        return _shards(value)
    if isinstance(value, HashValue):
        if value.packed is not None:
            return []
        return _shards(value.fields) + ([] if value.deadlines is None else value.deadlines.parts())
    if isinstance(value, SetValue):
        if value.packed is not None:
            return []
        return _shards(value.members)
    if isinstance(value, ListValue):
        return [value.blocks()] if value.size > LARGE else []
    if isinstance(value, SortedSet):
        if value.packed is not None:
            return []
        return _shards(value.members) + value.order.parts() if len(value) > LARGE else []
    if isinstance(value, Stream):
        return value.parts() if value.size > LARGE or value.groups else []
    if isinstance(value, Group):
        return value.parts() if len(value.pending) > LARGE else []
    if isinstance(value, Expiries):
        return value.parts() if len(value) > LARGE else []
    return []


def _shards(table: Table) -> list[object]:
    return [table.shards()] if table.size > LARGE else []
