"""Saving beside the turns: what BGSAVE answers and tells, what a failing disk does to it, and that files are whole."""

import errno
import gc
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from support.faulty_disk import FaultyDisk
from support.inside import serving
from support.servers import Broker, RedisServer, eventually
from support.wire import Wire


@pytest.fixture(autouse=True)
def garbage_collection() -> Iterator[None]:
    """A server takes over the collector of its process; give it back."""
    yield
    gc.unfreeze()
    gc.enable()


def rdb_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".rdb")


async def test_bgsave_answers_and_info_tells_as_redis_does(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.sync_gate.clear()
    async with serving(tmp_path, disk=disk) as (_, client):
        assert await client("BGSAVE", "now") == b"-ERR syntax error"
        before = await client.info()
        assert (before["rdb_bgsave_in_progress"], before["rdb_last_bgsave_time_sec"]) == ("0", "-1")
        for i in range(3):
            await client("SET", f"k{i}", "v")
        assert (await client.info())["rdb_changes_since_last_save"] == "3"
        assert await client("BGSAVE") == b"+Background saving started"
        assert await client("BGSAVE") == await client("SAVE") == b"-ERR Background save already in progress"
        during = await client.info_when("current_save_keys_processed", "3")
        assert during["current_save_keys_total"] == "3"
        assert (during["rdb_bgsave_in_progress"], during["rdb_current_bgsave_time_sec"]) == ("1", "0")
        await client("SET", "later", "v")
        disk.sync_gate.set()
        after = await client.info_when("rdb_bgsave_in_progress", "0")
        assert (after["rdb_last_bgsave_status"], after["rdb_saves"]) == ("ok", "1")
        assert after["rdb_changes_since_last_save"] == "1", "what came after the point is not saved"
        assert await client("LASTSAVE") == b":" + after["rdb_last_save_time"].encode()
        assert rdb_files(tmp_path) == ["dump.rdb"]


async def test_bgsave_in_a_transaction_is_scheduled(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, client):
        for words in (["MULTI"], ["SET", "k", "v"], ["BGSAVE"]):
            await client(*words)
        assert await client("EXEC") == b"*2"
        assert await client.line() == b"+OK"
        assert await client.line() == b"+Background saving scheduled"
        assert (await client.info_when("rdb_saves", "1"))["rdb_last_bgsave_status"] == "ok"


async def test_bgsave_can_be_cancelled_and_leaves_no_file(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.sync_gate.clear()
    async with serving(tmp_path, disk=disk) as (server, client):
        await client("SET", "k", "v")
        assert await client("BGSAVE", "CANCEL") == b"-ERR Background saving is currently not in progress or scheduled"
        await client("BGSAVE")
        await trio.to_thread.run_sync(disk.sync_started.wait)
        assert rdb_files(tmp_path)[0].startswith("temp-")
        assert await client("BGSAVE", "CANCEL") == b"+Background saving cancelled"
        disk.sync_gate.set()
        info = await client.info_when("rdb_bgsave_in_progress", "0")
        assert (info["rdb_saves"], info["rdb_last_bgsave_status"]) == ("0", "ok")
        assert rdb_files(tmp_path) == []
        assert server.engine.keyspace.databases[0].unsaved is None
        assert await client("BGSAVE") == b"+Background saving started"
        await client.info_when("rdb_saves", "1")
        assert rdb_files(tmp_path) == ["dump.rdb"]


@pytest.mark.parametrize("fault", ["write_error", "sync_error", "room"])
async def test_a_save_that_fails_keeps_the_file_before_and_refuses_writes(tmp_path: Path, fault: str) -> None:
    disk = FaultyDisk()
    async with serving(tmp_path, "--save", "3600 1000", disk=disk) as (_, client):
        await client("SET", "k", "v")
        await client("BGSAVE")
        await client.info_when("rdb_saves", "1")
        whole = (tmp_path / "dump.rdb").read_bytes()
        setattr(disk, fault, 20 if fault == "room" else errno.EIO)
        await client("SET", "k", "w" * 100)
        await client("BGSAVE")
        info = await client.info_when("rdb_last_bgsave_status", "err")
        assert (info["rdb_saves"], info["rdb_changes_since_last_save"]) == ("1", "1")
        assert rdb_files(tmp_path) == ["dump.rdb"]
        assert (tmp_path / "dump.rdb").read_bytes() == whole
        assert (await client("SET", "k", "x")).startswith(b"-MISCONF Redis is configured to save RDB snapshots, but")
        assert (await client("PING")).startswith(b"-MISCONF")
        assert await client("STRLEN", "k") == b":100"
        await client("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
        assert await client("SET", "k", "x") == b"+OK"
        await client("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
        assert (await client("SET", "k", "x")).startswith(b"-MISCONF")
        setattr(disk, fault, None if fault == "room" else 0)
        assert await client("SAVE") == b"+OK"
        assert await client("SET", "k", "x") == b"+OK"
        await client("CONFIG", "SET", "save", "")


async def test_flushall_empties_the_file_where_saves_are_on(tmp_path: Path) -> None:
    disk = FaultyDisk()
    async with serving(tmp_path, "--save", "3600 1000", disk=disk) as (_, client):
        await client("SET", "k", "v")
        assert await client("SAVE") == b"+OK"
        whole = (tmp_path / "dump.rdb").read_bytes()
        await client("FLUSHDB")
        assert (tmp_path / "dump.rdb").read_bytes() == whole
        await client("SET", "k", "v")
        assert await client("FLUSHALL") == b"+OK"
        empty = (tmp_path / "dump.rdb").read_bytes()
        assert len(empty) < len(whole)
        assert (await client.info())["rdb_changes_since_last_save"] == "0"
        disk.sync_gate.clear()
        await client("SET", "k", "v")
        await client("BGSAVE")
        await trio.to_thread.run_sync(disk.sync_started.wait)
        assert await client("FLUSHALL") == b"+OK"  # what is being saved is not what is to be there
        disk.sync_gate.set()
        info = await client.info_when("rdb_saves", "3")
        assert info["rdb_changes_since_last_save"] == "0"
        assert len((tmp_path / "dump.rdb").read_bytes()) == len(empty)
        await client("CONFIG", "SET", "save", "")
        await client("SET", "k", "v")
        await client("FLUSHALL")
        assert (await client.info())["rdb_saves"] == "3"


async def test_save_points_begin_a_save(tmp_path: Path) -> None:
    async with serving(tmp_path, "--save", "3600 1000 1 5") as (server, client):
        for i in range(4):
            await client("SET", f"k{i}", "v")
        assert server.saving.changes == 4
        server.saving.last_save -= 10
        server.saving.look()
        await trio.testing.wait_all_tasks_blocked()
        assert server.saving.job.done == 0
        await client("SET", "k", "v")
        server.saving.look()
        await client.info_when("rdb_saves", "1")
        assert server.saving.changes == 0
        await client("CONFIG", "SET", "save", "")


async def test_values_that_change_while_a_large_one_is_written_are_saved_as_they_were(tmp_path: Path) -> None:
    """The writes come between the slices, also between those of one value; redis-server reads what was saved."""
    rng = Random(3)
    async with serving(tmp_path, "--enable-debug-command", "yes") as (server, client):
        run = server.engine.open_session()
        execute = server.engine.execute

        def request(*words: object) -> None:
            execute(run, [word if isinstance(word, bytes) else str(word).encode() for word in words])

        for big in range(3):
            request("HSET", f"hash{big}", *range(20_000))
            request("RPUSH", f"list{big}", *range(9_000))
            request("ZADD", f"zset{big}", *[part for i in range(5_000) for part in (i % 70, i)])
        for i in range(1, 9_000):
            request("XADD", "stream", f"{i}-1", "field", i, "other", "x" * (i % 50))
        request("XGROUP", "CREATE", "stream", "g", "0")
        request("XREADGROUP", "GROUP", "g", "c", "COUNT", 5_000, "STREAMS", "stream", ">")
        for i in range(2_000):
            request("SET", f"key:{i}", i, *(["PX", 10**9] if i % 2 else []))
        expected = await client("DEBUG", "DIGEST", "REDIS")
        assert await client("BGSAVE") == b"+Background saving started"
        changes = 0
        while server.saving.is_active:
            request("SET", f"key:{rng.randrange(2_000)}", "changed")
            request("HSET", f"hash{rng.randrange(3)}", rng.randrange(20_000), "changed")
            request("LSET", f"list{rng.randrange(3)}", rng.randrange(9_000), "changed")
            request("ZADD", f"zset{rng.randrange(3)}", rng.random(), rng.randrange(5_000))
            request("XDEL", "stream", f"{rng.randrange(9_000)}-1")
            request("XACK", "stream", "g", f"{rng.randrange(5_000)}-1")
            request("XADD", "stream", "*", "f", "v")
            changes += 1
            await trio.lowlevel.checkpoint()
        assert changes > 50, "the slices were too long"
    with loaded(tmp_path) as redis:
        with Wire(redis.port) as wire:
            assert b"+" + wire("DEBUG", "DIGEST").encode() == expected
            assert wire("XPENDING", "stream", "g")[0] == 5_000


def loaded(folder: Path) -> RedisServer:
    """redis-server with the file of ours."""
    done = subprocess.run(["redis-check-rdb", str(folder / "dump.rdb")], capture_output=True, text=True)
    assert done.returncode == 0 and "RDB looks OK" in done.stdout, done.stdout
    return RedisServer(folder, "--save", "")


# -- the end of a server, as processes


def test_the_last_save_is_at_the_end(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "no", "--save", "3600 1000") as broker:
        with Wire(broker.port) as wire:
            wire("SET", "k", "v")
        assert broker.stop() == 0
    with loaded(tmp_path) as redis, Wire(redis.port) as wire:
        assert wire("GET", "k") == b"v"


@pytest.mark.parametrize(("word", "options"), [("SAVE", ["--save", ""]), ("NOSAVE", ["--save", "3600 1000"])])
def test_shutdown_saves_as_it_is_told(tmp_path: Path, word: str, options: list[str]) -> None:
    with Broker(tmp_path, "--appendonly", "no", *options) as broker:
        with Wire(broker.port) as wire:
            wire("SET", "k", "v")
            wire.send("SHUTDOWN", word)
            eventually(lambda: not broker.alive(), what="its end")
    assert (tmp_path / "dump.rdb").exists() == (word == "SAVE")


def test_a_server_that_cannot_save_does_not_end(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "no", "--save", "3600 1000") as broker:
        with Wire(broker.port) as wire:
            wire("SET", "k", "v")
            (tmp_path / "dump.rdb").mkdir()
            assert wire("SHUTDOWN") == "ERR Errors trying to SHUTDOWN. Check logs."
            assert wire("GET", "k") == b"v"
            (tmp_path / "dump.rdb").rmdir()
            assert wire("SAVE") == "OK"
        assert broker.stop() == 0
