"""What differs between a Millstream server and plain Redis or Valkey, behind two small protocols.

`Backend` is one worker's membership in one group of one stream; `Publisher` is what adds messages. `native` leaves the
work to the server (XGROUP POLICY, XNACK, XRENEW, XSCHEDULE); `plain` does it with pending lists, a sorted set of
delayed messages, and scripts. The server is asked once for each connected client (`is_native`).

Deduplication by the sender is one script on both: IDMP bounds the names of a stream and has one window for all of them.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import attrs
from coredis import Redis

from consumers.leases import Lease


@attrs.frozen(kw_only=True)
class Publication:
    """One message to be added. `fields` are complete: the framework's own, too (consumers/headers.py)."""

    stream: str
    fields: dict[bytes, bytes]
    delay_ms: int = 0  # by the clock of the server
    due_ms: int | None = None  # Unix time; None: now, or after `delay_ms`
    ticket: str | None = None  # names a delayed message; one of the same stream with that ticket is replaced
    dedupe: str | None = None  # nothing happens where this name was used for the stream within the window
    window_ms: int = 0

    @property
    def is_delayed(self) -> bool:
        return self.due_ms is not None or self.delay_ms > 0


@attrs.frozen
class Published:
    """`id` is the entry's id, or the ticket of a delayed message. `duplicate`: it had been published before, under
    that id.
    """

    id: str
    duplicate: bool = False


class Publisher(Protocol):
    async def publish(self, many: Sequence[Publication]) -> list[Published]:
        """All of them, in their order, in one round trip. Not repeated when the connection is lost."""

    async def cancel(self, stream: str, ticket: str) -> bool:
        """Forget a delayed message. False where it isn't there (any more)."""


@attrs.frozen
class Failure:
    """One failed attempt, as the history of a message has it."""

    at_ms: int
    worker: str
    reason: str


class Backend(Protocol):
    """One worker in one group of one stream. Lost connections are raised (consumers.errors.TRANSIENT): the caller
    rides them out, so everything here bears repeating.
    """

    orders: bool  # the server itself keeps messages of one key in order, across all workers

    async def ensure(self) -> bool:
        """Make the group unless it is there. True where it was made."""

    async def read(self, count: int, block: float) -> list[Lease]:
        """Up to `count` messages, after waiting for the first for at most `block` seconds."""

    async def returned(self, count: int) -> list[Lease]:
        """Messages whose retry is due, and those that dead workers left: up to `count`. Plain servers only: a
        Millstream gives them to `read`.
        """

    def next_look(self) -> float:
        """Seconds until `returned` is worth asking again; infinite where the server pushes."""

    async def settle(self, leases: Sequence[Lease]) -> None:
        """Acknowledge, those that are still this worker's."""

    async def retry(self, lease: Lease, after: float, failure: Failure) -> None:
        """Give a failed message back, not to be delivered before `after` seconds have passed."""

    async def history(self, lease: Lease) -> list[Failure]:
        """The failed attempts so far, the oldest first."""

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Extend the leases; those that are not this worker's any more."""

    async def release(self) -> int:
        """Give back all that this worker still has, and leave the group if nothing is left; how many."""


async def is_native(client: Redis[bytes]) -> bool:
    """Whether the server is a Millstream: whether it knows XRENEW."""
    found: Any = await client.command_info("XRENEW")
    return bool(found)
