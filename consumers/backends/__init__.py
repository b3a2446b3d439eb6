"""What differs between a Millstream server and plain Redis or Valkey, behind two small protocols.

`Backend` is one worker's membership in one group of one stream; `Publisher` is what adds messages. `native` leaves the
work to the server (XGROUP POLICY, XNACK, XRENEW, XSCHEDULE); `plain` does it with pending lists, a sorted set of
delayed messages, and scripts. The server is asked once for each connected client (`is_native`).

Deduplication by the sender is one script on both: IDMP bounds the names of a stream and has one window for all of them.
"""

from collections.abc import Container, Iterable, Sequence
from typing import Protocol

import attrs
from coredis import Redis

from consumers.backends.scripts import request
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
    that id, or that ticket.
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

    at_ms: int  # Unix time
    worker: str
    reason: str


class Backend(Protocol):
    """One worker in one group of one stream.

    Lost connections are raised (consumers.errors.TRANSIENT) and ridden out by the caller, so everything here bears
    repeating. The leases it gives are made here and held by the caller.
    """

    @property
    def orders(self) -> bool:
        """Whether the server keeps messages of one key in order, across all workers."""

    @property
    def pushes(self) -> bool:
        """Whether the server gives what is due again to `read`: `returned` has nothing to do."""

    async def ensure(self) -> bool:
        """Make the group unless it is there. True where it was made."""

    async def read(self, count: int, block: float) -> list[Lease]:
        """Up to `count` messages, after waiting for the first for at most `block` seconds."""

    async def returned(self, count: int, held: Container[str]) -> tuple[list[Lease], float]:
        """Up to `count` messages whose retry is due, or that dead workers left, none of them in `held`; and the seconds
        after which it is worth asking again.
        """

    async def settle(self, leases: Sequence[Lease], *, more: bool) -> list[Lease]:
        """Acknowledge, and forget what failed before. Bears what is acknowledged already. The messages that this made
        ready (the next ones of their keys) come to this worker if it wants more.
        """

    async def retry(self, lease: Lease, after: float, failure: Failure) -> None:
        """Give a failed message back, not to be delivered before `after` seconds have passed."""

    async def again(self, lease: Lease, failure: Failure) -> bool:
        """Count one more delivery of a message that this worker kept after it failed. False where it lost it."""

    async def history(self, lease: Lease) -> list[Failure]:
        """The failed attempts so far, the oldest first."""

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Extend the leases; those that are not this worker's any more."""

    async def holder(self, lease: Lease) -> str | None:
        """Which consumer has it; None where it is done."""

    async def release(self, leases: Iterable[Lease]) -> int:
        """Give back all that this worker still has, and leave the group; how many. `leases`: what it knows to have."""

    async def pause(self, paused: bool) -> None:
        """Whether the group gives anything to anybody."""


async def is_native(client: Redis[bytes]) -> bool:
    """Whether the server is a Millstream: whether it knows XRENEW."""
    return any(await request(client, "COMMAND", "INFO", "XRENEW"))
