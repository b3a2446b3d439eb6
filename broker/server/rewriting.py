"""Writing the log anew: BGREWRITEAOF, growth beyond auto-aof-rewrite-percentage, and `CONFIG SET appendonly yes`.

The log goes on in a new increment; what was before is written as one base, out of a snapshot of that very moment, and
then the manifest names the new base alone. Until its renaming the old files count, so a crash at any point loses
nothing. Redis: rewriteAppendOnlyFileBackground and backgroundRewriteDoneHandler in aof.c.
"""

import math
import os
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from broker.commands.persistence import already_rewriting
from broker.engine.engine import Engine
from broker.errors import CorruptFile
from broker.keyspace.snapshot import Snapshot
from broker.persistence.aof import AppendOnlyLog
from broker.persistence.aof_format import Manifest
from broker.persistence.recovery import read_manifest
from broker.persistence.snapshot import Saved, Target, save
from broker.persistence.snapshot_bytes import SnapshotBytes
from broker.persistence.snapshot_commands import SnapshotCommands
from broker.server.backup import IDLE, LOG_OF_BACKUP, SEALING, Backup
from broker.server.job import LOOK_SECONDS, Job
from broker.server.saving import Saving, facts_of, form_of

log = structlog.get_logger()
_FAILURES: Final = 3  # in a row, from which on attempts are made ever more seldom. Redis: AOF_REWRITE_LIMITE_THRESHOLD
_LONGEST_PAUSE: Final = 3600.0


class Rewriting:
    """log_of: gives the log that is written; None while appendonly is no (then a log to be begun one day is made)."""

    def __init__(
        self,
        engine: Engine,
        saving: Saving,
        log_of: Callable[[], AppendOnlyLog | None],
        new_log: Callable[[], AppendOnlyLog],
        turn_off: Callable[[], Awaitable[None]],
        turn_on: Callable[[], None],
    ) -> None:
        self.backup = Backup(engine, log_of)
        self.backup.look = self.look
        self.job = Job(engine, "rewriting the log")
        self._engine = engine
        self._saving = saving
        self._log_of = log_of
        self._new_log = new_log
        self._turn_off = turn_off
        self._turn_on = turn_on
        self._retry_at = 0.0
        self._pause = 0.0

    # -- what is asked of it

    def begin(self, in_transaction: bool) -> bool:
        """BGREWRITEAOF. False: scheduled."""
        if self.is_active or self.is_about_to_begin():
            raise already_rewriting()
        if self._saving.is_active or in_transaction or self.backup.holds_log:
            self.job.schedule()
            return False
        self.job.begin()
        return True

    def cancel(self) -> None:
        self.job.is_scheduled = False
        self.job.cancel()

    def sync_log(self) -> None:
        current = self._log_of()
        if current is not None:
            current.sync_soon()

    async def stop(self) -> None:
        """End the one under way."""
        self.cancel()
        await self.job.wait_for_end()

    def look(self) -> None:
        """Something changed that it may have waited for."""
        self.job.look()

    # -- what it tells

    @property
    def is_active(self) -> bool:
        return self.job.is_active

    def is_about_to_begin(self) -> bool:
        """`CONFIG SET appendonly yes` was said, and the log that it asks for is begun after this turn.

        Who waits for the end of that rewriting must not find, in between, that there is none.
        """
        if self.is_active or self.job.is_scheduled or not self._engine.config.boolean("appendonly"):
            return False
        current = self._log_of()
        return (current is None or current.is_aside) and self._engine.clock.monotonic() >= self._retry_at

    # -- the task

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            await self.job.wait_for_work(self._patience())
            if not self.is_active:
                await self._follow_setting()
            self.backup.expire()
            if self.backup.state == SEALING:
                await self.backup.seal_now()
            if self._may_begin() and (self.job.is_scheduled or self.backup.wants_rewrite or self._has_grown()):
                self.job.begin()
            if self.is_active:
                await self.job.run(self._work, self._failed)
                self._saving.look()

    def _patience(self) -> float:
        """Whether there is anything that may want a rewrite, or has to be tried again."""
        idle = self._log_of() is None and not self.job.is_scheduled and self.backup.state == IDLE
        return math.inf if idle and not self._engine.config.boolean("appendonly") else LOOK_SECONDS

    def _may_begin(self) -> bool:
        return not (self.is_active or self._saving.is_active or self.backup.holds_log)

    async def _follow_setting(self) -> None:
        """`CONFIG SET appendonly`: done between two turns."""
        wanted = self._engine.config.boolean("appendonly") or self.backup.needs_log
        current = self._log_of()
        if current is not None and current.folder.name == LOG_OF_BACKUP and self._engine.config.boolean("appendonly"):
            self.backup.fail("appendonly was turned on meanwhile")
            await self._turn_off()
            self.look()
        elif not wanted and current is not None:
            await self._turn_off()
        elif wanted and (current is None or current.is_aside) and self._engine.clock.monotonic() >= self._retry_at:
            try:
                self._turn_on()
            except (OSError, CorruptFile) as error:
                self.job.fail()
                self._failed(error)
            else:
                self.job.is_scheduled = True

    def _has_grown(self) -> bool:
        current = self._log_of()
        percentage = self._engine.config.integer("auto-aof-rewrite-percentage")
        if current is None or not percentage or current.size <= self._engine.config.memory("auto-aof-rewrite-min-size"):
            return False
        if self.job.failures >= _FAILURES and self._engine.clock.monotonic() < self._retry_at:
            return False
        growth = current.size * 100 // max(current.base_size, 1) - 100
        if growth < percentage:
            return False
        log.warning("log.rewrite_by_growth", growth_percent=growth)
        return True

    async def _work(self) -> None:
        if self._log_of() is not None:
            self.backup.rewriting()
        saved = await self._rewrite()
        await self.backup.rewritten()
        self._done(saved)

    async def _rewrite(self) -> Saved:
        current = self._log_of()
        if current is None:
            return await self._prepare()
        if current.is_aside or not current.is_open:
            current.open_aside(read_manifest(current.folder, current.name))
            self._take_point()
            self._engine.journal.enabled = self._engine.shared.log.enabled = True
        else:
            await current.rotate(self._engine.journal.take, self._take_point)
        return await self._write_base(current)

    async def _prepare(self) -> Saved:
        """There is no log: leave a base from which one can go on when it is turned on at a start."""
        prepared = self._new_log()
        prepared.lock()
        try:
            prepared.manifest = read_manifest(prepared.folder, prepared.name) or Manifest()
            self._take_point()
            return await self._write_base(prepared)
        finally:
            prepared.unlock()

    def _take_point(self) -> None:
        self._engine.journal.take()  # while a log is begun anew, nobody needs what was journaled before
        self._engine.journal.forget_selection()  # another file
        engine = self._engine
        snapshot = Snapshot(engine.keyspace)
        if engine.config.boolean("aof-use-rdb-preamble"):
            self.job.source = SnapshotBytes(snapshot, form_of(engine), facts_of(engine, True))
            return
        stamped = engine.config.boolean("aof-timestamp-enabled")
        stamp = b"#TS:%d\r\n" % (engine.clock.now_ms() // 1000) if stamped else b""
        self.job.source = SnapshotCommands(snapshot, form_of(engine), stamp)

    async def _write_base(self, current: AppendOnlyLog) -> Saved:
        source = self.job.source
        assert source is not None
        is_rdb = isinstance(source, SnapshotBytes)
        base = current.next_base(is_rdb)
        target = Target(
            current.folder / base.name,
            current.folder / f"temp-rewriteaof-bg-{os.getpid()}.aof",
            is_rdb=is_rdb,
            checksum=self._engine.config.boolean("rdbchecksum"),
            sync_now_and_then=self._engine.config.boolean("aof-rewrite-incremental-fsync"),
        )
        saved = await save(source, target, current.disk)
        with trio.CancelScope(shield=True):  # it is whole: what is left takes a moment
            await current.adopt(base, self._engine.config.boolean("aof-disable-auto-gc"))
        return saved

    def _done(self, saved: Saved) -> None:
        self.job.succeed()
        self._pause = 0.0
        log.warning(
            "log.rewritten",
            bytes=saved.bytes,
            seconds=round(saved.seconds, 3),
            longest_slice_ms=round(saved.longest_slice * 1e3, 2),
        )

    def _failed(self, error: Exception) -> None:
        self.backup.fail(str(error))
        few = self.job.failures < _FAILURES
        self._pause = 1.0 if few else min(max(60.0, self._pause * 2), _LONGEST_PAUSE)
        self._retry_at = self._engine.clock.monotonic() + self._pause
        log.error("log.rewrite_failed", error=str(error))
