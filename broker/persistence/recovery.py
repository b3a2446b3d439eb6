"""Reading the log, or an RDB file, at start: a little at a time, so that clients can be told how far it is.

A torn end of the last file (the machine lost power, the server was killed) is cut at the last whole command, with a
warning that names file and offset. Damage anywhere else stops the start, and nothing is changed on the disk.
"""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import attrs
import structlog

from broker.errors import CorruptFile
from broker.keyspace.database import Keyspace
from broker.persistence.aof_format import Manifest, parse_manifest
from broker.persistence.log_reader import RECORD, LogReader, swallowed_command, without_zeros
from broker.persistence.rdb_reader import RdbReader
from broker.persistence.rdb_state import load_log_record
from broker.rdb.codes import MAGIC, VALKEY_MAGIC, BadData
from broker.rdb.source import Source

log = structlog.get_logger()
_CHUNK: Final = 256 * 1024
_ELEMENTS: Final = 512  # keys, or elements of large values, that are read from an RDB file before others get on
_COMMANDS: Final = 64  # of a log that are executed, likewise
_FIRST_PART: Final = 1024 * 1024  # bytes of a log that show how many keys it may have
_LOOK_AT: Final = 64 * 1024 * 1024  # bytes of a torn end that are searched for what it must not hold

Apply = Callable[[list[list[bytes]]], tuple[int, str] | None]  # commands: the place of the first that fails, and why


@attrs.frozen
class Recovered:
    commands: int  # transactions count as what they hold
    bytes: int
    cut: int  # bytes of a torn end that were dropped


@attrs.define
class Progress:
    """What is loaded so far. total, done: bytes of all files. keys, expired, empty: of RDB files; cut: bytes of a torn
    end that were dropped."""

    total: int = 0
    done: int = 0
    commands: int = 0
    keys: int = 0
    expired: int = 0
    empty: int = 0
    cut: int = 0


def read_manifest(folder: Path, name: str) -> Manifest | None:
    """The manifest `<name>.manifest` of a folder; None when there is no log yet. Raises CorruptFile."""
    path = folder / f"{name}.manifest"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        _refuse_orphans(folder, name)
        return None
    manifest = parse_manifest(data, str(path))
    for file in manifest.files():
        if not (folder / file.name).exists():
            raise CorruptFile(str(path), 0, f"it names {file.name}, which is not there")
    return manifest


def _refuse_orphans(folder: Path, name: str) -> None:
    """Without a manifest: files that hold something are somebody's data, not to be started over. Empty ones are what a
    server leaves that died while it began its log."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        kind = path.name.removeprefix(f"{name}.").split(".")
        if path.name.startswith(f"{name}.") and len(kind) == 3 and kind[1] in ("base", "incr") and path.stat().st_size:
            raise CorruptFile(
                str(path),
                0,
                f"a file of a log whose manifest, {name}.manifest, is missing. Put the manifest back, or move the "
                "files away to begin a new log",
            )


def recover(folder: Path, manifest: Manifest, apply: Apply, keyspace: Keyspace, cut_torn: bool) -> Recovered:
    """load_log() in one go."""
    progress = Progress()
    for _ in load_log(folder, manifest, apply, keyspace, cut_torn, progress):
        pass
    return Recovered(progress.commands, progress.done, progress.cut)


def load_log(
    folder: Path,
    manifest: Manifest,
    apply: Apply,
    keyspace: Keyspace,
    cut_torn: bool,
    progress: Progress,
    corrupt_tail: int = 0,
) -> Iterator[None]:
    """Load a log, oldest file first: commands by `apply`; an RDB file, which a base may be or begin with, into the
    keyspace.

    Yields now and then, so that others get on. cut_torn: aof-load-truncated; corrupt_tail: bytes at the end that are
    cut even if they are no torn command, but damaged. Raises CorruptFile.
    """
    files = manifest.files()
    progress.total = sum((folder / file.name).stat().st_size for file in files)
    for index, file in enumerate(files):
        path = folder / file.name
        before = progress.done
        # A server that begins a new increment may die before it writes to it: then the one before is the last.
        is_last = all(not (folder / later.name).stat().st_size for later in files[index + 1 :])
        with path.open("rb") as stream:
            tail = b""
            if _is_rdb(stream):
                tail = yield from _load_rdb(stream, path, keyspace, 0, True, progress, apply)
            apply([[b"SELECT", b"0"]])  # each file begins so; one that is cut, or empty, does not say it
            cut_torn_here, tail_here = cut_torn and is_last, corrupt_tail * is_last
            yield from _load_commands(stream, path, tail, apply, keyspace, cut_torn_here, progress, tail_here)
        progress.done = before + path.stat().st_size


def load_rdb(
    path: Path,
    keyspace: Keyspace,
    now_ms: int,
    checks: bool,
    progress: Progress,
    apply: Apply,
    merges: bool = False,
) -> Iterator[None]:
    """Load an RDB file, without the keys whose time has come by `now_ms`; the rest as load_log(). merges: into keys
    that there are, which give way."""
    progress.total = path.stat().st_size
    with path.open("rb") as stream:
        yield from _load_rdb(stream, path, keyspace, now_ms, checks, progress, apply, merges)
    progress.done = progress.total


def _is_rdb(stream: BinaryIO) -> bool:
    head = stream.read(len(VALKEY_MAGIC))
    stream.seek(0)
    return head.startswith((MAGIC, VALKEY_MAGIC))


def _load_rdb(
    stream: BinaryIO,
    path: Path,
    keyspace: Keyspace,
    now_ms: int,
    checks: bool,
    progress: Progress,
    apply: Apply,
    merges: bool = False,
) -> Generator[None, None, bytes]:
    """The bytes that were read beyond it."""
    size = os.fstat(stream.fileno()).st_size
    source = Source(b"", size, lambda: stream.read(_CHUNK))
    reader = RdbReader(source, keyspace, str(path), now_ms, checks)
    reader.merges = merges
    before = progress.done
    more = True
    while more:
        more = reader.step(_ELEMENTS)
        progress.done = before + reader.offset
        yield
    load = [b"FUNCTION", b"LOAD", b"REPLACE"] if merges else [b"FUNCTION", b"LOAD"]
    for library in reader.functions:
        failed = apply([[*load, library]])
        if failed is not None:
            raise CorruptFile(str(path), reader.offset, f"a library of functions can't be loaded: {failed[1]}")
    progress.keys, progress.expired, progress.empty = int(reader.loaded), int(reader.expired), int(reader.empty)
    if reader.empty:
        log.warning("rdb.empty_keys_left_out", file=str(path), keys=progress.empty)
    return source.rest()


def _load_commands(
    stream: BinaryIO,
    path: Path,
    head: bytes,
    apply: Apply,
    keyspace: Keyspace,
    cut_torn: bool,
    progress: Progress,
    corrupt_tail: int,
) -> Iterator[None]:
    """head: bytes that were read already; they end where the file goes on."""
    start = stream.tell() - len(head)
    reader = LogReader(str(path), start)
    before = progress.done
    size = path.stat().st_size
    room = _Room(keyspace, start, size)
    chunk = head or stream.read(_CHUNK)
    while reader.damage is None and chunk:
        begin = reader.whole
        batch = reader.feed(chunk)
        for index in range(0, len(batch), _COMMANDS):
            failed = apply_all(batch[index : index + _COMMANDS], apply, keyspace)
            if failed is not None:
                raise _failed(path, begin, index + failed[0], batch[index + failed[0]], failed[1])
            yield
        progress.commands += len(batch)
        progress.done = before + reader.whole - start
        room.look(reader.whole)
        chunk = stream.read(_CHUNK)
    if size > reader.whole:
        _end(path, reader, size, cut_torn, corrupt_tail)
        progress.cut += size - reader.whole


def apply_all(commands: list[list[bytes]], apply: Apply, keyspace: Keyspace) -> tuple[int, str] | None:
    """As `apply`, for commands with records between them."""
    done = 0
    for place in [index for index, argv in enumerate(commands) if argv[0] == RECORD]:
        failed = apply(commands[done:place])
        if failed is not None:
            return done + failed[0], failed[1]
        try:
            load_log_record(keyspace, commands[place][1:])
        except BadData as error:
            return place, str(error)
        done = place + 1
    failed = apply(commands[done:] if done else commands)
    return None if failed is None else (done + failed[0], failed[1])


class _Room:
    """Makes room for the keys that a log is going to bring, by what its first part brought: so they need not be moved
    again and again as the tables grow."""

    def __init__(self, keyspace: Keyspace, start: int, size: int) -> None:
        self._databases = keyspace.databases
        self._start = start
        self._size = size
        self._before = [db.size() for db in keyspace.databases]
        self._is_made = size - start < 2 * _FIRST_PART

    def look(self, offset: int) -> None:
        """The file was loaded up to there."""
        if self._is_made or offset - self._start < _FIRST_PART:
            return
        self._is_made = True
        for db, before in zip(self._databases, self._before, strict=True):
            size = db.size()
            db.make_room(size + (size - before) * (self._size - offset) // (offset - self._start))


def _failed(path: Path, begin: int, index: int, argv: list[bytes], failure: str) -> CorruptFile:
    """The error for the command number `index` of those that begin at offset `begin`."""
    name = argv[0].decode("ascii", "replace")
    return CorruptFile(
        str(path), _offset_of(path, begin, index), f"this command ({name}) failed: {failure} (nothing was changed)"
    )


def _offset_of(path: Path, begin: int, index: int) -> int:
    """Read again, line by line, up to the unit that has the command number `index`."""
    reader = LogReader(str(path))
    seen = 0
    with path.open("rb") as stream:
        stream.seek(begin)
        for line in stream:
            before = reader.whole
            seen += len(reader.feed(line))
            if seen > index:
                return begin + before
    return begin


def _end(path: Path, reader: LogReader, size: int, allowed: bool, corrupt_tail: int) -> None:
    """The file does not end with a whole unit: cut it, or raise CorruptFile."""
    if size - reader.whole <= corrupt_tail:
        _cut(path, reader.whole, size - reader.whole, True)
        return
    with path.open("rb") as stream:
        stream.seek(reader.complete)
        tail = stream.read(_LOOK_AT)
    begun = without_zeros(tail)
    if reader.damage is not None and (begun is tail or len(tail) < size - reader.complete):
        raise _explained(reader.damage, size)
    swallowed = swallowed_command(begun)
    if swallowed >= 0:
        why = (
            "this command runs to the end of the file, but whole commands stand inside it, the first of them at byte "
            f"{reader.complete + swallowed}: one of its lengths is damaged"
        )
        raise _explained(CorruptFile(str(path), reader.complete, why), size)
    _cut(path, reader.whole, size - reader.whole, allowed)


def _explained(error: CorruptFile, size: int) -> CorruptFile:
    return CorruptFile(
        error.path,
        error.offset,
        f"{error.why} ({size - error.offset} of {size} bytes are left unread; nothing was changed. "
        "`redis-check-aof` shows the place; a copy cut there can be loaded)",
    )


def _cut(path: Path, offset: int, torn: int, allowed: bool) -> None:
    if not allowed:
        raise CorruptFile(
            str(path),
            offset,
            f"the file ends in the middle of a command ({torn} bytes); "
            "aof-load-truncated is no, or this is not the last file of the log",
        )
    log.warning("log.torn_end_cut", file=str(path), offset=offset, bytes=torn)
    with path.open("r+b") as stream:
        stream.truncate(offset)
        os.fsync(stream.fileno())
