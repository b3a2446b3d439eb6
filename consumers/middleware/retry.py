"""What to do about which exception: some are worth another attempt, some never.

    app.use(RetryOn(TimeoutError, after="30s"), RejectOn(KeyError, ValueError))

Without it every exception means another attempt after the consumer's back-off.
"""

from consumers.durations import Duration, optional_seconds
from consumers.errors import ConfigurationError, control_flow, leaves
from consumers.message import Message
from consumers.middleware.base import CallNext, Middleware
from consumers.outcomes import Reject, Retry


class _On(Middleware):
    def __init__(self, *kinds: type[Exception]) -> None:
        if not kinds:
            raise ConfigurationError(f"{type(self).__name__} needs the exceptions that it is about")
        self.kinds = kinds

    def concerns(self, error: BaseException) -> bool:
        """All of a group have to be of these kinds; what steers (Retry, Reject, Skip) is left alone."""
        return control_flow(error) is None and all(isinstance(leaf, self.kinds) for leaf in leaves(error))

    def word(self, error: BaseException) -> Exception:
        raise NotImplementedError

    async def around(self, message: Message, call_next: CallNext) -> object:
        try:
            return await call_next(message)
        except Exception as error:
            if not self.concerns(error):
                raise
            raise self.word(error) from error


def _reason(error: BaseException) -> str:
    return "; ".join(f"{type(leaf).__name__}: {leaf}" for leaf in leaves(error))


class RetryOn(_On):
    """Try again `after`, rather than after the consumer's back-off. The attempt counts."""

    def __init__(self, *kinds: type[Exception], after: Duration | None = None) -> None:
        super().__init__(*kinds)
        self.after = optional_seconds(after)

    def word(self, error: BaseException) -> Exception:
        return Retry(self.after, _reason(error))


class RejectOn(_On):
    """To the dead letters at once."""

    def word(self, error: BaseException) -> Exception:
        return Reject(_reason(error))
