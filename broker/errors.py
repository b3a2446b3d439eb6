"""Who is at fault has a name of its own.

`CommandError`: the request; its text goes to the client. `ProtocolError`: the peer; it is told and disconnected.
`CorruptFile`: the disk. Anything else that is raised is a bug of ours.
"""


class CommandError(Exception):
    """The only exception that a command lets out. Clients match on both parts, byte for byte."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class ProtocolError(Exception):
    """The peer sent what is no request. The connection ends after the text was sent."""


class CorruptFile(Exception):
    """A file holds something that we could not have written.

    path: the file; offset: bytes from its start.
    """

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}: at byte {offset}: {why}")
        self.path = path
        self.offset = offset
        self.why = why


class BadData(Exception):
    """These bytes are no RDB, or nothing that stands in one; the text says why. Who knows the file makes a CorruptFile
    of it."""


# The texts that more than one command needs. Redis: shared objects in server.c.


def wrong_type() -> CommandError:
    return CommandError("WRONGTYPE", "Operation against a key holding the wrong kind of value")


def syntax_error() -> CommandError:
    return CommandError("ERR", "syntax error")


def not_an_integer() -> CommandError:
    return CommandError("ERR", "value is not an integer or out of range")


def not_a_float() -> CommandError:
    return CommandError("ERR", "value is not a valid float")


def no_such_key() -> CommandError:
    return CommandError("ERR", "no such key")


def index_out_of_range() -> CommandError:
    return CommandError("ERR", "index out of range")


def must_be_positive() -> CommandError:
    return CommandError("ERR", "value is out of range, must be positive")


def invalid_expire(command: str) -> CommandError:
    return CommandError("ERR", f"invalid expire time in '{command}' command")


def wrong_arity(command: str) -> CommandError:
    return CommandError("ERR", f"wrong number of arguments for '{command}' command")
