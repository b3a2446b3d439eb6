"""Saving while the server goes on: BGSAVE, `save` points, and what is told of them. One at a time, in its own task.

A save begins at once, in the turn that asks for it: that is its point in time. Redis: rdb.c; serverCron in server.c.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from broker.commands.persistence import already_saving, nothing_to_cancel, other_at_work, save_failed
from broker.engine.admission import SAVES_FAIL
from broker.engine.engine import Engine
from broker.errors import CommandError
from broker.keyspace.snapshot import Snapshot
from broker.persistence.aof import Disk
from broker.persistence.snapshot import Target, save, save_at_once
from broker.persistence.snapshot_bytes import SnapshotBytes
from broker.rdb.limits import Format, format_of
from broker.server.job import LOOK_SECONDS, Job
from broker.version import COMPATIBLE_WITH, VERSION

log = structlog.get_logger()
_RETRY_SECONDS: Final = 5  # after a save that failed. Redis: CONFIG_BGSAVE_RETRY_DELAY


class Saving:
    """disk: what to write with; another_works: whether the log is being rewritten."""

    def __init__(self, engine: Engine, another_works: Callable[[], bool], disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.job = Job(engine, "saving")
        self.last_save = engine.clock.now_ms() // 1000  # Unix time
        self._engine = engine
        self._another_works = another_works
        self._dirty = 0  # Keyspace.dirty at the point of the last save
        self._tried = 0.0  # monotonic time of the last attempt

    # -- what is asked of it

    def begin(self, is_patient: bool, in_transaction: bool) -> bool:
        """BGSAVE. False: scheduled."""
        if self.is_active:
            raise already_saving()
        if self._another_works() or in_transaction:
            if not (is_patient or in_transaction):
                raise other_at_work()
            self.job.schedule()
            return False
        self._begin()
        return True

    def cancel(self) -> bool:
        """BGSAVE CANCEL. False: it was only scheduled."""
        if self.is_active:
            self.job.cancel()
            return True
        if not self.job.is_scheduled:
            raise nothing_to_cancel()
        self.job.is_scheduled = False
        return False

    def at_once(self) -> None:
        """SAVE: nobody gets on meanwhile."""
        if self.is_active:
            raise already_saving()
        self.job.note_begin()
        snapshot = Snapshot(self._engine.keyspace, is_still=True)
        try:
            size = save_at_once(self._bytes(snapshot), self._target(), self.disk)
        except OSError as error:
            self.job.fail()
            self._failed(error)
            raise save_failed() from None
        self._done(int(snapshot.dirty), size, 0.0)

    def emptied(self) -> None:
        """FLUSHALL: no crash is to bring back what it removed. Redis: flushAllDataAndResetRDB in db.c."""
        if self.is_active:
            self.job.cancel()
        if not self._engine.config.save_points():
            return
        if self.is_active:  # it needs a moment to end
            self.job.schedule()
            return
        try:
            self.at_once()
        except CommandError as error:
            log.error("rdb.not_emptied", error=error.text)  # as in Redis no error of FLUSHALL; INFO tells of it

    async def finally_(self) -> bool:
        """At the end of the server, while everybody is paused. False: it failed."""
        self.job.cancel()
        await self.job.wait_for_end()
        log.warning("rdb.saving_before_exit")
        self._begin()
        await self.job.wait_for_end()
        return self.job.works

    def look(self) -> None:
        """Something changed that it may have waited for."""
        self.job.look()

    # -- what it tells

    @property
    def is_active(self) -> bool:
        return self.job.is_active

    @property
    def changes(self) -> int:
        """Since the last save."""
        return int(self._engine.keyspace.dirty) - self._dirty

    def loaded(self) -> None:
        """What was changed up to now was loaded."""
        self._dirty = int(self._engine.keyspace.dirty)

    def note_settings(self) -> None:
        """Whether writes are refused after a failure depends on settings, too."""
        config = self._engine.config
        refuse = not self.job.works and config.boolean("stop-writes-on-bgsave-error") and bool(config.save_points())
        if refuse:
            self._engine.gate |= SAVES_FAIL
        else:
            self._engine.gate &= ~SAVES_FAIL
        self.look()

    # -- the task

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await self.job.wait_for_work(self._patience())
            if not self.is_active and not self._another_works():
                self._look_at_points()
            if self.is_active:
                await self.job.run(self._save, self._failed)

    def _patience(self) -> float:
        return LOOK_SECONDS if self.job.is_scheduled or self._engine.config.save_points() else math.inf

    def _look_at_points(self) -> None:
        now = self._engine.clock.monotonic()
        if not self.job.works and now - self._tried <= _RETRY_SECONDS:
            return
        if self.job.is_scheduled:
            self._begin()
            return
        passed = self._engine.clock.now_ms() // 1000 - self.last_save
        for seconds, changes in self._engine.config.save_points():
            if self.changes >= changes and passed > seconds:
                log.warning("rdb.save_point", changes=changes, seconds=seconds)
                self._begin()
                return

    def _begin(self) -> None:
        self._tried = self._engine.clock.monotonic()
        source = self._bytes(Snapshot(self._engine.keyspace))
        self.job.begin()
        self.job.source = source
        log.warning("rdb.saving", keys=int(source.snapshot.total))

    async def _save(self) -> None:
        source = self.job.source
        assert source is not None
        saved = await save(source, self._target(), self.disk)
        self._done(int(source.snapshot.dirty), saved.bytes, saved.longest_slice)

    def _bytes(self, snapshot: Snapshot) -> SnapshotBytes:
        return SnapshotBytes(snapshot, form_of(self._engine), facts_of(self._engine, is_base=False))

    def _target(self) -> Target:
        config = self._engine.config
        folder = Path(config.text("dir"))
        temporary = folder / f"temp-{os.getpid()}.rdb"
        checksum = config.boolean("rdbchecksum")
        return Target(
            folder / config.text("dbfilename"),
            temporary,
            checksum=checksum,
            sync_now_and_then=config.boolean("rdb-save-incremental-fsync"),
        )

    def _done(self, dirty: int, size: int, longest_slice: float) -> None:
        self._dirty = dirty
        self.last_save = self._engine.clock.now_ms() // 1000
        self.job.succeed()
        self.note_settings()
        seconds, longest_slice_ms = round(self.job.seconds(), 3), round(longest_slice * 1e3, 2)
        log.warning("rdb.saved", bytes=size, seconds=seconds, longest_slice_ms=longest_slice_ms)

    def _failed(self, error: Exception) -> None:
        self.note_settings()
        log.error("rdb.save_failed", error=str(error))


def form_of(engine: Engine) -> Format:
    return format_of(engine.config)


def facts_of(engine: Engine, is_base: bool) -> list[tuple[bytes, bytes]]:
    """AUX fields of the header, as Redis writes them, and whose file it is."""
    return [
        (b"redis-ver", COMPATIBLE_WITH.encode()),
        (b"redis-bits", b"64"),
        (b"ctime", b"%d" % (engine.clock.now_ms() // 1000)),
        (b"aof-base", b"1" if is_base else b"0"),
        (b"millstream-ver", VERSION.encode()),
    ]
