"""JSON as scripts read it. Behaviour and texts: lua-cjson 2.1 as Redis ships it.

msgspec's reader does the work where it is sure to agree; what it refuses, or might read differently, goes through the
careful one below, which finds what lua-cjson finds at the same character.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from mypy_extensions import i64

from broker.scripting.errors import PULSE, LibraryError
from broker.scripting.rows import Row
from broker.scripting.shapes import MOST_KEYS, Shapes

_DEEPEST: Final = 900  # arrays and objects in one another: what is deeper is not for the stack
_BEFORE_NUMBERS: Final = b"[,: \t\r\n"
_EXACT: Final = 1 << 53  # what a double tells apart
_decode: Final = msgspec.json.Decoder().decode


class Reader:
    """null: what stands for null. pulse(): called now and then, where reading takes long; it may raise LibraryError."""

    def __init__(self, null: Any, pulse: Callable[[], None]) -> None:
        self._nothing = null
        self._pulse = pulse
        self._shapes = Shapes()

    def read(self, data: bytes, allow_invalid: bool, max_depth: int, newest: int) -> Any:
        """A plain value, or a Row. newest: the shape that Lua was told of last (shapes.py). Raises LibraryError."""
        if len(data) >= 2 and (not data[0] or not data[1]):
            raise LibraryError("JSON parser does not support UTF-16 or UTF-32")
        if not _may_have_negative_zero(data):
            try:
                self._shapes.known_to_be(newest)
                tables = _Tables(self._nothing, self._shapes)
                value = tables.entry(_decode(data), min(max_depth, _DEEPEST))
                return tables.row if value is None else value
            except (ValueError, OverflowError, RecursionError):
                pass  # the careful reader knows what is wrong, if anything is
        return _Careful(data, allow_invalid, max_depth, self._nothing, self._pulse).whole()


def _may_have_negative_zero(data: bytes) -> bool:
    """An integer to msgspec, which has no -0."""
    at = data.find(b"-0")
    while at >= 0:
        if at == 0 or data[at - 1] in _BEFORE_NUMBERS:
            return True
        at = data.find(b"-0", at + 2)
    return False


class _Tables:
    """Puts what msgspec has read into a row."""

    def __init__(self, null: Any, shapes: Shapes) -> None:
        self.row = Row()
        self._nothing = null
        self._shapes = shapes

    def entry(self, value: Any, depth: int) -> Any:
        """What stands for it among the entries of its table: a plain value, or None, and it is in the row. depth: of
        how many tables in one another it may be."""
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, (dict, list)) and depth <= 0:
            raise ValueError("too deep")
        if isinstance(value, dict):
            return self._object(value, depth - 1)
        if isinstance(value, list):
            return self.row.array([self.entry(item, depth - 1) for item in value])
        if value is None:
            return self._nothing
        if isinstance(value, int) and not -_EXACT <= value <= _EXACT:
            return float(value)
        return value

    def _object(self, value: dict[str, Any], depth: int) -> Any:
        entries: list[Any] = []
        tables: i64 = 0
        bit: i64 = 1 if len(value) <= MOST_KEYS else 0
        for item in list(value.values()):
            if isinstance(item, str):
                entries.append(item.encode())
            else:
                entry = self.entry(item, depth)
                if entry is None:
                    tables |= bit
                entries.append(entry)
            bit += bit
        names: list[str] = list(value.keys())
        head = self._shapes.head_of(self.row, (tuple(names), int(tables))) if bit else 0
        if head:
            return self.row.shaped(head, entries)
        pairs: list[Any] = []
        for i in range(len(names)):
            pairs.append(names[i].encode())
            pairs.append(entries[i])
        return self.row.pairs(pairs)


_OPENED: Final = object()  # an array or an object has begun
_BLANK: Final = re.compile(rb"[ \t\n\r]*")
_NUMBER: Final = re.compile(
    rb"[-+]?(?:0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][-+]?\d+)?"
    rb"|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[iI][nN][fF](?:[iI][nN][iI][tT][yY])?|[nN][aA][nN])"
)
_ORDINARY: Final = re.compile(rb'[^"\\\0]+')
_ESCAPES: Final = {34: 34, 92: 92, 47: 47, 98: 8, 116: 9, 110: 10, 102: 12, 114: 13}
_SINGLE: Final = {b"{": "{", b"}": "}", b"[": "[", b"]": "]", b",": ",", b":": ":"}
_NAMES: Final = {
    "{": "T_OBJ_BEGIN", "}": "T_OBJ_END", "[": "T_ARR_BEGIN", "]": "T_ARR_END", ",": "T_COMMA", ":": "T_COLON",
    "string": "T_STRING", "number": "T_NUMBER", "boolean": "T_BOOLEAN", "null": "T_NULL", "end": "T_END",
}  # fmt: skip


class _Careful:
    """One token after another, each with the character where it began."""

    def __init__(self, data: bytes, allow_invalid: bool, max_depth: int, null: Any, pulse: Callable[[], None]) -> None:
        self._data = data
        self._pulse = pulse
        self._tokens = 0
        self._at = 0
        self._allow_invalid = allow_invalid
        self._max_depth = max_depth
        self._row = Row()
        self._nothing = null
        self._kind = ""  # of the token: a key of _NAMES, or `error`
        self._value: object = None  # of the token; the reason of an error
        self._start = 0  # of the token

    def whole(self) -> object:
        self._next()
        value = self._parsed()
        self._next()
        if self._kind != "end":
            raise self._expected("the end")
        return self._row if value is None else value

    def _expected(self, what: str) -> LibraryError:
        found = self._value if self._kind == "error" else _NAMES[self._kind]
        return LibraryError(f"Expected {what} but found {found} at character {self._start + 1}")

    def _parsed(self) -> object:
        """The value that begins with the present token. Not recursive: what is nested may be a thousand deep."""
        open_ones: list[tuple[list[object], list[object] | None]] = []  # (values so far, keys so far or None: an array)
        while True:
            value = self._opened(open_ones)
            if value is _OPENED:
                continue
            while open_ones:
                values, keys = open_ones[-1]
                values.append(value)
                self._next()
                closing = "]" if keys is None else "}"
                if self._kind == ",":
                    self._next()
                    self._take_key(keys)
                    break
                if self._kind != closing:
                    raise self._expected("comma or array end" if keys is None else "comma or object end")
                value = self._closed(open_ones)
            else:
                return value

    def _opened(self, open_ones: list[tuple[list[object], list[object] | None]]) -> object:
        """A value without others in it; or _OPENED, and the present token is that of the first value inside."""
        kind = self._kind
        if kind in ("string", "number", "boolean"):
            return self._value
        if kind == "null":
            return self._nothing
        if kind not in ("{", "["):
            raise self._expected("value")
        if len(open_ones) >= self._max_depth:
            raise LibraryError(f"Found too many nested data structures ({len(open_ones) + 1}) at character {self._at}")
        open_ones.append(([], [] if kind == "{" else None))
        self._next()
        if self._kind == ("}" if kind == "{" else "]"):
            return self._closed(open_ones)
        self._take_key(open_ones[-1][1])
        return _OPENED

    def _take_key(self, keys: list[object] | None) -> None:
        """The key that the present token has to be, and its colon."""
        if keys is None:
            return
        if self._kind != "string":
            raise self._expected("object key string")
        keys.append(self._value)
        self._next()
        if self._kind != ":":
            raise self._expected("colon")
        self._next()

    def _closed(self, open_ones: list[tuple[list[object], list[object] | None]]) -> object:
        values, keys = open_ones.pop()
        if keys is None:
            return self._row.array(values)
        return self._row.pairs([part for pair in zip(keys, values, strict=True) for part in pair])

    def _next(self) -> None:
        data = self._data
        self._tokens += 1
        if self._tokens % PULSE == 0:
            self._pulse()
        found = _BLANK.match(data, self._at)
        assert found is not None
        self._at = self._start = found.end()
        char = data[self._at : self._at + 1]
        if not char or char == b"\0":
            self._kind = "end"
        elif char in _SINGLE:
            self._kind = _SINGLE[char]
            self._at += 1
        elif char == b'"':
            self._string()
        elif char in b"-0123456789":
            self._number(self._allow_invalid or not self._is_invalid_number())
        elif not self._word():
            if char in b"+iInN" and self._allow_invalid and self._is_invalid_number():
                self._number(True)
            else:
                self._fail("invalid token")

    def _fail(self, why: str) -> None:
        self._kind, self._value, self._start = "error", why, self._at

    def _word(self) -> bool:
        for word, kind, value in ((b"true", "boolean", True), (b"false", "boolean", False), (b"null", "null", None)):
            if self._data.startswith(word, self._at):
                self._kind, self._value = kind, value
                self._at += len(word)
                return True
        return False

    def _is_invalid_number(self) -> bool:
        rest = self._data[self._at : self._at + 12]
        if rest[:1] == b"+":
            return True
        rest = rest.removeprefix(b"-")
        if rest[:1] == b"0":
            return rest[1:2].lower() == b"x" or rest[1:2].isdigit()
        return rest[:3].lower() in (b"inf", b"nan")

    def _number(self, allowed: bool) -> None:
        found = _NUMBER.match(self._data, self._at) if allowed else None
        if found is None:
            self._fail("invalid number")
            return
        spelled = found.group().decode("ascii")
        self._kind = "number"
        self._value = float.fromhex(spelled) if "x" in spelled.lower() else float(spelled)
        self._at = found.end()

    def _string(self) -> None:
        data = self._data
        self._at += 1
        out = bytearray()
        while True:
            plain = _ORDINARY.match(data, self._at)
            if plain:
                out += plain.group()
                self._at = plain.end()
            char = data[self._at] if self._at < len(data) else 0
            if char == 34:
                break
            if char == 0:
                self._fail("unexpected end of string")
                return
            if char == 92:
                escape = data[self._at + 1] if self._at + 1 < len(data) else 0
                if escape == 117:
                    if not self._unicode(out):
                        self._fail("invalid unicode escape code")
                        return
                    continue
                if escape not in _ESCAPES:
                    self._fail("invalid escape code")
                    return
                char = _ESCAPES[escape]
                self._at += 1
            out.append(char)
            self._at += 1
        self._at += 1
        self._kind, self._value = "string", bytes(out)

    def _unicode(self, out: bytearray) -> bool:
        code = self._hex(self._at + 2)
        length = 6
        if code < 0:
            return False
        if code & 0xF800 == 0xD800:
            if code & 0x400 or self._data[self._at + 6 : self._at + 8] != b"\\u":
                return False
            low = self._hex(self._at + 8)
            if low < 0 or low & 0xFC00 != 0xDC00:
                return False
            code = ((code & 0x3FF) << 10 | low & 0x3FF) + 0x10000
            length = 12
        out += chr(code).encode("utf-8")
        self._at += length
        return True

    def _hex(self, at: int) -> int:
        digits = self._data[at : at + 4]
        return int(digits, 16) if re.fullmatch(rb"[0-9a-fA-F]{4}", digits) else -1
