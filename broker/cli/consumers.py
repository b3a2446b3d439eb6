"""`millstream consumers`: who reads in consumer groups, and who has gone quiet."""

from typing import Annotated

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Looking, Most, Pattern, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.facts import Consumer
from broker.inspection.units import human_age, printable


def consumers(
    pattern: Pattern = "*",
    group: Annotated[str | None, typer.Option("--group", "-g", help="Only this group.")] = None,
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List the consumers of groups. idle: since they last asked; inactive: since they last got something."""

    def look(looking: Looking) -> View:
        streams = sorted(looking.client.gather(gathering.streams(pattern)), key=lambda each: each.key)
        groups = looking.client.gather(gathering.groups(streams))
        chosen = [each for each in groups if group is None or each.name == group.encode()]
        shown, more = cut(looking.client.gather(gathering.consumers(chosen)), most)
        return View([_json(each) for each in shown], [_table(shown), *more])

    show(look, url, as_json, watch, every)


def _table(found: list[Consumer]) -> Table:
    rows = [
        (each.stream, each.group, each.name, each.pending, human_age(each.idle_ms),
         "-" if each.inactive_ms is None else human_age(each.inactive_ms))
        for each in found
    ]  # fmt: skip
    columns = ("stream", "group", "consumer", "pending", "idle", "inactive")
    return Table(columns, rows, frozenset(["pending"]), none="no consumers")


def _json(each: Consumer) -> dict[str, object]:
    return {
        "stream": printable(each.stream),
        "group": printable(each.group),
        "name": printable(each.name),
        "pending": each.pending,
        "idle_ms": each.idle_ms,
        "inactive_ms": each.inactive_ms,
    }
