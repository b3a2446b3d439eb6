"""Moving a message to the dead-letter stream: one entry with all the facts, and the acknowledgement, in one step.

The entry has the fields of the message as they were, followed by the facts under names that begin with `dead.`, those
that a Millstream server writes, too: `dead.stream`, `dead.id`, `dead.group`, `dead.consumer`, `dead.deliveries`,
`dead.attempts` (how many failed), `dead.reason`, `dead.time` (milliseconds since the epoch); and, of ours alone,
`dead.traceback` and `dead.history`, the failed attempts as JSON: `[{"at_ms": ..., "worker": ..., "reason": ...}]`.
A message moves at most once, by the same fence as any other transaction (consumers/transactions.py).
"""

import time
import traceback
from collections.abc import Sequence

import msgspec
from coredis import Redis

from consumers.backends import Failure
from consumers.message import Message
from consumers.transactions import claim_of, collector, commit

PREFIX = "dead."
_TRACE_LIMIT = 10_000
_REASON_LIMIT = 1000  # characters: an exception's text may hold a whole document


def facts(
    message: Message, reason: str, now_ms: int, history: Sequence[Failure] = (), trace: str = ""
) -> dict[bytes, bytes]:
    """The fields of the dead letter of `message`. A fact wins over a field of the message with the same name."""
    about = {
        "stream": message.stream,
        "id": message.id,
        "group": message.group,
        "consumer": message.consumer,
        "deliveries": str(message.deliveries),
        "attempts": str(len(history)),
        "reason": reason[:_REASON_LIMIT],
        "time": str(now_ms),
    }
    if trace:
        about["traceback"] = trace
    if history:
        about["history"] = msgspec.json.encode(history).decode()
    return message.fields | {f"{PREFIX}{name}".encode(): value.encode() for name, value in about.items()}


async def bury(
    client: Redis[bytes],
    dead_stream: str,
    message: Message,
    reason: str,
    *,
    history: Sequence[Failure] = (),
    trace: str = "",
) -> None:
    """Add the dead letter and acknowledge the message. Raises what `commit` raises: LeaseLost where it isn't ours any
    more.
    """
    letter = collector(client)
    letter.xadd(dead_stream, facts(message, reason, _now_ms(), history, trace))
    await commit(client, claim_of(message), letter)


async def file_copy(client: Redis[bytes], dead_stream: str, message: Message, reason: str) -> None:
    """Add the dead letter of a message that is acknowledged already: one of its committed effects was refused."""
    await client.xadd(dead_stream, facts(message, reason, _now_ms()))


def trace_of(error: BaseException) -> str:
    """The traceback, the end of it where it is long."""
    return "".join(traceback.format_exception(error))[-_TRACE_LIMIT:]


def _now_ms() -> int:
    return int(time.time() * 1000)
