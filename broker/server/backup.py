"""BACKUP: a window of the log, hard-linked into a folder of its own, to be copied away while the server goes on.

START has the log rewritten; its new base is linked. From then on the log is not rewritten again, so that base and
increment are all there is. SEAL goes on in a new increment and links the old one; with a manifest these three are a log
that a server can start from (preload-file). Without `appendonly` a log is kept for as long as a backup needs one.

    idle -> pending -> snapshotting -> incrementing -> sealing -> sealed -> idle;  failed from any of them

After a start resume() goes on with what is there: sealed, or incrementing if the log still is that of the backup.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from broker.engine.engine import Engine
from broker.errors import CommandError, CorruptFile
from broker.persistence.aof import AppendOnlyLog
from broker.persistence.aof_format import LogFile, Manifest, parse_manifest

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

    # -- after a start

    def resume(self) -> None:
        """Go on with what the server before this one left: a sealed backup is there still; an open one is as long as
        the log goes on in the increment that belongs to its base. Else what is left of it is removed."""
        try:
            found = sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []
            if found and self._manifest_name() in found:
                self._resume_sealed()
            elif found and all(self._is_ours(name) for name in found) and not self._is_of_another():
                self._resume_open(found)
            self._drop_temporary_log()
        except (OSError, CorruptFile) as error:
            log.warning("backup.can_not_be_resumed", folder=str(self.folder), error=str(error))

    def _resume_sealed(self) -> None:
        path = self.folder / self._manifest_name()
        manifest = parse_manifest(path.read_bytes(), str(path))
        for file in manifest.files():
            (self.folder / file.name).stat()
        self._files = manifest.files()
        self.start_time = int((self.folder / self._files[0].name).stat().st_mtime)
        self.end_time = int(path.stat().st_mtime)
        self._become(SEALED)

    def _resume_open(self, found: list[str]) -> None:
        current = self._log_of()
        if current is not None and current.manifest.base is not None and len(current.manifest.increments) == 1:
            base = current.manifest.base
            pinned = self.folder / base.name
            if found == [base.name] and pinned.samefile(current.folder / base.name):
                self._files = [base]
                self.start_time = int(pinned.stat().st_mtime)
                self.needs_log = True
                self._become(INCREMENTING)
                return
        self._become(PENDING)
        self.fail("the server ended while the backup was open")

    def _is_ours(self, name: str) -> bool:
        """Whether a backup that is not sealed has such files."""
        own = re.escape(self._engine.config.text("appendfilename"))
        return re.fullmatch(rf"{own}\.\d+\.(base|incr)\.(rdb|aof)|temp-{own}\.manifest", name) is not None

    def _is_of_another(self) -> bool:
        """Whether another server uses this folder: it has locked its log, or that of its backup."""
        names = [LOG_OF_BACKUP]
        if self._log_of() is None:
            names.append(self._engine.config.text("appenddirname"))
        return any(_is_locked(Path(self._engine.config.text("dir")) / name) for name in names)

    def _drop_temporary_log(self) -> None:
        """What a server without appendonly leaves that is killed during a backup."""
        path = Path(self._engine.config.text("dir")) / LOG_OF_BACKUP
        if path.is_dir() and not self._is_of_another():
            shutil.rmtree(path, ignore_errors=True)

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


def _is_locked(path: Path) -> bool:
    try:
        folder = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(folder)
    return False
