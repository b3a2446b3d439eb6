"""Pipelines at work, on redis-server and on our broker."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import trio
from coredis import Redis
from support.worker_server import ROOT, Server
from support.workers import LIMIT, next_entry, working

from consumers import App
from consumers.connection import open_client
from consumers.processing import count, total, tumbling
from consumers.processing.checkpoint import Checkpoint, Commit, Superseded


async def entries(client: Redis[bytes], stream: str) -> list[dict[str, str]]:
    found: Any = await client.xrange(stream)
    return [{name.decode(): value.decode() for name, value in one.field_values.items()} for one in found]


async def put(client: Redis[bytes], stream: str, *rows: tuple[float, str, int]) -> None:
    for at, key, n in rows:
        await client.xadd(stream, {"at": str(at), "k": key, "n": str(n)})


async def wait_until_read(client: Redis[bytes], name: str, count: int) -> None:
    await wait_for_figure(client, name, "events", count)


async def wait_for_figure(client: Redis[bytes], name: str, figure: str, least: int) -> None:
    """Until the checkpoint says so. What is written there wakes nobody."""
    with trio.fail_after(LIMIT):
        while int(await client.hget(Checkpoint(client, name).checkpoint, figure) or 0) < least:  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_a_pipeline_writes_what_its_windows_hold(client: Redis[bytes], broker_url: str) -> None:
    app = App()
    flow = app.stream("clicks", time="at").key_by("k").window(tumbling("1s"), late_to="late")
    flow.aggregate(clicks=count(), cents=total("n")).to("per_second")
    await put(
        client, "clicks", (1.1, "a", 5), (1.9, "b", 7), (1.5, "a", 1), (2.5, "a", 3), (1.2, "a", 9), (3.0, "c", 0)
    )
    async with working(app, broker_url):
        await next_entry(client, "per_second")
        await wait_until_read(client, "per_second", 6)
    assert await entries(client, "per_second") == [
        {"key": "a", "start": "1000", "end": "2000", "clicks": "2", "cents": "6"},
        {"key": "b", "start": "1000", "end": "2000", "clicks": "1", "cents": "7"},
        {"key": "a", "start": "2000", "end": "3000", "clicks": "1", "cents": "3"},
    ]
    assert [one["n"] for one in await entries(client, "late")] == ["9"]


async def test_a_pipeline_goes_on_where_it_was_drained(client: Redis[bytes], broker_url: str) -> None:
    app = App()
    app.stream("clicks", time="at").key_by("k").window(tumbling("1s")).aggregate(count()).to("per_second")
    await put(client, "clicks", (1.1, "a", 0), (1.2, "a", 0))
    async with working(app, broker_url):
        await wait_until_read(client, "per_second", 2)
    assert not await entries(client, "per_second")
    await put(client, "clicks", (1.3, "a", 0), (5.0, "a", 0))
    async with working(app, broker_url):
        assert await next_entry(client, "per_second") == {"key": "a", "start": "1000", "end": "2000", "value": "3"}


async def test_another_worker_takes_over_at_once_when_the_owner_is_drained(
    client: Redis[bytes], broker_url: str
) -> None:
    app, other = App(), App()
    for one in (app, other):
        one.stream("in").to("out", lease=1)
    async with working(app, broker_url):
        await client.xadd("in", {"n": "1"})
        await next_entry(client, "out")
        async with working(other, broker_url):
            await client.xadd("in", {"n": "2"})
            await wait_until_read(client, "out", 2)
            assert [one["n"] for one in await entries(client, "out")] == ["1", "2"]
    async with working(other, broker_url):
        await client.xadd("in", {"n": "3"})
        await wait_until_read(client, "out", 3)
    assert [one["n"] for one in await entries(client, "out")] == ["1", "2", "3"]


async def test_what_cannot_be_worked_with_goes_to_the_dead_letters(client: Redis[bytes], broker_url: str) -> None:
    app = App()
    app.stream("in").map(lambda one: {"n": 10 // int(one["n"])}).to("out")
    for n in ("0", "5", "five"):
        await client.xadd("in", {"n": n})
    async with working(app, broker_url):
        await wait_until_read(client, "out", 3)
    assert await entries(client, "out") == [{"n": "2"}]
    first, second = await entries(client, "in.dead")
    assert (first["n"], first["dead.stream"], first["dead.group"]) == ("0", "in", "out")
    assert first["dead.reason"].startswith("ZeroDivisionError")
    assert second["dead.reason"].startswith("ValueError")


async def test_shards_hold_each_key_in_one_stream(client: Redis[bytes], broker_url: str) -> None:
    app = App()
    app.stream("in").key_by("k").to("out", shards=3)
    for n in range(30):
        await client.xadd("in", {"k": str(n % 10), "n": str(n)})
    async with working(app, broker_url):
        await wait_until_read(client, "out", 30)
    shards = [await entries(client, f"out.{number}") for number in range(3)]
    assert sum(map(len, shards)) == 30
    keys = [{one["@key"] for one in shard} for shard in shards]
    assert sum(map(len, keys)) == 10
    for shard in shards:
        for key in {one["k"] for one in shard}:
            numbers = [int(one["n"]) for one in shard if one["k"] == key]
            assert numbers == sorted(numbers)


async def test_an_output_that_is_no_stream_stops_the_pipeline_and_loses_nothing(
    client: Redis[bytes], broker_url: str
) -> None:
    app = App()
    app.stream("in").to("out")
    await client.set("out", "in the way")
    await client.xadd("in", {"n": "1"})
    async with working(app, broker_url):
        await wait_for_figure(client, "out", "epoch", 2)
        await client.delete(["out"])
        assert await next_entry(client, "out") == {"n": "1"}


async def test_who_was_superseded_commits_nothing(client: Redis[bytes]) -> None:
    checkpoint = Checkpoint(client, "p")
    first = await checkpoint.begin("d", [("in", "0")])
    second = await checkpoint.begin("d", [("in", "0")])
    commit = Commit(
        commands=[["XADD", "out", "*", "n", "1"]],
        streams=["out"],
        written={b"place": b"kept"},
        deleted=[],
        positions=["5-0"],
        watermarks=[5],
        figures={"events": 1},
        worker="w",
        shown=[],
    )
    with pytest.raises(Superseded):
        await checkpoint.commit(first.epoch, commit)
    assert not await entries(client, "out")
    await checkpoint.commit(second.epoch, commit)
    third = await checkpoint.begin("d", [("in", "0")])
    assert (third.positions, third.watermarks, third.state) == (["5-0"], [5], [(b"place", b"kept")])
    assert await entries(client, "out") == [{"n": "1"}]


async def test_another_definition_does_not_touch_the_state(client: Redis[bytes], broker_url: str) -> None:
    await Checkpoint(client, "p").begin("stream in; map", [("in", "0")])
    with pytest.raises(Exception, match="another definition"):
        await Checkpoint(client, "p").begin("stream in; filter", [("in", "0")])


async def test_dollar_begins_with_what_comes_after_the_first_start(client: Redis[bytes], broker_url: str) -> None:
    await client.xadd("in", {"n": "old"})
    standing = await Checkpoint(client, "p").begin("d", [("in", "$")])
    await client.xadd("in", {"n": "new"})
    again = await Checkpoint(client, "p").begin("d", [("in", "$")])
    assert standing.positions == again.positions != ["0-0"]


# ---------------------------------------------------------------- killed at random


def start_worker(url: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.Popen(
        [sys.executable, "-m", "broker", "worker", "support.pipeline_app:app", "--url", url],
        env=environment,
        stderr=subprocess.DEVNULL,
    )


def events(count: int, seed: int) -> list[tuple[float, str, int]]:
    """Times go up, out of order by less than the pipeline's watermark allows."""
    rng = random.Random(seed)
    return [
        ((number * 10 + rng.randrange(50)) / 1000, rng.choice("abc"), rng.randrange(100)) for number in range(count)
    ]


async def test_each_event_counts_once_though_workers_and_broker_are_killed(own_server: Server) -> None:
    rows = events(1200, seed=7)
    rng = random.Random(11)
    workers = [start_worker(own_server.url) for _ in range(2)]
    try:
        for part in range(6):
            async with open_client(own_server.url) as client:
                await put(client, "events", *rows[part * 200 : part * 200 + 200])
                await wait_until_read(client, "sums", part * 200 + 1 + rng.randrange(150))
            if part == 3:
                own_server.kill()
                own_server.start()
            else:
                number = rng.randrange(2)
                workers[number].send_signal(signal.SIGKILL)
                workers[number].wait()
                workers[number] = start_worker(own_server.url)
        async with open_client(own_server.url) as client:
            await put(client, "events", (100.0, "z", 0))
            await wait_until_read(client, "sums", len(rows) + 1)
            found = await entries(client, "sums")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert Counter((one["key"], one["start"], one["seen"], one["sum"]) for one in found) == model(rows)


def model(rows: list[tuple[float, str, int]]) -> Counter[tuple[str, str, str, str]]:
    windows: dict[tuple[str, int], list[int]] = {}
    for at, key, n in rows:
        windows.setdefault((key, round(at * 1000) // 100 * 100), []).append(n)
    return Counter((key, str(start), str(len(held)), str(sum(held))) for (key, start), held in windows.items())
