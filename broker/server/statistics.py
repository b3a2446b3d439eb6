"""Numbers about the running server that nobody else keeps: rates, peaks, connections. For INFO and the metrics."""

import os
import resource
from collections import deque
from pathlib import Path
from typing import Final

import attrs

SAMPLES: Final = 16  # seconds that instantaneous rates are averaged over. Redis: STATS_METRIC_SAMPLES
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Memory of this process that is in RAM. 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def total_memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE


class Rate:
    """A counter's growth a second, averaged over the last samples."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._last = 0
        self._at = 0.0

    def sample(self, total: int, now: float) -> None:
        """now: monotonic seconds."""
        if self._at and now > self._at and total >= self._last:
            self._samples.append((total - self._last) / (now - self._at))
        self._last, self._at = total, now

    @property
    def value(self) -> float:
        return sum(self._samples) / len(self._samples) if self._samples else 0.0


@attrs.define
class Statistics:
    """Counters since start or CONFIG RESETSTAT."""

    connections_received: int = 0
    rejected_connections: int = 0
    peak_memory: int = 0
    peak_ms: int = 0  # Unix time at which it was reached
    requests: Rate = attrs.Factory(Rate)
    input: Rate = attrs.Factory(Rate)
    output: Rate = attrs.Factory(Rate)
    turns: Rate = attrs.Factory(Rate)
    busy_us: Rate = attrs.Factory(Rate)  # microseconds spent in turns

    def turn_us(self) -> float:
        """How long a turn took lately, in microseconds."""
        return self.busy_us.value / self.turns.value if self.turns.value else 0.0

    def sample_turns(self, turns: int, busy_seconds: float, now: float) -> None:
        self.turns.sample(turns, now)
        self.busy_us.sample(int(busy_seconds * 1e6), now)

    def note_memory(self, used: int, now_ms: int) -> None:
        if used > self.peak_memory:
            self.peak_memory, self.peak_ms = used, now_ms

    def sample(self, requests: int, bytes_in: int, bytes_out: int, now: float) -> None:
        self.requests.sample(requests, now)
        self.input.sample(bytes_in, now)
        self.output.sample(bytes_out, now)


def cpu_seconds() -> dict[str, float]:
    """INFO's CPU fields."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    main = resource.getrusage(resource.RUSAGE_THREAD)  # INFO is made in no other thread
    return {
        "used_cpu_sys": own.ru_stime,
        "used_cpu_user": own.ru_utime,
        "used_cpu_sys_children": children.ru_stime,
        "used_cpu_user_children": children.ru_utime,
        "used_cpu_sys_main_thread": main.ru_stime,
        "used_cpu_user_main_thread": main.ru_utime,
    }
