"""What XCFGSET keeps with a stream: retention, and the window in which an added entry is recognised again.

Costs: find, record O(1) amortised (a record is dropped once, when its time is over or when its producer has too many);
due entries O(log n) each.
Invariant: the records of a producer, and the producers, stand in the order in which their entries arrived.
"""

from hashlib import blake2b
from heapq import heapify, heappop, heappush
from typing import Final

from mypy_extensions import i64

# RETAIN
LIMITS: Final = 0  # MAXLEN, MAXAGE and MAXBYTES alone say what goes
ACKED: Final = 1  # besides: what every group that is alive has acknowledged
WORKQUEUE: Final = 2  # besides: an entry with the last acknowledgement of it

DURATION: Final = 100  # seconds; Redis's stream-idmp-duration
MAX_SIZE: Final = 100  # Redis's stream-idmp-maxsize
GROUP_IDLE_MS: Final = 7 * 24 * 3600 * 1000

NOT_FOUND: Final = -1

# approximate_bytes(): of a producer, and of a record with its id.
_PER_PRODUCER: Final = 300
_PER_RECORD: Final = 250
_SETTINGS_BYTES: Final = 700


def content_id(fields: list[bytes]) -> bytes:
    """What IDMPAUTO takes for an entry's own name: equal for equal pairs, in whatever order."""
    pairs: list[bytes] = []
    for i in range(0, len(fields) - 1, 2):
        pairs.append(b"%d %d " % (len(fields[i]), len(fields[i + 1])) + fields[i] + fields[i + 1])
    pairs.sort()
    return blake2b(b"".join(pairs), digest_size=16).digest()


class Record:
    """An entry that a producer added. arrived_ms: Unix time."""

    def __init__(self, entry_id: int, arrived_ms: int) -> None:
        self.entry_id: Final = entry_id
        self.arrived_ms: Final = arrived_ms


class Window:
    """The entries that producers added of late, by the names that they gave them. Redis: IDMP.

    The time is that of arrival, not that of ids: those may run ahead of the clock. Records whose time is over are
    dropped at the next arrival, and by its time alone: whoever replays the same arrivals keeps the same records.
    """

    def __init__(self, duration: int, max_size: int) -> None:
        self.duration = duration  # seconds
        self.max_size = max_size  # records of each producer
        self.added: int = 0  # ever
        self.duplicates: int = 0  # since the start of the server: no log has them
        self.producers: dict[bytes, dict[bytes, Record]] = {}  # {producer: {name: record}}, oldest first

    def find(self, producer: bytes, name: bytes, now_ms: int) -> int:
        """The id of the entry that was added under that name, or NOT_FOUND."""
        records = self.producers.get(producer)
        record = None if records is None else records.get(name)
        if record is None or self._is_over(record, now_ms):
            return NOT_FOUND
        return record.entry_id

    def record(self, producer: bytes, name: bytes, entry_id: int, arrived_ms: int) -> None:
        self._drop_producers(arrived_ms)
        records = self.producers.pop(producer, None)
        if records is None:
            records = {}
        self.producers[producer] = records  # the last one now
        records.pop(name, None)
        self._drop_records(records, arrived_ms)
        while len(records) >= self.max_size:
            del records[next(iter(records))]
        records[name] = Record(entry_id, arrived_ms)
        self.added += 1

    def load(self, producer: bytes, name: bytes, entry_id: int, arrived_ms: int) -> None:
        """As record(), behind all that was loaded before, and nothing goes."""
        records = self.producers.get(producer)
        if records is None:
            records = {}
            self.producers[producer] = records
        records[name] = Record(entry_id, arrived_ms)

    def clear(self) -> None:
        self.producers.clear()

    def tracked(self, now_ms: int) -> tuple[int, int]:
        """(producers, records) that still count. O(producers + records whose time is over)."""
        producers = 0
        total = 0
        for records in self.producers.values():
            count = len(records)
            for record in records.values():
                if not self._is_over(record, now_ms):
                    break
                count -= 1
            total += count
            producers += 1 if count else 0
        return producers, total

    def _is_over(self, record: Record, now_ms: int) -> bool:
        return now_ms - record.arrived_ms >= self.duration * 1000

    def _drop_records(self, records: dict[bytes, Record], now_ms: int) -> None:
        while records:
            name = next(iter(records))
            if not self._is_over(records[name], now_ms):
                break
            del records[name]

    def _drop_producers(self, now_ms: int) -> None:
        """Forget those of whom nothing counts any more."""
        while self.producers:
            producer = next(iter(self.producers))
            records = self.producers[producer]
            newest = next(reversed(records.values()), None)
            if newest is not None and not self._is_over(newest, now_ms):
                break
            del self.producers[producer]

    def copy(self) -> "Window":
        other = Window(self.duration, self.max_size)
        other.added = self.added
        other.duplicates = self.duplicates
        other.producers = {producer: dict(records) for producer, records in self.producers.items()}
        return other

    def approximate_bytes(self) -> int:
        """O(producers)."""
        total: i64 = 0
        for producer, records in self.producers.items():
            total += len(producer) + _PER_PRODUCER + len(records) * _PER_RECORD
        return int(total)


class StreamSettings:
    """Owned by a Stream; None there means that nothing ever was set.

    max_length, max_bytes: 0 without a limit; max_age_ms: 0 for ever; ttl_field: the field that says how many ms an
    entry lives, or empty. group_idle_ms: a group of which nobody showed up for so long is not alive (0: every one is).
    """

    def __init__(self) -> None:
        self.window = Window(DURATION, MAX_SIZE)
        self.max_length: int = 0
        self.max_age_ms: int = 0
        self.max_bytes: int = 0
        self.retain: i64 = LIMITS
        self.ttl_field: bytes = b""
        self.group_idle_ms: int = GROUP_IDLE_MS
        self.idle_groups: dict[bytes, None] = {}  # as of the last look; no part of what is kept
        self.newly_idle: list[bytes] = []  # those of `idle_groups` that nobody was told of yet
        self.looked_ms: int = 0  # when `idle_groups` was counted
        self.noticed_ms: dict[bytes, int] = {}  # {group: when it was seen first}; no part of what is kept
        self._due: list[tuple[int, int]] = []  # heap of (Unix time in ms, id) of entries that have a time to live
        self._tidy_at = 64  # length of the heap at which entries that are gone are taken out of it
        self.adds_until_measured: int = 0  # MAXBYTES is looked at only now and then

    @property
    def has_limits(self) -> bool:
        return self.max_length > 0 or self.max_age_ms > 0 or self.max_bytes > 0

    # -- entries with a time to live

    def expire_at(self, entry_id: int, due_ms: int, first_id: int) -> None:
        """first_id: the least id of the stream."""
        heappush(self._due, (due_ms, entry_id))
        if len(self._due) >= self._tidy_at:
            self._due = [entry for entry in self._due if entry[1] >= first_id]
            heapify(self._due)
            self._tidy_at = 64 + 2 * len(self._due)

    def next_due_ms(self) -> int:
        """When an entry's time may be over, or NOT_FOUND."""
        return self._due[0][0] if self._due else NOT_FOUND

    def take_due(self, now_ms: int, limit: int) -> list[int]:
        """Ids whose time is over, some of them gone already. Up to `limit`."""
        ids: list[int] = []
        while self._due and self._due[0][0] <= now_ms and len(ids) < limit:
            ids.append(heappop(self._due)[1])
        return ids

    def due_entries(self) -> list[tuple[int, int]]:
        """(Unix time in ms, id), in no order; for comparing."""
        return self._due

    # -- the whole

    def parts(self) -> list[object]:
        """What it is made of, for who takes it apart (trash.py)."""
        return [self._due, self.window.producers]

    def copy(self) -> "StreamSettings":
        other = StreamSettings()
        other.window = self.window.copy()
        other.max_length = self.max_length
        other.max_age_ms = self.max_age_ms
        other.max_bytes = self.max_bytes
        other.retain = self.retain
        other.ttl_field = self.ttl_field
        other.group_idle_ms = self.group_idle_ms
        other._due = list(self._due)
        other._tidy_at = self._tidy_at
        return other

    def approximate_bytes(self) -> int:
        return _SETTINGS_BYTES + self.window.approximate_bytes() + len(self._due) * 120
