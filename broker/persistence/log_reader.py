"""Commands out of the bytes of a log file, with their offsets; and what its torn end holds. Opens nothing.

Costs: O(bytes); a large argument that comes in many pieces is joined once.
"""

import re
from itertools import islice
from typing import Final

from mypy_extensions import i64

from broker.errors import CorruptFile, ProtocolError
from broker.persistence.log_records import MARK, RecordReader
from broker.protocol.encoder import encode_request
from broker.protocol.requests import RequestParser
from broker.rdb.codes import BadData

RECORD: Final = b"#"  # no command has this name

_MAX_BULK: Final = 4 * 1024**3  # proto-max-bulk-len may have been raised when the log was written
_ANNOTATION: Final = 35  # '#': a line such as `#TS:1700000000`, which Redis writes with aof-timestamp-enabled
# What changes data without any argument, and EXEC. A damaged EXEC is none of them; taken for a command, it would make
# one unfinished transaction of all that follows, which would be cut.
_MAY_STAND_IN_TRANSACTION: Final = (b"EXEC", b"FLUSHALL", b"FLUSHDB")
_COMMAND_HEAD: Final = re.compile(rb"\n\*[1-9][0-9]*\r\n\$[0-9]+\r\n")
_MOST_CANDIDATES: Final = 10_000


class LogReader:
    """Commands out of the bytes of one log file.

    feed() gives those of all units that are complete by now; a unit is one command, or a transaction from MULTI to
    EXEC, which comes without these two. `whole` is the offset of the end of the last unit: what follows it is torn.
    Servers write a command in one way only, so each must be the very bytes that it encodes to; where one is not,
    `damage` says so, and nothing more is given. A record (log_records.py) is given as a command of the name RECORD.
    """

    def __init__(self, path: str, start: int = 0) -> None:
        """start: offset in the file of what is fed first."""
        self._path = path
        self._parser = RequestParser(True, _MAX_BULK, True)
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
        if self._is_damaged():
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
        if failure and not self._is_damaged():
            self._damaged(self.complete, failure)
        return given

    def _is_damaged(self) -> bool:
        """Asked by a call: a test of the attribute would have mypyc take it for None until the end of the function."""
        return self.damage is not None

    def _settle(self, commands: list[list[bytes]]) -> list[list[bytes]]:
        """Sort out the transactions; where the parser saw something odd, check the commands against the bytes."""
        start, end = self.complete, self._start + int(self._parser.complete)
        if end == start:
            return []
        data = b"".join(self._window)
        self._window = [data[end - start :]]
        if self._parser.odd >= start - self._start:
            return self._check(commands, data[: end - start], start)
        if self._unit is None and not _has_words(commands):
            self.complete = self.whole = end
            return commands
        return self._walk(commands)

    def _walk(self, commands: list[list[bytes]]) -> list[list[bytes]]:
        """Command by command, since there may be transactions."""
        given: list[list[bytes]] = []
        for argv in commands:
            after = self.complete + int(_size_of(argv))
            if not self._take(argv, after, given):
                self._misplaced()
                break
            self.complete = after
        return given

    def _check(self, commands: list[list[bytes]], data: bytes, start: int) -> list[list[bytes]]:
        """The slow way, likewise. data: their bytes; start: their offset in the file."""
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
                self._misplaced()
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

    def _misplaced(self) -> None:
        self._damaged(self.complete, "this has no place here: MULTI and EXEC do not match")

    def _damaged(self, offset: int, why: str) -> None:
        self.damage = CorruptFile(self._path, offset, why)


def _has_words(commands: list[list[bytes]]) -> bool:
    """Whether one of them has no argument, as MULTI and EXEC have none."""
    for argv in commands:
        if len(argv) == 1:
            return True
    return False


def _size_of(argv: list[bytes]) -> i64:
    """The number of bytes that encode_request() gives."""
    size = 3 + _digits(len(argv))
    for part in argv:
        length: i64 = len(part)
        size += 5 + _digits(length) + length
    return size


def _digits(number: i64) -> i64:
    count: i64 = 1
    while number > 9:
        number //= 10
        count += 1
    return count


def _end_of(argv: list[bytes], data: bytes, at: int) -> int:
    """Where the command that was read at `at` ends; -1 when it is not in the form of a log."""
    if data[at] == _ANNOTATION:
        return data.find(b"\n", at) + 1
    pieces: list[bytes] = []
    encode_request(argv, pieces)
    encoded = b"".join(pieces)
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
