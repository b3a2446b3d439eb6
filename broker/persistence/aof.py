"""Appending to the log: written at the end of each turn, fsynced as `appendfsync` says.

always: replies wait for the fsync of their turn (hub.py holds them); everysec: once a second, in a thread; no: when the
system likes. A write or fsync that fails keeps the bytes, refuses further writes of clients and is tried again once a
second; nothing that was acknowledged under `always` is lost, since nothing was acknowledged.
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from broker.errors import CorruptFile
from broker.persistence.aof_format import BASE, INCREMENT, LogFile, Manifest

log = structlog.get_logger()
_RETRY_SECONDS: Final = 1.0


class AppendOnlyLog:
    """The open log of one server.

    on_synced: an fsync that replies waited for has ended well. on_state: called with False when the disk fails, with
    True when it works again.
    """

    def __init__(
        self, folder: Path, name: str, policy: str, on_synced: Callable[[], None], on_state: Callable[[bool], None]
    ) -> None:
        self.folder = folder
        self.name = name
        self.policy = policy  # always, everysec, no
        self.size = 0  # bytes of all files of the log
        self.last_error = ""
        self.last_sync_seconds = 0.0
        self.syncs = 0
        self._on_synced = on_synced
        self._on_state = on_state
        self._file = -1
        self._lock = -1
        self._good = 0  # length of the file up to the last whole write
        self._tail: list[bytes] = []  # under `always`: written, not known to be on the disk
        self._held = b""  # could not be written
        self._unsynced = 0  # bytes written since the last fsync began
        self._waited_for = False  # replies wait for the next fsync to end
        self._wake = trio.Event()

    # -- opening and closing

    def lock(self) -> None:
        """Keep a second server out of the folder. Raises CorruptFile when one is there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CorruptFile(str(self.folder), 0, "another server uses this log") from None

    def open(self, manifest: Manifest | None) -> None:
        """Go on with a log that was recovered, or begin a new one."""
        if manifest is None:
            manifest = self._begin()
        elif not manifest.increments:
            manifest.increments.append(LogFile(f"{self.name}.1.incr.aof", 1, INCREMENT))
            self._write_manifest(manifest)
        path = self.folder / manifest.increments[-1].name
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._good = os.fstat(self._file).st_size
        self.size = sum((self.folder / file.name).stat().st_size for file in manifest.files())
        _sync_folder(self.folder)

    def _begin(self) -> Manifest:
        base = LogFile(f"{self.name}.1.base.aof", 1, BASE)
        (self.folder / base.name).touch()
        manifest = Manifest(base, [LogFile(f"{self.name}.1.incr.aof", 1, INCREMENT)])
        (self.folder / manifest.increments[0].name).touch()
        self._write_manifest(manifest)
        return manifest

    def _write_manifest(self, manifest: Manifest) -> None:
        path = self.folder / f"{self.name}.manifest"
        temporary = self.folder / f"temp-{self.name}.manifest"
        with temporary.open("wb") as stream:
            stream.write(manifest.encode())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(path)
        _sync_folder(self.folder)

    def close(self) -> None:
        """Write what is left and fsync. Raises OSError when that fails."""
        if self._file < 0:
            return
        self._write(b"")
        if self._held:
            raise OSError(f"{len(self._held)} bytes of the log could not be written: {self.last_error}")
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1

    def unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- writing

    def append(self, data: bytes) -> None:
        """Write what a turn journaled. Raises nothing."""
        self._write(data)

    def replies_wait(self) -> bool:
        """Whether what was appended has to be on the disk before replies may go out."""
        return self.policy == "always" and (self._unsynced > 0 or self._held != b"")

    def start_sync(self) -> None:
        """Begin the fsync that replies wait for; on_synced tells when it has ended."""
        self._waited_for = True
        self._wake.set()

    @property
    def failing(self) -> bool:
        return self.last_error != ""

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    def _write(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._file, view)
                view = view[written:]
        except OSError as error:
            self._failed(error)
            self._held = bytes(view) if self._keep_part() else data
            done = len(data) - len(self._held)
        else:
            self._held = b""
            done = len(data)
        if self.policy == "always" and done:
            self._tail.append(data[:done])
        self._good += done
        self._unsynced += done
        self.size += done

    def _keep_part(self) -> bool:
        """After a short write: take back the part that was written, so that the file ends with a whole command.

        True when that can't be done, and the rest has to be written after it.
        """
        try:
            os.ftruncate(self._file, self._good)
        except OSError:
            return True
        return False

    def _failed(self, error: OSError) -> None:
        if not self.last_error:
            log.error("log.write_failed", folder=str(self.folder), error=str(error))
            self._on_state(False)
        self.last_error = str(error)

    def _recovered(self) -> None:
        if self.last_error:
            log.warning("log.write_recovered", folder=str(self.folder))
            self.last_error = ""
            self._on_state(True)

    # -- the tasks

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fsync for as long as the server lives: when asked to, and once a second. One task, so one fsync at a time."""
        task_status.started()
        while True:
            with trio.move_on_after(_RETRY_SECONDS):
                await self._wake.wait()
            self._wake = trio.Event()
            if self._held:
                self._write(b"")
            if self._waited_for or (self.policy != "no" and self._unsynced) or self.failing:
                await self._sync()

    async def _sync(self) -> None:
        waited_for = self._waited_for
        if self._held:
            return  # replies go on waiting: what they acknowledge is not even written
        unsynced, pieces = self._unsynced, len(self._tail)
        self._unsynced = 0
        started = trio.current_time()
        try:
            # Not to be abandoned: an fsync whose outcome nobody hears of is worth nothing.
            await trio.to_thread.run_sync(os.fdatasync, self._file)
        except OSError as error:
            self._unsynced += unsynced
            self._failed(error)
            self._rewind()
            return
        del self._tail[:pieces]
        self.last_sync_seconds = trio.current_time() - started
        self.syncs += 1
        self._recovered()
        if waited_for:
            self._waited_for = False
            self._on_synced()


    def _rewind(self) -> None:
        """After a failed fsync the kernel may have dropped the pages and call the next fsync a success: write again."""
        length = sum(map(len, self._tail))
        if not length:
            return
        try:
            os.ftruncate(self._file, self._good - length)
        except OSError as error:
            self._failed(error)  # the bytes stay as they are, unacknowledged, until the disk answers
            return
        self._good -= length
        self.size -= length
        self._unsynced -= length
        self._held = b"".join(self._tail) + self._held
        self._tail.clear()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
