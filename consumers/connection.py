"""The client of a worker, and how a lost connection is ridden out."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
import trio
from coredis import Redis
from coredis.connection import BaseConnection
from coredis.pool import ConnectionPool
from coredis.retry import NoRetryPolicy

from consumers.backoff import Backoff
from consumers.errors import TRANSIENT

log = structlog.get_logger("consumers")
T = TypeVar("T")

_RECONNECT = Backoff(base=0.05, cap=5.0)
_CONNECT_TIMEOUT = 5.0
# A slot of the pool costs nothing until it is used. One is lost when a task is cancelled while it connects (see
# Pool), so there are plenty.
_SLOTS = 4096


class Pool(ConnectionPool[Any]):
    """coredis's pool, but a connection that dies in use gives its slot back.

    coredis 6.9 gives a slot back only where the connection dies unused, so that after as many lost connections (or
    cancelled blocking reads) as there are slots every command waits for ever.
    """

    def release(self, connection: BaseConnection) -> None:
        super().release(connection)
        if not connection.usable and connection not in self._available_connections:
            self._available_connections.append_nowait(None)


def open_client(url: str, *, reply_timeout: float = 15.0, name: str | None = None) -> Redis[bytes]:
    """A client for `async with`. It never repeats a command by itself: the caller knows whether that is safe."""
    pool: Any = Pool.from_url(
        url,
        max_connections=_SLOTS,
        stream_timeout=reply_timeout,
        connect_timeout=_CONNECT_TIMEOUT,
        client_name=name,
        decode_components=True,
    )
    return Redis(connection_pool=pool, retry_policy=NoRetryPolicy(), verify_version=False)


async def ride_out(operation: Callable[[], Awaitable[T]], what: str) -> T:
    """The result of `operation`, repeated with back-off for as long as the server can't be reached. It must bear
    repeating.

    Logged when the connection is lost and when it is back. Refusals by the server (RedisError) are raised.
    """
    failures = 0
    while True:
        try:
            result = await operation()
        except TRANSIENT as error:
            failures += 1
            if failures == 1:
                log.warning("connection.lost", during=what, error=type(error).__name__, detail=str(error))
            await trio.sleep(_RECONNECT.delay(failures, what))
        else:
            if failures:
                log.info("connection.restored", during=what, attempts=failures)
            return result
