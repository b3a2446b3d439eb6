"""The steps of a pipeline at work: each gets events and watermarks, and hands events and watermarks on.

A watermark says that no event with an earlier time is expected any more. Every step hands it on after what it made the
step give out, so that nothing that a step gives out is late for the next.

Functions of the user are called inside `Turn.guarded`: an event that makes one raise is rejected, with the reason, and
the pipeline goes on.
"""

from collections.abc import Callable, Iterable
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


class Map(Operator):
    def __init__(self, report: Reporter, function: Callable[[Any], Any]) -> None:
        super().__init__(report)
        self._function = function

    def receive(self, event: Event, port: int) -> None:
        try:
            value = self._function(event.value)
        except Exception as error:
            self.report.rejected(event, error)
            return
        self.emit(Event(event.time, value, event.key))


class FlatMap(Operator):
    def __init__(self, report: Reporter, function: Callable[[Any], Iterable[Any]]) -> None:
        super().__init__(report)
        self._function = function

    def receive(self, event: Event, port: int) -> None:
        try:
            values = list(self._function(event.value))
        except Exception as error:
            self.report.rejected(event, error)
            return
        for value in values:
            self.emit(Event(event.time, value, event.key))


class Filter(Operator):
    def __init__(self, report: Reporter, predicate: Callable[[Any], Any]) -> None:
        super().__init__(report)
        self._predicate = predicate

    def receive(self, event: Event, port: int) -> None:
        try:
            wanted = self._predicate(event.value)
        except Exception as error:
            self.report.rejected(event, error)
            return
        if wanted:
            self.emit(event)


class KeyBy(Operator):
    def __init__(self, report: Reporter, select: Callable[[Any], Any]) -> None:
        super().__init__(report)
        self._select = select

    def receive(self, event: Event, port: int) -> None:
        try:
            key = checked_key(self._select(event.value))
        except Exception as error:
            self.report.rejected(event, error)
            return
        self.emit(Event(event.time, event.value, key))


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
