"""Moving a message to the dead-letter stream: one entry with all the facts, and the acknowledgement, in one step.

The entry has the fields of the message as they were, followed by the facts under names that begin with `dead.`:
`dead.stream`, `dead.id`, `dead.group`, `dead.consumer`, `dead.deliveries`, `dead.reason`, `dead.time` (milliseconds
since the epoch). A message moves at most once, by the same fence as any other transaction
(consumers/transactions.py).
"""

import time

from coredis import Redis

from consumers.message import Message
from consumers.transactions import Claim, collector, commit

PREFIX = "dead."
_REASON_LIMIT = 1000  # characters: an exception's text may hold a whole document


def facts(message: Message, reason: str, now_ms: int) -> dict[bytes, bytes]:
    """The fields of the dead letter of `message`. A fact wins over a field of the message with the same name."""
    about = {
        "stream": message.stream,
        "id": message.id,
        "group": message.group,
        "consumer": message.consumer,
        "deliveries": str(message.deliveries),
        "reason": reason[:_REASON_LIMIT],
        "time": str(now_ms),
    }
    return message.fields | {f"{PREFIX}{name}".encode(): value.encode() for name, value in about.items()}


async def bury(client: Redis[bytes], dead_stream: str, message: Message, reason: str) -> None:
    """Add the dead letter and acknowledge the message. Raises what `commit` raises: LeaseLost where it isn't ours any
    more.
    """
    letter = collector(client)
    letter.xadd(dead_stream, facts(message, reason, _now_ms()))
    await commit(client, Claim(message.stream, message.group, message.id, message.consumer), letter)


async def file_copy(client: Redis[bytes], dead_stream: str, message: Message, reason: str) -> None:
    """Add the dead letter of a message that is acknowledged already: one of its committed effects was refused."""
    await client.xadd(dead_stream, facts(message, reason, _now_ms()))


def _now_ms() -> int:
    return int(time.time() * 1000)
