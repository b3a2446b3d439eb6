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
from broker.keyspace.snapshot import Snapshot
from broker.persistence.aof import Disk
from broker.persistence.snapshot import Target, save, save_at_once
from broker.persistence.snapshot_bytes import SnapshotBytes
from broker.rdb.limits import Format, format_of
from broker.version import COMPATIBLE_WITH, VERSION

log = structlog.get_logger()
_LOOK_SECONDS: Final = 0.5  # at the save points
_RETRY_SECONDS: Final = 5  # after a save that failed. Redis: CONFIG_BGSAVE_RETRY_DELAY


class Saving:
    """disk: what to write with; another_works: whether the log is being rewritten."""

    def __init__(self, engine: Engine, another_works: Callable[[], bool], disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.is_scheduled = False
        self.works = True  # the last save ended well
        self.failures = 0  # in a row
        self.saves = 0
        self.last_seconds = -1
        self.last_save = engine.clock.now_ms() // 1000  # Unix time
        self._engine = engine
        self._another_works = another_works
        self._dirty = 0  # Keyspace.dirty at the point of the last save
        self._tried = 0.0  # monotonic time of the last attempt
        self._begun = 0.0
        self._source: SnapshotBytes | None = None  # of the one under way
        self._scope: trio.CancelScope | None = None
        self._is_cancelled = False
        self._ended = trio.Event()
        self._wake = trio.Event()

    # -- what is asked of it

    def begin(self, is_patient: bool, in_transaction: bool) -> bool:
        """BGSAVE. False: scheduled."""
        if self.is_active:
            raise already_saving()
        if self._another_works() or in_transaction:
            if not (is_patient or in_transaction):
                raise other_at_work()
            self.is_scheduled = True
            self._wake.set()
            return False
        self._begin()
        return True

    def cancel(self) -> bool:
        """BGSAVE CANCEL. False: it was only scheduled."""
        if self.is_active:
            self._stop()
            return True
        if not self.is_scheduled:
            raise nothing_to_cancel()
        self.is_scheduled = False
        return False

    def at_once(self) -> None:
        """SAVE: nobody gets on meanwhile."""
        if self.is_active:
            raise already_saving()
        self._begun = self._engine.clock.monotonic()
        snapshot = Snapshot(self._engine.keyspace, is_still=True)
        try:
            size = save_at_once(self._bytes(snapshot), self._target(), self.disk)
        except OSError as error:
            self._failed(error)
            raise save_failed() from None
        self._done(int(snapshot.dirty), size, 0.0)

    async def finally_(self) -> bool:
        """At the end of the server, while everybody is paused. False: it failed."""
        self._stop()
        if self.is_active:
            await self._ended.wait()
        log.warning("rdb.saving_before_exit")
        self._begin()
        await self._ended.wait()
        return self.works

    def look(self) -> None:
        """Something changed that it may have waited for."""
        self._wake.set()

    # -- what it tells

    @property
    def is_active(self) -> bool:
        return self._source is not None

    @property
    def changes(self) -> int:
        """Since the last save."""
        return int(self._engine.keyspace.dirty) - self._dirty

    def active_seconds(self) -> int:
        """Since the one under way was begun; -1: none is."""
        return int(self._engine.clock.monotonic() - self._begun) if self.is_active else -1

    def progress(self) -> tuple[int, int]:
        """(keys that are saved, all keys) of the one under way."""
        source = self._source
        return (int(source.snapshot.taken), int(source.snapshot.total)) if source else (0, 0)

    def loaded(self) -> None:
        """What was changed up to now was loaded."""
        self._dirty = int(self._engine.keyspace.dirty)

    def note_settings(self) -> None:
        """Whether writes are refused after a failure depends on settings, too."""
        config = self._engine.config
        refuse = not self.works and config.boolean("stop-writes-on-bgsave-error") and bool(config.save_points())
        if refuse:
            self._engine.gate |= SAVES_FAIL
        else:
            self._engine.gate &= ~SAVES_FAIL
        self._wake.set()

    # -- the task

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            with trio.move_on_after(self._patience()):
                await self._wake.wait()
            self._wake = trio.Event()
            if self._source is None and not self._another_works():
                self._look_at_points()
            if self._source is not None:
                await self._save(self._source)

    def _patience(self) -> float:
        return _LOOK_SECONDS if self.is_scheduled or self._engine.config.save_points() else math.inf

    def _look_at_points(self) -> None:
        now = self._engine.clock.monotonic()
        if not self.works and now - self._tried <= _RETRY_SECONDS:
            return
        if self.is_scheduled:
            self._begin()
            return
        passed = self._engine.clock.now_ms() // 1000 - self.last_save
        for seconds, changes in self._engine.config.save_points():
            if self.changes >= changes and passed > seconds:
                log.warning("rdb.save_point", changes=changes, seconds=seconds)
                self._begin()
                return

    def _begin(self) -> None:
        self.is_scheduled = False
        self._is_cancelled = False
        self._tried = self._begun = self._engine.clock.monotonic()
        self._ended = trio.Event()
        self._source = self._bytes(Snapshot(self._engine.keyspace))
        self._wake.set()
        log.warning("rdb.saving", keys=int(self._source.snapshot.total))

    def _stop(self) -> None:
        self._is_cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    async def _save(self, source: SnapshotBytes) -> None:
        with trio.CancelScope() as self._scope:
            if self._is_cancelled:
                self._scope.cancel()
            try:
                saved = await save(source, self._target(), self.disk)
            except OSError as error:
                self._failed(error)
            except Exception as error:
                self._engine.report_bug("saving", error)
                self._failed(error)
            else:
                self._done(int(source.snapshot.dirty), saved.bytes, saved.longest_slice)
            finally:
                self._source = None
                self._scope = None
                self._ended.set()

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
        seconds = self._engine.clock.monotonic() - self._begun
        self._dirty = dirty
        self.last_save = self._engine.clock.now_ms() // 1000
        self.last_seconds = int(seconds)
        self.saves += 1
        self.works = True
        self.failures = 0
        self.note_settings()
        log.warning("rdb.saved", bytes=size, seconds=round(seconds, 3), longest_slice_ms=round(longest_slice * 1e3, 2))

    def _failed(self, error: Exception) -> None:
        self.last_seconds = int(self._engine.clock.monotonic() - self._begun)
        self.works = False
        self.failures += 1
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
