"""Values to bytes: the only file that knows how RESP2 and RESP3 differ.

`encode(value, out, resp3)` appends pieces to `out`; the connection joins them once a turn.
"""

from typing import Final

from mypy_extensions import i64

from broker.protocol.numbers import format_double
from broker.protocol.replies import (
    BigNumber,
    Boolean,
    Double,
    DoubleText,
    EntryList,
    ErrorReply,
    Map,
    Null,
    PairMap,
    Pairs,
    Push,
    Raw,
    Replies,
    Reply,
    Set,
    Simple,
    Verbatim,
)

_CRLF: Final = b"\r\n"
_SMALL: Final = 1024
_AT_ONCE: Final = 4096  # pieces of a long array that are joined
_BIG: Final = 16384  # bytes of a value that is not copied for that
_BULK: Final[list[bytes]] = [b"$%d\r\n" % n for n in range(_SMALL)]
_ARRAY: Final[list[bytes]] = [b"*%d\r\n" % n for n in range(_SMALL)]
_INTEGER: Final[list[bytes]] = [b":%d\r\n" % n for n in range(_SMALL)]


def encode(value: Reply, out: list[bytes], resp3: bool) -> None:
    """Append the wire form of `value` to `out`. Raises TypeError for what is no reply: a bug of ours."""
    if isinstance(value, bytes):
        n: i64 = len(value)
        if n < _SMALL:
            out.append(_BULK[n])
        else:
            out.append(b"$%d\r\n" % n)
        out.append(value)
        out.append(_CRLF)
    elif isinstance(value, Simple):
        out.append(value.wire)
    elif isinstance(value, int):
        if 0 <= value < _SMALL:
            out.append(_INTEGER[value])
        else:
            out.append(b":%d\r\n" % value)
    elif value is None:
        out.append(b"_\r\n" if resp3 else b"$-1\r\n")
    elif isinstance(value, list):
        encode_array(value, out, resp3)
    else:
        _encode_rare(value, out, resp3)


def encode_array(items: list[Reply], out: list[bytes], resp3: bool) -> None:
    n: i64 = len(items)
    if n >= _SMALL:
        out.append(b"*%d\r\n" % n)
        _encode_many(items, out, resp3)
        return
    out.append(_ARRAY[n])
    for item in items:
        if isinstance(item, bytes):  # unrolled: most arrays hold bulk strings
            size: i64 = len(item)
            out.append(_BULK[size] if size < _SMALL else b"$%d\r\n" % size)
            out.append(item)
            out.append(_CRLF)
        else:
            encode(item, out, resp3)


def _encode_many(items: list[Reply], out: list[bytes], resp3: bool) -> None:
    """Some thousand pieces at a time become one: bytes.join() takes 80 bytes for each that it is given, which for a
    million elements costs more time than all the rest."""
    pieces: list[bytes] = []
    for item in items:
        if isinstance(item, bytes):
            size: i64 = len(item)
            pieces.append(_BULK[size] if size < _SMALL else b"$%d\r\n" % size)
            if size >= _BIG:
                out.append(b"".join(pieces))
                pieces.clear()
                out.append(item)
            else:
                pieces.append(item)
            pieces.append(_CRLF)
        else:
            encode(item, pieces, resp3)
        if len(pieces) >= _AT_ONCE:
            out.append(b"".join(pieces))
            pieces.clear()
    out.append(b"".join(pieces))


def _encode_rare(value: Reply, out: list[bytes], resp3: bool) -> None:
    if isinstance(value, ErrorReply):
        out.append(value.wire)
    elif isinstance(value, Raw):
        out.append(value.wire)
    elif isinstance(value, EntryList):
        n = value.count
        out.append(_ARRAY[n] if n < _SMALL else b"*%d\r\n" % n)
        out.append(value.wire)
    elif isinstance(value, Map):
        n = len(value.flat)
        out.append(b"%%%d\r\n" % (n // 2) if resp3 else b"*%d\r\n" % n)
        _encode_all(value.flat, out, resp3)
    elif isinstance(value, Double):
        text = format_double(value.value)
        out.append(b",%b\r\n" % text if resp3 else b"$%d\r\n%b\r\n" % (len(text), text))
    elif isinstance(value, Push):
        _encode_items(b">" if resp3 else b"*", value.items, out, resp3)
    elif isinstance(value, Set):
        _encode_items(b"~" if resp3 else b"*", value.items, out, resp3)
    elif isinstance(value, Pairs):
        if resp3:
            _encode_nested(value.flat, out, resp3)
        else:
            encode_array(value.flat, out, resp3)
    elif isinstance(value, PairMap):
        if resp3:
            _encode_rare(Map(value.flat), out, resp3)
        else:
            _encode_nested(value.flat, out, resp3)
    elif isinstance(value, Null):
        out.append(b"_\r\n" if resp3 else value.resp2)
    elif isinstance(value, Replies):
        for item in value.items:
            encode(item, out, resp3)
    elif isinstance(value, Boolean):
        if resp3:
            out.append(b"#t\r\n" if value.value else b"#f\r\n")
        else:
            out.append(b":1\r\n" if value.value else b":0\r\n")
    elif isinstance(value, DoubleText):
        out.append(b",%b\r\n" % value.text if resp3 else b"$%d\r\n%b\r\n" % (len(value.text), value.text))
    elif isinstance(value, Verbatim):
        if resp3:
            out.append(b"=%d\r\n%b:%b\r\n" % (len(value.text) + 4, value.kind, value.text))
        else:
            out.append(b"$%d\r\n%b\r\n" % (len(value.text), value.text))
    elif isinstance(value, BigNumber):
        out.append(b"(%b\r\n" % value.digits if resp3 else b"$%d\r\n%b\r\n" % (len(value.digits), value.digits))
    else:
        raise TypeError(f"no reply: {type(value).__name__}")


def _encode_items(mark: bytes, items: list[Reply], out: list[bytes], resp3: bool) -> None:
    out.append(b"%b%d\r\n" % (mark, len(items)))
    _encode_all(items, out, resp3)


def _encode_all(items: list[Reply], out: list[bytes], resp3: bool) -> None:
    if len(items) >= _SMALL:
        _encode_many(items, out, resp3)
        return
    for item in items:
        encode(item, out, resp3)


def _encode_nested(flat: list[Reply], out: list[bytes], resp3: bool) -> None:
    """An array of arrays of two."""
    n = len(flat)
    out.append(b"*%d\r\n" % (n // 2))
    for i in range(0, n, 2):
        out.append(b"*2\r\n")
        encode(flat[i], out, resp3)
        encode(flat[i + 1], out, resp3)


def encode_request(argv: list[bytes], out: list[bytes]) -> None:
    """A command as a client would send it: the form of the log and of the replication stream."""
    n: i64 = len(argv)
    out.append(_ARRAY[n] if n < _SMALL else b"*%d\r\n" % n)
    for item in argv:
        size: i64 = len(item)
        out.append(_BULK[size] if size < _SMALL else b"$%d\r\n" % size)
        out.append(item)
        out.append(_CRLF)
