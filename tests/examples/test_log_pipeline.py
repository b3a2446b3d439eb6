"""The whole pipeline on real logs, with real processes. A worker is killed while it works, and so is the follower."""

import contextlib
import io
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
import trio
from rich.console import Console
from support.worker_server import ROOT

from examples.log_pipeline.parsers import parse
from examples.log_pipeline.show import show

LINES = 4000
LIMIT = 90.0
SYSTEM_LOGS = ("/var/log/dpkg.log", "/var/log/alternatives.log", "/var/log/bootstrap.log", "/var/log/syslog")


def real_lines() -> list[str]:
    """Thousands of lines of the logs of this machine and of this repository; some of no known format."""
    commits = subprocess.run(
        ["git", "log", "--format=%cI %h %s%n%b"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    lines = [line for line in commits if line.strip()][:500]
    for name in SYSTEM_LOGS:
        with contextlib.suppress(OSError):
            lines += Path(name).read_text(errors="replace").splitlines()[:2500]
    if not lines:
        pytest.skip("this machine has no log at all")
    while len(lines) < LINES:
        lines += lines  # a young machine
    return lines


def until(condition: Callable[[], bool], what: str) -> None:
    """What other processes do can only be asked for, not waited on."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"not within {LIMIT} s: {what}"
        time.sleep(0.02)


class Pipeline:
    """The processes of the example, and a client to look at what they do."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.path = directory / "app.log"
        self.client = redis.Redis.from_url(url, decode_responses=True, protocol=2)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environment = os.environ | {"LOG_URL": self.url, "LOG_CLAIM_IDLE": "1", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def follow(self) -> subprocess.Popen[bytes]:
        return self.start("-m", "examples.log_pipeline.follow", str(self.path))

    def worker(self) -> subprocess.Popen[bytes]:
        return self.start("-m", "broker", "worker", "examples.log_pipeline.app")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self.client.close()

    def counted(self) -> int:
        return int(sum(score for _, score in self.client.zrange("log:statuses", 0, -1, withscores=True)))

    def settled(self) -> int:
        return self.counted() + int(self.client.xlen("log:unparsed"))

    def pending_of(self, process: subprocess.Popen[bytes]) -> int:
        """Messages that this worker has and hasn't finished."""
        consumers = self.client.xinfo_consumers("log:lines", "counters")
        return sum(one["pending"] for one in consumers if f"-{process.pid}-" in one["name"])


@pytest.fixture
def pipeline(broker_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    running = Pipeline(broker_url, tmp_path)
    try:
        yield running
    finally:
        running.close()


def test_every_line_is_counted_once_or_lies_in_the_dead_letters_though_worker_and_follower_are_killed(
    pipeline: Pipeline,
) -> None:
    lines = real_lines()
    half = len(lines) // 2
    pipeline.path.write_text("".join(f"{line}\n" for line in lines[:half]))

    follower = pipeline.follow()
    victim, survivor = pipeline.worker(), pipeline.worker()
    until(lambda: pipeline.settled() > half // 3 and pipeline.pending_of(victim) > 0, "both workers at work")
    victim.kill()
    victim.wait()
    assert pipeline.pending_of(victim) > 0, "killed in the middle: it had messages"
    assert pipeline.settled() < half

    follower.kill()
    follower.wait()
    pipeline.path.rename(pipeline.path.with_name("app.log.1"))
    pipeline.path.write_text("".join(f"{line}\n" for line in lines[half:]))
    pipeline.follow()
    until(lambda: pipeline.client.xlen("log:lines") >= len(lines), "all lines in the stream")
    until(lambda: pipeline.settled() >= len(lines), "all lines settled")
    survivor.terminate()
    assert survivor.wait(LIMIT) == 0

    assert_each_line_once(pipeline, lines)
    assert f"{len(lines)} lines: " in shown(pipeline.url)
    assert "0 to do" in shown(pipeline.url)


def assert_each_line_once(pipeline: Pipeline, lines: list[str]) -> None:
    records = [parse(line) for line in lines]
    parsed = [record for record in records if record is not None]
    minutes = Counter(record.minute for record in parsed)
    assert 0 < len(parsed) < len(lines), "the input has lines of both kinds"

    client = pipeline.client
    assert [fields["line"] for _, fields in client.xrange("log:lines")] == lines
    assert dict(client.zrange("log:minutes", 0, -1, withscores=True)) == minutes
    assert dict(client.zrange("log:statuses", 0, -1, withscores=True)) == Counter(one.status for one in parsed)
    for minute in minutes:
        counted = dict(client.zrange(f"log:minute:{minute}", 0, -1, withscores=True))
        assert counted == Counter(one.status for one in parsed if one.minute == minute), minute

    origin = {id_: fields["line"] for id_, fields in client.xrange("log:lines")}
    letters = [fields for _, fields in client.xrange("log:unparsed")]
    unparsed = sorted(id_ for (id_, _), record in zip(origin.items(), records, strict=True) if record is None)
    assert sorted(letter["dead.id"] for letter in letters) == unparsed
    assert all(origin[letter["dead.id"]] == letter["line"] for letter in letters)
    assert client.xpending("log:lines", "counters")["pending"] == 0


def shown(url: str) -> str:
    text = io.StringIO()
    trio.run(show, url, 5, Console(file=text, width=100))
    return text.getvalue()
