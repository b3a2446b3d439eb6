"""A plain connection for the commands that look into a server: replies as they are, failures as one line.

Any server that speaks the protocol will do. RESP2 on purpose: its shapes are the same on all of them.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final, NoReturn

import redis
import typer
from redis.backoff import NoBackoff
from redis.retry import Retry

DEFAULT_URL: Final = "redis://127.0.0.1:6379"
_CONNECT_SECONDS: Final = 5.0
_REPLY_SECONDS: Final = 30.0  # longer than any BLOCK that we ask for

Url = Annotated[
    str, typer.Option("--url", envvar="MILLSTREAM_URL", help="The server: redis://user:password@host:port/db")
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts.")]

Reply = Any  # int, bytes, None or lists of them, as RESP2 has it: the shape depends on the command


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

    def call_many(self, commands: list[tuple[str | bytes | int, ...]]) -> list[Reply]:
        """All in one round trip; an error reply stands in its place as an exception object."""
        pipeline = self._redis.pipeline(transaction=False)
        execute: Callable[..., Reply] = pipeline.execute_command
        for words in commands:
            execute(*words)
        return pipeline.execute(raise_on_error=False)

    def close(self) -> None:
        self._redis.close()


@contextmanager
def connected(url: str) -> Iterator[Client]:
    """A client; what goes wrong inside ends the command with one line and status 1, Ctrl-C with none and status 130."""
    client = None
    try:
        client = Client(url)
        yield client
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except redis.ResponseError as error:
        fail(str(error))
    except (redis.RedisError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"can't reach the server at {without_password(url)}: {error}")
    except ValueError as error:
        fail(f"{without_password(url)}: {error}")
    finally:
        if client is not None:
            client.close()


def fail(why: str) -> NoReturn:
    """One line on standard error, status 1."""
    print(f"millstream: {' '.join(printable(why).split())}", file=sys.stderr)
    raise typer.Exit(1)


def without_password(url: str) -> str:
    """Error lines end up in logs."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def printable(raw: bytes | str) -> str:
    """Text for people. What would steer a terminal is shown as \\xNN: anybody may have written it into a stream."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return text.translate(_CONTROL)


def pairs(flat: list[Reply]) -> dict[str, Reply]:
    """A map as RESP2 has it (name, value, name, value ...), names as text."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
