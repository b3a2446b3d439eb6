"""The manifest of the append-only log, as bytes. Opens nothing. (Its commands: log_reader.py.)

A log is a folder: `<name>.manifest` lists, one a line, a base file (what the data set was), and increments (what
changed since), as Redis 7 lays them out, so that a folder can be moved between the two. Redis: aof.c, "Manifest".
"""

from typing import Final

import attrs

from broker.errors import CorruptFile
from broker.protocol.requests import split_line

BASE: Final = "b"
HISTORY: Final = "h"
INCREMENT: Final = "i"

_BAD_LINE: Final = "a line that is no `file <name> seq <number> type <b|h|i>`"
_ESCAPES: Final = {10: b"\\n", 13: b"\\r", 9: b"\\t", 7: b"\\a", 8: b"\\b", 34: b'\\"', 92: b"\\\\"}


# -- the manifest


@attrs.frozen
class LogFile:
    """One line of a manifest. sequence: from 1, counts up within a kind; name: without a folder."""

    name: str
    sequence: int
    kind: str

    def line(self) -> bytes:
        return b"file %b seq %d type %b\n" % (_quoted(self.name), self.sequence, self.kind.encode())


@attrs.define
class Manifest:
    """What belongs to a log. base: at most one; increments: oldest first; history: to be deleted."""

    base: LogFile | None = None
    increments: list[LogFile] = attrs.Factory(list)
    history: list[LogFile] = attrs.Factory(list)

    def encode(self) -> bytes:
        files = [*([self.base] if self.base else []), *self.history, *self.increments]
        return b"".join(file.line() for file in files)

    def files(self) -> list[LogFile]:
        """In the order in which they are loaded."""
        return [*([self.base] if self.base else []), *self.increments]


def _quoted(name: str) -> bytes:
    """A name as a word of the manifest, in quotes if it needs them. Redis: sdsneedsrepr and sdscatrepr in sds.c."""
    raw = name.encode("utf-8", "surrogateescape")
    if raw and all(33 <= byte <= 126 and byte not in b"\"'\\" for byte in raw):
        return raw
    return b'"%b"' % b"".join(_ESCAPES.get(b) or (bytes([b]) if 32 <= b <= 126 else b"\\x%02x" % b) for b in raw)


def parse_manifest(data: bytes, path: str) -> Manifest:
    """Raises CorruptFile. Comments (`#`) are allowed; unknown keys of a line are ignored, as Redis does."""
    manifest = Manifest()
    offset = 0
    if not data:
        raise CorruptFile(path, 0, "the manifest is empty")
    for line in data.split(b"\n")[:-1]:
        if not line.startswith(b"#"):
            _add_line(manifest, line, path, offset)
        offset += len(line) + 1
    if offset < len(data):
        raise CorruptFile(path, offset, "the last line has no end")
    return manifest


def _add_line(manifest: Manifest, line: bytes, path: str, offset: int) -> None:
    file = _file_of(line, path, offset)
    if file.kind == BASE:
        if manifest.base is not None:
            raise CorruptFile(path, offset, "a second base file")
        manifest.base = file
    elif file.kind == HISTORY:
        manifest.history.append(file)
    else:
        if manifest.increments and file.sequence <= manifest.increments[-1].sequence:
            raise CorruptFile(path, offset, "increments out of order")
        manifest.increments.append(file)


def _file_of(line: bytes, path: str, offset: int) -> LogFile:
    words = split_line(line.strip())
    if not words or len(words) % 2 or len(words) < 6:
        raise CorruptFile(path, offset, _BAD_LINE)
    values = {words[i].lower(): words[i + 1] for i in range(0, len(words), 2)}
    name, sequence, kind = values.get(b"file", b""), values.get(b"seq", b""), values.get(b"type", b"")
    if not name or not sequence.isdigit() or int(sequence) == 0 or kind not in (b"b", b"h", b"i"):
        raise CorruptFile(path, offset, _BAD_LINE)
    if b"/" in name or b"\0" in name or name in (b".", b".."):
        raise CorruptFile(path, offset, "a file name with a folder in it")
    return LogFile(name.decode("utf-8", "surrogateescape"), int(sequence), kind.decode())
