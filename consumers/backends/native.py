"""A Millstream server does the work itself: it leases messages, counts attempts, delays retries, keeps the order of
keys, and moves what no worker survives to the dead letters (XGROUP POLICY). A worker reads, and says what became of it.
"""

from collections.abc import Container, Iterable, Sequence
from typing import Any, Final, cast

import attrs

from consumers.backends import Failure
from consumers.backends.scripts import Script, request
from consumers.backends.shared import REMEMBER, Membership, encoded, lease_of, rows
from consumers.durations import milliseconds
from consumers.leases import Lease, State

_FOR_EVER: Final = 1 << 50  # milliseconds: CLAIM that takes nothing from anybody, and has the counts in the reply
_REASON_LIMIT = 1000
_BACKOFFS = 20  # the last one holds for all further attempts

# Takes what nobody else has got since its lease was over: the server, or we, stood still for too long.
# KEYS: stream. ARGV: group, consumer, ids
_KEEP = Script("""
local kept = {}
for at = 3, #ARGV do
  local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[at], ARGV[at], 1)[1]
  kept[#kept + 1] = 0
  if found and (found[2] == '' or found[2] == ARGV[2]) then
    kept[#kept] = #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[at], 'JUSTID')
  end
end
return kept
""")

# Arguments as above. A lease that ran out, and that nobody else has, is ours.
_ACK_OURS = Script("""
for at = 3, #ARGV do
  local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[at], ARGV[at], 1)[1]
  if found and (found[2] == '' or found[2] == ARGV[2]) then redis.call('XACK', KEYS[1], ARGV[1], ARGV[at]) end
end
return 1
""")

# The history, and back to the group, in one step. KEYS: stream, attempts. ARGV: group, id, failure, consumer,
# milliseconds, reason
_FAIL = Script(
    REMEMBER
    + """
local found = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)[1]
if not found or found[2] ~= ARGV[4] then return 0 end
remember(KEYS[2], ARGV[2], ARGV[3])
return redis.call('XNACK', KEYS[1], ARGV[1], 'FAIL', 'IDS', 1, ARGV[2], 'DELAY', ARGV[5], 'REASON', ARGV[6],
  'FENCE', ARGV[4])
"""
)


@attrs.frozen
class NativeBackend:
    """Implements consumers.backends.Backend."""

    me: Membership
    pushes: bool = True

    @property
    def orders(self) -> bool:
        return self.me.options.order_field is not None

    async def ensure(self) -> bool:
        made = await self.me.create_group()
        options = self.me.options
        backoffs = [milliseconds(options.backoff.delay(n)) for n in range(1, min(options.max_deliveries, _BACKOFFS))]
        await self.me.request(
            "XGROUP", "POLICY", self.me.stream, self.me.group,
            "ACKWAIT", milliseconds(options.claim_idle),
            "MAXDELIVER", options.max_deliveries,
            "BACKOFF", *(backoffs or [0]),
            "DEADLETTER", options.dead_stream,
            "CONSUMERTTL", milliseconds(options.consumer_expiry),
            "ORDERBY", options.order_field or "",
        )  # fmt: skip
        if not options.keep:
            await self.me.request("XCFGSET", self.me.stream, "RETAIN", "WORKQUEUE")
        return made

    async def read(self, count: int, block: float) -> list[Lease]:
        me = self.me
        reply = await me.request(
            "XREADGROUP", "GROUP", me.group, me.consumer, "COUNT", count, "BLOCK", milliseconds(block),
            "CLAIM", _FOR_EVER, "STREAMS", me.stream, ">",
        )  # fmt: skip
        return [self._lease(row) for row in rows(reply)]

    def _lease(self, row: list[Any]) -> Lease:
        before = int(row[3])
        lease = lease_of(row, before + 1, returned=before > 0)
        if before >= self.me.options.max_deliveries:
            lease.abandoned = True
            lease.deliveries = before
        return lease

    async def returned(self, count: int, held: Container[str]) -> tuple[list[Lease], float]:
        return [], float("inf")

    async def settle(self, leases: Sequence[Lease], *, more: bool) -> list[Lease]:
        """Not fenced: it was handled, whoever may have it by now. But where it would let the next of its key go, it
        must not be another's.
        """
        ids = [lease.id for lease in leases]
        if self.orders:
            await _ACK_OURS.run(self.me.client, [self.me.stream], [self.me.group, self.me.consumer, *ids])
        else:
            await self.me.request("XACK", self.me.stream, self.me.group, *ids)
        await self.me.forget(leases)
        return []

    async def retry(self, lease: Lease, after: float, failure: Failure) -> None:
        reason = failure.reason[:_REASON_LIMIT] or "failed"
        delay = max(1, milliseconds(after))  # 0 would mean: as the policy says
        arguments: list[bytes | str | int] = [
            self.me.group, lease.id, encoded(failure), self.me.consumer, delay, reason
        ]  # fmt: skip
        await _FAIL.run(self.me.client, [self.me.stream, self.me.attempts_key], arguments)

    async def again(self, lease: Lease, failure: Failure) -> bool:
        return await self.me.again(lease, failure)

    async def history(self, lease: Lease) -> list[Failure]:
        return await self.me.history(lease)

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        ids = [lease.id for lease in leases]
        renewed = await self.me.request(
            "XRENEW", self.me.stream, self.me.group, self.me.consumer, "IDS", len(ids), *ids
        )
        over = [lease for lease, kept in zip(leases, cast(list[Any], renewed), strict=True) if not kept]
        if not over:
            return []
        arguments = [self.me.group, self.me.consumer, *[lease.id for lease in over]]
        kept = await _KEEP.run(self.me.client, [self.me.stream], arguments)
        return [lease for lease, number in zip(over, cast(list[Any], kept), strict=True) if not number]

    async def holder(self, lease: Lease) -> str | None:
        return await self.me.holder(lease)

    async def release(self, leases: Iterable[Lease]) -> int:
        """Those that were not begun don't count as delivered. An entry that never arrived here is released, too."""
        held = list(leases)
        if held:
            async with self.me.client.pipeline(transaction=False, raise_on_error=False) as pipe:
                for lease in held:
                    counted = lease.deliveries - (1 if lease.state is State.QUEUED else 0)
                    request(
                        cast(Any, pipe), "XNACK", self.me.stream, self.me.group, "SILENT", "IDS", 1, lease.id,
                        "RETRYCOUNT", counted, "FENCE", self.me.consumer,
                    )  # fmt: skip
        left = await self.me.request(
            "XGROUP", "DELCONSUMER", self.me.stream, self.me.group, self.me.consumer, "RELEASE"
        )
        return len(held) + int(left)

    async def pause(self, paused: bool) -> None:
        await self.me.request("XGROUP", "POLICY", self.me.stream, self.me.group, "PAUSE" if paused else "RESUME")
