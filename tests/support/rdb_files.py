"""RDB files of a harness, without a server: what would be written, and an engine that has read it."""

from pathlib import Path
from random import Random

from support.engine import Harness

from broker.keyspace.database import Keyspace
from broker.persistence.rdb_reader import RdbReader
from broker.persistence.rdb_state import AgendaWriter, ChannelsWriter
from broker.persistence.rdb_writer import END, encode_key, end, put_database, put_header
from broker.rdb.codes import NO_EXPIRY
from broker.rdb.crc64 import crc64
from broker.rdb.functions import put_libraries
from broker.rdb.limits import Format
from broker.rdb.source import Source


def file_of(harness: Harness, form: Format | None = None) -> bytes:
    """The whole data set as a file."""
    form = form or Format()
    out: list[bytes] = []
    put_header(form, [(b"redis-ver", b"7.0.0")], out)
    put_libraries(list(harness.engine.keyspace.libraries.values()), form.compressed, out)
    for db in harness.engine.keyspace.databases:
        if db.size():
            put_database(db.index, db.size(), len(db.expires), out)
            for key, value in db.table.items():
                out += encode_key(key, value, NO_EXPIRY if (when := db.expiry(key)) is None else when, form)
    for db in harness.engine.keyspace.databases:
        if len(db.agenda):
            tickets = AgendaWriter(db.index, db.agenda)
            while tickets.put_some(out):
                pass
    channels = ChannelsWriter(harness.engine.keyspace.channel_log)
    while channels.put_some(out):
        pass
    out.append(END)
    data = b"".join(out)
    return data + end(crc64(data))


def read(data: bytes, *, now_ms: int = 0, piece: int = 1 << 16, databases: int = 16) -> tuple[Keyspace, RdbReader]:
    """A keyspace that has read a file, `piece` bytes at a time."""
    keyspace = Keyspace(databases, Random(1))
    keyspace.now_ms = now_ms
    pieces = iter([data[i : i + piece] for i in range(0, len(data), piece)])
    reader = RdbReader(Source(b"", len(data), lambda: next(pieces, b"")), keyspace, "dump.rdb", now_ms, True)
    while reader.step(100):
        pass
    for library in reader.functions:  # nobody to register them with: as text, under the name in their first line
        name = library.partition(b"name=")[2].split(b"\n")[0]
        keyspace.libraries[name] = library
    return keyspace, reader


def read_path(path: Path, now_ms: int = 0) -> tuple[Keyspace, RdbReader]:
    return read(path.read_bytes(), now_ms=now_ms)
