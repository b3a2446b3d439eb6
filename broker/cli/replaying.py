"""A log executed as at a start, without a server and without changing it: for who wants to know what it amounts to.

It takes the memory and the time of a start.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import BinaryIO, Final

from broker.clock import Clock
from broker.config import load
from broker.engine.engine import Engine
from broker.engine.replay import Replay
from broker.errors import CorruptFile
from broker.keyspace.database import Keyspace
from broker.persistence.log_reader import LogReader
from broker.persistence.rdb_reader import RdbReader
from broker.persistence.recovery import apply_all
from broker.rdb.codes import MAGIC, VALKEY_MAGIC
from broker.rdb.source import Source
from broker.scripting.scripts import Scripting
from broker.server.control import ServerControl
from broker.server.shutdown import Shutdown

_CHUNK: Final = 256 * 1024
_STEP: Final = 1000
_DATABASES: Final = "1024"  # whatever the server had

Advance = Callable[[int], None]  # so many bytes more


def replay(files: list[Path], advance: Advance = lambda size: None) -> tuple[Keyspace, int]:
    """What the files of a log, oldest first, make together, and the bytes of a torn end of the last one.

    Raises CorruptFile, also for a command that fails.
    """
    engine = _engine()
    replaying = Replay(engine)
    torn = 0
    for file in files:
        with file.open("rb") as stream:
            torn = _read(engine, replaying, stream, file, advance)
        if torn and file is not files[-1] and any(later.stat().st_size for later in files[files.index(file) + 1 :]):
            raise CorruptFile(str(file), file.stat().st_size - torn, "it ends in the middle of a command")
    return engine.keyspace, torn


def _engine() -> Engine:
    config = load(None, ["--databases", _DATABASES])
    engine = Engine(config, ServerControl(Shutdown()), Clock(), Random(0), _bug)
    engine.shared.scripts = Scripting(config, engine.script_calls, _nobody_else)
    engine.keyspace.expiry = False
    return engine


def _nobody_else() -> bool:
    """Asks for the end of a script, or waits for it."""
    return False


def _bug(where: str, error: Exception) -> None:
    raise error


def _read(engine: Engine, replaying: Replay, stream: BinaryIO, path: Path, advance: Advance) -> int:
    rest, libraries = _load_head(stream, path, engine.keyspace, advance)
    for library in libraries:
        replaying.apply([[b"FUNCTION", b"LOAD", b"REPLACE", library]])
    reader = LogReader(str(path), stream.tell() - len(rest))
    replaying.apply([[b"SELECT", b"0"]])
    chunk = rest or stream.read(_CHUNK)
    while chunk and reader.damage is None:
        before = reader.whole
        commands = reader.feed(chunk)
        failed = apply_all(commands, replaying.apply, engine.keyspace)
        if failed is not None:
            name = commands[failed[0]][0].decode("ascii", "replace")
            raise CorruptFile(str(path), before, f"a command ({name}) at or after this byte fails: {failed[1]}")
        advance(len(chunk))
        chunk = stream.read(_CHUNK)
    if reader.damage is not None:
        raise reader.damage
    return reader.torn


def _load_head(stream: BinaryIO, path: Path, keyspace: Keyspace, advance: Advance) -> tuple[bytes, list[bytes]]:
    """The RDB that a log may begin with. The bytes that were read beyond it, and its libraries of functions."""
    head = stream.read(len(VALKEY_MAGIC))
    stream.seek(0)
    if not head.startswith((MAGIC, VALKEY_MAGIC)):
        return b"", []
    source = Source(b"", path.stat().st_size, lambda: stream.read(_CHUNK))
    reader = RdbReader(source, keyspace, str(path), 0, True)
    done = 0
    more = True
    while more:
        more = reader.step(_STEP)
        advance(reader.offset - done)
        done = reader.offset
    return source.rest(), reader.functions
