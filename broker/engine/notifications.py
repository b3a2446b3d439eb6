"""Keyspace events to channels: `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`, and four more that tell the
fields of hashes; and to a stream, which loses none."""

from broker.commands.context import Shared
from broker.commands.pubsub import deliver
from broker.commands.tracking import tell_changes
from broker.keyspace.database import Keyspace
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


def publish_events(shared: Shared) -> None:
    """Send what the request that just ended caused, in the order in which it happened."""
    keyspace = shared.keyspace
    classes = int(keyspace.event_classes)
    events = keyspace.events
    keyspace.events = []
    for database, key, event, kind in events:
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


def event_entries(keyspace: Keyspace, stream: bytes, max_length: int) -> list[list[bytes]]:
    """The XADDs to database 0 that keep these events in a stream. What happens to that stream itself is no event of
    it: there would be no end."""
    classes = int(keyspace.event_classes)
    found: list[list[bytes]] = []
    for database, key, event, kind in keyspace.events:
        if not classes & kind or (database == 0 and key == stream):
            continue
        if kind & FIELDS:
            for field in unpack_fields(event):
                found[-1] += [b"field", field]
            continue
        argv = [b"XADD", stream]
        if max_length:
            argv += [b"MAXLEN", b"~", b"%d" % max_length]
        argv += [b"*", b"event", event, b"key", key, b"db", b"%d" % database]
        found.append(argv)
    return found
