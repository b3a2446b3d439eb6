"""The open log over a disk that fails in every way: nothing lost, nothing twice, nothing promised too early."""

import errno
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from support.faulty_disk import FaultyDisk, PowerCut

from broker.errors import CorruptFile
from broker.persistence import aof
from broker.persistence.aof import AppendOnlyLog
from broker.persistence.aof_format import LogFile, Manifest
from broker.persistence.recovery import read_manifest

NAME = "appendonly.aof"


class Log:
    """An open log, and what it told: `told` has "synced", "fails", "works"."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.disk = FaultyDisk()
        self.told: list[str] = []
        self._news = trio.Event()
        self.log = AppendOnlyLog(
            folder,
            NAME,
            policy,
            on_synced=lambda: self._tell("synced"),
            on_state=lambda works: self._tell("works" if works else "fails"),
            disk=self.disk,
        )
        self.log.retry_seconds = 0.005
        self.log.lock()
        self.log.open(read_manifest(folder, NAME))
        self.disk.calls.clear()
        self.disk.syncs = 0
        self.path = folder / f"{NAME}.1.incr.aof"

    def _tell(self, what: str) -> None:
        self.told.append(what)
        self._news.set()
        self._news = trio.Event()

    async def heard(self, what: str, times: int = 1) -> None:
        with trio.fail_after(10):
            while self.told.count(what) < times:
                await self._news.wait()

    async def tried(self, method: str, times: int = 3) -> None:
        """Wait until the log has asked the disk for this so many times more."""
        until = self.tries(method) + times
        with trio.fail_after(10):
            while self.tries(method) < until:
                await trio.testing.wait_all_tasks_blocked()

    def tries(self, method: str) -> int:
        return sum(call[0] == method for call in self.disk.calls)

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()

    def end(self) -> None:
        self.log.close()
        self.log.unlock()


@pytest.fixture
def always(tmp_path):
    return Log(tmp_path / "log", "always")


@pytest.fixture
def everysec(tmp_path):
    return Log(tmp_path / "everysec", "everysec")


# -- the order of write, fsync and reply


async def test_under_always_replies_wait_for_the_fsync_that_begins_after_their_write(always, nursery):
    await nursery.start(always.log.run)
    assert not always.log.replies_wait()
    always.log.append(b"one")
    assert always.log.replies_wait()
    always.log.start_sync()
    await always.heard("synced")
    assert not always.log.replies_wait()
    assert always.disk.durable == 3
    assert always.disk.syncs == 1


async def test_an_fsync_under_way_does_not_count_for_what_is_written_meanwhile(always, nursery):
    await nursery.start(always.log.run)
    always.disk.sync_gate.clear()
    always.log.append(b"one")
    always.log.start_sync()
    await trio.to_thread.run_sync(always.disk.sync_started.wait)
    always.log.append(b"two")
    always.disk.sync_gate.set()
    await always.heard("synced")
    assert always.log.replies_wait()
    always.log.start_sync()
    await always.heard("synced", 2)
    assert always.disk.durable == 6


async def test_nobody_sees_what_an_fsync_without_waiters_has_not_yet_made_durable(always, nursery):
    """A client that wants no replies wrote; the fsync of each second takes its time; others read what it wrote."""
    always.disk.sync_gate.clear()
    always.log.append(b"one")
    await nursery.start(always.log.run)
    await trio.to_thread.run_sync(always.disk.sync_started.wait)
    assert always.log.replies_wait()
    always.log.start_sync()
    always.disk.sync_gate.set()
    await always.heard("synced")
    assert not always.log.replies_wait()


async def test_everysec_fsyncs_by_itself_and_lets_no_reply_wait(everysec, nursery):
    everysec.log.append(b"one")
    assert not everysec.log.replies_wait()
    await nursery.start(everysec.log.run)
    with trio.fail_after(10):
        while everysec.disk.durable < 3:
            await trio.testing.wait_all_tasks_blocked()
    assert everysec.told == []


async def test_with_no_the_log_leaves_fsync_to_the_system_until_it_is_closed(tmp_path, nursery, autojump_clock):
    log = Log(tmp_path / "log", "no")
    await nursery.start(log.log.run)
    log.log.append(b"one")
    log.log.policy = "no"  # wakes the task
    await trio.sleep(100 * log.log.retry_seconds)  # of the clock that jumps
    assert log.content == b"one"
    assert log.disk.syncs == 0
    log.end()
    assert log.disk.syncs == 1


async def test_the_log_goes_on_where_it_ended(always, tmp_path):
    always.log.append(b"one")
    always.end()
    again = Log(tmp_path / "log", "always")
    again.log.append(b"two")
    assert again.content == b"onetwo"
    assert again.log.size == 6
    again.end()


# -- a disk that fails


async def test_short_writes_are_gone_on_with(always):
    always.disk.piece = 3
    always.log.append(b"0123456789")
    assert always.content == b"0123456789"


@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
@pytest.mark.parametrize("truncate_error", [0, errno.EIO])
async def test_a_full_disk_refuses_writes_until_there_is_room_and_then_has_everything_once(
    tmp_path, nursery, policy, truncate_error
):
    log = Log(tmp_path / "log", policy)
    await nursery.start(log.log.run)
    log.disk.truncate_error = truncate_error
    log.disk.room = 5
    log.log.append(b"one")
    log.log.append(b"two")
    assert log.told == ["fails"]
    assert log.log.held_bytes == 3
    assert log.content == (b"onetw" if truncate_error else b"one")
    log.log.append(b"three")
    log.log.start_sync()
    log.disk.room = 4  # not enough yet
    await log.tried("write")
    assert log.told == ["fails"]
    log.disk.room = None
    await log.heard("synced")
    assert log.told == ["fails", "works", "synced"]
    assert log.content == b"onetwothree"
    assert log.disk.durable == 11
    assert log.log.size == 11
    assert not log.log.failing


@pytest.mark.parametrize("policy", ["always", "everysec"])
async def test_what_a_failed_fsync_may_have_lost_is_written_again(tmp_path, nursery, policy):
    log = Log(tmp_path / "log", policy)
    log.log.append(b"before")
    await nursery.start(log.log.run)
    log.log.start_sync()
    await log.heard("synced")
    log.disk.sync_error = errno.EIO
    log.log.append(b"one")
    log.log.append(b"two")
    log.log.start_sync()
    await log.heard("fails")
    log.log.append(b"three")
    await log.tried("sync")
    assert log.told == ["synced", "fails"]
    log.disk.sync_error = 0
    await log.heard("synced", 2)
    assert log.told == ["synced", "fails", "works", "synced"]
    assert log.content == b"beforeonetwothree"
    assert log.disk.durable == len(log.content)


async def test_write_and_fsync_failing_together_lose_nothing(always, nursery):
    await nursery.start(always.log.run)
    always.disk.sync_error = always.disk.write_error = errno.EIO
    always.log.append(b"one")
    always.log.start_sync()
    await always.heard("fails")
    always.disk.write_error = 0
    await always.tried("sync")
    always.disk.write_error = errno.EIO
    await always.tried("write")  # so that no fsync of before is under way when they begin to work
    always.disk.sync_error = 0
    always.log.append(b"two")
    await always.tried("write")
    assert "synced" not in always.told
    always.disk.write_error = 0
    await always.heard("synced")
    always.log.start_sync()
    await always.heard("synced", 2)
    assert always.content == b"onetwo"
    assert always.told.count("works") == always.told.count("fails")


async def test_closing_writes_again_what_a_failed_fsync_may_have_lost(always, nursery):
    always.disk.sync_error = errno.EIO
    scope = trio.CancelScope()
    async with trio.open_nursery() as tasks:
        with scope:
            await tasks.start(always.log.run)
            always.log.append(b"one")
            always.log.start_sync()
            await always.heard("fails")
            tasks.cancel_scope.cancel()
    always.disk.sync_error = 0
    always.end()
    assert always.content == b"one"


async def test_closing_tells_when_bytes_could_not_be_written(always):
    always.disk.room = 0
    always.log.append(b"one")
    with pytest.raises(OSError, match="3 bytes of the log could not be written"):
        always.log.close()


async def test_bytes_kept_for_a_failed_fsync_are_bounded_unless_replies_wait_for_them(everysec, always, monkeypatch):
    monkeypatch.setattr(aof, "_MOST_KEPT", 100)
    for log in (everysec, always):
        for _ in range(50):
            log.log.append(b"x" * 10)
    assert sum(map(len, everysec.log._tail)) <= 100
    assert sum(map(len, always.log._tail)) == 500


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("policies", [["always", "everysec"], ["always", "everysec", "no"]], ids="+".join)
async def test_any_mixture_of_faults_and_policies_ends_with_every_byte_in_its_place(tmp_path, nursery, seed, policies):
    """And whenever waiting replies are let go, what they waited for is on the disk."""
    rng = Random(seed)
    log = Log(tmp_path / "log", rng.choice(policies))
    log.disk.forgets = "no" not in policies  # under `no` nothing is kept for writing again
    written = b""
    waits_for = 0
    released: list[tuple[int, int]] = []  # (had to be durable, was durable)
    log.log._on_synced = lambda: (released.append((waits_for, log.disk.durable)), log._tell("synced"))
    await nursery.start(log.log.run)
    waiting = 0
    for number in range(150):
        action = rng.random()
        if action < 0.5:
            piece = b"<%d>" % number * rng.randrange(1, 9)
            written += piece
            log.log.append(piece)
        elif action < 0.65 and len(released) == waiting:
            waits_for = len(written)
            log.log.start_sync()
            waiting += 1
        elif action < 0.8:
            log.log.policy = rng.choice(policies)
        elif action < 0.9:
            log.disk.write_error = rng.choice([0, 0, errno.ENOSPC, errno.EIO])
            log.disk.sync_error = rng.choice([0, 0, errno.EIO])
            log.disk.truncate_error = rng.choice([0, errno.EIO])
            log.disk.piece = rng.choice([None, 1, 5])
            log.disk.room = rng.choice([None, None, 3, 40])
        else:
            await trio.sleep(rng.random() / 500)
    log.disk.write_error = log.disk.sync_error = 0
    log.disk.room = None
    if len(released) < waiting:
        await log.heard("synced", waiting)
    if log.log.failing:
        await log.heard("works", log.told.count("fails"))
    nursery.cancel_scope.cancel()
    log.end()
    assert log.content == written
    assert len(released) == waiting
    assert all(needed <= durable for needed, durable in released)


# -- beginning


def test_a_new_log_is_on_the_disk_before_its_manifest_names_it(tmp_path):
    disk = FaultyDisk()
    log = AppendOnlyLog(tmp_path / "log", NAME, "always", lambda: None, lambda ok: None, disk)
    log.lock()
    log.open(None)
    assert disk.calls == [
        ("sync_folder", tmp_path.name),
        ("create", f"{NAME}.1.base.aof"),
        ("create", f"{NAME}.1.incr.aof"),
        ("sync_folder", "log"),
        ("write_file", f"temp-{NAME}.manifest"),
        ("rename", f"{NAME}.manifest"),
        ("sync_folder", "log"),
        ("sync", f"{NAME}.1.incr.aof"),
    ]
    log.close()
    log.unlock()


def _begin(log: AppendOnlyLog) -> None:
    log.lock()
    log.open(None)


@pytest.mark.parametrize("steps", range(8))
def test_a_power_cut_at_any_step_of_beginning_leaves_what_a_server_can_start_with(tmp_path, steps):
    folder = tmp_path / "log"
    disk = FaultyDisk()
    disk.cut_after = steps
    log = AppendOnlyLog(folder, NAME, "always", lambda: None, lambda ok: None, disk)
    with pytest.raises(PowerCut):
        _begin(log)
    log.unlock()
    again = Log(folder, "always")
    again.log.append(b"one")
    again.end()
    manifest = read_manifest(folder, NAME)
    assert manifest is not None
    assert [file.name for file in manifest.files()] == [f"{NAME}.1.base.aof", f"{NAME}.1.incr.aof"]
    assert again.content == b"one"


def test_a_log_with_a_base_alone_gets_an_increment_whose_number_is_not_used_up(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "base.aof").write_bytes(b"data")
    (folder / f"{NAME}.4.incr.aof").write_bytes(b"old")
    old = LogFile(f"{NAME}.4.incr.aof", 4, "h")
    log = AppendOnlyLog(folder, NAME, "no", lambda: None, lambda ok: None)
    log.lock()
    log.open(Manifest(LogFile("base.aof", 2, "b"), [], [old]))
    log.append(b"new")
    assert log.size == 7
    log.close()
    log.unlock()
    manifest = read_manifest(folder, NAME)
    assert manifest == Manifest(LogFile("base.aof", 2, "b"), [LogFile(f"{NAME}.5.incr.aof", 5, "i")], [old])
    assert (folder / "base.aof").read_bytes() == b"data"
    assert (folder / f"{NAME}.5.incr.aof").read_bytes() == b"new"


def test_two_servers_do_not_share_a_log(tmp_path):
    first = Log(tmp_path / "log", "no")
    second = AppendOnlyLog(tmp_path / "log", NAME, "no", lambda: None, lambda ok: None)
    with pytest.raises(OSError, match="another server"):
        second.lock()
    first.end()
    second.lock()
    second.unlock()


def test_the_manifest_of_a_new_log_names_files_that_are_there(tmp_path):
    Log(tmp_path / "log", "no").end()
    (tmp_path / "log" / f"{NAME}.1.base.aof").unlink()
    with pytest.raises(CorruptFile, match="not there"):
        read_manifest(tmp_path / "log", NAME)
