"""Where a pipeline stands, in the broker: positions, watermarks, state; and whose turn it is to go on from there.

Keys, all beginning with the pipeline's tag `{millstream:pipeline:NAME}`:

    :owner        text     the worker that runs it; expires when that worker is gone
    :checkpoint   hash     epoch, definition, position:N and watermark:N for each input, and figures for people: worker,
                           watermark, events, outputs, late, rejected, updated
    :state        hash     msgpack of a place to msgpack of what is kept there

Each batch is committed by one script: outputs, dead letters, state and positions appear together or not at all. The
owner is a convenience that keeps two workers from doing the same work; what makes an event count once is the *epoch*:
whoever takes over adds one to it before reading the state, and a commit with another epoch is refused.

In a cluster the streams would have to carry the pipeline's tag; without one they go into the script as they are.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import attrs
from coredis import Redis

from consumers.backends.scripts import Script, request
from consumers.errors import ConfigurationError, ConsumerError
from consumers.processing.events import BEGINNING

_CHUNK = 1000  # arguments of one call inside a script: Lua's stack holds some 8000

# KEYS: checkpoint, state, streams to be written. ARGV: epoch, then commands, each after its number of arguments;
# a negative number: what is only for show, and may fail.
_COMMIT = Script("""
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
for i = 3, #KEYS do
  local kind = redis.call('TYPE', KEYS[i]).ok
  if kind ~= 'none' and kind ~= 'stream' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. kind .. ', not a stream')
  end
end
local at = 2
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  if count > 0 then
    redis.call(unpack(ARGV, at + 1, at + count))
  else
    count = -count
    redis.pcall(unpack(ARGV, at + 1, at + count))
  end
  at = at + count + 1
end
return 1
""")

_RENEW = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

_RELEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")

Command = Sequence[bytes | str | int]


class Superseded(ConsumerError):
    """Another worker has taken the pipeline over: nothing was committed."""


@attrs.frozen
class Standing:
    """What a checkpoint says at the beginning of an epoch."""

    epoch: int
    positions: list[str]
    watermarks: list[int]
    state: list[tuple[bytes, bytes]]


@attrs.frozen(kw_only=True)
class Commit:
    """streams: written to by `commands`, which come before state and positions. shown: commands that may fail."""

    commands: list[Command]
    streams: list[str]
    written: dict[bytes, bytes]
    deleted: list[bytes]
    positions: list[str]
    watermarks: list[int]
    figures: dict[str, int]
    worker: str
    shown: list[Command]


class Checkpoint:
    def __init__(self, client: Redis[bytes], name: str) -> None:
        self._client = client
        tag = f"{{millstream:pipeline:{name}}}"
        self.owner = f"{tag}:owner"
        self.checkpoint = f"{tag}:checkpoint"
        self.state = f"{tag}:state"

    # -- whose turn it is

    async def acquire(self, worker: str, lease_ms: int) -> bool:
        return bool(await request(self._client, "SET", self.owner, worker, "NX", "PX", lease_ms))

    async def renew(self, worker: str, lease_ms: int) -> bool:
        return bool(await _RENEW.run(self._client, [self.owner], [worker, lease_ms]))

    async def release(self, worker: str) -> None:
        await _RELEASE.run(self._client, [self.owner], [worker])

    # -- where it stands

    async def begin(self, definition: str, starts: Sequence[tuple[str, str]]) -> Standing:
        """A new epoch. starts: (stream, "0" or "$") of each input, for the first time. Raises ConfigurationError where
        the state was kept by another pipeline than `definition`.
        """
        await self._check(definition)
        epoch = int(await request(self._client, "HINCRBY", self.checkpoint, "epoch", 1))
        for number, (stream, start) in enumerate(starts):
            position = await self._last(stream) if start == "$" else "0-0"
            await request(self._client, "HSETNX", self.checkpoint, f"position:{number}", position)
        facts = await self._client.hgetall(self.checkpoint)
        numbers = range(len(starts))
        positions = [facts[f"position:{number}".encode()].decode() for number in numbers]
        watermarks = [int(facts.get(f"watermark:{number}".encode(), BEGINNING)) for number in numbers]
        return Standing(epoch, positions, watermarks, await self._state())

    async def _check(self, definition: str) -> None:
        if await request(self._client, "HSETNX", self.checkpoint, "definition", definition):
            return
        before = await self._client.hget(self.checkpoint, "definition")
        if before is not None and before.decode() != definition:
            raise ConfigurationError(
                f"the state in {self.checkpoint} was kept by another definition: {before.decode()!r}; now it is "
                f"{definition!r}. Give the new pipeline another name, or delete the old one's keys"
            )

    async def _last(self, stream: str) -> str:
        """The id of the last entry there ever was."""
        found: Any = await request(self._client, "XREVRANGE", stream, "+", "-", "COUNT", 1)
        return found[0][0].decode() if found else "0-0"

    async def _state(self) -> list[tuple[bytes, bytes]]:
        """Nobody can change it meanwhile: the epoch is ours."""
        found: dict[bytes, bytes] = {}
        cursor = 0
        while True:
            cursor, page = await self._client.hscan(self.state, cursor=cursor, count=1000)
            found |= page
            if not cursor:
                return list(found.items())

    async def commit(self, epoch: int, commit: Commit) -> None:
        """Raises Superseded (nothing happened), and what the client raises: then a new epoch has to find out."""
        keys = [self.checkpoint, self.state, *dict.fromkeys(commit.streams)]
        arguments: list[bytes | str | int] = [epoch]
        for command in self._commands(commit):
            arguments += (len(command), *command)
        for command in commit.shown:
            arguments += (-len(command), *command)
        if not await _COMMIT.run(self._client, keys, arguments):
            raise Superseded

    def _commands(self, commit: Commit) -> Iterator[Command]:
        yield from commit.commands
        pairs = [part for pair in commit.written.items() for part in pair]
        for at in range(0, len(pairs), _CHUNK):
            yield ["HSET", self.state, *pairs[at : at + _CHUNK]]
        for at in range(0, len(commit.deleted), _CHUNK):
            yield ["HDEL", self.state, *commit.deleted[at : at + _CHUNK]]
        facts: list[bytes | str | int] = ["worker", commit.worker]
        for number, (position, watermark) in enumerate(zip(commit.positions, commit.watermarks, strict=True)):
            facts += [f"position:{number}", position, f"watermark:{number}", watermark]
        yield ["HSET", self.checkpoint, *facts]
        for name, amount in commit.figures.items():
            if amount:
                yield ["HINCRBY", self.checkpoint, name, amount]
