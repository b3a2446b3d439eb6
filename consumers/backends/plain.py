"""Redis and Valkey know pending lists and nothing of retries; the workers do the rest among themselves.

A message that failed belongs to the consumer `~resting`, and its id lies in the sorted set `{stream}:resting:<group>`
with its due time: no worker has to live for it, and any worker takes it when it is due. What dead workers left is found
by idle time. Messages that are delayed by their sender are moved by the workers of the stream (publishing.py).

Where messages are ordered by a field, reading and acknowledging are scripts (lanes.py).
"""

from collections.abc import Container, Iterable, Sequence
from typing import Any, cast

import attrs
import structlog
import trio

from consumers import groups
from consumers.backends import Failure
from consumers.backends.lanes import HELD, Lanes
from consumers.backends.publishing import move_due
from consumers.backends.scripts import Script, request, tagged
from consumers.backends.shared import REMEMBER, Membership, encoded, lease_of, rows
from consumers.durations import milliseconds
from consumers.leases import Lease, State
from consumers.pending import Pending, text

log = structlog.get_logger("consumers")

RESTING = "~resting"
_CLEAN_EVERY = 60.0
_PAGE = 100
_AT_ONCE = 1000
_PAUSE_CHECK = 1.0
_LOOK_EVERY = 1.0  # for what others, or senders, have made due meanwhile

# KEYS: stream, resting, attempts. ARGV: group, id, consumer, milliseconds, failure
_REST = Script(
    REMEMBER
    + f"""
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
if not found[1] or found[1][2] ~= ARGV[3] then return 0 end
remember(KEYS[3], ARGV[2], ARGV[5])
redis.call('XCLAIM', KEYS[1], ARGV[1], '{RESTING}', 0, ARGV[2], 'JUSTID')
redis.call('ZADD', KEYS[2], now() + ARGV[4], ARGV[2])
return 1
"""
)

# KEYS: stream, resting. ARGV: group, consumer, how many. Replies {{entries ...}, {counts ...}, milliseconds or -1}
_TAKE_DUE = Script(
    REMEMBER
    + """
local time = now()
local entries, counts = {}, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', time, 'LIMIT', 0, ARGV[3])) do
  local got = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id)
  if got[1] and got[1][2] then
    entries[#entries + 1] = got[1]
    counts[#counts + 1] = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1][4]
  end
  redis.call('ZREM', KEYS[2], id)
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return {entries, counts, first[2] and math.max(0, first[2] - time) or -1}
"""
)

# KEYS: stream. ARGV: group, consumer, ids. Replies 1 for each that is the consumer's still, and fresh again
_RENEW = Script("""
local kept = {}
for at = 3, #ARGV do
  local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[at], ARGV[at], 1)[1]
  kept[#kept + 1] = 0
  if found and found[2] == ARGV[2] then
    kept[#kept] = #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'JUSTID')
  end
end
return kept
""")

# KEYS: stream, resting. ARGV: group, consumer, then id and deliveries of each
_RELEASE = Script(
    REMEMBER
    + f"""
for at = 3, #ARGV, 2 do
  local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[at], ARGV[at], 1)[1]
  if found and found[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], '{RESTING}', 0, ARGV[at], 'RETRYCOUNT', ARGV[at + 1], 'JUSTID')
    redis.call('ZADD', KEYS[2], now(), ARGV[at])
  end
end
return 1
"""
)


@attrs.define(eq=False)
class PlainBackend:
    """Implements consumers.backends.Backend."""

    me: Membership
    pushes: bool = False
    _next_scan: float = 0.0
    _next_cleaning: float = 0.0
    _next_pause_check: float = 0.0
    _paused: bool = False
    _lanes: Lanes | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        field = self.me.options.order_field
        self._lanes = None if field is None else Lanes(self.me, field, self._resting_key)

    @property
    def orders(self) -> bool:
        return self._lanes is not None

    @property
    def _resting_key(self) -> str:
        return f"{tagged(self.me.stream)}:resting:{self.me.group}"

    @property
    def _paused_key(self) -> str:
        return f"{tagged(self.me.stream)}:paused:{self.me.group}"

    async def ensure(self) -> bool:
        return await self.me.create_group()

    async def read(self, count: int, block: float) -> list[Lease]:
        me = self.me
        if await self._is_paused():
            await trio.sleep(min(block, _PAUSE_CHECK))
            return []
        if self._lanes is not None:
            return await self._lanes.read(count, block)
        reply = await me.request(
            "XREADGROUP", "GROUP", me.group, me.consumer, "COUNT", count, "BLOCK", milliseconds(block),
            "STREAMS", me.stream, ">",
        )  # fmt: skip
        return [lease_of(row, 1) for row in rows(reply)]

    async def _is_paused(self) -> bool:
        if trio.current_time() >= self._next_pause_check:
            self._paused = bool(await request(self.me.client, "EXISTS", self._paused_key))
            self._next_pause_check = trio.current_time() + _PAUSE_CHECK
        return self._paused

    async def pause(self, paused: bool) -> None:
        if paused:
            await request(self.me.client, "SET", self._paused_key, "1")
        else:
            await request(self.me.client, "DEL", self._paused_key)

    # -- what comes again

    async def returned(self, count: int, held: Container[str]) -> tuple[list[Lease], float]:
        if await self._is_paused():
            return [], _PAUSE_CHECK
        _, next_delayed = await move_due(self.me.client, self.me.stream)
        found, next_due = await self._take_due(count)
        scan_every = self.me.options.scan_every
        if len(found) < count and trio.current_time() >= self._next_scan:
            complete = await self._scan(found, count, held)
            self._next_scan = trio.current_time() + scan_every if complete else 0.0
        to_scan = max(0.0, self._next_scan - trio.current_time())
        return found, min(_LOOK_EVERY, to_scan, next_due, next_delayed)

    async def _take_due(self, count: int) -> tuple[list[Lease], float]:
        me = self.me
        entries, counts, wait = await _TAKE_DUE.run(
            me.client, [me.stream, self._resting_key], [me.group, me.consumer, count]
        )
        leases = [lease_of(row, number, returned=True) for row, number in zip(entries, counts, strict=True)]
        return leases, float("inf") if wait < 0 else wait / 1000

    async def _scan(self, found: list[Lease], count: int, held: Container[str]) -> bool:
        """Take what is idle for long enough, whoever has it. False where there was more than `count`."""
        for info in await self.me.client.xinfo_consumers(self.me.stream, self.me.group):
            facts = {text(key): value for key, value in info.items()}
            name = text(facts["name"])
            if name == RESTING:
                await self._reconcile(RESTING, int(facts["pending"] or 0))
            elif name == HELD:
                if facts["pending"] and self._lanes is not None and await self._lanes.are_lost():
                    await self._reconcile(HELD, int(facts["pending"]))
            elif facts["pending"] and not await self._take_from(name, found, count, held):
                return False
        if self._lanes is not None:
            await self._lanes.sweep()
        await self._clean()
        return True

    async def _take_from(self, name: str, found: list[Lease], count: int, held: Container[str]) -> bool:
        after: str | None = None
        options = self.me.options
        while page := await self.me.pending.page(after=after, count=_PAGE, idle=options.claim_idle, consumer=name):
            after = page[-1].id
            for one in page:
                if one.id in held or one.idle < options.takeover_after(one.id, one.deliveries):
                    continue
                if len(found) >= count:
                    return False
                lease = await self._take_over(one)
                if lease is not None:
                    found.append(lease)
        return True

    async def _take_over(self, one: Pending) -> Lease | None:
        """The bound makes it a race that one worker wins: for the others the entry isn't idle any more."""
        options = self.me.options
        entry = await self.me.pending.take(one.id, self.me.consumer, options.takeover_after(one.id, one.deliveries))
        if entry is None:
            return None
        lease = Lease(entry.id, one.deliveries + 1, fields=entry.fields, returned=True)
        if one.deliveries >= options.max_deliveries:
            lease.abandoned = True
            lease.deliveries = one.deliveries  # this take is no attempt
        facts = {"stream": self.me.stream, "group": self.me.group, "id": one.id, "idle": one.idle}
        log.info("message.claimed", **facts, owner=one.consumer, deliveries=lease.deliveries)
        if one.deliveries:
            await self.me.note(lease, Failure(groups.now_ms(), one.consumer, "the worker went away"))
        return lease

    async def _reconcile(self, name: str, pending: int) -> None:
        """The sorted set was lost, in part or whole (evicted, deleted): what rests without a due time is due now."""
        if name == RESTING and pending <= await self.me.client.zcard(self._resting_key):
            return
        after: str | None = None
        while page := await self.me.pending.page(after=after, count=_PAGE, consumer=name):
            after = page[-1].id
            async with self.me.client.pipeline(transaction=False) as pipe:
                for one in page:
                    request(cast(Any, pipe), "XCLAIM", self.me.stream, self.me.group, RESTING, 0, one.id, "JUSTID")
                    request(cast(Any, pipe), "ZADD", self._resting_key, "NX", 0, one.id)

    async def _clean(self) -> None:
        if trio.current_time() < self._next_cleaning:
            return
        self._next_cleaning = trio.current_time() + _CLEAN_EVERY
        for name in await groups.remove_expired(self.me.client, self.me.stream, self.me.options, self.me.consumer):
            log.info("consumer.removed", stream=self.me.stream, group=self.me.group, consumer=name)

    # -- what became of it

    async def settle(self, leases: Sequence[Lease], *, more: bool) -> list[Lease]:
        ids = [lease.id for lease in leases]
        following: list[Lease] = []
        if self._lanes is not None:
            following = await self._lanes.settle(leases, more=more)
        elif self.me.options.keep:
            await self.me.request("XACK", self.me.stream, self.me.group, *ids)
        else:
            async with self.me.client.pipeline(transaction=False) as pipe:
                request(cast(Any, pipe), "XACK", self.me.stream, self.me.group, *ids)
                request(cast(Any, pipe), "XDEL", self.me.stream, *ids)
        await self.me.forget(leases)
        return following

    async def retry(self, lease: Lease, after: float, failure: Failure) -> None:
        me = self.me
        keys = [me.stream, self._resting_key, me.attempts_key]
        arguments: list[bytes | str | int] = [me.group, lease.id, me.consumer, milliseconds(after), encoded(failure)]
        await _REST.run(me.client, keys, arguments)

    async def again(self, lease: Lease, failure: Failure) -> bool:
        return await self.me.again(lease, failure)

    async def history(self, lease: Lease) -> list[Failure]:
        return await self.me.history(lease)

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        lost = []
        for at in range(0, len(leases), _AT_ONCE):
            part = leases[at : at + _AT_ONCE]
            arguments = [self.me.group, self.me.consumer, *[lease.id for lease in part]]
            kept: Any = await _RENEW.run(self.me.client, [self.me.stream], arguments)
            lost += [lease for lease, number in zip(part, kept, strict=True) if not number]
        return lost

    async def holder(self, lease: Lease) -> str | None:
        return await self.me.holder(lease)

    async def release(self, leases: Iterable[Lease]) -> int:
        """To rest until now: any worker takes it at its next look.

        The list is asked of the server: a read that was cancelled may have been answered with entries that never
        arrived.
        """
        me = self.me
        begun = {lease.id for lease in leases if lease.state is not State.QUEUED}
        released = 0
        after: str | None = None
        while page := await me.pending.page(after=after, count=_AT_ONCE, consumer=me.consumer):
            after = page[-1].id
            arguments: list[bytes | str | int] = [me.group, me.consumer]
            for one in page:
                arguments += [one.id, one.deliveries if one.id in begun else max(0, one.deliveries - 1)]
            await _RELEASE.run(me.client, [me.stream, self._resting_key], arguments)
            released += len(page)
        await groups.leave(me.client, me.stream, me.group, me.consumer)
        return released
