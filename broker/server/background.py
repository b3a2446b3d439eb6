"""What runs beside the turns: the timer for planned work, and the housekeeping once a second."""

import gc
import math
from collections.abc import Callable
from typing import Final

import trio

from broker.server.connection import Connection
from broker.server.hub import Hub

_FREEZE_AT: Final = 50_000  # new containers: collecting more of them than this would be felt


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
    """Once a second: idle clients, soft output limits, rates, memory peak, garbage."""

    def __init__(self, hub: Hub, idle_seconds: Callable[[], int], sample: Callable[[], None]) -> None:
        self._hub = hub
        self._idle_seconds = idle_seconds
        self._sample = sample

    async def run(self) -> None:
        while True:
            await trio.sleep(1)
            self._sample()
            self._check_clients()
            collect_garbage()

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


def collect_garbage() -> None:
    """Data is acyclic, and so freed by reference counts; cycles come from exceptions and tasks only.

    Few new containers: collect them. Many: they are data; move them out of the collector's sight (takes no time), at
    the price of the few cycles among them.
    """
    if gc.get_count()[0] < _FREEZE_AT:
        gc.collect(0)
    gc.freeze()
