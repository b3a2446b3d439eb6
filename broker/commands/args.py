"""A cursor over the options of a request, read in the order of the syntax line, and strict numbers."""

from mypy_extensions import i64

from broker.errors import CommandError, must_be_positive, not_a_float, not_an_integer, syntax_error
from broker.protocol.numbers import parse_float, parse_int


def to_int(text: bytes) -> int:
    """A signed 64-bit integer, or the error that Redis gives."""
    value = parse_int(text)
    if value is None:
        raise not_an_integer()
    return value


def to_float(text: bytes) -> float:
    value = parse_float(text)
    if value is None:
        raise not_a_float()
    return value


def to_positive(text: bytes) -> int:
    """Zero or more. Redis: getPositiveLongFromObjectOrReply."""
    value = parse_int(text)
    if value is None or value < 0:
        raise must_be_positive()
    return value


def to_timeout_ms(text: bytes, now_ms: int) -> int:
    """A blocking command's time-out in seconds, fractions allowed, as milliseconds; 0 is for ever.

    Redis: getTimeoutFromObjectOrReply, which rounds up so that a tiny time-out does not become "for ever".
    """
    seconds = parse_float(text)
    if seconds is None:
        raise CommandError("ERR", "timeout is not a float or out of range")
    if seconds < 0:
        raise CommandError("ERR", "timeout is negative")
    if seconds * 1000 > 2**63 - 1 - now_ms:
        raise CommandError("ERR", "timeout is out of range")
    whole = int(seconds * 1000)
    return whole if whole == seconds * 1000 else whole + 1


class Args:
    """argv from `position` on."""

    def __init__(self, argv: list[bytes], position: int) -> None:
        self.argv = argv
        self.position: i64 = position

    @property
    def left(self) -> int:
        return int(len(self.argv) - self.position)

    def more(self) -> bool:
        return self.position < len(self.argv)

    def peek(self) -> bytes:
        """The next argument in upper case, without taking it; empty when there is none."""
        return self.argv[self.position].upper() if self.position < len(self.argv) else b""

    def flag(self, name: bytes) -> bool:
        """Take the word `name` (upper case) if it comes next."""
        if self.position < len(self.argv) and self.argv[self.position].upper() == name:
            self.position += 1
            return True
        return False

    def next(self) -> bytes:
        """Take one argument; a syntax error when there is none."""
        if self.position >= len(self.argv):
            raise syntax_error()
        self.position += 1
        return self.argv[self.position - 1]

    def next_int(self) -> int:
        return to_int(self.next())

    def rest(self) -> list[bytes]:
        """Take all that is left."""
        left = self.argv[self.position :]
        self.position = len(self.argv)
        return left

    def end(self) -> None:
        """Nothing may be left."""
        if self.position < len(self.argv):
            raise syntax_error()


def next_limit(args: Args) -> int:
    """`LIMIT limit`, as those take it that count members of several sets; 0: no limit."""
    if args.left < 2 or not args.flag(b"LIMIT"):
        raise syntax_error()
    limit = parse_int(args.next())
    if limit is None or limit < 0:
        raise CommandError("ERR", "LIMIT can't be negative")
    return limit
