"""One Lua interpreter with its sandbox. It knows no broker: what redis.* does is in the functions that it is given.

A Python exception that crossed into Lua would be a Python object in a script's hands, so no function given to Lua lets
one out: libraries answer (True, results ...), (n, the first of a row of n values: see rows.py) or (False, text), the
others a value that says what went wrong.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

from broker.scripting import bit_operations, message_pack, struct_format
from broker.scripting.binding import FAILURES, LuaRuntime, message_of
from broker.scripting.errors import LibraryError
from broker.scripting.json_text import Reader
from broker.scripting.room import RESERVE, Room
from broker.scripting.rows import CHUNK, Row, size_of
from broker.scripting.tail_calls import may_have_some, without_tail_calls

_SOURCES: Final = files("broker.scripting") / "lua"
VERSION: Final = b"7.2.4"  # what redis.REDIS_VERSION says: whose behaviour scripts may count on
VERSION_NUMBER: Final = 0x00070204
NO_MEMORY: Final = b"not enough memory"
_LIBRARIES: Final = ("cjson", "cmsgpack", "patterns", "rows", "shapes")  # files beside sandbox.lua
_LONG: Final = 1 << 20  # bytes of JSON that are looked at before they are read
_PLACES: Final = 1024
_FEW_PLACES: Final = 128  # what the arguments of one call may take, and more
_NOT_PLAIN: Final = object()


class Indexed:
    """What Lua may index, and it is no table: object[key]. lupa does that at less than half the cost of a call."""

    def at(self, key: Any) -> Any:
        """A value that is no table. Nothing may be raised here."""
        raise NotImplementedError


class Interpreter:
    """for_functions: libraries and FCALL instead of EVAL. memory_limit: bytes; a script beyond it fails."""

    def __init__(self, for_functions: bool, memory_limit: int) -> None:
        self.lua: Any = LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_handlers=(_entry, _no_entry),
            max_memory=memory_limit + RESERVE,
        )
        self.room = Room(self.lua, memory_limit)
        self._for_functions = for_functions
        self._tick: Callable[[], bytes | None] = _no_tick
        self._rest: Row | None = None  # of what is being handed over: more than one part of it
        self._reader = Reader(None, self._pulse)
        self._parts: list[Any] = []  # arguments of a call that come in parts
        self._places = 0  # of the registry that are sure to be free

    def open(self, host: dict[bytes, Callable[..., Any]], flag_names: list[bytes]) -> None:
        """host: what scripts may ask of the broker: call, tick, log ... Nothing may be raised in them. flag_names: what
        functions may declare."""
        self._tick = host[b"tick"]
        bindings = self.lua.table_from({**host, **self._bindings()})
        flags = self.lua.table_from(flag_names)
        self._reserve()
        entry = self._load("sandbox")(bindings, flags, VERSION, VERSION_NUMBER, self._for_functions)
        self.run: Callable[..., Any] = entry[b"run"]
        self.run_key: Callable[..., Any] = entry[b"run_key"]
        self.run_tables: Callable[..., Any] = entry[b"run_tables"]
        self.run_function: Callable[..., Any] = entry[b"run_function"]
        self.load_library: Callable[..., Any] = entry[b"load_library"]
        self._slice: Callable[..., Any] = entry[b"slice"]
        self._list: Callable[..., Any] = entry[b"list"]
        self._extend: Callable[..., Any] = entry[b"extend"]
        self._compile: Callable[..., Any] = entry[b"compile"]
        self._load_code: Callable[..., Any] = entry[b"load_code"]
        self.begin_loading: Callable[[], None] = entry[b"begin_loading"]
        self.end_loading: Callable[[], None] = entry[b"end_loading"]

    def compile(self, source: bytes, name: bytes) -> tuple[Any, bytes]:
        """(function, b"") or (None, what is wrong)."""
        if self._places < _FEW_PLACES:
            self._reserve()
        self._places -= 1
        if not self.room.has(len(source)):
            return None, NO_MEMORY
        try:
            found = self._compile(source, name, may_have_some(source))
            if isinstance(found, tuple):
                return None, found[1]
            if isinstance(found, bytes):
                code = without_tail_calls(found, source)
                if not self.room.has(len(code)):
                    return None, NO_MEMORY
                found = self._load_code(code)
            return found, b""
        except FAILURES as error:
            return None, message_of(error)
        finally:
            self.room.tidy()

    def array(self, values: list[bytes]) -> Any:
        """A table of many values. There has to be room for them."""
        made = self._list(*values[:CHUNK])
        for start in range(CHUNK, len(values), CHUNK):
            self._extend(made, start, *values[start : start + CHUNK])
        return made

    def values_of(self, table: Any, count: int) -> list[Any]:
        """The first `count` entries of a table of Lua."""
        values: list[Any] = []
        for start in range(1, count + 1, CHUNK):
            part = self._slice(table, start, min(start + CHUNK - 1, count))
            values.extend(part if isinstance(part, tuple) else (part,))
        return values

    def hand_over(self, row: Row) -> list[Any] | None:
        """The first part of it; more() gives the others. None: there is no room."""
        part = row.part()
        self._rest = row if len(row.values) > len(part) else None
        return part if self.room.has(size_of(part)) else None

    def memory(self) -> int:
        return self.room.used()

    def end_run(self) -> None:
        """After a run. (Lua's own collector goes along in small steps, as a script makes values.)"""
        self.room.relimit()
        self.room.tidy()

    def part(self, place: float, *values: Any) -> None:
        """Arguments for what is called next, from the place (1, 2, ...) on."""
        if place == 1:
            self._parts = []
        for value in values:
            known = value is None or isinstance(value, (bytes, bool, int, float))
            self._parts.append(value if known else _NOT_PLAIN)

    def parts(self) -> list[Any]:
        values, self._parts = self._parts, []
        return values

    def _reserve(self) -> None:
        """Places in Lua's registry for the tables and functions that Python gets to know. It must not grow while a
        script runs: where that finds no room, Lua's error jumps over Python's frames."""
        self.room.lift()
        known = [self.lua.table() for _ in range(_PLACES)]
        self._places = len(known)
        del known
        self.room.relimit()

    def _load(self, name: str) -> Any:
        """One of our own files, compiled."""
        source = (_SOURCES / f"{name}.lua").read_bytes()
        loaded = self.lua.eval(b"loadstring")(source, b"@" + name.encode())
        if isinstance(loaded, tuple):
            raise AssertionError(loaded[1])
        return loaded

    def _bindings(self) -> dict[bytes, Any]:
        table = self.lua.table_from
        return {
            b"lift": self.room.lift,
            b"relimit": self.room.relimit,
            b"part": self.part,
            b"more": self._more,
            b"find": _find,
            b"json_null": self._json_null,
            b"json_decode": self._guarded(self._json_decode),
            b"msgpack_pack": self._guarded(_packed),
            b"msgpack_pack_parts": self._guarded(self._pack_parts),
            b"msgpack_unpack": self._guarded(self._unpacked),
            b"struct": table({name.encode(): self._guarded(f) for name, f in struct_format.FUNCTIONS.items()}),
            b"bit": table({name.encode(): self._guarded(f) for name, f in bit_operations.FUNCTIONS.items()}),
            b"libraries": table({name.encode(): self._load(name) for name in _LIBRARIES}),
        }

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        guarded = _Guarded(self, function)
        return guarded.call

    def _more(self) -> tuple[Any, ...]:
        row = self._rest
        part = row.part() if row is not None else []
        if self.room.has(size_of(part)):
            return True, *part
        self._rest = None
        self.room.lift()
        return False, NO_MEMORY

    def _pulse(self) -> None:
        message = self._tick()
        if message is not None:
            raise LibraryError(message.decode())

    def _json_null(self, null: Any) -> None:
        """Told before any script runs: a value that Python keeps must not come from a coroutine, whose stack Python
        would go on using."""
        self._reader = Reader(null, self._pulse)

    def _json_decode(self, text: bytes, allow_invalid: bool, max_depth: float, newest: float) -> Any:
        if len(text) > _LONG and text.count(b",") + text.count(b"[") + text.count(b"{") > self.room.places():
            raise LibraryError("not enough memory")
        return self._reader.read(text, allow_invalid, int(max_depth), int(newest))

    def _unpacked(self, data: bytes, limit: float, offset: float) -> Row:
        return message_pack.unpack(data, int(limit or 0), int(offset or 0), self.room.places(), self._pulse)

    def _pack_parts(self) -> bytes:
        return message_pack.pack(self.parts())


class _Guarded:
    """A library's function as Lua gets it. After (False, text) Lua has to call relimit()."""

    def __init__(self, interpreter: Interpreter, function: Callable[..., Any]) -> None:
        self._interpreter = interpreter
        self._function = function

    def call(self, *arguments: Any) -> Any:
        try:
            found = self._function(*arguments)
            if isinstance(found, bytes):
                if self._interpreter.room.has(len(found)):
                    return True, found
            elif isinstance(found, Row):
                part = self._interpreter.hand_over(found)
                if part is not None:
                    return (len(found.values), *part)
            elif isinstance(found, tuple):
                if self._interpreter.room.has(size_of(list(found))):
                    return (True, *found)
            else:
                return True, found  # takes no memory
            problem = NO_MEMORY
        except LibraryError as error:
            problem = error.text.encode("utf-8", "surrogateescape")
        except FAILURES as error:
            problem = message_of(error)
        except Exception as error:  # a bug of ours, and still no Python object for the script
            problem = f"internal error: {type(error).__name__}".encode()
        self._interpreter.room.lift()
        return False, problem


def _packed(*row: Any) -> bytes:
    return message_pack.pack(list(row))


def _no_tick() -> bytes | None:
    return None


def _find(text: bytes, wanted: bytes, start: float) -> int:
    """For what takes n * m steps in C's matcher, and n + m here."""
    return text.find(wanted, int(start))


def _entry(owner: Any, key: Any) -> Any:
    if isinstance(owner, Indexed):
        return owner.at(key)
    raise AttributeError("scripts see no Python")


def _no_entry(*_: Any) -> Any:
    raise AttributeError("scripts change no Python")
