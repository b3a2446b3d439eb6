"""A whole server in the process of the test whose disk is in the test's hand, and clients that look at each byte."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import trio
from support.faulty_disk import FaultyDisk

from broker.config import load as load_config
from broker.persistence.aof import AppendOnlyLog
from broker.server.server import Server


class Client:
    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream

    async def send(self, *requests: bytes) -> None:
        await self.stream.send_all(b"".join(requests))

    async def expect(self, reply: bytes) -> None:
        """The next bytes are these."""
        got = b""
        with trio.fail_after(10):
            while len(got) < len(reply):
                data = await self.stream.receive_some(len(reply) - len(got))
                assert data, f"closed after {got!r}"
                got += data
        assert got == reply

    async def line(self) -> bytes:
        got = b""
        with trio.fail_after(10):
            while not got.endswith(b"\r\n"):
                data = await self.stream.receive_some(1)
                assert data, f"closed after {got!r}"
                got += data
        return got

    def has_nothing(self) -> bool:
        try:
            return self.stream.socket._sock.recv(1) == b"never"
        except BlockingIOError:
            return True


class Running:
    """A server in this process."""

    def __init__(self, server: Server, port: int) -> None:
        self.server = server
        self.port = port
        assert server.log is not None
        self.log: AppendOnlyLog = server.log
        self.disk = FaultyDisk()
        self.log.disk = self.disk
        self.log.retry_seconds = 0.01
        self._clients: list[Client] = []

    async def client(self) -> Client:
        self._clients.append(Client(await trio.open_tcp_stream("127.0.0.1", self.port)))
        return self._clients[-1]

    def close(self) -> None:
        for client in self._clients:
            client.stream.socket.close()

    async def executed(self, requests: int) -> None:
        """Wait until the server has executed so many in all."""
        await until(lambda: self.server.engine.executed >= requests)

    async def failing(self) -> None:
        await until(lambda: self.log.failing)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not condition():
            await trio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def running(folder: Path, policy: str, *options: str) -> AsyncIterator[Running]:
    config = load_config(None, ["--port", "0", "--dir", str(folder), "--save", "", "--appendfsync", policy, *options])
    server = Server(config)
    async with trio.open_nursery() as nursery:
        started = await nursery.start(server.run)
        run = Running(server, started.port)
        try:
            yield run
        finally:
            run.close()
            server.shutdown.ask(force=True)
