"""`millstream worker` with several processes, with --reload, and what it tells over HTTP."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import redis
import trio
from support.servers import eventually
from support.worker_server import ROOT, Server
from support.workers import LIMIT

from broker.cli.supervisor import Supervisor

APP = """
import os
import trio
from consumers import App

app = App()

@app.consumer("s", group="g", claim_idle=1)
async def handle(message):
    await message.client.rpush("done", [f"VERSION {os.getpid()} {message.text('n')}"])
    if message.text("n") == "endless":
        await trio.sleep_forever()
"""


class Command:
    """A running `millstream worker`; what it logs, as it comes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "broker", "worker", *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, event: str, count: int = 1) -> dict[str, Any]:
        """The next line, or the so-and-so-many-th, about it."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            found = json.loads(text) if text.startswith("{") else {}
            count -= found.get("event") == event
            if count == 0:
                return dict(found)
        raise AssertionError(f"no {event}: the command ended")

    def stop(self) -> int:
        self.process.terminate()
        self.process.communicate(timeout=LIMIT)
        return self.process.returncode


@pytest.fixture
def server(shared_servers: Callable[[str], Server]) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(shared_servers("millstream").url, decode_responses=True, protocol=2) as client:
        client.flushall()
        yield client


@pytest.fixture
def run(tmp_path: Path, shared_servers: Callable[[str], Server]) -> Iterator[Callable[..., Command]]:
    commands: list[Command] = []
    (tmp_path / "shop.py").write_text(APP)

    def start(*arguments: str) -> Command:
        commands.append(Command(tmp_path, "shop:app", "--url", shared_servers("millstream").url, *arguments))
        return commands[-1]

    try:
        yield start
    finally:
        for command in commands:
            command.process.kill()
            command.process.wait()
            assert command.process.stderr is not None
            command.process.stderr.close()


def page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def sample(port: int, name: str) -> float:
    _, text = page(port, "/metrics")
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name}{{"))


def done(server: redis.Redis) -> list[list[str]]:
    """Version, process and name of each message that was begun."""
    found: Any = server.lrange("done", 0, -1)
    return [line.split() for line in found]


def test_a_process_that_dies_is_started_again_and_all_drain_together(
    run: Callable[..., Command], server: redis.Redis
) -> None:
    command = run("--processes", "2", "--http-port", "0")
    port = command.line("http.listening")["port"]
    assert page(port, "/readyz")[0] == 503
    eventually(lambda: page(port, "/readyz") == (200, "ready\n"), LIMIT, "readiness")
    server.xadd("s", {"n": "endless"})
    ((_, victim, _),) = eventually(lambda: done(server), LIMIT, "the first message")
    os.kill(int(victim), signal.SIGKILL)
    assert command.line("worker.died")["status"] == -signal.SIGKILL
    eventually(lambda: page(port, "/readyz")[0] == 200, LIMIT, "readiness after a death")
    (_, second, _) = eventually(lambda: done(server)[1:], LIMIT, "the message, taken over")[0]
    assert second != victim
    for n in range(10):
        server.xadd("s", {"n": n})
    eventually(lambda: sample(port, "consumers_messages_total") == 10, LIMIT, "the sum of all processes")
    assert page(port, "/healthz") == (200, "ok\n")
    command.process.terminate()
    command.line("worker.draining", 2)
    command.process.terminate()  # the endless one would have 30 seconds
    command.process.communicate(timeout=LIMIT)
    assert command.process.returncode == 1
    pending: Any = server.xpending("s", "g")
    assert pending["pending"] == 1


def test_a_change_of_a_file_starts_the_worker_anew_and_it_does_not_outlive_its_supervisor(
    run: Callable[..., Command], server: redis.Redis, tmp_path: Path
) -> None:
    command = run("--reload")
    command.line("worker.started")
    server.xadd("s", {"n": "a"})
    ((version, _, _),) = eventually(lambda: done(server), LIMIT, "the first message")
    assert version == "VERSION"
    (tmp_path / "shop.py").write_text("this is no Python")
    assert command.line("worker.reloading")["files"] == [str(tmp_path / "shop.py")]
    command.line("worker.died")
    (tmp_path / "shop.py").write_text(APP.replace("VERSION", "second"))
    command.line("worker.started")
    server.xadd("s", {"n": "b"})
    assert eventually(lambda: [line[0] for line in done(server)][1:], LIMIT, "the second") == ["second"]
    command.process.kill()
    command.line("worker.stopped")
    assert command.process.stderr is not None
    assert command.process.stderr.read() == "", "everybody has closed it"


def test_one_process_tells_over_http_how_it_is(run: Callable[..., Command], server: redis.Redis) -> None:
    command = run("--http-port", "0")
    port = command.line("http.listening")["port"]
    eventually(lambda: page(port, "/readyz") == (200, "ready\n"), LIMIT, "readiness")
    server.xadd("s", {"n": "a"})
    eventually(lambda: sample(port, "consumers_messages_total") == 1, LIMIT, "the message in the metrics")
    assert page(port, "/nothing")[0] == 404
    taken = run("--http-port", str(port))
    _, error = taken.process.communicate(timeout=LIMIT)
    assert (taken.process.returncode, error) == (
        2, f"millstream worker: can't serve http on 127.0.0.1:{port}: Address already in use\n",
    )  # fmt: skip
    assert command.stop() == 0


def child(text: str) -> list[str]:
    """A command in place of a worker."""
    return [sys.executable, "-S", "-c", text]


async def test_a_wrong_target_ends_all_processes_with_status_2() -> None:
    assert await Supervisor(child("raise SystemExit(2)"), 2).run() == 2


async def test_what_dies_is_started_again_and_its_end_is_told(tmp_path: Path) -> None:
    ended: list[int] = []
    text = f"""
import pathlib, os, signal
lives = pathlib.Path({str(tmp_path / "lives")!r})
lives.write_text((lives.read_text() if lives.exists() else "") + "x")
os.write(int(os.environ["MILLSTREAM_WORKER_READY_FD"]), b"1")
if lives.read_text() == "xxx":
    os.kill(os.getppid(), signal.SIGTERM)
    signal.pause()
"""
    supervisor = Supervisor(child(text), 1, exits=ended.append)
    with trio.fail_after(LIMIT):
        assert await supervisor.run() == 1, "the last one ended by the signal, not by itself"
    assert (tmp_path / "lives").read_text() == "xxx"
    assert len(set(ended)) == 3
    assert supervisor.unready() == "draining"
