"""Keyspace events to channels: `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`, and four more that tell the
fields of hashes."""

from broker.commands.context import Shared
from broker.commands.messages import deliver
from broker.commands.tracking import tell_changes
from broker.keyspace.events import (
    FIELDS,
    KEYEVENT,
    KEYSPACE,
    SUBKEYEVENT,
    SUBKEYSPACE,
    SUBKEYSPACEEVENT,
    SUBKEYSPACEITEM,
    TRACKED,
    unpack_fields,
)


def tell_events(shared: Shared) -> None:
    """Send what happened since the last time, in that order."""
    keyspace = shared.keyspace
    classes = int(keyspace.event_classes)
    first = int(keyspace.told)
    keyspace.told = len(keyspace.events)
    for database, key, event, kind in keyspace.events[first:]:
        if kind == TRACKED:
            tell_changes(shared)
        if not classes & kind:
            continue
        if kind & FIELDS:
            _publish_fields(shared, classes, database, key, event)
            continue
        if classes & KEYSPACE:
            deliver(shared, b"__keyspace@%d__:%b" % (database, key), event)
        if classes & KEYEVENT:
            deliver(shared, b"__keyevent@%d__:%b" % (database, event), key)


def _publish_fields(shared: Shared, classes: int, database: int, key: bytes, packed: bytes) -> None:
    """Redis: notifyKeyspaceEventImpl. A key with a line break would be mistaken for another one and a field."""
    event, _, fields = packed.partition(b"|")
    if classes & SUBKEYSPACE:
        deliver(shared, b"__subkeyspace@%d__:%b" % (database, key), packed)
    if classes & SUBKEYEVENT:
        deliver(shared, b"__subkeyevent@%d__:%b" % (database, event), b"%d:%b|%b" % (len(key), key, fields))
    if classes & SUBKEYSPACEITEM and b"\n" not in key:
        for field in unpack_fields(packed):
            deliver(shared, b"__subkeyspaceitem@%d__:%b\n%b" % (database, key, field), event)
    if classes & SUBKEYSPACEEVENT:
        deliver(shared, b"__subkeyspaceevent@%d__:%b|%b" % (database, event, key), fields)
