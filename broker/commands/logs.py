"""Noted requests and latencies: what SLOWLOG, COMMANDLOG and LATENCY show. The engine notes, commands read."""

from collections import deque
from typing import Final

from mypy_extensions import i64

from broker.commands.session import Session
from broker.protocol.replies import Reply

MAX_ARGUMENTS: Final = 32  # Redis: SLOWLOG_ENTRY_MAX_ARGC
_MAX_LENGTH: Final = 128  # Redis: SLOWLOG_ENTRY_MAX_STRING
_SAMPLES: Final = 160  # of an event. Redis: LATENCY_TS_LEN


class CommandLog:
    """Requests that exceeded a threshold, newest first. limit: entries kept."""

    def __init__(self) -> None:
        self.entries: list[list[Reply]] = []
        self.limit: i64 = 0
        self.threshold: i64 = -1  # microseconds or bytes; negative: nothing is noted
        self._next_id: i64 = 0
        self.noted: i64 = 0  # since start or CONFIG RESETSTAT, as are the next two
        self.most: i64 = 0
        self.sum: i64 = 0

    @property
    def is_open(self) -> bool:
        return self.threshold >= 0 and self.limit > 0

    def note(self, session: Session, argv: list[bytes], amount: int, now_ms: int) -> None:
        """Add an entry as SLOWLOG GET shows it: id, Unix time, amount, arguments, address, name."""
        entry: list[Reply] = [
            int(self._next_id),
            now_ms // 1000,
            amount,
            _shortened(argv),
            session.address,
            session.name,
        ]
        self._next_id += 1
        self.entries.insert(0, entry)
        del self.entries[self.limit :]
        self.noted += 1
        self.sum += amount
        if amount > self.most:
            self.most = amount

    def forget_statistics(self) -> None:
        self.noted = self.most = self.sum = 0


def _shortened(argv: list[bytes]) -> list[Reply]:
    shown: list[Reply] = []
    for argument in argv[:MAX_ARGUMENTS]:
        if len(argument) > _MAX_LENGTH:
            more = len(argument) - _MAX_LENGTH
            argument = argument[:_MAX_LENGTH] + b"... (%d more bytes)" % more
        shown.append(argument)
    if len(argv) > MAX_ARGUMENTS:
        shown[-1] = b"... (%d more arguments)" % (len(argv) - MAX_ARGUMENTS + 1)
    return shown


class LatencyEvent:
    """What took long, one sample a second: the worst of it."""

    def __init__(self) -> None:
        self.samples: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)  # (Unix time, ms), oldest first
        self.worst = 0

    def add(self, now: int, milliseconds: int) -> None:
        self.worst = max(self.worst, milliseconds)
        if self.samples and self.samples[-1][0] == now:
            milliseconds = max(milliseconds, self.samples.pop()[1])
        self.samples.append((now, milliseconds))


class Latency:
    """{event: samples} of what took at least `threshold` milliseconds; 0: nothing is noted."""

    def __init__(self) -> None:
        self.threshold: i64 = 0
        self.events: dict[bytes, LatencyEvent] = {}

    def note(self, event: bytes, now_ms: int, milliseconds: int) -> None:
        if not self.threshold or milliseconds < self.threshold:
            return
        found = self.events.get(event)
        if found is None:
            found = self.events[event] = LatencyEvent()
        found.add(now_ms // 1000, milliseconds)


# -- how long each command took. A histogram is a list of counters: 16 for each doubling of nanoseconds, so that a
# percentile is right within 6%.

_COUNTERS: Final = 640  # up to 2**43 ns, a few hours
_FIRST_STEP: Final = 1024  # ns: LATENCY HISTOGRAM's first step, which doubles from there


def new_histogram() -> list[int]:
    return [0] * _COUNTERS


def add_time(counters: list[int], seconds: float) -> None:
    nanoseconds: i64 = i64(seconds * 1e9)
    if nanoseconds < 0:
        nanoseconds = 0
    shift: i64 = 0
    while nanoseconds >= 32:
        nanoseconds >>= 1
        shift += 16
    if shift + nanoseconds < _COUNTERS:
        counters[shift + nanoseconds] += 1


def _upper(index: int) -> int:
    """The largest time in ns that a counter counts."""
    if index < 32:
        return index
    shift, part = (index - 16) // 16, (index - 16) % 16 + 16
    return ((part + 1) << shift) - 1


def cumulative(counters: list[int]) -> list[tuple[int, int]]:
    """(microseconds, requests that took at most so long), where the number rises. Redis: fillCommandCDF."""
    found: list[tuple[int, int]] = []
    total = before = index = 0
    step = _FIRST_STEP
    calls = sum(counters)
    while total < calls:
        while index < _COUNTERS and _upper(index) <= step + (step >> 7):
            total += counters[index]
            index += 1
        if total > before:
            found.append(((step + (step >> 7) - 1) // 1000, total))
            before = total
        step *= 2
    return found


def percentile(counters: list[int], wanted: float) -> float:
    """Microseconds within which so many per cent of the requests were done."""
    calls = sum(counters)
    rank = max(1, int(calls * wanted / 100 + 0.5))
    total = 0
    for index, count in enumerate(counters):
        total += count
        if total >= rank:
            return _upper(index) / 1000
    return 0.0
