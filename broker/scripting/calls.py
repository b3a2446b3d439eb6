"""redis.*: what a script calls, for one interpreter. Nothing may be raised here: see interpreter.py.

Results: a plain value; or (value, mark), of which Lua makes a table; or (values, ROW or LIST, the first of them ...).
"""

import math
from collections.abc import Callable
from hashlib import sha1
from typing import Any, Final

import structlog

from broker.commands.registry import Command
from broker.commands.script_run import REPLICATE_LOG, REPLICATE_REPLICAS, ScriptEngine, ScriptRun
from broker.protocol.numbers import format_double, parse_int
from broker.protocol.replies import OK, Reply
from broker.scripting.binding import FAILURES, message_of
from broker.scripting.interpreter import Indexed, Interpreter
from broker.scripting.rows import CHUNK, Row, size_of
from broker.scripting.values import ERROR, LIST, NO_ROOM, ROW, for_lua

log = structlog.get_logger()
_LEVELS: Final = (log.debug, log.info, log.info, log.warning)  # of redis.log: debug, verbose, notice, warning
_NOT_ARGUMENTS: Final = (b"ERR Lua redis lib command arguments must be strings or integers", ERROR)
_NOT_RUNNING: Final = (b"ERR redis.call and redis.pcall can only be called while a script runs", ERROR)
_NO_MEMORY: Final = (b"ERR not enough memory", NO_ROOM)
_FULL: Final = object()
_ASK: Final = float("nan")  # instead of a result that an index can't give: Lua asks for it by `taken`
_MOST_VERBS: Final = 2_000  # spellings of names of commands
_VERB_ROOM: Final = 1 << 17  # bytes: for one, and for the table of all of them to grow


class Calls:
    def __init__(self, engine: ScriptEngine, interpreter: Interpreter) -> None:
        self._engine = engine
        self.interpreter = interpreter
        self.run: ScriptRun | None = None  # what runs in the interpreter
        self._verbs = 0
        self._result: Any = None

    def functions(self) -> dict[bytes, Callable[..., Any]]:
        return {
            b"verb": self.verb,
            b"call": self.call,
            b"call_parts": self.call_parts,
            b"taken": self.taken,
            b"log": _log,
            b"setresp": self.setresp,
            b"set_repl": self.set_repl,
            b"acl_check_cmd": self.acl_check_cmd,
            b"sha1hex": _sha1hex,
        }

    def verb(self, name: Any) -> "Verb | None":
        """The command of that name, for Lua to keep. None: it goes by call()."""
        if not isinstance(name, bytes) or self._verbs >= _MOST_VERBS or not self.interpreter.room.has(_VERB_ROOM):
            return None
        command = self._engine.command_of(name)
        if command is None:
            return None
        self._verbs += 1
        return Verb(self, command, name)

    def call(self, *arguments: Any) -> Any:
        """redis.call and redis.pcall: what a verb can't do."""
        argv = _spelled(list(arguments))
        return _NOT_ARGUMENTS if argv is None else self.execute(None, argv)

    def call_parts(self) -> Any:
        """`call` with so many arguments that they came in parts."""
        return self.call(*self.interpreter.parts())

    def taken(self) -> Any:
        """The result that an index could not give."""
        result = self._result
        self._result = None
        return result

    def keep(self, result: Any) -> float:
        self._result = result
        return _ASK

    def execute(self, command: Command | None, argv: list[bytes]) -> Any:
        """The result as Lua gets it. command: what argv[0] names, if that is known."""
        run = self.run
        if run is None:
            return _NOT_RUNNING
        try:
            return self._converted(run, self._engine.call(run, command, argv))
        except FAILURES as error:
            log.error("script.failed", error=message_of(error).decode("utf-8", "replace"))
        except Exception as error:
            log.error("script.bug", exc_info=error)
        return self._no_room()

    def plain(self, command: Command, argv: list[bytes]) -> Any:
        """execute() for a verb."""
        run = self.run
        if run is None:
            return self.keep(_NOT_RUNNING)
        try:
            reply = self._engine.call(run, command, argv)
            if isinstance(reply, int):
                return reply
            if isinstance(reply, bytes) and self.interpreter.room.has(len(reply)):
                return reply
            if reply is OK:
                return True
            result = self._converted(run, reply)
        except FAILURES as error:
            log.error("script.failed", error=message_of(error).decode("utf-8", "replace"))
            result = self._no_room()
        except Exception as error:
            log.error("script.bug", exc_info=error)
            result = self._no_room()
        return self.keep(result) if isinstance(result, tuple) or result is True else result

    def _converted(self, run: ScriptRun, reply: Reply) -> Any:
        found = self._handed_over(for_lua(reply, run.ctx.session.resp3))
        return self._no_room() if found is _FULL else found

    def _no_room(self) -> Any:
        self.interpreter.room.lift()  # until Lua has read this (`made` in sandbox.lua)
        return _NO_MEMORY

    def _handed_over(self, value: Any) -> Any:
        """As Lua takes it; _FULL: there is no room."""
        if isinstance(value, list):
            if len(value) <= CHUNK:
                return (len(value), LIST, *value) if self.interpreter.room.has(size_of(value)) else _FULL
            row = Row()
            row.array(value)
            value = row
        if isinstance(value, Row):
            part = self.interpreter.hand_over(value)
            return _FULL if part is None else (len(value.values), ROW, *part)
        if isinstance(value, tuple):
            return value if self.interpreter.room.has(size_of(list(value))) else _FULL
        if isinstance(value, bytes):
            return value if self.interpreter.room.has(len(value)) else _FULL
        return value

    def setresp(self, *values: Any) -> tuple[bool, Any]:
        if len(values) != 1:
            return False, b"ERR redis.setresp() requires one argument."
        version = _number(values[0])
        if version is None or int(version) not in (2, 3):
            return False, b"ERR RESP version must be 2 or 3."
        if self.run is not None:
            self.run.ctx.session.resp3 = int(version) == 3
        return True, None

    def set_repl(self, *values: Any) -> tuple[bool, Any]:
        if len(values) != 1:
            return False, b"ERR redis.set_repl() requires one argument."
        flags = _number(values[0]) or 0  # what is no number is REPL_NONE
        if int(flags) & ~(REPLICATE_LOG | REPLICATE_REPLICAS):
            return False, b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."
        if self.run is not None:
            self.run.replicate = int(flags)
        return True, None

    def acl_check_cmd(self, *values: Any) -> tuple[bool, Any]:
        run = self.run
        words = _spelled(list(values))
        if words is None:
            return False, _NOT_ARGUMENTS[0]
        if not words:
            return False, b"ERR Please specify at least one argument for this redis lib call"
        if run is None:
            return False, _NOT_ARGUMENTS[0]
        found = run.ctx.shared.commands.get(words[0].upper())
        if found is None or (found.subcommands and len(words) > 1 and words[1].upper() not in found.subcommands):
            return False, b"ERR Invalid command passed to redis.acl_check_cmd()"
        return True, True  # every user may do everything, as long as there are no ACLs


class Verb(Indexed):
    """A command as Lua calls it: verb(arguments ...), and verb[argument] of one.

    Both give a plain value, True for the status OK, or _ASK.
    """

    def __init__(self, calls: Calls, command: Command, name: bytes) -> None:
        self._calls: Final = calls
        self._command: Final = command
        self._name: Final = name

    def at(self, key: Any) -> Any:
        argument = key if isinstance(key, bytes) else _argument(key)
        if argument is None:
            return self._calls.keep(_NOT_ARGUMENTS)
        return self._calls.plain(self._command, [self._name, argument])

    def __call__(self, *arguments: Any) -> Any:
        count = len(arguments)
        argv: list[Any]
        if count == 2:  # like the next, without a list that grows
            argv = [self._name, arguments[0], arguments[1]]
        elif count == 3:
            argv = [self._name, arguments[0], arguments[1], arguments[2]]
        else:
            argv = [self._name, *arguments]
        for argument in arguments:
            if not isinstance(argument, bytes):
                spelled = _spelled(argv)
                if spelled is None:
                    return self._calls.keep(_NOT_ARGUMENTS)
                return self._calls.plain(self._command, spelled)
        return self._calls.plain(self._command, argv)


def _log(*values: Any) -> tuple[bool, Any]:
    if len(values) < 2:
        return False, b"ERR redis.log() requires two arguments or more."
    level = _number(values[0])
    if level is None:
        return False, b"ERR First argument must be a number (log level)."
    if not 0 <= int(level) <= 3:
        return False, b"ERR Invalid debug level."
    words = [_word(value) for value in values[1:] if isinstance(value, (bytes, int, float))]
    _LEVELS[int(level)]("script.log", text=" ".join(words))
    return True, None


def _sha1hex(text: bytes) -> bytes:
    return sha1(text).hexdigest().encode()


def _spelled(values: list[Any]) -> list[bytes] | None:
    """As a command gets them. None: one can't be an argument."""
    words: list[bytes] = []
    for value in values:
        word = _argument(value)
        if word is None:
            return None
        words.append(word)
    return words


def _argument(value: Any) -> bytes | None:
    """A number as a command gets it."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return b"%d" % value
    return format_double(value) if isinstance(value, float) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bytes):
        found = parse_int(value)
        return None if found is None else float(found)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else -1.0  # out of every range, as what C makes of it


def _word(value: bytes | int | float) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else f"{value:.14g}"
