"""The commands of a log, executed in order as no client.

The same functions as for a request, and less around them: what is in the log was admitted once, so nobody is asked,
nothing is journaled, and no statistics are kept (Redis: loadSingleAppendOnlyFile in aof.c calls a command's function,
too). Nor is the use of a key noted: all of them were used just now.
"""

from typing import TYPE_CHECKING

from broker.commands.blocked import Blocked, RunQueue, finished
from broker.commands.registry import WRITE, Command
from broker.commands.stream_retention import after_groups
from broker.errors import CommandError
from broker.keyspace.database import LAST_USE, UNNOTED
from broker.protocol.replies import ErrorReply, Reply

if TYPE_CHECKING:
    from broker.engine.engine import Engine


class Replay:
    """One log, with the database that it has selected."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._ctx = engine.replay_session()

    def apply(self, commands: list[list[bytes]]) -> tuple[int, str] | None:
        """Execute them, up to the first that fails: its place, and why."""
        engine = self._engine
        keyspace = engine.keyspace
        engine.begin_turn()
        uses = keyspace.uses
        if uses == LAST_USE:
            keyspace.uses = UNNOTED
        failed: tuple[int, str] | None = None
        for index in range(len(commands)):
            reply = self._execute(commands[index])
            if keyspace.expired or keyspace.events or keyspace.ready:
                engine.settle()
            if isinstance(reply, ErrorReply):
                failed = index, reply.text.decode("utf-8", "replace")
                break
        keyspace.uses = uses
        return failed

    def _execute(self, argv: list[bytes]) -> Reply | Blocked | RunQueue:
        engine = self._engine
        found = engine.commands.get(argv[0])
        if found is None or found.subcommands:
            other = engine.find(argv)
            if isinstance(other, ErrorReply):
                return other
            found = other
        if not found.fits(len(argv)):
            return ErrorReply(b"ERR wrong number of arguments for '%b' command" % found.wire_name)
        return self._call(found, argv)

    def _call(self, command: Command, argv: list[bytes]) -> Reply | Blocked | RunQueue:
        ctx = self._ctx
        retention = ctx.keyspace.retention
        ctx.command = command
        ctx.decisions = None
        dirty = ctx.keyspace.dirty
        try:
            reply = finished(command.function(ctx, argv))
            if retention.by_acks and command.flags & WRITE:
                after_groups(ctx, command, argv, ctx.keyspace.dirty != dirty)
        except CommandError as error:
            return ErrorReply(f"{error.code} {error.text}".encode("utf-8", "surrogateescape"))
        except Exception as error:
            self._engine.report_bug(command.name.decode(), error)
            return ErrorReply(b"ERR internal error")
        return reply
