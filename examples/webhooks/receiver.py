"""Somebody who subscribed: answers 503 to the first post at each path of /busy, 410 at /gone, and keeps the rest."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.got: list[tuple[str, str]] = []  # (path, body) of what was accepted, in order
        self.refused: set[tuple[str, str]] = set()
        self.complete = threading.Event()
        self.expected = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, path: str, body: str) -> int:
        if path == "/gone":
            return 410
        if path == "/busy" and (path, body) not in self.refused:
            self.refused.add((path, body))
            return 503
        self.got.append((path, body))
        print(f"{path} got {body}", flush=True)
        if len(self.got) == self.expected:
            self.complete.set()
        return 204


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(self.server.take(self.path, body))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what it accepts is printed."""


@contextmanager
def receiving(expected: int) -> Iterator[Receiver]:
    """In a thread; `complete` is set when so many posts were accepted."""
    with Receiver() as server:
        server.expected = expected
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    Receiver(int(sys.argv[1])).serve_forever()
