"""A fingerprint of the data set: equal data, equal digest, whatever the order in which it came to be.

It depends on no process: replaying a log, or loading a snapshot, has to give the digest of the server that wrote it.
Two kinds: `exact` takes in all that a log has to bring back (times of expiry, consumer groups); the other one is what
DEBUG DIGEST of a Redis server says for the same data, which knows of an expiry only that there is one, and nothing of
groups. O(size of the data): for tests.
"""

from hashlib import sha1
from typing import Final

from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.schedules import Agenda, Ticket
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.stream_groups import Group
from broker.datatypes.stream_settings import StreamSettings
from broker.datatypes.streams import MAX_ID, Stream
from broker.keyspace.channel_log import ChannelLog
from broker.keyspace.database import Database, Keyspace

_ZERO: Final = 0
_SEQ_MASK: Final = (1 << 64) - 1

# Redis: the OBJ_* numbers in server.h.
_STRING: Final = 0
_LIST: Final = 1
_SET: Final = 2
_ZSET: Final = 3
_HASH: Final = 4
_STREAM: Final = 6


def dataset_digest(keyspace: Keyspace, exact: bool) -> bytes:
    """40 hexadecimal digits over all databases; all zeros when there is no key."""
    total = _ZERO
    for db in keyspace.databases:
        keys = _live_keys(db) if exact else list(db.table.keys())
        tickets = len(db.agenda) if exact else 0
        if not keys and not tickets:
            continue
        total = _mix(total, db.index.to_bytes(4, "big"))
        if tickets:
            total ^= agenda_digest(db.agenda)
        for key in keys:
            total ^= _hash(_bytes_of(_key_digest(db, key, _mix(_ZERO, key), exact, int(db.keyspace.now_ms))))
    if exact:
        total ^= channels_digest(keyspace.channel_log)
        for source in keyspace.libraries.values():
            total ^= _hash(source)
    return _hex(total)


def channels_digest(log: ChannelLog) -> int:
    """Of retained channels with their rules; 0 when there never was one."""
    digest = _ZERO
    for fact in log.facts():
        digest = _mix(digest, fact)
    return digest


def key_digest(db: Database, key: bytes, exact: bool) -> bytes:
    """40 hexadecimal digits over one value and its expiry, without the key's name; all zeros when there is none."""
    if db.peek(key) is None:
        return _hex(_ZERO)
    return _hex(_key_digest(db, key, _ZERO, exact, -1))


def _live_keys(db: Database) -> list[bytes]:
    """Without those whose time has come, removed or not: when that happens is not a matter of the data."""
    now = int(db.keyspace.now_ms)
    found: list[bytes] = []
    for key in db.table.keys():
        when = db.expires.get(key)
        if (when is None or when > now) and not _all_due(db, key, now):
            found.append(key)
    return found


def _all_due(db: Database, key: bytes, now_ms: int) -> bool:
    value = db.table.get(key)
    return isinstance(value, HashValue) and value.next_ms() <= now_ms and not value.names(now_ms)


def _key_digest(db: Database, key: bytes, digest: int, exact: bool, now_ms: int) -> int:
    """now_ms: an exact digest leaves out the fields of hashes that are due then; -1: none."""
    value = db.table.get(key)
    if isinstance(value, HashValue) and value.deadlines is not None:
        digest = _timed_hash_digest(digest, value, exact, now_ms if exact else -1)
    else:
        digest = _value_digest(digest, value, exact)
    when = db.expiry(key)
    if when is not None:
        digest ^= _hash(b"!!expire!!%d" % when if exact else b"!!expire!!")
    return digest


def _value_digest(digest: int, value: object | None, exact: bool) -> int:
    """Redis: xorObjectDigest in debug.c. What has an order is mixed in, what has none is joined by exclusive or."""
    if isinstance(value, bytes):
        return _mix(_typed(digest, _STRING), value)
    if isinstance(value, bytearray):
        return _mix(_typed(digest, _STRING), bytes(value))
    if isinstance(value, ListValue):
        digest = _typed(digest, _LIST)
        for element in value.slice(0, len(value)):
            digest = _mix(digest, element)
        return digest
    if isinstance(value, SetValue):
        digest = _typed(digest, _SET)
        for member in value.members.keys():
            digest ^= _hash(member)
        return digest
    if isinstance(value, HashValue):
        flat = value.flat()
        digest = _typed(digest, _HASH)
        for i in range(0, len(flat), 2):
            digest ^= _pair(_checked(flat[i]), _checked(flat[i + 1]))
        return digest
    if isinstance(value, SortedSet):
        digest = _typed(digest, _ZSET)
        for score, member in value.slice(0, len(value)):
            digest ^= _pair(member, b"%.17g" % score)
        return digest
    if isinstance(value, Stream):
        return _stream_digest(_typed(digest, _STREAM), value, exact)
    raise TypeError(f"no value of the keyspace: {type(value).__name__}")


def _timed_hash_digest(digest: int, value: HashValue, exact: bool, now_ms: int) -> int:
    """Of a hash of which fields have times, or had once. Redis knows only that there is one."""
    digest = _typed(digest, _HASH)
    flat = value.flat(now_ms)
    for i in range(0, len(flat), 2):
        field = _checked(flat[i])
        pair = _mix(_mix(_ZERO, field), _checked(flat[i + 1]))
        when = value.time_of(field)
        if when >= 0:
            pair = _mix(pair, b"%d" % when) if exact else pair ^ _hash(b"!!hexpire!!")
        digest ^= _hash(_bytes_of(pair))
    return digest


def _checked(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _stream_digest(digest: int, stream: Stream, exact: bool) -> int:
    entries = stream.range(0, MAX_ID, -1, False)
    for i in range(len(entries.ids)):
        digest = _mix(digest, _id_text(entries.ids[i]))
        for field in entries.fields[i] or []:
            digest = _mix(digest, field)
    if exact:
        for number in (stream.last_id, stream.max_deleted_id, stream.entries_added):
            digest = _mix(digest, b"%d" % number)
        for name, group in stream.groups.items():
            digest ^= _hash(_bytes_of(_group_digest(_mix(_ZERO, name), group)))
        if stream.settings is not None:
            digest = _settings_digest(digest, stream, stream.settings)
    return digest


def _settings_digest(digest: int, stream: Stream, settings: StreamSettings) -> int:
    """Without what is counted or noticed in passing, and without times of entries that are gone."""
    limits = (settings.max_length, settings.max_age_ms, settings.max_bytes, settings.group_idle_ms, settings.retain)
    digest = _mix(digest, b"%d %d %d %d %d" % limits)
    digest = _mix(digest, settings.ttl_field)
    window = settings.window
    digest = _mix(digest, b"%d %d %d" % (window.duration, window.max_size, window.added))
    for producer, records in window.producers.items():
        for name, record in records.items():
            facts = b"%d %d" % (record.entry_id, record.arrived_ms)
            digest ^= _hash(_bytes_of(_mix(_mix(_mix(_ZERO, producer), name), facts)))
    for due_ms, entry_id in settings.due_entries():
        if stream.get(entry_id) is not None:
            digest ^= _hash(b"due %d %d" % (due_ms, entry_id))
    return digest


def _group_digest(digest: int, group: Group) -> int:
    """Without the consumers' times of last use, which no log brings back."""
    digest = _mix(digest, b"%d %d" % (group.last_id, group.entries_read))
    for name in group.consumers:
        digest ^= _hash(b"consumer " + name)
    for entry_id, pending in group.pending.items():
        facts = b"%d %d %d " % (entry_id, pending.delivered_ms, pending.deliveries)
        digest ^= _hash(b"pending " + facts + pending.consumer.name)
    if group.zone is not None:
        for entry_id in group.zone.ids():
            digest = _mix(digest, b"%d" % entry_id)
    if group.policy is not None:
        for fact in group.policy.facts():
            digest = _mix(digest, fact)
    return digest


def agenda_digest(agenda: Agenda) -> int:
    """Of all tickets, in any order. That one is held for the time being is no part of it: no log brings that back."""
    total = _ZERO
    for ticket in agenda.tickets():
        total ^= _hash(_bytes_of(_ticket_digest(ticket)))
    return total


def _ticket_digest(ticket: Ticket) -> int:
    terms = ticket.terms
    digest = _mix(_ZERO, b"ticket %d %d %d" % (ticket.kind, ticket.due_ms, ticket.runs))
    rule = (terms.every_ms, terms.until_ms, terms.max_runs, terms.missed, terms.max_length)
    digest = _mix(digest, b"%d %d %d %d %d" % rule)
    digest = _mix(digest, b"%d %d" % (terms.approximately, terms.left))
    for part in (ticket.key, ticket.name, ticket.packed, terms.cron, terms.zone):
        digest = _mix(digest, part)
    return digest


def _id_text(entry_id: int) -> bytes:
    return b"%d.%d" % (entry_id >> 64, entry_id & _SEQ_MASK)


# -- arithmetic on digests, which are kept as ints of 160 bits


def _hash(data: bytes) -> int:
    return int.from_bytes(sha1(data, usedforsecurity=False).digest(), "big")


def _bytes_of(digest: int) -> bytes:
    return digest.to_bytes(20, "big")


def _mix(digest: int, data: bytes) -> int:
    """A digest that depends on the order of what is mixed in. Redis: mixDigest."""
    return _hash(_bytes_of(digest ^ _hash(data)))


def _typed(digest: int, kind: int) -> int:
    return _mix(digest, kind.to_bytes(4, "big"))


def _pair(first: bytes, second: bytes) -> int:
    return _hash(_bytes_of(_mix(_mix(_ZERO, first), second)))


def _hex(digest: int) -> bytes:
    return b"%040x" % digest
