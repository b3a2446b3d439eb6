"""Loading at start, in slices between turns: clients are answered -LOADING meanwhile, and INFO tells how far it is."""

import gc
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Final

import structlog
import trio

from broker.engine.admission import IS_LOADING
from broker.engine.engine import Engine
from broker.engine.replay import Replay
from broker.persistence.recovery import Apply, Progress

log = structlog.get_logger()
_SLICE: Final = 0.008  # seconds
_TOLD_EACH: Final = 5.0  # seconds, in the log


class Loading:
    """seconds_taken, keys and expired are those of the last load, for INFO; started_ms: Unix time, of the last, too."""

    def __init__(self, engine: Engine) -> None:
        self.progress = Progress()
        self.is_active = False
        self.started_ms = 0
        self.keys = 0
        self.expired = 0
        self._engine = engine
        self._begun = 0.0

    async def run(self, steps: Callable[[Progress], Iterator[None]], is_over: Callable[[], bool]) -> bool:
        """Take all steps of a load. False: it was given up, since `is_over`. Raises CorruptFile, OSError.

        key-load-delay, which is for tests, is slept after each step of some hundred keys.
        """
        self._begin()
        walk = steps(self.progress)
        told = perf_counter()
        delay = max(self._engine.config.integer("key-load-delay"), 0) / 1e6
        try:
            while self._slice(walk, 0.0 if delay else _SLICE):
                gc.freeze()  # all of it is data: nothing that a collection could free
                await trio.sleep(delay)
                if is_over():
                    return False
                if perf_counter() - told > _TOLD_EACH:
                    told = perf_counter()
                    log.warning("loading.goes_on", percent=round(self.percent, 2), bytes=self.progress.done)
        finally:
            self.is_active = False
        self._end()
        return True

    def at_once(self, steps: Callable[[Progress], Iterator[None]]) -> None:
        """The same while nobody gets on: DEBUG RELOAD. Raises CorruptFile, OSError."""
        self._begin()
        self._engine.gate &= ~IS_LOADING  # so that commands of the log are executed
        try:
            for _ in steps(self.progress):
                pass
        finally:
            self.is_active = False
            for db in self._engine.keyspace.databases:
                db.expires.settle()  # what was loaded is there, even if the rest could not be read
        self._end()

    def _begin(self) -> None:
        """Nothing goes by time from now on: what is loaded decides."""
        self.progress = Progress()
        self.is_active = True
        self.started_ms = self._engine.clock.now_ms()
        self._begun = perf_counter()
        self._engine.gate |= IS_LOADING
        self._engine.keyspace.expiry = False
        self._engine.tell_time()
        for db in self._engine.keyspace.databases:
            if not db.table.size:
                db.forget_uses()  # what is loaded counts as used now

    def _end(self) -> None:
        engine = self._engine
        engine.gate &= ~IS_LOADING
        engine.keyspace.expiry = True
        self.keys = self.progress.keys
        self.expired = self.progress.expired

    def _slice(self, walk: Iterator[None], seconds: float) -> bool:
        """False at the end. Commands of the log are not those of clients: they are executed all the same."""
        engine = self._engine
        until = perf_counter() + seconds
        engine.gate &= ~IS_LOADING
        try:
            for _ in walk:
                if perf_counter() >= until:
                    return True
        finally:
            engine.gate |= IS_LOADING
        return False

    def apply(self) -> Apply:
        """Executes commands of the log as no client."""
        return Replay(self._engine).apply

    # -- what it tells

    @property
    def percent(self) -> float:
        return 100 * self.progress.done / max(self.progress.total, 1)

    @property
    def seconds(self) -> float:
        """Since the load began."""
        return perf_counter() - self._begun

    def fields(self) -> dict[str, str | int | float]:
        """What INFO has besides while a load is under way."""
        progress = self.progress
        rate = progress.done / max(self.seconds, 0.001)
        return {
            "loading_start_time": self.started_ms // 1000,
            "loading_total_bytes": progress.total,
            "loading_rdb_used_mem": 0,
            "loading_loaded_bytes": progress.done,
            "loading_loaded_perc": f"{self.percent:.2f}",
            "loading_eta_seconds": int((progress.total - progress.done) / rate) if rate else 1,
        }
