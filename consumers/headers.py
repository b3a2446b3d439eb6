"""Fields that the framework adds to a message, for itself: their names begin with `@`, so that a look with redis-cli
tells them from the sender's.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

PREFIX = b"@"
KEY = b"@key"  # messages with the same one are handled one after another (consumers with key="@key")
TTL = b"@ttl"  # milliseconds after the time in its id from which nobody should handle it any more
DEDUPE = b"@dedupe"  # the name by which the sender recognises it
TASK = b"@task"  # which task of the queue (consumers/tasks.py)
ID = b"@id"  # of the task, made by the sender
ARGUMENTS = b"@args"  # of the task, as JSON, where they were put together from results
KEEP = b"@keep"  # milliseconds for which the result of the task is kept; without it nobody asked for one
NEXT = b"@next"  # what is to follow on the task (consumers/canvas.py)
GROUP = b"@group"  # the group that the task belongs to
TRACEPARENT = b"@traceparent"  # W3C trace context
TRACESTATE = b"@tracestate"

NORMAL = "normal"

Value = str | bytes | int | float
Moment = datetime | float


def encoded(fields: Mapping[str, Value] | Mapping[bytes, bytes] | Mapping[str, bytes]) -> dict[bytes, bytes]:
    """As they go into the stream."""
    return {_bytes(name): _bytes(value) for name, value in fields.items()}


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def unix_ms(moment: Moment) -> int:
    """A number is Unix time in seconds; a datetime without a zone is local time, as everywhere in Python."""
    at = moment.timestamp() if isinstance(moment, datetime) else moment
    return round(at * 1000)


def stream_of(stream: str, priority: str) -> str:
    """Each priority has a stream of its own; the plain name is that of "normal"."""
    return stream if priority == NORMAL else f"{stream}.{priority}"


def streams_of(stream: str, priorities: Iterable[str]) -> list[str]:
    """The most urgent first."""
    return [stream_of(stream, one) for one in priorities] or [stream]
