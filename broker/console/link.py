"""A connection to the server in the same process: one end of a pair of sockets is the server's, like any client's.

Replies have the shapes of RESP2. One question at a time; whoever asks meanwhile waits.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import Final, TypeVar

import hiredis
import trio

from broker.inspection.gathering import Gathering, Reply, Request
from broker.protocol.encoder import encode_request

T = TypeVar("T")
Attach = Callable[[socket.socket], None]  # hands the server its end, set to non-blocking

_PART: Final = 65_536
_PATIENCE: Final = 30.0  # seconds for all replies of a batch


class LinkLost(Exception):
    """The server has closed the connection, or did not answer: it ends, or somebody killed this client."""


class Link:
    def __init__(self, attach: Attach) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        attach(theirs)
        self._socket = trio.socket.from_stdlib_socket(ours)
        self._reader = hiredis.Reader(replyError=ErrorReply, protocolError=LinkLost)
        self._turn = trio.Lock()
        self.is_open = True

    async def call_many(self, requests: list[Request]) -> list[Reply]:
        """All in one go; an error reply stands in its place. Raises LinkLost."""
        async with self._turn:
            if not self.is_open:
                raise LinkLost("the connection is closed")
            try:
                with trio.fail_after(_PATIENCE):
                    return await self._exchange(b"".join(map(encoded, requests)), len(requests))
            except BaseException as error:
                self.close()  # half a reply may still come: nobody could tell whose it is
                if isinstance(error, trio.TooSlowError):
                    raise LinkLost(f"no answer for {_PATIENCE:.0f} s") from None
                raise

    async def _exchange(self, data: bytes, count: int) -> list[Reply]:
        found: list[Reply] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, data)  # beside the reading: replies may fill the buffers first
            await self._read_into(found, count)
            nursery.cancel_scope.cancel()
        if len(found) < count:
            raise LinkLost("closed by the server")
        return found

    async def _read_into(self, found: list[Reply], count: int) -> None:
        """Until there are so many, or the server has closed the connection."""
        while len(found) < count:
            reply = self._reader.gets()
            if reply is not False:
                found.append(reply)
                continue
            try:
                part = await self._socket.recv(_PART)
            except OSError:
                return
            if not part:
                return
            self._reader.feed(part)

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        with contextlib.suppress(OSError):  # who reads sees that it is closed
            while view:
                view = view[await self._socket.send(view) :]

    async def gather(self, gathering: Gathering[T]) -> T:
        """Run one to its end. Raises LinkLost, and error replies that the gathering can't do without."""
        try:
            batch = next(gathering)
            while True:
                batch = gathering.send(await self.call_many(batch) if batch else [])
        except StopIteration as end:
            found: T = end.value
            return found

    def close(self) -> None:
        self.is_open = False
        self._socket.close()


class ErrorReply(Exception):
    """What the server refused, in its words."""


def encoded(request: Request) -> bytes:
    out: list[bytes] = []
    encode_request([word if isinstance(word, bytes) else str(word).encode() for word in request], out)
    return b"".join(out)
