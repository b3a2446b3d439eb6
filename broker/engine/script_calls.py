"""Commands that a script calls: checked, executed and noted in one unit of the journal with the rest of the script.

The order of the checks is Redis's (scriptCall in script.c).
"""

from typing import TYPE_CHECKING, Final

from broker.commands.blocked import Blocked, RunQueue
from broker.commands.context import Context
from broker.commands.registry import DENYOOM, MAY_REPLICATE, NOSCRIPT, WRITE, Command
from broker.commands.script_run import REPLICATE_LOG, ScriptEngine, ScriptRun
from broker.commands.session import Session
from broker.engine.admission import (
    BUSY_FUNCTION,
    BUSY_SCRIPT,
    DISK_FAILS,
    LIMITED,
    NO_MEMORY,
    NOT_SAVED,
    SAVES_FAIL,
    WRITES_REFUSED,
)
from broker.protocol.replies import ErrorReply, Reply

if TYPE_CHECKING:
    from broker.engine.engine import Engine

_UNKNOWN: Final = ErrorReply(b"ERR Unknown Redis command called from script")
_ARITY: Final = ErrorReply(b"ERR Wrong number of args calling Redis command from script")
_NOT_ALLOWED: Final = ErrorReply(b"ERR This Redis command is not allowed from script")
_READ_ONLY: Final = ErrorReply(b"ERR Write commands are not allowed from read-only scripts.")


class ScriptCalls(ScriptEngine):
    """One for an engine: one script runs at a time."""

    def __init__(self, engine: "Engine") -> None:
        super().__init__(engine.keyspace.libraries)
        self._engine = engine
        self._ctx: Context | None = None

    def open_run(self, caller: Context) -> Context:
        """Its own database and protocol; nothing blocks in it."""
        ctx = self._ctx
        if ctx is None:
            ctx = self._ctx = Context(Session(0, []), self._engine.shared)
            ctx.session.in_exec = True
            ctx.session.in_script = True
        if not caller.session.in_exec:
            self._engine.shared.unit_us = 0
        session = ctx.session
        session.resp3 = False
        session.user = caller.session.user
        session.no_touch = caller.session.no_touch
        session.special = caller.session.special
        session.author = caller.session.author
        session.address = caller.session.address
        session.name = caller.session.name
        session.is_replay = caller.session.is_replay
        ctx.select(int(caller.session.database))
        return ctx

    def began(self) -> float:
        return self._engine.request_began()

    def is_full(self) -> bool:
        engine = self._engine
        return engine.gate & LIMITED != 0 and not engine.memory.has_room()

    def count_error(self, text: bytes) -> None:
        self._engine.count_error(ErrorReply(text if b" " in text else b"ERR"), True)  # Redis: afterErrorReply

    def cannot_write(self) -> bool:
        return self._engine.gate & (WRITES_REFUSED | SAVES_FAIL) != 0

    def set_busy(self, on: bool, is_eval: bool) -> None:
        engine = self._engine
        engine.gate &= ~(BUSY_SCRIPT | BUSY_FUNCTION)
        if on:
            engine.gate |= BUSY_SCRIPT if is_eval else BUSY_FUNCTION

    def abandon(self) -> None:
        self._engine.journal.abandon()

    def command_of(self, name: bytes) -> Command | None:
        found = self._engine.find([name])
        return None if isinstance(found, ErrorReply) or found.subcommands else found

    def call(self, run: ScriptRun, command: Command | None, argv: list[bytes]) -> Reply:
        engine = self._engine
        if command is None:
            found = engine.find(argv)
            if isinstance(found, ErrorReply):
                known = len(argv) == 1 and argv[0].upper() in engine.commands
                return self._refused(_ARITY if known else _UNKNOWN)
            command = found
        refusal = self._refusal(run, command, len(argv))
        if refusal is not None:
            command.rejected += 1
            return self._refused(refusal)
        if command.flags & WRITE:
            run.wrote = True
        ctx = run.ctx
        run.caller.session.script_calls += 1
        dirty = engine.keyspace.dirty
        reply = engine.call(ctx, command, argv)
        if engine.keyspace.dirty != dirty and run.replicate & REPLICATE_LOG:
            engine.record(ctx, argv)
        if isinstance(reply, Blocked):
            return reply.in_multi
        return self._refused(_NOT_ALLOWED) if isinstance(reply, RunQueue) else reply

    def _refusal(self, run: ScriptRun, command: Command, count: int) -> ErrorReply | None:
        arity = command.arity
        if arity != count and (arity >= 0 or count < -arity):
            return _ARITY
        if command.flags & NOSCRIPT and not self._engine.shared.allow_noscript:
            return _NOT_ALLOWED
        if run.read_only and command.flags & (WRITE | MAY_REPLICATE):
            return _READ_ONLY
        if run.wrote:
            return None  # half a script is worse than what the rest of it costs
        if command.flags & WRITE and self._engine.gate & (WRITES_REFUSED | SAVES_FAIL):
            return DISK_FAILS if self._engine.gate & WRITES_REFUSED else NOT_SAVED
        if command.flags & DENYOOM and not run.allow_oom and self.is_full():
            return NO_MEMORY
        return None

    def _refused(self, reply: ErrorReply) -> ErrorReply:
        self._engine.count_error(reply)
        return reply
