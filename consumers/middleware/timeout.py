"""An attempt that takes too long is ended: for every consumer of the app, where their own `timeout` says nothing less.

A thread can't be stopped, and a process is killed (consumers/invoke.py).
"""

import trio

from consumers.durations import Duration, seconds
from consumers.errors import ConfigurationError, HandlerTimeout
from consumers.message import Message
from consumers.middleware.base import CallNext, Middleware


class Timeout(Middleware):
    def __init__(self, after: Duration) -> None:
        self.seconds = seconds(after)
        if not self.seconds:
            raise ConfigurationError("a time-out must be above 0")

    async def around(self, message: Message, call_next: CallNext) -> object:
        with trio.move_on_after(self.seconds):
            return await call_next(message)
        raise HandlerTimeout(f"the handler took more than {self.seconds:g} s")
