"""Lua scripts: sent once, then named by their hash. And requests that the client library has no method for."""

import hashlib
from collections.abc import Sequence
from typing import Any

import attrs
from coredis import Redis
from coredis.commands.request import CommandRequest
from coredis.exceptions import NoScriptError
from coredis.typing import Key


def identity(reply: Any) -> Any:
    return reply


def request(client: Redis[bytes], name: str, *arguments: bytes | str | int | Key) -> CommandRequest[Any]:
    """Any command; awaited, its reply as the server sent it."""
    return client.create_request(name.encode(), *arguments, callback=identity)


def tagged(stream: str) -> str:
    """What keys that go with a stream begin with: in a cluster they are in the stream's own slot."""
    return stream if "{" in stream else f"{{{stream}}}"


@attrs.frozen
class Script:
    source: str
    sha: str = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "sha", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())

    def queue(
        self, client: Redis[bytes], keys: Sequence[str], arguments: Sequence[bytes | str | int], *, first: bool = False
    ) -> CommandRequest[Any]:
        """For a pipeline, the first time in full: then the server knows it."""
        name, script = ("EVAL", self.source) if first else ("EVALSHA", self.sha)
        return request(client, name, script, len(keys), *map(Key, keys), *arguments)

    async def run(self, client: Redis[bytes], keys: Sequence[str], arguments: Sequence[bytes | str | int] = ()) -> Any:
        try:
            return await self.queue(client, keys, arguments)
        except NoScriptError:
            return await self.queue(client, keys, arguments, first=True)
