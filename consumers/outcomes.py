"""What a handler may say about its message by raising: again later, never again, or not for me."""

from collections.abc import Mapping

from consumers.durations import Duration, optional_seconds
from consumers.errors import ConsumerError, ControlFlow


class Retry(ControlFlow):
    """Deliver the message again, `after` from now (without it: after the consumer's back-off).

    The attempt counts: at `max_deliveries` the message goes to the dead letters.
    """

    def __init__(self, after: Duration | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.after = optional_seconds(after)

    def __reduce__(self) -> tuple[object, ...]:  # from another process
        return type(self), (self.after, self.reason)


class Reject(ControlFlow):
    """Move the message to the dead letters at once: trying again can't help."""


class Skip(ControlFlow):
    """Acknowledge the message without having handled it."""


class BadField(Reject):
    """A field is missing or malformed. Entries never change, so the message is rejected rather than retried."""


class BatchError(ConsumerError):
    """Some messages of a batch failed: {id of the message: what is wrong with it}. The others are done.

    What is wrong may be any exception, Retry, Reject and Skip among them.
    """

    def __init__(self, failures: Mapping[str, BaseException]) -> None:
        super().__init__(f"{len(failures)} messages of the batch failed")
        self.failures = dict(failures)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.failures,)
