"""Chains and groups go on though their workers are killed: nothing is lost, and what follows follows once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from coredis import Redis
from support.worker_server import ROOT
from support.workers import until

from consumers import App, group

CHAINS, STEPS, GROUPS, MEMBERS, DEATHS = 12, 5, 4, 8, 3
SECONDS = 60.0  # a test that takes longer has failed

APP = """
import trio
from consumers import App

app = App()
app.queue("steps", concurrency=4, claim_idle=0.5)

@app.task(queue="steps", retries=50)
async def step(n: int) -> int:
    await trio.sleep(0.005)
    await app.client.incr("begun")
    return n + 1

@app.task(queue="steps", retries=50)
async def total(numbers: list[int]) -> int:
    return sum(numbers)
"""


class Workers:
    def __init__(self, folder: Path, url: str) -> None:
        (folder / "steps.py").write_text(APP)
        self._folder, self._url = folder, url
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.running.append(
            subprocess.Popen(
                [sys.executable, "-m", "broker", "worker", "steps:app", "--url", self._url],
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stderr=subprocess.DEVNULL,
            )
        )

    def kill(self) -> None:
        victim = self.running.pop(0)
        victim.kill()
        victim.wait()


@pytest.fixture
def workers(tmp_path: Path, broker_url: str) -> Iterator[Workers]:
    found = Workers(tmp_path, broker_url)
    try:
        yield found
    finally:
        while found.running:
            found.kill()


async def begun(client: Redis[bytes], count: int) -> bool:
    return int(await client.get("begun") or 0) >= count


async def test_what_follows_follows_once_though_workers_are_killed(
    workers: Workers, client: Redis[bytes], broker_url: str
) -> None:
    module: dict[str, Any] = {"__name__": "steps"}
    exec(APP, module)
    app, step, total = module["app"], module["step"], module["total"]
    assert isinstance(app, App)
    workers.start()
    workers.start()
    async with app.connect(broker_url):
        chains = []
        for n in range(CHAINS):
            chain = step.call(100 * n).then(step.call())
            for _ in range(STEPS - 2):
                chain = chain.then(step.call())
            chains.append(await chain.send())
        groups = [await group(step.call(n) for n in range(MEMBERS)).then(total.call()).send() for _ in range(GROUPS)]
        with trio.fail_after(SECONDS):
            for death in range(DEATHS):
                await until(partial(begun, client, 12 * (death + 1)))
                workers.kill()
                workers.start()
            assert [await one.result() for one in chains] == [100 * n + STEPS for n in range(CHAINS)]
            assert [await one.result() for one in groups] == [sum(range(1, MEMBERS + 1))] * GROUPS
    facts: Any = await client.xinfo_stream("steps")
    added = facts[b"entries-added"] if b"entries-added" in facts else facts["entries-added"]
    assert added == CHAINS * STEPS + GROUPS * (MEMBERS + 1), "each message once"
    assert await client.xlen("steps.dead") == 0
