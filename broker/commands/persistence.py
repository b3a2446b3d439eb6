"""Saving and the log: what is asked of the server, which does it beside the turns (server/saving.py)."""

from typing import Final

from broker.commands.args import to_int, to_positive
from broker.commands.blocked import LOG, Blocked
from broker.commands.context import Context
from broker.commands.registry import ADMIN, BLOCKING, FAST, LOADING, NO_ASYNC_LOADING, NO_MULTI, NOSCRIPT, STALE, Group
from broker.errors import CommandError, syntax_error
from broker.protocol.numbers import parse_int
from broker.protocol.replies import OK, Reply, Simple

command = Group("server").command

_SAVING: Final = ADMIN | NOSCRIPT | NO_ASYNC_LOADING


@command("SAVE", arity=1, flags=_SAVING | NO_MULTI, since="1.0.0",
         summary="Write all data to an RDB file, while everybody waits", cost="O(size of the data)",
         differs="Says why it failed")  # fmt: skip
def save(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.save()
    return OK


@command("BGSAVE", arity=-1, flags=_SAVING, since="1.0.0", syntax="[SCHEDULE | CANCEL]",
         summary="Begin to write all data to an RDB file",
         cost="O(databases); the writing takes slices between turns",
         differs="Forks nothing")  # fmt: skip
def bgsave(ctx: Context, argv: list[bytes]) -> Reply:
    word = argv[1].upper() if len(argv) == 2 else b""
    if len(argv) > 1 and word not in (b"SCHEDULE", b"CANCEL"):
        raise syntax_error()
    if word == b"CANCEL":
        if ctx.control.cancel_save():
            return Simple(b"Background saving cancelled")
        return Simple(b"Scheduled background saving cancelled")
    is_patient = word == b"SCHEDULE"
    if ctx.control.begin_save(is_patient, ctx.session.in_exec):
        return Simple(b"Background saving started")
    return Simple(b"Background saving scheduled")


@command("BGREWRITEAOF", arity=1, flags=_SAVING, since="1.0.0",
         summary="Begin to write the log anew, as short as it can be",
         cost="O(databases); the writing takes slices between turns",
         differs="Forks nothing")  # fmt: skip
def bgrewriteaof(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.control.begin_rewrite(ctx.session.in_exec):
        return Simple(b"Background append only file rewriting started")
    return Simple(b"Background append only file rewriting scheduled")


@Group("generic").command("WAITAOF", arity=4, flags=BLOCKING, acl=("connection",), since="7.2.0",
         syntax="numlocal numreplicas timeout",
         summary="Wait until what this connection wrote is on the disk, here and on replicas", cost="O(1)",
         differs="Asks for an fsync instead of waiting for the next one")  # fmt: skip
def waitaof(ctx: Context, argv: list[bytes]) -> Reply:
    """Unlike Redis, it does not wait for the next fsync of `everysec`: it asks for one."""
    local = to_int(argv[1])
    if not 0 <= local <= 1:
        raise CommandError("ERR", "value is out of range, value must between 0 and 1")
    replicas = to_positive(argv[2])
    timeout_ms = parse_int(argv[3])
    if timeout_ms is None:
        raise CommandError("ERR", "timeout is not an integer or out of range")
    if timeout_ms < 0:
        raise CommandError("ERR", "timeout is negative")
    log = ctx.shared.log
    if local and not log.enabled:
        raise CommandError("ERR", "WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    is_durable = log.enabled and log.is_durable(ctx.session.wrote)
    reply: list[Reply] = [1 if is_durable else 0, 0]
    if local <= is_durable and not replicas:
        return reply
    if not is_durable:
        ctx.control.sync_log()
    return Blocked([], timeout_ms, argv, reply, LOG)


@command("LASTSAVE", arity=1, flags=LOADING | STALE | FAST, acl=("admin", "dangerous"), since="1.0.0",
         summary="Unix time of the last RDB file that was written", cost="O(1)")  # fmt: skip
def lastsave(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.control.last_save()


def already_saving() -> CommandError:
    return CommandError("ERR", "Background save already in progress")


def nothing_to_cancel() -> CommandError:
    return CommandError("ERR", "Background saving is currently not in progress or scheduled")


def save_failed() -> CommandError:
    """Redis answers `-ERR` and nothing else; the server's log has the reason."""
    return CommandError("ERR", "The data could not be saved. See the server's log.")


def already_rewriting() -> CommandError:
    return CommandError("ERR", "Background append only file rewriting already in progress")


def other_at_work() -> CommandError:
    """Redis: bgsaveCommand in rdb.c."""
    return CommandError(
        "ERR",
        "Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a "
        "BGSAVE whenever possible.",
    )
