"""What both kinds of server have in common: groups, replies, and the history of failed attempts.

The history of a message that failed is in `{stream}:attempts:<group>`, a hash {id: JSON list}, until the message is
acknowledged or a dead letter. The hash expires a week after the last failure in it, so that what the server itself
gave up leaves nothing for ever.
"""

from collections.abc import Sequence
from typing import Any, cast

import attrs
import msgspec
from coredis import Redis
from coredis.exceptions import StreamDuplicateConsumerGroupError

from consumers.backends import Failure
from consumers.backends.scripts import Script, request, tagged
from consumers.leases import Lease
from consumers.options import Options
from consumers.pending import PendingList, text

_HISTORY_KEPT_MS = 7 * 86_400_000
_HISTORY_SIZE = 16_384  # bytes, beyond which the oldest attempts are forgotten

# To be put before a script: `remember(key, id, failure)` appends to the history.
REMEMBER = f"""
local function remember(key, id, failure)
  local old = redis.call('HGET', key, id)
  local new = '[' .. failure .. ']'
  if old and #old < {_HISTORY_SIZE} then new = string.sub(old, 1, -2) .. ',' .. failure .. ']' end
  redis.call('HSET', key, id, new)
  redis.call('PEXPIRE', key, {_HISTORY_KEPT_MS})
end
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

_NOTE = Script(REMEMBER + "remember(KEYS[1], ARGV[1], ARGV[2]) return 1")


@attrs.frozen
class Membership:
    """A worker in a group of a stream."""

    client: Redis[bytes]
    options: Options
    stream: str
    consumer: str

    @property
    def group(self) -> str:
        return self.options.group

    @property
    def pending(self) -> PendingList:
        return PendingList(self.client, self.stream, self.group)

    @property
    def attempts_key(self) -> str:
        return f"{tagged(self.stream)}:attempts:{self.group}"

    def request(self, name: str, *arguments: bytes | str | int) -> Any:
        return request(self.client, name, *arguments)

    async def create_group(self) -> bool:
        try:
            await self.client.xgroup_create(self.stream, self.group, identifier=self.options.start, mkstream=True)
        except StreamDuplicateConsumerGroupError:
            return False
        return True

    async def note(self, lease: Lease, failure: Failure) -> None:
        await _NOTE.run(self.client, [self.attempts_key], [lease.id, encoded(failure)])

    async def history(self, lease: Lease) -> list[Failure]:
        found = await request(self.client, "HGET", self.attempts_key, lease.id)
        if found is None:
            return []
        try:
            return msgspec.json.decode(found, type=list[Failure])
        except msgspec.MsgspecError:  # not ours
            return []

    async def holder(self, lease: Lease) -> str | None:
        found = await self.pending.look_at(lease.id)
        return None if found is None else found.consumer

    async def again(self, lease: Lease, failure: Failure) -> bool:
        if await self.holder(lease) != self.consumer:
            return False
        await self.note(lease, failure)
        await self.pending.recount(lease.id, self.consumer, lease.deliveries + 1)
        return True

    async def forget(self, leases: Sequence[Lease]) -> None:
        failed = [lease.id for lease in leases if lease.deliveries > 1]
        if failed:
            await request(self.client, "HDEL", self.attempts_key, *failed)


def encoded(failure: Failure) -> bytes:
    return msgspec.json.encode(failure)


def rows(reply: Any) -> list[list[Any]]:
    """The entries of an XREADGROUP or XREAD of one stream, whichever protocol the client speaks."""
    if not reply:
        return []
    parts = list(reply.values()) if isinstance(reply, dict) else [reply[0][1]]
    return cast(list[list[Any]], parts[0])


def paired(flat: Any) -> dict[bytes, bytes]:
    """Fields as they come on the wire; {} for an entry that was deleted."""
    if not flat:
        return {}
    each = iter(flat)
    return dict(zip(each, each, strict=True))


def lease_of(row: list[Any], deliveries: int, *, returned: bool = False) -> Lease:
    return Lease(text(row[0]), deliveries, fields=paired(row[1]), returned=returned)
