"""The append-only log's files, as bytes: the manifest, and commands with their offsets. Opens nothing.

A log is a folder: `<name>.manifest` lists, one a line, a base file (what the data set was), and increments (what
changed since), as Redis 7 lays them out, so that a folder can be moved between the two. Redis: aof.c, "Manifest".
"""

from typing import Final

import attrs

from broker.errors import CorruptFile, ProtocolError
from broker.protocol.requests import RequestParser, split_line

BASE: Final = "b"
HISTORY: Final = "h"
INCREMENT: Final = "i"


@attrs.frozen
class LogFile:
    """One line of a manifest. sequence: counts up within a kind; name: without a folder."""

    name: str
    sequence: int
    kind: str

    def line(self) -> str:
        name = self.name
        if any(char in name for char in ' "\\') or not name.isprintable():
            escaped = name.replace("\\", "\\\\").replace('"', '\\"')
            name = f'"{escaped}"'
        return f"file {name} seq {self.sequence} type {self.kind}\n"


@attrs.define
class Manifest:
    """What belongs to a log. base: at most one; increments: oldest first; history: to be deleted."""

    base: LogFile | None = None
    increments: list[LogFile] = attrs.Factory(list)
    history: list[LogFile] = attrs.Factory(list)

    def encode(self) -> bytes:
        files = [*([self.base] if self.base else []), *self.history, *self.increments]
        return "".join(file.line() for file in files).encode("utf-8", "surrogateescape")

    def files(self) -> list[LogFile]:
        """In the order in which they are loaded."""
        return [*([self.base] if self.base else []), *self.increments]


def parse_manifest(data: bytes, path: str) -> Manifest:
    """Raises CorruptFile. Comments (`#`) are allowed; unknown keys of a line are ignored, as Redis does."""
    manifest = Manifest()
    offset = 0
    if not data:
        raise CorruptFile(path, 0, "the manifest is empty")
    for line in data.splitlines(keepends=True):
        if not line.startswith(b"#"):
            _add_line(manifest, line, path, offset)
        offset += len(line)
    return manifest


def _add_line(manifest: Manifest, line: bytes, path: str, offset: int) -> None:
    words = split_line(line.strip())
    if not words or len(words) % 2 or len(words) < 6:
        raise CorruptFile(path, offset, "a line that is no `file <name> seq <number> type <b|h|i>`")
    values = {words[i].lower(): words[i + 1] for i in range(0, len(words), 2)}
    name, sequence, kind = values.get(b"file", b""), values.get(b"seq", b""), values.get(b"type", b"")
    if not name or not sequence.isdigit() or kind not in (b"b", b"h", b"i"):
        raise CorruptFile(path, offset, "a line that is no `file <name> seq <number> type <b|h|i>`")
    if b"/" in name:
        raise CorruptFile(path, offset, "a file name with a folder in it")
    file = LogFile(name.decode("utf-8", "surrogateescape"), int(sequence), kind.decode())
    if kind == b"b":
        if manifest.base is not None:
            raise CorruptFile(path, offset, "a second base file")
        manifest.base = file
    elif kind == b"h":
        manifest.history.append(file)
    else:
        if manifest.increments and file.sequence <= manifest.increments[-1].sequence:
            raise CorruptFile(path, offset, "increments out of order")
        manifest.increments.append(file)


class LogReader:
    """Commands out of the bytes of one log file.

    feed() gives those that are complete; `whole` is the offset of the end of the last one that may stand on its own:
    what comes after it is torn (within MULTI that is the place before it, since half a transaction must not count).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._parser = RequestParser()
        self._in_multi = False
        self._fed = 0
        self.whole = 0

    @property
    def torn(self) -> int:
        """Bytes after the last whole command."""
        return self._fed - self.whole

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Raises CorruptFile at what is no command."""
        self._fed += len(data)
        self._parser.feed(data)
        commands: list[list[bytes]] = []
        try:
            self._parser.take(commands)
        except ProtocolError as error:
            raise CorruptFile(self._path, int(self._parser.complete), f"no command of the log: {error}") from None
        before = self.whole
        for argv in commands:
            name = argv[0].upper()
            if name == b"MULTI":
                self._in_multi = True
            elif name == b"EXEC":
                self._in_multi = False
        if not self._in_multi:
            self.whole = int(self._parser.complete)
        elif commands:
            self.whole = self._before_multi(commands, before)
        return [argv for argv in commands if not argv[0].startswith(b"#")]  # #TS: annotations

    def _before_multi(self, commands: list[list[bytes]], before: int) -> int:
        """A chunk that ends inside a transaction: where that transaction begins."""
        size = 0
        for argv in reversed(commands):
            size += encoded_size(argv)
            if argv[0].upper() == b"MULTI":
                return int(self._parser.complete) - size
        return before


def encoded_size(argv: list[bytes]) -> int:
    """Bytes that a command takes in the log."""
    size = len(b"*%d\r\n" % len(argv))
    for argument in argv:
        size += len(b"$%d\r\n" % len(argument)) + len(argument) + 2
    return size
