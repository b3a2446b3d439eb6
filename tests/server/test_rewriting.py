"""The log is written anew while the server goes on: what BGREWRITEAOF answers and tells, what is on the disk then."""

import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from support.faulty_disk import FaultyDisk
from support.inside import Client, serving
from support.servers import RedisServer
from support.wire import Wire

from broker.errors import CorruptFile

NAME = "appendonly.aof"
ON = ["--appendonly", "yes", "--enable-debug-command", "yes", "--auto-aof-rewrite-percentage", "0"]


@pytest.fixture(autouse=True)
def garbage_collection() -> Iterator[None]:
    """A server takes over the collector of its process; give it back."""
    yield
    gc.unfreeze()
    gc.enable()


def manifest(folder: Path) -> list[str]:
    return (folder / "appendonlydir" / f"{NAME}.manifest").read_text().splitlines()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "appendonlydir").iterdir())


def checked(folder: Path) -> RedisServer:
    """redis-server with the log of ours, after redis-check-aof has found it whole."""
    path = folder / "appendonlydir" / f"{NAME}.manifest"
    done = subprocess.run(["redis-check-aof", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and "All AOF files and manifest are valid" in done.stdout, done.stdout
    return RedisServer(folder, "--appendonly", "yes")


async def rewritten(client: Client, times: int = 1) -> dict[str, str]:
    return await client.info_when("aof_rewrites", str(times))


async def test_a_rewrite_leaves_a_base_and_an_increment(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON) as (_, client):
        for i in range(50):
            await client("SET", "k", i)
        before = await client.info()
        assert await client("BGREWRITEAOF") == b"+Background append only file rewriting started"
        after = await rewritten(client)
        await client("SELECT", "3")
        await client("SET", "later", "v")
        assert (after["aof_rewrite_in_progress"], after["aof_last_bgrewrite_status"]) == ("0", "ok")
        assert int(after["aof_current_size"]) < int(before["aof_current_size"])
        assert after["aof_base_size"] == after["aof_current_size"]
    assert manifest(tmp_path) == [f"file {NAME}.2.base.rdb seq 2 type b", f"file {NAME}.2.incr.aof seq 2 type i"]
    assert files(tmp_path) == [f"{NAME}.2.base.rdb", f"{NAME}.2.incr.aof", f"{NAME}.manifest"]
    with checked(tmp_path) as redis, Wire(redis.port) as wire:
        assert wire("GET", "k") == b"49"
        wire("SELECT", 3)
        assert wire("GET", "later") == b"v"


async def test_history_stays_when_the_settings_say_so(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON, "--aof-disable-auto-gc", "yes") as (_, client):
        await client("SET", "k", "v")
        await client("BGREWRITEAOF")
        await rewritten(client)
        assert f"{NAME}.1.incr.aof" in files(tmp_path)
        assert f"file {NAME}.1.incr.aof seq 1 type h" in manifest(tmp_path)
        await client("CONFIG", "SET", "aof-disable-auto-gc", "no")
        await client("BGREWRITEAOF")
        await rewritten(client, 2)
    assert files(tmp_path) == [f"{NAME}.3.base.rdb", f"{NAME}.3.incr.aof", f"{NAME}.manifest"]


async def test_the_log_has_the_time_when_it_is_to_have_it(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON, "--aof-timestamp-enabled", "yes") as (server, client):
        await client("SET", "k", "1")
        server.clock.wall = lambda: 2_000_000_000.5
        await client("SET", "k", "2")
        await client("SET", "k", "3")
        await client("CONFIG", "SET", "aof-timestamp-enabled", "no")
        server.clock.wall = lambda: 2_000_000_100.5
        await client("SET", "k", "4")
    path = tmp_path / "appendonlydir" / f"{NAME}.1.incr.aof"
    data = path.read_bytes()
    assert data.startswith(b"#TS:") and data.count(b"#TS:") == 2
    assert data.count(b"#TS:2000000000\r\n*3\r\n$3\r\nSET") == 1
    async with serving(tmp_path, *ON) as (_, client):
        assert await client("GET", "k") == b"4"


async def test_a_corrupt_tail_of_a_size_that_is_allowed_is_cut(tmp_path: Path) -> None:
    async with serving(tmp_path, *ON) as (_, client):
        await client("SET", "k", "1")
        await client("SET", "k", "2")
    path = tmp_path / "appendonlydir" / f"{NAME}.1.incr.aof"
    whole = path.read_bytes()
    path.write_bytes(whole + b"garbage!\r\n" * 3)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with serving(tmp_path, *ON, "--aof-load-corrupt-tail-max-size", "29"):
            pass
    assert caught.group_contains(CorruptFile)
    assert path.read_bytes() == whole + b"garbage!\r\n" * 3
    async with serving(tmp_path, *ON, "--aof-load-corrupt-tail-max-size", "30") as (_, client):
        assert await client("GET", "k") == b"2"
    assert path.read_bytes().startswith(whole)


async def test_rewriting_and_saving_take_turns(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with serving(tmp_path, *ON, disk=disk) as (_, client):
        await client("SET", "k", "v")
        disk.sync_gate.clear()
        await client("BGSAVE")
        assert await client("BGREWRITEAOF") == b"+Background append only file rewriting scheduled"
        assert (await client.info())["aof_rewrite_scheduled"] == "1"
        disk.sync_gate.set()
        info = await rewritten(client)
        assert (info["rdb_saves"], info["aof_rewrite_scheduled"]) == ("1", "0")
        disk.sync_gate.clear()
        await client("BGREWRITEAOF")
        assert await client("BGREWRITEAOF") == b"-ERR Background append only file rewriting already in progress"
        assert (await client("BGSAVE")).startswith(b"-ERR Another child process is active (AOF?): can't BGSAVE")
        assert await client("BGSAVE", "SCHEDULE") == b"+Background saving scheduled"
        disk.sync_gate.set()
        await client.info_when("rdb_saves", "2")
        await rewritten(client, 2)


async def test_growth_begins_a_rewrite(tmp_path: Path) -> None:
    options = ["--auto-aof-rewrite-percentage", "100", "--auto-aof-rewrite-min-size", "2000"]
    async with serving(tmp_path, "--appendonly", "yes", *options) as (server, client):
        for _ in range(30):
            await client("SET", "k", "v" * 10)
        server.rewriting.look()
        await trio.testing.wait_all_tasks_blocked()
        assert server.rewriting.job.done == 0, "it is small yet"
        for _ in range(30):
            await client("SET", "k", "v" * 10)
        server.rewriting.look()
        info = await rewritten(client)
        assert int(info["aof_current_size"]) < 500


async def test_the_log_can_be_turned_on_and_off(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        await client("SET", "before", "v")
        assert await client("CONFIG", "SET", "appendonly", "yes") == b"+OK"
        info = await rewritten(client)
        assert info["aof_enabled"] == "1"
        await client("SET", "during", "v")
        assert await client("CONFIG", "SET", "appendonly", "no") == b"+OK"
        await client.info_when("aof_enabled", "0")
        await client("SET", "after", "v")
    with checked(tmp_path) as redis, Wire(redis.port) as wire:
        assert wire("MGET", "before", "during", "after") == [b"v", b"v", None]


async def test_who_turns_the_log_on_finds_its_first_writing_under_way(tmp_path: Path) -> None:
    """All in one turn, so that nothing was begun yet. Who waits for its end must not take that for the end."""
    async with serving(tmp_path) as (_, client):
        await client("MULTI")
        for request in (["CONFIG", "SET", "appendonly", "yes"], ["INFO", "persistence"], ["BGREWRITEAOF"]):
            assert await client(*request) == b"+QUEUED"
        assert await client("EXEC") == b"*3"
        assert await client.line() == b"+OK"
        lines = []
        while not lines or not lines[-1].startswith(b"-"):
            lines.append(await client.line())
        assert lines[-1] == b"-ERR Background append only file rewriting already in progress"
        assert {b"aof_enabled:1", b"aof_rewrite_in_progress:1", b"aof_rewrite_scheduled:0"} <= set(lines)
        info = await rewritten(client)
        assert (info["aof_enabled"], info["aof_rewrite_in_progress"]) == ("1", "0")


async def test_turning_the_log_on_again_replaces_what_an_older_one_held(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        for turn in range(3):
            await client("CONFIG", "SET", "appendonly", "yes")
            await rewritten(client, turn + 1)
            await client("SET", "k", turn)
            await client("CONFIG", "SET", "appendonly", "no")
            await client.info_when("aof_enabled", "0")
    assert files(tmp_path) == [f"{NAME}.3.base.rdb", f"{NAME}.3.incr.aof", f"{NAME}.manifest"]
    with checked(tmp_path) as redis, Wire(redis.port) as wire:
        assert wire("GET", "k") == b"2"


async def test_without_a_log_a_rewrite_leaves_a_base_to_go_on_from(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        await client("SET", "k", "v")
        await client("BGREWRITEAOF")
        await rewritten(client)
    assert manifest(tmp_path) == [f"file {NAME}.1.base.rdb seq 1 type b"]
    with checked(tmp_path) as redis, Wire(redis.port) as wire:
        assert wire("GET", "k") == b"v"


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
async def test_writes_while_the_log_is_written_anew_are_neither_lost_nor_doubled(tmp_path: Path, policy: str) -> None:
    rng = Random(policy)
    async with serving(tmp_path, *ON, "--appendfsync", policy) as (server, client):
        for i in range(300):
            await client("RPUSH", f"list{i % 7}", *range(20))
            await client("SADD", "set", i)
        for round_ in range(1, 4):
            assert (await client("BGREWRITEAOF")).startswith(b"+Background append only file rewriting started")
            while server.rewriting.job.done < round_:
                await client("INCR", "counter")
                await client("RPUSH", f"list{rng.randrange(7)}", "x")
                await client("LPOP", f"list{rng.randrange(7)}")
                await client("SREM", "set", rng.randrange(300))
        expected = await client("DEBUG", "DIGEST", "REDIS")
    with checked(tmp_path) as redis, Wire(redis.port) as wire:
        assert wire("DEBUG", "DIGEST").encode() == expected[1:]
