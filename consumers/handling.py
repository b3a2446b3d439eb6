"""One message, from a free handler to its end: acknowledged, waiting for another attempt, or a dead letter."""

from collections.abc import Sequence
from functools import partial

import attrs
import structlog
import trio
from coredis import Redis
from coredis.exceptions import ConnectionError as LostConnection
from coredis.exceptions import RedisError

from consumers import dead_letters
from consumers.claiming import Claimer
from consumers.connection import ride_out
from consumers.errors import EffectsFailed, HandlerTimeout, LeaseLost, control_flow, leaves
from consumers.leases import Lease, Leases, State
from consumers.message import Message
from consumers.middleware import CallNext, Middleware
from consumers.options import Consumer
from consumers.outcomes import Reject, Retry, Skip

log = structlog.get_logger("consumers")


@attrs.define
class Counts:
    """What became of the messages."""

    handled: int = 0
    skipped: int = 0
    failed: int = 0
    dead_lettered: int = 0
    lost: int = 0


@attrs.define(eq=False)
class Handling:
    """Runs the handler and settles the message. Never raises but Cancelled and KeyboardInterrupt."""

    client: Redis[bytes]
    consumer: Consumer
    leases: Leases
    claimer: Claimer
    call: CallNext
    counts: Counts = attrs.field(factory=Counts)

    async def run(self, message: Message, lease: Lease) -> None:
        lease.state = State.RUNNING
        error = await self._call(message, lease)
        if lease.lost:
            error = LeaseLost("taken over by another worker")
        try:
            await self._settle(message, lease, error)
        except RedisError as refusal:
            # The message stays pending: it comes back by claiming, when it is idle for long enough.
            log.error("message.not_settled", **self._facts(message), error=str(refusal))
        finally:
            if lease.state is not State.WAITING:
                self.leases.drop(lease)

    async def _call(self, message: Message, lease: Lease) -> BaseException | None:
        """What the handler raised. SystemExit too: one message's library call must not end the worker."""
        with trio.CancelScope() as scope:
            lease.scope = scope
            try:
                return await self._timed(message)
            except (Exception, SystemExit) as error:
                return error
            finally:
                lease.scope = None
        return None

    async def _timed(self, message: Message) -> BaseException | None:
        timeout = self.consumer.options.timeout
        with trio.move_on_after(float("inf") if timeout is None else timeout) as scope:
            await self.call(message)
        return HandlerTimeout(f"the handler took more than {timeout} s") if scope.cancelled_caught else None

    async def _settle(self, message: Message, lease: Lease, error: BaseException | None) -> None:
        word = None if error is None else control_flow(error)
        if message.committed:
            await self._after_commit(message, error)
        elif error is None:
            await self._acknowledge(message)
            self.counts.handled += 1
        elif isinstance(word, Skip):
            await self._acknowledge(message)
            self.counts.skipped += 1
            log.info("message.skipped", **self._facts(message), reason=word.reason)
        elif isinstance(word, LeaseLost):
            self.counts.lost += 1
            log.info("message.superseded", **self._facts(message), reason=word.reason)
        elif isinstance(word, Reject):
            await self.bury(message, word.reason or "rejected")
        else:
            await self._failed(message, lease, error)

    async def _acknowledge(self, message: Message) -> None:
        """Until it is done: a message that was handled should not be handled again because the connection broke just
        then.
        """
        await ride_out(lambda: self.client.xack(message.stream, message.group, [message.id]), "acknowledgement")

    async def _failed(self, message: Message, lease: Lease, error: BaseException) -> None:
        self.counts.failed += 1
        word = control_flow(error)
        reason = word.reason or "retry" if isinstance(word, Retry) else describe(error)
        if message.deliveries >= self.consumer.options.max_deliveries:
            log.warning(
                "message.failed", **self._facts(message), reason=type(error).__name__, exc_info=_traceback(error)
            )
            await self.bury(message, reason)
            return
        after = word.after if isinstance(word, Retry) else None
        delay = self.consumer.options.backoff.delay(message.deliveries, message.id) if after is None else after
        log.warning(
            "message.failed",
            **self._facts(message),
            reason=type(error).__name__,
            retry_in=delay,
            exc_info=_traceback(error),
        )
        self.claimer.retry_at(lease, trio.current_time() + delay)

    async def bury(self, message: Message, reason: str) -> None:
        """Move to the dead letters, however often it takes. It bears repeating: it happens while the message is
        pending, so once.
        """
        try:
            await ride_out(
                lambda: dead_letters.bury(self.client, self.consumer.options.dead_stream, message, reason),
                "dead letter",
            )
        except LeaseLost as error:
            self.counts.lost += 1
            log.info("message.superseded", **self._facts(message), reason=error.reason)
        else:
            self.counts.dead_lettered += 1
            log.warning("message.dead_lettered", **self._facts(message), dead_letter=self.consumer.options.dead_stream)

    async def _after_commit(self, message: Message, error: BaseException | None) -> None:
        """The message is acknowledged: an error now can't bring it back. A refused effect leaves a dead letter to
        look at.
        """
        self.counts.handled += 1
        if error is None:
            return
        log.error("message.failed_after_commit", **self._facts(message), reason=type(error).__name__, exc_info=error)
        if any(isinstance(leaf, EffectsFailed) for leaf in leaves(error)):
            stream, reason = self.consumer.options.dead_stream, f"acknowledged, but {describe(error)}"
            await ride_out(lambda: dead_letters.file_copy(self.client, stream, message, reason), "dead letter")
            self.counts.dead_lettered += 1

    def _facts(self, message: Message) -> dict[str, object]:
        return {"stream": message.stream, "group": message.group, "id": message.id, "deliveries": message.deliveries}


def chain(middleware: Sequence[Middleware], call: CallNext) -> CallNext:
    """The first surrounds all others."""
    for one in reversed(middleware):
        if type(one).around is not Middleware.around:
            call = partial(one.around, call_next=call)
    return call


def describe(error: BaseException) -> str:
    """For people: type and text of what was raised, of each member of a group."""
    return "; ".join(f"{type(leaf).__name__}: {leaf}" if str(leaf) else type(leaf).__name__ for leaf in leaves(error))


def _traceback(error: BaseException) -> BaseException | None:
    """A traceback is for what wasn't meant: not for Retry, a timeout, or a server that went away."""
    meant = control_flow(error) is not None or isinstance(error, HandlerTimeout | LostConnection)
    return None if meant else error
