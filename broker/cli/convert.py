"""`millstream convert`: RDB files, logs and lines of JSON into one another."""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Annotated, BinaryIO, Final, NoReturn, Protocol

import typer

from broker.cli.replaying import replay
from broker.errors import CorruptFile
from broker.keyspace.database import Keyspace
from broker.persistence.aof_format import BASE, INCREMENT, LogFile, Manifest
from broker.persistence.as_commands import put_key, put_select
from broker.persistence.checking import files_of
from broker.persistence.json_lines import line_of, line_of_library, line_of_record, parse_line
from broker.persistence.log_records import put_state_record
from broker.persistence.rdb_reader import RdbReader
from broker.persistence.rdb_state import records_in, writers_of_state
from broker.persistence.rdb_writer import END, begin_key, end, put_database, put_header
from broker.protocol.encoder import encode_request
from broker.rdb.codes import MAGIC, NO_EXPIRY, VALKEY_MAGIC, BadData
from broker.rdb.crc64 import crc64
from broker.rdb.extras import put_record
from broker.rdb.functions import put_libraries
from broker.rdb.limits import Format
from broker.rdb.source import Source
from broker.version import VERSION

_CHUNK: Final = 256 * 1024
_STEP: Final = 100


def convert(
    source: Annotated[Path, typer.Argument(help="An RDB file, a log (file, manifest or folder), or *.jsonl.")],
    target: Annotated[Path, typer.Argument(help="*.rdb, *.aof (commands), *.jsonl, or a new folder for a log.")],
    rdb_version: Annotated[int, typer.Option(min=10, max=12, help="Of the RDB that is written.")] = 10,
    force: Annotated[bool, typer.Option("--force", help="Replace the target.")] = False,
    until_damage: Annotated[
        bool, typer.Option("--until-damage", help="Of an RDB file that is damaged: take the keys that stand before.")
    ] = False,
) -> None:
    """Convert between RDB files, logs and lines of JSON. Nothing is lost."""
    if target.exists() and not force:
        _fail(f"{target} exists already; --force replaces it")
    form = Format(rdb_version)
    try:
        keys = _convert(source, target, form, until_damage)
    except CorruptFile as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")
    print(f"{keys} keys written to {target}", file=sys.stderr)


def _fail(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(1)


def _convert(source: Path, target: Path, form: Format, until_damage: bool) -> int:
    if target.suffix in (".rdb", ".aof", ".jsonl"):
        temporary = target.with_name(f".{target.name}.part")
        try:
            with temporary.open("wb") as stream:
                keys = _write(source, stream, target.suffix, form, False, until_damage)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return keys
    target.mkdir(parents=True, exist_ok=True)
    name = "appendonly.aof"
    manifest = Manifest(LogFile(f"{name}.1.base.rdb", 1, BASE), [LogFile(f"{name}.1.incr.aof", 1, INCREMENT)])
    with (target / f"{name}.1.base.rdb").open("wb") as stream:
        keys = _write(source, stream, ".rdb", form, True, until_damage)
    (target / f"{name}.1.incr.aof").write_bytes(b"")
    (target / f"{name}.manifest").write_bytes(manifest.encode())
    return keys


def _write(source: Path, stream: BinaryIO, suffix: str, form: Format, is_base: bool, until_damage: bool) -> int:
    writer: _Writer
    if suffix == ".rdb":
        writer = _RdbWriter(stream, form, is_base)
    else:
        writer = _LinesWriter(stream) if suffix == ".jsonl" else _CommandsWriter(stream, form)
    if source.suffix == ".jsonl":
        _read_lines(source, writer)
    else:
        files = files_of(source)
        if len(files) == 1 and _is_rdb_alone(files[0]):
            _read_rdb(files[0], writer, until_damage)
        else:
            _read_log(files, writer)
    writer.end()
    return writer.keys


# -- what is written


class _Writer(Protocol):
    keys: int  # so far

    def key(self, database: int, key: bytes, value: object, expire_at_ms: int) -> None: ...

    def record(self, record: list[bytes]) -> None:
        """What only we know beside keys."""

    def library(self, source: bytes) -> None:
        """A library of functions."""

    def end(self) -> None:
        """All keys were written."""


class _RdbWriter:
    def __init__(self, stream: BinaryIO, form: Format, is_base: bool) -> None:
        self.keys = 0
        self._stream = stream
        self._form = form
        self._crc = 0
        self._database = -1
        self._records: list[bytes] = []
        out: list[bytes] = []
        put_header(form, [(b"millstream-ver", VERSION.encode()), (b"aof-base", b"%d" % is_base)], out)
        self._put(out)

    def _put(self, out: list[bytes]) -> None:
        data = b"".join(out)
        self._crc = crc64(data, self._crc)
        self._stream.write(data)
        out.clear()

    def key(self, database: int, key: bytes, value: object, expire_at_ms: int) -> None:
        out: list[bytes] = []
        if database != self._database:
            self._database = database
            put_database(database, 0, 0, out)
        pieces = begin_key(key, value, expire_at_ms, self._form, out)
        while pieces is not None and pieces.put_some(out):
            self._put(out)
        self._put(out)
        self.keys += 1

    def record(self, record: list[bytes]) -> None:
        put_record(record, True, self._records)

    def library(self, source: bytes) -> None:
        put_libraries([source], True, self._records)

    def end(self) -> None:
        self._put([*self._records, END])
        self._stream.write(end(self._crc))


class _LinesWriter:
    def __init__(self, stream: BinaryIO) -> None:
        self.keys = 0
        self._stream = stream

    def key(self, database: int, key: bytes, value: object, expire_at_ms: int) -> None:
        self._stream.write(line_of(database, key, value, expire_at_ms).encode() + b"\n")
        self.keys += 1

    def record(self, record: list[bytes]) -> None:
        self._stream.write(line_of_record(record).encode() + b"\n")

    def library(self, source: bytes) -> None:
        self._stream.write(line_of_library(source).encode() + b"\n")

    def end(self) -> None:
        self._stream.flush()


class _CommandsWriter:
    def __init__(self, stream: BinaryIO, form: Format) -> None:
        self.keys = 0
        self._stream = stream
        self._form = form
        self._database = -1

    def key(self, database: int, key: bytes, value: object, expire_at_ms: int) -> None:
        pieces: list[bytes] = []
        if database != self._database:
            self._database = database
            put_select(database, pieces)
        put_key(database, key, value, expire_at_ms, self._form, pieces)
        self._stream.write(b"".join(pieces))
        self.keys += 1

    def record(self, record: list[bytes]) -> None:
        pieces: list[bytes] = []
        put_state_record(record, pieces)
        self._stream.write(b"".join(pieces))

    def library(self, source: bytes) -> None:
        pieces: list[bytes] = []
        encode_request([b"FUNCTION", b"LOAD", b"REPLACE", source], pieces)
        self._stream.write(b"".join(pieces))

    def end(self) -> None:
        self._stream.flush()


# -- what is read


def _is_rdb_alone(path: Path) -> bool:
    """An RDB file, with no log behind it as far as its name tells."""
    with path.open("rb") as stream:
        return stream.read(len(VALKEY_MAGIC)).startswith((MAGIC, VALKEY_MAGIC)) and path.suffix != ".aof"


def _read_rdb(path: Path, writer: _Writer, until_damage: bool) -> None:
    """A key at a time."""
    with path.open("rb") as stream:
        source = Source(b"", path.stat().st_size, lambda: stream.read(_CHUNK))
        reader = RdbReader(source, Keyspace(1, Random(0)), str(path), 0, True)
        reader.visit = lambda database, key, value, expire_at_ms, size: writer.key(database, key, value, expire_at_ms)
        reader.visit_record = writer.record
        try:
            while reader.step(_STEP):
                pass
        except CorruptFile as error:
            if not until_damage:
                raise
            reader.give_up()
            print(f"{error}\nwhat comes after that is left out", file=sys.stderr)
    for library in reader.functions:
        writer.library(library)


def _read_lines(path: Path, writer: _Writer) -> None:
    offset = 0
    with path.open("rb") as stream:
        for line in stream:
            try:
                parsed = parse_line(line.decode())
            except (BadData, UnicodeDecodeError) as error:
                raise CorruptFile(str(path), offset, str(error)) from None
            if parsed.value is not None:
                writer.key(parsed.database, parsed.key, parsed.value, parsed.expire_at_ms)
            elif parsed.library:
                writer.library(parsed.library)
            else:
                writer.record(parsed.record)
            offset += len(line)


def _read_log(files: list[Path], writer: _Writer) -> None:
    """Executed as at a start, so it has to fit into memory."""
    keyspace, torn = replay(files)
    if torn:
        print(f"{files[-1]}: {torn} bytes of a torn end are left out", file=sys.stderr)
    _write_keyspace(keyspace, writer)


def _write_keyspace(keyspace: Keyspace, writer: _Writer) -> None:
    for db in keyspace.databases:
        for key, value in db.table.items():
            when = db.expiry(key)
            writer.key(db.index, key, value, NO_EXPIRY if when is None else when)
    for library in keyspace.libraries.values():
        writer.library(library)
    for record in _records_of(keyspace):
        writer.record(record)


def _records_of(keyspace: Keyspace) -> Iterator[list[bytes]]:
    """By way of the form that a file has: the writers give nothing else."""
    agendas = {db.index: db.agenda for db in keyspace.databases if len(db.agenda)}
    for state in reversed(writers_of_state(agendas, keyspace.channel_log)):
        more = True
        while more:
            out: list[bytes] = []
            more = state.put_some(out)
            yield from records_in(b"".join(out))
