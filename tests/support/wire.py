"""A client that shows the wire: requests as arguments or raw bytes, replies as raw bytes or plain values."""

import socket
from typing import Any, BinaryIO


class Error(str):
    """An error reply."""


class Status(str):
    """A simple string."""


class Push(list[Any]):
    """A RESP3 push."""


class Reader:
    """Replies out of a file of bytes, in RESP2 or RESP3."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self) -> Any:
        """One reply. EOFError when the server closed the connection."""
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return Status(rest.decode())
        if kind == b"-":
            return Error(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"(":
            return rest
        if kind == b"#":
            return rest == b"t"
        if kind == b"_":
            return None
        return self._read_sized(kind, int(rest))

    def _read_sized(self, kind: bytes, size: int) -> Any:
        if size < 0:
            return None
        if kind in b"$=":
            data = self._file.read(size + 2)[:-2]
            return data[4:] if kind == b"=" else data
        if kind == b"%":
            return {_hashable(self.read()): self.read() for _ in range(size)}
        items = [self.read() for _ in range(size)]
        return Push(items) if kind == b">" else items


class Wire:
    """One connection to a port of this machine."""

    def __init__(self, port: int, timeout: float = 10) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file: BinaryIO = self.socket.makefile("rb")
        self.read = Reader(self._file).read

    def send(self, *argv: str | bytes | int | float) -> None:
        self.socket.sendall(encode(*argv))

    def send_raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def __call__(self, *argv: str | bytes | int | float) -> Any:
        """Send one request, read one reply."""
        self.send(*argv)
        return self.read()

    def read_raw(self, size: int) -> bytes:
        return self._file.read(size)

    def read_to_end(self) -> bytes:
        """Everything until the server closes the connection."""
        return self._file.read()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def encode(*argv: str | bytes | int | float) -> bytes:
    """A request in the form of RESP."""
    out = [b"*%d\r\n" % len(argv)]
    for argument in argv:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        out.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(out)
