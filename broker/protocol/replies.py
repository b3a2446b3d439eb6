"""What a command may return: values, not bytes of the wire.

    bytes       bulk string            int    integer          None   null
    list        array                  float  is not allowed: say Double, so that RESP2's text is chosen on purpose
    bool        is not allowed: say int (or Boolean, where RESP3 has a real boolean)

The classes below are the rest. Only `encoder.py` knows how RESP2 and RESP3 spell them.
"""

from typing import Final, TypeAlias

Reply: TypeAlias = object  # one of the above; a recursive union costs mypyc a check at each call


class Simple:
    """A status such as OK: `+OK`."""

    def __init__(self, text: bytes) -> None:
        self.wire: Final = b"+" + text + b"\r\n"
        self.text: Final = text


class ErrorReply:
    """An error as a value: what EXEC puts in its array, what the engine makes of a CommandError."""

    def __init__(self, text: bytes) -> None:
        self.text: Final = text.replace(b"\r", b" ").replace(b"\n", b" ")
        self.wire: Final = b"-" + self.text + b"\r\n"


class Null:
    """A null of a given shape: in RESP2 a null array is not a null bulk string."""

    def __init__(self, resp2: bytes) -> None:
        self.resp2: Final = resp2


class Map:
    """Pairs, in order: a RESP3 map, a flat array in RESP2."""

    def __init__(self, flat: list[Reply]) -> None:
        self.flat: Final = flat  # key, value, key, value ...


class PairMap:
    """A RESP3 map; in RESP2 an array of [key, value] (XREAD)."""

    def __init__(self, flat: list[Reply]) -> None:
        self.flat: Final = flat  # key, value, key, value ...


class Set:
    """A RESP3 set, an array in RESP2."""

    def __init__(self, items: list[Reply]) -> None:
        self.items: Final = items


class Pairs:
    """Rows of two: nested arrays in RESP3, one flat array in RESP2 (ZRANGE ... WITHSCORES)."""

    def __init__(self, flat: list[Reply]) -> None:
        self.flat: Final = flat


class Push:
    """Out of band in RESP3 (`>`), an array in RESP2."""

    def __init__(self, items: list[Reply]) -> None:
        self.items: Final = items


class Double:
    """A RESP3 double, a bulk string in RESP2."""

    def __init__(self, value: float) -> None:
        self.value: Final = value


class DoubleText:
    """A double whose digits are chosen already: those of a long double have more than a Double has."""

    def __init__(self, text: bytes) -> None:
        self.text: Final = text


class Boolean:
    """A RESP3 boolean, 1 or 0 in RESP2."""

    def __init__(self, value: bool) -> None:
        self.value: Final = value


class Verbatim:
    """Text for people with a three letter format: `=` in RESP3, a bulk string in RESP2."""

    def __init__(self, text: bytes, kind: bytes = b"txt") -> None:
        self.text: Final = text
        self.kind: Final = kind


class BigNumber:
    """Digits of any length: `(` in RESP3, a bulk string in RESP2."""

    def __init__(self, digits: bytes) -> None:
        self.digits: Final = digits.replace(b"\r", b" ").replace(b"\n", b" ")


class Raw:
    """Bytes of the wire, encoded already: a message that many subscribers share."""

    def __init__(self, wire: bytes) -> None:
        self.wire: Final = wire


class EntryList:
    """An array of stream entries that are encoded already, which is the same in RESP2 and RESP3.

    items: the values, [[id, [field, value ...]] ...], for whoever looks at a reply instead of sending it.
    """

    def __init__(self, count: int, wire: bytes) -> None:
        self.count: Final = count
        self.wire: Final = wire

    @property
    def items(self) -> list[Reply]:
        entries: list[Reply] = []
        at = 0
        for _ in range(self.count):
            parts: list[Reply] = []
            at = _line_end(self.wire, at)  # an array of two
            at = _bulk(self.wire, at, parts)
            fields_at = at
            at = _line_end(self.wire, at)
            for _ in range(int(self.wire[fields_at + 1 : at - 2])):
                at = _bulk(self.wire, at, parts)
            entries.append([parts[0], parts[1:]])
        return entries


def _line_end(wire: bytes, at: int) -> int:
    return wire.index(b"\n", at) + 1


def _bulk(wire: bytes, at: int, parts: list[Reply]) -> int:
    """Append the bulk string at a place. The place behind it."""
    start = _line_end(wire, at)
    end = start + int(wire[at + 1 : start - 2])
    parts.append(wire[start:end])
    return end + 2


class Replies:
    """Several replies to one request, one after another (SUBSCRIBE a b c). An empty one answers nothing."""

    def __init__(self, items: list[Reply]) -> None:
        self.items: Final = items


OK: Final = Simple(b"OK")
PONG: Final = Simple(b"PONG")
QUEUED: Final = Simple(b"QUEUED")
RESET: Final = Simple(b"RESET")
NULL_ARRAY: Final = Null(b"*-1\r\n")
NOTHING: Final = Replies([])  # a command whose reply was pushed, or that must not answer
