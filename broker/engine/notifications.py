"""Keyspace events to a stream, which loses none."""

from broker.keyspace.database import Keyspace
from broker.keyspace.events import FIELDS, unpack_fields


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
