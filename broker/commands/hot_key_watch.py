"""What HOTKEYS START collects: which keys take most of the CPU time and of the traffic.

It costs nothing but one test a request while nobody asked for it. While it counts bytes, each reply that it samples is
encoded once more, for its size: inside EXEC nothing else knows it.
"""

from random import Random
from typing import Final

from mypy_extensions import i64

from broker.clock import Clock
from broker.commands.blocked import Blocked, RunQueue, Unfinished
from broker.commands.registry import Command
from broker.datatypes.heavy_hitters import HeavyHitters
from broker.protocol.encoder import encode, encode_request
from broker.protocol.replies import NOTHING, Reply

_HELD_FOR_EACH: Final = 20  # keys that are held for each one that is shown


class HotKeyWatch:
    """One session, from START to RESET. Times in ms but where they say otherwise."""

    def __init__(
        self, by_time: bool, by_bytes: bool, count: int, duration_ms: int, ratio: int, now_ms: int, rng: Random,
        clock: Clock,
    ) -> None:  # fmt: skip
        self.times: Final = HeavyHitters(count * _HELD_FOR_EACH) if by_time else None
        self.sizes: Final = HeavyHitters(count * _HELD_FOR_EACH) if by_bytes else None
        self.count: Final = count
        self.ratio: Final = ratio
        self.started_ms: Final = now_ms
        self.is_active = True
        self.all_us: i64 = 0  # of every request with keys, sampled or not
        self.all_bytes: i64 = 0
        self.own_seconds: float = 0.0  # what noting itself took
        self._limit_ms: Final = duration_ms  # 0: until it is stopped
        self._lasted_ms = 0  # once it is over
        self._rng: Final = rng
        self._clock: Final = clock
        self._spent_ms: Final = clock.cpu_ms()

    def look_at_the_clock(self, now_ms: int) -> None:
        """End it when its time is up."""
        if self.is_active and self._limit_ms and now_ms - self.started_ms >= self._limit_ms:
            self.is_active = False
            self._lasted_ms = self._limit_ms

    def stop(self, now_ms: int) -> None:
        self.is_active = False
        self._lasted_ms = now_ms - self.started_ms

    def lasted_ms(self, now_ms: int) -> int:
        return now_ms - self.started_ms if self.is_active else self._lasted_ms

    def cpu_ms(self) -> tuple[int, int]:
        """User and system time of the process since the start."""
        user, system = self._clock.cpu_ms()
        return user - self._spent_ms[0], system - self._spent_ms[1]

    def note(
        self, command: Command, argv: list[bytes], reply: Reply | Blocked | RunQueue | Unfinished, resp3: bool,
        seconds: float, now_ms: int,
    ) -> None:  # fmt: skip
        """A client's request was executed."""
        self.look_at_the_clock(now_ms)
        if not self.is_active:
            return
        began = self._clock.monotonic()
        positions = command.key_positions(argv)
        if not positions:
            return
        microseconds = int(seconds * 1e6)
        size = _wire_size(argv, reply, resp3)
        self.all_us += microseconds
        self.all_bytes += size
        if self.ratio == 1 or self._rng.random() * self.ratio < 1.0:
            each_us, each_bytes = microseconds // len(positions), size // len(positions)
            for at in positions:
                if self.times is not None:
                    self.times.add(argv[at], each_us)
                if self.sizes is not None:
                    self.sizes.add(argv[at], each_bytes)
        self.own_seconds += self._clock.monotonic() - began


def _wire_size(argv: list[bytes], reply: Reply | Blocked | RunQueue | Unfinished, resp3: bool) -> int:
    """Bytes of a request and of its reply. One that goes on over several turns has none yet."""
    out: list[bytes] = []
    encode_request(argv, out)
    if not isinstance(reply, (Blocked, RunQueue, Unfinished)) and reply is not NOTHING:
        encode(reply, out, resp3)
    size = 0
    for piece in out:
        size += len(piece)
    return size
