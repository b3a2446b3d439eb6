"""BACKUP: a window of the log, hard-linked into a folder of its own, to be copied away while the server goes on.

START has the log rewritten; its new base is linked. From then on the log is not rewritten again, so that base and
increment are all there is. SEAL goes on in a new increment and links the old one; with a manifest these three are a log
that a server can start from (preload-file). Without `appendonly` a log is kept for as long as a backup needs one.

    idle -> pending -> snapshotting -> incrementing -> sealing -> sealed -> idle;  failed from any of them
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from broker.engine.engine import Engine
from broker.errors import CommandError
from broker.persistence.aof import AppendOnlyLog
from broker.persistence.aof_format import LogFile, Manifest

log = structlog.get_logger()

LOG_OF_BACKUP: Final = "temp-backup-log"  # folder of the log that a backup has when appendonly is no
IDLE: Final = "idle"
PENDING: Final = "pending"
SNAPSHOTTING: Final = "snapshotting"
INCREMENTING: Final = "incrementing"
SEALING: Final = "sealing"
SEALED: Final = "sealed"
FAILED: Final = "failed"


class Backup:
    """look: has the rewriting look at what is wanted. log_of: the log, or None."""

    def __init__(self, engine: Engine, log_of: Callable[[], AppendOnlyLog | None]) -> None:
        self.state = IDLE
        self.error = ""
        self.start_time = 0  # Unix time
        self.end_time = 0
        self.needs_log = False  # even with appendonly no
        self._engine = engine
        self._log_of = log_of
        self._files: list[LogFile] = []
        self.look: Callable[[], None] = lambda: None
        self.told: Callable[[], None] = lambda: None  # whoever waits for SEAL is to be tried again

    # -- what is asked of it

    def start(self) -> None:
        if self.state not in (IDLE, FAILED):
            raise CommandError("ERR", "A backup is already in progress")
        folder = self.folder
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CommandError("ERR", f"The backup directory {folder} is not empty")
        self._become(PENDING)
        self.start_time, self.end_time = self._engine.clock.now_ms() // 1000, 0
        self._files = []
        self.needs_log = True
        self.look()

    def seal(self) -> None:
        """Begin to seal; `told` is called when it is done."""
        if self.state != INCREMENTING:
            raise CommandError("ERR", "No backup that could be sealed: it has to be incrementing")
        self._become(SEALING)
        self.look()

    def abort(self) -> None:
        if self.state not in (PENDING, SNAPSHOTTING, INCREMENTING):
            raise CommandError("ERR", "No backup that could be aborted")
        self.fail("aborted")

    def clean_up(self) -> None:
        if self.state not in (SEALED, FAILED):
            raise CommandError("ERR", "No backup that could be cleaned up")
        self._remove_files()
        self._become(IDLE)
        self.start_time = self.end_time = 0

    def paths(self) -> list[str]:
        found = [str(self.folder / file.name) for file in self._files]
        if self.state == SEALED:
            found.append(str(self.folder / self._manifest_name()))
        return found

    # -- what happens to the log (rewriting.py)

    @property
    def folder(self) -> Path:
        config = self._engine.config
        return (Path(config.text("dir")) / config.text("backupdirname")).resolve()

    @property
    def wants_rewrite(self) -> bool:
        return self.state == PENDING

    @property
    def holds_log(self) -> bool:
        """The log must not be rewritten now."""
        return self.state in (INCREMENTING, SEALING)

    def rewriting(self) -> None:
        """A rewrite begins."""
        if self.state == PENDING:
            self._become(SNAPSHOTTING)

    async def rewritten(self) -> None:
        """And it has ended well."""
        current = self._log_of()
        if self.state != SNAPSHOTTING or current is None or current.manifest.base is None:
            return
        try:
            await trio.to_thread.run_sync(self._pin, current.folder, current.manifest.base)
        except OSError as error:
            self.fail(str(error))
            return
        self._become(INCREMENTING)

    async def seal_now(self) -> None:
        """Go on in a new increment, and link the one before."""
        current = self._log_of()
        if current is None:
            self.fail("the log was turned off")
            return
        increment = current.manifest.increments[-1]
        try:
            await current.rotate(self._engine.journal.take, self._engine.journal.forget_selection)
            await trio.to_thread.run_sync(self._finish, current, increment)
        except OSError as error:
            self.fail(str(error))
            return
        self.end_time = self._engine.clock.now_ms() // 1000
        self.needs_log = False
        self._become(SEALED)
        self.told()
        self.look()

    def fail(self, why: str) -> None:
        if self.state in (IDLE, SEALED, FAILED):
            return
        self._remove_files()
        self.needs_log = False
        self._become(FAILED)
        self.error = why
        self.told()
        self.look()

    def expire(self) -> None:
        """backup-sealed-ttl."""
        ttl = self._engine.config.integer("backup-sealed-ttl")
        if self.state == SEALED and ttl and self._engine.clock.now_ms() // 1000 >= self.end_time + ttl:
            self.clean_up()

    # -- files

    def _pin(self, folder: Path, file: LogFile) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        os.link(folder / file.name, self.folder / file.name)
        self._files.append(file)

    def _finish(self, current: AppendOnlyLog, increment: LogFile) -> None:
        self._pin(current.folder, increment)
        manifest = Manifest(self._files[0], [increment])
        temporary = self.folder / f"temp-{self._manifest_name()}"
        current.disk.write_file(temporary, manifest.encode())
        current.disk.rename(temporary, self.folder / self._manifest_name())
        current.disk.sync_folder(self.folder)

    def _manifest_name(self) -> str:
        return self._engine.config.text("appendfilename") + ".manifest"

    def _remove_files(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._files = []

    def _become(self, state: str) -> None:
        log.warning("backup.state", before=self.state, now=state)
        self.state = state
        self.error = ""
