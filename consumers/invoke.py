"""One call of a handler."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from consumers.message import Message

if TYPE_CHECKING:
    from consumers.options import Options
    from consumers.runner import Worker

Handler = Callable[..., Any]  # takes what its annotations say; a batch handler a list of it


class Invoker(Protocol):
    """How a handler is called: decodes, resolves dependencies, runs it where it said. Made when the app is imported:
    a handler that can't be called as it wants to be is refused then.
    """

    def open(self, worker: "Worker") -> AbstractAsyncContextManager[None]:
        """Surrounds the life of the worker."""

    async def __call__(self, message: Message) -> object:
        """What the handler returned; raises what it raised."""

    async def batch(self, messages: list[Message]) -> object:
        """One call of a handler of batches."""


class PlainInvoker:
    """Passes the message as it is."""

    def __init__(self, handler: Callable[[Any], Awaitable[object]]) -> None:
        self._handler = handler

    @asynccontextmanager
    async def open(self, worker: "Worker") -> AsyncIterator[None]:
        yield

    async def __call__(self, message: Message) -> object:
        return await self._handler(message)

    async def batch(self, messages: list[Message]) -> object:
        return await self._handler(messages)


def invoker(handler: Handler, options: "Options") -> Invoker:
    return PlainInvoker(handler)
