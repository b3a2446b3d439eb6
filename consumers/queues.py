"""A queue in a worker: one consumer for all its tasks, which finds the task of a message, calls it, and tells those who
wait what became of it. And a consumer of its dead letters: whatever brought a task there, somebody may wait for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
import trio

from consumers import headers
from consumers.canvas import fail, follow
from consumers.errors import ConfigurationError, ConsumerError, HandlerTimeout, LeaseLost, control_flow
from consumers.handling import describe
from consumers.invoke import Call, HandlerInvoker
from consumers.message import Message
from consumers.options import Consumer, Options
from consumers.outcomes import Reject, Retry, Skip
from consumers.results import Outcome, failure, success, text_of

if TYPE_CHECKING:
    from consumers.app import App
    from consumers.runner import Worker
    from consumers.tasks import Task

log = structlog.get_logger("consumers")

GROUP = "tasks"
_MOURNERS = "results"  # the group of those who tell of failures
_CONCURRENCY = 8
_PRIORITIES = ("high", "normal", "low")  # of a queue that has any, and doesn't say which


class UnknownTask(ConsumerError):
    """The message names a task that this worker doesn't have: it may be that of a newer program."""


class Queue:
    """The tasks of one stream, and the consumer that calls them. Implements consumers.invoke.Invoker."""

    def __init__(self, app: App, name: str, options: Mapping[str, Any]) -> None:
        self.app = app
        self.name = name
        self.tasks: dict[str, Task[..., Any]] = {}
        self._given = dict(options)
        self._consumer: Consumer | None = None
        self.priorities: tuple[str, ...] = (headers.NORMAL,)

    def declare(self, options: Mapping[str, Any]) -> None:
        """Options that the app gives after the first task was registered."""
        if self._given:
            raise ConfigurationError(f"queue {self.name!r} has its options already")
        self._given = dict(options)
        self._register()

    def add(self, task: Task[..., Any]) -> None:
        if task.name in self.tasks:
            raise ConfigurationError(f"two tasks {task.name!r} in queue {self.name!r}")
        self.tasks[task.name] = task
        self._register()

    def _register(self) -> None:
        """(Again) with options for all tasks that there are."""
        if not self.tasks:
            return
        consumer = Consumer(self._options(), self.run, self)
        if self._consumer is not None:
            self.app.consumers.remove(self._consumer)
        self.app.add(consumer)
        self._consumer = consumer
        dead = consumer.options.dead_stream
        if all(one.options.stream != dead or one.options.group != _MOURNERS for one in self.app.consumers):
            options = Options(stream=dead, group=_MOURNERS, dead_letter=f"{dead}.lost")
            self.app.add(Consumer(options, self.mourn, _Mourner(self.mourn)))

    def _options(self) -> Options:
        attempts = 1 + max(one.settings.retries for one in self.tasks.values())
        defaults: dict[str, Any] = {"concurrency": _CONCURRENCY, "max_deliveries": attempts, "keep": False}
        if any(one.settings.key is not None for one in self.tasks.values()):
            defaults["key"] = headers.KEY.decode()
        if any(one.settings.priority != headers.NORMAL for one in self.tasks.values()):
            defaults["priorities"] = _PRIORITIES
        try:
            options = Options(stream=self.name, group=GROUP, **(defaults | self._given))
        except TypeError as error:
            raise ConfigurationError(f"queue {self.name!r}: {error}") from None
        self.priorities = options.priorities or (headers.NORMAL,)
        for one in self.tasks.values():
            self.check(one.settings.priority)
        return options

    def check(self, priority: str) -> None:
        """ConfigurationError for one that no worker would ever look at."""
        if priority not in self.priorities:
            named = ", ".join(map(repr, self.priorities))
            raise ConfigurationError(f"queue {self.name!r} has no priority {priority!r}, only {named}")

    @asynccontextmanager
    async def open(self, worker: Worker, options: Options) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for task in self.tasks.values():
                await stack.enter_async_context(task.invoke.open(worker, options))
            yield

    async def batch(self, messages: list[Message]) -> object:
        raise ConfigurationError(f"queue {self.name!r}: tasks don't come in batches")

    async def __call__(self, message: Message) -> object:
        return await self.run(message)

    async def run(self, message: Message) -> object:
        name = text_of(message.fields, headers.TASK)
        task = self.tasks.get(name)
        if task is None:
            raise UnknownTask(f"there is no task {name!r} of queue {self.name!r} in this worker")
        try:
            value = await self._timed(task, message)
        except (Exception, SystemExit) as error:
            word = await self._verdict(task, message, error)
            raise word from error
        await self._finish(task, message, value)
        return value

    async def _timed(self, task: Task[..., Any], message: Message) -> object:
        if task.timeout is None:
            return await task.invoke(message)
        with trio.move_on_after(task.timeout):
            return await task.invoke(message)
        raise HandlerTimeout(f"{task.name} took more than {task.timeout:g} s")

    async def _verdict(self, task: Task[..., Any], message: Message, error: BaseException) -> BaseException:
        """What to tell the consumer, by the options of the task."""
        word = control_flow(error)
        if isinstance(word, Skip):
            await self._tell(message, Outcome(reason=f"skipped: {word.reason}", task=task.name))
        if isinstance(word, Skip | Reject | LeaseLost):
            return word
        reason = word.reason or "retry" if isinstance(word, Retry) else describe(error)
        if word is None:
            facts = {"task": task.name, "id": message.id, "deliveries": message.deliveries}
            log.warning("task.failed", **facts, error=type(error).__name__, exc_info=error)
        if message.deliveries > task.settings.retries:
            return Reject(reason)
        after = word.after if isinstance(word, Retry) else None
        if after is None:
            after = task.settings.backoff.delay(message.deliveries, message.id)
        return Retry(after, reason)

    async def _finish(self, task: Task[..., Any], message: Message, value: object) -> None:
        if not {headers.KEEP, headers.NEXT, headers.GROUP} & message.fields.keys():
            return
        try:
            outcome = success(value)
        except TypeError as error:
            raise Reject(str(error)) from error
        await follow(self.app, message, outcome)

    async def expired(self, message: Message) -> None:
        await self._tell(message, Outcome(reason="expired", task=text_of(message.fields, headers.TASK)))

    async def mourn(self, letter: Message) -> None:
        """Tell those who wait for a task that it is dead."""
        await self._tell(letter, failure(letter.fields))

    async def _tell(self, message: Message, outcome: Outcome) -> None:
        await fail(self.app, message, outcome)


class _Mourner(HandlerInvoker):
    def __init__(self, mourn: Callable[[Message], Coroutine[Any, Any, None]]) -> None:
        super().__init__(mourn, Call(("letter",), (), lambda message: {}, {}), "async")
