"""What a command returns when it is not done yet."""

from collections.abc import Callable
from typing import Final

from broker.protocol.replies import NOTHING, Reply

LOG: Final = b"log"


class Blocked:
    """The request has to wait until one of `keys` is written to; then `argv` is executed again, oldest waiter first.

    timeout_ms: 0 waits for ever. argv: the request with whatever is relative pinned down (XREAD's `$`).
    on_timeout: the reply then, and the reply inside MULTI, where nothing blocks (null_in_multi: a null there).
    wants: the type that the key must have for another try to make sense (`list`, `zset`, `stream`), or LOG: an fsync is
    what it waits for.
    on_deletion: try again, too, when the key is gone or of another type (XREADGROUP: its group is gone).
    competes: waiters of one key with the same non-empty word take from one supply (a consumer group): when one of them
    finds nothing, the others are not tried. It may be another word at the next attempt (a consumer at its limit).
    retry_at_ms: a Unix time at which to try again though nothing was written (a lease runs out); 0: none.
    """

    def __init__(
        self,
        keys: list[bytes],
        timeout_ms: int,
        argv: list[bytes],
        on_timeout: Reply,
        wants: bytes,
        on_deletion: bool = False,
        competes: bytes = b"",
        null_in_multi: bool = False,
        retry_at_ms: int = 0,
    ) -> None:
        self.keys: Final = keys
        self.timeout_ms: Final = timeout_ms
        self.argv: Final = argv
        self.on_timeout = on_timeout
        self.wants: Final = wants
        self.on_deletion: Final = on_deletion
        self.competes = competes
        self.retry_at_ms = retry_at_ms  # set anew at each attempt that found nothing
        self.in_multi: Final = None if null_in_multi else on_timeout


class Unfinished:
    """The request takes too long for a turn: the engine calls `step` once in each of those that follow, and replies to
    the client, who waits meanwhile, when it returns something else than NOTHING.

    Others are served between two steps, so each of them looks at what there is now, leaves everything in order and
    journals what it did. Where nothing may come between (MULTI, a script, the log that is read), or nobody waits, all
    steps are done at once.

    writes: no step is done while writes are held up.
    """

    def __init__(self, step: Callable[[], Reply], writes: bool = True) -> None:
        self.step: Final = step
        self.writes: Final = writes


def in_steps(step: Callable[[], Reply], writes: bool = True) -> Reply:
    """Do the first step: its reply, or Unfinished."""
    reply = step()
    return Unfinished(step, writes) if reply is NOTHING else reply


def finished(reply: "Reply | Blocked | RunQueue | Unfinished") -> "Reply | Blocked | RunQueue":
    """The reply, after all steps at once."""
    if not isinstance(reply, Unfinished):
        return reply
    while True:
        found = reply.step()
        if found is not NOTHING:
            return found


class RunQueue:
    """EXEC: the engine has to execute what the session queued."""


RUN_QUEUE: Final = RunQueue()
