"""The scripts and libraries of a broker: the cache by SHA-1, runs, SCRIPT KILL, the time limit.

Implements commands/script_run.py: Scripts for the commands. It reaches the engine through ScriptEngine only, and the
server by one callable.
"""

from collections.abc import Callable
from hashlib import sha1
from time import perf_counter
from typing import Any, Final

import structlog
from mypy_extensions import i64

from broker.commands.context import Context
from broker.commands.registry import DENYOOM, MAY_REPLICATE, STALE, WRITE
from broker.commands.script_run import (
    ALLOW_OOM,
    ALLOW_STALE,
    FLAG_NAMES,
    NO_WRITES,
    UNDECLARED,
    ScriptEngine,
    ScriptRun,
    Scripts,
)
from broker.commands.scripting import busy, no_script
from broker.config import Config
from broker.errors import CommandError
from broker.protocol.numbers import parse_int
from broker.protocol.replies import ErrorReply, Reply
from broker.scripting.binding import FAILURES, message_of
from broker.scripting.cache import Cached, ScriptCache
from broker.scripting.calls import Calls
from broker.scripting.flags import script_flags
from broker.scripting.interpreter import Interpreter
from broker.scripting.libraries import Libraries
from broker.scripting.random48 import Random48
from broker.scripting.rows import CHUNK
from broker.scripting.values import Errors, plain_reply, reply_of_row

log = structlog.get_logger()
_KILLED: Final = b"ERR Script killed by user with SCRIPT KILL..."


class Scripting(Scripts):
    """answer_others(): serves other clients for a moment; True when the server is to end."""

    def __init__(self, config: Config, engine: ScriptEngine, answer_others: Callable[[], bool]) -> None:
        self._config = config
        self._engine = engine
        self._answer_others = answer_others
        self._run: ScriptRun | None = None
        self._cache = ScriptCache()
        self._random = Random48()  # one for scripts and functions, and no SCRIPT FLUSH begins it anew: as in Redis
        self._calls: Calls | None = None  # of EVAL's interpreter; made when first needed, since it takes memory
        self.libraries = Libraries(self._new_calls, engine.library_sources)
        config.on_change("busy-reply-threshold", self._read_threshold)
        self._read_threshold()

    def _read_threshold(self) -> None:
        milliseconds = self._config.integer("busy-reply-threshold")
        self._threshold = milliseconds / 1000 if milliseconds > 0 else float("inf")

    def _new_calls(self, for_functions: bool) -> Calls:
        interpreter = Interpreter(for_functions, self._config.memory("script-memory-limit"))
        calls = Calls(self._engine, interpreter)
        host = calls.functions() | {
            b"tick": self.tick,
            b"register": self._register,
            b"random": self._random.next,
            b"seed": self._random.seed,
        }
        interpreter.open(host, list(FLAG_NAMES))
        return calls

    @property
    def interpreter(self) -> Interpreter:
        return self._of_scripts().interpreter

    def _of_scripts(self) -> Calls:
        if self._calls is None:
            self._calls = self._new_calls(False)
        return self._calls

    # -- EVAL

    def run_script(self, ctx: Context, argv: list[bytes], read_only: bool) -> Reply:
        keys = _key_count(argv)
        name = sha1(argv[1]).hexdigest().encode()
        cached = self._cache.scripts.get(name) or self._load(name, argv[1], False)
        return self._evaluate(ctx, argv, name, cached, keys, read_only)

    def run_cached(self, ctx: Context, argv: list[bytes], read_only: bool) -> Reply:
        name = argv[1]
        cached = self._cache.scripts.get(name)
        if cached is None:
            if len(name) != 40:
                raise no_script()
            name = name.lower()
            cached = self._cache.scripts.get(name)
        keys = _key_count(argv)
        if cached is None:
            raise no_script()
        return self._evaluate(ctx, argv, name, cached, keys, read_only)

    def _evaluate(
        self, ctx: Context, argv: list[bytes], name: bytes, cached: Cached, keys: int, read_only: bool
    ) -> Reply:
        run = self._prepared(ctx, argv, name, True, cached.flags, read_only)
        if cached.may_go:
            self._cache.use(cached)
        calls = self._of_scripts()
        interpreter = calls.interpreter
        _check_room(interpreter, argv)
        if len(argv) > CHUNK:
            first, rest = interpreter.array(argv[3 : 3 + keys]), interpreter.array(argv[3 + keys :])
            return self._finished(run, calls, interpreter.run_tables, [cached.function, first, rest])
        if keys == 1 and len(argv) == 4:
            return self._finished(run, calls, interpreter.run_key, [cached.function, argv[3]])
        arguments: list[Any] = [cached.function, keys]
        arguments += argv[3:]
        return self._finished(run, calls, interpreter.run, arguments)

    def run_function(self, ctx: Context, argv: list[bytes], read_only: bool) -> Reply:
        function = self.libraries.functions.get(argv[1].lower())
        if function is None:
            raise CommandError("ERR", "Function not found")
        keys = _key_count(argv, "Bad number of keys provided")
        run = self._prepared(ctx, argv, argv[1], False, function.flags, read_only)
        calls = self.libraries.calls
        interpreter = calls.interpreter
        _check_room(interpreter, argv)
        first, rest = interpreter.array(argv[3 : 3 + keys]), interpreter.array(argv[3 + keys :])
        return self._finished(run, calls, interpreter.run_function, [function.callback, first, rest])

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
            cached = self._cache.scripts.get(argv[1].lower())
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
        run = ScriptRun(self._engine.open_run(ctx), ctx, name, is_eval)
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

    def _finished(self, run: ScriptRun, calls: Calls, body: Callable[..., Any], arguments: list[Any]) -> Reply:
        """Run it; whatever happens, nothing of the run is left behind."""
        run.started = self._engine.began()
        self._run = calls.run = run
        try:
            result = body(*arguments)
        except FAILURES as error:
            text = _KILLED if run.killed else b"ERR " + message_of(error)
            result = (b"!", text, False, 0, False)
        finally:
            self._run = calls.run = None
            if run.slow:
                self._engine.set_busy(False, run.is_eval)
            if run.aborted:
                self._engine.abandon()
        run.caller.journal_nothing()  # what it changed is journaled, not that it ran
        if isinstance(result, tuple):
            reply = self._of_table(run, calls.interpreter, result)
        else:
            reply = plain_reply(result, run.ctx.session.resp3)
        calls.interpreter.end_run()
        return reply

    def _of_table(self, run: ScriptRun, interpreter: Interpreter, result: tuple[Any, ...]) -> Reply:
        mark = result[0]
        if mark == b"=":
            return self._of_row(run, list(result[1:]))
        if mark == b"*":
            interpreter.room.lift()  # what stands for the table here takes memory there
            return self._of_row(run, interpreter.values_of(result[1], int(result[2])))
        interpreter.room.has(0)  # collects, if there is none
        return self._error(run, result)

    def _error(self, run: ScriptRun, result: tuple[Any, ...]) -> Reply:
        text: bytes = result[1]
        if result[2]:  # where it came from
            text = b"%b script: %b, on %b:%d." % (text, run.name, result[2], int(result[3]))
        if not result[4]:
            self._engine.count_error(text)
        _failed(run, 1)
        return ErrorReply(text)

    def _of_row(self, run: ScriptRun, row: list[Any]) -> Reply:
        """Of a table. An error that the script made itself is counted; one of a command was, when it came up."""
        errors = Errors()
        reply = reply_of_row(row, run.ctx.session.resp3, errors)
        for error in errors.made:
            self._engine.count_error(error.text)
        _failed(run, errors.replied + (1 if errors.made else 0))
        return reply

    # -- the cache

    def load_script(self, source: bytes) -> bytes:
        name = sha1(source).hexdigest().encode()
        cached = self._cache.scripts.get(name)
        if cached is None:
            self._load(name, source, True)
        else:
            self._cache.keep(cached)
        return name

    def _load(self, name: bytes, source: bytes, lasting: bool) -> Cached:
        flags, code = script_flags(source)
        function, problem = self._of_scripts().interpreter.compile(code, b"@user_script")
        if function is None:
            shown = problem.decode("utf-8", "surrogateescape")
            raise CommandError("ERR", f"Error compiling script (new function): {shown}")
        cached = Cached(name, source, function, flags)
        self._cache.add(cached, lasting)
        return cached

    def source_of(self, sha: bytes) -> bytes | None:
        cached = self._cache.scripts.get(sha)
        return None if cached is None else cached.source

    def flush_scripts(self) -> None:
        self._cache.clear()
        self._calls = None

    def cached_count(self) -> int:
        return len(self._cache.scripts)

    def evicted_count(self) -> int:
        return self._cache.evicted

    def reset_statistics(self) -> None:
        self._cache.evicted = 0

    def memory(self) -> tuple[int, int, int]:
        of_scripts = self._calls.interpreter.memory() if self._calls else 0
        return of_scripts, self.libraries.memory(), self._cache.bytes

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

    # -- libraries

    def _register(self, name: bytes, callback: Any, description: Any, flags: bytes) -> bytes | None:
        """redis.register_function."""
        return self.libraries.register(name, callback, description or None, flags)

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


def _check_room(interpreter: Interpreter, argv: list[bytes]) -> None:
    size: i64 = 0
    for argument in argv:
        size += 64 + len(argument)
    if not interpreter.room.has_before_run(int(size)):
        raise CommandError("ERR", "not enough memory for the arguments of a script")


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
