"""Two keyed inputs as one: each pair of events with the same key whose times are at most `within` apart, once.

Either input waits for the other in a buffer until the watermark says that no partner can come any more. An event behind
the watermark is late: partners of it may have gone already. In a left join an event of the left that found nobody is
given out alone when it leaves the buffer, which is `within` behind the watermark: so is the watermark that is handed
on.

Costs: O(b) an event, b the events of its key that are in the other's buffer.
"""

from collections.abc import Callable
from typing import Any, Literal

import attrs

from consumers.processing.events import BEGINNING, Event
from consumers.processing.operators import Operator, Reporter
from consumers.processing.state import Place, State, restored, storable
from consumers.processing.windows import Timers

How = Literal["inner", "left"]
LEFT, RIGHT = 0, 1

_TIME, _VALUE, _MATCHED = range(3)


@attrs.frozen
class JoinSetting:
    """types: what the values of either side are, None for what msgpack can hold as it is."""

    number: int
    state: State
    within: int
    how: How
    combine: Callable[[Any, Any], Any]
    types: tuple[Any, Any]
    late_sink: int | None


class Join(Operator):
    """Kept at (step, side, key): a list of [time, value, whether it found a partner]."""

    def __init__(self, report: Reporter, setting: JoinSetting) -> None:
        super().__init__(report)
        self._setting = setting
        self._state = setting.state
        self._within = setting.within
        self._timers = Timers()
        self._watermarks = [BEGINNING, BEGINNING]
        self._watermark = BEGINNING

    def receive(self, event: Event, port: int) -> None:
        if event.time < self._watermark:
            self.report.late(self._setting.late_sink, event)
            return
        try:
            value = storable(event.value, self._setting.types[port])
        except TypeError as error:
            self.report.rejected(event, error)
            return
        matched = self._match(event, port)
        place = (self._setting.number, port, event.key)
        waiting = self._state.get(place) or []
        waiting.append([event.time, value, matched])
        self._state.put(place, waiting)
        self._timers.add(event.time + self._within + 1, place)

    def _match(self, event: Event, port: int) -> bool:
        place = (self._setting.number, 1 - port, event.key)
        partners = [one for one in self._state.get(place) or () if abs(one[_TIME] - event.time) <= self._within]
        for one in partners:
            one[_MATCHED] = True
            pair = (event.value, one[_VALUE]) if port == LEFT else (one[_VALUE], event.value)
            self._combined(Event(max(event.time, one[_TIME]), None, event.key), *pair)
        if partners:
            self._state.put(place, self._state.get(place))
        return bool(partners)

    def _combined(self, event: Event, left: Any, right: Any) -> None:
        try:
            event.value = self._setting.combine(left, right)
        except Exception as error:
            self.report.rejected(event, error)
            return
        self.emit(event)

    def advance(self, watermark: int, port: int) -> None:
        self._watermarks[port] = watermark
        lowest = min(self._watermarks)
        if lowest > self._watermark:
            self._watermark = lowest
            for place in self._timers.due(lowest):
                self._expire(place)
        behind = self._within + 1 if self._setting.how == "left" and self._watermark > BEGINNING else 0
        super().advance(self._watermark - behind, 0)

    def _expire(self, place: Place) -> None:
        waiting = self._state.get(place)
        if waiting is None:
            return
        _, side, key = place
        gone = [one for one in waiting if one[_TIME] + self._within < self._watermark]
        left = [one for one in waiting if one[_TIME] + self._within >= self._watermark]
        if left:
            self._state.put(place, left)
        else:
            self._state.drop(place)
        if side == LEFT and self._setting.how == "left":
            for one in gone:
                if not one[_MATCHED]:
                    self._combined(Event(one[_TIME], None, key), one[_VALUE], None)

    def restored(self, place: Place, kept: Any) -> None:
        for one in kept:
            one[_VALUE] = restored(one[_VALUE], self._setting.types[place[1]])
            self._timers.add(one[_TIME] + self._within + 1, place)
