"""Where time comes from. Tests inject their own two callables, so that TTLs, idle times and time-outs jump."""

import os
import time
from collections.abc import Callable


class Clock:
    """wall: Unix time in seconds (TTLs, stream ids); monotonic: seconds since some start (time-outs, durations)."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.wall = wall
        self.monotonic = monotonic

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return int(self.wall() * 1000)

    def monotonic_ms(self) -> int:
        return int(self.monotonic() * 1000)

    def cpu_ms(self) -> tuple[int, int]:
        """User and system time that this process has spent."""
        spent = os.times()
        return int(spent.user * 1000), int(spent.system * 1000)
