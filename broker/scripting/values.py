"""Replies as Lua values, and what a script returned as a reply. Rules: Redis's, in script_lua.c.

Into Lua (RESP2): integer -> number; bulk string -> string; array -> table; status -> {ok=}; error -> {err=}; null ->
false. With redis.setresp(3) also: null -> nil, boolean, double -> {double=}, map -> {map=}, set -> {set=}.
"""

from typing import Any, Final

from broker.protocol.numbers import I64_MAX, I64_MIN, format_double
from broker.protocol.replies import (
    BigNumber,
    Boolean,
    Double,
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
from broker.scripting.rows import Row

# How what is no plain value is marked (see `made` in sandbox.lua).
STATUS: Final = 1
ERROR: Final = 2
DOUBLE: Final = 3
VERBATIM: Final = 4
NO_ROOM: Final = 5
LIST: Final = 6  # a table of plain values
ROW: Final = 7  # see rows.py


def for_lua(reply: Reply, resp3: bool) -> Any:
    """What redis.call gives: a plain value; (value, mark, ...); a list of plain values; or a Row."""
    if isinstance(reply, (bytes, bool, int, float)):
        return reply
    if reply is None:
        return None if resp3 else False
    if isinstance(reply, list):
        return _array(reply, resp3)
    if isinstance(reply, Simple):
        return reply.text, STATUS
    if isinstance(reply, ErrorReply):
        return _with_code(reply.text), ERROR
    if isinstance(reply, EntryList):
        return for_lua(reply.items, resp3)
    if isinstance(reply, Null):
        return None if resp3 else False
    if isinstance(reply, Set) and resp3:
        return _rowed(reply, True)
    if isinstance(reply, (Push, Set)):
        return for_lua(reply.items, resp3)
    return _for_resp3(reply) if resp3 else _for_resp2(reply)


def _array(items: list[Reply], resp3: bool) -> Any:
    for item in items:
        if not isinstance(item, (bytes, int)) and (item is not None or resp3):
            return _rowed(items, resp3)
    return [False if item is None else item for item in items]


def _rowed(reply: Reply, resp3: bool) -> Row:
    row = Row()
    _Tables(row, resp3).entry(reply)
    return row


def _with_code(text: bytes) -> bytes:
    return text if b" " in text else b"ERR " + text


def _for_resp2(reply: Reply) -> Any:
    if isinstance(reply, (Map, Pairs)):
        return for_lua(reply.flat, False)
    if isinstance(reply, PairMap):
        return _rowed(reply, False)
    if isinstance(reply, Double):
        return format_double(reply.value)
    if isinstance(reply, Boolean):
        return 1 if reply.value else 0
    if isinstance(reply, Verbatim):
        return reply.text
    return _for_any(reply, False)


def _for_resp3(reply: Reply) -> Any:
    if isinstance(reply, (Map, PairMap, Pairs)):
        return _rowed(reply, True)
    if isinstance(reply, Double):
        return reply.value, DOUBLE
    if isinstance(reply, Boolean):
        return reply.value
    if isinstance(reply, Verbatim):
        return reply.text, VERBATIM, reply.kind
    return _for_any(reply, True)


def _for_any(reply: Reply, resp3: bool) -> Any:
    if isinstance(reply, Replies) and len(reply.items) == 1:
        return for_lua(reply.items[0], resp3)
    if isinstance(reply, (Replies, Raw)):
        return None if resp3 else False  # pushed already, or nothing: no command that scripts may call
    raise TypeError(f"no reply for a script: {type(reply).__name__}")


class _Tables:
    """Puts the tables of a reply into a row."""

    def __init__(self, row: Row, resp3: bool) -> None:
        self._row = row
        self._resp3 = resp3

    def entry(self, reply: Reply) -> Any:
        """What stands for it among the entries of its table: a plain value, or None, and it is in the row."""
        if isinstance(reply, bytes):  # most of all
            return reply
        if isinstance(reply, list):
            return self._row.array([self.entry(item) for item in reply])
        if self._resp3 and isinstance(reply, (Map, PairMap)):
            return self._within(b"map", [self.entry(item) for item in reply.flat])
        if self._resp3 and isinstance(reply, Set):
            members: list[Any] = []
            for item in reply.items:
                members.append(self.entry(item))
                members.append(True)
            return self._within(b"set", members)
        if isinstance(reply, PairMap) or (self._resp3 and isinstance(reply, Pairs)):
            return self._nested(reply.flat)
        return self._other(for_lua(reply, self._resp3))

    def _other(self, value: Any) -> Any:
        if isinstance(value, Row):
            self._row.values += value.values
            return None
        if isinstance(value, list):
            return self._row.array(value)
        if isinstance(value, tuple):
            return self._marked(value)
        return self._row.nil() if value is None else value

    def _within(self, name: bytes, pairs: list[Any]) -> Any:
        """A table of one field, which is a table."""
        self._row.pairs(pairs)
        return self._row.pairs([name, None])

    def _nested(self, flat: list[Reply]) -> Any:
        """A table of tables of two."""
        count = len(flat) // 2
        for i in range(0, 2 * count, 2):
            self._row.array([self.entry(flat[i]), self.entry(flat[i + 1])])
        nothing: list[Any] = [None] * count
        return self._row.array(nothing)

    def _marked(self, value: tuple[Any, ...]) -> Any:
        mark = value[1]
        if mark == STATUS:
            return self._row.pairs([b"ok", value[0]])
        if mark == ERROR:
            return self._row.pairs([b"err", value[0], b"ignore_error_stats_update", True])
        if mark == DOUBLE:
            return self._row.pairs([b"double", value[0]])
        return self._within(b"verbatim_string", [b"string", value[0], b"format", value[2]])


# -- out of Lua


def integer(value: float) -> int:
    """A Lua number as the integer that C makes of it: cut, and out of range the smallest there is."""
    try:
        whole = int(value)
    except (OverflowError, ValueError):  # an infinity, or no number
        return I64_MIN
    return whole if I64_MIN <= whole <= I64_MAX else I64_MIN


def plain_reply(value: Any, resp3: bool) -> Reply:
    """Of what is no table. resp3: the script asked for RESP3's types."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        if resp3:
            return Boolean(value)
        return 1 if value else None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return integer(value)
    return None


class Errors:
    """In what a script returns. made: by itself. replied: how many are what commands replied, counted as such."""

    def __init__(self) -> None:
        self.made: list[ErrorReply] = []
        self.replied = 0


def reply_of_row(row: list[Any], resp3: bool, errors: Errors) -> Reply:
    """Of the flat row that sandbox.lua made of a table."""
    return _Rows(row, resp3, errors).next()


class _Rows:
    def __init__(self, row: list[Any], resp3: bool, errors: Errors) -> None:
        self._row = row
        self._errors = errors
        self._at = 0
        self._resp3 = resp3

    def next(self) -> Reply:
        value = self._take()
        if isinstance(value, bytes):
            return value
        if value is not None:
            return plain_reply(value, self._resp3)
        letter = self._take()
        if letter == b"a":
            return self._many(self._take())
        if letter == b"0":
            return None
        if letter == b"s":
            return Simple(self._take().replace(b"\r", b" ").replace(b"\n", b" "))
        if letter == b"e":
            self._errors.replied += 1
            return ErrorReply(self._take())
        return self._rarer(letter)

    def _rarer(self, letter: bytes) -> Reply:
        if letter == b"E":
            error = ErrorReply(self._take())
            self._errors.made.append(error)
            return error
        if letter == b"d":
            return Double(float(self._take()))
        if letter == b"n":
            return BigNumber(self._take())
        if letter == b"m":
            return Map(self._many(2 * self._take()))
        if letter == b"S":
            return Set(self._many(self._take()))
        assert letter == b"v", letter
        kind = self._take()
        return Verbatim(self._take(), (kind + b"   ")[:3])

    def _take(self) -> Any:
        self._at += 1
        return self._row[self._at - 1]

    def _many(self, count: int) -> list[Reply]:
        return [self.next() for _ in range(count)]
