"""Real servers as processes of the test: ours, and redis-server as the oracle. Both on free ports, loopback only."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

import broker

READY = "Ready to accept connections"
# Processes that we start run the same build, compiled or pure, that the tests imported.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(broker.__file__).parent.parent)}


class ServerProcess:
    """A process with a port. kill() is SIGKILL; stop() is SIGTERM and gives the exit status."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.folder = folder
        self.argv = argv
        self.port = 0
        self.log_path = folder / "server.log"
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=ENVIRONMENT,
            )

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self, seconds: float = 20) -> int:
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def connect(self, timeout: float = 10) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alive():
            self.kill()


class Broker(ServerProcess):
    """`millstream serve` on a free port; `folder` holds its log. Options as on the command line."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "server.log"
        self._skip = path.stat().st_size if path.exists() else 0
        super().__init__(
            [sys.executable, "-m", "broker", "serve", "--port", "0", "--dir", str(folder), *options], folder
        )
        self.port = self._wait_until_ready()["port"]

    def events(self) -> list[dict[str, Any]]:
        """What it logged since it was started, as structlog's JSON."""
        text = self.log_path.read_bytes()[self._skip :].decode(errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]

    def _wait_until_ready(self) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for event in self.events():
                if event.get("event") == READY:
                    return event
            if not self.alive():
                break
            time.sleep(0.02)
        status = self.process.poll()
        self.kill()
        raise AssertionError(f"the broker did not get ready (status {status}):\n{self.log()}")


class RedisServer(ServerProcess):
    """redis-server on a free port, without persistence unless the options say otherwise."""

    def __init__(self, folder: Path | None = None, *options: str) -> None:
        folder = folder or Path(tempfile.mkdtemp(prefix="redis-"))
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        defaults = ["--port", str(port), "--dir", str(folder), "--save", "", "--appendonly", "no"]
        super().__init__(["redis-server", *defaults, "--enable-debug-command", "yes", *options], folder)
        self.port = port
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.alive():
            try:
                with self.connect(1) as sock:
                    sock.sendall(b"PING\r\n")
                    if sock.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.02)
        self.kill()
        raise AssertionError(f"redis-server did not get ready:\n{self.log()}")


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[int]:
    """The port of one that lives for as long as the block. Skips the test where it is not installed."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with RedisServer(folder, *options) as server:
        yield server.port


def free_port() -> int:
    """A port that was free a moment ago, below the range that the system hands out by itself. Tests that run at
    the same time look in ranges of their own, or two of them would find the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    begin = 20000 + worker * 3000
    for port in range(begin + os.getpid() % 2000, begin + 3000):
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def eventually(check: Any, seconds: float = 10, what: str = "the condition") -> Any:
    """Ask until the answer is true (state of another process, which gives no event); its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds} s (last: {value!r})")
        time.sleep(0.01)
