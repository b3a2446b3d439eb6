"""Windows over the time of events: which there are, and the step that fills and closes them.

A window [start, end) closes when the watermark reaches `end`; its result is given out then, once. It is kept until the
watermark reaches `end + lateness`: an event that comes in between is counted, and the result is given out again with
the next `revision`. What comes later is late: it is counted, and goes where `late_to` says.

Costs: O(log w) an event for each window that it is in, w the number of open windows.
"""

import heapq
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from consumers.durations import Duration, milliseconds
from consumers.errors import ConfigurationError
from consumers.processing.aggregates import Aggregate
from consumers.processing.events import BEGINNING, Event, WindowResult
from consumers.processing.operators import Operator, Reporter
from consumers.processing.state import Place, State, storable


@attrs.frozen
class Sliding:
    """Windows of `size`, one beginning every `every` milliseconds; `offset` moves all of them."""

    size: int
    every: int
    offset: int = 0

    def __attrs_post_init__(self) -> None:
        if self.size <= 0 or not 0 < self.every <= self.size:
            raise ConfigurationError("a window needs a size above 0, and to begin every part of it, or all of it")

    def starts(self, time: int) -> Iterator[int]:
        """Of the windows that a time is in, the last one first."""
        start = (time - self.offset) // self.every * self.every + self.offset
        while start > time - self.size:
            yield start
            start -= self.every


@attrs.frozen
class Session:
    """Events between which there is no silence longer than `gap` milliseconds. The end is `gap` after the last."""

    gap: int

    def __attrs_post_init__(self) -> None:
        if self.gap <= 0:
            raise ConfigurationError("the gap of sessions must be above 0")


Window = Sliding | Session


def tumbling(size: Duration, *, offset: Duration = 0) -> Sliding:
    """One window after the other: tumbling("1m"). offset: tumbling("1d", offset="6h") begins days at six (UTC)."""
    return Sliding(milliseconds(size), milliseconds(size), milliseconds(offset))


def sliding(size: Duration, *, every: Duration) -> Sliding:
    """Windows that overlap: sliding("5m", every="1m")."""
    return Sliding(milliseconds(size), milliseconds(every))


def session(gap: Duration) -> Session:
    return Session(milliseconds(gap))


class Timers:
    """Places that wait for a watermark. What is overdue and stale by then, the owner has to see for itself."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Place]] = []
        self._count = 0  # of equal times, the older first; places need not be comparable

    def add(self, time: int, place: Place) -> None:
        self._count += 1
        heapq.heappush(self._heap, (time, self._count, place))

    def due(self, watermark: int) -> Iterator[Place]:
        while self._heap and self._heap[0][0] <= watermark:
            yield heapq.heappop(self._heap)[2]


@attrs.frozen
class Setting:
    """What a step of windows is given. number: of the step; late_sink: where late events go, None for nowhere."""

    number: int
    state: State
    aggregate: Aggregate
    lateness: int
    late_sink: int | None


class Windowing(Operator):
    """What both kinds of windows share: lateness, timers, watermarks."""

    def __init__(self, report: Reporter, setting: Setting) -> None:
        super().__init__(report)
        self._number = setting.number
        self._state = setting.state
        self._aggregate = setting.aggregate
        self._lateness = setting.lateness
        self._late_sink = setting.late_sink
        self._timers = Timers()
        self._watermark = BEGINNING

    def advance(self, watermark: int, port: int) -> None:
        if watermark > self._watermark:
            self._watermark = watermark
            for place in self._timers.due(watermark):
                self._overdue(place)
        super().advance(watermark, 0)

    def _overdue(self, place: Place) -> None:
        raise NotImplementedError

    def restored(self, place: Place, kept: Any) -> None:
        raise NotImplementedError

    def _late(self, event: Event) -> None:
        self.report.late(self._late_sink, event)

    def _added(self, kept: Any, event: Event) -> Any:
        """Raises what the aggregate raises, and TypeError."""
        return storable(self._aggregate.add(kept, event.value), None)

    def _give(self, key: Any, start: int, end: int, kept: Any, revision: int, replaces: tuple[int, ...] = ()) -> None:
        event = Event(end - 1, None, key)
        try:
            event.value = WindowResult(key, start, end, self._aggregate.result(kept), revision, replaces)
        except Exception as error:
            self.report.rejected(event, error)
            return
        self.emit(event)


class AlignedWindows(Windowing):
    """Tumbling and sliding ones. Kept at (step, key, start): [what the aggregate has, times given out]."""

    def __init__(self, windows: Sliding, report: Reporter, setting: Setting) -> None:
        super().__init__(report, setting)
        self._windows = windows

    def receive(self, event: Event, port: int) -> None:
        late = True
        for start in self._windows.starts(event.time):
            if start + self._windows.size + self._lateness > self._watermark:
                late = False
                self._add(event, start)
        if late:
            self._late(event)

    def _add(self, event: Event, start: int) -> None:
        place = (self._number, event.key, start)
        end = start + self._windows.size
        kept = self._state.get(place)
        try:
            sum_ = self._added(self._aggregate.init() if kept is None else kept[0], event)
        except Exception as error:
            self.report.rejected(event, error)
            return
        if kept is None:
            kept = [sum_, 0]
            self._timers.add(end if end > self._watermark else end + self._lateness, place)
        kept[0] = sum_
        self._state.put(place, kept)
        if end <= self._watermark:
            self._give_out(place, kept)

    def _overdue(self, place: Place) -> None:
        kept = self._state.get(place)
        end = place[2] + self._windows.size
        if kept[1] == 0:
            self._give_out(place, kept)
        if end + self._lateness <= self._watermark:
            self._state.drop(place)
        else:
            self._timers.add(end + self._lateness, place)

    def _give_out(self, place: Place, kept: list[Any]) -> None:
        _, key, start = place
        self._give(key, start, start + self._windows.size, kept[0], kept[1])
        kept[1] += 1
        self._state.put(place, kept)

    def restored(self, place: Place, kept: Any) -> None:
        end = place[2] + self._windows.size
        self._timers.add(end if kept[1] == 0 else end + self._lateness, place)


_START, _END, _SUM, _REVISION, _GIVEN = range(5)


class SessionWindows(Windowing):
    """Kept at (step, key): a list of sessions, each [start, end, what the aggregate has, times given out, starts under
    which it was given out].
    """

    def __init__(self, windows: Session, report: Reporter, setting: Setting) -> None:
        """The aggregate must have a `merge`."""
        super().__init__(report, setting)
        assert setting.aggregate.merge is not None
        self._merge: Callable[[Any, Any], Any] = setting.aggregate.merge
        self._gap = windows.gap

    def receive(self, event: Event, port: int) -> None:
        place = (self._number, event.key)
        sessions: list[list[Any]] = self._state.get(place) or []
        start, end = event.time, event.time + self._gap
        touched = [one for one in sessions if one[_START] <= end and start <= one[_END]]
        end = max([end, *(one[_END] for one in touched)])
        if end + self._lateness <= self._watermark:
            self._late(event)
            return
        try:
            merged = self._joined(event, touched)
        except Exception as error:
            self.report.rejected(event, error)
            return
        merged[_START], merged[_END] = min([start, *(one[_START] for one in touched)]), end
        sessions = [one for one in sessions if not any(one is each for each in touched)] + [merged]
        self._state.put(place, sessions)
        self._timers.add(end if end > self._watermark else end + self._lateness, place)
        if end <= self._watermark:
            self._give_out(event.key, merged)

    def _joined(self, event: Event, touched: list[list[Any]]) -> list[Any]:
        """A session of all that were touched, and the event. Nothing that is kept changes before all is well."""
        if len(touched) == 1:
            return [0, 0, self._added(touched[0][_SUM], event), *touched[0][_REVISION:]]
        sum_, revision = self._aggregate.init(), 0
        given: list[list[int]] = []
        for one in sorted(touched, key=lambda one: int(one[_START])):
            sum_ = self._merge(sum_, one[_SUM])
            revision, given = max(revision, one[_REVISION]), given + one[_GIVEN]
        return [0, 0, self._added(sum_, event), revision, given]

    def _overdue(self, place: Place) -> None:
        left: list[list[Any]] = []
        sessions = self._state.get(place)
        if sessions is None:
            return
        for one in sorted(sessions, key=lambda one: int(one[_END])):
            if one[_END] <= self._watermark and not self._is_given(one):
                self._give_out(place[1], one)
                self._timers.add(one[_END] + self._lateness, place)
            if one[_END] + self._lateness > self._watermark:
                left.append(one)
        if left:
            self._state.put(place, left)
        else:
            self._state.drop(place)

    def _is_given(self, one: list[Any]) -> bool:
        """Given out as it stands: an open session that has grown out of one that was isn't."""
        return bool(one[_GIVEN]) and one[_GIVEN][-1] == [one[_START], one[_END]]

    def _give_out(self, key: Any, one: list[Any]) -> None:
        replaces = tuple(sorted({start for start, _ in one[_GIVEN] if start != one[_START]}))
        self._give(key, one[_START], one[_END], one[_SUM], one[_REVISION], replaces)
        one[_REVISION] += 1
        one[_GIVEN] = [[one[_START], one[_END]]]

    def restored(self, place: Place, kept: Any) -> None:
        for one in kept:
            self._timers.add(one[_END] + (self._lateness if self._is_given(one) else 0), place)
