"""The example by its steps, with real processes; its counts against a naive count of the same clicks."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import redis
from support.worker_server import ROOT

import broker
from examples.click_windows.send import clicks

LIMIT_MS = 60_000


def run(url: str, *arguments: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(broker.__file__).parents[1]), str(ROOT)])  # the build that is tested comes first
    environment = os.environ | {"CLICKS_URL": url, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-m", *arguments], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)


def test_every_click_is_in_its_minute_and_its_visit(broker_url: str) -> None:
    sent = clicks()
    with redis.Redis.from_url(broker_url, decode_responses=True, protocol=2) as client:
        worker = run(broker_url, "broker", "worker", "examples.click_windows.app")
        try:
            assert run(broker_url, "examples.click_windows.send").wait(timeout=60) == 0
            minutes = read(client, "clicks_per_minute", {(one.page, one.at // 60) for one in sent})
            visits = read_pages(client, len(sent))
        finally:
            worker.terminate()
            assert worker.wait(timeout=60) == 0
    expected = Counter((one.page, int(one.at // 60) * 60_000) for one in sent)
    assert {(one["key"], int(one["start"])): int(one["clicks"]) for one in minutes} == expected
    by_user = Counter(one.user for one in sent)
    found: Counter[str] = Counter()
    for visit in visits:
        found[visit["user"]] += len(visit["pages"].split())
    assert found == by_user


def read(client: redis.Redis, stream: str, expected: set[object]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    last = "0"
    while len(found) < len(expected):
        for entry_id, fields in next_part(client, stream, last):
            found.append(fields)
            last = entry_id
    return found


def read_pages(client: redis.Redis, count: int) -> list[dict[str, str]]:
    """Visits until all clicks are in one."""
    found: list[dict[str, str]] = []
    last = "0"
    while sum(len(one["pages"].split()) for one in found) < count:
        for entry_id, fields in next_part(client, "visits", last):
            found.append(fields)
            last = entry_id
    return found


def next_part(client: redis.Redis, stream: str, last: str) -> list[tuple[str, dict[str, str]]]:
    reply = client.xread({stream: last}, block=LIMIT_MS)
    assert reply, f"nothing more came to {stream}"
    entries: list[tuple[str, dict[str, str]]] = reply[0][1]
    return entries
