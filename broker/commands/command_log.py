"""COMMANDLOG (Valkey) and SLOWLOG: requests that took long, were large, or had a large reply."""

from typing import Final

from broker.commands.context import Context
from broker.commands.docs import bad_subcommand, help_of
from broker.commands.logs import CommandLog
from broker.commands.registry import ADMIN, LOADING, STALE, Group
from broker.errors import CommandError
from broker.protocol.numbers import parse_int
from broker.protocol.replies import OK, Reply

command = Group("server").command
_FLAGS: Final = ADMIN | LOADING | STALE
_HELP: Final = LOADING | STALE


def _entries(log: CommandLog, count: int | None) -> Reply:
    if count is None or count < -1:
        raise CommandError("ERR", "count should be greater than or equal to -1")
    entries: list[Reply] = []
    entries.extend(log.entries if count == -1 else log.entries[:count])
    return entries


@command("SLOWLOG|GET", arity=-2, flags=_FLAGS, since="2.2.12", syntax="[count]",
         summary="The newest requests that took long", cost="O(n), n entries returned")  # fmt: skip
def slowlog_get(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise bad_subcommand(argv)
    return _entries(ctx.shared.slow_requests, 10 if len(argv) == 2 else parse_int(argv[2]))


@command("SLOWLOG|LEN", arity=2, flags=_FLAGS, since="2.2.12", summary="Number of requests in the slow log",
         cost="O(1)")  # fmt: skip
def slowlog_len(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.shared.slow_requests.entries)


@command("SLOWLOG|RESET", arity=2, flags=_FLAGS, since="2.2.12", summary="Empty the slow log",
         cost="O(n), n entries")  # fmt: skip
def slowlog_reset(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.shared.slow_requests.entries.clear()
    return OK


@command("SLOWLOG|HELP", arity=2, flags=_HELP, since="6.2.0", summary="What SLOWLOG can do", cost="O(1)")
def slowlog_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"SLOWLOG")


def _log_of(ctx: Context, kind: bytes) -> CommandLog:
    kind = kind.lower()
    if kind == b"slow":
        return ctx.shared.slow_requests
    if kind == b"large-request":
        return ctx.shared.large_requests
    if kind == b"large-reply":
        return ctx.shared.large_replies
    raise CommandError("ERR", "type should be one of the following: slow, large-request, large-reply")


@command("COMMANDLOG|GET", arity=4, flags=_FLAGS, since="8.1.0",
         syntax="count <SLOW | LARGE-REQUEST | LARGE-REPLY>",
         summary="The newest requests that took long, were large, or had a large reply",
         cost="O(n), n entries returned")  # fmt: skip
def commandlog_get(ctx: Context, argv: list[bytes]) -> Reply:
    return _entries(_log_of(ctx, argv[3]), parse_int(argv[2]))


@command("COMMANDLOG|LEN", arity=3, flags=_FLAGS, since="8.1.0", syntax="<SLOW | LARGE-REQUEST | LARGE-REPLY>",
         summary="Number of requests in such a log", cost="O(1)")  # fmt: skip
def commandlog_len(ctx: Context, argv: list[bytes]) -> Reply:
    return len(_log_of(ctx, argv[2]).entries)


@command("COMMANDLOG|RESET", arity=3, flags=_FLAGS, since="8.1.0", syntax="<SLOW | LARGE-REQUEST | LARGE-REPLY>",
         summary="Empty such a log", cost="O(n), n entries")  # fmt: skip
def commandlog_reset(ctx: Context, argv: list[bytes]) -> Reply:
    _log_of(ctx, argv[2]).entries.clear()
    return OK


@command("COMMANDLOG|HELP", arity=2, flags=_HELP, since="8.1.0", summary="What COMMANDLOG can do", cost="O(1)")
def commandlog_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"COMMANDLOG")
