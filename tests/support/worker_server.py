"""A server for the worker tests: redis-server, or our own broker, that can be killed and started on the same port."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.oracle import free_port, wait_until_it_answers

ROOT = Path(__file__).parents[2]
KINDS = ("redis", "millstream")


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
        wait_until_it_answers(self._process, self.port, seconds=30)

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
        """From the line that tells that the server is ready."""
        assert self._process is not None
        while self._process.poll() is None:
            if found := re.search(r"Ready to accept connections.*?port\W+(\d+)", log.read_text()):
                return int(found[1])
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError(f"the server ended before it was ready:\n{log.read_text()}")
