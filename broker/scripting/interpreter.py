"""One Lua interpreter with its sandbox. It knows no broker: what redis.* does is behind `Host`.

A Python exception that crossed into Lua would be a Python object in a script's hands, so no function given to Lua lets
one out: libraries answer (True, results ...) or (False, text), the others a value that says what went wrong.

Memory: Lua's allocator refuses what goes beyond a hard limit, which is an error that scripts can't do anything about.
It must never refuse while a value crosses from Python to Lua, since that error would jump over Python's own frames; so
the limit is lifted while values are made here, and what is handed over has to fit below a soft limit first.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final, Protocol

from broker.scripting import bit_operations, message_pack, patterns, struct_format
from broker.scripting.binding import FAILURES, LuaRuntime, message_of
from broker.scripting.errors import LibraryError
from broker.scripting.json_text import Reader
from broker.scripting.random48 import Random48
from broker.scripting.source import without_tail_calls
from broker.scripting.values import Tables

_SOURCES: Final = files("broker.scripting") / "lua"
_RESERVE: Final = 8 << 20  # bytes between the soft limit and the hard one
VERSION: Final = b"7.2.4"  # what redis.REDIS_VERSION says: whose behaviour scripts may count on
VERSION_NUMBER: Final = 0x00070204


class Host(Protocol):
    """What scripts may ask of the broker. Results as `for_lua` of values.py gives them; nothing may be raised."""

    def call(self, *argv: Any) -> Any:
        """redis.call and redis.pcall."""

    def call_row(self, row: Any, count: float) -> Any:
        """The same for a table of `count` arguments."""

    def tick(self) -> bytes | None:
        """Called every 100,000 instructions; a text ends the script."""

    def log(self, *values: Any) -> tuple[bool, Any]: ...

    def setresp(self, *values: Any) -> tuple[bool, Any]: ...

    def set_repl(self, *values: Any) -> tuple[bool, Any]: ...

    def acl_check_cmd(self, *argv: Any) -> tuple[bool, Any]: ...

    def sha1hex(self, text: bytes) -> bytes: ...

    def register(self, name: bytes, callback: Any, description: Any, flags: bytes) -> bytes | None:
        """redis.register_function; a text refuses it."""


class Interpreter:
    """for_functions: libraries and FCALL instead of EVAL. memory_limit: bytes; a script beyond it fails."""

    def __init__(self, host: Host, for_functions: bool, memory_limit: int) -> None:
        self._lua = LuaRuntime(
            encoding=None,
            register_eval=False,
            register_builtins=False,
            unpack_returned_tuples=True,
            attribute_handlers=(_no_attribute, _no_attribute),
            max_memory=memory_limit + _RESERVE,
        )
        self._soft = memory_limit
        self._hard = memory_limit + _RESERVE
        self._random = Random48()
        self._tables: Tables | None = None
        self._reader: Reader | None = None
        bindings = self._lua.table_from(self._bindings(host))
        entry = self._execute("sandbox", bindings, VERSION, VERSION_NUMBER, for_functions)
        self.tables = self._tables = Tables(self._lua, entry)
        self.run: Final = entry[b"run"]
        self.run_tables: Final = entry[b"run_tables"]
        self.run_function: Final = entry[b"run_function"]
        self.load_library: Final = entry[b"load_library"]
        self.slice: Final = entry[b"slice"]
        self._compile = entry[b"compile"]
        self._memory = entry[b"memory"]
        self._collect = entry[b"collect"]

    def compile(self, source: bytes, name: bytes) -> tuple[Any, bytes]:
        """(function, b"") or (None, what is wrong)."""
        self.lift()
        try:
            found = self._compile(without_tail_calls(source), name)
        except FAILURES as error:
            return None, message_of(error)
        finally:
            self.relimit()
        if isinstance(found, tuple):
            return None, found[1]
        return found, b""

    def has_room(self, size: int) -> bool:
        """May `size` bytes be handed to Lua?"""
        if self._lua.get_memory_used() + size <= self._soft:
            return True
        self._lua.gccollect()
        return bool(self._lua.get_memory_used() + size <= self._soft)

    def lift(self) -> None:
        """No limit until relimit(): values are being made."""
        self._lua.set_max_memory(0)

    def relimit(self) -> None:
        self._lua.set_max_memory(self._hard)

    def memory(self) -> int:
        return int(self._memory() * 1024)

    def end_run(self, collect: bool) -> None:
        """After a run, whose limit has been lifted. collect: a step of Lua's collector, so that it
        never has to do much at once."""
        if collect:
            self._collect(50)
        self.has_room(0)  # collects, if there is none
        self.relimit()

    def _execute(self, name: str, *arguments: Any) -> Any:
        source = (_SOURCES / f"{name}.lua").read_bytes()
        loaded = self._lua.eval(b"loadstring")(source, b"@" + name.encode())
        if isinstance(loaded, tuple):
            raise AssertionError(loaded[1])
        return loaded(*arguments)

    def _bindings(self, host: Host) -> dict[bytes, Any]:
        table = self._lua.table_from
        return {
            b"call": host.call,
            b"call_row": host.call_row,
            b"tick": host.tick,
            b"log": host.log,
            b"setresp": host.setresp,
            b"set_repl": host.set_repl,
            b"acl_check_cmd": host.acl_check_cmd,
            b"sha1hex": host.sha1hex,
            b"register": host.register,
            b"relimit": self.relimit,
            b"random": self._random.next,
            b"seed": self._random.seed,
            b"is_slow_pattern": patterns.is_slow,
            b"json_decode": self._guarded(self._json_decode),
            b"msgpack_pack": self._guarded(lambda *row: message_pack.pack(row)),
            b"msgpack_pack_row": self._guarded(self._pack_row),
            b"msgpack_unpack": self._guarded(self._unpack),
            b"msgpack_unpack_from": self._guarded(self._unpack),
            b"struct": table({name.encode(): self._guarded(f) for name, f in struct_format.FUNCTIONS.items()}),
            b"bit": table({name.encode(): self._guarded(f) for name, f in bit_operations.FUNCTIONS.items()}),
            b"libraries": table({b"cjson": self._library("cjson"), b"cmsgpack": self._library("cmsgpack")}),
        }

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., tuple[Any, ...]]:
        """(True, results ...); or (False, text), after which Lua has to call relimit()."""

        def guarded(*arguments: Any) -> tuple[Any, ...]:
            self.lift()
            try:
                found = function(*arguments)
            except LibraryError as error:
                return False, error.text.encode("utf-8", "surrogateescape")
            except FAILURES as error:
                return False, message_of(error)
            except Exception as error:  # a bug of ours, and still no Python object for the script
                return False, f"internal error: {type(error).__name__}".encode()
            results = found if isinstance(found, tuple) else (found,)
            if not self.has_room(sum(len(value) for value in results if isinstance(value, bytes))):
                return False, b"not enough memory"
            self.relimit()
            return (True, *results)

        return guarded

    def _library(self, name: str) -> Any:
        source = (_SOURCES / f"{name}.lua").read_bytes()
        return self._lua.eval(b"loadstring")(source, b"@" + name.encode())

    def _json_decode(self, null: Any, text: bytes, allow_invalid: bool, max_depth: float) -> Any:
        if self._reader is None:
            tables = self.tables
            self._reader = Reader(tables.array, tables.table, null)
        return self._reader.read(text, allow_invalid, int(max_depth))

    def _pack_row(self, row: Any, count: int) -> bytes:
        values: list[Any] = []
        for start in range(1, int(count) + 1, 4000):
            values.extend(self.slice(row, start, min(start + 3999, int(count))))
        return message_pack.pack(values)

    def _unpack(self, data: bytes, limit: Any, offset: Any) -> tuple[Any, ...]:
        return tuple(message_pack.unpack(data, limit or 0, offset or 0, self.tables.table))


def _no_attribute(*_: Any) -> Any:
    raise AttributeError("scripts see no Python")
