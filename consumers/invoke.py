"""One call of a handler: what its parameters get, and where it runs.

A handler's parameters are filled by their annotations:

    Message (or none at all)     the message as it is
    Annotated[T, Depends(f)]     a dependency (consumers/dependencies.py)
    any other type               the payload, decoded and validated (consumers/codecs.py); at most one

In a handler of batches the message and the payload are lists. `run` says where: `async def` on Trio's own thread;
anything else in a thread ("thread"), or, for what computes, in a process of its own ("process").

A thread can't be stopped: when its time is over the message goes its way and the thread goes on, but keeps its place
among the `concurrency` that there are. A process is killed. Processes are anyio's: kept for the next call, killed at
the end; the handler is found there by its name, so it has to stand in a module.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import signal
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, get_origin

import anyio.to_process
import attrs
import trio

from consumers.codecs import Poison, codec_of
from consumers.dependencies import Dependency, Parameter, Plan, Scope, long_lived, name_of, parameters_of, plan
from consumers.errors import ConfigurationError, ConsumerError
from consumers.message import Message
from consumers.outcomes import BatchError

if TYPE_CHECKING:
    from consumers.options import Options
    from consumers.runner import Worker

Handler = Callable[..., Any]  # takes what its annotations say; a batch handler a list of it
Run = Literal["async", "thread", "process"]
Decode = Callable[[Message], dict[str, Any]]  # {parameter: value}; raises Poison


class Invoker(Protocol):
    """How a handler is called: decodes, resolves dependencies, runs it where it said. Made when the app is imported:
    a handler that can't be called as it wants to be is refused then.
    """

    def open(self, worker: Worker, options: Options) -> AbstractAsyncContextManager[None]:
        """Surrounds the life of the worker. options: as the worker has them, which may say more than the app did."""

    async def __call__(self, message: Message) -> object:
        """What the handler returned; raises what it raised."""

    async def batch(self, messages: list[Message]) -> object:
        """One call of a handler of batches."""

    async def expired(self, message: Message) -> None:
        """The message won't be handled: its time was over before it was its turn."""


class RemoteError(ConsumerError):
    """An exception in a worker process that can't be brought over: its type, text and traceback as text."""


def nothing(message: Message) -> dict[str, Any]:
    """Of a handler that asks for no payload."""
    return {}


@attrs.frozen
class Call:
    """What the parameters of a handler get: names of parameters, and where their values come from."""

    message: tuple[str, ...]
    payload: tuple[str, ...]
    decode: Decode  # of the payload
    dependencies: dict[str, Dependency]

    def values(self, message: Message) -> dict[str, Any]:
        """All but the dependencies. Raises Poison."""
        found = self.decode(message)
        for name in self.message:
            found[name] = message
        return found


def invoker(handler: Handler, options: Options) -> Invoker:
    """Raises ConfigurationError."""
    batch = options.batch is not None
    return HandlerInvoker(handler, call_of(handler, batch=batch), checked_run(handler, options.run))


def checked_run(handler: Handler, run: str | None) -> Run:
    """Where the handler runs, "thread" for a plain function that doesn't say."""
    name = name_of(handler)
    if inspect.iscoroutinefunction(handler):
        if run not in (None, "async"):
            raise ConfigurationError(f"{name} is async: it can't run in a {run}")
        return "async"
    if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler) or not callable(handler):
        raise ConfigurationError(f"{name} must be a function that returns, not one that yields")
    match run:
        case None | "thread":
            return "thread"
        case "process":
            if "<" in name or getattr(handler, "__module__", None) is None:
                raise ConfigurationError(f"{name} must be a function of a module, to be found in another process")
            return "process"
    raise ConfigurationError(f"{name}: run is 'thread' or 'process' (or 'async', for `async def`), not {run!r}")


def call_of(handler: Handler, *, batch: bool = False) -> Call:
    """Reads the signature of a handler that gets the message, or one payload. Raises ConfigurationError."""
    messages: list[str] = []
    payload: dict[str, Any] = {}
    dependencies: dict[str, Dependency] = {}
    for one in parameters_of(handler):
        annotation = _element(handler, one) if batch and one.depends is None else one.annotation
        if one.depends is not None:
            dependencies[one.name], wanted = one.depends, plan(one.depends)
            if batch and _one_message(wanted):
                raise ConfigurationError(f"{name_of(handler)} gets batches: {wanted.name} can't be given one message")
        elif annotation in (Message, inspect.Parameter.empty, Any):
            messages.append(one.name)
        else:
            payload[fillable(handler, one)] = annotation
    if not messages and not payload:
        raise ConfigurationError(f"{name_of(handler)} has no parameter for the message")
    if len(payload) > 1:
        both = " and ".join(repr(name) for name in payload)
        raise ConfigurationError(f"{name_of(handler)}: {both} would get the payload; annotate with Depends(...)")
    decode = _decoder(*next(iter(payload.items()))) if payload else nothing
    return Call(tuple(messages), tuple(payload), decode, dependencies)


def fillable(handler: Handler, one: Parameter) -> str:
    """Its name, unless it takes any number of arguments."""
    if one.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise ConfigurationError(f"{name_of(handler)}: *{one.name} can't be filled")
    if one.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise ConfigurationError(f"{name_of(handler)}: {one.name!r} is positional only; it is filled by its name")
    return one.name


def _decoder(name: str, annotation: Any) -> Decode:
    decode = codec_of(annotation).decode
    return lambda message: {name: decode(message.fields)}


def _element(handler: Handler, one: Parameter) -> Any:
    """Of the list that a handler of batches gets."""
    if one.annotation in (inspect.Parameter.empty, Any, list):
        return Message
    if get_origin(one.annotation) is list:
        return get_args(one.annotation)[0]
    raise ConfigurationError(f"{name_of(handler)} gets batches: {one.name!r} must be a list of something")


def _one_message(wanted: Plan) -> bool:
    """Whether it, or what it needs, is made for one message."""
    return bool(wanted.message) or any(_one_message(one) for one in wanted.needs.values())


@attrs.frozen(eq=False)
class _Opened:
    """What belongs to one running worker."""

    scope: Scope
    dependencies: dict[str, Plan]
    threads: trio.CapacityLimiter
    processes: anyio.CapacityLimiter


class HandlerInvoker:
    """The Invoker of every handler. `_opened` is by the name of the worker: an app may have several in a process."""

    def __init__(self, handler: Handler, call: Call, run: Run) -> None:
        if run == "process" and call.dependencies:
            raise ConfigurationError(f"{name_of(handler)} runs in a process, where its dependencies can't follow")
        self.handler = handler
        self.call = call
        self.run: Run = run
        self._opened: dict[str, _Opened] = {}

    @asynccontextmanager
    async def open(self, worker: Worker, options: Options) -> AsyncIterator[None]:
        lifetimes, places = worker.app.lifetimes, options.concurrency
        plans = {name: plan(one, lifetimes.overrides) for name, one in self.call.dependencies.items()}
        async with lifetimes.worker(worker.name) as scope:
            for one in long_lived(plans):
                await scope.get(one)
            limiters = trio.CapacityLimiter(places), anyio.CapacityLimiter(places)
            self._opened[worker.name] = _Opened(scope, plans, *limiters)
            try:
                yield
            finally:
                del self._opened[worker.name]

    async def __call__(self, message: Message) -> object:
        return await self._with_dependencies(self.call.values(message), message)

    async def expired(self, message: Message) -> None:
        """A consumer of events has nobody to tell."""

    async def batch(self, messages: list[Message]) -> object:
        """Messages that can't be decoded fail alone: the handler gets the others."""
        good: list[Message] = []
        bad: dict[str, BaseException] = {}
        payloads: dict[str, list[Any]] = {name: [] for name in self.call.payload}
        for message in messages:
            try:
                values = self.call.decode(message)
            except Poison as error:
                bad[message.id] = error
                continue
            good.append(message)
            for name, value in values.items():
                payloads[name].append(value)
        if not bad:
            return await self._batch(good, payloads)
        try:
            result = await self._batch(good, payloads) if good else None
        except BatchError as error:
            raise BatchError({**error.failures, **bad}) from error
        except Exception as error:
            raise BatchError({**{message.id: error for message in good}, **bad}) from error
        if isinstance(result, list):
            outcomes = iter(result)
            return [bad.get(message.id) or next(outcomes) for message in messages]
        raise BatchError(bad)

    async def _batch(self, messages: list[Message], payloads: Mapping[str, list[Any]]) -> object:
        values: dict[str, Any] = dict(payloads) | dict.fromkeys(self.call.message, messages)
        return await self._with_dependencies(values, messages[0])

    async def _with_dependencies(self, values: dict[str, Any], message: Message) -> object:
        if not self.call.dependencies:
            return await self._run(values, message)
        state = self._state(message)
        async with Scope("message", state.scope) as scope:
            for name, one in state.dependencies.items():
                values[name] = await scope.get(one, message)
            return await self._run(values, message)

    async def _run(self, values: dict[str, Any], message: Message) -> object:
        if self.run == "async":
            return await self.handler(**values)
        if self.run == "thread":
            call = _Bound(self.handler, values)
            return await trio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._state(message).threads)
        return await in_process(self.handler, values, self._state(message).processes)

    def _state(self, message: Message) -> _Opened:
        try:
            return self._opened[message.consumer]
        except KeyError:
            raise ConsumerError(f"{name_of(self.handler)} is called outside a running worker") from None


@attrs.frozen
class _Bound:
    """A call with all its arguments; its name is that of the handler, which names the thread."""

    function: Handler
    values: dict[str, Any]

    def __call__(self) -> object:
        return self.function(**self.values)

    @property
    def __name__(self) -> str:
        return name_of(self.function)


# ---------------------------------------------------------------- processes


async def in_process(function: Handler, values: dict[str, Any], limiter: anyio.CapacityLimiter) -> object:
    """Runs the function, found by its name, in a process; cancelled, it is killed. Raises what it raised."""
    plain = {name: _detached(value) for name, value in values.items()}
    ok, result, trace = await anyio.to_process.run_sync(
        _call_by_name, function.__module__, function.__qualname__, plain, cancellable=True, limiter=limiter
    )
    if ok:
        return result
    assert isinstance(result, BaseException)
    result.add_note(f"In the worker process:\n{trace}")
    raise result


def _detached(value: Any) -> Any:
    """Messages without what ties them to this process: the client, the transaction."""
    if isinstance(value, list):
        return [_detached(one) for one in value]
    return value.detached() if isinstance(value, Message) else value


def _call_by_name(module: str, name: str, values: dict[str, Any]) -> tuple[bool, object, str]:
    """In the other process. An exception is a result: not every one can be pickled."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which drains
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    function = getattr(found, "__consumers_function__", found)  # a task stands where its function stood
    try:
        return True, function(**values), ""
    except BaseException as error:
        trace = "".join(traceback.format_exception(error))
        return False, _portable(error), trace


def _portable(error: BaseException) -> BaseException:
    """The exception without its traceback, or what is left of one that doesn't survive pickling."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception as refusal:
        return RemoteError(f"{type(error).__name__}: {error} ({type(refusal).__name__} in process {os.getpid()})")
    return error
