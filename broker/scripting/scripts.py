"""The scripts and libraries of a broker: the cache by SHA-1, runs, SCRIPT KILL, the time limit.

Implements commands/script_run.py: Scripts for the commands, and the interpreters' Host for the scripts. It reaches the
engine through ScriptEngine only, and the server by one callable.
"""

from collections.abc import Callable
from hashlib import sha1
from time import perf_counter
from typing import Any, Final

import structlog

from broker.commands.context import Context
from broker.commands.registry import DENYOOM, MAY_REPLICATE, STALE, WRITE
from broker.commands.script_run import (
    ALLOW_OOM,
    ALLOW_STALE,
    NO_WRITES,
    REPLICATE_LOG,
    REPLICATE_REPLICAS,
    UNDECLARED,
    ScriptEngine,
    ScriptRun,
)
from broker.commands.scripting import busy, no_script
from broker.config import Config
from broker.errors import CommandError
from broker.protocol.numbers import format_double, parse_int
from broker.protocol.replies import ErrorReply, Reply
from broker.scripting.binding import FAILURES, message_of
from broker.scripting.flags import script_flags
from broker.scripting.interpreter import Interpreter
from broker.scripting.libraries import Libraries
from broker.scripting.values import ERROR, NO_ROOM, Errors, for_lua, plain_reply, reply_of_row

log = structlog.get_logger()
_CHUNK: Final = 4000  # values that may stand in a call of Lua: its C stack takes 8,000
_COLLECT_EVERY: Final = 50  # runs
_KILLED: Final = b"ERR Script killed by user with SCRIPT KILL..."
_EXACT: Final = 1 << 53  # what a number of Lua tells apart
_LEVELS: Final = ("debug", "info", "info", "warning")  # of redis.log: debug, verbose, notice, warning
_NOT_ARGUMENTS: Final = (b"ERR Lua redis lib command arguments must be strings or integers", ERROR)


class _Cached:
    def __init__(self, source: bytes, function: Any, flags: int) -> None:
        self.source = source
        self.function = function
        self.flags = flags


class Scripting:
    """answer_others(): serves other clients for a moment; True when the server is to end."""

    def __init__(self, config: Config, engine: ScriptEngine, answer_others: Callable[[], bool]) -> None:
        self._config = config
        self._engine = engine
        self._answer_others = answer_others
        self._run: ScriptRun | None = None
        self._runs = 0
        self._cache: dict[bytes, _Cached] = {}  # {SHA-1 in hexadecimal: script}
        self._cached_bytes = 0
        self._interpreter: Interpreter | None = None  # of EVAL; made when first needed, since it takes memory
        self.libraries = Libraries(self._new_interpreter, engine.library_sources)
        config.on_change("busy-reply-threshold", self._read_threshold)
        self._read_threshold()

    def _read_threshold(self) -> None:
        milliseconds = self._config.integer("busy-reply-threshold")
        self._threshold = milliseconds / 1000 if milliseconds > 0 else float("inf")

    def _new_interpreter(self, for_functions: bool) -> Interpreter:
        return Interpreter(self, for_functions, self._config.memory("script-memory-limit"))

    @property
    def _scripts(self) -> Interpreter:
        if self._interpreter is None:
            self._interpreter = self._new_interpreter(False)
        return self._interpreter

    # -- EVAL

    def run_script(self, ctx: Context, argv: list[bytes], read_only: bool) -> Reply:
        keys = _key_count(argv)
        name = sha1(argv[1]).hexdigest().encode()
        cached = self._cache.get(name) or self._load(name, argv[1])
        return self._evaluate(ctx, argv, name, cached, keys, read_only)

    def run_cached(self, ctx: Context, argv: list[bytes], read_only: bool) -> Reply:
        name = argv[1]
        cached = self._cache.get(name)
        if cached is None:
            if len(name) != 40:
                raise no_script()
            name = name.lower()
            cached = self._cache.get(name)
        keys = _key_count(argv)
        if cached is None:
            raise no_script()
        return self._evaluate(ctx, argv, name, cached, keys, read_only)

    def _evaluate(
        self, ctx: Context, argv: list[bytes], name: bytes, cached: _Cached, keys: int, read_only: bool
    ) -> Reply:
        run = self._prepared(ctx, argv, name, True, cached.flags, read_only)
        interpreter = self._scripts
        if not interpreter.has_room(_size(argv)):
            raise CommandError("ERR", "not enough memory for the arguments of a script")
        if len(argv) <= _CHUNK:
            return self._finished(run, interpreter, lambda: interpreter.run(cached.function, keys, *argv[3:]))
        tables = interpreter.tables
        first, rest = tables.array(list(argv[3 : 3 + keys])), tables.array(list(argv[3 + keys :]))
        return self._finished(run, interpreter, lambda: interpreter.run_tables(cached.function, first, rest))

    def run_function(self, ctx: Context, argv: list[bytes], read_only: bool) -> Reply:
        function = self.libraries.functions.get(argv[1].lower())
        if function is None:
            raise CommandError("ERR", "Function not found")
        keys = _key_count(argv, "Bad number of keys provided")
        run = self._prepared(ctx, argv, argv[1], False, function.flags, read_only)
        interpreter = self.libraries.interpreter
        if not interpreter.has_room(_size(argv)):
            raise CommandError("ERR", "not enough memory for the arguments of a function")
        first, rest = interpreter.tables.array(argv[3 : 3 + keys]), interpreter.tables.array(argv[3 + keys :])
        return self._finished(run, interpreter, lambda: interpreter.run_function(function.callback, first, rest))

    def flags_of(self, argv: list[bytes], flags: int) -> int:
        """Redis: getCommandFlags in server.c, scriptFlagsToCmdFlags in script.c."""
        declared = self._declared(argv)
        if declared & UNDECLARED:
            return flags
        flags &= ~(STALE | DENYOOM | WRITE | MAY_REPLICATE)
        if not declared & (ALLOW_OOM | NO_WRITES):
            flags |= DENYOOM
        if not declared & NO_WRITES:
            flags |= WRITE
        return flags | (STALE if declared & ALLOW_STALE else 0)

    def _declared(self, argv: list[bytes]) -> int:
        """UNDECLARED, too, of what is not there or can't be read: running it will tell."""
        name = argv[0].upper()
        if name.startswith(b"FCALL"):
            function = self.libraries.functions.get(argv[1].lower())
            return UNDECLARED if function is None else function.flags
        if name.startswith(b"EVALSHA"):
            cached = self._cache.get(argv[1].lower())
            return UNDECLARED if cached is None else cached.flags
        try:
            return script_flags(argv[1])[0]
        except CommandError:
            return UNDECLARED

    def _prepared(
        self, ctx: Context, argv: list[bytes], name: bytes, is_eval: bool, flags: int, read_only: bool
    ) -> ScriptRun:
        """The checks before a run. Redis: scriptPrepareForRun in script.c."""
        if self._run is not None:
            raise CommandError("ERR", "a script is running")
        run = ScriptRun(self._engine.open_run(ctx), ctx, name, is_eval, flags)
        declared = not flags & UNDECLARED
        if declared and not flags & NO_WRITES:
            if read_only:
                raise CommandError("ERR", "Can not execute a script with write flag using *_ro command.")
            if self._engine.cannot_write():
                raise CommandError(
                    "MISCONF",
                    "Redis is configured to persist data, but it's currently unable to persist to disk. Writable "
                    "scripts are blocked. Use 'no-writes' flag for read only scripts.",
                )
        if declared and not flags & (ALLOW_OOM | NO_WRITES) and self._engine.is_full():
            raise CommandError(
                "OOM", "allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'"
            )
        run.read_only = read_only or (declared and flags & NO_WRITES != 0)
        run.allow_oom = declared and flags & (ALLOW_OOM | NO_WRITES) != 0
        run.argv = argv
        return run

    def _finished(self, run: ScriptRun, interpreter: Interpreter, body: Callable[[], Any]) -> Reply:
        """Run it; whatever happens, nothing of the run is left behind."""
        ctx = run.caller
        run.started = perf_counter()
        self._run = run
        try:
            result = body()
        except FAILURES as error:
            result = (b"!", b"ERR " + message_of(error), False, 0, False)
        finally:
            self._run = None
            interpreter.lift()  # what follows makes values
            if run.slow:
                self._engine.set_busy(False, run.is_eval)
            if run.aborted:
                self._engine.abandon()
        ctx.journal_nothing()  # what it changed is journaled, not that it ran
        reply = self._reply(run, interpreter, result)
        self._runs += 1
        interpreter.end_run(self._runs % _COLLECT_EVERY == 0)
        return reply

    def _reply(self, run: ScriptRun, interpreter: Interpreter, result: Any) -> Reply:
        resp3 = run.ctx.session.resp3
        if not isinstance(result, tuple):
            return plain_reply(result, resp3)
        mark = result[0]
        if mark == b"=":
            return self._of_row(run, result[1:], resp3)
        if mark == b"*":
            row: list[Any] = []
            count = int(result[2])
            for start in range(1, count + 1, _CHUNK):
                part = interpreter.slice(result[1], start, min(start + _CHUNK - 1, count))
                row.extend(part if isinstance(part, tuple) else (part,))
            return self._of_row(run, row, resp3)
        return self._error(run, result)

    def _error(self, run: ScriptRun, result: tuple[Any, ...]) -> Reply:
        _, text, source, line, counted = result
        if source:
            text = b"%b script: %b, on %b:%d." % (text, run.name, source, int(line))
        reply = ErrorReply(text)
        if not counted:
            self._engine.count_error(text)
        _failed(run, 1)
        return reply

    def _of_row(self, run: ScriptRun, row: tuple[Any, ...] | list[Any], resp3: bool) -> Reply:
        """Of a table. An error that the script made itself is counted; one of a command was, when it came up."""
        errors = Errors()
        reply = reply_of_row(row, resp3, errors)
        for error in errors.made:
            self._engine.count_error(error.text)
        _failed(run, errors.replied + (1 if errors.made else 0))
        return reply

    # -- the cache

    def load_script(self, source: bytes) -> bytes:
        name = sha1(source).hexdigest().encode()
        if name not in self._cache:
            self._load(name, source)
        return name

    def _load(self, name: bytes, source: bytes) -> _Cached:
        flags, code = script_flags(source)
        function, problem = self._scripts.compile(code, b"@user_script")
        if function is None:
            shown = problem.decode("utf-8", "surrogateescape")
            raise CommandError("ERR", f"Error compiling script (new function): {shown}")
        cached = _Cached(source, function, flags)
        self._cache[name] = cached
        self._cached_bytes += len(source) + len(name)
        return cached

    def source_of(self, sha: bytes) -> bytes | None:
        cached = self._cache.get(sha)
        return None if cached is None else cached.source

    def flush_scripts(self) -> None:
        self._cache = {}
        self._cached_bytes = 0
        self._interpreter = None

    def cached_count(self) -> int:
        return len(self._cache)

    def memory(self) -> tuple[int, int, int]:
        of_scripts = self._interpreter.memory() if self._interpreter else 0
        return of_scripts, self.libraries.memory(), self._cached_bytes

    # -- what is running

    def current(self) -> ScriptRun | None:
        return self._run

    def running_ms(self) -> int:
        return int((perf_counter() - self._run.started) * 1000) if self._run else 0

    def kill(self, is_eval: bool) -> None:
        run = self._run
        if run is None:
            raise CommandError("NOTBUSY", "No scripts in execution right now.")
        if run.wrote:
            raise CommandError(
                "UNKILLABLE",
                "Sorry the script already executed write commands against the dataset. You can either wait the script "
                "termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            )
        if run.is_eval != is_eval:
            raise busy(run.is_eval)
        run.killed = True

    def tick(self) -> bytes | None:
        """Of a script that runs: time to look after the others?"""
        run = self._run
        if run is None:
            return self.libraries.tick()
        if run.killed:
            return _KILLED
        elapsed = perf_counter() - run.started
        if elapsed < self._threshold:
            return None
        if not run.slow:
            run.slow = True
            self._engine.set_busy(True, run.is_eval)
            log.warning("script.slow", name=run.name.decode("utf-8", "replace"), milliseconds=int(elapsed * 1000))
        if self._answer_others():
            run.killed = run.aborted = True
        if run.killed:
            log.warning("script.killed", name=run.name.decode("utf-8", "replace"))
            return _KILLED
        return None

    # -- redis.*: what a script calls. Nothing may be raised here.

    def call_row(self, row: Any, count: float) -> Any:
        """`call` with more arguments than a call of Lua takes."""
        run = self._run
        interpreter = self._scripts if run is None or run.is_eval else self.libraries.interpreter
        try:
            arguments: list[Any] = []
            for start in range(1, int(count) + 1, _CHUNK):
                part = interpreter.slice(row, start, min(start + _CHUNK - 1, int(count)))
                arguments.extend(part if isinstance(part, tuple) else (part,))
        except FAILURES:
            interpreter.lift()
            return b"ERR not enough memory", NO_ROOM
        return self.call(*arguments)

    def call(self, *arguments: Any) -> Any:
        run = self._run
        argv: list[bytes] = []
        for argument in arguments:
            if isinstance(argument, bytes):
                argv.append(argument)
            elif isinstance(argument, int) and not isinstance(argument, bool):
                argv.append(b"%d" % argument)
            elif isinstance(argument, float):
                argv.append(format_double(argument))
            else:
                return _NOT_ARGUMENTS
        if run is None:
            return b"ERR redis.call and redis.pcall can only be called while a script runs", ERROR
        interpreter = self._scripts if run.is_eval else self.libraries.interpreter
        try:
            reply = self._engine.call(run, argv)
            if isinstance(reply, int) and -_EXACT < reply < _EXACT and not isinstance(reply, bool):
                return float(reply)  # takes no memory
            if isinstance(reply, bytes):
                if interpreter.has_room(len(reply)):
                    return reply
            elif interpreter.has_room(0):
                interpreter.lift()
                value = for_lua(reply, interpreter.tables, run.ctx.session.resp3)
                interpreter.relimit()
                return value
        except FAILURES as error:
            log.error("script.failed", error=message_of(error).decode("utf-8", "replace"))
        except Exception as error:
            log.error("script.bug", exc_info=error)
        interpreter.lift()  # until Lua has read this (value_of in sandbox.lua)
        return b"ERR not enough memory", NO_ROOM

    def log(self, *values: Any) -> tuple[bool, Any]:
        if len(values) < 2:
            return False, b"ERR redis.log() requires two arguments or more."
        level = values[0]
        if isinstance(level, bytes) and parse_int(level) is not None:
            level = int(level)
        if not isinstance(level, (int, float)) or isinstance(level, bool):
            return False, b"ERR First argument must be a number (log level)."
        if not 0 <= int(level) <= 3:
            return False, b"ERR Invalid debug level."
        words = [_word(value) for value in values[1:] if isinstance(value, (bytes, int, float))]
        getattr(log, _LEVELS[int(level)])("script.log", text=" ".join(words))
        return True, None

    def setresp(self, *values: Any) -> tuple[bool, Any]:
        if len(values) != 1:
            return False, b"ERR redis.setresp() requires one argument."
        version = _number(values[0])
        if version not in (2, 3):
            return False, b"ERR RESP version must be 2 or 3."
        if self._run is not None:
            self._run.ctx.session.resp3 = version == 3
        return True, None

    def set_repl(self, *values: Any) -> tuple[bool, Any]:
        if len(values) != 1:
            return False, b"ERR redis.set_repl() requires one argument."
        flags = _number(values[0])
        if flags is None or int(flags) & ~(REPLICATE_LOG | REPLICATE_REPLICAS):
            return False, b"ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."
        if self._run is not None:
            self._run.replicate = int(flags)
        return True, None

    def acl_check_cmd(self, *argv: Any) -> tuple[bool, Any]:
        run = self._run
        words = [_argument(value) for value in argv]
        if not words:
            return False, b"ERR Please specify at least one argument for this redis lib call"
        if None in words or run is None:
            return False, _NOT_ARGUMENTS[0]
        commands = run.ctx.shared.commands
        found = commands.get(words[0].upper()) if words[0] is not None else None
        if found is None or (
            found.subcommands and len(words) > 1 and (words[1] or b"").upper() not in found.subcommands
        ):
            return False, b"ERR Invalid command passed to redis.acl_check_cmd()"
        return True, True  # every user may do everything, as long as there are no ACLs

    def sha1hex(self, text: bytes) -> bytes:
        return sha1(text).hexdigest().encode()

    def register(self, name: bytes, callback: Any, description: Any, flags: bytes) -> bytes | None:
        return self.libraries.register(name, callback, description or None, flags)

    # -- libraries

    def load_library(self, source: bytes, replace: bool, patient: bool) -> bytes:
        return self.libraries.load(source, replace, patient)

    def delete_library(self, name: bytes) -> bool:
        return self.libraries.delete(name)

    def flush_libraries(self) -> None:
        self.libraries.flush()

    def list_libraries(self, pattern: bytes | None, with_code: bool) -> list[Reply]:
        return self.libraries.listing(pattern, with_code)

    def restore_libraries(self, sources: list[bytes], policy: bytes) -> None:
        self.libraries.restore(sources, policy)

    def function_counts(self) -> tuple[int, int]:
        return len(self.libraries.libraries), len(self.libraries.functions)


def _size(argv: list[bytes]) -> int:
    """What they take in Lua, about."""
    return sum(map(len, argv)) + 64 * len(argv)


def _failed(run: ScriptRun, times: int) -> None:
    command = run.caller.command
    if command is not None:
        command.failed += times


def _key_count(argv: list[bytes], not_a_number: str = "value is not an integer or out of range") -> int:
    count = parse_int(argv[2])
    if count is None:
        raise CommandError("ERR", not_a_number)
    if count > len(argv) - 3:
        raise CommandError("ERR", "Number of keys can't be greater than number of args")
    if count < 0:
        raise CommandError("ERR", "Number of keys can't be negative")
    return count


def _argument(value: Any) -> bytes | None:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return b"%d" % value if isinstance(value, int) else format_double(value)


def _number(value: Any) -> float | None:
    if isinstance(value, bytes):
        found = parse_int(value)
        return None if found is None else float(found)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _word(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else f"{value:.14g}"
