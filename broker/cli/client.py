"""A plain connection for the commands that look into a server: replies as they are, failures as one line.

Any server that speaks the protocol will do. RESP2 on purpose: its shapes are the same on all of them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final, NoReturn, TypeVar

import redis
import typer
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker.inspection.gathering import Gathering, Reply, Request, gather
from broker.inspection.units import printable

T = TypeVar("T")

DEFAULT_URL: Final = "redis://127.0.0.1:6379"
_CONNECT_SECONDS: Final = 5.0
_REPLY_SECONDS: Final = 30.0  # longer than any BLOCK that we ask for

Url = Annotated[
    str, typer.Option("--url", envvar="MILLSTREAM_URL", help="The server: redis://user:password@host:port/db")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]


class Client:
    """One connection. `call` gives the bare reply and raises redis.RedisError."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=_CONNECT_SECONDS,
            socket_timeout=_REPLY_SECONDS,
            retry=Retry(NoBackoff(), 0),  # else a server that is away is told only after several seconds
        )
        self._redis.response_callbacks.clear()  # they differ between versions of the library and of the protocol

    def call(self, *words: str | bytes | int) -> Reply:
        execute: Callable[..., Reply] = self._redis.execute_command  # the library leaves it untyped
        return execute(*words)

    def call_many(self, commands: list[Request]) -> list[Reply]:
        """All in one round trip; an error reply stands in its place as an exception object."""
        if not commands:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        execute: Callable[..., Reply] = pipeline.execute_command
        for words in commands:
            execute(*words)
        return pipeline.execute(raise_on_error=False)

    def gather(self, gathering: Gathering[T]) -> T:
        return gather(gathering, self.call_many)

    def close(self) -> None:
        self._redis.close()


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """A client; what goes wrong inside ends the command with one line and status 1, Ctrl-C with none and status 130."""
    client = _opened(url)
    try:
        yield client
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except redis.AuthenticationError as error:
        fail(f"{without_password(url)} wants a name or password, as in redis://user:password@host:port: {error}")
    except redis.ResponseError as error:
        fail(str(error))
    except (redis.RedisError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"can't reach the server at {without_password(url)}: {error}")
    finally:
        client.close()


def _opened(url: str) -> Client:
    """Not yet connected."""
    try:
        return Client(url)
    except ValueError as error:
        fail(f"{without_password(url)}: {error}")


def fail(why: str) -> NoReturn:
    """One line on standard error, status 1."""
    print(f"millstream: {' '.join(printable(why).split())}", file=sys.stderr)
    raise typer.Exit(1)


def without_password(url: str) -> str:
    """Error lines end up in logs."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
