"""Requests: bytes in, lists of arguments out. Knows no socket.

Promise: any bytes give requests or one ProtocolError, nothing else; what came before the error is delivered first.
An error without a text is not to be told to the peer.
Nothing is allocated for a length that was only announced.

Two ways through. The fast one reads a whole chunk of complete requests in one loop over its bytes, and makes nothing
but the arguments. What does not fit (a very large bulk, an inline command, the end of the chunk, whatever is malformed)
is left to a state machine that resumes at any byte, and that neither scans nor copies the received part of a large bulk
again.
"""

from typing import Final

from mypy_extensions import i64

from broker.errors import ProtocolError
from broker.protocol.numbers import parse_int

MAX_LINE: Final = 64 * 1024  # an inline command, or a length line. Redis: PROTO_INLINE_MAX_SIZE
UNTRUSTED_ARGUMENTS: Final = 10  # before a client has authenticated. Redis: processMultibulkBuffer
UNTRUSTED_BULK: Final = 16384
_MAX_ARGUMENTS: Final = 2**31 - 1

_PLAIN_COUNT: Final = 3  # digits of the number of arguments, at most, that the fast way reads
_PLAIN_LENGTH: Final = 6  # and of the length of an argument
_ARGUMENT_COST: Final = 40  # bytes that an argument takes besides its own: many empty ones must count, too
_BLANK: Final = b" \t\r\n\v\f\0"  # between words
_WORD_ENDS: Final = b" \t\r\n\0"  # Redis: sdssplitargs has these two sets
# A browser that was lured into talking to this port: no reply, and no look at the body, which may hold commands.
_HTTP: Final = frozenset([b"post", b"host:"])  # Redis: securityWarningCommand


class RequestParser:
    """The requests of one connection.

    feed() takes what was received, take() gives what is complete. A parser that is not `trusted` gives one request
    at a time, so that AUTH lifts the limits for what follows it in the same chunk.

    strict: `odd` tells, as an offset in all that was fed, where it last saw something in a request that
    encode_request() would not have written so (-1: nowhere). Peers may write as they like; logs are written in one way.
    """

    def __init__(self, trusted: bool = True, max_bulk: int = 512 * 1024 * 1024, strict: bool = False) -> None:
        self.trusted = trusted
        self.max_bulk: int = max_bulk
        self._strict = strict
        self.odd: i64 = -1
        self._rest: bytes = b""  # received, not yet looked at or an unfinished line
        self._at: i64 = 0  # where in _rest to go on
        self._argv: list[bytes] = []  # of a request that is not complete yet
        self._argv_bytes: i64 = 0
        self._missing: i64 = 0  # arguments that it still lacks
        self._bulk: i64 = -1  # length of the argument being received, -1: its length line comes next
        self._chunks: list[bytes] = []  # pieces of that argument when it spans several chunks
        self._chunk_bytes: i64 = 0
        self._fed: i64 = 0
        self.complete: i64 = 0  # offset, in all that was fed, of the end of the last complete request

    @property
    def pending(self) -> int:
        """Bytes held for requests that are not taken yet: what client-query-buffer-limit bounds."""
        return int(len(self._rest) - self._at + self._argv_bytes + self._chunk_bytes)

    def feed(self, data: bytes) -> None:
        self._fed += len(data)
        if self._chunks:
            self._chunks.append(data)
            self._chunk_bytes += len(data)
        elif self._at < len(self._rest):
            self._rest = (self._rest[self._at :] if self._at else self._rest) + data
            self._at = 0
        else:
            self._rest = data
            self._at = 0

    def take(self, out: list[list[bytes]]) -> bool:
        """Append complete requests to `out`; False when nothing more can be had before the next feed().

        Raises ProtocolError at a malformed request, after everything before it was taken.
        """
        if self._chunks:
            if self._chunk_bytes < self._bulk + 2:
                return False
            self._rest = b"".join(self._chunks)
            self._at = 0
            self._chunks = []
            self._chunk_bytes = 0
        before = len(out)
        if self.trusted:
            while self._missing and self._step(out):
                pass  # what the end of the last chunk cut through; the fast way can take what follows
            if self._missing == 0:
                self._take_plain(out)
        while self._at < len(self._rest):
            if not self.trusted and self._missing == 0 and len(out) > before:
                return True
            if not self._step(out):
                break
        if self._at:  # a whole chunk must not live on for the sake of its last bytes
            self._rest = self._rest[self._at :]
            self._at = 0
        return False

    def _take_plain(self, out: list[list[bytes]]) -> None:
        data = self._rest
        pos = _take_plain(data, self._at, self.max_bulk, self._strict, out)
        if pos > self._at:
            self._at = pos
            self.complete = self._fed - len(data) + pos

    def _step(self, out: list[list[bytes]]) -> bool:
        """Read one line, or one argument; False: more bytes are needed."""
        data = self._rest
        if self._at >= len(data):
            return False
        if self._missing == 0:
            after = self._begin(data, self._at, out)
        else:
            after = self._argument(data, self._at, out)
        if after < 0:
            return False
        self._at = after
        if self._missing == 0:
            self.complete = self._fed - len(data) + after
        return True

    def _begin(self, data: bytes, pos: i64, out: list[list[bytes]]) -> i64:
        """Read the first line of a request. Position after it, or -1: more bytes are needed."""
        if data[pos] != 42:  # '*'
            return self._inline(data, pos, out)
        end: i64 = data.find(b"\r", pos)
        if _too_long(data, pos, end):
            raise self._failed("too big mbulk count string")
        if end < 0 or end + 1 >= len(data):
            return -1
        count = parse_int(data[pos + 1 : end])
        if count is None or count > _MAX_ARGUMENTS:
            raise self._failed("invalid multibulk length")
        if count > UNTRUSTED_ARGUMENTS and not self.trusted:
            raise self._failed("unauthenticated multibulk length")
        if self._strict and (count <= 0 or data[pos : end + 2] != b"*%d\r\n" % count):
            self._note_odd(pos)
        if count > 0:
            self._missing = count
        return end + 2

    def _argument(self, data: bytes, pos: i64, out: list[list[bytes]]) -> i64:
        """Read one argument: its length line, then its bytes. Position after what was read, or -1."""
        if self._bulk < 0:
            pos = self._length_line(data, pos)
            if pos < 0:
                return -1
        end = pos + self._bulk
        if end + 2 > len(data):
            # Keep the piece as it is: it is joined once, when all of it is here.
            self._hold(data[pos:])
            return -1
        if self._strict and data[end : end + 2] != b"\r\n":
            self._note_odd(end)
        self._argv.append(data[pos:end])
        self._argv_bytes += self._bulk + _ARGUMENT_COST
        self._bulk = -1
        self._missing -= 1
        if self._missing == 0:
            out.append(self._argv)
            self._argv = []
            self._argv_bytes = 0
        return end + 2

    def _length_line(self, data: bytes, pos: i64) -> i64:
        end: i64 = data.find(b"\r", pos)
        if _too_long(data, pos, end):
            raise self._failed("too big bulk count string")
        if end < 0 or end + 1 >= len(data):
            return -1  # the line is scanned again with the next chunk; it is short
        if data[pos] != 36:  # '$'
            raise self._failed(f"expected '$', got '{data[pos : pos + 1].decode('utf-8', 'surrogateescape')}'")
        length = parse_int(data[pos + 1 : end])
        if length is None or length < 0 or length > self.max_bulk:
            raise self._failed("invalid bulk length")
        if length > UNTRUSTED_BULK and not self.trusted:
            raise self._failed("unauthenticated bulk length")
        if self._strict and data[pos : end + 2] != b"$%d\r\n" % length:
            self._note_odd(pos)
        self._bulk = length
        if end + 2 >= len(data):
            # Nothing of the argument is here yet: an empty piece marks that we are inside it.
            self._hold(b"")
            return -1
        return end + 2

    def _hold(self, piece: bytes) -> None:
        """Keep the first piece of an argument whose rest is still to come."""
        self._chunks.append(piece)
        self._chunk_bytes = len(piece)
        self._rest = b""
        self._at = 0

    def _note_odd(self, pos: i64) -> None:
        self.odd = self._fed - len(self._rest) + pos

    def _inline(self, data: bytes, pos: i64, out: list[list[bytes]]) -> i64:
        end: i64 = data.find(b"\n", pos)
        if _too_long(data, pos, end):
            raise self._failed("too big inline request")
        if end < 0:
            return -1
        self._note_odd(pos)
        line = data[pos:end]
        if line.endswith(b"\r"):
            line = line[:-1]
        argv = split_line(line)
        if argv is None:
            raise self._failed("unbalanced quotes in request")
        if argv:
            if argv[0].lower() in _HTTP:
                self._failed("")
                raise ProtocolError("")
            out.append(argv)
        return end + 1

    def _failed(self, why: str) -> ProtocolError:
        self._rest = b""
        self._at = 0
        self._chunks = []
        self._missing = 0
        return ProtocolError(f"Protocol error: {why}")


def _take_plain(data: bytes, start: i64, max_bulk: i64, strict: bool, out: list[list[bytes]]) -> i64:
    """The fast way. Position of the first request that it did not take. strict: every line ends with CRLF."""
    size: i64 = len(data)
    done = start
    while done < size and data[done] == 42:  # '*'
        count: i64 = 0
        at = done + 1
        stop = at + _PLAIN_COUNT
        while at < size and at < stop:
            digit: i64 = data[at] - 48
            if digit < 0 or digit > 9:
                break
            count = count * 10 + digit
            at += 1
        if at >= size or data[at] != 13 or count == 0 or data[done + 1] == 48:
            return done
        if strict and (at + 1 >= size or data[at + 1] != 10):
            return done
        at += 2
        argv: list[bytes] = []
        while count > 0:
            if at >= size or data[at] != 36:  # '$'
                return done
            head = at
            at += 1
            stop = at + _PLAIN_LENGTH
            length: i64 = 0
            while at < size and at < stop:
                digit = data[at] - 48
                if digit < 0 or digit > 9:
                    break
                length = length * 10 + digit
                at += 1
            if at >= size or data[at] != 13 or at == head + 1 or (data[head + 1] == 48 and at != head + 2):
                return done
            if strict and (at + 1 >= size or data[at + 1] != 10):
                return done
            at += 2
            after = at + length
            if after + 2 > size or length > max_bulk:
                return done
            if strict and (data[after] != 13 or data[after + 1] != 10):
                return done
            argv.append(data[at:after])
            at = after + 2
            count -= 1
        out.append(argv)
        done = at
    return done


def _too_long(data: bytes, pos: i64, end: i64) -> bool:
    """Whether the line that begins at `pos` and ends at `end` (-1: not yet) is more than a line may be."""
    return (end if end >= 0 else len(data)) - pos > MAX_LINE


_ESCAPES: Final[dict[int, int]] = {110: 10, 114: 13, 116: 9, 98: 8, 97: 7}  # \n \r \t \b \a


def split_line(line: bytes) -> list[bytes] | None:
    """Split an inline command or a line of redis.conf; None when its quotes do not match.

    "..." knows \\n \\r \\t \\b \\a \\xHH and \\c for any other c; '...' knows \\' only. A closing quote must come
    before a blank. Redis: sdssplitargs in sds.c.
    """
    argv: list[bytes] = []
    n: i64 = len(line)
    i: i64 = 0
    while True:
        while i < n and line[i] in _BLANK:
            i += 1
        if i >= n:
            return argv
        word = bytearray()
        while i < n and line[i] not in _WORD_ENDS:
            char = line[i]
            if char == 34 or char == 39:
                i = _quoted(line, i, word)
                if i < 0:
                    return None
                break
            word.append(char)
            i += 1
        argv.append(bytes(word))


def _quoted(line: bytes, start: i64, word: bytearray) -> i64:
    """Append what stands between the quote at `start` and its twin. Position after it, or -1."""
    quote = line[start]
    n: i64 = len(line)
    i: i64 = start + 1
    while i < n:
        char = line[i]
        if char == quote:
            closed = i + 1 >= n or line[i + 1] in _BLANK
            return i + 1 if closed else -1
        if char == 92 and i + 1 < n:
            if quote == 39:
                if line[i + 1] == 39:
                    char = 39
                    i += 1
            elif line[i + 1] == 120 and i + 3 < n and _is_hex(line[i + 2]) and _is_hex(line[i + 3]):
                char = int(line[i + 2 : i + 4], 16)
                i += 3
            else:
                char = _ESCAPES.get(line[i + 1], line[i + 1])
                i += 1
        word.append(char)
        i += 1
    return -1


def _is_hex(char: int) -> bool:
    return 48 <= char <= 57 or 65 <= char <= 70 or 97 <= char <= 102
