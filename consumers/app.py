"""The application object: which handlers there are, and where messages are sent from. Running is for
`consumers.runner`.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import attrs
import trio
from coredis import Redis

from consumers import headers
from consumers.backends import Publication, Published, Publisher, is_native
from consumers.backends.choice import backend
from consumers.backends.publishing import ServerPublisher
from consumers.codecs import fields_of
from consumers.connection import open_client, ride_out
from consumers.dependencies import Factory, Lifetimes
from consumers.durations import Duration, milliseconds
from consumers.errors import ConfigurationError
from consumers.headers import NORMAL, Moment, Value
from consumers.invoke import invoker
from consumers.middleware import Middleware
from consumers.options import Consumer, Options
from consumers.processing.flow import Flow, Untyped, source
from consumers.results import ResultWriter

if TYPE_CHECKING:
    from consumers.blocking import Caller
    from consumers.cron import Cron
    from consumers.queues import Queue
    from consumers.tasks import Register, Task
    from consumers.testing import Rehearsal

DEFAULT_URL = "redis://127.0.0.1:6379"
DEDUPE_WINDOW = "1h"

H = TypeVar("H", bound=Callable[..., Any])


class Service(Protocol):
    """What runs in a worker beside its consumers: a scheduler, a pipeline. Added by `app.services.append`."""

    async def run(self, app: "App", worker: str, *, task_status: trio.TaskStatus[None]) -> None:
        """Until drained, or cancelled. `worker` is this worker's unique name; `app.client` is connected."""

    def drain(self, deadline: float) -> None:
        """Come to an end, at the latest at `deadline` (Trio's clock)."""


@attrs.frozen
class Connection:
    client: Redis[bytes]
    publisher: Publisher
    native: bool  # the server is a Millstream
    results: ResultWriter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "results", ResultWriter(self.client))


class App:
    """A set of consumers, run by `millstream worker module:app`.

    app = App()

    @app.consumer("orders", group="billing", concurrency=4)
    async def bill(message: Message) -> None: ...
    """

    def __init__(self, url: str = DEFAULT_URL, *, plain: bool = False) -> None:
        """plain: use a Millstream server as if it were a Redis."""
        self.url = url
        self.plain = plain
        self.consumers: list[Consumer] = []
        self.middleware: list[Middleware] = []
        self.services: list[Service] = []
        self.lifetimes = Lifetimes()
        self.queues: dict[str, Queue] = {}
        self._timetables: Cron | None = None
        self.clock: Callable[[], float] = time.time  # Unix time; a test may set it
        self._connection: Connection | None = None

    # -- consuming

    def consumer(self, stream: str, *, group: str, **options: Any) -> Callable[[H], H]:
        """Register a handler for `stream` as a member of `group`; the options are those of `consumers.Options`.

        Raises ConfigurationError: an unknown or senseless option, a handler whose parameters can't be filled, the same
        stream and group twice.
        """
        try:
            checked = Options(stream=stream, group=group, **options)
        except TypeError as error:
            raise ConfigurationError(f"consumer of {stream!r}, group {group!r}: {error}") from None

        def register(handler: H) -> H:
            self.add(Consumer(checked, handler, invoker(handler, checked)))
            return handler

        return register

    def add(self, consumer: Consumer) -> None:
        options = consumer.options
        if any((one.options.stream, one.options.group) == (options.stream, options.group) for one in self.consumers):
            raise ConfigurationError(f"two consumers for stream {options.stream!r} and group {options.group!r}")
        self.consumers.append(consumer)

    # -- tasks

    def task(self, queue: str, *, name: str | None = None, **options: Any) -> "Register":
        """Make a task of a function: a member of the queue that is sent with `await function.send(...)`.

        The options are those of `consumers.tasks.TaskOptions`. Raises ConfigurationError: an unknown or senseless
        option, parameters that can't be filled, a second task of that name in the queue.
        """
        from consumers.tasks import declare

        return declare(self, queue, name, options)

    def queue(self, name: str, **options: Any) -> None:
        """Options of the consumer behind a queue, those of `consumers.Options`: `concurrency=20`."""
        from consumers.queues import Queue

        if name in self.queues:
            self.queues[name].declare(options)
        else:
            self.queues[name] = Queue(self, name, options)

    def cron(
        self, expression: str, *, tz: str = "UTC", name: str | None = None, queue: str = "cron", **options: Any
    ) -> "Callable[[Any], Task[..., Any]]":
        """Do it by the calendar, each due time once across all workers: five fields, or six that begin with seconds.

        Decorates a function, which becomes a task of `queue` with these options (of `App.task`), or a task.
        """
        from consumers.cron import timed

        return timed(self, name, queue, options, cron=expression, tz=tz)

    def every(
        self, interval: Duration, *, name: str | None = None, queue: str = "cron", **options: Any
    ) -> "Callable[[Any], Task[..., Any]]":
        """Do it at intervals, once across all workers. Decorates as `cron` does."""
        from consumers.cron import timed

        return timed(self, name, queue, options, every_ms=milliseconds(interval))

    def use(self, *middleware: Middleware) -> None:
        """The first that was added is the outermost."""
        self.middleware += middleware

    @property
    def timetables(self) -> "Cron":
        """What is done by the clock."""
        from consumers.cron import Cron

        if self._timetables is None:
            self._timetables = Cron()
        return self._timetables

    # -- processing

    def stream(self, name: str, type: Any = Untyped, **options: Any) -> Flow:
        """The beginning of a pipeline: the entries of a stream as values of `type`, dicts of text where nothing else is
        said.

        time: of an event: an attribute or field by name, or a function, that gives a datetime or Unix time in seconds;
        without it the time in the entry's id. watermark: by how much events may be out of order. idle: after this time
        without an entry, with all read, the watermark goes on with the server's clock. start: "0" everything that is
        there, "$" what comes from now on.
        """
        try:
            return source(self, name, type, **options)
        except TypeError as error:
            raise ConfigurationError(f"stream {name!r}: {error}") from None

    @asynccontextmanager
    async def test(self, *, overrides: Mapping[Factory, Factory] | None = None) -> "AsyncIterator[Rehearsal]":
        """The app at work on a broker inside this process, with a clock that jumps: consumers/testing.py.

        overrides: {what a handler depends on: what stands in for it}.
        """
        from consumers.testing import rehearse

        async with rehearse(self, overrides) as rehearsal:
            yield rehearsal

    # -- sending

    def blocking(self, url: str | None = None) -> "AbstractContextManager[Caller]":
        """For programs that aren't async: `with app.blocking() as call: call(send_mail.send, "ann")`."""
        from consumers.blocking import blocking

        return blocking(self, url)

    @asynccontextmanager
    async def connect(
        self, url: str | None = None, *, patience: trio.CancelScope | None = None, **options: Any
    ) -> AsyncIterator[Connection]:
        """Have `publish` and `client` work inside the block. In a worker they do; within another `connect` this is
        that one. An app is connected to one server at a time.

        patience: wait for a server that isn't there yet, until this is cancelled: the caller has to look.
        """
        if self._connection is not None:
            yield self._connection
            return
        async with open_client(url or self.url, **options) as client:
            self._connection = await self._connected(client, patience)
            try:
                yield self._connection
            finally:
                self._connection = None

    async def _connected(self, client: Redis[bytes], patience: trio.CancelScope | None) -> Connection:
        native = False
        if patience is None:
            native = await is_native(client)
        else:
            with patience:
                native = await ride_out(lambda: is_native(client), "greeting")
        native = native and not self.plain
        return Connection(client, ServerPublisher(client, native), native)

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            raise ConfigurationError("the app isn't connected: `async with app.connect():` around this")
        return self._connection

    @property
    def client(self) -> Redis[bytes]:
        return self.connection.client

    async def publish(self, stream: str, fields: object, **options: Any) -> Published:
        """Add a message: a dict of fields, or a typed value (consumers/codecs.py). Options: those of `prepare`."""
        (published,) = await self.publish_many([self.prepare(stream, fields, **options)])
        return published

    async def publish_many(self, publications: Iterable[Publication]) -> list[Published]:
        """Add what `prepare` made, in one round trip, in order."""
        prepared = list(publications)
        for one in self.middleware:
            prepared = [await one.before_publish(each) for each in prepared]
        published = await self.connection.publisher.publish(prepared)
        for one in self.middleware:
            for publication, result in zip(prepared, published, strict=True):
                await one.on_published(publication, result)
        return published

    async def pause(self, stream: str, group: str) -> None:
        """Give the group's consumers nothing more, until `resume`; what they have, they finish. A plain server has no
        say in it: there, each worker looks once a second and after each read.
        """
        await self._set_paused(stream, group, True)

    async def resume(self, stream: str, group: str) -> None:
        await self._set_paused(stream, group, False)

    async def _set_paused(self, stream: str, group: str, paused: bool) -> None:
        known = [one.options for one in self.consumers if (one.options.stream, one.options.group) == (stream, group)]
        options = known[0] if known else Options(stream=stream, group=group)
        for each in options.streams:
            chosen = backend(self.client, self.connection.native, options, each, "")
            await chosen.ensure()
            await chosen.pause(paused)

    async def cancel(self, stream: str, ticket: str, *, priority: str = NORMAL) -> bool:
        """Forget a delayed message, by the id that `publish` gave. False where it isn't there any more."""
        return await self.connection.publisher.cancel(headers.stream_of(stream, priority), ticket)

    def prepare(
        self,
        stream: str,
        fields: object,
        *,
        key: Value | None = None,
        dedupe: str | None = None,
        window: Duration = DEDUPE_WINDOW,
        delay: Duration | None = None,
        at: Moment | None = None,
        ticket: str | None = None,
        expires: Duration | None = None,
        priority: str = NORMAL,
    ) -> Publication:
        """A message to be published.

        key: messages with the same one are handled one after another by consumers with `key="@key"`.
        dedupe: a name; another message of the stream with that name within `window` is not added.
        delay, at: when it is to be added. ticket: names a delayed message; it replaces one of that name.
        expires: how long it is worth being handled, counted from when it is added.
        priority: one of the consumer's `priorities`.
        """
        complete = headers.encoded(fields) if isinstance(fields, Mapping) else fields_of(fields)
        if key is not None:
            complete[headers.KEY] = headers.encoded({"": key})[b""]
        if expires is not None:
            complete[headers.TTL] = str(milliseconds(expires)).encode()
        if dedupe is not None:
            complete[headers.DEDUPE] = dedupe.encode()
        return Publication(
            stream=headers.stream_of(stream, priority),
            fields=complete,
            delay_ms=0 if delay is None else milliseconds(delay),
            due_ms=None if at is None else headers.unix_ms(at),
            ticket=ticket,
            dedupe=dedupe,
            window_ms=milliseconds(window),
        )
