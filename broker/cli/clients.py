"""`millstream clients`: who is connected, what they did last, what they hold."""

from typing import Annotated, Final

import attrs
import typer

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Looking, Most, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.facts import Connected
from broker.inspection.units import human_age, human_bytes, printable

_ORDERS: Final = ("id", "idle", "age", "memory", "output")
_NUMBERS: Final = frozenset(["id", "db", "memory", "output"])


def clients(
    sort: Annotated[str, typer.Option(help=f"By what: {', '.join(_ORDERS)}.")] = "id",
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List connections: address, name, last command, age, idle time, memory, output that they have not read."""
    if sort not in _ORDERS:
        raise typer.BadParameter(f"one of {', '.join(_ORDERS)}", param_hint="--sort")

    def look(looking: Looking) -> View:
        found = sorted(looking.client.gather(gathering.clients()), key=lambda each: _rank(each, sort))
        shown, more = cut(found, most)
        columns = ("id", "address", "name", "db", "command", "state", "age", "idle", "memory", "output", "library")
        json = [{name: _shown(value) for name, value in attrs.asdict(each).items()} for each in shown]
        return View(json, [Table(columns, [_row(each) for each in shown], _NUMBERS), *more])

    show(look, url, as_json, watch, every)


def _rank(each: Connected, sort: str) -> tuple[int, int]:
    ranks = {"id": 0, "idle": each.idle_s, "age": each.age_s, "memory": each.memory or 0, "output": each.output_bytes}
    return (-ranks[sort], each.id)


def _row(each: Connected) -> tuple[str | int, ...]:
    state = "waits" if each.is_blocked else f"listens to {each.subscriptions}" if each.subscriptions else ""
    return (
        each.id, each.address, each.name, each.database, each.command, state, _seconds(each.age_s),
        _seconds(each.idle_s), human_bytes(each.memory), human_bytes(each.output_bytes), each.library,
    )  # fmt: skip


def _shown(value: object) -> object:
    return printable(value) if isinstance(value, str) else value


def _seconds(seconds: int) -> str:
    return human_age(seconds * 1000) if seconds else "0s"
