"""How often something may happen, over all workers together: a token bucket on the server.

The bucket is one hash, filled by the server's clock; a script takes tokens from it. A worker takes for what it has at
hand in one go, so a fast consumer asks seldom.
"""

import re
from collections.abc import Callable

import attrs
import trio
from coredis import Redis

from consumers.backends.scripts import Script
from consumers.connection import ride_out
from consumers.durations import Duration, seconds
from consumers.errors import ConfigurationError

_WRITTEN = re.compile(r"\s*(\d+)\s*/\s*(.+)")

# KEYS: bucket. ARGV: tokens per millisecond, size of the bucket, how many are wanted.
# Replies {how many, milliseconds until there is one}
_TAKE = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local rate, size, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'tokens', 'time')
local tokens = size
if kept[1] then tokens = math.min(size, kept[1] + math.max(0, now - kept[2]) * rate) end
local got = math.min(wanted, math.floor(tokens))
tokens = tokens - got
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'time', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(size / rate) + 1000)
return {got, math.ceil((1 - tokens) / rate)}
""")


@attrs.frozen
class Rate:
    """`count` times `per` time; up to `burst` at once after a quiet time (without it: a tenth of `count`, at least
    1).
    """

    count: int
    per: float = attrs.field(default=1.0, converter=seconds)
    burst: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.count < 1 or self.per <= 0 or (self.burst is not None and self.burst < 1):
            raise ConfigurationError(f"a rate is at least 1 in some time, not {self}")

    @property
    def size(self) -> int:
        return self.burst or max(1, self.count // 10)


def rate(written: "Rate | str | None") -> Rate | None:
    """From "100/s", "10/30s", "1000/1h"."""
    if written is None or isinstance(written, Rate):
        return written
    found = _WRITTEN.fullmatch(written)
    if found is None:
        raise ConfigurationError(f"{written!r} is no rate: write '100/s', '10/30s', '1000/1h' or Rate(...)")
    per: Duration = found[2] if found[2][0].isdigit() else f"1{found[2]}"
    return Rate(int(found[1]), per)


@attrs.define(eq=False)
class Limiter:
    """`await take()` returns when one more may happen. waiting: how many more will be asked for right after."""

    client: Redis[bytes]
    key: str
    rate: Rate
    waiting: Callable[[], int]
    _tokens: int = 0
    _lock: trio.Lock = attrs.field(factory=trio.Lock)

    async def take(self) -> None:
        while not self._tokens:
            async with self._lock:
                if not self._tokens:
                    await self._fetch()
        self._tokens -= 1

    def give_back(self) -> None:
        """A token that wasn't needed, for the next to take."""
        self._tokens += 1

    async def _fetch(self) -> None:
        """A server that can't be reached grants nothing; nor does it give messages."""
        rate = self.rate
        wanted = min(rate.size, 1 + self.waiting())
        arguments: list[bytes | str | int] = [repr(rate.count / (rate.per * 1000)), rate.size, wanted]
        got, wait = await ride_out(lambda: _TAKE.run(self.client, [self.key], arguments), "rate limit")
        self._tokens += got
        if not got:
            await trio.sleep(max(wait, 1) / 1000)
