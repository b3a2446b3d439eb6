"""The order of keys over all workers, on a server that has none: scripts that read and acknowledge.

`{stream}:lanes:<group>` is a hash {key: id of the message that may be handled}. A message whose key has one already
belongs to the consumer `~held`, and is noted in `{stream}:held:<group>`, a sorted set of equal scores whose members
sort by key and id. Acknowledging the first of a key hands the next one to the same worker, in the same step.

A worker that dies between a transaction of its handler and that step leaves a key whose first message is done: `sweep`
finds it. Reading is a script, so it can't wait: XREAD does, for anything newer than the last id there was.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import trio

from consumers.backends.scripts import Script, request, tagged
from consumers.backends.shared import REMEMBER, Membership, lease_of
from consumers.durations import milliseconds
from consumers.leases import Lease

HELD = "~held"
_MOST_HELD = 4096  # beyond which nothing is read until some have gone
_HELD_PAUSE = 0.1
_SWEPT = 200  # keys looked at in one go

# KEYS: stream, lanes, held, resting. ARGV[1]: group. `taker` is '' where nobody is to get the next one at once.
_COMMON = (
    REMEMBER
    + """
local stream, lanes, held, resting, group = KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1]
local function padded(id)
  local ms, number = string.match(id, '(%d+)-(%d+)')
  return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #number) .. number
end
local function id_of(member)
  local ms, number = string.match(member, '0*(%d+)-0*(%d+)$')
  return ms .. '-' .. number
end
local function prefix(key) return #key .. ':' .. key .. ':' end
local function advance(key, taker)
  while true do
    local begin = prefix(key)
    local first = redis.call('ZRANGEBYLEX', held, '[' .. begin, '(' .. begin .. '\\255', 'LIMIT', 0, 1)[1]
    if not first then
      redis.call('HDEL', lanes, key)
      return nil
    end
    redis.call('ZREM', held, first)
    local id = id_of(first)
    if taker ~= '' then
      local got = redis.call('XCLAIM', stream, group, taker, 0, id, 'RETRYCOUNT', 1)[1]
      if got and got[2] then
        redis.call('HSET', lanes, key, id)
        return got
      end
    elseif #redis.call('XCLAIM', stream, group, '~resting', 0, id, 'RETRYCOUNT', 0, 'JUSTID') == 1 then
      redis.call('HSET', lanes, key, id)
      redis.call('ZADD', resting, now(), id)
      return nil
    end
  end
end
"""
)

# ARGV: group, consumer, count, field. Replies entries, or the last id of the stream where there is nothing
_READ = Script(
    _COMMON
    + f"""
local count = math.min(tonumber(ARGV[3]), {_MOST_HELD} - redis.call('ZCARD', held))
if count <= 0 then return '' end
local got = redis.call('XREADGROUP', 'GROUP', group, ARGV[2], 'COUNT', count, 'STREAMS', stream, '>')
if not got then
  local about = redis.call('XINFO', 'STREAM', stream)
  for at = 1, #about, 2 do
    if about[at] == 'last-generated-id' then return about[at + 1] end
  end
end
local mine = {{}}
for _, entry in ipairs(got[1][2]) do
  local key, fields = nil, entry[2] or {{}}
  for at = 1, #fields, 2 do
    if fields[at] == ARGV[4] then key = fields[at + 1] break end
  end
  if not key or redis.call('HSETNX', lanes, key, entry[1]) == 1 then
    mine[#mine + 1] = entry
  else
    redis.call('XCLAIM', stream, group, '{HELD}', 0, entry[1], 'RETRYCOUNT', 0, 'JUSTID')
    redis.call('ZADD', held, 0, prefix(key) .. padded(entry[1]))
  end
end
return mine
"""
)

# ARGV: group, consumer, taker, 1 to delete what is done, then id, 1 or 0 for whether there is a key, and the key, of
# each. Replies entries
_SETTLE = Script(
    _COMMON
    + """
local following = {}
for at = 5, #ARGV, 3 do
  local id, has_key, key = ARGV[at], ARGV[at + 1] == '1', ARGV[at + 2]
  local found = redis.call('XPENDING', stream, group, id, id, 1)[1]
  if not found or found[2] == ARGV[2] then
    if found then
      redis.call('XACK', stream, group, id)
      if ARGV[4] == '1' then redis.call('XDEL', stream, id) end
    end
    if has_key and redis.call('HGET', lanes, key) == id then
      following[#following + 1] = advance(key, ARGV[3])
    end
  end
end
return following
"""
)

# ARGV: group, cursor, how many. Replies the next cursor
_SWEEP = Script(
    _COMMON
    + """
local page = redis.call('HSCAN', lanes, ARGV[2], 'COUNT', ARGV[3])
for at = 1, #page[2], 2 do
  local key, id = page[2][at], page[2][at + 1]
  if not redis.call('XPENDING', stream, group, id, id, 1)[1] then advance(key, '') end
end
return page[1]
"""
)


@attrs.define(eq=False)
class Lanes:
    me: Membership
    field: str
    resting_key: str
    _cursor: bytes = b"0"

    @property
    def _keys(self) -> list[str]:
        tag, group = tagged(self.me.stream), self.me.group
        return [self.me.stream, f"{tag}:lanes:{group}", f"{tag}:held:{group}", self.resting_key]

    async def read(self, count: int, block: float) -> list[Lease]:
        found = await self._read(count)
        if isinstance(found, list):
            return found
        if not found:  # too many are held: some worker is to settle first
            await trio.sleep(min(block, _HELD_PAUSE))
            return []
        waiting: list[bytes | str | int] = ["COUNT", 1, "BLOCK", milliseconds(block), "STREAMS", self.me.stream, found]
        await request(self.me.client, "XREAD", *waiting)
        found = await self._read(count)
        return found if isinstance(found, list) else []

    async def _read(self, count: int) -> list[Lease] | bytes:
        arguments: list[bytes | str | int] = [self.me.group, self.me.consumer, count, self.field]
        found: Any = await _READ.run(self.me.client, self._keys, arguments)
        return found if isinstance(found, bytes) else [lease_of(row, 1) for row in found]

    async def settle(self, leases: Sequence[Lease], *, more: bool) -> list[Lease]:
        """Those that follow, if this worker wants more; else others will find them."""
        taker = self.me.consumer if more else ""
        arguments: list[bytes | str | int] = [self.me.group, self.me.consumer, taker, int(not self.me.options.keep)]
        field = self.field.encode()
        for lease in leases:
            key = lease.fields.get(field)
            arguments += [lease.id, 0 if key is None else 1, key or b""]
        found: Any = await _SETTLE.run(self.me.client, self._keys, arguments)
        return [lease_of(row, 1) for row in found]

    async def sweep(self) -> None:
        """Let go on whose first message is done; a part of the keys each time."""
        self._cursor = await _SWEEP.run(self.me.client, self._keys, [self.me.group, self._cursor, _SWEPT])

    async def are_lost(self) -> bool:
        """Held messages have no lane: the hash is gone."""
        return not await request(self.me.client, "HLEN", self._keys[1])
