"""What is told of a server's parts. Names are bytes, as the server has them; None is what a server does not say."""

import json
from typing import Final

import attrs

_TOO_LATE_MS: Final = 1 << 47  # the year 6429: no calendar has to cope with what lies beyond


@attrs.frozen
class Stream:
    key: bytes
    length: int
    groups: int
    first_id: str | None  # None: it is empty
    last_id: str  # generated last: its entry may be gone
    added: int | None  # ever; since Redis 7
    memory: int | None  # bytes
    is_dead_letters: bool  # by what is in its last entry


@attrs.frozen
class Group:
    stream: bytes
    name: bytes
    consumers: int
    pending: int
    lag: int | None
    read: int | None  # entries ever
    delivered_id: str
    last_id: str  # of the stream
    policy: dict[str, object]  # Millstream: what XGROUP POLICY says
    in_flight: int | None  # Millstream: pending and with a consumer ...
    returned: int | None  # ... or waiting for their next attempt ...
    dead: int | None  # ... or given up, with no dead-letter stream to go to


@attrs.frozen
class Consumer:
    stream: bytes
    group: bytes
    name: bytes
    pending: int
    idle_ms: int  # since the last attempt to read
    inactive_ms: int | None  # since the last one that got something; Redis 7.2


@attrs.frozen
class Pending:
    """An entry that was delivered and not acknowledged."""

    id: str
    consumer: bytes
    idle_ms: int
    deliveries: int


@attrs.frozen
class Attempt:
    """One that failed, as the worker framework notes it."""

    time_ms: int
    worker: str
    reason: str


def attempts_of(text: bytes) -> list[Attempt]:
    """Out of JSON, the oldest first; none where it can't be read: anybody may have written it."""
    try:
        found = [Attempt(int(one["at_ms"]), str(one["worker"]), str(one["reason"])) for one in json.loads(text)]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return []
    return found if all(0 <= one.time_ms < _TOO_LATE_MS for one in found) else []


@attrs.frozen
class PendingOf:
    """What a group has pending, in total."""

    total: int
    first_id: str | None
    last_id: str | None
    consumers: dict[bytes, int]


@attrs.frozen
class Key:
    key: bytes
    type: str
    encoding: str | None
    size: int | None  # elements, fields, entries; bytes of a string
    memory: int | None
    ttl_ms: int | None  # None: it stays


@attrs.frozen
class Channel:
    name: bytes
    kind: str  # channel, shard, retained
    subscribers: int


@attrs.frozen
class RetainedRule:
    """Millstream: a CHANNEL RETAIN, with what it keeps. The names and numbers are the server's."""

    pattern: bytes
    facts: dict[str, object]


@attrs.frozen
class Channels:
    found: list[Channel]
    patterns: int  # subscriptions by pattern
    retained: list[RetainedRule]


@attrs.frozen
class SlowRequest:
    id: int
    at_s: int  # Unix time
    micros: int
    words: list[bytes]
    address: bytes
    client_name: bytes


@attrs.frozen
class Connected:
    """A client, as CLIENT LIST shows it."""

    id: int
    address: str
    name: str
    age_s: int
    idle_s: int
    database: int
    command: str
    subscriptions: int
    is_blocked: bool
    input_bytes: int
    output_bytes: int
    memory: int | None
    library: str


@attrs.frozen
class Server:
    """INFO, of which only some fields have a meaning here."""

    info: dict[str, str]

    def number(self, name: str) -> int | None:
        text = self.info.get(name, "")
        return int(text) if text.removeprefix("-").isdigit() else None

    def decimal(self, name: str) -> float | None:
        try:
            return float(self.info.get(name, ""))
        except ValueError:
            return None

    @property
    def name(self) -> str:
        for name in ("millstream", "valkey", "redis"):
            if f"{name}_version" in self.info:
                return f"{name.capitalize()} {self.info[f'{name}_version']}"
        return "unknown server"

    @property
    def commands(self) -> int:
        """Ever executed: growth is a rate."""
        return self.number("total_commands_processed") or 0
