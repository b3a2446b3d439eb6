"""SLOWLOG: the requests that took long, newest first."""

from broker.commands.context import Shared
from broker.commands.session import Session
from broker.protocol.replies import Reply

_MAX_ARGUMENTS = 32  # Redis: SLOWLOG_ENTRY_MAX_ARGC
_MAX_LENGTH = 128  # Redis: SLOWLOG_ENTRY_MAX_STRING


def note(shared: Shared, session: Session, argv: list[bytes], seconds: float, limit: int) -> None:
    """Add an entry as SLOWLOG GET shows it: id, Unix time, microseconds, arguments, address, name."""
    entry: list[Reply] = [
        int(shared.slowlog_next_id),
        int(shared.keyspace.now_ms // 1000),
        int(seconds * 1e6),
        _shortened(argv),
        session.address,
        session.name,
    ]
    shared.slowlog_next_id += 1
    shared.slowlog.insert(0, entry)
    del shared.slowlog[limit:]


def _shortened(argv: list[bytes]) -> list[Reply]:
    shown: list[Reply] = []
    for argument in argv[:_MAX_ARGUMENTS]:
        if len(argument) > _MAX_LENGTH:
            more = len(argument) - _MAX_LENGTH
            argument = argument[:_MAX_LENGTH] + b"... (%d more bytes)" % more
        shown.append(argument)
    if len(argv) > _MAX_ARGUMENTS:
        shown[-1] = b"... (%d more arguments)" % (len(argv) - _MAX_ARGUMENTS + 1)
    return shown
