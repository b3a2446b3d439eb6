"""The server's pending list of one group, as values: the only place that knows what the client library returns for it.

Times towards the server are milliseconds, ids and names are text.
"""

from typing import Any

import attrs
from coredis import Redis


@attrs.frozen
class Pending:
    """One delivered and not yet acknowledged entry, as XPENDING tells it."""

    id: str
    consumer: str
    idle: float  # seconds since it was last delivered, claimed or renewed
    deliveries: int


@attrs.frozen
class Entry:
    """One entry of the stream."""

    id: str
    fields: dict[bytes, bytes]


def text(value: Any) -> str:
    """Names and ids come as bytes; a foreign consumer's name need not be UTF-8."""
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def entry(raw: Any) -> Entry:
    """From the client library's StreamEntry."""
    return Entry(text(raw.identifier), dict(raw.field_values))


def _pending(raw: Any) -> Pending:
    return Pending(text(raw.identifier), text(raw.consumer), raw.idle / 1000, raw.delivered)


@attrs.frozen
class PendingList:
    """The pending entries of `group` on `stream`."""

    client: Redis[bytes]
    stream: str
    group: str

    async def page(
        self, *, after: str | None = None, count: int = 100, idle: float = 0.0, consumer: str | None = None
    ) -> list[Pending]:
        """Up to `count` pending entries in order of their ids, from the first one after `after`, at least `idle`
        seconds idle.
        """
        start = f"({after}" if after else "-"
        min_idle = int(idle * 1000) or None
        found = await self.client.xpending(self.stream, self.group, start, "+", count, idle=min_idle, consumer=consumer)
        return [_pending(raw) for raw in found]

    async def look_at(self, id_: str) -> Pending | None:
        """The entry, if it is still pending."""
        for raw in await self.client.xpending(self.stream, self.group, id_, id_, 1):
            return _pending(raw)
        return None

    async def take(self, id_: str, consumer: str, min_idle: float) -> Entry | None:
        """Make the entry `consumer`'s, as a new delivery; None where it has been idle for less than `min_idle`
        seconds, or is gone.
        """
        for raw in await self.client.xclaim(self.stream, self.group, consumer, int(min_idle * 1000), [id_]):
            return entry(raw)
        return None

    async def recount(self, id_: str, consumer: str, deliveries: int) -> None:
        """Make it `consumer`'s, just delivered for the so-manieth time."""
        await self.client.xclaim(self.stream, self.group, consumer, 0, [id_], retrycount=deliveries, justid=True)
