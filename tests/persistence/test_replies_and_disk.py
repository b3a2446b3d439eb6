"""When replies go out, seen from the clients of a whole server whose disk is in the test's hand."""

import errno
import gc
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import trio
from support.disk_server import Client, Running, running, until
from support.faulty_disk import FaultyDisk
from support.log_folder import NAME, load
from support.wire import encode


@pytest.fixture(autouse=True)
def _garbage_collection_as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


SET = encode("SET", "k", "v")
GET = encode("GET", "k")


async def test_no_reply_goes_out_before_the_fsync_and_one_fsync_serves_many_clients(tmp_path):
    async with running(tmp_path, "always") as run:
        writer, reader, many = [await run.client() for _ in range(3)]
        others = [await run.client() for _ in range(20)]
        run.disk.sync_gate.clear()
        await writer.send(SET)
        await trio.to_thread.run_sync(run.disk.sync_started.wait)
        for other in others:  # all that follows is read and executed while the disk is busy
            await other.send(encode("INCR", "n"))
        await many.send(encode("RPUSH", "l", 1), encode("RPUSH", "l", 2), encode("LLEN", "l"))
        await reader.send(GET)  # would show what is not durable
        await run.executed(25)
        assert run.disk.syncs == 0
        assert all(client.has_nothing() for client in [writer, reader, many, *others])
        run.disk.sync_gate.set()
        await writer.expect(b"+OK\r\n")
        await reader.expect(b"$1\r\nv\r\n")
        await many.expect(b":1\r\n:2\r\n:2\r\n")
        numbers = sorted([int((await other.line())[1:]) for other in others])
        assert numbers == list(range(1, 21))
        assert run.disk.syncs == 2


async def test_what_only_reads_is_answered_without_an_fsync(tmp_path):
    async with running(tmp_path, "always") as run:
        client = await run.client()
        await client.send(GET, encode("PING"), encode("DEL", "k"))
        await client.expect(b"$-1\r\n+PONG\r\n:0\r\n")
        assert run.disk.calls == []


async def test_the_log_is_written_before_the_reply_is_sent_under_any_policy(tmp_path):
    async with running(tmp_path, "no") as run:
        client = await run.client()
        for number in range(1, 100):
            await client.send(encode("INCR", "n"))
            await client.expect(b":%d\r\n" % number)
            content = (run.log.folder / f"{NAME}.1.incr.aof").read_bytes()
            assert content.count(encode("INCR", "n")) == number


@pytest.mark.parametrize("policy", ["everysec", "no"])
async def test_a_full_disk_refuses_writes_lets_reads_go_on_and_mends_by_itself(tmp_path, policy):
    async with running(tmp_path, policy) as run:
        client = await run.client()
        await client.send(SET)
        await client.expect(b"+OK\r\n")
        run.disk.room = 10
        await client.send(encode("INCR", "n"))
        await client.expect(b":1\r\n")  # kept in memory, as Redis does; nothing more is taken
        await client.send(encode("INCR", "n"))
        assert (await client.line()).startswith(b"-MISCONF ")
        await client.send(GET, encode("GET", "n"))
        await client.expect(b"$1\r\nv\r\n$1\r\n1\r\n")
        run.disk.room = None
        await _until_writes_are_taken(client)
        await client.send(encode("INCR", "n"))
        await client.expect(b":2\r\n")
    harness, done = load(tmp_path / "appendonlydir")
    assert (harness.run("GET k"), harness.run("GET n"), done.cut) == (b"v", b"2", 0)


async def _until_writes_are_taken(client: Client) -> None:
    reply = b"-MISCONF"
    with trio.fail_after(10):
        while reply.startswith(b"-MISCONF"):
            await client.send(encode("DEL", "none"))
            reply = await client.line()
    assert reply == b":0\r\n"


@pytest.mark.parametrize("fault", ["write", "fsync", "full"])
async def test_under_always_nothing_is_acknowledged_while_the_disk_fails_and_everything_once_it_works(tmp_path, fault):
    async with running(tmp_path, "always") as run:
        first, second = await run.client(), await run.client()
        if fault == "write":
            run.disk.write_error = errno.EIO
        elif fault == "fsync":
            run.disk.sync_error = errno.EIO
        else:
            run.disk.room = 7
        await first.send(encode("INCR", "n"))
        await run.failing()
        await second.send(encode("INCR", "n"))
        await run.executed(1)
        assert first.has_nothing()
        run.disk.write_error = run.disk.sync_error = 0
        run.disk.room = None
        await first.expect(b":1\r\n")
        assert (await second.line()).startswith(b"-MISCONF ")
        await _until_writes_are_taken(second)
        await second.send(encode("INCR", "n"))
        await second.expect(b":2\r\n")
        assert run.disk.durable == (run.log.folder / f"{NAME}.1.incr.aof").stat().st_size
    assert load(tmp_path / "appendonlydir")[0].run("GET n") == b"2"


async def test_under_always_reads_go_on_while_the_disk_fails(tmp_path):
    async with running(tmp_path, "always") as run:
        first, second = await run.client(), await run.client()
        run.disk.sync_error = errno.EIO
        await first.send(SET)
        await run.failing()
        await second.send(encode("GET", "other"))
        await run.executed(2)
        reply = b""
        with trio.move_on_after(0.5):
            reply = await second.line()
        run.disk.sync_error = 0
    assert reply == b"$-1\r\n"


@pytest.mark.parametrize("seed", range(4))
async def test_a_power_cut_loses_nothing_that_was_acknowledged_under_always(tmp_path, seed):
    """What the disk has for certain is the part that was fsynced; of the rest any part may be there."""
    rng = Random(seed)
    acknowledged: list[bytes] = []
    async with running(tmp_path, "always") as run:
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(_write_values, await run.client(), b"%d" % number, acknowledged)
            for cut in range(5):
                enough = cut * 60 + rng.randrange(60)
                await until(lambda enough=enough: len(acknowledged) > enough)
                promised = list(acknowledged)
                folder = tmp_path / f"cut-{cut}"
                _cut_power(run, folder, rng)
                harness, _ = load(folder)
                values = harness.run("SMEMBERS values")
                assert set(promised) <= set(values)
                assert harness.run("LLEN list") == len(values) == harness.run("XLEN stream")
            nursery.cancel_scope.cancel()


def _cut_power(run: Running, folder: Path, rng: Random) -> None:
    durable = run.disk.durable
    shutil.copytree(run.log.folder, folder)
    path = folder / f"{NAME}.1.incr.aof"
    data = path.read_bytes()
    path.write_bytes(data[: rng.randint(durable, len(data))])


async def _write_values(client: Client, name: bytes, acknowledged: list[bytes]) -> None:
    number = 0
    while True:
        value = b"%b-%d" % (name, number)
        number += 1
        unit = [encode("RPUSH", "list", value), encode("SADD", "values", value), encode("XADD", "stream", "*", "v", 1)]
        await client.send(encode("MULTI"), *unit, encode("EXEC"))
        for _ in range(8):  # OK, three times QUEUED, *3, two numbers, the length of an id
            await client.line()
        await client.line()
        acknowledged.append(value)


async def test_the_policy_can_be_changed_at_any_time_and_no_reply_gets_stuck(tmp_path):
    acknowledged: list[bytes] = []
    async with running(tmp_path, "always") as run:
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(_write_values, await run.client(), b"%d" % number, acknowledged)
            admin = await run.client()
            rng = Random(7)
            for _ in range(60):
                await admin.send(encode("CONFIG", "SET", "appendfsync", rng.choice(["always", "everysec", "no"])))
                await admin.expect(b"+OK\r\n")
                enough = len(acknowledged) + 4
                await until(lambda enough=enough: len(acknowledged) >= enough)
            nursery.cancel_scope.cancel()
    harness, done = load(tmp_path / "appendonlydir")
    assert set(acknowledged) <= set(harness.run("SMEMBERS values"))
    assert len(harness.run("LRANGE list 0 -1")) == harness.run("SCARD values")
    assert done.cut == 0


async def test_a_server_that_is_told_to_end_has_its_log_on_the_disk(tmp_path):
    async with running(tmp_path, "no") as run:
        client = await run.client()
        await client.send(SET)
        await client.expect(b"+OK\r\n")
        assert run.disk.syncs == 0
    assert run.disk.syncs == 1
    assert load(tmp_path / "appendonlydir")[0].run("GET k") == b"v"


class SlowTurn(FaultyDisk):
    """The second fsync, that of a log which turns to a new file, takes until it is let go, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.fails = False
        self.asked = 0

    def sync(self, file: int) -> None:
        self.asked += 1
        if self.asked == 2:
            self.begun.set()
            assert self.gate.wait(20)
            if self.fails:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(file)


@pytest.mark.parametrize("fails", [False, True])
async def test_a_log_turns_to_a_new_file_without_stopping_anybody_who_only_reads(tmp_path, fails):
    """What is written meanwhile is answered when the new file has it, or the old one, if the turn fails."""
    async with running(tmp_path, "no") as run:
        first, second, reader = [await run.client() for _ in range(3)]
        await first.send(SET)
        await first.expect(b"+OK\r\n")
        await second.send(encode("CLIENT", "DURABILITY", "everysec"))
        await second.expect(b"+OK\r\n")
        disk = SlowTurn()
        disk.fails = fails
        run.log.disk = disk
        await first.send(encode("BGREWRITEAOF"))
        await first.line()
        await until(disk.begun.is_set)
        await reader.send(GET)
        await reader.expect(b"$1\r\nv\r\n")
        await first.send(encode("SET", "a", 1))
        await second.send(encode("SET", "b", 2))
        await until(lambda: run.log.held_bytes >= 2 * len(encode("SET", "b", 2)))
        before = int(run.server.engine.executed)
        await reader.send(encode("GET", "a"))
        await run.executed(before + 1)
        assert all(client.has_nothing() for client in (first, second, reader))
        disk.gate.set()
        for client, reply in ((first, b"+OK\r\n"), (second, b"+OK\r\n"), (reader, b"$1\r\n1\r\n")):
            await client.expect(reply)
        await until(lambda: not run.server.rewriting.is_active)
        assert run.server.rewriting.job.works is not fails
        assert run.server.engine.keyspace.databases[0].unsaved is None
        await until(lambda: not run.log.failing)
        await first.send(encode("SET", "c", 3))
        await first.expect(b"+OK\r\n")
        names = [file.name for file in run.log.manifest.files()]
        assert names == ([f"{NAME}.1.base.aof", f"{NAME}.1.incr.aof"] if fails else
                         [f"{NAME}.2.base.rdb", f"{NAME}.2.incr.aof"])  # fmt: skip
    harness, _ = load(tmp_path / "appendonlydir")
    assert [harness.run("GET", key) for key in "kabc"] == [b"v", b"1", b"2", b"3"]
