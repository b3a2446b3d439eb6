"""The client of a worker, and how a lost connection is ridden out."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
import trio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from coredis import Redis
from coredis.commands.request import CommandRequest
from coredis.connection import BaseConnection
from coredis.exceptions import ReadOnlyError, RedisError
from coredis.pool import ConnectionPool
from coredis.retry import NoRetryPolicy

from consumers.backoff import Backoff
from consumers.errors import TRANSIENT

log = structlog.get_logger("consumers")
T = TypeVar("T")
R = TypeVar("R")

_RECONNECT = Backoff(base=0.05, cap=5.0)
_CONNECT_TIMEOUT = 5.0
_SLOTS = 1024  # connections at most: one for each blocking read and each open transaction, few for all the rest


class Pool(ConnectionPool[Any]):
    """coredis's pool, but every slot comes back.

    coredis 6.9 loses the slot of a connection that dies while it is in use, and of one that was being opened when its
    task was cancelled. After as many lost connections (or cancelled blocking reads) as there are slots, every command
    would wait for ever. It also leaves the channels of a connection that couldn't be opened to the garbage collector,
    which warns.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._opening: dict[trio.lowlevel.Task, BaseConnection] = {}

    async def get_connection(self, **options: Any) -> Any:
        task = trio.lowlevel.current_task()
        try:
            return await super().get_connection(**options)
        except BaseException as error:
            if (failed := self._opening.get(task)) is not None:
                _close_channels(failed)
                if not isinstance(error, RedisError):  # then coredis has given the slot back
                    self._available_connections.append_nowait(None)
            raise
        finally:
            self._opening.pop(task, None)

    async def _construct_connection(self) -> Any:
        connection = await super()._construct_connection()
        self._opening[trio.lowlevel.current_task()] = connection
        return connection

    def release(self, connection: BaseConnection) -> None:
        super().release(connection)
        if not connection.usable and connection not in self._available_connections:
            self._available_connections.append_nowait(None)


def _close_channels(connection: BaseConnection) -> None:
    for channel in vars(connection).values():
        if isinstance(channel, MemoryObjectSendStream | MemoryObjectReceiveStream):
            channel.close()


class Client(Redis[bytes]):
    """Leaves a server that has become a replica: its address may lead to another one by now, and a server that is
    demoted closes no connection.
    """

    async def execute_command(self, command: CommandRequest[R]) -> R:
        try:
            return await super().execute_command(command)
        except ReadOnlyError:
            self.connection_pool.disconnect()
            raise


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
    return Client(connection_pool=pool, retry_policy=NoRetryPolicy(), verify_version=False)


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
