"""Appending to the log: written at the end of each turn, fsynced as `appendfsync` says.

always: replies wait for the fsync of their turn (hub.py holds them); everysec: once a second, in a thread; no: when the
system likes. A write or fsync that fails keeps the bytes, refuses further writes of clients and is tried again once a
second; nothing that was acknowledged under `always` is lost, since nothing was acknowledged.
"""

import errno
import fcntl
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import structlog
import trio

from broker.commands.session import BY_POLICY, EVERYBODY, NOBODY
from broker.persistence.aof_format import BASE, HISTORY, INCREMENT, LogFile, Manifest

log = structlog.get_logger()
_RETRY_SECONDS: Final = 1.0
_MOST_KEPT: Final = 64 * 1024 * 1024  # bytes kept for writing again, unless replies wait for them


class Disk:
    """What the log asks of the operating system. Tests pass one that fails. All raise OSError."""

    def write(self, file: int, data: memoryview, offset: int) -> int:
        """The number of bytes written; it may be less than there are."""
        return os.pwrite(file, data, offset)

    def truncate(self, file: int, size: int) -> None:
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        """Runs in a thread."""
        os.fdatasync(file)

    def open_new(self, path: Path) -> int:
        """A descriptor of an empty file, to be written."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def create(self, path: Path) -> None:
        path.touch()

    def write_file(self, path: Path, data: bytes) -> None:
        """A whole new file, fsynced."""
        with path.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def rename(self, path: Path, target: Path) -> None:
        path.rename(target)

    def sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AppendOnlyLog:
    """The open log of one server.

    on_synced: an fsync that replies waited for has ended well. on_state: called with False when the disk fails, with
    True when it works again. batch_of: how many batches were appended so far (a turn gives one); on_durable: called
    with the number of those that are on the disk.

    Offsets within the last file, always in this order:
    `_durable` (known to be on the disk) <= `_size` (written) <= `_end` (with what could not be written, `_held`).
    `_tail` is what stands in the file from `_tail_from` to `_size`: needed again if an fsync fails.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        policy: str,
        on_synced: Callable[[], None],
        on_state: Callable[[bool], None],
        disk: Disk | None = None,
        batch_of: Callable[[], int] = lambda: 0,
        on_durable: Callable[[int], None] = lambda batch: None,
    ) -> None:
        self.folder = folder
        self.name = name
        self.disk = disk or Disk()
        self.retry_seconds = _RETRY_SECONDS
        self.size = 0  # bytes of all files of the log
        self.manifest = Manifest()
        self.is_aside = False  # there is no base yet to what is written
        self.base_size = 0  # `size` after the last rewrite, or at the start
        self.last_error = ""
        self.last_sync_seconds = 0.0
        self.syncs = 0
        self._policy = policy
        self._on_synced = on_synced
        self._on_state = on_state
        self._batch_of = batch_of
        self._on_durable = on_durable
        self._in_a_hurry = False
        self._file = -1
        self._lock = -1
        self._durable = 0
        self._size = 0
        self._held = b""
        self._tail: deque[bytes] = deque()
        self._tail_from = 0
        self._is_turning = False  # to a new file: what is appended is kept in `_held` until it is there
        self._rewrite = False  # an fsync failed: `_tail` has to be written once more before the next one
        self._waited_for = -1  # the offset up to which replies wait, -1: none do
        self._wake = trio.Event()
        self._one_at_a_time = trio.Lock()  # fsync and rotation

    # -- opening and closing

    def lock(self) -> None:
        """Keep a second server out of the folder. Raises OSError when one is there."""
        if not self.folder.is_dir():
            self.folder.mkdir(parents=True)
            self.disk.sync_folder(self.folder.parent)
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.unlock()
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise OSError(error.errno, "another server uses this log", str(self.folder)) from None

    def open(self, manifest: Manifest | None) -> None:
        """Go on with a log that was recovered, or begin a new one. Raises OSError."""
        manifest = manifest or Manifest(LogFile(f"{self.name}.1.base.aof", 1, BASE))
        if not manifest.increments:
            self._begin(manifest)
        path = self.folder / manifest.increments[-1].name
        # No O_APPEND: what failed half-way is written again at its own offset.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
        self.disk.sync(self._file)  # clients will see what was recovered: it has to be as durable as what they write
        self._durable = self._size = self._tail_from = os.fstat(self._file).st_size
        self.manifest = manifest
        self.base_size = self.size = sum((self.folder / file.name).stat().st_size for file in manifest.files())

    def open_aside(self, manifest: Manifest | None) -> None:
        """Begin an increment that the manifest does not know of, until adopt() brings the base for it. Raises OSError.

        manifest: of an older log in this folder, which counts until then.
        """
        manifest = manifest or Manifest()
        increment = self._next_increment(manifest)
        if self._file >= 0:
            os.close(self._file)
        self._file = self.disk.open_new(self.folder / increment.name)
        self._durable = self._size = self._tail_from = 0
        self._tail.clear()
        self._held = b""
        self._rewrite = False
        self._waited_for = min(self._waited_for, 0)
        self.is_aside = True
        self.manifest = attrs.evolve(manifest, increments=[*manifest.increments, increment])

    def _next_increment(self, manifest: Manifest) -> LogFile:
        used = max([0, *(file.sequence for file in [*manifest.history, *manifest.increments])])
        return LogFile(f"{self.name}.{used + 1}.incr.aof", used + 1, INCREMENT)

    def _begin(self, manifest: Manifest) -> None:
        """Add the first increment, and a base that is not there yet. The manifest comes last: whatever a server that
        dies in between leaves behind, none of it counts."""
        manifest.increments.append(self._next_increment(manifest))
        for file in manifest.files():
            self.disk.create(self.folder / file.name)
        self._write_manifest(manifest)

    def _write_manifest(self, manifest: Manifest) -> None:
        """From its renaming on, the files that it names count, and no others. They have to be there."""
        self.disk.sync_folder(self.folder)
        temporary = self.folder / f"temp-{self.name}.manifest"
        self.disk.write_file(temporary, manifest.encode())
        self.disk.rename(temporary, self.folder / f"{self.name}.manifest")
        self.disk.sync_folder(self.folder)

    def close(self) -> None:
        """Write what is left and fsync. Raises OSError when that fails."""
        if self._file < 0:
            return
        try:
            self._write(b"")
            if self._held:
                raise OSError(f"{len(self._held)} bytes of the log could not be written: {self.last_error}")
            if self._rewrite:
                self._write_at(b"".join(self._tail), self._tail_from)
            self.disk.sync(self._file)
        finally:
            os.close(self._file)
            self._file = -1

    def unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- writing

    @property
    def policy(self) -> str:
        """appendfsync: always, everysec, no."""
        return self._policy

    @policy.setter
    def policy(self, policy: str) -> None:
        """Whoever waits already goes on waiting, whatever the new one is; what was written so far is fsynced soon."""
        self._policy = policy
        self._wake.set()

    def append(self, data: bytes) -> None:
        """Write what a turn journaled. Raises nothing."""
        self._write(data)

    def replies_wait(self) -> int:
        """Whether what was appended has to be on the disk before replies may go out: NOBODY, BY_POLICY or EVERYBODY.

        That of an fsync under way counts, too: nobody may see what is not durable.
        """
        if self._is_turning and self._held:
            return EVERYBODY  # the system does not even have it
        return BY_POLICY if self._policy == "always" and self._durable < self._end else NOBODY

    def start_sync(self) -> None:
        """Begin the fsync that replies wait for; on_synced tells when it has ended."""
        self._waited_for = self._end
        self._wake.set()

    def sync_soon(self) -> None:
        """Somebody asks for an fsync, whatever the policy."""
        self._in_a_hurry = True
        self._wake.set()

    @property
    def failing(self) -> bool:
        return self.last_error != ""

    @property
    def held_bytes(self) -> int:
        return len(self._held)

    @property
    def _end(self) -> int:
        return self._size + len(self._held)

    def _write(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        if not data:
            return
        if self._is_turning:
            self._held = data
            return
        try:
            self._write_at(data, self._size)
        except OSError as error:
            self._held = data
            self._failed(error)
            self._take_back()
            return
        self._held = b""
        self._size += len(data)
        self.size += len(data)
        self._keep(data)

    def _write_at(self, data: bytes, offset: int) -> None:
        """All of it, or OSError."""
        view = memoryview(data)
        while view:
            written = self.disk.write(self._file, view, offset)
            if written <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            view = view[written:]
            offset += written

    def _take_back(self) -> None:
        """Let the file end with a whole command even now, for whoever reads it (and for aof-load-truncated no)."""
        try:
            self.disk.truncate(self._file, self._size)
        except OSError as error:
            log.debug("log.torn_write_left", folder=str(self.folder), offset=self._size, error=str(error))

    def _keep(self, data: bytes) -> None:
        """Remember what was written until an fsync has ended well."""
        if self._policy != "no" or self._tail:
            self._tail.append(data)
        if not self._tail or (self._policy != "always" and self._size - self._tail_from > _MOST_KEPT):
            self._tail.clear()
            self._tail_from = self._size

    def _failed(self, error: OSError) -> None:
        known = self.failing
        self.last_error = str(error)
        if not known:
            log.error("log.write_failed", folder=str(self.folder), error=str(error))
            self._on_state(False)

    def _recovered(self) -> None:
        if self.last_error:
            log.warning("log.write_recovered", folder=str(self.folder))
            self.last_error = ""
            self._on_state(True)

    # -- the task

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fsync for as long as the server lives: when asked to, and once a second. One task, so one fsync at a time."""
        task_status.started()
        while True:
            with trio.move_on_after(self.retry_seconds):
                await self._wake.wait()
            self._wake = trio.Event()
            self._write(b"")
            if not self._held and self._has_work():  # held: what replies wait for is not even written
                await self._sync()

    def _has_work(self) -> bool:
        unsynced = self._durable < self._size and (self._policy != "no" or len(self._tail) > 0)
        if self._in_a_hurry and self._durable < self._size:
            return True
        return self._waited_for >= 0 or unsynced or self.failing

    async def _sync(self) -> None:
        async with self._one_at_a_time:
            await self._sync_now()

    async def _sync_now(self) -> None:
        upto = self._size
        batch = self._batch_of()
        self._in_a_hurry = False
        started = trio.current_time()
        try:
            if self._rewrite:
                self._write_at(b"".join(self._tail), self._tail_from)
            # Not to be abandoned: an fsync whose outcome nobody hears of is worth nothing.
            await trio.to_thread.run_sync(self.disk.sync, self._file)
        except OSError as error:
            # The kernel may drop the pages that it could not write and call the next fsync a success. Writing the same
            # bytes once more, in place, makes them dirty again; and at no time is anything missing from the file.
            self._rewrite = True
            self._failed(error)
            return
        self._rewrite = False
        self._durable = upto
        self._forget_tail(upto)
        self.last_sync_seconds = trio.current_time() - started
        self.syncs += 1
        if not self._held:
            self._recovered()
        self._tell(upto, batch)

    def _tell(self, upto: int, batch: int) -> None:
        self._on_durable(batch)
        if 0 <= self._waited_for <= upto:
            self._waited_for = -1
            self._on_synced()

    def _forget_tail(self, upto: int) -> None:
        """upto: an offset between two writes."""
        tail = self._tail
        while tail and self._tail_from < upto:
            self._tail_from += len(tail.popleft())
        if not tail:
            self._tail_from = self._size

    # -- a new base

    @property
    def is_open(self) -> bool:
        return self._file >= 0

    async def rotate(self, journaled: Callable[[], bytes], at_point: Callable[[], None]) -> None:
        """Go on in a new increment. Raises OSError; then all is as it was.

        journaled: gives what was journaled and not appended yet. at_point: called in the very moment between the two
        files: all that was changed before is in the old one, all that comes after goes to the new one.
        """
        async with self._one_at_a_time:
            increment = self._next_increment(self.manifest)
            manifest = attrs.evolve(self.manifest, increments=[*self.manifest.increments, increment])
            file = await trio.to_thread.run_sync(self._prepare, manifest, increment)
            try:
                await trio.to_thread.run_sync(self.disk.sync, self._file)
                self._write(journaled())
                if self._held or self.failing:
                    raise OSError(errno.EIO, "the log can't be written at the moment")
                at_point()
                await self._turn_over(file, manifest)
            except BaseException:
                os.close(file)
                raise

    async def _turn_over(self, file: int, manifest: Manifest) -> None:
        """Fsync the few milliseconds since, and go on in the new file. Raises OSError; then the log goes on in the old
        one.

        The first byte of the new file must not get to the disk before the last one of the old file, or a power cut
        leaves a hole between them. So what is appended meanwhile is kept back, and all replies wait for it.
        """
        batch = self._batch_of()
        self._is_turning = True
        try:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self.disk.sync, self._file)
        except OSError as error:
            self._is_turning = False
            self._rewrite = True
            self._failed(error)
            self._write(b"")
            raise
        finally:
            self._is_turning = False
        self._switch(file, manifest, batch)

    def _prepare(self, manifest: Manifest, increment: LogFile) -> int:
        """The empty file, and a manifest that names it as the last one: until it is written to, it changes nothing."""
        file = self.disk.open_new(self.folder / increment.name)
        try:
            self._write_manifest(manifest)
        except OSError:
            os.close(file)
            raise
        return file

    def _switch(self, file: int, manifest: Manifest, batch: int) -> None:
        """All of the old file is durable, up to that batch."""
        old, self._file = self._file, file
        upto = self._size
        self.manifest = manifest
        self._durable = self._size = self._tail_from = 0
        self._tail.clear()
        os.close(old)
        is_told = 0 <= self._waited_for <= upto
        self._waited_for = -1 if is_told else max(self._waited_for - upto, -1)
        self._write(b"")
        self._on_durable(batch)
        if is_told:
            self._on_synced()
        self._wake.set()

    async def adopt(self, base: LogFile, keep_history: bool) -> None:
        """`base`, which is in the folder, holds what all files before the present increment did. Raises OSError."""
        old = self.manifest
        present = old.increments[-1:] if self._file >= 0 else []
        outdated = [file for file in old.files() if file not in present]
        history = [*old.history, *(attrs.evolve(file, kind=HISTORY) for file in outdated)]
        manifest = Manifest(base, present, history)
        await trio.to_thread.run_sync(self._write_manifest, manifest)
        self.manifest = manifest
        self.is_aside = False
        self.size = (self.folder / base.name).stat().st_size + self._size
        self.base_size = self.size
        if not keep_history:
            await trio.to_thread.run_sync(self._drop_history)

    def _drop_history(self) -> None:
        for file in self.manifest.history:
            self.disk.remove(self.folder / file.name)
        manifest = attrs.evolve(self.manifest, history=[])
        self._write_manifest(manifest)
        self.manifest = manifest

    def next_base(self, is_rdb: bool) -> LogFile:
        sequence = self.manifest.base.sequence + 1 if self.manifest.base else 1
        return LogFile(f"{self.name}.{sequence}.base.{'rdb' if is_rdb else 'aof'}", sequence, BASE)
