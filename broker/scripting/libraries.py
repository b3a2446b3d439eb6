"""FUNCTION's libraries: loaded, replaced, listed, restored; all or nothing each time."""

import re
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final

import attrs

from broker.commands.script_run import FLAG_NAMES
from broker.errors import CommandError
from broker.keyspace.glob import matches
from broker.protocol.replies import Map, Reply, Set, Simple
from broker.scripting.binding import FAILURES, message_of
from broker.scripting.calls import Calls
from broker.scripting.flags import library_header

_NAME: Final = re.compile(rb"[A-Za-z0-9_]+")
_BAD_NAME: Final = (
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
)
_LOAD_SECONDS: Final = 0.5


@attrs.define(eq=False)
class Function:
    name: bytes
    callback: Any
    description: bytes | None
    flags: int


@attrs.define(eq=False)
class Library:
    name: bytes
    source: bytes
    functions: dict[bytes, Function] = attrs.field(factory=dict)


class Libraries:
    """One interpreter for all of them. new_calls(True) makes it when first needed. sources: {name: text}, the
    keyspace's, kept equal to what is loaded. functions: by their names in lower case, for any case finds them."""

    def __init__(self, new_calls: Callable[[bool], Calls], sources: dict[bytes, bytes]) -> None:
        self._new_calls = new_calls
        self._sources = sources
        self._calls: Calls | None = None
        self.libraries: dict[bytes, Library] = {}
        self.functions: dict[bytes, Function] = {}
        self._loading: Library | None = None
        self._deadline = float("inf")

    @property
    def calls(self) -> Calls:
        if self._calls is None:
            self._calls = self._new_calls(True)
        return self._calls

    def memory(self) -> int:
        return self._calls.interpreter.memory() if self._calls else 0

    def load(self, source: bytes, replace: bool, patient: bool) -> bytes:
        library = self._compiled(source, patient)
        self._check(library, self.libraries, self.functions, replace)
        self._unlink(library.name)
        self._link(library)
        return library.name

    def _compiled(self, source: bytes, patient: bool) -> Library:
        """The library with the functions that it registers; nobody sees it yet."""
        header = library_header(source)
        if not _NAME.fullmatch(header.name):
            raise CommandError("ERR", _BAD_NAME)
        if header.engine.upper() != b"LUA":
            raise CommandError("ERR", f"Engine '{_shown(header.engine)}' not found")
        return self._registered(Library(header.name, source), header.code, patient)

    def _registered(self, library: Library, code: bytes, patient: bool) -> Library:
        interpreter = self.calls.interpreter
        function, problem = interpreter.compile(code, b"@user_function")
        if function is None:
            raise CommandError("ERR", f"Error compiling function: {_shown(problem)}")
        self._loading = library
        self._deadline = float("inf") if patient else perf_counter() + _LOAD_SECONDS
        interpreter.begin_loading()
        try:
            failed = interpreter.load_library(function)
        except FAILURES as error:
            failed = b"ERR " + message_of(error)
        finally:
            self._loading = None
            interpreter.end_loading()
            interpreter.end_run()
        if failed is not None:
            raise CommandError("ERR", f"Error registering functions: {_shown(failed)}")
        if not library.functions:
            raise CommandError("ERR", "No functions registered")
        return library

    def _check(
        self, library: Library, libraries: dict[bytes, Library], functions: dict[bytes, Function], replace: bool
    ) -> None:
        old = libraries.get(library.name)
        if old is not None and not replace:
            raise CommandError("ERR", f"Library '{_shown(library.name)}' already exists")
        for name in library.functions:
            known = functions.get(name.lower())
            if known is not None and (old is None or old.functions.get(known.name) is not known):
                raise CommandError("ERR", f"Function {_shown(name)} already exists")

    def register(self, name: bytes, callback: Any, description: bytes | None, flags: bytes) -> bytes | None:
        """redis.register_function of the library being loaded; a text refuses it."""
        library = self._loading
        if library is None:
            return b"redis.register_function can only be called on FUNCTION LOAD command"
        if not _NAME.fullmatch(name):
            return _BAD_NAME.encode()
        if name in library.functions:
            return b"Function already exists in the library"
        bits = 0
        for flag in flags.split(b",") if flags else []:
            bits |= FLAG_NAMES[flag]
        library.functions[name] = Function(name, callback, description, bits)
        return None

    def tick(self) -> bytes | None:
        """Loading must not take long: it stops everybody."""
        if self._loading is not None and perf_counter() > self._deadline:
            return b"ERR FUNCTION LOAD timeout"
        return None

    def _link(self, library: Library) -> None:
        self.libraries[library.name] = library
        self.functions.update(_by_lowered_name(library))
        self._sources[library.name] = library.source

    def _unlink(self, name: bytes) -> bool:
        library = self.libraries.pop(name, None)
        if library is None:
            return False
        for function in _by_lowered_name(library):
            del self.functions[function]
        del self._sources[name]
        return True

    def delete(self, name: bytes) -> bool:
        return self._unlink(name)

    def flush(self) -> None:
        self.libraries = {}
        self.functions = {}
        self._calls = None
        self._sources.clear()

    def restore(self, sources: list[bytes], policy: bytes) -> None:
        new = [self._compiled(source, True) for source in sources]
        libraries = {} if policy == b"FLUSH" else dict(self.libraries)
        functions = {} if policy == b"FLUSH" else dict(self.functions)
        for library in new:
            self._check_restored(library, libraries, functions, policy == b"REPLACE")
        self.libraries, self.functions = libraries, functions
        self._sources.clear()
        self._sources.update((name, library.source) for name, library in libraries.items())

    def _check_restored(
        self, library: Library, libraries: dict[bytes, Library], functions: dict[bytes, Function], replace: bool
    ) -> None:
        """Into the copies, which take the place of what is there when all of them went well."""
        old = libraries.get(library.name)
        if old is not None:
            if not replace:
                raise CommandError("ERR", f"Library {_shown(library.name)} already exists")
            for name in _by_lowered_name(old):
                del functions[name]
        for name in library.functions:
            if name.lower() in functions:
                raise CommandError("ERR", f"Function {_shown(name)} already exists")
        libraries[library.name] = library
        functions.update(_by_lowered_name(library))

    def listing(self, pattern: bytes | None, with_code: bool) -> list[Reply]:
        found: list[Reply] = []
        for library in self.libraries.values():
            if pattern is not None and not matches(pattern, library.name, nocase=True):
                continue
            functions: list[Reply] = [_described(function) for function in library.functions.values()]
            flat: list[Reply] = [b"library_name", library.name, b"engine", b"LUA", b"functions", functions]
            if with_code:
                flat += [b"library_code", library.source]
            found.append(Map(flat))
        return found


def _by_lowered_name(library: Library) -> dict[bytes, Function]:
    return {name.lower(): function for name, function in library.functions.items()}


def _described(function: Function) -> Reply:
    flags: list[Reply] = [Simple(name) for name, bit in FLAG_NAMES.items() if function.flags & bit]
    return Map([b"name", function.name, b"description", function.description, b"flags", Set(flags)])


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
