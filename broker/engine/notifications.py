"""Keyspace events to channels: `__keyspace@<db>__:<key>` and `__keyevent@<db>__:<event>`."""

from broker.commands.context import Shared
from broker.commands.pubsub import deliver
from broker.keyspace.events import KEYEVENT, KEYSPACE


def publish_events(shared: Shared) -> None:
    """Send what the request that just ended caused, in the order in which it happened."""
    keyspace = shared.keyspace
    classes = int(keyspace.event_classes)
    events = keyspace.events
    keyspace.events = []
    for database, key, event, kind in events:
        if not classes & kind:
            continue
        if classes & KEYSPACE:
            deliver(shared, b"__keyspace@%d__:%b" % (database, key), event)
        if classes & KEYEVENT:
            deliver(shared, b"__keyevent@%d__:%b" % (database, event), key)
