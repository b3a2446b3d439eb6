"""What became of tasks, kept on the server for those who wait.

The outcome of a task lies in the list `@result:<id>`, alone, until its time to live is over. Who waits reads it
with BLMOVE from the list onto itself: that takes nothing away, keeps the time to live, and wakes all who wait, without
polling. An outcome is JSON: the value, or what went wrong.

Failures are told by the dead letters: whatever brought a message there (its last attempt, Reject, poison, workers that
died of it), a consumer of the dead-letter stream (consumers/queues.py) writes the outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import msgspec
import trio
from coredis import Redis
from coredis.exceptions import RedisError
from coredis.typing import Key

from consumers import headers
from consumers.backends.scripts import Script, request
from consumers.codecs import from_json, to_json
from consumers.connection import ride_out
from consumers.durations import Duration, seconds
from consumers.errors import ConfigurationError, ConsumerError

if TYPE_CHECKING:
    from consumers.app import App

R = TypeVar("R")
_BATCH = 200  # outcomes in one request
_BLOCK = 5.0  # seconds of one blocking read; it is repeated


class TaskFailed(ConsumerError):
    """The task ended in the dead letters: why, and the traceback of its last attempt where there is one."""

    def __init__(self, task: str, reason: str, traceback: str = "") -> None:
        super().__init__(f"{task}: {reason}")
        self.task = task
        self.reason = reason
        self.traceback = traceback


class ResultTimeout(ConsumerError):
    """There was no result in time. The task may still end, or have ended longer ago than results are kept."""


class Outcome(msgspec.Struct):
    """As JSON: {"value": ...}, or {"reason": ..., "traceback": ..., "task": ...} where the task failed."""

    value: msgspec.Raw = msgspec.Raw()
    reason: str = ""
    traceback: str = ""
    task: str = ""

    @property
    def failed(self) -> bool:
        return not bytes(self.value)

    def encoded(self) -> bytes:
        if not self.failed:
            return b'{"value":%b}' % bytes(self.value)
        facts = {"reason": self.reason, "traceback": self.traceback, "task": self.task}
        return msgspec.json.encode(facts)


def result_key(id_: str) -> str:
    return f"@result:{id_}"


def success(value: Any) -> Outcome:
    """Raises TypeError for what can't be written as JSON."""
    try:
        return Outcome(value=msgspec.Raw(to_json(value)))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise TypeError(f"the result can't be written as JSON: {error}") from error


def queue_store(effects: Any, key: str, outcome: Outcome, keep_ms: int) -> None:
    """The commands that store it, for a pipeline: an outcome replaces the one before."""
    effects.delete([key])
    effects.rpush(key, [outcome.encoded()])
    effects.pexpire(key, keep_ms)


# KEYS: lists. ARGV: for each, milliseconds and outcome
_STORE = Script("""
for at, key in ipairs(KEYS) do
  redis.call('DEL', key)
  redis.call('RPUSH', key, ARGV[2 * at])
  redis.call('PEXPIRE', key, ARGV[2 * at - 1])
end
return #KEYS
""")


@attrs.define(eq=False)
class _Batch:
    """Outcomes that go to the server together."""

    keys: list[str] = attrs.field(factory=list)
    arguments: list[bytes | str | int] = attrs.field(factory=list)
    stored: bool = False
    refusal: RedisError | None = None


class ResultWriter:
    """Stores outcomes, those of one moment in one request: a request for each would cost more than most tasks.

    Whoever finds nobody writing writes for all; the others wait for their turn to look. So no task of its own is
    needed, and one that is cancelled while it writes leaves the batch to the next.
    """

    def __init__(self, client: Redis[bytes]) -> None:
        self._client = client
        self._waiting: deque[_Batch] = deque()  # the oldest first; the last one takes more
        self._turn = trio.Lock()

    async def store(self, key: str, outcome: Outcome, keep_ms: int) -> None:
        """Until it is done. Raises RedisError where the server refuses it."""
        if not self._waiting or len(self._waiting[-1].keys) >= _BATCH:
            self._waiting.append(_Batch())
        batch = self._waiting[-1]
        batch.keys.append(key)
        batch.arguments += [keep_ms, outcome.encoded()]
        async with self._turn:
            while not batch.stored:
                if batch.refusal is not None:
                    raise batch.refusal
                await self._write()

    async def _write(self) -> None:
        batch = self._waiting.popleft()
        try:
            await ride_out(lambda: _STORE.run(self._client, batch.keys, batch.arguments), "result")
        except RedisError as error:
            batch.refusal = error
        except BaseException:  # cancelled: the next one writes it
            self._waiting.appendleft(batch)
            raise
        else:
            batch.stored = True


@attrs.frozen
class Handle(Generic[R]):
    """A task that was sent: wait for its result, or take it back while it is still delayed."""

    id: str
    app: App = attrs.field(repr=False)
    task: str
    annotation: Any = attrs.field(repr=False, default=Any)  # of the result
    keeps: bool = attrs.field(repr=False, default=True)
    stream: str = attrs.field(repr=False, default="")  # where it was added, or will be

    async def result(self, timeout: Duration | None = None) -> R:  # noqa: ASYNC109 (a duration in words, too)
        """What the task returned. Raises TaskFailed, or ResultTimeout after `timeout`."""
        if not self.keeps:
            raise ConfigurationError(f"{self.task} keeps no results: @app.task(..., results='10m')")
        limit = float("inf") if timeout is None else seconds(timeout)
        with trio.move_on_after(limit):
            return self._read(await self._wait())
        raise ResultTimeout(f"no result of {self.task} ({self.id}) within {limit:g} s")

    async def ready(self) -> bool:
        """Whether there is a result, or a failure to tell of."""
        return bool(await self.app.client.exists([result_key(self.id)]))

    async def cancel(self) -> bool:
        """Take a delayed task back. False where its time has come already."""
        return await self.app.cancel(self.stream, self.id)

    async def _wait(self) -> bytes:
        key = Key(result_key(self.id))
        found = await ride_out(lambda: request(self.app.client, "LINDEX", key, 0), "result")
        while found is None:
            found = await ride_out(
                lambda: request(self.app.client, "BLMOVE", key, key, "LEFT", "LEFT", str(_BLOCK)), "result"
            )
        text: bytes = found
        return text

    def _read(self, text: bytes) -> R:
        outcome = msgspec.json.decode(text, type=Outcome)
        if outcome.failed:
            raise TaskFailed(outcome.task or self.task, outcome.reason, outcome.traceback)
        value: R = from_json(bytes(outcome.value), self.annotation)
        return value


def text_of(fields: Mapping[bytes, bytes], name: bytes) -> str:
    """A header as text, "" where it is missing."""
    return fields.get(name, b"").decode("utf-8", "replace")


def failure(fields: Mapping[bytes, bytes]) -> Outcome:
    """From a dead letter."""
    return Outcome(
        reason=text_of(fields, b"dead.reason") or "failed",
        traceback=text_of(fields, b"dead.traceback"),
        task=text_of(fields, headers.TASK),
    )
