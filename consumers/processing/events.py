"""What flows between the steps of a pipeline, and what comes out of one. Times are Unix milliseconds."""

from collections.abc import Callable
from typing import Any

import attrs

from consumers.errors import ConsumerError

BEGINNING = -(1 << 62)  # the watermark before anything was seen

Select = Callable[[Any], Any]


@attrs.define(eq=False)
class Event:
    time: int
    value: Any
    key: Any = None


@attrs.frozen
class WindowResult:
    """What a window came to. `start` belongs to it, `end` doesn't.

    revision: how often this window was given out before: late events within `lateness` give it out again.
    replaces: the starts of sessions that were given out and have become part of this one.
    """

    key: Any
    start: int
    end: int
    value: Any
    revision: int = 0
    replaces: tuple[int, ...] = ()


@attrs.frozen
class Entry:
    """Of the stream that is being read: what a rejected event goes to the dead letters as."""

    stream: str
    id: str
    fields: dict[bytes, bytes]


class StepFailed(ConsumerError):
    """A function of the pipeline raised, or gave something that can't be worked with."""


def selector(select: str | Select | None) -> Select:
    """A callable as it is; the name of an attribute, or of a key of a mapping; None: the value itself."""
    if select is None:
        return _itself
    if callable(select):
        return select
    name = select

    def named(value: Any) -> Any:
        return value[name] if isinstance(value, dict) else getattr(value, name)

    return named


def _itself(value: Any) -> Any:
    return value
