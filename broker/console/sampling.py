"""What everybody who looks is told: figures of the server each second, and a table of its streams that is kept current.

Nothing is gathered while nobody looks. Streams are asked for in small pages with pauses between them, so that ten
thousand of them cost the server a small part of its time; their table is a few seconds old.
"""

import heapq
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import trio

from broker.console.link import ErrorReply, Link, LinkLost
from broker.console.shapes import Shape, group_shape, stream_shape
from broker.inspection import gathering
from broker.inspection.facts import Group, Server, Stream
from broker.inspection.history import History

log = structlog.get_logger()

SECONDS_KEPT: Final = 300
_PERIOD: Final = 1.0
_PAGE: Final = 100  # keys in one question
_PART_OF_TIME: Final = 0.2  # that may be spent on streams
_REST: Final = 2.0  # seconds between two looks at all streams
_MOST_STREAMS: Final = 100_000
_SHOWN: Final = 50  # rows of a table that is pushed
_SPARK: Final = 60


Step = Callable[[Link], Awaitable[None]]


class Sampling:
    """connect: makes a connection that is let in."""

    def __init__(self, connect: Callable[[], Link]) -> None:
        self._connect = connect
        self._link: Link | None = None
        self._viewers = 0
        self._wanted = trio.Event()
        self.changed = trio.Event()  # set, and replaced, at each sample
        self.samples: deque[Shape] = deque(maxlen=SECONDS_KEPT)
        self.server = Server({})
        self.streams: dict[bytes, Stream] = {}
        self.groups: list[Group] = []
        self.is_complete = False  # all streams were looked at, once
        self._added = History(_SPARK, _MOST_STREAMS)
        self._counters = History(2)
        self._histogram: dict[int, int] = {}
        self.tables = self._tables()  # of now and then: sorting all streams is not for each page and event

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Somebody looks."""
        self._viewers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._wanted = trio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._repeat, self._sample, _PERIOD)
            nursery.start_soon(self._repeat, self._look_at_streams, _REST)

    async def _repeat(self, step: Step, rest: float) -> None:
        while True:
            await self._wanted.wait()
            try:
                await step(await self._open())
            except (LinkLost, ErrorReply) as error:  # it loads, or ends, or somebody killed this client
                log.info("console.gathering_failed", error=str(error))
            await trio.sleep(rest)

    async def _open(self) -> Link:
        if self._link is None or not self._link.is_open:
            self._link = self._connect()
            await self._link.call_many([("CLIENT", "SETNAME", "console")])
        return self._link

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    # -- the server

    async def _sample(self, link: Link) -> None:
        self.server = await link.gather(gathering.server("everything"))
        (latency,) = await link.call_many([("LATENCY", "HISTOGRAM")])
        now_s = trio.current_time()
        rates = {
            name: self._counters.sample(name, self.server.number(field) or 0, now_s)
            for name, field in (
                ("commands", "total_commands_processed"),
                ("in", "total_net_input_bytes"),
                ("out", "total_net_output_bytes"),
            )
        }
        counts = merged(latency) if isinstance(latency, list) else {}
        lately = {bound: count - self._histogram.get(bound, 0) for bound, count in counts.items()}
        self._histogram = counts
        number = self.server.number
        self.samples.append(
            {
                "at": await link.gather(gathering.clock()),
                "rates": rates,
                "p50_us": percentile(lately, 0.5),
                "p99_us": percentile(lately, 0.99),
                "memory": number("used_memory"),
                "clients": number("connected_clients"),
                "blocked": number("blocked_clients"),
                "keys": sum(keys_of(self.server)),
            }
        )
        self.tables = self._tables()
        self.changed.set()
        self.changed = trio.Event()

    def _tables(self) -> Shape:
        return {
            "about": self.about(),
            "streams": self.busiest(),
            "groups": self.slowest_groups(),
            "dead": self.dead(),
        }

    def about(self) -> Shape:
        """What changes seldom."""
        number, info = self.server.number, self.server.info
        return {
            "name": self.server.name,
            "build": info.get("millstream_build", ""),
            "role": info.get("role", ""),
            "uptime_s": number("uptime_in_seconds"),
            "memory_max": number("maxmemory"),
            "memory_peak": number("used_memory_peak"),
            "streams": len(self.streams),
            "streams_complete": self.is_complete,
            "pending": sum(group.pending for group in self.groups),
            "dead": sum(one.length for one in self.streams.values() if one.is_dead_letters),
        }

    # -- streams

    async def _look_at_streams(self, link: Link) -> None:
        seen: set[bytes] = set()
        groups: list[Group] = []
        cursor: bytes | str = "0"
        while True:
            began = trio.current_time()
            reply = await link.gather(gathering.ask("SCAN", cursor, "COUNT", _PAGE, "TYPE", "stream"))
            cursor, page = reply
            found = await link.gather(gathering.streams_named([key for key in page if key not in seen]))
            groups += await link.gather(gathering.groups(found))
            self._note(found)
            seen.update(page)
            if cursor == b"0" or len(seen) >= _MOST_STREAMS:
                break
            await trio.sleep((trio.current_time() - began) * (1 / _PART_OF_TIME - 1))
        self.groups = groups
        self.streams = {key: one for key, one in self.streams.items() if key in seen}
        self.is_complete = True

    def _note(self, found: list[Stream]) -> None:
        now_s = trio.current_time()
        for one in found:
            self.streams[one.key] = one
            self._added.sample(one.key, one.added if one.added is not None else one.length, now_s)

    def shape_of(self, one: Stream) -> Shape:
        return stream_shape(one, self._added.rate(one.key), self._added.rates(one.key))

    def busiest(self) -> list[Shape]:
        def order(one: Stream) -> tuple[float, int]:
            return -(self._added.rate(one.key) or 0.0), -one.length

        return [self.shape_of(one) for one in heapq.nsmallest(_SHOWN, self.streams.values(), key=order)]

    def page(self, match: str, sort: str, first: int) -> tuple[int, list[Shape]]:
        """Streams whose name contains `match`: how many, and a part of them."""
        wanted = match.encode()
        found = [one for one in self.streams.values() if wanted in one.key]
        orders: dict[str, Any] = {
            "name": lambda one: one.key,
            "length": lambda one: -one.length,
            "memory": lambda one: -(one.memory or 0),
            "groups": lambda one: -one.groups,
            "rate": lambda one: -(self._added.rate(one.key) or 0.0),
        }
        found.sort(key=orders.get(sort, orders["name"]))
        return len(found), [self.shape_of(one) for one in found[first : first + _SHOWN]]

    def slowest_groups(self) -> list[Shape]:
        found = heapq.nsmallest(_SHOWN, self.groups, key=lambda one: (-(one.lag or 0), -one.pending))
        return [group_shape(one) for one in found]

    def dead(self) -> list[Shape]:
        found = [one for one in self.streams.values() if one.is_dead_letters and one.length]
        return [self.shape_of(one) for one in heapq.nsmallest(_SHOWN, found, key=lambda one: -one.length)]


def keys_of(server: Server) -> list[int]:
    """Of each database: INFO says `db0:keys=3,expires=0,...`."""
    lines = [value for name, value in server.info.items() if name.startswith("db") and name[2:].isdigit()]
    return [int(line.partition("keys=")[2].partition(",")[0] or 0) for line in lines]


def merged(latency: list[Any]) -> dict[int, int]:
    """{upper bound in microseconds: requests}, of all commands together, from LATENCY HISTOGRAM."""
    total: dict[int, int] = {}
    for facts in latency[1::2]:
        histogram = gathering.pairs(facts)["histogram_usec"]
        before = 0
        for bound, count in zip(histogram[::2], histogram[1::2], strict=True):
            total[bound] = total.get(bound, 0) + count - before  # counts are cumulative
            before = count
    return total


def percentile(counts: dict[int, int], part: float) -> int | None:
    """The bound below which that part of the requests lies; None without any."""
    total = sum(counts.values())
    if total <= 0:
        return None
    left = math.ceil(total * part)
    for bound in sorted(counts):
        left -= counts[bound]
        if left <= 0:
            return bound
    return None
