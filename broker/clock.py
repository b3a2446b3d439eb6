"""Where time comes from. Tests inject their own two callables, so that TTLs, idle times and time-outs jump."""

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
