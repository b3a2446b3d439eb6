"""A disk that fails on command, without root: full, broken, slow, forgetful, or cut off in the middle of a step."""

import errno
import os
import re
import threading
from pathlib import Path

from broker.persistence.aof import Disk


class PowerCut(BaseException):
    """The machine stops here: nothing after this is executed."""


class Fault:
    """Calls of a method on a file of that kind fail, so often. A full disk takes half of a write before it says so.

    kind: the name of the file or folder, with N for each number in it.
    """

    def __init__(self, method: str, kind: str, error: int, times: int) -> None:
        self.method = method
        self.kind = kind
        self.error = error
        self.times = times
        self.is_torn = False  # half of a write was taken

    def meets(self, method: str, what: str) -> bool:
        return self.times > 0 and (method, kind_of(what)) == (self.method, self.kind)

    def fail(self) -> None:
        self.times -= 1
        raise OSError(self.error, os.strerror(self.error))


def kind_of(name: str) -> str:
    return re.sub(r"\d+", "N", name)


def _name_of(file: int) -> str:
    return Path(f"/proc/self/fd/{file}").readlink().name


class FaultyDisk(Disk):
    """Passes everything on, unless told otherwise by its attributes.

    room: bytes that can still be written (then ENOSPC); piece: most bytes that one write takes; sync_gate: fsyncs wait
    until it is set. A failing fsync loses what was not durable, as a kernel may that drops the pages it could not
    write, unless `forgets` is False.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []  # (method, name of file or folder)
        self.room: int | None = None
        self.piece: int | None = None
        self.write_error = 0  # an errno
        self.sync_error = 0
        self.truncate_error = 0
        self.forgets = True
        self.cut_after: int | None = None  # calls that are still executed; then PowerCut
        self.fault: Fault | None = None
        self.inodes: dict[int, int] = {}  # {inode of a file that was written to: bytes of it that are durable}
        self.sync_gate = threading.Event()
        self.sync_gate.set()
        self.sync_started = threading.Event()
        self.syncs = 0
        self.durable = 0  # bytes of the file that an fsync has brought to the disk

    def _called(self, method: str, what: str) -> None:
        if self.cut_after is not None:
            if self.cut_after == 0:
                raise PowerCut
            self.cut_after -= 1
        self.calls.append((method, what))
        fault = self.fault
        if fault is not None and fault.meets(method, what) and not (method == "write" and self._takes_half(fault)):
            fault.fail()

    def _takes_half(self, fault: Fault) -> bool:
        fault.is_torn = fault.error == errno.ENOSPC and not fault.is_torn
        return fault.is_torn

    def lose(self, folder: Path) -> None:
        """The power is gone: of files that were written to, what was not fsynced is gone, too."""
        for path in folder.rglob("*"):
            durable = self.inodes.get(path.stat().st_ino)
            if durable is not None and path.is_file() and path.stat().st_size > durable:
                os.truncate(path, durable)

    def write(self, file: int, data: memoryview, offset: int) -> int:
        self._called("write", _name_of(file))
        self.inodes.setdefault(os.fstat(file).st_ino, 0)
        if self.write_error:
            raise OSError(self.write_error, os.strerror(self.write_error))
        size = min(len(data), self.piece or len(data))
        if self.fault is not None and self.fault.is_torn:
            size = (size + 1) // 2
        if self.room is not None:
            size = min(size, self.room)
            self.room -= size
            if size == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(file, data[:size], offset)

    def truncate(self, file: int, size: int) -> None:
        self._called("truncate", _name_of(file))
        if self.truncate_error:
            raise OSError(self.truncate_error, os.strerror(self.truncate_error))
        super().truncate(file, size)

    def sync(self, file: int) -> None:
        self._called("sync", _name_of(file))
        size = os.fstat(file).st_size
        self.sync_started.set()
        assert self.sync_gate.wait(20), "the test forgot to let the fsync go on"
        if self.sync_error:
            if self.forgets:
                os.pwrite(file, bytes(size - self.durable), self.durable)
            raise OSError(self.sync_error, os.strerror(self.sync_error))
        super().sync(file)
        self.inodes[os.fstat(file).st_ino] = size
        self.syncs += 1
        self.durable = size

    def remove(self, path: Path) -> None:
        self._called("remove", path.name)
        super().remove(path)

    def open_new(self, path: Path) -> int:
        self._called("open_new", path.name)
        return super().open_new(path)

    def create(self, path: Path) -> None:
        self._called("create", path.name)
        super().create(path)

    def write_file(self, path: Path, data: bytes) -> None:
        if self.cut_after == 0 or (self.fault is not None and self.fault.meets("write_file", path.name)):
            path.write_bytes(data[: len(data) // 2])
        self._called("write_file", path.name)
        super().write_file(path, data)

    def rename(self, path: Path, target: Path) -> None:
        self._called("rename", target.name)
        super().rename(path, target)

    def sync_folder(self, folder: Path) -> None:
        self._called("sync_folder", folder.name)
        super().sync_folder(folder)
