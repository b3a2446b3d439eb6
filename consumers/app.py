"""The application object: which handlers there are. Servers and tasks are for `consumers.runner`."""

import inspect
from collections.abc import Callable
from typing import Any

from consumers.errors import ConfigurationError
from consumers.options import Consumer, Handler, Options

DEFAULT_URL = "redis://127.0.0.1:6379"


class App:
    """A set of consumers, run by `millstream worker module:app`.

    app = App()

    @app.consumer("orders", group="billing", concurrency=4)
    async def bill(message: Message) -> None: ...
    """

    def __init__(self, url: str = DEFAULT_URL) -> None:
        self.url = url
        self.consumers: list[Consumer] = []

    def consumer(self, stream: str, *, group: str, **options: Any) -> Callable[[Handler], Handler]:
        """Register a handler for `stream` as a member of `group`; the options are those of `consumers.Options`.

        Raises ConfigurationError: an unknown or senseless option, a handler that isn't `async def`, the same stream
        and group twice.
        """
        try:
            checked = Options(stream=stream, group=group, **options)
        except TypeError as error:
            raise ConfigurationError(f"consumer of {stream!r}, group {group!r}: {error}") from None

        def register(handler: Handler) -> Handler:
            self._add(Consumer(checked, handler))
            return handler

        return register

    def _add(self, consumer: Consumer) -> None:
        options = consumer.options
        if not inspect.iscoroutinefunction(consumer.handler):
            raise ConfigurationError(f"{consumer.name} must be an async function: `async def {consumer.name}(message)`")
        if any((one.options.stream, one.options.group) == (options.stream, options.group) for one in self.consumers):
            raise ConfigurationError(f"two consumers for stream {options.stream!r} and group {options.group!r}")
        self.consumers.append(consumer)
