"""What a supervisor and Prometheus ask over HTTP: /metrics, /healthz (the process is up), /readyz (it can serve).

Hypercorn speaks the protocol, the application is ours: three paths, no framework. It reads no bodies, keeps no state.
Other paths are those of the inspector's page (broker/console), where there is one.
"""

import ipaddress
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

import structlog
import trio
from hypercorn.config import Config
from hypercorn.logging import Logger
from hypercorn.trio import serve
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope
from prometheus_client import CollectorRegistry

from broker.observability.metrics import Statistics, registry_of, render

log = structlog.get_logger()

_PLAIN: Final = "text/plain; charset=utf-8"
_KEEP_ALIVE: Final = 75.0  # seconds; above the scrape intervals that are usual, so that a connection is used again
_READ_TIMEOUT: Final = 90.0  # seconds; a peer that says nothing does not hold a connection for ever


class State(Protocol):
    """What the server tells about itself."""

    @property
    def statistics(self) -> Statistics: ...

    def unready(self) -> str | None:
        """Why no request should be sent here now, in a few words (`loading the log`), or None."""
        ...


class Pages(Protocol):
    """What else there is to be had."""

    def has(self, path: str) -> bool: ...

    async def __call__(self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None: ...

    async def run(self) -> None:
        """What goes on in the background, until cancelled."""


class Reply:
    def __init__(self, status: int, body: bytes, content_type: str = _PLAIN, allow: bool = False) -> None:
        self.status = status
        self.body = body
        self.headers = [
            (b"content-type", content_type.encode("ascii")),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        if allow:
            self.headers.append((b"allow", b"GET, HEAD"))


Paths = dict[str, Callable[[str], Reply]]  # {path: what it replies to an Accept header}


def paths_of(metrics: Callable[[str], tuple[bytes, str]], unready: Callable[[], str | None]) -> Paths:
    """The three paths. metrics: (body, content type) for an Accept header; unready: as State.unready."""

    def metrics_page(accept: str) -> Reply:
        body, content_type = metrics(accept)
        return Reply(200, body, content_type)

    def readiness(accept: str) -> Reply:
        why = unready()
        return Reply(200, b"ready\n") if why is None else Reply(503, f"{why}\n".encode())

    return {"/metrics": metrics_page, "/healthz": lambda _: Reply(200, b"ok\n"), "/readyz": readiness}


class _Application:
    """The ASGI application."""

    def __init__(self, paths: Paths, pages: Pages | None) -> None:
        self._paths = paths
        self._pages = pages

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http" and self._pages is not None and self._pages.has(scope["path"]):
            await self._pages(scope, receive, send)
        elif scope["type"] == "http":
            accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
            reply = self.answer(scope["method"], scope["path"], accept.decode("latin-1"))
            await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
            body = b"" if scope["method"] == "HEAD" else reply.body
            await send({"type": "http.response.body", "body": body, "more_body": False})

    def answer(self, method: str, path: str, accept: str) -> Reply:
        found = self._paths.get(path)
        if found is None:
            return Reply(404, b"not found: there are /metrics, /healthz and /readyz\n")
        if method not in ("GET", "HEAD"):
            return Reply(405, b"only GET and HEAD\n", allow=True)
        return found(accept)


async def _live(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Start and end need nothing of us, but hypercorn asks."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


class _QuietLogger(Logger):
    """Hypercorn's troubles in our log; its good news nowhere."""

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.exception("http.failed", message=message % args if args else message)

    async def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.error("http.failed", message=message % args if args else message)

    async def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.warning("http.warning", message=message % args if args else message)


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket. Ours and not hypercorn's, so that an address in use is a plain OSError. Raises it."""
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


async def serve_http(
    host: str,
    port: int,
    state: State,
    pages: Pages | None = None,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve what a server tells of itself: see serve_paths."""
    registry: CollectorRegistry = registry_of(state.statistics)
    paths = paths_of(lambda accept: render(registry, accept), state.unready)
    await serve_paths(host, port, paths, pages, task_status=task_status)


async def serve_paths(
    host: str,
    port: int,
    paths: Paths,
    pages: Pages | None = None,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. host: an address; port: 0 picks a free one; `started` gets the port. pages: what there is
    beside the paths.

    Raises OSError when the address can't be had, ValueError for a host that is no address.
    """
    bound = _listen(host, port)
    actual: int = bound.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{bound.detach()}"]
    config.logger_class = _QuietLogger
    config.errorlog = None
    config.include_server_header = False
    config.keep_alive_timeout = _KEEP_ALIVE
    config.read_timeout = int(_READ_TIMEOUT)
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, _Application(paths, pages), config, mode="asgi"))
        if pages is not None:
            nursery.start_soon(pages.run)
        log.info("http.listening", host=host, port=actual)
        task_status.started(actual)
