"""Effects and acknowledgement in one step, at most once per message, with plain commands only.

Two facts carry it. MULTI/EXEC is all or nothing for a crash of the worker: a `kill -9` leaves either the effects and
the acknowledgement, or neither. And the entry's place in the pending list is the marker of "not done yet": it goes
away in the same EXEC as the effects appear.

What is left is two workers with the same message (the second took it over while the first was slow). Each checks that
the message is pending and its own, and then commits; between the two, the other may commit. Acknowledging doesn't
touch a WATCH (streamAckNACK in t_stream.c signals no key), so each commit also writes and deletes a *fence*, a key of
the message's own, and each watches that key before it checks: the slower one's EXEC fails. The fence is gone when
EXEC returns; nothing is left behind that would need an expiry, and nothing expires too early.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs
from coredis import Redis
from coredis.exceptions import RedisError, WatchError

from consumers.errors import TRANSIENT, ConsumerError, EffectsFailed, LeaseLost
from consumers.message import Effects, Message
from consumers.pending import PendingList

# A fence that moved means that the message is done; a second look says so. More is a server that misbehaves.
_ATTEMPTS = 3


@attrs.frozen
class Claim:
    """Which pending entry, and who says to have it."""

    stream: str
    group: str
    id: str
    consumer: str
    delete: bool = False  # the entry goes with its acknowledgement

    @property
    def fence(self) -> str:
        tagged = self.stream if "{" in self.stream else f"{{{self.stream}}}"  # in a cluster: the stream's own slot
        return f"{tagged}:fence:{self.group}:{self.id}"


async def commit(client: Redis[bytes], claim: Claim, effects: Effects) -> None:
    """Run the collected `effects` and acknowledge the message, in one EXEC, if the message is pending at
    `claim.consumer`.

    Raises LeaseLost (nothing happened), EffectsFailed (committed, but a command was refused), and what the client
    raises: on a lost connection the outcome is unknown to the caller, though not to the server: the message is still
    pending if and only if nothing happened.
    """
    for _ in range(_ATTEMPTS):
        try:
            return await _commit_once(client, claim, effects)
        except WatchError as error:
            if isinstance(error.__cause__, TRANSIENT):  # coredis dresses up a lost connection as a WatchError
                raise error.__cause__ from error
    raise ConsumerError(f"the fence of {claim.id} would not stay still")


async def _commit_once(client: Redis[bytes], claim: Claim, effects: Effects) -> None:
    async with client.pipeline(transaction=True, raise_on_error=False) as pipe, pipe.watch(claim.fence):
        found = await PendingList(client, claim.stream, claim.group).look_at(claim.id)
        if found is None:
            raise LeaseLost("already acknowledged")
        if found.consumer != claim.consumer:
            raise LeaseLost("taken over by another worker")
        pipe.scripts.update(effects.scripts)
        pipe.command_stack.extend(effects.command_stack)
        pipe.set(claim.fence, claim.consumer)
        pipe.delete([claim.fence])
        pipe.xack(claim.stream, claim.group, [claim.id])
        if claim.delete:
            pipe.xdel(claim.stream, [claim.id])
    refused = [result for result in pipe.results or () if isinstance(result, RedisError)]
    if refused:
        raise EffectsFailed(f"{len(refused)} of the effects refused: {refused[0]}") from refused[0]


def claim_of(message: Message) -> Claim:
    return Claim(message.stream, message.group, message.id, message.consumer, delete=not message.kept)


def collector(client: Redis[bytes]) -> Effects:
    """A pipeline that only collects: it is never entered, so it never holds a connection and never sends."""
    return client.pipeline(transaction=True)


@asynccontextmanager
async def transact(message: Message) -> AsyncIterator[Effects]:
    """What stands behind `Message.transaction`."""
    if message.committed:
        raise ConsumerError("a message can be committed only once: put all its effects into one transaction")
    effects = collector(message.client)
    yield effects
    claim = claim_of(message)
    try:
        await commit(message.client, claim, effects)
    except EffectsFailed:
        message.committed = True
        raise
    message.committed = True
