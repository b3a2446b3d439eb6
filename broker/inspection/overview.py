"""The whole of a server at a glance, again and again: rates, the busiest streams, groups by lag, slow consumers.

Bounded, however much there is: all streams are looked for now and then, in between only those that are shown.
"""

import time
from collections.abc import Callable
from typing import Final

import attrs

from broker.inspection import gathering
from broker.inspection.facts import Consumer, Group, Server, Stream
from broker.inspection.gathering import Gathering
from broker.inspection.history import History
from broker.inspection.units import time_of

_SHOWN: Final = 300  # streams that each look asks about
_CONSUMERS: Final = 200  # groups whose consumers are asked for
_ROUND: Final = 10  # looks from one search for all streams to the next, where there are many
_SLOW: Final = 100  # consumers


@attrs.frozen
class StreamRow:
    stream: Stream
    added: float | None  # entries per second
    rates: list[float]  # of the last looks, oldest first


@attrs.frozen
class GroupRow:
    group: Group
    behind_ms: int | None
    added: float | None  # to its stream, per second
    read: float | None  # by the group, per second
    rates: list[float]

    @property
    def clears_ms(self) -> int | None:
        """When the lag will be gone if all goes on as it does; None: never, or not known."""
        if self.group.lag == 0:
            return 0
        if self.group.lag is None or self.read is None or self.added is None or self.read <= self.added:
            return None
        return int(self.group.lag / (self.read - self.added) * 1000)

    @property
    def rank(self) -> tuple[int, bytes, bytes]:
        """The worst first: what is not known may be anything."""
        return (-(1 << 62) if self.group.lag is None else -self.group.lag, self.group.stream, self.group.name)


@attrs.frozen
class Overview:
    now_ms: int  # of the server
    server: Server
    requests: float | None  # per second
    bytes_in: float | None
    bytes_out: float | None
    request_rates: list[float]
    memory: list[int]  # bytes used, at the last looks
    stream_count: int
    streams: list[StreamRow]  # the busiest, then the longest
    groups: list[GroupRow]  # of these streams, the worst first
    slow: list[Consumer]  # who hold entries, the one that is idle for longest first


def stream_row(stream: Stream, history: History, now_s: float) -> StreamRow:
    added = history.sample(("stream", stream.key), stream.length if stream.added is None else stream.added, now_s)
    return StreamRow(stream, added, history.rates(("stream", stream.key)))


def group_row(group: Group, stream: Stream, history: History, now_s: float) -> GroupRow:
    name = ("group", group.stream, group.name)
    read = None if group.read is None else history.sample(name, group.read, now_s)
    return GroupRow(group, behind_ms(group, stream), history.rate(("stream", stream.key)), read, history.rates(name))


def behind_ms(group: Group, stream: Stream) -> int | None:
    """By the ids: how much older what was delivered last is than the last entry. None: they hold no times."""
    if group.lag == 0:
        return 0
    newest = time_of(stream.last_id)
    delivered = time_of(group.delivered_id) or time_of(stream.first_id or "0-0")
    return None if newest is None or delivered is None else max(newest - delivered, 0)


class Overviews:
    """Looks, one after another. clock: seconds that only grow."""

    def __init__(self, pattern: str = "*", length: int = 60, clock: Callable[[], float] = time.monotonic) -> None:
        self._pattern = pattern
        self._clock = clock
        self._history = History(length)
        self._memory: list[int] = []
        self._length = length
        self._looks = 0
        self._count = 0
        self._shown: list[bytes] = []  # names of the streams that each look asks about

    def look(self) -> Gathering[Overview]:
        now_ms = yield from gathering.clock()
        server = yield from gathering.server()
        streams = yield from self._streams()
        now_s = self._clock()
        rows = sorted((stream_row(each, self._history, now_s) for each in streams), key=_busiest)[:_SHOWN]
        self._shown = [row.stream.key for row in rows]
        of = {row.stream.key: row.stream for row in rows}
        groups = yield from gathering.groups([row.stream for row in rows])
        group_rows = sorted(
            (group_row(each, of[each.stream], self._history, now_s) for each in groups), key=lambda row: row.rank
        )
        holding = [row.group for row in group_rows if row.group.pending][:_CONSUMERS]
        consumers = yield from gathering.consumers(holding)
        slow = sorted((each for each in consumers if each.pending), key=lambda each: -each.idle_ms)[:_SLOW]
        return self._overview(now_ms, server, now_s, rows, group_rows, slow)

    def _streams(self) -> Gathering[list[Stream]]:
        is_due = self._looks % _ROUND == 0 or self._count <= _SHOWN
        self._looks += 1
        if not is_due:
            return (yield from gathering.streams_named(self._shown))
        found = yield from gathering.streams(self._pattern)
        self._count = len(found)
        return found

    def _overview(
        self, now_ms: int, server: Server, now_s: float, streams: list[StreamRow], groups: list[GroupRow],
        slow: list[Consumer],
    ) -> Overview:  # fmt: skip
        sample = self._history.sample
        self._memory = [*self._memory, server.number("used_memory") or 0][-self._length :]
        return Overview(
            now_ms,
            server,
            sample("requests", server.commands, now_s),
            sample("in", server.number("total_net_input_bytes") or 0, now_s),
            sample("out", server.number("total_net_output_bytes") or 0, now_s),
            self._history.rates("requests"),
            self._memory,
            self._count,
            streams,
            groups,
            slow,
        )


def _busiest(row: StreamRow) -> tuple[float, int, bytes]:
    return (-(row.added or 0.0), -row.stream.length, row.stream.key)
