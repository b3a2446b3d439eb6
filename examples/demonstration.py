"""What the examples have in common: a broker, unless MILLSTREAM_URL names one, and a worker for the app."""

import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog
import trio

from broker import open_broker
from consumers import App, Worker


@asynccontextmanager
async def at_work(app: App) -> AsyncIterator[str]:
    """The app connected and a worker running, in this process; the address of the server."""
    async with AsyncExitStack() as stack:
        url = os.environ.get("MILLSTREAM_URL")
        if url is None:
            url = (await stack.enter_async_context(open_broker())).url
        await stack.enter_async_context(app.connect(url))
        worker = Worker(app, url=url, grace=5)
        async with trio.open_nursery() as nursery:
            await nursery.start(worker.run)
            yield url
            worker.drain()


async def beside(app: App, worker: list[str], asking: str, ours: Callable[[], Awaitable[None]]) -> None:
    """`ours` and another library on one broker. worker: arguments of Python; asking: a program that asks for work."""
    async with at_work(app) as url:
        theirs, asker = _start(url, *worker), _start(url, "-c", asking)
        try:
            await ours()
            await _wait_for(asker)
        finally:
            theirs.terminate()
            await _wait_for(theirs)


def _start(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], env=os.environ | {"MILLSTREAM_URL": url})


async def _wait_for(process: subprocess.Popen[bytes]) -> None:
    await trio.to_thread.run_sync(process.wait, 60)


def demonstrate(main: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Runs it, with no more than warnings on stderr, and those without tracebacks: what fails here is meant to."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, _without_traceback, structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    trio.run(main, *arguments)


def _without_traceback(logger: Any, name: str, event: Any) -> Any:
    event.pop("exc_info", None)
    return event
