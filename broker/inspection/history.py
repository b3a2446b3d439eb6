"""Counters over time: how fast they grow now, and how fast they did. Bounded by age, length and number of names."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final

_SHORT_S: Final = 0.05  # seconds: a rate over less says nothing


class Series:
    """Growth per second of one counter at each sample, the last `length` of them."""

    def __init__(self, length: int) -> None:
        self.rates: deque[float] = deque(maxlen=length)
        self._total = 0
        self._at: float | None = None

    def sample(self, total: int, now_s: float) -> None:
        """now_s: of any clock that only grows. A counter that fell has begun anew."""
        if self._at is not None:
            passed = now_s - self._at
            if passed < _SHORT_S:
                return
            self.rates.append(max(total - self._total, 0) / passed)
        self._total, self._at = total, now_s

    @property
    def rate(self) -> float | None:
        """None: not known before the second sample."""
        return self.rates[-1] if self.rates else None


class History:
    """A Series for each name; of too many names those that were not sampled for longest are forgotten."""

    def __init__(self, length: int = 60, most: int = 20_000) -> None:
        self._length = length
        self._most = most
        self._series: OrderedDict[Hashable, Series] = OrderedDict()

    def sample(self, name: Hashable, total: int, now_s: float) -> float | None:
        """Note a counter; its rate."""
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = Series(self._length)
            if len(self._series) > self._most:
                self._series.popitem(last=False)
        self._series.move_to_end(name)
        series.sample(total, now_s)
        return series.rate

    def rate(self, name: Hashable) -> float | None:
        series = self._series.get(name)
        return None if series is None else series.rate

    def rates(self, name: Hashable) -> list[float]:
        """For a sparkline: oldest first."""
        series = self._series.get(name)
        return [] if series is None else list(series.rates)
