"""What is in RDB files and logs, and where the first damage is: for `millstream check`. Changes nothing, but for cut().

One key is in memory at a time; of a log, which is not executed here, one chunk.
"""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import BinaryIO, Final

import attrs

from broker.errors import CorruptFile
from broker.keyspace.database import Keyspace
from broker.keyspace.types import type_name
from broker.persistence.aof_format import parse_manifest
from broker.persistence.log_reader import RECORD, LogReader
from broker.persistence.rdb_reader import RdbReader
from broker.persistence.rdb_writer import encode_key
from broker.rdb.codes import MAGIC, NO_EXPIRY, VALKEY_MAGIC
from broker.rdb.limits import Format
from broker.rdb.source import Source

_CHUNK: Final = 256 * 1024
_STEP: Final = 1000
_TIMESTAMP: Final = b"#TS:"

Advance = Callable[[int], None]  # so many bytes more


@attrs.define
class TypeStatistics:
    keys: int = 0
    bytes: int = 0
    expiring: int = 0
    biggest: str = ""  # the key that takes most bytes
    biggest_bytes: int = 0


@attrs.define
class FileReport:
    """kind: rdb, aof, or rdb+aof. whole: the offset up to which all is well. damage: empty when there is none."""

    path: str
    bytes: int
    kind: str = ""
    version: str = ""
    facts: dict[str, str] = attrs.Factory(dict)
    types: dict[str, TypeStatistics] = attrs.Factory(dict)
    records: int = 0  # of what only Millstream knows
    functions: int = 0
    commands: dict[str, int] = attrs.Factory(dict)
    data: dict[str, TypeStatistics] = attrs.Factory(dict)  # of what the log amounts to, in its last file
    first_timestamp: int = 0
    last_timestamp: int = 0
    whole: int = 0
    damage: str = ""
    offset: int = -1
    is_torn: bool = False  # the end is missing, and nothing else is wrong


def check_file(path: Path, advance: Advance) -> FileReport:
    """An RDB file, a log, or an RDB file with a log behind it."""
    report = FileReport(str(path), path.stat().st_size)
    try:
        with path.open("rb") as stream:
            head = stream.read(len(VALKEY_MAGIC))
            stream.seek(0)
            rest = b""
            if head.startswith((MAGIC, VALKEY_MAGIC)):
                report.kind = "rdb"
                rest = _check_rdb(stream, path, report, advance)
            if rest or report.whole < report.bytes:
                report.kind = "rdb+aof" if report.kind else "aof"
                _check_log(stream, path, rest, report, advance)
            report.kind = report.kind or "aof"
    except CorruptFile as error:
        report.damage = error.why
        report.offset = error.offset
    return report


def _check_rdb(stream: BinaryIO, path: Path, report: FileReport, advance: Advance) -> bytes:
    """The bytes that were read beyond it."""
    source = Source(b"", report.bytes, lambda: stream.read(_CHUNK))
    reader = RdbReader(source, Keyspace(1, Random(0)), str(path), 0, True)

    def visit(database: int, key: bytes, value: object, expire_at_ms: int, size: int) -> None:
        _count(report.types, key, value, expire_at_ms != NO_EXPIRY, size)

    def visit_record(record: list[bytes]) -> None:
        report.records += 1

    reader.visit = visit
    reader.visit_record = visit_record
    done = 0
    more = True
    while more:
        more = reader.step(_STEP)
        advance(reader.offset - done)
        done = reader.offset
    report.version = f"{'Valkey' if reader.is_valkey else 'Redis'} {reader.version}"
    report.functions = len(reader.functions)
    report.facts = {_text(name): _text(value) for name, value in reader.facts.items()}
    report.whole = reader.offset
    return source.rest()


def _count(types: dict[str, TypeStatistics], key: bytes, value: object, expires: bool, size: int) -> None:
    statistics = types.setdefault(type_name(value).decode(), TypeStatistics())
    statistics.keys += 1
    statistics.bytes += size
    statistics.expiring += expires
    if size > statistics.biggest_bytes:
        statistics.biggest, statistics.biggest_bytes = _text(key), size


def statistics_of(keyspace: Keyspace) -> dict[str, TypeStatistics]:
    """Of data in memory; bytes: as an RDB file would have them."""
    types: dict[str, TypeStatistics] = {}
    form = Format()
    for db in keyspace.databases:
        for key, value in db.table.items():
            size = sum(len(piece) for piece in encode_key(key, value, NO_EXPIRY, form))
            _count(types, key, value, db.expiry(key) is not None, size)
    return types


def _check_log(stream: BinaryIO, path: Path, head: bytes, report: FileReport, advance: Advance) -> None:
    start = report.whole
    reader = LogReader(str(path), start)
    chunk = head or stream.read(_CHUNK)
    while chunk and reader.damage is None:
        for argv in reader.feed(chunk):
            if argv[0] == RECORD:
                report.records += 1
                continue
            name = _text(argv[0].upper())
            report.commands[name] = report.commands.get(name, 0) + 1
        _note_timestamps(chunk, report)
        advance(len(chunk))
        chunk = stream.read(_CHUNK)
    report.whole = reader.whole
    if reader.damage is not None:
        raise reader.damage
    if reader.whole < report.bytes:
        report.is_torn = True
        torn = report.bytes - reader.whole
        raise CorruptFile(str(path), reader.whole, f"the file ends in the middle of a command ({torn} bytes)")


def _note_timestamps(chunk: bytes, report: FileReport) -> None:
    """Roughly: one that two chunks share is left out."""
    at = chunk.find(_TIMESTAMP)
    if at >= 0:
        last = chunk.rfind(_TIMESTAMP)
        report.first_timestamp = report.first_timestamp or _timestamp(chunk, at)
        report.last_timestamp = _timestamp(chunk, last) or report.last_timestamp


def _timestamp(data: bytes, at: int) -> int:
    """Unix time in seconds of the annotation at `at`; 0 when it is none."""
    digits = data[at + len(_TIMESTAMP) : data.find(b"\r", at)]
    is_line = at == 0 or data[at - 1] == 10
    return int(digits) if is_line and digits.isdigit() and len(digits) < 16 else 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


# -- which files


def files_of(path: Path) -> list[Path]:
    """groups_of() in one list."""
    return [file for group in groups_of(path) for file in group]


def groups_of(path: Path) -> list[list[Path]]:
    """What belongs to a path: itself; of a log's folder, what its manifest names; of `dir`, its RDB files and its log.
    Those of one log are in one group.

    Raises CorruptFile (a manifest), FileNotFoundError.
    """
    if path.name.endswith(".manifest"):
        return [_files_of_manifest(path)]
    if not path.is_dir():
        path.stat()
        return [[path]]
    manifests = sorted(path.glob("*.manifest"))
    if manifests:
        return [_files_of_manifest(manifest) for manifest in manifests]
    found = [[file] for file in sorted(path.glob("*.rdb")) + sorted(path.glob("*.aof"))]
    for folder in sorted(path.iterdir()):
        if folder.is_dir() and any(folder.glob("*.manifest")):
            found += groups_of(folder)
    if not found:
        raise FileNotFoundError(2, "there is no RDB file and no log", str(path))
    return found


def _files_of_manifest(path: Path) -> list[Path]:
    manifest = parse_manifest(path.read_bytes(), str(path))
    for file in manifest.files():
        if not (path.parent / file.name).exists():
            raise CorruptFile(str(path), 0, f"it names {file.name}, which is not there")
    return [path.parent / file.name for file in manifest.files()]


# -- cutting


def offset_after(path: Path, timestamp: int) -> int:
    """Where a log has the first annotation of a later time, to cut it there; -1: it has none. Raises CorruptFile."""
    report = check_file(path, lambda size: None)
    if report.kind == "rdb" or (report.damage and not report.is_torn):
        raise CorruptFile(str(path), max(report.offset, 0), report.damage or "an RDB file has no times")
    before = 0
    with path.open("rb") as stream:
        for line in stream:
            if line.startswith(_TIMESTAMP) and _timestamp(line, 0) > timestamp and _begins_unit(path, before):
                return before
            before += len(line)
    return -1


def _begins_unit(path: Path, offset: int) -> bool:
    """Whether a line is an annotation, and not a part of a value that looks like one."""
    reader = LogReader(str(path))
    with path.open("rb") as stream:
        left = offset
        while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
            reader.feed(chunk)
            left -= len(chunk)
    return reader.damage is None and reader.whole == offset


def cut(path: Path, offset: int) -> None:
    with path.open("r+b") as stream:
        stream.truncate(offset)
        os.fsync(stream.fileno())
