"""When a key was used last, or how often: approximately, and at the cost of one store.

A clock for each key would cost a hundred bytes of Python, and a look-up at each access. Here a database has a list of
slots, about two for each key, and the hash of a key chooses its slot. Keys that share one are taken for as warm as the
warmest of them: eviction, which looks at samples anyway, loses little, and OBJECT IDLETIME may be too low, never too
high. A slot holds a reference to the one object that is the present time, so that a store allocates nothing.

With an LFU policy a slot holds a counter of 0 to 255 that grows as the logarithm of the accesses and decays with time,
and the minute in which it was looked at last, as in Redis (LFULogIncr in evict.c).

Costs: note() O(1); memory 8 bytes a slot, 2**22 slots at most (32 MiB); grow() copies the list.
"""

from random import Random
from typing import Final, cast

from mypy_extensions import i64

TICK_BITS: Final = 7  # the clock ticks every 128 ms
_FEWEST: Final = 1 << 14  # slots, once there are any: two of a few keys hardly ever meet
_MOST: Final = 1 << 22
_FIRST: Final = 5  # counter of a new key. Redis: LFU_INIT_VAL
_MINUTES: Final = 0xFFFF


# What a file says of the use of keys
NO_HINT: Final = 0
IDLE_SECONDS: Final = 1
FREQUENCY: Final = 2
UNKNOWN: Final = -1


class Usage:
    """The slots of one database. counting: LFU."""

    def __init__(self, now: object) -> None:
        self.slots: list[object] = [now]
        self.mask: i64 = 0

    def grow(self, keys: i64) -> None:
        """To be called now and then: more slots for more keys. Each key finds in its new slot what the old one had."""
        size: i64 = self.mask + 1
        wanted = size
        while wanted < 2 * keys and wanted < _MOST:
            wanted *= 2
        if keys > 0 and wanted < _FEWEST:
            wanted = _FEWEST
        if wanted > size:
            self.slots = self.slots * int(wanted // size)
            self.mask = wanted - 1

    def reset(self, value: object) -> None:
        """Forget all, as after a change of policy or a flush."""
        self.slots = [value]
        self.mask = 0

    # -- LRU

    def note(self, key: bytes, now: object) -> None:
        self.slots[hash(key) & self.mask] = now

    def last(self, key: bytes) -> int:
        """The tick in which the key, or one that shares its slot, was used last."""
        return cast(int, self.slots[hash(key) & self.mask])

    # -- LFU: minutes << 8 | counter

    def first(self, key: bytes, minute: int) -> None:
        self.slots[hash(key) & self.mask] = (minute & _MINUTES) << 8 | _FIRST

    def count(self, key: bytes, minute: int, decay: int, factor: int, rng: Random) -> None:
        """One more access."""
        counter = self.frequency(key, minute, decay)
        if counter < 255:
            over = max(0, counter - _FIRST)
            if rng.random() < 1.0 / (over * factor + 1):
                counter += 1
        self.slots[hash(key) & self.mask] = (minute & _MINUTES) << 8 | counter

    def frequency(self, key: bytes, minute: int, decay: int) -> int:
        """The counter, less one for every `decay` minutes in which the key was not used."""
        value = cast(int, self.slots[hash(key) & self.mask])
        counter = value & 255
        if decay:
            counter -= ((minute - (value >> 8)) & _MINUTES) // decay
        return max(0, counter)

    def set_frequency(self, key: bytes, counter: int, minute: int) -> None:
        self.slots[hash(key) & self.mask] = (minute & _MINUTES) << 8 | counter


class Hints:
    """What a file says of the use of keys, as of one moment: `tick` and `minute` are its time."""

    def __init__(self, kind: i64, tick: int, minute: int, decay: int) -> None:
        self.kind: Final[i64] = kind
        self._tick: Final = tick
        self._minute: Final = minute
        self._decay: Final = decay

    def of(self, usage: Usage, key: bytes) -> int:
        """Seconds since the last use, or the frequency, or UNKNOWN."""
        if self.kind == NO_HINT:
            return UNKNOWN
        if self.kind == FREQUENCY:
            return usage.frequency(key, self._minute, self._decay)
        return (max(0, self._tick - usage.last(key)) << TICK_BITS) // 1000
