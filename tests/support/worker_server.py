"""A server for the worker tests: redis-server, or our own broker, that can be killed and started on the same port."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from support.servers import free_port

ROOT = Path(__file__).parents[2]
KINDS = ("redis", "millstream")
_START_LIMIT = 30.0


class Server:
    """One server process with an append-only file, so that it comes back with its data."""

    def __init__(self, kind: str, directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        if self.kind == "redis":
            self._start_redis()
        else:
            self._start_millstream()
        assert self._process is not None
        wait_until_it_answers(self._process, self.port, seconds=_START_LIMIT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
            self._process = None

    def _start_redis(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        self.port = self.port or free_port()
        command = [program, "--port", str(self.port), "--save", "", "--bind", "127.0.0.1", "--dir", str(self.directory)]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen([*command, *durable], stdout=subprocess.DEVNULL, text=True)

    def _start_millstream(self) -> None:
        if not (ROOT / "broker" / "__main__.py").exists():
            pytest.skip("the broker has no command line yet (broker/__main__.py)")
        command = [sys.executable, "-m", "broker", "serve", "--port", str(self.port), "--dir", str(self.directory)]
        durable = ["--appendonly", "yes", "--appendfsync", "always"]
        log = self.directory / f"server-{self.port}.log"
        with log.open("w") as output:
            self._process = subprocess.Popen([*command, *durable], cwd=ROOT, stdout=output, stderr=output, text=True)
        self.port = self.port or self._printed_port(log)

    def _printed_port(self, log: Path) -> int:
        """From the line that tells that the server is ready: JSON, its keys in no promised order."""
        assert self._process is not None
        end = time.monotonic() + _START_LIMIT
        while self._process.poll() is None and time.monotonic() < end:
            for line in log.read_text().splitlines():
                if "Ready to accept connections" in line and (found := re.search(r'\bport"?\W+(\d+)', line)):
                    return int(found[1])
            time.sleep(0.02)  # a file that grows sets no event
        raise AssertionError(f"the server was not ready in {_START_LIMIT} s:\n{log.read_text()}")


def wait_until_it_answers(process: subprocess.Popen[str], port: int, seconds: float = 10) -> None:
    """Raise when the process ended, or does not answer PING in time."""
    end = time.monotonic() + seconds
    while True:
        try:
            with redis.Redis(port=port, protocol=2, socket_timeout=1) as client:
                client.ping()
            return
        except redis.ConnectionError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)  # nothing to wait on: the port is not there yet
