"""A crash, or an error of the disk, at each step that saving and rewriting take on the disk, while clients write.

The power goes after the n-th call to the disk, for every n: what was not fsynced is gone. Under `always` nothing that
was acknowledged may be missing, and each start succeeds without a hand. An error (a full disk, a broken one) at each
kind of call may fail the rewrite, or have writes refused for a while; nothing may be lost, and the server goes on by
itself.
"""

import contextlib
import errno
import gc
import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest
import trio
from support.faulty_disk import Fault, FaultyDisk, PowerCut, kind_of
from support.log_folder import NAME, load
from support.rdb_files import read
from support.servers import Broker
from support.wire import Wire

from broker.config import load as load_config
from broker.server.server import Server

SMALL = 30  # keys: each is one step of the snapshot at most
REWRITE, SAVE = b"BGREWRITEAOF\r\n", b"BGSAVE\r\n"
OPTIONS = ["--port", "0", "--save", "", "--auto-aof-rewrite-percentage", "0"]


@pytest.fixture(autouse=True)
def _garbage_collection_as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


class Writer:
    """Counts up, and notes what was acknowledged; other keys are there to be written anew."""

    def __init__(self) -> None:
        self.sent = 0
        self.acknowledged = 0
        self.refused = 0
        self.crashed = False

    async def run(self, port: int) -> None:
        with contextlib.suppress(trio.BrokenResourceError, OSError):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await self._run(stream)

    async def acknowledges_more(self) -> None:
        """What is acknowledged under `always` is durable, with all that was written before."""
        before = self.acknowledged
        while self.acknowledged <= before + 1:
            await trio.lowlevel.checkpoint()

    async def _run(self, stream: trio.SocketStream) -> None:
        data = b""
        while True:
            self.sent += 1
            await stream.send_all(b"INCR counter\r\nRPUSH list %d\r\n" % self.sent)
            while data.count(b"\r\n") < 2:
                got = await stream.receive_some()
                if not got:
                    return
                data += got
            first, _, data = data.split(b"\r\n", 2)
            if first.startswith(b":"):
                self.acknowledged += 1
            else:
                assert first.startswith(b"-MISCONF"), first
                self.refused += 1

    def check(self, folder: Path) -> None:
        """What the log holds: all that was acknowledged, and nothing that was not sent."""
        harness, _ = load(folder / "appendonlydir")
        counter = int(harness.run("GET counter") or 0)
        assert self.acknowledged <= counter <= self.sent
        assert counter - 1 <= harness.run("LLEN list") <= counter
        assert harness.run("SCARD set") == SMALL
        assert all(harness.run("GET", f"key:{i}") == b"%d" % i for i in range(SMALL))


class Asking:
    def __init__(self, server: Server, stream: trio.SocketStream) -> None:
        self._server = server
        self._stream = stream

    async def __call__(self, command: bytes) -> None:
        """Ask, and wait until what was asked for is done or has failed."""
        await self._stream.send_all(command)
        await self._stream.receive_some()
        while self._server.rewriting.is_active or self._server.saving.is_active:
            await trio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def company(folder: Path, disk: FaultyDisk, *options: str) -> AsyncIterator[tuple[Server, Writer, Asking]]:
    """A server with some keys, a client that writes all the time, and one that asks for something."""
    defaults = [*OPTIONS, "--dir", str(folder), "--appendfsync", "always"]
    server = Server(load_config(None, [*defaults, *options]), disk=disk)
    writer = Writer()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            started = await nursery.start(server.run)
            assert server.log is not None
            server.log.retry_seconds = 0.01
            run = server.engine.open_session()
            for i in range(SMALL):
                server.engine.execute(run, [b"SET", b"key:%d" % i, b"%d" % i])
                server.engine.execute(run, [b"SADD", b"set", b"%d" % i])
            nursery.start_soon(writer.run, started.port)
            await writer.acknowledges_more()
            async with await trio.open_tcp_stream("127.0.0.1", started.port) as stream:
                yield server, writer, Asking(server, stream)
            server.shutdown.ask(force=disk.cut_after is not None)


# -- the power goes


async def crashes(folder: Path, command: bytes, step: int, *options: str) -> tuple[FaultyDisk, Writer, bool]:
    """The power goes after so many calls to the disk from `command` on, or the server is done before that."""
    disk = FaultyDisk()
    writers = []
    has_crashed = False
    try:
        async with company(folder, disk, *options) as (_, writer, ask):
            writers.append(writer)
            disk.cut_after = step
            await ask(command)
            disk.cut_after = None
    except* PowerCut:
        disk.lose(folder)
        has_crashed = True
    return disk, writers[0], has_crashed


@pytest.mark.parametrize("preamble", ["yes", "no"])
@pytest.mark.parametrize("part", range(2))
async def test_the_power_goes_at_each_step_of_a_rewrite(tmp_path: Path, part: int, preamble: str) -> None:
    crashed = 0
    for step in range(part, 44, 2):
        folder = tmp_path / str(step)
        folder.mkdir()
        disk, writer, has_crashed = await crashes(folder, REWRITE, step, "--aof-use-rdb-preamble", preamble)
        writer.check(folder)
        crashed += has_crashed
        assert has_crashed or ("remove", f"{NAME}.1.incr.aof") in disk.calls, "it came to its end"
        shutil.rmtree(folder)
    assert crashed >= 8


def write_empty_log(folder: Path) -> None:
    (folder / "appendonlydir").mkdir()
    (folder / "appendonlydir" / "appendonly.aof.1.incr.aof").write_bytes(b"")
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")


OLD = b"the file before"


def is_new(path: Path) -> bool:
    """Whether it is a whole file, and not the one before."""
    data = path.read_bytes()
    if data == OLD:
        return False
    keyspace, reader = read(data)
    assert reader.loaded >= SMALL + 1 and keyspace.databases[0].table.has(b"set")
    return True


async def test_the_power_goes_at_each_step_of_a_save(tmp_path: Path) -> None:
    """The file is the old one or the new one, whole."""
    found = set()
    for step in range(0, 24):
        folder = tmp_path / str(step)
        folder.mkdir()
        (folder / "dump.rdb").write_bytes(OLD)
        write_empty_log(folder)  # else the server would begin with that file
        await crashes(folder, SAVE, step)
        found.add(is_new(folder / "dump.rdb"))
        shutil.rmtree(folder)
    assert found == {False, True}


# -- the disk is full, or broken

LOG, BASE, MANIFEST = f"{NAME}.N.incr.aof", "temp-rewriteaof-bg-N.aof", f"temp-{NAME}.manifest"
STEPS_OF_A_REWRITE = [
    ("open_new", LOG), ("write", LOG), ("sync", LOG),
    ("open_new", BASE), ("write", BASE), ("sync", BASE), ("rename", f"{NAME}.N.base.rdb"),
    ("write_file", MANIFEST), ("rename", f"{NAME}.manifest"), ("sync_folder", "appendonlydir"),
    ("remove", LOG), ("remove", f"{NAME}.N.base.aof"),
]  # fmt: skip
STEPS_OF_A_SAVE = [
    ("open_new", "temp-N.rdb"), ("write", "temp-N.rdb"), ("sync", "temp-N.rdb"),
    ("rename", "dump.rdb"), ("sync_folder", "saves"),
]  # fmt: skip


async def test_these_are_the_steps(tmp_path: Path) -> None:
    """All that a rewrite, and a save, do on the disk: so the two tests below leave out none."""
    folder = tmp_path / "saves"
    folder.mkdir()
    disk = FaultyDisk()
    async with company(folder, disk) as (_, _, ask):
        for command, steps in ((REWRITE, STEPS_OF_A_REWRITE), (SAVE, STEPS_OF_A_SAVE)):
            disk.calls.clear()
            await ask(command)
            done = {(method, kind_of(name)) for method, name in disk.calls}
            assert done | {("write", LOG), ("sync", LOG)} == set(steps) | {("write", LOG), ("sync", LOG)}


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("step", STEPS_OF_A_REWRITE, ids="-".join)
async def test_an_error_at_each_step_of_a_rewrite_is_survived(
    tmp_path: Path, step: tuple[str, str], error: int
) -> None:
    """It fails twice. Then a rewrite comes to its end, the server ends as asked, and all is there."""
    disk = FaultyDisk()
    async with company(tmp_path, disk) as (server, writer, ask):
        fault = disk.fault = Fault(*step, error, 2)
        while fault.times or server.rewriting.job.done < 1 or not server.rewriting.job.works:
            await ask(REWRITE)
            while server.log is None or server.log.failing:
                await trio.lowlevel.checkpoint()
        await writer.acknowledges_more()
        assert server.rewriting.job.failures == 0
    writer.check(tmp_path)
    left = {path.name for path in (tmp_path / "appendonlydir").iterdir() if path.name.startswith("temp")}
    assert not left


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("step", STEPS_OF_A_SAVE, ids="-".join)
async def test_an_error_at_each_step_of_a_save_leaves_the_file_before(
    tmp_path: Path, step: tuple[str, str], error: int
) -> None:
    """And the next save is a good one. (An error after the renaming comes too late for the file before.)"""
    folder = tmp_path / "saves"
    folder.mkdir()
    (folder / "dump.rdb").write_bytes(OLD)
    write_empty_log(folder)
    disk = FaultyDisk()
    async with company(folder, disk) as (server, writer, ask):
        disk.fault = Fault(*step, error, 1)
        await ask(SAVE)
        assert not server.saving.job.works
        assert is_new(folder / "dump.rdb") is (step[0] == "sync_folder")
        await ask(SAVE)
        assert server.saving.job.works
        assert is_new(folder / "dump.rdb")
        await writer.acknowledges_more()
    writer.check(folder)
    assert not list(folder.glob("temp*"))


# -- kill -9, real processes


@pytest.mark.parametrize("policy", ["always", "everysec"])
def test_kill_9_while_the_log_is_rewritten_all_the_time(tmp_path: Path, policy: str) -> None:
    """What was acknowledged has been given to the system: killing the process alone loses none of it."""
    rng = Random(policy)
    acknowledged = [0]
    options = ["--appendfsync", policy, "--save", "", "--auto-aof-rewrite-percentage", "1",
               "--auto-aof-rewrite-min-size", "1"]  # fmt: skip
    for _ in range(3):
        with Broker(tmp_path, *options) as broker:
            with Wire(broker.port) as wire:
                assert acknowledged[0] <= int(wire("GET", "counter") or 0) <= acknowledged[0] + 1
                acknowledged[0] = int(wire("GET", "counter") or 0)
            threads = [threading.Thread(target=body, args=(broker.port, acknowledged)) for body in (count, rewrite)]
            for thread in threads:
                thread.start()
            threads[0].join(rng.uniform(0.2, 0.7))
            os.kill(broker.process.pid, signal.SIGKILL)
            broker.process.wait()
            for thread in threads:
                thread.join()
    log = [line for line in (tmp_path / "server.log").read_text().splitlines() if "log.rewritten" in line]
    assert len(log) > 2, "there was something to kill"
    harness, _ = load(tmp_path / "appendonlydir")
    assert acknowledged[0] <= int(harness.run("GET counter")) <= acknowledged[0] + 1
    assert (tmp_path / "appendonlydir" / f"{NAME}.manifest").exists()


def count(port: int, acknowledged: list[int]) -> None:
    with contextlib.suppress(OSError, EOFError), Wire(port) as wire:
        while True:
            acknowledged[0] = wire("INCR", "counter")


def rewrite(port: int, _: list[int]) -> None:
    with contextlib.suppress(OSError, EOFError), Wire(port) as wire:
        while True:
            wire("BGREWRITEAOF")
