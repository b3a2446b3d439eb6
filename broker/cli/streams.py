"""`millstream streams`: the streams of a database, never their entries."""

from typing import Annotated, Final

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Looking, Most, Pattern, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.facts import Stream
from broker.inspection.units import age_ms, age_of, human_bytes, human_rate, printable

_ORDERS: Final = ("name", "length", "groups", "age", "memory")


def streams(
    pattern: Pattern = "*",
    sort: Annotated[str, typer.Option(help=f"By what: {', '.join(_ORDERS)}.")] = "name",
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List streams: length, groups, last id and its age, memory; with --watch also what is added per second."""
    if sort not in _ORDERS:
        raise typer.BadParameter(f"one of {', '.join(_ORDERS)}", param_hint="--sort")

    def look(looking: Looking) -> View:
        now_ms = looking.client.gather(gathering.clock())
        found = looking.client.gather(gathering.streams(pattern))
        found.sort(key=lambda each: each.key)
        if sort != "name":
            found.sort(key=lambda each: _rank(each, sort, now_ms), reverse=True)
        return _view(looking, found, now_ms, most)

    show(look, url, as_json, watch, every)


def _rank(each: Stream, sort: str, now_ms: int) -> int:
    if sort == "age":
        return -(age_ms(each.last_id, now_ms) or 1 << 60)  # what was written to last comes first
    return {"length": each.length, "groups": each.groups, "memory": each.memory or 0}[sort]


def _view(looking: Looking, found: list[Stream], now_ms: int, most: int) -> View:
    rates = {each.key: looking.rate(each.key, each.length if each.added is None else each.added) for each in found}
    shown, more = cut(found, most)
    columns = ["stream", "length", "groups", "last id", "age", "memory"]
    rows = [
        [each.key, each.length, each.groups, each.last_id, age_of(each.last_id, now_ms), human_bytes(each.memory)]
        for each in shown
    ]
    if looking.watches:
        columns.append("added")
        rows = [[*row, human_rate(rates[each.key])] for row, each in zip(rows, shown, strict=True)]
    numbers = frozenset(["length", "groups", "memory", "added"])
    return View(
        [_json(each, rates[each.key], now_ms) for each in shown],
        [Table(columns, rows, numbers, none="no streams"), *more],
    )


def _json(each: Stream, rate: float | None, now_ms: int) -> dict[str, object]:
    return {
        "key": printable(each.key),
        "length": each.length,
        "entries_added": each.added,
        "groups": each.groups,
        "first_id": each.first_id,
        "last_id": each.last_id,
        "age_ms": age_ms(each.last_id, now_ms),
        "memory": each.memory,
        "added_per_s": rate,
    }
