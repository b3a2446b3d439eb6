"""MULTI, EXEC, DISCARD, WATCH, UNWATCH. What is between MULTI and EXEC is queued by engine/admission.py and executed
by engine/engine.py."""

from broker.commands.blocked import RUN_QUEUE
from broker.commands.context import Context
from broker.commands.registry import (
    ALLOW_BUSY,
    FAST,
    LOADING,
    NOSCRIPT,
    RO,
    SKIP_SLOWLOG,
    STALE,
    Group,
    keys_to_end,
)
from broker.commands.session import IN_MULTI, Session
from broker.errors import CommandError
from broker.protocol.replies import NULL_ARRAY, OK, Reply

command = Group("transactions").command


def discard_queue(ctx: Context) -> None:
    """Leave MULTI and forget what is watched. Also for RESET, and for a client that went away."""
    session: Session = ctx.session
    session.queue = []
    session.queue_failed = False
    session.queue_bytes = 0
    session.queue_flags = 0
    session.set_gate(IN_MULTI, False)
    ctx.keyspace.watches.forget(session.watcher)


@command("MULTI", arity=1, flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, since="1.2.0",
         summary="Begin a transaction", cost="O(1)")  # fmt: skip
def multi(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.session.in_multi:
        raise CommandError("ERR", "MULTI calls can not be nested")
    ctx.session.set_gate(IN_MULTI, True)
    return OK


@command("EXEC", arity=1, flags=NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG, since="1.2.0",
         summary="Execute the queued requests as one", cost="that of the queued requests",
         differs="One that holds HELLO or CLIENT REPLY is encoded in the state at its end")  # fmt: skip
def exec_(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    if not session.in_multi:
        raise CommandError("ERR", "EXEC without MULTI")
    failed = session.queue_failed
    dirty = session.watcher.dirty or _watched_expired(ctx)
    if failed or dirty:
        discard_queue(ctx)
        if failed:
            raise CommandError("EXECABORT", "Transaction discarded because of previous errors.")
        return NULL_ARRAY
    ctx.keyspace.watches.forget(session.watcher)
    return RUN_QUEUE


def _watched_expired(ctx: Context) -> bool:
    """A watched key whose time came in between counts as changed, even if it is still there."""
    databases = ctx.keyspace.databases
    for (database, name), stale in ctx.session.watcher.keys.items():
        if not stale and databases[database].is_overdue(name):
            return True
    return False


@command("DISCARD", arity=1, flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, since="2.0.0",
         summary="Drop the queued requests", cost="O(n), n requests queued")  # fmt: skip
def discard(ctx: Context, argv: list[bytes]) -> Reply:
    if not ctx.session.in_multi:
        raise CommandError("ERR", "DISCARD without MULTI")
    discard_queue(ctx)
    return OK


@command("WATCH", arity=-2, flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, keys=[keys_to_end(RO)],
         since="2.2.0", syntax="key [key ...]", summary="Let EXEC fail if one of the keys changes before it",
         cost="O(1) for each key")  # fmt: skip
def watch(ctx: Context, argv: list[bytes]) -> Reply:
    if ctx.session.in_multi:
        raise CommandError("ERR", "WATCH inside MULTI is not allowed")
    watcher = ctx.session.watcher
    if watcher.dirty:
        return OK  # EXEC fails as it is
    for name in argv[1:]:
        ctx.keyspace.watches.add(watcher, ctx.db.index, name, ctx.db.is_overdue(name))
    return OK


@command("UNWATCH", arity=1, flags=NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY, since="2.2.0",
         summary="Forget what is watched", cost="O(1)")  # fmt: skip
def unwatch(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.keyspace.watches.forget(ctx.session.watcher)
    return OK
