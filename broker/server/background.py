"""What runs beside the turns: the timer for planned work, and the housekeeping once a second."""

import gc
import math
from collections.abc import Callable
from typing import Final

import trio

from broker.server.connection import Connection
from broker.server.hub import Hub
from broker.server.statistics import SAMPLES

_BUSY: Final = 20_000  # requests in a second: what they left behind is too much to look through in one go


class Timer:
    """Calls `due` at the time that set() names, however quiet the sockets are. Setting it again is cheap."""

    def __init__(self, due: Callable[[], None]) -> None:
        self._due = due
        self._scope = trio.CancelScope()
        self._deadline = math.inf

    def set(self, seconds: float | None) -> None:
        """Seconds from now; None: nothing is planned."""
        deadline = math.inf if seconds is None else trio.current_time() + seconds
        if deadline != self._deadline:
            self._deadline = deadline
            self._scope.deadline = deadline

    async def run(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._deadline) as self._scope:
                await trio.sleep_forever()
            self._deadline = math.inf
            self._due()


class Housekeeping:
    """Once a second: idle clients, soft output limits, rates, memory peak, garbage.

    embedded: garbage is the program's business, and a server that has long had nothing to do wakes nobody up. (What is
    tested on a clock that jumps from one deadline to the next should not have one in each second.)
    """

    def __init__(
        self,
        hub: Hub,
        idle_seconds: Callable[[], int],
        sample: Callable[[], None],
        is_paused: Callable[[], bool] = lambda: False,
        embedded: bool = False,
    ) -> None:
        self._hub = hub
        self._idle_seconds = idle_seconds
        self._sample = sample
        self._is_paused = is_paused
        self._embedded = embedded
        self._executed = 0
        self._turns = 0
        self._quiet_seconds = 0
        self._stirred = trio.Event()

    def stir(self) -> None:
        """There was a turn."""
        self._stirred.set()

    async def run(self) -> None:
        while True:
            await trio.sleep(1)
            if self._is_paused():
                continue
            self._sample()
            self._check_clients()
            self._hub.engine.upkeep.pack_cold()
            executed = int(self._hub.engine.executed)
            if not self._embedded:
                collect_garbage(busy=executed - self._executed > _BUSY)
            elif self._may_rest():
                self._stirred = trio.Event()
                await self._stirred.wait()
                self._quiet_seconds = 0
            self._executed = executed

    def _may_rest(self) -> bool:
        """Nobody has asked for anything for a while, and nobody is to be cut off for that."""
        turns, self._turns = self._turns, int(self._hub.turns)
        self._quiet_seconds = self._quiet_seconds + 1 if turns == self._turns else 0
        if self._quiet_seconds <= SAMPLES or self._idle_seconds():
            return False
        return not any(connection.has_unsent for connection in self._hub.connections.values())

    def _check_clients(self) -> None:
        limit = self._idle_seconds()
        now_ms = self._hub.engine.clock.now_ms()
        for connection in list(self._hub.connections.values()):
            connection.check_soft_limit()
            if connection.closing:
                self._hub.close(connection, connection.closing)
            elif limit and now_ms - connection.session.active_ms > limit * 1000 and _may_idle_out(connection):
                self._hub.close(connection, "idle")


def _may_idle_out(connection: Connection) -> bool:
    """Who waits or listens is not idle. Redis: clientsCronHandleTimeout."""
    return not connection.session.is_blocked and not connection.session.subscriptions


def take_over_garbage_collection() -> None:
    """Automatic collection is off from here on: a full one over a million keys would stop the world."""
    gc.disable()
    gc.collect()
    gc.freeze()


def collect_garbage(busy: bool) -> None:
    """Data is acyclic, and so freed by reference counts; cycles come from exceptions and tasks only.

    After a quiet second, collect what it left. After a busy one that would be hundreds of thousands of containers, all
    data: move them out of the collector's sight (takes no time), at the price of the few cycles among them. (The
    collector's own count does not tell which it was: it falls with every old container that is freed.)
    """
    if not busy:
        gc.collect(0)
    gc.freeze()
