"""What can go wrong in a worker. What handlers raise to steer is in consumers/outcomes.py; all have the base
`ConsumerError`.
"""

from collections.abc import Iterator

import anyio
import trio
from coredis.exceptions import ConnectionError as LostConnection
from coredis.exceptions import ReadOnlyError

# A dead server, a server that still loads (BusyLoadingError is a LostConnection), a reply that never came, a primary
# that has just become a replica: all pass by waiting.
TRANSIENT = (
    LostConnection,
    ReadOnlyError,
    OSError,
    TimeoutError,
    trio.TooSlowError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    anyio.EndOfStream,
)


class ConsumerError(Exception):
    """Base of everything this package raises."""


class ConfigurationError(ConsumerError):
    """An app, or an option of a consumer, makes no sense."""


class ControlFlow(ConsumerError):
    """Base of what says how to go on with a message, rather than that something broke."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class LeaseLost(ControlFlow):
    """Another worker has the message, or has finished it: nothing was committed, and nothing is left to do here."""


class EffectsFailed(ConsumerError):
    """A command inside a committed transaction was refused (WRONGTYPE, for one).

    Redis doesn't roll back: the other effects and the acknowledgement stand. The framework files the message with the
    dead letters.
    """


class HandlerTimeout(ConsumerError):
    """The handler took longer than the consumer's `timeout`."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a (nested) group, or the exception itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def control_flow(error: BaseException) -> ControlFlow | None:
    """The handler's word, also out of a nursery's group; None where anything in it is a true failure."""
    found = list(leaves(error))
    words = [leaf for leaf in found if isinstance(leaf, ControlFlow)]
    return words[0] if words and len(words) == len(found) else None
