"""Reading the log at start.

A torn end of the last file (the machine lost power) is cut at the last whole command, with a warning that names file
and offset. Damage anywhere else stops the start, and nothing is changed on the disk.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import structlog

from broker.errors import CorruptFile
from broker.persistence.aof_format import LogReader, Manifest, parse_manifest

log = structlog.get_logger()
_CHUNK: Final = 1024 * 1024


@attrs.frozen
class Recovered:
    commands: int
    bytes: int
    cut: int  # bytes of a torn end that were dropped


def read_manifest(folder: Path, name: str) -> Manifest | None:
    """The manifest `<name>.manifest` of a folder, or None when there is none. Raises CorruptFile."""
    path = folder / f"{name}.manifest"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    manifest = parse_manifest(data, str(path))
    for file in manifest.files():
        if not (folder / file.name).exists():
            raise CorruptFile(str(path), 0, f"it names {file.name}, which is not there")
    return manifest


def recover(
    folder: Path, manifest: Manifest, apply: Callable[[list[bytes]], str | None], cut_torn: bool
) -> Recovered:
    """Apply every command of a log, oldest first.

    apply: executes one command; a text means that it failed. cut_torn: aof-load-truncated. Raises CorruptFile.
    """
    files = manifest.files()
    commands = size = cut = 0
    for file in files:
        path = folder / file.name
        with path.open("rb") as stream:
            refuse_rdb(path, stream.read(5))
        is_last = file is files[-1]
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


def _read_file(path: Path, apply: Callable[[list[bytes]], str | None], cut_torn: bool) -> tuple[int, int, int]:
    """(commands, bytes read, bytes cut)."""
    reader = LogReader(str(path))
    commands = 0
    size = path.stat().st_size
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            try:
                batch = reader.feed(chunk)
            except CorruptFile as error:
                raise _explained(error, size) from None
            for argv in batch:
                failure = apply(argv)
                if failure is not None:
                    name = argv[0].decode("ascii", "replace")
                    raise CorruptFile(str(path), reader.whole, f"a command before here ({name}) failed: {failure}")
                commands += 1
    if reader.torn:
        _cut(path, reader, cut_torn)
    return commands, size, reader.torn


def _explained(error: CorruptFile, size: int) -> CorruptFile:
    return CorruptFile(
        error.path,
        error.offset,
        f"{error.why} ({size - error.offset} of {size} bytes are left unread; nothing was changed. "
        "`redis-check-aof` shows the place; a copy cut there can be loaded)",
    )


def _cut(path: Path, reader: LogReader, allowed: bool) -> None:
    if not allowed:
        raise CorruptFile(
            str(path),
            reader.whole,
            f"the file ends in the middle of a command ({reader.torn} bytes); "
            "aof-load-truncated is no, or this is not the last file of the log",
        )
    log.warning("log.torn_end_cut", file=str(path), offset=reader.whole, bytes=reader.torn)
    with path.open("r+b") as stream:
        stream.truncate(reader.whole)
        os.fsync(stream.fileno())
