"""`millstream lag`: which groups fall behind, the worst first."""

import time
from typing import Final

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Cell, Every, Looking, Most, Pattern, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.overview import GroupRow, group_row, stream_row
from broker.inspection.units import human_age, human_count, human_rate, printable, sparkline

_NUMBERS: Final = frozenset(["lag", "pending", "added", "read"])
_SPARK: Final = 20


def lag(
    pattern: Pattern = "*",
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List groups by how many entries they have not been given yet. With --watch: how fast they read, and when they
    will have caught up.
    """

    def look(looking: Looking) -> View:
        streams = looking.client.gather(gathering.streams(pattern))
        groups = looking.client.gather(gathering.groups(streams))
        now_s = time.monotonic()
        for each in streams:
            stream_row(each, looking.history, now_s)
        of = {each.key: each for each in streams}
        found = [group_row(each, of[each.stream], looking.history, now_s) for each in groups]
        shown, more = cut(sorted(found, key=lambda row: row.rank), most)
        return View([_json(row) for row in shown], [_table(shown, looking.watches), *more])

    show(look, url, as_json, watch, every)


def _json(row: GroupRow) -> dict[str, object]:
    return {
        "stream": printable(row.group.stream),
        "group": printable(row.group.name),
        "lag": row.group.lag,
        "pending": row.group.pending,
        "behind_ms": row.behind_ms,
        "added_per_s": row.added,
        "read_per_s": row.read,
        "clears_ms": row.clears_ms,
    }


def _table(found: list[GroupRow], watches: bool) -> Table:
    columns = ["stream", "group", "lag", "behind", "pending"]
    rows: list[list[Cell]] = [
        [row.group.stream, row.group.name, human_count(row.group.lag), age_or_not(row.behind_ms), row.group.pending]
        for row in found
    ]
    if watches:
        columns += ["added", "read", "clears in", "reads"]
        for shown, row in zip(rows, found, strict=True):
            spark = sparkline(row.rates, _SPARK)
            shown += [human_rate(row.added), human_rate(row.read), age_or_not(row.clears_ms), spark]
    return Table(columns, rows, _NUMBERS, none="no groups")


def age_or_not(ms: int | None) -> str:
    return "-" if ms is None else human_age(ms)
