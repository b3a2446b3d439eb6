"""BACKUP: asked of the server, which does it beside the turns (server/backup.py). As in Redis 8.10."""

from typing import Final

from broker.commands.blocked import LOG, Blocked
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, Group
from broker.protocol.replies import OK, ErrorReply, Reply

command = Group("server").command

_FLAGS: Final = ADMIN | NOSCRIPT
_UNKNOWN: Final = ErrorReply(b"ERR BACKUP SEAL was called off; BACKUP STATUS tells how it went on")


@command("BACKUP|START", arity=2, flags=_FLAGS, since="8.10.0",
         summary="Begin a backup: a new base of the log, and what is written from then on",
         cost="O(1); the writing takes slices between turns")  # fmt: skip
def backup_start(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.backup_start()
    return OK


@command("BACKUP|SEAL", arity=2, flags=_FLAGS, since="8.10.0",
         summary="End a backup: its files do not change any more", cost="O(1)")  # fmt: skip
def backup_seal(ctx: Context, argv: list[bytes]) -> Reply:
    """Answered when the files are there and durable."""
    if ctx.control.backup_seal(ctx.session.is_blocked):
        return OK
    return Blocked([], 0, argv, _UNKNOWN, LOG)


@command("BACKUP|STATUS", arity=2, flags=_FLAGS, since="8.10.0", summary="How a backup gets on", cost="O(1)")
def backup_status(ctx: Context, argv: list[bytes]) -> Reply:
    status: list[Reply] = list(ctx.control.backup_status())
    return status


@command("BACKUP|LIST", arity=2, flags=_FLAGS, since="8.10.0",
         summary="The files of a backup that do not change any more", cost="O(1)")  # fmt: skip
def backup_list(ctx: Context, argv: list[bytes]) -> Reply:
    paths: list[Reply] = list(ctx.control.backup_paths())
    return paths


@command("BACKUP|ABORT", arity=2, flags=_FLAGS, since="8.10.0", summary="Give up a backup", cost="O(1)")
def backup_abort(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.backup_abort()
    return OK


@command("BACKUP|CLEANUP", arity=2, flags=_FLAGS, since="8.10.0",
         summary="Remove the files of a backup that is sealed, or failed", cost="O(1)")  # fmt: skip
def backup_cleanup(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.backup_clean_up()
    return OK


@command("BACKUP|HELP", arity=2, flags=LOADING | STALE, since="8.10.0", summary="What BACKUP can do", cost="O(1)")
def backup_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"BACKUP")
