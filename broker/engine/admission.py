"""The checks before a request is executed, in Redis's order (processCommand in server.c).

The engine comes here only when a bit of Session.gate or of Engine.gate is set: an ordinary request skips all of it.
"""

from typing import Final

from broker.commands.registry import ALLOW_BUSY, DENYOOM, LOADING, MAY_REPLICATE, NO_AUTH, NO_MULTI, WRITE, Command
from broker.commands.session import IN_MULTI, NEEDS_AUTH, SUBSCRIBED, Session
from broker.protocol.replies import QUEUED, ErrorReply, Reply

# Bits of Engine.gate
IS_LOADING: Final = 1
WRITES_REFUSED: Final = 2  # the log can't be written
SAVES_FAIL: Final = 1 << 17  # the last BGSAVE failed, and stop-writes-on-bgsave-error says to refuse writes
PAUSED_WRITES: Final = 4
PAUSED_ALL: Final = 8
LIMITED: Final = 16  # maxmemory is set
BUSY_SCRIPT: Final = 1 << 8  # a script runs for long; other clients' requests are read meanwhile, and mostly refused
BUSY_FUNCTION: Final = 1 << 9
IS_KEPT: Final = 1 << 16  # of one request alone: it publishes to a retained channel, which is a write
OUT_OF_MEMORY: Final = 1 << 18  # of one request alone: there is no room, and nothing more to evict


class Postponed:
    """Not now: the client is paused. The request is to be offered again later."""


POSTPONED: Final = Postponed()

_NO_AUTH: Final = ErrorReply(b"NOAUTH Authentication required.")
_LOADING: Final = ErrorReply(b"LOADING Redis is loading the dataset in memory")
DISK_FAILS: Final = ErrorReply(
    b"MISCONF Errors writing to the AOF file: the log can't be written. Reads go on; see the server's log."
)
NOT_SAVED: Final = ErrorReply(
    b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    b"may modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    b"snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    b"error."
)
NO_MEMORY: Final = ErrorReply(b"OOM command not allowed when used memory > 'maxmemory'.")
_ENDS_QUEUE: Final = frozenset([b"EXEC", b"DISCARD", b"QUIT", b"RESET"])
_BUSY: Final = (
    ErrorReply(b"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
    ErrorReply(b"BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."),
)
_RUN_AT_ONCE: Final = frozenset([b"EXEC", b"DISCARD", b"MULTI", b"WATCH", b"QUIT", b"RESET"])
_WHILE_SUBSCRIBED: Final = frozenset(
    [b"PING", b"SUBSCRIBE", b"SSUBSCRIBE", b"UNSUBSCRIBE", b"SUNSUBSCRIBE", b"PSUBSCRIBE", b"PUNSUBSCRIBE", b"QUIT"]
    + [b"RESET", b"CHANNEL|RESUME"]
)


def admit(session: Session, command: Command, argv: list[bytes], gate: int, flags: int) -> Reply:
    """The reply that keeps the request from being executed, or None: execute it.

    gate: the engine's bits. flags: the command's, or what a script declares instead. An ErrorReply fails a transaction
    that is being queued.
    """
    if session.gate & NEEDS_AUTH and not command.flags & NO_AUTH:
        return _NO_AUTH
    if session.gate & IN_MULTI and command.flags & NO_MULTI:
        return ErrorReply(b"ERR Command not allowed inside a transaction")
    if gate & OUT_OF_MEMORY and _takes_memory(session, command, flags):
        return NO_MEMORY
    if gate & WRITES_REFUSED and (_writes(session, command, flags) or gate & IS_KEPT or command.name == b"PING"):
        return DISK_FAILS
    if gate & SAVES_FAIL and (_writes(session, command, flags) or command.name == b"PING"):
        return NOT_SAVED
    if session.gate & SUBSCRIBED and command.name not in _WHILE_SUBSCRIBED:
        return ErrorReply(
            b"ERR Can't execute '%b': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
            b"this context" % command.wire_name
        )
    if gate & IS_LOADING and not flags & LOADING:
        return _LOADING
    if gate & (BUSY_SCRIPT | BUSY_FUNCTION) and not _may_interrupt(command, argv):
        return _BUSY[0] if gate & BUSY_SCRIPT else _BUSY[1]
    if gate & (PAUSED_ALL | PAUSED_WRITES) and _is_paused(session, command, gate, flags):
        return POSTPONED
    if session.gate & IN_MULTI and command.name not in _RUN_AT_ONCE:
        if session.queue_failed or session.watcher.dirty:
            return QUEUED  # it will not be executed: no memory for that
        session.queue.append(argv)
        session.queue_bytes += 64
        for argument in argv:
            session.queue_bytes += 41 + len(argument)
        session.queue_flags |= flags
        return QUEUED
    return None


def _takes_memory(session: Session, command: Command, flags: int) -> bool:
    """Also every request that is queued: it stays until EXEC."""
    if command.name == b"EXEC":
        return session.queue_flags & DENYOOM != 0
    return flags & DENYOOM != 0 or (session.in_multi and command.name not in _ENDS_QUEUE)


def _may_interrupt(command: Command, argv: list[bytes]) -> bool:
    """While a script runs: what is marked so, and of SHUTDOWN only the forms that save nothing."""
    if not command.flags & ALLOW_BUSY:
        return False
    return command.name != b"SHUTDOWN" or any(word.upper() in (b"NOSAVE", b"ABORT") for word in argv[1:])


def _is_paused(session: Session, command: Command, gate: int, flags: int) -> bool:
    if gate & PAUSED_ALL:
        return True
    return _effective(session, command, flags) & (WRITE | MAY_REPLICATE) != 0


def _writes(session: Session, command: Command, flags: int) -> bool:
    return _effective(session, command, flags) & WRITE != 0


def _effective(session: Session, command: Command, flags: int) -> int:
    return session.queue_flags if command.name == b"EXEC" else flags
