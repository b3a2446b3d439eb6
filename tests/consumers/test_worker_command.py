"""`millstream worker` as a process: how it begins and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.worker_server import ROOT
from support.workers import LIMIT

APP = """
import trio
from consumers import App

app = App()

@app.consumer("s", group="g", prefetch=0)
async def handle(message):
    await message.client.lpush("begun", [message.id])
    if message.text("n") == "endless":
        await trio.sleep_forever()
    await message.client.blpop(["go"], timeout=60)
    await message.client.lpush("ended", [message.id])

empty = App()
not_an_app = 1
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "broken.py").write_text("import surely_not_installed\n")
    (tmp_path / "senseless.py").write_text("from consumers import App\nApp().consumer('s', group='g', concurrency=0)\n")
    return tmp_path


@pytest.fixture
def server(broker_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker_url, decode_responses=True, protocol=2) as client:
        yield client


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "broker", "worker", *arguments],
        cwd=project,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere:app", "no module named 'nowhere'"),
        ("shop.nowhere:app", "no module named 'shop.nowhere'"),
        ("broken:app", "can't be imported: No module named 'surely_not_installed'"),
        ("senseless:app", "concurrency must be at least 1"),
        ("shop:nothing", "has no attribute 'nothing'"),
        ("shop:not_an_app", "is a int, not a consumers.App"),
        ("shop:empty", "has no consumers"),
        (":app", "not of the form module:app"),
    ],
)
def test_a_wrong_target_is_told_in_one_line_with_status_2(project: Path, target: str, text: str) -> None:
    process = start(project, target)
    _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 2
    assert text in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_handler_finish_and_the_worker_ends_with_status_0(
    project: Path, server: redis.Redis, broker_url: str, number: signal.Signals
) -> None:
    for name in ("first", "second"):
        server.xadd("s", {"n": name})
    process = start(project, "shop:app", "--url", broker_url)
    try:
        _, begun = server.blpop(["begun"], timeout=LIMIT)
        process.send_signal(number)
        assert wait_for_event(process, "worker.draining")
        server.lpush("go", "x")
        _, error = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, error
    finally:
        process.kill()
        process.wait()
    assert server.lrange("ended", 0, -1) == [begun]
    assert server.llen("begun") == 0, "the second was not begun"
    assert server.xpending_range("s", "g", "-", "+", 10) == []


def test_a_second_signal_ends_the_worker_at_once_and_frees_the_message(
    project: Path, server: redis.Redis, broker_url: str
) -> None:
    id_ = server.xadd("s", {"n": "endless"})
    process = start(project, "shop:app", "--url", broker_url)
    try:
        assert server.blpop(["begun"], timeout=LIMIT)
        process.terminate()
        assert wait_for_event(process, "worker.draining")
        process.terminate()
        _, error = process.communicate(timeout=LIMIT)
        assert process.returncode == 1, error
    finally:
        process.kill()
        process.wait()
    (entry,) = server.xpending_range("s", "g", "-", "+", 10)
    assert entry["message_id"] == id_
    assert entry["times_delivered"] == 1
    assert entry["consumer"] in ("", "~resting"), "free for every other worker at once"


def test_a_signal_ends_a_worker_that_still_waits_for_its_server(project: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}"
        process = start(project, "shop:app", "--url", url)
        try:
            assert wait_for_event(process, "connection.lost")
            process.terminate()
            _, error = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, error
    assert "Traceback" not in error


def wait_for_event(process: subprocess.Popen[str], event: str) -> bool:
    assert process.stderr is not None
    return any(event in line for line in process.stderr)
