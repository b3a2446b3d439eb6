"""A real redis-server on a free port: the judge of how a server of its kind behaves."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def redis_server(directory: Path, *options: str) -> Iterator[int]:
    """Run one without persistence, give its port, and end it. Skips the test where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    arguments = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(directory),
    ]
    process = subprocess.Popen([program, *arguments, *options], stdout=subprocess.DEVNULL)
    try:
        wait_until_it_answers(process, port)
        yield port
    finally:
        process.kill()
        process.wait()


def wait_until_it_answers(process: subprocess.Popen, port: int, seconds: float = 10) -> None:
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
