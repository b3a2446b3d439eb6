"""What a window makes of its events: a start value, a step for each event, a merge of two, a result.

What an aggregate has so far is kept in the broker between two batches, so it must be something that msgpack can hold:
numbers, text, bytes, lists, dicts. `merge` is what sessions need when an event joins two of them.
"""

from collections.abc import Callable
from typing import Any

import attrs

from consumers.errors import ConfigurationError
from consumers.processing.events import Select, StepFailed, selector
from consumers.processing.state import storable

COLLECT_LIMIT = 10_000


@attrs.frozen
class Aggregate:
    """`add` and `merge` may change what they are given and must return what is to be kept. They have to give the same
    again for the same events.
    """

    init: Callable[[], Any]
    add: Callable[[Any, Any], Any]
    merge: Callable[[Any, Any], Any] | None = None
    result: Callable[[Any], Any] = attrs.field(default=lambda kept: kept)


def fold(
    init: Callable[[], Any],
    add: Callable[[Any, Any], Any],
    *,
    merge: Callable[[Any, Any], Any] | None = None,
    result: Callable[[Any], Any] | None = None,
) -> Aggregate:
    """An aggregate of one's own: `fold(dict, add_to_histogram, merge=add_histograms)`."""
    return Aggregate(init, add, merge, result or (lambda kept: kept))


def count() -> Aggregate:
    return Aggregate(int, lambda kept, _: kept + 1, lambda left, right: left + right)


def total(select: str | Select | None = None) -> Aggregate:
    """The sum of a number of each event."""
    of = _number(select)
    return Aggregate(int, lambda kept, value: kept + of(value), lambda left, right: left + right)


def mean(select: str | Select | None = None) -> Aggregate:
    of = _number(select)

    def add(kept: list[Any], value: Any) -> list[Any]:
        return [kept[0] + of(value), kept[1] + 1]

    return Aggregate(
        lambda: [0, 0],
        add,
        lambda left, right: [left[0] + right[0], left[1] + right[1]],
        lambda kept: kept[0] / kept[1],
    )


def minimum(select: str | Select | None = None) -> Aggregate:
    return _extreme(min, _number(select))


def maximum(select: str | Select | None = None) -> Aggregate:
    return _extreme(max, _number(select))


def _extreme(better: Callable[[Any, Any], Any], of: Select) -> Aggregate:
    def merge(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return right if left is None else left
        return better(left, right)

    return Aggregate(lambda: None, lambda kept, value: merge(kept, of(value)), merge)


def distinct(select: str | Select | None = None) -> Aggregate:
    """How many different values, counted exactly: all of them are kept until the window closes."""
    of = selector(select)

    def add(kept: dict[Any, bool], value: Any) -> dict[Any, bool]:
        kept[of(value)] = True
        return kept

    return Aggregate(dict, add, lambda left, right: left | right, len)


def collect(select: str | Select | None = None, *, limit: int = COLLECT_LIMIT) -> Aggregate:
    """A list of the values in the order of arrival; an event beyond `limit` is rejected."""
    of = selector(select)

    def add(kept: list[Any], value: Any) -> list[Any]:
        if len(kept) >= limit:
            raise StepFailed(f"the window has collected {limit} values already")
        kept.append(storable(of(value), None))
        return kept

    return Aggregate(list, add, lambda left, right: left + right)


def combined(parts: dict[str, Aggregate]) -> Aggregate:
    """Several at a time; the result is a dict."""
    names = list(parts)
    members = [parts[name] for name in names]
    merges = [one.merge for one in members if one.merge is not None]

    def add(kept: list[Any], value: Any) -> list[Any]:
        return [one.add(each, value) for one, each in zip(members, kept, strict=True)]

    def merge(left: list[Any], right: list[Any]) -> list[Any]:
        return [one(a, b) for one, a, b in zip(merges, left, right, strict=True)]

    return Aggregate(
        lambda: [one.init() for one in members],
        add,
        merge if len(merges) == len(members) else None,
        lambda kept: {name: one.result(each) for name, one, each in zip(names, members, kept, strict=True)},
    )


def _number(select: str | Select | None) -> Select:
    """Fields of an entry are text: what looks like a number is taken for one."""
    of = selector(select)

    def number(value: Any) -> int | float:
        found = of(value)
        if isinstance(found, int | float):
            return found
        if isinstance(found, str | bytes):
            try:
                return int(found)
            except ValueError:
                return float(found)
        raise StepFailed(f"{found!r} is not a number")

    return number


def chosen(aggregates: tuple[Aggregate, ...], named: dict[str, Aggregate]) -> Aggregate:
    """What `.aggregate(count())` or `.aggregate(clicks=count(), spent=total("cents"))` says."""
    if len(aggregates) == 1 and not named:
        return aggregates[0]
    if aggregates or not named:
        raise ConfigurationError("aggregate takes one aggregate, or several by name")
    taken = {"key", "start", "end", "revision", "replaces"} & named.keys()
    if taken:
        raise ConfigurationError(f"a window result has a field {min(taken)!r} of its own")
    return combined(named)
