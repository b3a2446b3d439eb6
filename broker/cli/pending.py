"""`millstream pending`: what groups were given and have not acknowledged."""

from typing import Annotated, Final

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Client, Url, fail
from broker.cli.moments import duration_ms
from broker.cli.printing import Every, Line, Looking, Most, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.facts import Pending, PendingOf
from broker.inspection.units import age_of, human_age, local_time, printable

_NUMBERS: Final = frozenset(["pending", "deliveries", "consumers"])


def pending(
    stream: Annotated[str, typer.Argument(help="A stream, or without a group also a pattern of names.")] = "*",
    group: Annotated[str | None, typer.Argument(help="Show the entries that this group holds.")] = None,
    consumer: Annotated[str | None, typer.Option("--consumer", help="Only what this consumer holds.")] = None,
    idle: Annotated[str, typer.Option("--idle", help="Only what was not touched for so long: 90s, 5m.")] = "0",
    most: Most = 10,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List groups with pending entries, or show the entries that one group holds, oldest first."""
    idle_ms = duration_ms(idle, "--idle")

    def look(looking: Looking) -> View:
        if group is None:
            return _groups(looking.client, stream, most)
        return _entries(looking.client, stream, group, consumer, idle_ms, most)

    show(look, url, as_json, watch, every)


def _groups(client: Client, pattern: str, most: int) -> View:
    now_ms = client.gather(gathering.clock())
    streams = sorted(client.gather(gathering.streams(pattern)), key=lambda each: each.key)
    having = [each for each in client.gather(gathering.groups(streams)) if each.pending]
    shown, more = cut(having, most)
    held = client.gather(gathering.pending_of([(each.stream, each.name) for each in shown]))
    found = [(each, held_by) for each, held_by in zip(shown, held, strict=True) if held_by is not None]
    rows = [
        (each.stream, each.name, held_by.total, len(held_by.consumers), held_by.first_id or "-",
         age_of(held_by.first_id or "0-0", now_ms))
        for each, held_by in found
    ]  # fmt: skip
    columns = ("stream", "group", "pending", "consumers", "oldest id", "age")
    json = [
        {"stream": printable(each.stream), "group": printable(each.name), **_json_of(held_by)}
        for each, held_by in found
    ]
    return View(json, [Table(columns, rows, _NUMBERS, none="nothing is pending"), *more])


def require_stream(client: Client, key: str) -> None:
    """Ends the command when the key is missing or holds something else."""
    kind = client.call("TYPE", key).decode()
    if kind == "none":
        fail(f"no such key: {key}")
    if kind != "stream":
        fail(f"{key} is a {kind}, not a stream")


def _entries(client: Client, stream: str, group: str, consumer: str | None, idle_ms: int, most: int) -> View:
    require_stream(client, stream)
    client.call("XPENDING", stream, group)  # tells of a missing group
    (of,) = client.gather(gathering.pending_of([(stream.encode(), group.encode())]))
    if of is None:
        fail(f"no such group: {group}")
    found = client.gather(gathering.pending(stream, group, most or of.total, idle_ms, consumer))
    parts: list[Table | Line] = [Line(f"{of.total:,} pending in group {printable(group)}")]
    holders = sorted(of.consumers.items())
    parts.append(Table(("consumer", "pending"), holders, _NUMBERS))
    parts.append(Table(("id", "local time", "consumer", "idle", "deliveries"), _rows(found), _NUMBERS, title="entries"))
    json = {**_json_of(of), "entries": [_entry_json(each) for each in found]}
    return View(json, parts)


def _rows(found: list[Pending]) -> list[tuple[str | bytes | int, ...]]:
    return [(each.id, local_time(each.id), each.consumer, human_age(each.idle_ms), each.deliveries) for each in found]


def _json_of(of: PendingOf) -> dict[str, object]:
    return {
        "pending": of.total,
        "first_id": of.first_id,
        "last_id": of.last_id,
        "consumers": {printable(name): count for name, count in of.consumers.items()},
    }


def _entry_json(each: Pending) -> dict[str, object]:
    return {
        "id": each.id,
        "consumer": printable(each.consumer),
        "idle_ms": each.idle_ms,
        "deliveries": each.deliveries,
    }
