"""Replicas. There are none yet: a primary by itself."""

from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.registry import ADMIN, BLOCKING, NO_ASYNC_LOADING, NOSCRIPT, STALE, Group
from broker.errors import CommandError, syntax_error
from broker.protocol.replies import OK, Reply


def _timeout_ms(ctx: Context, text: bytes) -> int:
    """Redis: getTimeoutFromObjectOrReply, in milliseconds."""
    try:
        timeout = to_int(text)
    except CommandError:
        raise CommandError("ERR", "timeout is not an integer or out of range") from None
    if timeout < 0:
        raise CommandError("ERR", "timeout is negative")
    if timeout > (1 << 63) - 1 - ctx.now_ms:
        raise CommandError("ERR", "timeout is out of range")
    return timeout


@Group("generic").command("WAIT", arity=3, flags=BLOCKING, acl=("connection",), since="3.0.0",
                          syntax="numreplicas timeout",
                          summary="Wait until so many replicas have this client's writes; returns how many do",
                          cost="O(1)")  # fmt: skip
def wait(ctx: Context, argv: list[bytes]) -> Reply:
    wanted = to_int(argv[1])
    timeout = _timeout_ms(ctx, argv[2])
    return 0 if wanted <= 0 else Blocked([], timeout, argv, 0, b"")


def _follow(argv: list[bytes]) -> Reply:
    if argv[1].upper() == b"NO" and argv[2].upper() == b"ONE":
        return OK
    try:
        port = to_int(argv[2])
    except CommandError:
        port = -1
    if not 0 <= port <= 65535:
        raise CommandError("ERR", "Invalid master port")
    raise CommandError("ERR", "this server can't be a replica: there is no replication yet")


_FOLLOWS: Final = ADMIN | NOSCRIPT | NO_ASYNC_LOADING | STALE
_SERVER: Final = Group("server")


@_SERVER.command("REPLICAOF", arity=3, flags=_FOLLOWS, since="5.0.0", syntax="<host port | NO ONE>",
                 summary="Be a primary: that of NO ONE is all there is yet", cost="O(1)")  # fmt: skip
def replicaof(ctx: Context, argv: list[bytes]) -> Reply:
    return _follow(argv)


@_SERVER.command("SLAVEOF", arity=3, flags=_FOLLOWS, since="1.0.0", syntax="<host port | NO ONE>",
                 summary="As REPLICAOF", cost="O(1)")  # fmt: skip
def slaveof(ctx: Context, argv: list[bytes]) -> Reply:
    return _follow(argv)


@_SERVER.command("FAILOVER", arity=-1, flags=ADMIN | NOSCRIPT | STALE, since="6.2.0",
                 syntax="[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
                 summary="Hand over to a replica, of which there are none yet", cost="O(1)")  # fmt: skip
def failover(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2 and argv[1].upper() == b"ABORT":
        raise CommandError("ERR", "No failover in progress.")
    args = Args(argv, 1)
    seen: set[bytes] = set()
    while args.more():
        _failover_option(args, seen)
    raise CommandError("ERR", "FAILOVER requires connected replicas.")


def _failover_option(args: Args, seen: set[bytes]) -> None:
    """Each one once; what lacks its values is a syntax error."""
    name = args.next().upper()
    if name in seen:
        raise syntax_error()
    seen.add(name)
    if name == b"TIMEOUT" and args.left >= 1:
        if args.next_int() <= 0:
            raise CommandError("ERR", "FAILOVER timeout must be greater than 0")
    elif name == b"TO" and args.left >= 2:
        args.next()
        args.next_int()
    elif name != b"FORCE":
        raise syntax_error()
