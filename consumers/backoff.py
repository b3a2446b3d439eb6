"""How long to wait before the next attempt. Pure: the same message and attempt give the same delay in every process.

That matters: a worker that finds a pending entry of another, dead worker must come to the same due time from what the
server keeps (delivery count and idle time) alone. So the jitter is a hash of the message's id, never a random number.
"""

import zlib

import attrs

from consumers.errors import ConfigurationError

_MAX_EXPONENT = 64  # beyond it every sensible cap is reached, and floats would overflow


@attrs.frozen
class Backoff:
    """Exponential delays in seconds: `base`, `base * factor`, ... up to `cap`; each shortened by up to `jitter` (0 to
    1) of itself.
    """

    base: float = 0.1
    cap: float = 30.0
    factor: float = 2.0
    jitter: float = 0.2

    def __attrs_post_init__(self) -> None:
        if self.base < 0 or self.cap < self.base or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"back-off needs 0 <= base <= cap, factor >= 1 and 0 <= jitter <= 1, not {self}")

    def delay(self, attempts: int, seed: str = "") -> float:
        """Seconds to wait after `attempts` failed attempts; 0 where there was none."""
        if attempts <= 0:
            return 0.0
        full = min(self.cap, self.base * self.factor ** min(attempts - 1, _MAX_EXPONENT))
        spread = zlib.crc32(f"{seed}/{attempts}".encode()) / 0xFFFFFFFF
        return full * (1.0 - self.jitter * spread)
