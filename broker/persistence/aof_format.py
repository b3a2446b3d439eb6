"""The append-only log's files, as bytes: the manifest, and commands with their offsets. Opens nothing.

A log is a folder: `<name>.manifest` lists, one a line, a base file (what the data set was), and increments (what
changed since), as Redis 7 lays them out, so that a folder can be moved between the two. Redis: aof.c, "Manifest".
"""

import re
from itertools import islice
from typing import Final

import attrs

from broker.errors import CorruptFile, ProtocolError
from broker.persistence.log_records import MARK, RecordReader
from broker.protocol.encoder import encode_request
from broker.protocol.requests import RequestParser, split_line
from broker.rdb.codes import BadData

BASE: Final = "b"
HISTORY: Final = "h"
INCREMENT: Final = "i"

RECORD: Final = b"#"  # no command has this name

_BAD_LINE: Final = "a line that is no `file <name> seq <number> type <b|h|i>`"
_MAX_BULK: Final = 4 * 1024**3  # proto-max-bulk-len may have been raised when the log was written
_ANNOTATION: Final = 35  # '#': a line such as `#TS:1700000000`, which Redis writes with aof-timestamp-enabled
# What changes data without any argument, and EXEC. A damaged EXEC is none of them; taken for a command, it would make
# one unfinished transaction of all that follows, which would be cut.
_MAY_STAND_IN_TRANSACTION: Final = (b"EXEC", b"FLUSHALL", b"FLUSHDB")
_ESCAPES: Final = {10: b"\\n", 13: b"\\r", 9: b"\\t", 7: b"\\a", 8: b"\\b", 34: b'\\"', 92: b"\\\\"}
_COMMAND_HEAD: Final = re.compile(rb"\n\*[1-9][0-9]*\r\n\$[0-9]+\r\n")
_MOST_CANDIDATES: Final = 10_000


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


# -- the commands


class LogReader:
    """Commands out of the bytes of one log file.

    feed() gives those of all units that are complete by now; a unit is one command, or a transaction from MULTI to
    EXEC, which comes without these two. A record (log_records.py) is given as a command of the name RECORD. `whole` is
    the offset of the end of the last unit: what follows it is torn. Servers write a command in one way only, so what
    was read has to encode to the very bytes it was read from; else `damage` says so, and nothing more is given.
    """

    def __init__(self, path: str, start: int = 0) -> None:
        """start: offset in the file of what is fed first."""
        self._path = path
        self._parser = RequestParser(True, _MAX_BULK)
        self._window: list[bytes] = []  # fed, from `complete` on
        self._records = RecordReader()
        self._unit: list[list[bytes]] | None = None  # commands since a MULTI whose EXEC was not seen yet
        self._start = start
        self._fed = start
        self.complete = start  # offset of the end of the last command, in a transaction or not
        self.whole = start
        self.damage: CorruptFile | None = None

    @property
    def torn(self) -> int:
        """Bytes after the last whole unit."""
        return self._fed - self.whole

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Raises nothing: look at `damage`. The commands given are to be applied even then, they stand before it."""
        if self.damage is not None:
            return []
        self._fed += len(data)
        self._window.append(data)
        self._parser.feed(data)
        commands: list[list[bytes]] = []
        failure = ""
        try:
            self._parser.take(commands)
        except ProtocolError as error:
            failure = f"no command of a log ({error})"
        given = self._settle(commands)
        if failure and self.damage is None:
            self._damaged(self.complete, failure)
        return given

    def _settle(self, commands: list[list[bytes]]) -> list[list[bytes]]:
        """Check what the parser gave against the bytes, and sort out the transactions."""
        start, end = self.complete, self._start + int(self._parser.complete)
        if end == start:
            return []
        data = b"".join(self._window)
        self._window = [data[end - start :]]
        data = data[: end - start]
        if self._unit is None and not any(len(argv) == 1 for argv in commands) and data == _encoded(commands):
            self.complete = self.whole = end
            return commands
        return self._walk(commands, data, start)

    def _walk(self, commands: list[list[bytes]], data: bytes, start: int) -> list[list[bytes]]:
        """The slow way: command by command. data: their bytes; start: their offset in the file."""
        given: list[list[bytes]] = []
        at = 0
        for argv in commands:
            after = _end_of(argv, data, at)
            if after < 0:
                break
            if data[at] == _ANNOTATION:
                if not self._note(argv, start + after, given):
                    self._damaged(start + at, "an annotation of ours that can't be read")
                    break
            elif not self._take(argv, start + after, given):
                self._damaged(start + at, "this has no place here: MULTI and EXEC do not match")
                break
            at = after
        self.complete = start + at
        if at < len(data) and self.damage is None:
            self._damaged(self.complete, "no command in the form in which a log has it")
        return given

    def _note(self, argv: list[bytes], after: int, given: list[list[bytes]]) -> bool:
        """A line that ends at `after`, and may be a part of a record of ours. False when it is damaged."""
        if argv and argv[0].startswith(MARK):
            try:
                record = self._records.take(argv[0])
            except BadData:
                return False
            if record is not None:
                given.append([RECORD, *record])
        if self._unit is None and not self._records.is_within:
            self.whole = after
        return True

    def _take(self, argv: list[bytes], after: int, given: list[list[bytes]]) -> bool:
        """One command that ends at `after`. False when it has no place here."""
        name = argv[0].upper() if len(argv) == 1 else b""
        unit = self._unit
        if unit is not None and name and name not in _MAY_STAND_IN_TRANSACTION:
            return False
        if name == b"MULTI":
            self._unit = []
            return True
        if name == b"EXEC":
            if unit is None:
                return False
            given.extend(unit)
            self._unit = None
        elif unit is not None:
            unit.append(argv)
            return True
        else:
            given.append(argv)
        self.whole = after
        return True

    def _damaged(self, offset: int, why: str) -> None:
        self.damage = CorruptFile(self._path, offset, why)


def _encoded(commands: list[list[bytes]]) -> bytes:
    pieces: list[bytes] = []
    for argv in commands:
        encode_request(argv, pieces)
    return b"".join(pieces)


def _end_of(argv: list[bytes], data: bytes, at: int) -> int:
    """Where the command that was read at `at` ends; -1 when it is not in the form of a log."""
    if data[at] == _ANNOTATION:
        return data.find(b"\n", at) + 1
    encoded = _encoded([argv])
    return at + len(encoded) if data.startswith(encoded, at) else -1


# -- the end of a file


def without_zeros(tail: bytes) -> bytes:
    """An unfinished command without the zeros after it: a file may have grown on the disk before its bytes got there.

    The whole tail when that leaves anything else than the beginning of one command.
    """
    begun = tail.rstrip(b"\0")
    reader = LogReader("")
    reader.feed(begun)
    return begun if len(begun) < len(tail) and reader.complete == 0 and reader.damage is None else tail


def swallowed_command(tail: bytes) -> int:
    """Offset of a whole command inside an unfinished one, or -1.

    A command that was torn while it was written holds none. One whose length was damaged seems to run to the end of the
    file, over all that stands there: to cut that off would lose it. (A value that is a log itself looks the same; then
    the start is refused without need, and nothing is lost.)
    """
    for found in islice(_COMMAND_HEAD.finditer(tail), _MOST_CANDIDATES):
        at = found.start() + 1
        end = _first_end(tail, at)
        if end > 0 and (end == len(tail) or tail[end] in b"*#"):
            return at
    return -1


def _first_end(data: bytes, at: int) -> int:
    """Where the one command at `at` ends, or -1."""
    reader = LogReader("")
    while at < len(data) and reader.complete == 0 and reader.damage is None:
        line_end = data.find(b"\n", at) + 1 or len(data)
        reader.feed(data[at:line_end])
        at = line_end
    return at if reader.complete and reader.damage is None else -1
