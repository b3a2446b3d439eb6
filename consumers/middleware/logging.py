"""structlog with the message as context: every line that a handler logs says which message it was about.

What is bound: `stream`, `group`, `message_id`, `deliveries`, and `task` and `task_id` for tasks; never payloads. A line
`message.handled` with the seconds that it took comes at the level that is asked for.
"""

import structlog
import trio
from structlog.contextvars import bound_contextvars

from consumers import headers
from consumers.message import Message
from consumers.middleware.base import CallBatch, CallNext, Middleware

log = structlog.get_logger("consumers")


class Logging(Middleware):
    """The processor `structlog.contextvars.merge_contextvars` has to be among those of the program; `millstream
    worker` has it.
    """

    def __init__(self, *, level: str | None = "debug") -> None:
        """level: of the line for each handled message; None for no such line."""
        self.level = level

    async def around(self, message: Message, call_next: CallNext) -> object:
        with bound_contextvars(**context(message)):
            started = trio.current_time()
            result = await call_next(message)
            if self.level is not None:
                getattr(log, self.level)("message.handled", seconds=round(trio.current_time() - started, 6))
            return result

    async def around_batch(self, messages: list[Message], call_next: CallBatch) -> object:
        """What is bound: `stream`, `group`, `messages` (how many), `first_id`, `last_id`."""
        first, last = messages[0], messages[-1]
        facts = {"stream": first.stream, "group": first.group, "messages": len(messages)}
        with bound_contextvars(**facts, first_id=first.id, last_id=last.id):
            started = trio.current_time()
            result = await call_next(messages)
            if self.level is not None:
                getattr(log, self.level)("batch.handled", seconds=round(trio.current_time() - started, 6))
            return result


def context(message: Message) -> dict[str, object]:
    found: dict[str, object] = {
        "stream": message.stream,
        "group": message.group,
        "message_id": message.id,
        "deliveries": message.deliveries,
    }
    for name, field in (("task", headers.TASK), ("task_id", headers.ID)):
        if field in message.fields:
            found[name] = message.fields[field].decode("utf-8", "replace")
    return found
