"""Keeping a second server from a file that is replaced as a whole, such as an RDB file.

The file itself can't be locked: the next one takes its place. So the lock is on a file of its own beside it, which
stays, empty; the system drops the lock when the process ends, however that happens.
"""

import errno
import fcntl
import os
from pathlib import Path

import structlog

log = structlog.get_logger()


class FileLock:
    def __init__(self) -> None:
        self._file = -1

    def take(self, path: Path) -> None:
        """Raises OSError when another server has it. Where no file can be made, none is saved either."""
        lock = path.with_name(f".{path.name}.lock")
        try:
            self._file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            log.warning("rdb.no_lock", file=str(lock), error=str(error))
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno != errno.EWOULDBLOCK:
                raise
            raise OSError(error.errno, "another server saves to this file", str(path)) from None

    def release(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
