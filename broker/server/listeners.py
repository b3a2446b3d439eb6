"""Sockets that listen: TCP addresses and a Unix socket; each accepted connection goes to the hub."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from broker.config import Config

log = structlog.get_logger()
# The process or the system is out of descriptors or buffers: what is open goes on, a new connection waits.
_OUT_OF_RESOURCES: Final = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
_GIVEN_UP: Final = frozenset([errno.ECONNABORTED, errno.EPROTO, errno.EPERM])  # by the peer, before accept()

Accepted = Callable[[socket.socket, bytes, bytes], None]  # socket, address, local address


class ListenError(Exception):
    """An address can't be listened on."""


def open_tcp(config: Config) -> tuple[list[trio.SocketListener], int]:
    """Listen on every address of `bind`. The listeners, and the port (a free one when `port` is 0).

    An address with a leading `-` may be missing on this machine. Raises ListenError, and then none is open.
    """
    port = config.integer("port")
    listeners: list[trio.SocketListener] = []
    for address in config.addresses():
        host = address.removeprefix("-")
        try:
            listener = _open_tcp(host, port, config.integer("tcp-backlog"))
        except OSError as error:
            if address.startswith("-") and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EADDRINUSE):
                continue
            for opened in listeners:
                opened.socket.close()
            raise ListenError(f"Could not listen on {host}:{port}: {error.strerror or error}") from None
        listeners.append(listener)
        port = port or int(listener.socket.getsockname()[1])
    return listeners, port


def _open_tcp(host: str, port: int, backlog: int) -> trio.SocketListener:
    host = {"*": "0.0.0.0", "::*": "::"}.get(host, host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


class Doors:
    """The sockets that listen, each with a task of its own. `port` and `bind` may change while they are open."""

    def __init__(self, config: Config, accepted: Accepted) -> None:
        self.port = 0
        self._config = config
        self._accepted = accepted
        self._tcp: list[trio.SocketListener] = []
        self._unix: trio.SocketListener | None = None
        self._nursery: trio.Nursery | None = None  # while connections are accepted

    async def open(self) -> None:
        """Raises ListenError."""
        if self._config.integer("port") or not self._config.text("unixsocket"):  # `port 0` beside one means: no TCP
            self._tcp, self.port = open_tcp(self._config)
        self._unix = await open_unix(self._config)

    def all(self) -> list[trio.SocketListener]:
        return [*self._tcp, *([self._unix] if self._unix else [])]

    def start(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        for listener in self.all():
            nursery.start_soon(self._accept, listener)

    async def _accept(self, listener: trio.SocketListener) -> None:
        try:
            await accept_forever(listener, self._accepted, self._config.integer("tcp-keepalive"))
        except trio.ClosedResourceError:
            return  # move() has closed it

    def move(self) -> None:
        """`port` or `bind` is another: listen there. Raises ListenError, and listens where it did before.

        The old sockets are closed first, as one address may cover another.
        """
        if self._nursery is None:
            raise ListenError("The server does not listen yet")
        old = [listener.socket.getsockname()[:2] for listener in self._tcp]
        self._close_tcp()
        opened: list[trio.SocketListener] = []
        port = 0
        try:
            if self._config.integer("port"):
                opened, port = open_tcp(self._config)
        except ListenError:
            opened = [_open_tcp(host, number, self._config.integer("tcp-backlog")) for host, number in old]
            raise
        else:
            self.port = port
        finally:
            self._tcp = opened
            for listener in opened:
                self._nursery.start_soon(self._accept, listener)

    def _close_tcp(self) -> None:
        for listener in self._tcp:
            listener.socket.close()
        self._tcp = []

    def close(self) -> None:
        self._close_tcp()
        if self._unix is not None:
            self._unix.socket.close()
            self._unix = None


async def open_unix(config: Config) -> trio.SocketListener | None:
    """Listen on `unixsocket`, if it is set. Raises ListenError."""
    path = config.text("unixsocket")
    if not path:
        return None
    _remove_stale(Path(path))
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.bind(path)
        permissions = config.integer("unixsocketperm")
        if permissions:
            os.chmod(path, permissions)
        sock.listen(config.integer("tcp-backlog"))
    except OSError as error:
        sock.close()
        raise ListenError(f"Could not listen on {path}: {error.strerror or error}") from None
    return trio.SocketListener(sock)


def _remove_stale(path: Path) -> None:
    """A socket that a server left behind; anything else at that place is not ours to remove."""
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()


async def accept_forever(listener: trio.SocketListener, accepted: Accepted, keepalive: int) -> None:
    """Hand each connection over. keepalive: seconds, 0 is off."""
    while True:
        await trio.lowlevel.wait_readable(listener.socket.fileno())
        try:
            accept_waiting(listener, accepted, keepalive)
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            log.error("listener.out_of_resources", error=str(error))
            await trio.sleep(0.1)


def accept_waiting(listener: trio.SocketListener, accepted: Accepted, keepalive: int) -> None:
    """Hand over whoever is waiting. In one piece: between accept() and the handing over nothing else runs, so that a
    connection is known to the hub when a script begins that takes its time. Raises OSError: no descriptor is left."""
    with socket.socket(fileno=os.dup(listener.socket.fileno())) as waiting:
        waiting.setblocking(False)
        while True:
            try:
                plain, address = waiting.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _GIVEN_UP:
                    continue
                raise
            plain.setblocking(False)
            accepted(plain, *_names(plain, address, keepalive))


def _names(sock: socket.socket, address: object, keepalive: int) -> tuple[bytes, bytes]:
    """(address, local address) as CLIENT LIST shows them."""
    if sock.family == socket.AF_UNIX:
        path = sock.getsockname()
        shown = os.fsencode(path) + b":0"
        return shown, shown
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, keepalive // 3))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    assert isinstance(address, tuple)
    return _shown(address), _shown(sock.getsockname())


def _shown(address: tuple[str, int]) -> bytes:
    host, port = address[0], address[1]
    return f"[{host}]:{port}".encode() if ":" in host else f"{host}:{port}".encode()
