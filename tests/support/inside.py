"""A whole server in the process of the test, and a client that waits as a task does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from broker.config import load
from broker.persistence.aof import Disk
from broker.server.server import Server


class Client:
    """Requests to a server of this process, through a socket."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""

    async def __call__(self, *words: object) -> bytes:
        """The reply as it stands on the wire, without the last line end: of one line, or a bulk string's contents."""
        await self._stream.send_all(b" ".join(b'"%b"' % str(word).encode() for word in words) + b"\r\n")
        line = await self.line()
        if not line.startswith(b"$") or line == b"$-1":
            return line
        while len(self._data) < int(line[1:]) + 2:
            self._data += await self._stream.receive_some()
        bulk, self._data = self._data[: int(line[1:])], self._data[int(line[1:]) + 2 :]
        return bulk

    async def line(self) -> bytes:
        while b"\r\n" not in self._data:
            got = await self._stream.receive_some()
            assert got, "the server closed the connection"
            self._data += got
        line, _, self._data = self._data.partition(b"\r\n")
        return line

    async def info(self) -> dict[str, str]:
        text = (await self("INFO", "persistence")).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    async def info_when(self, field: str, value: str) -> dict[str, str]:
        """Ask until it is so: a client is told of it in no other way."""
        while True:
            info = await self.info()
            if info[field] == value:
                return info
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def serving(folder: Path, *options: str, disk: Disk | None = None) -> AsyncIterator[tuple[Server, Client]]:
    """A server of this process with a client. disk: what it writes RDB files and its log with."""
    defaults = ["--port", "0", "--dir", str(folder), "--appendonly", "no", "--save", ""]
    server = Server(load(None, [*defaults, *options]), disk=disk)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            started = await nursery.start(server.run)
            async with await trio.open_tcp_stream("127.0.0.1", started.port) as stream:
                yield server, Client(stream)
            server.shutdown.ask(force=True)
