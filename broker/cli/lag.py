"""`millstream lag`: which groups fall behind, the worst first."""

from typing import Final

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Cell, Every, Looking, Most, Pattern, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.facts import Group, Stream
from broker.inspection.units import human_age, human_count, human_rate, printable, sparkline, time_of

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
        of = {each.key: each for each in streams}
        found = [_Row(each, of[each.stream], looking) for each in looking.client.gather(gathering.groups(streams))]
        found.sort(key=lambda row: (-row.rank, row.group.stream, row.group.name))
        shown, more = cut(found, most)
        return View([row.json() for row in shown], [_table(shown, looking.watches), *more])

    show(look, url, as_json, watch, every)


class _Row:
    """One group, with its rates. behind_ms: between the last entry and what was delivered last."""

    def __init__(self, group: Group, stream: Stream, looking: Looking) -> None:
        self.group = group
        added = stream.length if stream.added is None else stream.added
        self.added = looking.rate((stream.key, "added"), added)
        self._name = (group.stream, group.name)
        self.read = looking.rate(self._name, group.read) if group.read is not None else None
        self.reads = looking.history.rates(self._name)
        self.behind_ms = behind_ms(group, stream)

    @property
    def rank(self) -> int:
        return 1 << 60 if self.group.lag is None else self.group.lag

    @property
    def clears_ms(self) -> int | None:
        """When the lag will be gone if all goes on as it does; None: never, or not known."""
        if not self.group.lag or self.read is None or self.added is None or self.read <= self.added:
            return 0 if self.group.lag == 0 else None
        return int(self.group.lag / (self.read - self.added) * 1000)

    def json(self) -> dict[str, object]:
        return {
            "stream": printable(self.group.stream),
            "group": printable(self.group.name),
            "lag": self.group.lag,
            "pending": self.group.pending,
            "behind_ms": self.behind_ms,
            "added_per_s": self.added,
            "read_per_s": self.read,
            "clears_ms": self.clears_ms,
        }


def behind_ms(group: Group, stream: Stream) -> int | None:
    """By the ids: how much older what was delivered last is than the last entry. None: they hold no times."""
    if group.lag == 0:
        return 0
    newest = time_of(stream.last_id)
    delivered = time_of(group.delivered_id) or time_of(stream.first_id or "0-0")
    return None if newest is None or delivered is None else max(newest - delivered, 0)


def _table(found: list[_Row], watches: bool) -> Table:
    columns = ["stream", "group", "lag", "behind", "pending"]
    rows: list[list[Cell]] = [
        [row.group.stream, row.group.name, human_count(row.group.lag), _age(row.behind_ms), row.group.pending]
        for row in found
    ]
    if watches:
        columns += ["added", "read", "clears in", "reads"]
        for shown, row in zip(rows, found, strict=True):
            spark = sparkline(row.reads, _SPARK)
            shown += [human_rate(row.added), human_rate(row.read), _age(row.clears_ms), spark]
    return Table(columns, rows, _NUMBERS, none="no groups")


def _age(ms: int | None) -> str:
    return "-" if ms is None else human_age(ms)
