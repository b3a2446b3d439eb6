"""Adding messages, now or later, on either kind of server.

Delayed on Millstream: XSCHEDULE, and no worker has a part in it. On plain servers a delayed message waits in
`{stream}:delayed` (a sorted set of tickets by due time) and `{stream}:delayed:fields` (a hash) until a worker of that
stream moves it (`move_due`). Names for deduplication are keys `{stream}:once:<name>` that expire, on both.
"""

import secrets
from collections.abc import Sequence
from typing import Any, cast

import attrs
from coredis import Redis
from coredis.commands.request import CommandRequest
from coredis.exceptions import RedisError

from consumers.backends import Publication, Published
from consumers.backends.scripts import Script, request, tagged

# Each script replies {id or ticket, 1 for a duplicate}. KEYS[2] is the name's key; ARGV[1] its window, 0 for no name.
# ARGV: window, ticket or "", fields. A duplicate is told the ticket of the first, where it had one.
_ADD = Script("""
local known = redis.call('GET', KEYS[2])
if known then return {known, 1} end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('SET', KEYS[2], ARGV[2] == '' and id or ARGV[2], 'PX', ARGV[1])
return {id, 0}
""")

# ARGV: window, ticket, AT or DELAY, milliseconds, fields
_SCHEDULE = Script("""
local named = tonumber(ARGV[1]) > 0
local known = named and redis.call('GET', KEYS[2])
if known then return {known, 1} end
redis.call('XSCHEDULE', KEYS[1], 'ID', ARGV[2], ARGV[3], ARGV[4], 'FIELDS', unpack(ARGV, 5))
if named then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1]) end
return {ARGV[2], 0}
""")

# KEYS: stream, name, tickets, fields. ARGV as above
_DELAY = Script("""
local named = tonumber(ARGV[1]) > 0
local known = named and redis.call('GET', KEYS[2])
if known then return {known, 1} end
local due = tonumber(ARGV[4])
if ARGV[3] == 'DELAY' then
  local now = redis.call('TIME')
  due = now[1] * 1000 + math.floor(now[2] / 1000) + due
end
redis.call('ZADD', KEYS[3], due, ARGV[2])
redis.call('HSET', KEYS[4], ARGV[2], cmsgpack.pack({unpack(ARGV, 5)}))
if named then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[1]) end
return {ARGV[2], 0}
""")

_CANCEL = Script("""
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
""")

# KEYS: stream, tickets, fields. ARGV: how many at most. Replies {moved, milliseconds to the next or -1}
_MOVE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, ticket in ipairs(due) do
  local packed = redis.call('HGET', KEYS[3], ticket)
  if packed then redis.call('XADD', KEYS[1], '*', unpack(cmsgpack.unpack(packed))) end
  redis.call('ZREM', KEYS[2], ticket)
  redis.call('HDEL', KEYS[3], ticket)
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {#due, first[2] and math.max(0, first[2] - now) or -1}
""")

_MOVED_AT_ONCE = 100


def _tickets(stream: str) -> str:
    return f"{tagged(stream)}:delayed"


def _fields(stream: str) -> str:
    return f"{tagged(stream)}:delayed:fields"


def once_key(stream: str, name: str) -> str:
    return f"{tagged(stream)}:once:{name}"


def _flat(fields: dict[bytes, bytes]) -> list[bytes]:
    return [part for pair in fields.items() for part in pair]


@attrs.frozen
class ServerPublisher:
    """Implements consumers.backends.Publisher. `native`: the server keeps delayed messages."""

    client: Redis[bytes]
    native: bool

    async def publish(self, many: Sequence[Publication]) -> list[Published]:
        if len(many) == 1:
            return [_published(await self._one(many[0]))]
        return await self._all(many)

    async def cancel(self, stream: str, ticket: str) -> bool:
        if self.native:
            return bool(await request(self.client, "XUNSCHEDULE", stream, ticket))
        return bool(await _CANCEL.run(self.client, [_tickets(stream), _fields(stream)], [ticket]))

    async def _one(self, publication: Publication) -> Any:
        plan = self._plan(publication)
        if plan is None:
            return await self._xadd(self.client, publication)
        script, keys, arguments = plan
        return await script.run(self.client, keys, arguments)

    async def _all(self, many: Sequence[Publication]) -> list[Published]:
        plans = [self._plan(one) for one in many]
        loaded: set[Script] = set()
        async with self.client.pipeline(transaction=False, raise_on_error=False) as pipe:
            for one, plan in zip(many, plans, strict=True):
                if plan is None:
                    self._xadd(pipe, one)
                else:
                    script, keys, arguments = plan
                    script.queue(cast(Any, pipe), keys, arguments, first=script not in loaded)
                    loaded.add(script)
        replies = list(pipe.results or ())
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return [_published(reply) for reply in replies]

    def _plan(self, one: Publication) -> tuple[Script, list[str], list[bytes | str | int]] | None:
        """The script that adds it, its keys and arguments; None where a plain XADD does."""
        if not one.is_delayed and one.dedupe is None:
            return None
        keys = [one.stream, once_key(one.stream, one.dedupe or "")]
        window = 0 if one.dedupe is None else max(1, one.window_ms)
        flat = _flat(one.fields)
        if not one.is_delayed:
            return _ADD, keys, [window, one.ticket or "", *flat]
        ticket = one.ticket or secrets.token_hex(8)
        when = ("DELAY", one.delay_ms) if one.due_ms is None else ("AT", one.due_ms)
        arguments: list[bytes | str | int] = [window, ticket, *when, *flat]
        if self.native:
            return _SCHEDULE, keys, arguments
        return _DELAY, [*keys, _tickets(one.stream), _fields(one.stream)], arguments

    def _xadd(self, client: Any, one: Publication) -> CommandRequest[Any]:
        return request(client, "XADD", one.stream, "*", *_flat(one.fields))


def _published(reply: Any) -> Published:
    if isinstance(reply, list):
        return Published(reply[0].decode(), bool(reply[1]))
    return Published(reply.decode())


async def move_due(client: Redis[bytes], stream: str) -> tuple[int, float]:
    """Append what is due of the delayed messages of a plain server's stream: (how many, seconds to the next)."""
    moved, wait = await _MOVE.run(client, [stream, _tickets(stream), _fields(stream)], [_MOVED_AT_ONCE])
    return moved, float("inf") if wait < 0 else wait / 1000
