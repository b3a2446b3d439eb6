"""Entries in the form in which every protocol version sends them: [id, [field, value ...]] of bulk strings.

Streams keep this form beside unpacked entries, so that what many read is encoded once. Nothing here differs between
RESP2 and RESP3; what does is the encoder's.
"""

from typing import Final

from mypy_extensions import i64

_SEQ_MASK: Final = (1 << 64) - 1
_CRLF: Final = b"\r\n"
_SMALL: Final = 1024
_BULK: Final[list[bytes]] = [b"$%d\r\n" % n for n in range(_SMALL)]


def bulk_head(size: i64) -> bytes:
    return _BULK[size] if size < _SMALL else b"$%d\r\n" % size


def encode_id(entry_id: int) -> bytes:
    """What stands before the CRLF and the fields."""
    text = b"%d-%d" % (entry_id >> 64, entry_id & _SEQ_MASK)
    return b"*2\r\n$%d\r\n%b" % (len(text), text)


def encode_entry(entry_id: int, fields: list[bytes]) -> bytes:
    pieces = [encode_id(entry_id), b"\r\n*%d\r\n" % len(fields)]
    for part in fields:
        pieces.append(bulk_head(len(part)))
        pieces.append(part)
        pieces.append(_CRLF)
    return b"".join(pieces)
