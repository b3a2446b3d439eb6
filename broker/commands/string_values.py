"""Looking up strings, in either of their forms (datatypes/strings.py), for the commands that read or change them."""

from broker.commands.context import Context
from broker.datatypes.strings import Text
from broker.errors import CommandError, wrong_type


def as_text(value: object | None) -> Text | None:
    """What a look-up gave, if it is a string or nothing; otherwise the error."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        return value
    raise wrong_type()


def read_text(ctx: Context, name: bytes) -> Text | None:
    """The string at a key, for a reading command."""
    return as_text(ctx.db.read(name))


def peek_text(ctx: Context, name: bytes) -> Text | None:
    """The string at a key, for a writing command."""
    return as_text(ctx.db.peek(name))


def peek_bytes(ctx: Context, name: bytes) -> bytes | None:
    """The same as bytes; a copy of one that is changed in place."""
    value = ctx.db.peek(name)
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    raise wrong_type()


def check_length(ctx: Context, length: int) -> None:
    """Redis: checkStringLength."""
    # The setting's least value is a megabyte: below that there is nothing to look up.
    if length > 1024 * 1024 and length > ctx.config.integer("proto-max-bulk-len"):
        raise CommandError("ERR", "string exceeds maximum allowed size (proto-max-bulk-len)")
