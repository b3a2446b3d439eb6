"""Replies as Lua values, and what a script returned as a reply. Rules: Redis's, in script_lua.c.

Into Lua (RESP2): integer -> number; bulk string -> string; array -> table; status -> {ok=}; error -> {err=}; null ->
false. With redis.setresp(3) also: null -> nil, boolean, double -> {double=}, map -> {map=}, set -> {set=}.
"""

import math
from collections.abc import Callable
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

# How the host marks what is no plain value (see value_of in sandbox.lua).
STATUS: Final = 1
ERROR: Final = 2
DOUBLE: Final = 3
BIG_NUMBER: Final = 4
VERBATIM: Final = 5
NO_ROOM: Final = 6

_CHUNK: Final = 4000  # values at a time between Lua and here: the C stack takes 8,000


class Tables:
    """Makes Lua tables. `entry` is what sandbox.lua gave back."""

    def __init__(self, lua: Any, entry: Any) -> None:
        self._from = lua.table_from
        self._list = entry[b"list"]
        self._pairs = entry[b"pairs"]
        self._add_pairs = entry[b"add_pairs"]
        self._map = entry[b"map"]
        self._set = entry[b"set"]
        self._value = entry[b"value"]

    def array(self, items: list[Any]) -> Any:
        if len(items) <= _CHUNK:
            return self._list(*items)
        return self._from(items)

    def table(self, pairs: list[tuple[Any, Any]]) -> Any:
        half = _CHUNK // 2
        made = self._pairs(*[part for pair in pairs[:half] for part in pair])
        for start in range(half, len(pairs), half):
            self._add_pairs(made, *[part for pair in pairs[start : start + half] for part in pair])
        return made

    def mapping(self, flat: list[Any]) -> Any:
        if len(flat) <= _CHUNK:
            return self._map(*flat)
        return self._from({b"map": self.table(list(zip(flat[::2], flat[1::2], strict=True)))})

    def members(self, items: list[Any]) -> Any:
        if len(items) <= _CHUNK:
            return self._set(*items)
        return self._from({b"set": self.table([(item, True) for item in items])})

    def marked(self, marked: tuple[Any, ...]) -> Any:
        return self._value(*marked)


def for_lua(reply: Reply, tables: Tables, resp3: bool) -> Any:
    """What redis.call gives: a plain value, or a tuple (value, mark, ...) that Lua turns into a table."""
    if isinstance(reply, (bytes, int)) and not isinstance(reply, bool):
        return float(reply) if isinstance(reply, int) and not -(1 << 53) < reply < 1 << 53 else reply
    if reply is None:
        return None if resp3 else False
    if isinstance(reply, list):
        return tables.array([_item(item, tables, resp3) for item in reply])
    if isinstance(reply, Simple):
        return reply.text, STATUS
    if isinstance(reply, ErrorReply):
        return _with_code(reply.text), ERROR
    if isinstance(reply, EntryList):
        return for_lua(reply.items, tables, resp3)
    if isinstance(reply, Null):
        return None if resp3 else False
    if isinstance(reply, (Push, Set)) and not (resp3 and isinstance(reply, Set)):
        return for_lua(reply.items, tables, resp3)
    if resp3:
        return _for_resp3(reply, tables)
    return _for_resp2(reply, tables)


def _item(reply: Reply, tables: Tables, resp3: bool) -> Any:
    if isinstance(reply, bytes):  # most of all
        return reply
    value = for_lua(reply, tables, resp3)
    return tables.marked(value) if isinstance(value, tuple) else value


def _with_code(text: bytes) -> bytes:
    return text if b" " in text else b"ERR " + text


def _for_resp2(reply: Reply, tables: Tables) -> Any:
    if isinstance(reply, (Map, Pairs)):
        return for_lua(reply.flat, tables, False)
    if isinstance(reply, PairMap):
        return _nested(reply.flat, tables, False)
    if isinstance(reply, Double):
        return format_double(reply.value)
    if isinstance(reply, Boolean):
        return 1 if reply.value else 0
    if isinstance(reply, Verbatim):
        return reply.text
    return _for_any(reply, tables, False)


def _for_resp3(reply: Reply, tables: Tables) -> Any:
    if isinstance(reply, (Map, PairMap)):
        return tables.mapping([_item(item, tables, True) for item in reply.flat])
    if isinstance(reply, Set):
        return tables.members([_item(item, tables, True) for item in reply.items])
    if isinstance(reply, Pairs):
        return _nested(reply.flat, tables, True)
    if isinstance(reply, Double):
        return reply.value, DOUBLE
    if isinstance(reply, Boolean):
        return reply.value
    if isinstance(reply, Verbatim):
        return reply.text, VERBATIM, reply.kind
    return _for_any(reply, tables, True)


def _for_any(reply: Reply, tables: Tables, resp3: bool) -> Any:
    if isinstance(reply, Replies) and len(reply.items) == 1:
        return for_lua(reply.items[0], tables, resp3)
    if isinstance(reply, (Replies, Raw)):
        return None if resp3 else False  # pushed already, or nothing: no command that scripts may call
    raise TypeError(f"no reply for a script: {type(reply).__name__}")


def _nested(flat: list[Reply], tables: Tables, resp3: bool) -> Any:
    """A table of tables of two."""
    values = [_item(item, tables, resp3) for item in flat]
    return tables.array([tables.array(values[i : i + 2]) for i in range(0, len(values), 2)])


# -- out of Lua


def integer(value: float) -> int:
    """A Lua number as the integer that C makes of it: cut, and out of range the smallest there is."""
    if isinstance(value, float) and not math.isfinite(value):
        return I64_MIN
    whole = int(value)
    return whole if I64_MIN <= whole <= I64_MAX else I64_MIN


def plain_reply(value: Any, resp3: bool) -> Reply:
    """Of what is no table. resp3: the script asked for RESP3's types."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        if resp3:
            return Boolean(value)
        return 1 if value else None
    if isinstance(value, (int, float)):
        return integer(value)
    return None


class Errors:
    """In what a script returns. made: by itself. replied: how many are what commands replied, counted as such."""

    def __init__(self) -> None:
        self.made: list[ErrorReply] = []
        self.replied = 0


def reply_of_row(row: tuple[Any, ...] | list[Any], resp3: bool, errors: Errors) -> Reply:
    """Of the flat row that sandbox.lua made of a table."""
    return _Rows(row, resp3, errors).next()


class _Rows:
    def __init__(self, row: tuple[Any, ...] | list[Any], resp3: bool, errors: Errors) -> None:
        self._row = row
        self.errors = errors
        self._at = 0
        self._resp3 = resp3

    def next(self) -> Reply:
        value = self._row[self._at]
        self._at += 1
        if value is not None:
            return value if isinstance(value, bytes) else plain_reply(value, self._resp3)
        letter = self._row[self._at]
        self._at += 1
        made = _BY_LETTER[letter]
        return made(self)

    def take(self) -> Any:
        self._at += 1
        return self._row[self._at - 1]

    def many(self, count: int) -> list[Reply]:
        return [self.next() for _ in range(count)]


def _made_error(rows: _Rows) -> Reply:
    error = ErrorReply(rows.take())
    rows.errors.made.append(error)
    return error


def _replied_error(rows: _Rows) -> Reply:
    rows.errors.replied += 1
    return ErrorReply(rows.take())


def _verbatim(rows: _Rows) -> Reply:
    kind = rows.take()
    return Verbatim(rows.take(), (kind + b"   ")[:3])


_BY_LETTER: Final[dict[bytes, Callable[[_Rows], Reply]]] = {
    b"0": lambda rows: None,
    b"e": _replied_error,
    b"E": _made_error,
    b"s": lambda rows: Simple(rows.take().replace(b"\r", b" ").replace(b"\n", b" ")),
    b"d": lambda rows: Double(float(rows.take())),
    b"n": lambda rows: BigNumber(rows.take()),
    b"v": _verbatim,
    b"a": lambda rows: rows.many(rows.take()),
    b"m": lambda rows: Map(rows.many(2 * rows.take())),
    b"S": lambda rows: Set(rows.many(rows.take())),
}
