"""The hooks of a middleware. Each does nothing here: override those that you need.

The first that was added with `app.use` is the outermost. An exception from `around` is the handler's; one from any
other hook is logged, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from consumers.message import Message

if TYPE_CHECKING:
    from consumers.backends import Publication, Published
    from consumers.runner import Worker

CallNext = Callable[[Message], Awaitable[object]]
CallBatch = Callable[[list[Message]], Awaitable[object]]


class Middleware:
    async def around(self, message: Message, call_next: CallNext) -> object:
        """Surrounds the handler: `return await call_next(message)`. What it raises decides about the message."""
        return await call_next(message)

    async def around_batch(self, messages: list[Message], call_next: CallBatch) -> object:
        """The same for a handler of batches. It gives None or a list of outcomes, one for each message, or raises:
        BatchError, with what became of each, or what is true of all.
        """
        return await call_next(messages)

    async def on_worker_start(self, worker: Worker) -> None:
        """Before the first message is read. `worker.app.client` is connected."""

    async def on_worker_stop(self, worker: Worker) -> None:
        """After the last message is settled, while the client is still connected."""

    async def before_publish(self, publication: Publication) -> Publication:
        """The message that will be added: this one, or another (with a header more, say)."""
        return publication

    async def on_published(self, publication: Publication, published: Published) -> None:
        """A message was added, or is scheduled."""

    async def on_done(self, message: Message) -> None:
        """It was handled; its acknowledgement is on the way."""

    async def on_retry(self, message: Message, error: BaseException, after: float) -> None:
        """An attempt failed; the next one comes in `after` seconds."""

    async def on_dead(self, message: Message, reason: str) -> None:
        """The message was moved to the dead letters."""
