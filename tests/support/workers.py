"""Running workers inside a test, and waiting for what they do without sleeping."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
import trio
from coredis import Redis

from consumers import App, Message, Worker

AS_PLAIN = "millstream as plain"
LIMIT = 60.0  # seconds after which a test that waits has failed: far more than any needs, on a busy machine, too


class PlainUrl(str):
    """Of a Millstream that a worker is to use as if it were a Redis."""


@asynccontextmanager
async def working(app: App, url: str, **options: Any) -> AsyncIterator[Worker]:
    """A worker that reads; drained, and gone, when the block ends."""
    app.plain = isinstance(url, PlainUrl)
    worker = Worker(app, url=url, **options)
    with trio.fail_after(LIMIT):
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            yield worker
            worker.drain()


@asynccontextmanager
async def connected(app: App, url: str) -> AsyncIterator[App]:
    """Without a worker."""
    app.plain = isinstance(url, PlainUrl)
    async with app.connect(url):
        yield app


async def until(reached: Callable[[], Awaitable[bool]], limit: float = LIMIT) -> None:
    """For what a server tells nobody of."""
    with trio.fail_after(limit):
        while not await reached():  # noqa: ASYNC110 - there is no event to wait for
            await trio.sleep(0.01)


class Seen:
    """A record of deliveries that can be waited on."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._changed = trio.Event()

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()
        self._changed = trio.Event()

    @property
    def names(self) -> list[str]:
        """The field "n" of each message, in the order of delivery."""
        return [message.text("n") for message in self.messages]

    async def wait_for(self, done: Callable[["Seen"], bool]) -> None:
        while not done(self):
            await self._changed.wait()

    async def wait_count(self, count: int) -> None:
        await self.wait_for(lambda seen: len(seen.messages) >= count)


async def add(client: Redis[bytes], stream: str, *names: str) -> list[str]:
    """One entry per name, with the field "n"; their ids."""
    added = [await client.xadd(stream, {"n": name}) for name in names]
    return [one.decode() for one in added if one is not None]


async def next_entry(client: Redis[bytes], stream: str, after: str = "0") -> dict[str, str]:
    """Waits for an entry of `stream`."""
    found = await client.xread({stream: after}, count=1, block=int(LIMIT * 1000))
    assert found is not None, f"nothing came to {stream}"
    (entry,) = found[stream.encode()]
    return {key.decode(): value.decode() for key, value in entry.field_values.items()}


async def pending(client: Redis[bytes], stream: str, group: str) -> dict[str, tuple[str, int]]:
    """{id: (consumer, deliveries)}"""
    found: Any = await client.xpending(stream, group, "-", "+", 1000)
    return {one.identifier.decode(): (one.consumer.decode(), one.delivered) for one in found}


def log_plainly() -> None:
    """structlog's default prints the local variables of every frame of a traceback: seconds for each failed message."""
    structlog.configure(processors=[structlog.processors.KeyValueRenderer(sort_keys=True)])
