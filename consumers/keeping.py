"""Renews the leases of one group of one stream until it is cancelled."""

from collections.abc import Callable

import attrs
import structlog
import trio
from coredis.exceptions import RedisError, StreamConsumerGroupError

from consumers.backends import Backend
from consumers.connection import ride_out
from consumers.leases import Lease, Leases, State

log = structlog.get_logger("consumers")


@attrs.define(eq=False)
class Keeper:
    backend: Backend
    every: float
    leases: Leases
    facts: dict[str, object]
    finish: Callable[[Lease], None]

    async def run(self) -> None:
        while True:
            await trio.sleep(self.every)
            try:
                await ride_out(self.renew, "lease renewal")
            except StreamConsumerGroupError:
                continue  # without the group nothing is pending, and the reader makes it anew
            except RedisError as error:
                log.error("lease.renewal_refused", **self.facts, error=str(error))

    async def renew(self) -> None:
        """Renew what is older than half a period."""
        now = trio.current_time()
        stale = self.leases.stale(now, self.every / 2)
        if not stale:
            return
        lost = await self.backend.renew(stale)
        for lease in stale:
            if lease not in lost:
                lease.renewed = now
            elif self.leases.get(lease.id) is lease and lease.state is not State.DONE:
                await self._lost(lease)

    async def _lost(self, lease: Lease) -> None:
        """A running handler is stopped only where another worker has the message. One that is acknowledged may be so
        by this very handler.
        """
        taken = await self.backend.holder(lease) is not None
        if lease.state is State.RUNNING and not taken:
            return
        log.warning("message.lease_lost", **self.facts, id=lease.id, state=lease.state.value, taken=taken)
        lease.lost = True
        if lease.scope is not None:
            lease.scope.cancel()
        if lease.state is State.WAITING:
            self.finish(lease)
