"""Which bytes of a log come next, across rotation and truncation. Files only: no network, no waiting.

A position is an offset in a *file*, not in a path: the file is known by its inode and by a checksum of its head, so
it is found again when it was renamed (`access.log.1`), copied and truncated (logrotate's copytruncate), or when its
inode was given to a new file.
"""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import attrs

_HEAD = 1024  # bytes that identify a file; fewer where the position is before
_TELLING = 64  # with fewer bytes than this, two files with the same head may still be different files
_CHUNK = 256 * 1024
_LINE_LIMIT = 1024 * 1024  # a longer line is shipped in pieces
_PACKED = {".gz", ".xz", ".bz2", ".zst", ".lz4"}


@attrs.frozen
class Position:
    """Everything before `offset` of this file has been shipped."""

    inode: int
    offset: int
    head: int  # CRC-32 of the first min(offset, 1024) bytes


@attrs.frozen
class Line:
    offset: int
    text: bytes


@attrs.frozen
class Batch:
    """Lines of one file, in order, and the position behind them."""

    name: str
    lines: list[Line]
    after: Position


@attrs.define(eq=False)
class OpenLog:
    """One file being read. It stays readable when it is renamed or deleted."""

    path: Path  # when opened
    descriptor: int
    inode: int
    offset: int

    @classmethod
    def open(cls, path: Path, offset: int) -> "OpenLog":
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return cls(path, descriptor, os.fstat(descriptor).st_ino, offset)

    def close(self) -> None:
        os.close(self.descriptor)

    @property
    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def position(self, offset: int) -> Position:
        return Position(self.inode, offset, head_of(self.descriptor, offset))

    def holds(self, position: Position) -> bool:
        """Whether the bytes up to `position` are still the ones that were shipped."""
        return self.size >= position.offset and head_of(self.descriptor, position.offset) == position.head

    def read(self, *, rest: bool = False) -> Batch | None:
        """The next complete lines (one chunk of them); with `rest` also a last line without an end. None where there
        is nothing.
        """
        data = os.pread(self.descriptor, _CHUNK, self.offset)
        end = data.rfind(b"\n") + 1
        while not end and data and len(data) < _LINE_LIMIT and len(data) < self.size - self.offset:
            data = os.pread(self.descriptor, len(data) + _CHUNK, self.offset)
            end = data.rfind(b"\n") + 1
        if not end and (rest or len(data) >= _LINE_LIMIT):
            end = min(len(data), _LINE_LIMIT)
        if not end:
            return None
        lines = list(_split(data[:end], self.offset))
        self.offset += end
        return Batch(self.path.name, lines, self.position(self.offset))


def _split(data: bytes, offset: int) -> Iterator[Line]:
    for raw in data.split(b"\n")[: -1 if data.endswith(b"\n") else None]:
        yield Line(offset, raw.removesuffix(b"\r"))
        offset += len(raw) + 1


def head_of(descriptor: int, offset: int) -> int:
    return zlib.crc32(os.pread(descriptor, min(offset, _HEAD), 0))


def family(path: Path) -> list[Path]:
    """The log and its rotated, not compressed, relatives; oldest first, the log itself (if it is there) last."""
    rotated = [one for one in path.parent.glob(f"{path.name}[.-]*") if one.suffix not in _PACKED and one.is_file()]
    return sorted(rotated, key=_age) + ([path] if path.is_file() else [])


def _age(rotated: Path) -> tuple[int, int]:
    """By the last write; files written within one tick of the clock by their number, which counts towards the past."""
    number = rotated.suffix.removeprefix(".")
    return rotated.stat().st_mtime_ns, -int(number) if number.isdecimal() else 0


def resume(path: Path, position: Position | None) -> OpenLog | None:
    """The file of `position`, opened behind it; where it has gone, or there is no position, the log's begin. None: no
    file yet.
    """
    if position is not None:
        for certain in (True, False):
            for candidate in family(path):
                found = OpenLog.open(candidate, position.offset)
                same = found.inode == position.inode if certain else position.offset >= _TELLING
                if same and found.holds(position):
                    return found
                found.close()
    return OpenLog.open(path, 0) if path.is_file() else None


def successor(path: Path, current: OpenLog) -> OpenLog | None:
    """The file that was begun when `current` was rotated away; None while `current` is still the log."""
    members = family(path)
    inodes = [one.stat().st_ino for one in members]
    if not members or inodes[-1] == current.inode:
        return None
    following = inodes.index(current.inode) + 1 if current.inode in inodes else len(members) - 1
    return OpenLog.open(members[following], 0)
