"""What only Millstream knows beside keys, as records in AUX fields (rdb/extras.py): scheduled messages, and retained
channels with their rules.

Each is written a hundred things at a time. Frozen copies are enough: nothing here is changed.
"""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.hashes import HashValue
from broker.datatypes.listpack import read_listpack
from broker.datatypes.schedules import PLAIN, Agenda, Terms, Ticket, is_packed
from broker.datatypes.stream_settings import LIMITS
from broker.datatypes.streams import Stream
from broker.keyspace.channel_log import Channel, ChannelLog, Rule
from broker.keyspace.database import Database, Keyspace
from broker.rdb.codes import BadData
from broker.rdb.extras import apply_record, number_of, put_record
from broker.rdb.source import Source

_SOME: Final = 100
_MANY_BYTES: Final = 65536  # of messages in a record
_KINDS: Final = frozenset([b"names", b"ticket", b"rule", b"channel", b"messages", b"last-position"])


def is_of_keyspace(kind: bytes) -> bool:
    """Whether a record is one of these, and not of a value."""
    return kind in _KINDS


# -- writing


def writers_of_state(agendas: dict[int, Agenda], log: ChannelLog) -> list["AgendaWriter | ChannelsWriter"]:
    """All that has to be written, the last one first. agendas: {database: scheduled messages}."""
    writers: list[AgendaWriter | ChannelsWriter] = [ChannelsWriter(log)]
    for database, agenda in agendas.items():
        writers.append(AgendaWriter(database, agenda))
    return writers


def records_in(data: bytes) -> list[list[bytes]]:
    """The records that put_record() made bytes of."""
    found: list[list[bytes]] = []
    source = Source(data, len(data))
    while source.left:
        source.byte()
        source.string()
        found.append(read_listpack(source.string()))
    return found


class AgendaWriter:
    """The scheduled messages of one database."""

    def __init__(self, database: int, agenda: Agenda) -> None:
        self._database = b"%d" % database
        self._agenda = agenda
        self._at: i64 = -1

    def put_some(self, out: list[bytes]) -> bool:
        """True when there is more."""
        if self._at < 0:
            self._at = 0
            put_record([b"names", self._database, b"%d" % self._agenda.last_name], False, out)
            return True
        tickets = self._agenda.some_tickets(int(self._at), _SOME)
        self._at += len(tickets)
        for ticket in tickets:
            put_record(_ticket_record(self._database, ticket), True, out)
        return len(tickets) == _SOME


def _ticket_record(database: bytes, ticket: Ticket) -> list[bytes]:
    numbers = [int(ticket.number), int(ticket.kind), int(ticket.due_ms), int(ticket.runs)]
    record = [b"ticket", database, ticket.key, ticket.name, ticket.packed, *[b"%d" % number for number in numbers]]
    terms = ticket.terms
    if terms.is_plain() and not terms.approximately:
        return record
    rule = [terms.every_ms, terms.until_ms, terms.max_runs, terms.missed, terms.max_length]
    record += [terms.cron, terms.zone, *[b"%d" % int(number) for number in rule]]
    return [*record, b"%d" % terms.approximately, b"%d" % terms.left]


class ChannelsWriter:
    """Rules of retained channels, and what they keep."""

    def __init__(self, log: ChannelLog) -> None:
        self._log = log
        self._names: list[bytes] = []  # of channels that are still to be written
        self._channel: Channel | None = None
        self._name: bytes = b""
        self._at: i64 = 0  # in the messages of _channel
        self._has_begun = False

    def put_some(self, out: list[bytes]) -> bool:
        """True when there is more."""
        if not self._has_begun:
            self._has_begun = True
            self._put_rules(out)
        elif self._channel is not None:
            self._put_messages(self._channel, out)
        elif self._names:
            self._put_channel(out)
        else:
            return False
        return True

    def _put_rules(self, out: list[bytes]) -> None:
        for rule in self._log.rules.values():
            numbers = [rule.max_length, rule.max_age_ms, rule.max_bytes]
            record = [b"rule", rule.pattern, *[b"%d" % number for number in numbers], _position(rule.floor)]
            put_record(record, False, out)
            self._names += list(rule.quiet)
            self._names += list(rule.filled)
        self._names.reverse()
        if self._log.last:
            put_record([b"last-position", _position(self._log.last)], False, out)

    def _put_channel(self, out: list[bytes]) -> None:
        name = self._names.pop()
        channel = self._log.channels[name]
        record = [b"channel", name, channel.rule.pattern, _position(channel.last), _position(channel.dropped)]
        put_record(record, False, out)
        if len(channel):
            self._name = name
            self._channel = channel
            self._at = channel.head

    def _put_messages(self, channel: Channel, out: list[bytes]) -> None:
        record = [b"messages", self._name]
        size: i64 = 0
        stop: i64 = len(channel.positions)
        while self._at < stop and size < _MANY_BYTES:
            record.append(_position(channel.positions[self._at]))
            record.append(channel.messages[self._at])
            size += len(channel.messages[self._at]) + 64
            self._at += 1
        put_record(record, True, out)
        if self._at == stop:
            self._channel = None


def _position(number: int) -> bytes:
    """128 bits, which no number of a listpack has."""
    return number.to_bytes(16, "big")


# -- reading


def apply_to_key(db: Database, key: bytes, value: object, record: list[bytes]) -> None:
    """A record of the value at a key. Raises BadData."""
    apply_record(value, record)
    if isinstance(value, HashValue):
        db.plan_fields(key, value)
    elif isinstance(value, Stream):
        retention = db.keyspace.retention
        retention.plan(db.index, key, 0)
        if value.settings is not None and value.settings.retain != LIMITS:
            retention.by_acks = True


def load_log_record(keyspace: Keyspace, record: list[bytes]) -> None:
    """As a log has it: database, key, kind ... Raises BadData."""
    if record[0] == b"":
        if not is_of_keyspace(record[2]):
            raise BadData(f"a record {record[2]!r} that is not known here")
        load_record(keyspace, record[2:])
        return
    index = number_of(record[0])
    value = keyspace.databases[index].table.get(record[1]) if 0 <= index < len(keyspace.databases) else None
    if value is None:
        raise BadData(f"a record of the key {record[1]!r}, which is not there")
    apply_to_key(keyspace.databases[index], record[1], value, record[2:])


def load_record(keyspace: Keyspace, record: list[bytes]) -> None:
    """Raises BadData."""
    kind = record[0]
    try:
        if kind == b"ticket":
            _load_ticket(keyspace, record)
        elif kind == b"names":
            agenda = keyspace.databases[number_of(record[1])].agenda
            agenda.last_name = max(agenda.last_name, int(record[2]))
        else:
            _load_channel_record(keyspace.channel_log, kind, record)
    except (IndexError, KeyError, ValueError):
        raise BadData(f"a damaged record {kind!r}") from None


def _load_ticket(keyspace: Keyspace, record: list[bytes]) -> None:
    number, kind = number_of(record[5]), number_of(record[6])
    if not 0 <= kind <= 1 or not is_packed(record[4], kind):
        raise BadData("a scheduled message of an unknown kind, or one that is damaged")
    terms = PLAIN
    if len(record) > 9:
        terms = Terms()
        terms.cron = record[9]
        terms.zone = record[10]
        terms.every_ms = number_of(record[11])
        terms.until_ms = number_of(record[12])
        terms.max_runs = number_of(record[13])
        terms.missed = number_of(record[14])
        terms.max_length = number_of(record[15])
        terms.approximately = record[16] == b"1"
        terms.left = record[17] == b"1"
        if terms.every_ms < 0 or not (terms.cron.isascii() and terms.zone.isascii()):
            raise BadData("a scheduled message with a rule that is damaged")
    ticket = Ticket(kind, record[2], record[3], number_of(record[7]), number_of(record[8]), terms, record[4])
    index = number_of(record[1])
    keyspace.databases[index].agenda.load(ticket, number)
    keyspace.planned[index] = None


def _load_channel_record(log: ChannelLog, kind: bytes, record: list[bytes]) -> None:
    if kind == b"rule":
        rule = Rule(record[1], int.from_bytes(record[5], "big"))
        rule.max_length = number_of(record[2])
        rule.max_age_ms = number_of(record[3])
        rule.max_bytes = number_of(record[4])
        log.load_rule(rule)
    elif kind == b"channel":
        last, dropped = int.from_bytes(record[3], "big"), int.from_bytes(record[4], "big")
        log.load_channel(record[1], log.rules[record[2]], last, dropped)
    elif kind == b"last-position":
        log.last = int.from_bytes(record[1], "big")
    else:
        for i in range(2, len(record) - 1, 2):
            log.load_message(record[1], int.from_bytes(record[i], "big"), record[i + 1])
