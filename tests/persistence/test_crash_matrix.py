"""A crash, or an error of the disk, at each step that saving and rewriting take on the disk, while clients write.

The power goes after the n-th call to the disk, for every n: what was not fsynced is gone. Under `always` nothing that
was acknowledged may be missing, and each start succeeds without a hand. An error at the n-th call may fail the
rewrite, or have writes refused for a while; nothing may be lost, and the server goes on by itself.
"""

import contextlib
import gc
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import trio
from support.faulty_disk import FaultyDisk, PowerCut
from support.log_folder import NAME, load
from support.servers import Broker
from support.wire import Wire

from broker.config import load as load_config
from broker.server.server import Server

SMALL = 30  # keys: each is one step of the snapshot at most
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


async def run_until_crash(folder: Path, disk: FaultyDisk, command: bytes, times: int, cut_after: int | None) -> Writer:
    """A server whose disk works for so many calls from `command` on. Ends when the server dies, or is done."""
    options = [*OPTIONS, "--dir", str(folder), "--appendfsync", "always"]
    server = Server(load_config(None, options), disk=disk)
    writer = Writer()
    with trio.fail_after(20):
        try:
            async with trio.open_nursery() as nursery:
                started = await nursery.start(server.run)
                assert server.log is not None
                server.log.retry_seconds = 0.02
                run = server.engine.open_session()
                for i in range(SMALL):
                    server.engine.execute(run, [b"SET", b"key:%d" % i, b"%d" % i])
                    server.engine.execute(run, [b"SADD", b"set", b"%d" % i])
                nursery.start_soon(writer.run, started.port)
                await writer.acknowledges_more()
                async with await trio.open_tcp_stream("127.0.0.1", started.port) as asking:
                    disk.cut_after = cut_after
                    for _ in range(times):
                        await asking.send_all(command)
                        await asking.receive_some()
                        while server.rewriting.is_active or server.saving.is_active:
                            await trio.lowlevel.checkpoint()
                disk.cut_after = None
                server.shutdown.ask(force=True)
        except* PowerCut:
            disk.lose(folder)
            writer.crashed = True
    return writer


@pytest.mark.parametrize("part", range(4))
async def test_the_power_goes_at_each_step_of_a_rewrite(tmp_path: Path, part: int) -> None:
    crashes = 0
    for step in range(part, 60, 4):
        folder = tmp_path / str(step)
        folder.mkdir()
        disk = FaultyDisk()
        writer = await run_until_crash(folder, disk, b"BGREWRITEAOF\r\n", 1, step)
        writer.check(folder)
        crashes += writer.crashed
        assert writer.crashed or ("remove", f"{NAME}.1.incr.aof") in disk.calls, "it came to its end"
        shutil.rmtree(folder)
    assert crashes >= 4


def write_empty_log(folder: Path) -> None:
    (folder / "appendonlydir").mkdir()
    (folder / "appendonlydir" / "appendonly.aof.1.incr.aof").write_bytes(b"")
    manifest = folder / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("file appendonly.aof.1.incr.aof seq 1 type i\n")


async def test_the_power_goes_at_each_step_of_a_save(tmp_path: Path) -> None:
    """The file is the old one or the new one, whole."""
    for step in range(0, 24):
        folder = tmp_path / str(step)
        folder.mkdir()
        (folder / "dump.rdb").write_bytes(b"the file before")
        write_empty_log(folder)  # else the server would begin with that file
        disk = FaultyDisk()
        await run_until_crash(folder, disk, b"BGSAVE\r\n", 1, step)
        path = folder / "dump.rdb"
        if path.read_bytes() != b"the file before":
            done = await trio.run_process(["redis-check-rdb", str(path)], capture_stdout=True)
            assert b"RDB looks OK" in done.stdout, done.stdout
        shutil.rmtree(folder)


@pytest.mark.parametrize("part", range(2))
async def test_an_error_at_each_step_of_a_rewrite_is_survived(tmp_path: Path, part: int) -> None:
    """Rewrites until one came to its end after the error; then the server ends as asked, and all is there."""
    for step in range(part, 50, 2):
        folder = tmp_path / str(step)
        folder.mkdir()
        disk = FaultyDisk()
        disk.fail_after = 10**9
        options = [*OPTIONS, "--dir", str(folder), "--appendfsync", "always"]
        server = Server(load_config(None, options), disk=disk)
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
                disk.fail_after = step
                while disk.fail_after is not None or not server.rewriting.works or not server.rewriting.rewrites:
                    server.rewriting.begin(False)
                    while server.rewriting.is_active or server.log.failing:
                        await trio.lowlevel.checkpoint()
                await writer.acknowledges_more()
                server.shutdown.ask()
        writer.check(folder)
        shutil.rmtree(folder)


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
