"""Sending from programs that don't run on Trio: `with app.blocking() as call: call(send_mail.send, "ann")`.

A thread runs Trio with the app connected (anyio's portal); `call` has it await something and waits for the end.
Any thread of the program may use it, so a web server opens it once, when it starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from anyio.from_thread import BlockingPortal, start_blocking_portal

from consumers.errors import ConfigurationError

if TYPE_CHECKING:
    from consumers.app import App

T = TypeVar("T")


@attrs.frozen
class Caller:
    portal: BlockingPortal

    def __call__(self, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """What `await function(*args, **kwargs)` gives; raises what it raises."""
        return self.portal.call(partial(function, *args, **kwargs))


@contextmanager
def blocking(app: App, url: str | None) -> Iterator[Caller]:
    """What stands behind `App.blocking`."""
    if app.is_connected:
        raise ConfigurationError("the app is connected in this process already: await its methods where it runs")
    with start_blocking_portal("trio") as portal, portal.wrap_async_context_manager(app.connect(url)):
        yield Caller(portal)
