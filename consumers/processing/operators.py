"""The steps of a pipeline at work: each gets events and watermarks, and hands events and watermarks on.

A watermark says that no event with an earlier time is expected any more. Every step hands it on after what it made the
step give out, so that nothing that a step gives out is late for the next.

Functions of the user are called where what they raise is reported (`Each`, windows, joins): the event is rejected.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs

from consumers.processing.events import BEGINNING, Event


class Reporter(Protocol):
    """Where events go that leave the pipeline: implemented by `plan.Turn`."""

    def output(self, sink: int, event: Event) -> None: ...

    def late(self, sink: int | None, event: Event) -> None: ...

    def rejected(self, event: Event, error: Exception) -> None: ...


class Step(Protocol):
    def receive(self, event: Event, port: int) -> None: ...

    def advance(self, watermark: int, port: int) -> None: ...


class Operator:
    """One input, one output, watermarks handed on: what most steps are."""

    def __init__(self, report: Reporter) -> None:
        self.report = report
        self._next: Step | None = None
        self._port = 0

    def connect(self, following: Step, port: int) -> None:
        self._next, self._port = following, port

    def emit(self, event: Event) -> None:
        assert self._next is not None
        self._next.receive(event, self._port)

    def receive(self, event: Event, port: int) -> None:
        self.emit(event)

    def advance(self, watermark: int, port: int) -> None:
        assert self._next is not None
        self._next.advance(watermark, self._port)


class Each(Operator):
    """A function of the user on one event at a time. What makes it raise is rejected, with the reason, and the pipeline
    goes on.
    """

    def __init__(self, report: Reporter, function: Callable[[Any], Any]) -> None:
        super().__init__(report)
        self._function = function

    def receive(self, event: Event, port: int) -> None:
        try:
            made = self._made(event)
        except Exception as error:
            self.report.rejected(event, error)
            return
        for one in made:
            self.emit(one)

    def _made(self, event: Event) -> Sequence[Event]:
        """What goes on instead of the event. Raises what the function raises."""
        raise NotImplementedError


class Map(Each):
    def _made(self, event: Event) -> Sequence[Event]:
        return (Event(event.time, self._function(event.value), event.key),)


class FlatMap(Each):
    def _made(self, event: Event) -> Sequence[Event]:
        return [Event(event.time, value, event.key) for value in self._function(event.value)]


class Filter(Each):
    def _made(self, event: Event) -> Sequence[Event]:
        return (event,) if self._function(event.value) else ()


class KeyBy(Each):
    def _made(self, event: Event) -> Sequence[Event]:
        return (Event(event.time, event.value, checked_key(self._function(event.value))),)


def checked_key(key: Any) -> Any:
    """Keys are kept in the broker and compared afterwards. Raises TypeError."""
    if isinstance(key, tuple):
        return tuple(checked_key(one) for one in key)
    if key is None or isinstance(key, str | bytes | int):
        return key
    raise TypeError(f"a key is text, bytes, a whole number or a tuple of these, not {type(key).__name__}")


class Merge(Operator):
    """Several inputs as one; the watermark is that of the slowest."""

    def __init__(self, report: Reporter, ports: int) -> None:
        super().__init__(report)
        self._watermarks = [BEGINNING] * ports

    def advance(self, watermark: int, port: int) -> None:
        self._watermarks[port] = watermark
        super().advance(min(self._watermarks), 0)


@attrs.define(eq=False)
class Sink:
    """The end: events leave the pipeline."""

    report: Reporter
    number: int

    def receive(self, event: Event, port: int) -> None:
        self.report.output(self.number, event)

    def advance(self, watermark: int, port: int) -> None:
        """Nobody waits for it here."""
