"""Replicas. There are none yet: a primary by itself."""

from broker.commands.args import to_int
from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.registry import BLOCKING, Group
from broker.errors import CommandError
from broker.protocol.replies import Reply


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
