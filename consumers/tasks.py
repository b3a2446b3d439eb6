"""A task queue: functions that are called elsewhere, later, and again when they fail.

`@app.task(queue="mail")` makes a `Task` of a function. Sending it adds a message to the stream `mail`: the task's name
in `@task`, its id in `@id`, the arguments as fields or JSON by the rule of consumers/codecs.py. The tasks of a queue
share one consumer group ("tasks"), and so the concurrency and the leases; retries, time-out and back-off are each
task's own.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast, get_type_hints, overload

import attrs
import msgspec

from consumers import headers
from consumers.backends import Publication
from consumers.backoff import Backoff
from consumers.canvas import Chain
from consumers.codecs import Codec, Poison, codec_of, from_json, twin_struct
from consumers.dependencies import Dependency, name_of, parameters_of, plan
from consumers.durations import Duration, milliseconds, optional_seconds
from consumers.errors import ConfigurationError
from consumers.invoke import Call, HandlerInvoker, checked_run, fillable
from consumers.message import Message
from consumers.queues import Queue
from consumers.results import Handle

if TYPE_CHECKING:
    from consumers.app import App

P = ParamSpec("P")
R = TypeVar("R")
N = TypeVar("N")

_KEPT = "10m"
_RETRIES = 3
_RESERVED = {"delay", "at"}  # what `schedule` takes itself
_AT_ONCE = 500  # messages in one round trip of send_many


@attrs.frozen(kw_only=True)
class TaskOptions:
    """What `App.task` takes beside the queue."""

    name: str
    retries: int = _RETRIES  # attempts after the first
    backoff: Backoff = attrs.field(factory=Backoff)
    timeout: Duration | None = None  # of one attempt
    run: str | None = None  # "thread" or "process", as of a consumer
    priority: str = headers.NORMAL
    expires: Duration | None = None
    key: str | None = None  # the parameter by whose value tasks are handled one after another
    results: Duration | None = None  # for how long the result is kept; None: it isn't

    def __attrs_post_init__(self) -> None:
        if self.retries < 0:
            raise ConfigurationError(f"task {self.name!r}: retries can't be negative")


@attrs.frozen
class Arguments:
    """The parameters of a task that its sender fills, as a type of their own."""

    twin: type[msgspec.Struct]
    codec: Codec[Any]
    names: tuple[str, ...]
    signature: inspect.Signature

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """TypeError for arguments that the function doesn't take. Some may be missing still."""
        return dict(self.signature.bind_partial(*args, **kwargs).arguments)

    def missing(self, values: Mapping[str, Any]) -> list[str]:
        """What has to be there, and isn't."""
        required = [one.name for one in self.signature.parameters.values() if one.default is one.empty]
        return [name for name in required if name not in values]

    def fields(self, values: Mapping[str, Any]) -> dict[bytes, bytes]:
        """As they go into the message; checked there and then: TypeError for what no worker could decode."""
        if not self.names:
            return {}
        if missing := self.missing(values):
            raise TypeError(f"missing a required argument: {missing[0]!r}")
        fields = self.codec.encode(self.twin(**values))
        try:
            self.codec.decode(fields)
        except Poison as error:
            raise TypeError(error.reason) from None
        return fields

    def decode(self, message: Message) -> dict[str, Any]:
        """Raises Poison."""
        found = message.fields.get(headers.ARGUMENTS)
        if found is not None:
            try:
                value = from_json(found, self.twin)
            except (msgspec.DecodeError, ValueError, TypeError) as error:
                raise Poison("@args", str(error)) from None
        elif self.names:
            value = self.codec.decode(message.fields)
        else:
            return {}
        return {name: getattr(value, name) for name in self.names}


def arguments_of(function: Callable[..., Any]) -> tuple[Arguments, Call]:
    """Reads the signature of a task. Raises ConfigurationError."""
    messages: list[str] = []
    filled: dict[str, Any] = {}
    dependencies: dict[str, Dependency] = {}
    defaults: dict[str, Any] = {}
    for one in parameters_of(function):
        if one.depends is not None:
            dependencies[one.name] = one.depends
            plan(one.depends)
        elif one.annotation is Message:
            messages.append(one.name)
        else:
            if one.name in _RESERVED:
                raise ConfigurationError(
                    f"{name_of(function)}: {one.name!r} is a word of `schedule`; name it otherwise"
                )
            filled[fillable(function, one)] = Any if one.annotation is inspect.Parameter.empty else one.annotation
            if one.default is not inspect.Parameter.empty:
                defaults[one.name] = one.default
    twin = twin_struct(getattr(function, "__name__", "task"), filled, defaults)
    signature = inspect.Signature(
        [one for one in inspect.signature(function).parameters.values() if one.name in filled]
    )
    found = Arguments(twin, codec_of(twin), tuple(filled), signature)
    return found, Call(tuple(messages), found.names, found.decode, dependencies)


@attrs.frozen
class TaskCall(Generic[R]):
    """A task with arguments: what `Task.call` makes, to be sent or put into a group or chain."""

    task: Task[Any, R]
    values: dict[str, Any]

    async def send(self, **options: Any) -> Handle[R]:
        """Options: those of `App.prepare`."""
        (handle,) = await self.task.send_calls([self], options)
        return handle

    def then(self, call: TaskCall[N]) -> Chain[N]:
        """A chain: the result of this is the first open argument of `call`."""
        return Chain(self, (call,))


@attrs.frozen
class Sender(Generic[P, R]):
    """A task, and how it is sent: `send_mail.options(priority="high").send("ann")`."""

    task: Task[P, R]
    options: Mapping[str, Any]

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        return await self.task.call(*args, **kwargs).send(**self.options)

    async def send_many(self, calls: Iterable[Any]) -> list[Handle[R]]:
        """Many in one round trip: each is a tuple of arguments, a dict of them, or a single argument."""
        return await self.task.send_calls([self.task.call_with(one) for one in calls], self.options)

    async def schedule(
        self, *args: Any, delay: Duration | None = None, at: headers.Moment | None = None, **kwargs: Any
    ) -> Handle[R]:
        """To be done after `delay`, or at a time. The handle can cancel it until then."""
        if (delay is None) == (at is None):
            raise ConfigurationError("schedule needs either delay=... or at=...")
        call: TaskCall[R] = TaskCall(self.task, self.task.arguments.bind(args, kwargs))
        return await call.send(**self.options, delay=delay, at=at)


class Task(Generic[P, R]):
    """What `@app.task` makes of a function. Called, it is that function still."""

    def __init__(self, app: App, queue: Queue, function: Callable[P, Any], options: TaskOptions) -> None:
        self.app = app
        self.queue = queue
        self.name = options.name
        self.settings = options
        self.__consumers_function__ = function  # where a process that is to run it finds it
        self.__doc__ = function.__doc__
        self.__name__ = getattr(function, "__name__", options.name)
        self.__module__ = function.__module__
        self.__qualname__ = getattr(function, "__qualname__", options.name)
        self.arguments, call = arguments_of(function)
        if options.key is not None and options.key not in self.arguments.names:
            raise ConfigurationError(f"task {self.name!r}: key={options.key!r} is no parameter that a sender fills")
        self.returns = get_type_hints(function).get("return", Any)
        self.invoke = HandlerInvoker(function, call, checked_run(function, options.run))
        self.timeout = optional_seconds(options.timeout)
        self.expires = optional_seconds(options.expires)
        self.keep_ms = None if options.results is None else milliseconds(options.results)
        self._sender: Sender[P, R] = Sender(self, {})

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """The function itself, here and now: for tests, and for tasks that use each other."""
        return self.__consumers_function__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name} of queue {self.queue.name}>"

    # -- sending

    def call(self, *args: Any, **kwargs: Any) -> TaskCall[R]:
        """The call, not sent yet; arguments may be left open for the result of the task before it, in a chain.
        TypeError for arguments that the function doesn't take.
        """
        return TaskCall(self, self.arguments.bind(args, kwargs))

    def call_with(self, one: Any) -> TaskCall[R]:
        if isinstance(one, TaskCall):
            return one
        if isinstance(one, dict):
            return TaskCall(self, self.arguments.bind((), one))
        return TaskCall(self, self.arguments.bind(one if isinstance(one, tuple) else (one,), {}))

    def options(self, **options: Any) -> Sender[P, R]:
        """How to send: `priority`, `key`, `dedupe`, `window`, `expires` of `App.prepare`."""
        return Sender(self, options)

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> Handle[R]:
        """Add it to the queue. TypeError for arguments that no worker could use."""
        return await self._sender.send(*args, **kwargs)

    async def send_many(self, calls: Iterable[Any]) -> list[Handle[R]]:
        return await self._sender.send_many(calls)

    async def schedule(
        self, *args: Any, delay: Duration | None = None, at: headers.Moment | None = None, **kwargs: Any
    ) -> Handle[R]:
        return await self._sender.schedule(*args, delay=delay, at=at, **kwargs)

    async def send_calls(self, calls: list[TaskCall[R]], options: Mapping[str, Any]) -> list[Handle[R]]:
        handles: list[Handle[R]] = []
        for begin in range(0, len(calls), _AT_ONCE):
            ids = [new_id() for _ in calls[begin : begin + _AT_ONCE]]
            some = [self.prepare(one.values, id_, options) for one, id_ in zip(calls[begin:], ids, strict=False)]
            published = await self.app.publish_many(some)
            for id_, publication, result in zip(ids, some, published, strict=True):
                handles.append(self.handle(result.id if result.duplicate else id_, publication.stream))
        return handles

    def prepare(self, values: Mapping[str, Any], id_: str, options: Mapping[str, Any]) -> Publication:
        """The message of a call."""
        settings = self.settings
        defaults: dict[str, Any] = {"priority": settings.priority, "expires": self.expires, "ticket": id_}
        if settings.key is not None:
            bound = {**self._defaults, **values}
            defaults["key"] = str(bound[settings.key])
        fields = {headers.TASK: self.name.encode(), headers.ID: id_.encode(), **self.arguments.fields(values)}
        if self.keep_ms is not None:
            fields[headers.KEEP] = str(self.keep_ms).encode()
        chosen = defaults | dict(options)
        self.queue.check(chosen["priority"])
        return self.app.prepare(self.queue.name, fields, **chosen)

    @property
    def _defaults(self) -> dict[str, Any]:
        parameters = self.arguments.signature.parameters.values()
        return {one.name: one.default for one in parameters if one.default is not one.empty}

    def handle(self, id_: str, stream: str = "") -> Handle[R]:
        """Of a task that was sent earlier, perhaps by another program."""
        return Handle(id_, self.app, self.name, self.returns, self.keep_ms is not None, stream or self.queue.name)


def new_id() -> str:
    return uuid.uuid4().hex


# ---------------------------------------------------------------- declaring


class Register(Protocol):
    """The decorator: of an async function, or of a plain one."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Task[P, R]: ...


def declare(app: App, queue: str, name: str | None, options: Mapping[str, Any]) -> Register:
    """What stands behind `App.task`."""

    def register(function: Callable[..., Any]) -> Task[..., Any]:
        try:
            checked = TaskOptions(name=name or function.__name__, **_with_results(function, options))
        except TypeError as error:
            raise ConfigurationError(f"task {name_of(function)}: {error}") from None
        found = app.queues.setdefault(queue, Queue(app, queue, {}))
        task: Task[..., Any] = Task(app, found, function, checked)
        found.add(task)
        return task

    return cast(Register, register)


def _with_results(function: Callable[..., Any], options: Mapping[str, Any]) -> Mapping[str, Any]:
    """What returns something is kept for a while, unless the task says otherwise."""
    returns = get_type_hints(function).get("return", Any)
    return {"results": None if returns is type(None) else _KEPT, **options}
