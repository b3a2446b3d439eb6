"""Workers that are killed, connections that are cut, a server that crashes: nothing is lost, nothing happens twice
where that is promised, and the order of keys holds.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
from coredis import Redis
from support.cutting_proxy import cutting_proxy
from support.servers import redis_server
from support.worker_server import ROOT, Server
from support.workers import Seen, add, until, working

from consumers import App, Backoff, Message
from consumers.connection import open_client, ride_out

CUSTOMERS = 8
COUNT = 320
LIMIT = 60.0  # processes have to start, on whatever machine
CRASHES = 6  # each of the faults in turn, twice

WORKER = """
import trio
from consumers import App, Backoff

app = App()
options = {"claim_idle": 1, "max_deliveries": 1000, "backoff": Backoff(base=0.01, cap=0.1)}

@app.consumer("s", group="once", concurrency=4, key="customer", **options)
async def once(message):
    await trio.sleep(0.002)  # so that it is in the midst of something when it is killed
    if message.integer("n") % 50 == 7 and message.deliveries == 1:
        raise ValueError("at first")
    async with message.transaction() as effects:
        effects.rpush("done:" + message.text("customer"), [message.text("n")])

@app.consumer("s", group="often", concurrency=4, **options)
async def often(message):
    await message.client.hincrby("often", message.id, 1)
"""


class Workers:
    """Processes, one of which is killed and replaced at a time."""

    def __init__(self, folder: Path, urls: list[str]) -> None:
        self._folder = folder
        self._urls = urls
        self._log = (folder / "workers.log").open("w")
        self._running = [self._start(url) for url in urls]

    def _start(self, url: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "broker", "worker", "chaos:app", "--url", url]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=self._folder, env=environment, stdout=self._log, stderr=self._log)

    def kill(self, number: int) -> None:
        assert self._running[number].poll() is None, "it ended by itself"
        self._end(number)
        self._running[number] = self._start(self._urls[number])

    def _end(self, number: int) -> None:
        self._running[number].kill()
        self._running[number].wait()

    def close(self) -> None:
        for number in range(len(self._running)):
            self._end(number)
        self._log.close()


@contextmanager
def workers(folder: Path, urls: list[str]) -> Iterator[Workers]:
    (folder / "chaos.py").write_text(WORKER)
    running = Workers(folder, urls)
    try:
        yield running
    finally:
        running.close()


async def published(client: Redis[bytes]) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for number in range(COUNT):
            pipe.xadd("s", {"n": str(number), "customer": str(number % CUSTOMERS)})


async def done(client: Redis[bytes]) -> list[list[int]]:
    async def ask() -> list[list[int]]:
        lists: list[Any] = [await client.lrange(f"done:{customer}", 0, -1) for customer in range(CUSTOMERS)]
        return [[int(number) for number in one] for one in lists]

    return await ride_out(ask, "testing")


async def test_nothing_is_lost_and_nothing_happens_twice_whatever_breaks(own_server: Server, tmp_path: Path) -> None:
    chance = random.Random(6)
    async with open_client(own_server.url) as client, cutting_proxy(own_server.port) as proxy:
        await published(client)
        with workers(tmp_path, [own_server.url, proxy.url, proxy.url]) as running:
            for crash in range(CRASHES):
                goal = (crash + 1) * COUNT // (CRASHES + 2)

                async def reached(goal: int = goal) -> bool:
                    return sum(map(len, await done(client))) >= goal

                await until(reached, LIMIT)
                match crash % 3:
                    case 0:
                        await trio.to_thread.run_sync(running.kill, chance.randrange(3))
                    case 1:
                        proxy.cut()
                    case 2:
                        await trio.to_thread.run_sync(own_server.kill)
                        await trio.to_thread.run_sync(own_server.start)

            async def everything() -> bool:
                often: Any = await ride_out(lambda: client.hlen("often"), "testing")
                return sum(map(len, await done(client))) >= COUNT and often >= COUNT

            await until(everything, LIMIT)
        lists = await done(client)
        assert proxy.cuts > 0
        assert [sorted(one) for one in lists] == [list(range(each, COUNT, CUSTOMERS)) for each in range(CUSTOMERS)]
        assert lists == [sorted(one) for one in lists], "the order of keys holds over all workers"
        assert await client.exists(["s.dead"]) == 0


async def test_a_failover_is_ridden_out_by_connections_that_are_never_closed(tmp_path: Path) -> None:
    app, seen = App(), Seen()

    @app.consumer("s", group="g", claim_idle=1, block=1, backoff=Backoff(base=0.01))
    async def handle(message: Message) -> None:
        async with message.transaction() as effects:
            effects.incr("count")
        seen.add(message)

    at_once = ("--repl-diskless-sync-delay", "0")
    with redis_server(tmp_path, *at_once) as old_port, redis_server(tmp_path, *at_once) as new_port:
        async with (
            open_client(f"redis://127.0.0.1:{old_port}") as old,
            open_client(f"redis://127.0.0.1:{new_port}") as new,
            cutting_proxy(old_port) as proxy,
            working(app, proxy.url),
        ):
            await add(old, "s", "before")
            await seen.wait_count(1)
            await new.replicaof("127.0.0.1", old_port)

            async def is_copied() -> bool:
                return await new.get("count") == b"1"

            await until(is_copied)
            await new.replicaof()
            proxy.target = new_port
            await old.replicaof("127.0.0.1", new_port)
            await add(new, "s", "after")
            await seen.wait_for(lambda all_: "after" in all_.names)
            assert await new.get("count") == b"2"
