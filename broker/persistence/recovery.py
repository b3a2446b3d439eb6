"""Reading the log at start.

A torn end of the last file (the machine lost power, the server was killed) is cut at the last whole command, with a
warning that names file and offset. Damage anywhere else stops the start, and nothing is changed on the disk.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import structlog

from broker.errors import CorruptFile
from broker.persistence.aof_format import (
    LogReader,
    Manifest,
    parse_manifest,
    swallowed_command,
    without_zeros,
)

log = structlog.get_logger()
_CHUNK: Final = 1024 * 1024
_LOOK_AT: Final = 64 * 1024 * 1024  # bytes of a torn end that are searched for what it must not hold

Apply = Callable[[list[bytes]], str | None]


@attrs.frozen
class Recovered:
    commands: int  # transactions count as what they hold
    bytes: int
    cut: int  # bytes of a torn end that were dropped


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


def recover(folder: Path, manifest: Manifest, apply: Apply, cut_torn: bool) -> Recovered:
    """Apply every command of a log, oldest first.

    apply: executes one command; a text means that it failed. cut_torn: aof-load-truncated. Raises CorruptFile.
    """
    files = manifest.files()
    commands = size = cut = 0
    for index, file in enumerate(files):
        path = folder / file.name
        with path.open("rb") as stream:
            refuse_rdb(path, stream.read(5))
        apply([b"SELECT", b"0"])  # each file begins so; one that is cut, or empty, does not say it
        # A server that begins a new increment may die before it writes to it: then the one before is the last.
        is_last = all(not (folder / later.name).stat().st_size for later in files[index + 1 :])
        done, read, torn = _read_file(path, apply, cut_torn and is_last)
        commands, size, cut = commands + done, size + read, cut + torn
    return Recovered(commands, size, cut)


def refuse_rdb(path: Path, head: bytes) -> None:
    """A base file that redis-server wrote begins with an RDB snapshot, which this version can't read."""
    if head in (b"REDIS", b"VALKE"):
        raise CorruptFile(
            str(path),
            0,
            "this is an RDB snapshot, which can't be read yet. Let redis-server rewrite the log with "
            "`aof-use-rdb-preamble no` (CONFIG SET, then BGREWRITEAOF) and start again",
        )


def _read_file(path: Path, apply: Apply, cut_torn: bool) -> tuple[int, int, int]:
    """(commands, bytes read, bytes cut)."""
    reader = LogReader(str(path))
    commands = 0
    size = path.stat().st_size
    with path.open("rb") as stream:
        while reader.damage is None and (chunk := stream.read(_CHUNK)):
            begin = reader.whole
            batch = reader.feed(chunk)
            for index, argv in enumerate(batch):
                failure = apply(argv)
                if failure is not None:
                    raise _failed(path, begin, index, argv, failure)
            commands += len(batch)
    if size > reader.whole:
        _end(path, reader, size, cut_torn)
    return commands, size, size - reader.whole


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


def _end(path: Path, reader: LogReader, size: int, allowed: bool) -> None:
    """The file does not end with a whole unit: cut it, or raise CorruptFile."""
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
