"""One message, or a batch of them, from a free handler to its end: acknowledged, to be delivered again, or a dead
letter.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs
import structlog
import trio
from coredis import Redis
from coredis.exceptions import ConnectionError as LostConnection
from coredis.exceptions import RedisError

from consumers import dead_letters, headers
from consumers.backends import Failure
from consumers.connection import ride_out
from consumers.errors import EffectsFailed, HandlerTimeout, LeaseLost, control_flow, leaves
from consumers.intake import Source
from consumers.leases import Lease, State
from consumers.message import Message
from consumers.middleware import CallBatch, CallNext, Middleware
from consumers.options import Consumer
from consumers.outcomes import BatchError, Reject, Retry, Skip
from consumers.transactions import transact

log = structlog.get_logger("consumers")

_OUTCOMES = "a batch handler returns None, or one outcome (None or an exception) for each message"


@attrs.define
class Counts:
    """What became of the messages."""

    handled: int = 0
    skipped: int = 0
    failed: int = 0
    dead_lettered: int = 0
    lost: int = 0
    expired: int = 0


@attrs.define(eq=False)
class Handling:
    """Runs the handler and settles the message. Never raises but Cancelled and KeyboardInterrupt."""

    client: Redis[bytes]
    consumer: Consumer
    worker: str
    middleware: Sequence[Middleware]
    clock: Callable[[], float]  # Unix time
    counts: Counts = attrs.field(factory=Counts)
    _call: CallNext = attrs.field(init=False)
    _call_batch: CallBatch = attrs.field(init=False)
    _hooked: bool = attrs.field(init=False)  # whether anybody wants to know of what is done

    def __attrs_post_init__(self) -> None:
        self._call = chain(self.middleware, self.consumer.invoke)
        self._call_batch = chain_batch(self.middleware, self.consumer.invoke.batch)
        self._hooked = any(type(one).on_done is not Middleware.on_done for one in self.middleware)

    # -- one message

    async def run(self, source: Source, lease: Lease) -> None:
        message = await self._begun(source, lease)
        if message is None:
            return
        started = trio.current_time()
        error = await self._caught(partial(self._one, message), lease)
        source.appetite.took(trio.current_time() - started)
        await self._concluded(source, lease, message, error)

    async def _one(self, message: Message) -> None:
        await self._call(message)

    async def _begun(self, source: Source, lease: Lease) -> Message | None:
        """None where there is nothing to handle any more."""
        if lease.lost:
            source.finish(lease)
            return None
        message = Message(
            lease.id,
            lease.fields,
            source.stream,
            self.consumer.options.group,
            self.worker,
            lease.deliveries,
            client=self.client,
            transact=transact,
            kept=self.consumer.options.keep,
        )
        if lease.abandoned:
            reason = f"abandoned after {lease.deliveries} deliveries: no worker lived to handle it"
            await self._guarded(source, lease, message, partial(self._bury, source, lease, message, reason))
            return None
        if lease.broken is not None:
            lease.state = State.RUNNING
            await self._concluded(source, lease, message, lease.broken)
            return None
        if headers.TTL in lease.fields and self._is_expired(lease):
            self.counts.expired += 1
            log.info("message.expired", **self._facts(message))
            await self.consumer.invoke.expired(message)
            source.done(lease)
            return None
        lease.state = State.RUNNING
        return message

    def _is_expired(self, lease: Lease) -> bool:
        ttl = lease.fields[headers.TTL]
        return ttl.isdigit() and int(lease.id.partition("-")[0]) + int(ttl) <= self.clock() * 1000

    async def _caught(self, call: Callable[[], Awaitable[None]], lease: Lease | None = None) -> BaseException | None:
        """What the handler raised. SystemExit too: one message's library call must not end the worker.

        lease: the handler is cancelled when it is lost. (A batch goes on for the sake of its other messages.)
        """
        timeout = self.consumer.options.timeout
        with trio.CancelScope() as scope:
            if timeout is not None:
                scope.deadline = trio.current_time() + timeout
            if lease is not None:
                lease.scope = scope
            try:
                await call()
            except (Exception, SystemExit) as error:
                return error
            finally:
                if lease is not None:
                    lease.scope = None
        if lease is not None and lease.lost:
            return None  # _concluded says it
        return HandlerTimeout(f"the handler took more than {timeout} s") if scope.cancelled_caught else None

    # -- a batch

    async def run_batch(self, found: Sequence[tuple[Source, Lease]]) -> None:
        batch = [(source, lease, message) for source, lease in found if (message := await self._begun(source, lease))]
        if not batch:
            return
        started = trio.current_time()
        outcomes: list[BaseException | None] = [None] * len(batch)

        async def call() -> None:
            returned = await self._call_batch([message for _, _, message in batch])
            outcomes[:] = _outcomes(returned, len(batch))

        error = await self._caught(call)
        if isinstance(error, BatchError):
            outcomes = [error.failures.get(message.id) for _, _, message in batch]
        elif error is not None and isinstance(control_flow(error), LeaseLost):
            outcomes = [Retry(reason="another message of the batch was taken over by another worker")] * len(batch)
        elif error is not None:
            outcomes = [error] * len(batch)
        took = (trio.current_time() - started) / len(batch)
        for (source, lease, message), outcome in zip(batch, outcomes, strict=True):
            source.appetite.took(took)
            await self._concluded(source, lease, message, outcome)

    # -- what becomes of it

    async def _concluded(self, source: Source, lease: Lease, message: Message, error: BaseException | None) -> None:
        if lease.lost and not message.committed:
            error = LeaseLost("taken over by another worker")
        if error is None and not message.committed:
            self.counts.handled += 1
            if self._hooked:
                for one in self.middleware:
                    await self._hook(one.on_done(message))
            source.done(lease)
            return
        await self._guarded(source, lease, message, partial(self._settle, source, lease, message, error))

    async def _guarded(
        self, source: Source, lease: Lease, message: Message, settle: Callable[[], Awaitable[None]]
    ) -> None:
        try:
            await settle()
        except RedisError as refusal:
            # The message stays pending: it comes back when its lease is over.
            log.error("message.not_settled", **self._facts(message), error=str(refusal))
        finally:
            if lease.state is State.RUNNING or lease.state is State.QUEUED:
                source.finish(lease)

    async def _settle(self, source: Source, lease: Lease, message: Message, error: BaseException | None) -> None:
        word = None if error is None else control_flow(error)
        if message.committed:
            await self._after_commit(message, error)
            self._clear_up(source, lease)
        elif isinstance(word, Skip):
            source.done(lease)
            self.counts.skipped += 1
            log.info("message.skipped", **self._facts(message), reason=word.reason)
        elif isinstance(word, LeaseLost):
            self.counts.lost += 1
            log.info("message.superseded", **self._facts(message), reason=word.reason)
        elif isinstance(word, Reject):
            await self._bury(source, lease, message, word.reason or "rejected", word)
        elif error is not None:
            await self._failed(source, lease, message, error)

    async def _failed(self, source: Source, lease: Lease, message: Message, error: BaseException) -> None:
        self.counts.failed += 1
        word = control_flow(error)
        reason = word.reason or "retry" if isinstance(word, Retry) else describe(error)
        facts = self._facts(message) | {"reason": type(error).__name__, "exc_info": _traceback(error)}
        options = self.consumer.options
        if message.deliveries >= options.max_deliveries:
            log.warning("message.failed", **facts)
            await self._bury(source, lease, message, reason, error)
            return
        after = word.after if isinstance(word, Retry) else None
        delay = options.backoff.delay(message.deliveries, message.id) if after is None else after
        log.warning("message.failed", **facts, retry_in=delay)
        for one in self.middleware:
            await self._hook(one.on_retry(message, error, delay))
        await source.retry(lease, delay, self._failure(reason))

    def _failure(self, reason: str) -> Failure:
        return Failure(int(time.time() * 1000), self.worker, reason[:200])

    async def _bury(
        self, source: Source, lease: Lease, message: Message, reason: str, error: BaseException | None = None
    ) -> None:
        """Move to the dead letters, however often it takes. It bears repeating: it happens while the message is
        pending, so once.
        """
        dead_stream = self.consumer.options.dead_stream
        broken = None if error is None else _traceback(error) or _traceback(error.__cause__)
        trace = "" if broken is None else dead_letters.trace_of(broken)

        async def bury() -> None:
            history = await source.backend.history(lease) if message.deliveries > 1 else []
            if error is not None:
                history.append(self._failure(reason))
            await dead_letters.bury(self.client, dead_stream, message, reason, history=history, trace=trace)

        try:
            await ride_out(bury, "dead letter")
        except LeaseLost as lost:
            self.counts.lost += 1
            log.info("message.superseded", **self._facts(message), reason=lost.reason)
            return
        self._clear_up(source, lease)
        self.counts.dead_lettered += 1
        log.warning("message.dead_lettered", **self._facts(message), dead_letter=dead_stream)
        for one in self.middleware:
            await self._hook(one.on_dead(message, reason))

    def _clear_up(self, source: Source, lease: Lease) -> None:
        """It is acknowledged; its history is to be forgotten, and the next of its key may go."""
        if lease.deliveries > 1 or source.backend.orders:
            source.done(lease)

    async def _after_commit(self, message: Message, error: BaseException | None) -> None:
        """The message is acknowledged: an error now can't bring it back. A refused effect leaves a dead letter to
        look at.
        """
        self.counts.handled += 1
        if error is None:
            for one in self.middleware:
                await self._hook(one.on_done(message))
            return
        log.error("message.failed_after_commit", **self._facts(message), reason=type(error).__name__, exc_info=error)
        if any(isinstance(leaf, EffectsFailed) for leaf in leaves(error)):
            stream, reason = self.consumer.options.dead_stream, f"acknowledged, but {describe(error)}"
            await ride_out(lambda: dead_letters.file_copy(self.client, stream, message, reason), "dead letter")
            self.counts.dead_lettered += 1

    async def _hook(self, call: Awaitable[None]) -> None:
        try:
            await call
        except Exception:
            log.exception("middleware.failed")

    def _facts(self, message: Message) -> dict[str, object]:
        return {"stream": message.stream, "group": message.group, "id": message.id, "deliveries": message.deliveries}


def chain(middleware: Sequence[Middleware], call: CallNext) -> CallNext:
    """The first surrounds all others."""
    for one in reversed(middleware):
        if type(one).around is not Middleware.around:
            call = partial(one.around, call_next=call)
    return call


def chain_batch(middleware: Sequence[Middleware], call: CallBatch) -> CallBatch:
    for one in reversed(middleware):
        if type(one).around_batch is not Middleware.around_batch:
            call = partial(one.around_batch, call_next=call)
    return call


def _outcomes(returned: object, count: int) -> list[BaseException | None]:
    if returned is None:
        return [None] * count
    if not isinstance(returned, list) or len(returned) != count:
        raise TypeError(f"{_OUTCOMES}, not {type(returned).__name__}")
    if not all(each is None or isinstance(each, BaseException) for each in returned):
        raise TypeError(_OUTCOMES)
    return returned


def describe(error: BaseException) -> str:
    """For people: type and text of what was raised, of each member of a group."""
    return "; ".join(f"{type(leaf).__name__}: {leaf}" if str(leaf) else type(leaf).__name__ for leaf in leaves(error))


def _traceback(error: BaseException | None) -> BaseException | None:
    """A traceback is for what wasn't meant: not for Retry, a timeout, or a server that went away."""
    if error is None:
        return None
    meant = control_flow(error) is not None or isinstance(error, HandlerTimeout | LostConnection)
    return None if meant else error
