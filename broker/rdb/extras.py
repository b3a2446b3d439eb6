"""What only Millstream knows of a value, as records that stand behind it in AUX fields: other servers skip these.

A record is a list of bytes, its name first, and goes into one AUX field as a listpack. A value has as many as it needs,
each of some hundred parts, so that they can be written and read in pieces. Unknown records are an error: whoever
dropped what a newer version knows would lose it.

Of a hash: times of fields, where the version of the file has no place for them. Of a stream: its settings, the window
of entries added by name, times at which entries go; of its groups: the policy, attempts, lanes, entries that nobody
has, and when consumers were active.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.group_policy import Attempts, GroupPolicy, ReturnZone
from broker.datatypes.hashes import HashValue
from broker.datatypes.listpack import listpack
from broker.datatypes.stream_groups import Consumer, Group
from broker.datatypes.stream_settings import StreamSettings
from broker.datatypes.streams import Stream
from broker.protocol.numbers import parse_int
from broker.rdb import codes
from broker.rdb.codes import BadData
from broker.rdb.lengths import put_plain, put_string
from broker.rdb.streams_out import name_of_nobody

NAME: Final = b"millstream"  # of the AUX fields
_SOME: Final = 128  # things in a record
_AUX: Final = bytes([codes.AUX])


def put_record(record: list[bytes], compressed: bool, out: list[bytes]) -> None:
    out.append(_AUX)
    put_plain(NAME, out)
    put_string(listpack(record), compressed, out)


class ExtrasWriter:
    """The records of one value, one at a time. next(): None when there are no more."""

    def __init__(self, value: object, version: int) -> None:
        self._records: list[list[bytes]] = []  # short ones that are ready, the next one last
        self._parts: list[_Part] = []  # long ones, that are made as they are needed
        if isinstance(value, HashValue):
            if version < codes.FIELD_EXPIRY and value.deadlines is not None:
                self._add_part([b"field-times"], [field for field in value.deadlines.times.key_list()], value)
        elif isinstance(value, Stream):
            if value.settings is not None:
                self._add_settings(value, value.settings)
            for name, group in value.groups.items():
                self._add_group(name, group, version)
        self._records.reverse()
        self._parts.reverse()

    def next(self) -> list[bytes] | None:
        if self._records:
            return self._records.pop()
        while self._parts:
            record = self._parts[-1].next()
            if record is not None:
                return record
            self._parts.pop()
        return None

    def _add_part(self, head: list[bytes], items: list[bytes], owner: object) -> None:
        if items:
            self._parts.append(_Part(head, items, owner))

    def _add_settings(self, stream: Stream, settings: StreamSettings) -> None:
        window = settings.window
        numbers = [settings.max_length, settings.max_age_ms, settings.max_bytes, int(settings.retain)]
        numbers += [settings.group_idle_ms, window.duration, window.max_size, window.added]
        self._records.append([b"settings", *[b"%d" % number for number in numbers], settings.ttl_field])
        for producer in window.producers:
            self._add_part([b"window", producer], list(window.producers[producer]), window.producers[producer])
        due = [b"%d %d" % entry for entry in settings.due_entries()]
        self._add_part([b"due"], due, None)

    def _add_group(self, name: bytes, group: Group, version: int) -> None:
        policy = group.policy
        if policy is not None:
            self._records.append([b"policy", name, *_policy_parts(policy)])
        if group.nobody is not None and len(group.nobody.order):
            self._records.append([b"nobody", name, name_of_nobody(group)])
        if version < codes.ACTIVE_TIMES:
            active: list[bytes] = []
            for consumer_name, consumer in group.consumers.items():
                if consumer.active_ms != consumer.seen_ms:
                    active.append(consumer_name)
            self._add_part([b"active", name], active, group)
        if group.zone is not None:
            self._add_part([b"zone", name], [b"%d" % entry_id for entry_id in group.zone.ids()], None)
        if policy is not None:
            self._add_part([b"attempts", name], [b"%d" % entry_id for entry_id in policy.attempts], policy)
            self._add_part([b"lanes", name], [b"%d" % entry_id for entry_id in policy.lane_of], policy)


class _Part:
    """Many things of one kind: some of them make a record."""

    def __init__(self, head: list[bytes], items: list[bytes], owner: object) -> None:
        self._head = head
        self._items = items
        self._owner = owner
        self._at: i64 = 0

    def next(self) -> list[bytes] | None:
        some = self._items[self._at : self._at + _SOME]
        if not some:
            return None
        self._at += len(some)
        record = list(self._head)
        owner = self._owner
        kind = self._head[0]
        for item in some:
            record.append(item)
            if isinstance(owner, HashValue):
                record.append(b"%d" % owner.time_of(item))
            elif isinstance(owner, Group):
                record.append(b"%d" % owner.consumers[item].active_ms)
            elif isinstance(owner, GroupPolicy):
                if kind == b"lanes":
                    record.append(owner.lane_of[int(item)])
                else:
                    attempts = owner.attempts[int(item)]
                    record.append(b"%d" % attempts.failures)
                    record.append(attempts.consumer)
                    record.append(attempts.reason)
                    record.append(b"1" if attempts.is_dead else b"0")
            elif isinstance(owner, dict):
                known = owner[item]
                record.append(b"%d" % known.entry_id)
                record.append(b"%d" % known.arrived_ms)
        return record


def _policy_parts(policy: GroupPolicy) -> list[bytes]:
    numbers = [policy.ack_wait_ms, policy.max_deliver, policy.max_pending, policy.max_per_consumer]
    numbers += [policy.consumer_ttl_ms, 1 if policy.paused else 0, *policy.backoff_ms]
    return [policy.dead_letter, policy.order_by, *[b"%d" % number for number in numbers]]


# -- reading


def apply_record(value: object, record: list[bytes]) -> None:
    """Raises BadData."""
    kind = record[0]
    if isinstance(value, HashValue) and kind == b"field-times":
        for i in range(1, len(record) - 1, 2):
            if value.fields.has(record[i]):
                value.give_time(record[i], number_of(record[i + 1]))
    elif isinstance(value, Stream):
        _apply_to_stream(value, kind, record)
    else:
        raise BadData(f"a record {kind!r} that does not belong to this value")


def _apply_to_stream(stream: Stream, kind: bytes, record: list[bytes]) -> None:
    if kind in (b"settings", b"window", b"due"):
        settings = stream.settings
        if settings is None:
            settings = StreamSettings()
            stream.settings = settings
        if kind == b"settings":
            _apply_settings(settings, record)
        elif kind == b"window":
            for i in range(2, len(record) - 2, 3):
                settings.window.load(record[1], record[i], _long(record[i + 1]), number_of(record[i + 2]))
        else:
            for text in record[1:]:
                when, _, entry_id = text.partition(b" ")
                settings.expire_at(_long(entry_id), number_of(when), stream.first_id)
        return
    group = stream.groups.get(record[1]) if len(record) > 1 else None
    if group is None:
        raise BadData(f"a record {kind!r} of a group that is not there")
    _apply_to_group(group, kind, record)


def _apply_settings(settings: StreamSettings, record: list[bytes]) -> None:
    if len(record) != 10:
        raise BadData("settings of a stream that are longer or shorter than they should be")
    settings.max_length = number_of(record[1])
    settings.max_age_ms = number_of(record[2])
    settings.max_bytes = number_of(record[3])
    settings.retain = number_of(record[4])
    settings.group_idle_ms = number_of(record[5])
    settings.window.duration = number_of(record[6])
    settings.window.max_size = number_of(record[7])
    settings.window.added = number_of(record[8])
    settings.ttl_field = record[9]


def _apply_to_group(group: Group, kind: bytes, record: list[bytes]) -> None:
    if kind == b"policy":
        group.policy = _policy_of(record)
    elif kind == b"nobody":
        _make_nobody(group, record[2] if len(record) > 2 else b"")
    elif kind == b"times":  # of a log: name, when seen, when active ...
        for i in range(2, len(record) - 2, 3):
            consumer = group.consumers.get(record[i])
            if consumer is not None:
                consumer.seen_ms = number_of(record[i + 1])
                consumer.active_ms = number_of(record[i + 2])
    elif kind == b"active":
        for i in range(2, len(record) - 1, 2):
            consumer = group.consumers.get(record[i])
            if consumer is not None:
                consumer.active_ms = number_of(record[i + 1])
    elif kind == b"zone":
        _fill_zone(group, record)
    elif kind in (b"attempts", b"lanes") and group.policy is not None:
        _fill_policy(group, group.policy, kind, record)
    else:
        raise BadData(f"a record {kind!r} that is not known here")


def _policy_of(record: list[bytes]) -> GroupPolicy:
    if len(record) < 10:
        raise BadData("a policy of a group that is shorter than it should be")
    policy = GroupPolicy()
    policy.dead_letter = record[2]
    policy.order_by = record[3]
    policy.ack_wait_ms = number_of(record[4])
    policy.max_deliver = number_of(record[5])
    policy.max_pending = number_of(record[6])
    policy.max_per_consumer = number_of(record[7])
    policy.consumer_ttl_ms = number_of(record[8])
    policy.paused = record[9] == b"1"
    policy.backoff_ms = [number_of(text) for text in record[10:]]
    return policy


def _make_nobody(group: Group, name: bytes) -> None:
    """The consumer of that name stands for entries that nobody has."""
    stand_in = group.consumers.pop(name, None)
    if stand_in is None:
        raise BadData("a group without the consumer that stands for nobody")
    nobody = Consumer(b"", 0)
    nobody.order = stand_in.order
    nobody.number = stand_in.number
    if nobody.number >= 0:
        group.pending.owners[nobody.number] = nobody
    group.nobody = nobody
    group.zone = ReturnZone()


def _fill_zone(group: Group, record: list[bytes]) -> None:
    zone = group.zone
    if zone is None:
        zone = ReturnZone()
        group.zone = zone
    for text in record[2:]:
        entry_id = _long(text)
        pending = group.pending.get(entry_id)
        if pending is None or pending.consumer is not group.nobody:
            raise BadData("an entry to be delivered again that is not pending")
        zone.put(entry_id, pending.delivered_ms)


def _fill_policy(group: Group, policy: GroupPolicy, kind: bytes, record: list[bytes]) -> None:
    if kind == b"lanes":
        for i in range(2, len(record) - 1, 2):
            policy.enter_lane(_long(record[i]), record[i + 1])
        return
    for i in range(2, len(record) - 4, 5):
        failures = number_of(record[i + 1])
        policy.attempts[_long(record[i])] = Attempts(failures, record[i + 2], record[i + 3], record[i + 4] == b"1")


def number_of(text: bytes) -> int:
    """64 bits. Raises BadData."""
    number = parse_int(text)
    if number is None:
        raise BadData("a record with a number that is none")
    return number


def _long(text: bytes) -> int:
    """The number of an entry, of 128 bits."""
    if not text.isdigit() or len(text) > 39:
        raise BadData("a record with the number of an entry that is none")
    return int(text)
