"""Whether two engines hold the same data, and what a reply looks like on the wire."""

from typing import Any

from support.engine import Harness

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.protocol.encoder import encode
from broker.protocol.requests import RequestParser


def contents(harness: Harness) -> dict[tuple[int, bytes], tuple[Any, int | None]]:
    """{(database, key): (value in plain Python, Unix time of expiry in ms or None)}. Streams are not covered."""
    return {
        (db.index, key): (_plain(value), db.expiry(key))
        for db in harness.engine.keyspace.databases
        for key, value in db.table.items()
    }


def _plain(value: object) -> Any:
    if isinstance(value, HashValue):
        return "hash", dict(value.fields.items())
    if isinstance(value, SetValue):
        return "set", set(value.members.keys())
    if isinstance(value, ListValue):
        return "list", value.values()
    if isinstance(value, SortedSet):
        return "zset", value.items()
    assert isinstance(value, (bytes, bytearray)), "not a type that this helper knows"
    return bytes(value)


def replay(harness: Harness) -> Harness:
    """An engine of its own to which the journal since the last look was fed."""
    other = Harness()
    other.engine.journal.enabled = False
    other.engine.keyspace.expiry = False
    session = other.engine.replay_session()
    other.engine.begin_turn()
    parser = RequestParser()
    parser.feed(harness.engine.journal.take())
    entries: list[list[bytes]] = []
    parser.take(entries)
    for argv in entries:
        reply = other.engine.execute(session, argv)
        assert type(reply).__name__ != "ErrorReply", (argv, reply.text)
    assert not other.bugs
    return other


def assert_replays(harness: Harness) -> None:
    """The journal of all that was run, read by another engine, gives the same data."""
    assert contents(replay(harness)) == contents(harness)


def wire(harness: Harness, request: str) -> tuple[bytes, bytes]:
    """One request's reply as RESP2 and as RESP3 have it. (It is executed once.)"""
    reply = harness.main.raw(request)
    forms = []
    for resp3 in (False, True):
        out: list[bytes] = []
        encode(reply, out, resp3)
        forms.append(b"".join(out))
    return forms[0], forms[1]
