"""`millstream streams`: look into the streams of any server that speaks the protocol.

Never reads a whole stream: lengths, ids and groups come from XINFO, entries by count. Changes nothing.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final

import attrs
import redis
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.cli.client import DEFAULT_URL, AsJson, Client, Reply, Url, connected, fail, pairs, printable

app = typer.Typer(help="Look into streams.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="The stream.")]
Count = Annotated[int, typer.Option("-n", "--count", min=0, help="How many entries at most.")]

_SCAN_COUNT: Final = 500
_BLOCK_MS: Final = 5000  # each XREAD of --follow waits that long, so that a dead connection is noticed
_FOLLOW_COUNT: Final = 100
_PLAUSIBLE_MS: Final = 1_000_000_000_000  # 2001: an id below was made by hand and holds no time


# Words for people


def human_age(ms: int) -> str:
    """Two units at most: 250ms, 12s, 3m 12s, 4h 5m, 3d 4h, 2y 31d."""
    if ms < 1000:
        return f"{max(ms, 0)}ms"
    rest = ms // 1000
    parts: list[str] = []
    for unit, size in (("y", 31_536_000), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def human_bytes(size: int | None) -> str:
    if size is None:
        return "-"
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def time_of(entry_id: str) -> int | None:
    """The milliseconds in an id; None when it was plainly not made from a clock."""
    ms = int(entry_id.partition("-")[0])
    return ms if _PLAUSIBLE_MS <= ms < 10 * _PLAUSIBLE_MS else None


def local_time(entry_id: str) -> str:
    ms = time_of(entry_id)
    if ms is None:
        return "-"
    return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(" ", "milliseconds")


def age_of(entry_id: str, now_ms: int) -> str:
    ms = time_of(entry_id)
    return "-" if ms is None else human_age(now_ms - ms)


def _console() -> Console:
    """As wide as it needs to be when no terminal reads it: `| grep` wants whole names."""
    return Console() if sys.stdout.isatty() else Console(width=1000)


def _table(title: str, *columns: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(
        title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", title_style="bold cyan"
    )
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def _row(table: Table, *cells: Any) -> None:
    """Cells as plain text: names of keys may look like markup."""
    table.add_row(*(Text(printable(cell) if isinstance(cell, (bytes, str)) else str(cell)) for cell in cells))


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))


def _or_unknown(value: int | None) -> str:
    return "unknown" if value is None else str(value)


# What the server says


def server_now_ms(client: Client) -> int:
    """The clock that the ids were made from, not ours."""
    seconds, micros = client.call("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def require_stream(client: Client, key: str) -> None:
    """Ends the command when the key is missing or holds something else."""
    kind = client.call("TYPE", key).decode()
    if kind == "none":
        fail(f"no such key: {key}")
    if kind != "stream":
        fail(f"{key} is a {kind}, not a stream")


@attrs.frozen
class Summary:
    """One stream, as `ls` shows it. memory: bytes, None when the server does not say."""

    key: str
    length: int
    groups: int
    last_id: str
    memory: int | None


def stream_keys(client: Client, pattern: str) -> Iterator[list[bytes]]:
    """Pages of keys that hold streams, each key once."""
    seen: set[bytes] = set()  # SCAN may give a key twice
    cursor = b"0"
    while True:
        cursor, page = client.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT, "TYPE", "stream")
        fresh = [key for key in dict.fromkeys(page) if key not in seen]
        seen.update(fresh)
        if fresh:
            yield fresh
        if cursor == b"0":
            return


def summaries(client: Client, pattern: str) -> Iterator[Summary]:
    for page in stream_keys(client, pattern):
        replies = client.call_many([("XINFO", "STREAM", key) for key in page])
        sizes = client.call_many([("MEMORY", "USAGE", key) for key in page])
        for key, reply, size in zip(page, replies, sizes, strict=True):
            if isinstance(reply, redis.ResponseError):  # deleted meanwhile
                continue
            info = pairs(reply)
            memory = size if isinstance(size, int) else None
            last_id = info["last-generated-id"].decode()
            yield Summary(printable(key), info["length"], info["groups"], last_id, memory)


def groups_of(client: Client, key: str) -> list[dict[str, Reply]]:
    return [pairs(reply) for reply in client.call("XINFO", "GROUPS", key)]


def consumers_of(client: Client, key: str, group: bytes) -> list[dict[str, Reply]]:
    return [pairs(reply) for reply in client.call("XINFO", "CONSUMERS", key, group)]


# ls


@app.command("ls")
def list_streams(
    pattern: Annotated[str, typer.Argument(help="Only keys that match, as in KEYS.")] = "*",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """List the streams of a database: length, groups, last id and its age, memory."""
    with connected(url) as client:
        now_ms = server_now_ms(client)
        found = sorted(summaries(client, pattern), key=lambda summary: summary.key)
    if as_json:
        _print_json([{**attrs.asdict(summary), "age_ms": _age_ms(summary.last_id, now_ms)} for summary in found])
        return
    table = _table("", "stream", "length", "groups", "last id", "age", "memory", numbers=("length", "groups", "memory"))
    for each in found:
        age = age_of(each.last_id, now_ms)
        _row(table, each.key, each.length, each.groups, each.last_id, age, human_bytes(each.memory))
    _console().print(table if found else "no streams")


def _age_ms(entry_id: str, now_ms: int) -> int | None:
    ms = time_of(entry_id)
    return None if ms is None else max(now_ms - ms, 0)


# info


@app.command("info")
def info(key: Key, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Show one stream with its groups and their consumers: what waits, and for whom."""
    with connected(url) as client:
        require_stream(client, key)
        now_ms = server_now_ms(client)
        stream = pairs(client.call("XINFO", "STREAM", key))
        groups = [(group, consumers_of(client, key, group["name"])) for group in groups_of(client, key)]
    if as_json:
        _print_json(_info_json(key, stream, groups))
        return
    console = _console()
    console.print(_stream_table(key, stream, now_ms))
    if groups:
        console.print(_group_table([group for group, _ in groups], now_ms))
    if any(consumers for _, consumers in groups):
        console.print(_consumer_table(groups))


_Groups = list[tuple[dict[str, Reply], list[dict[str, Reply]]]]


def _first_and_last(stream: dict[str, Reply]) -> tuple[str | None, str | None]:
    """The ids of the oldest and the newest entry; None twice when the stream is empty."""
    first, last = stream["first-entry"], stream["last-entry"]
    return (first[0].decode(), last[0].decode()) if first and last else (None, None)


def _stream_table(key: str, stream: dict[str, Reply], now_ms: int) -> Table:
    table = _table(f"stream {printable(key)}", "what", "value", "age", "local time")
    _row(table, "length", stream["length"], "", "")
    if "entries-added" in stream:
        _row(table, "entries ever added", stream["entries-added"], "", "")
    ids = [*zip(("first id", "last id"), _first_and_last(stream), strict=True)]
    ids.append(("last generated id", stream["last-generated-id"].decode()))
    for name, entry_id in ids:
        if entry_id is not None:
            _row(table, name, entry_id, age_of(entry_id, now_ms), local_time(entry_id))
    _row(table, "groups", stream["groups"], "", "")
    return table


def _group_table(groups: list[dict[str, Reply]], now_ms: int) -> Table:
    numbers = ("consumers", "pending", "lag")
    table = _table("\ngroups", "group", *numbers, "last delivered id", "age", numbers=numbers)
    for group in groups:
        delivered = group["last-delivered-id"].decode()
        lag = _or_unknown(group.get("lag"))
        _row(table, group["name"], group["consumers"], group["pending"], lag, delivered, age_of(delivered, now_ms))
    return table


def _consumer_table(groups: _Groups) -> Table:
    """idle: since the last attempt; inactive: since the last one that got entries (Redis 7.2)."""
    table = _table("\nconsumers", "group", "consumer", "pending", "idle", "inactive", numbers=("pending",))
    for group, consumers in groups:
        for each in consumers:
            inactive = each.get("inactive", -1)
            active = "-" if inactive < 0 else human_age(inactive)
            _row(table, group["name"], each["name"], each["pending"], human_age(each["idle"]), active)
    return table


def _info_json(key: str, stream: dict[str, Reply], groups: _Groups) -> dict[str, Any]:
    first, last = _first_and_last(stream)
    return {
        "key": key,
        "length": stream["length"],
        "entries_added": stream.get("entries-added"),
        "first_id": first,
        "last_id": last,
        "last_generated_id": stream["last-generated-id"].decode(),
        "groups": [_group_json(group, consumers) for group, consumers in groups],
    }


def _group_json(group: dict[str, Reply], consumers: list[dict[str, Reply]]) -> dict[str, Any]:
    return {
        "name": printable(group["name"]),
        "pending": group["pending"],
        "lag": group.get("lag"),
        "entries_read": group.get("entries-read"),
        "last_delivered_id": group["last-delivered-id"].decode(),
        "consumers": [
            {"name": printable(each["name"]), "pending": each["pending"], "idle_ms": each["idle"]} for each in consumers
        ],
    }


# tail


@attrs.frozen
class Entry:
    """One entry: its id and its (name, value) pairs, which may repeat a name."""

    id: str
    fields: list[tuple[str, str]]


def entry_of(reply: Reply) -> Entry:
    flat = [printable(item) for item in reply[1] or []]
    return Entry(reply[0].decode(), list(zip(flat[::2], flat[1::2], strict=True)))


@app.command("tail")
def tail(
    key: Key,
    count: Count = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    field: Annotated[list[str] | None, typer.Option("--field", help="Only this field; may be repeated.")] = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show the last entries of a stream, oldest first."""
    with connected(url) as client:
        require_stream(client, key)
        # Asked before the entries: what is added in between is then followed, and not lost.
        last = pairs(client.call("XINFO", "STREAM", key))["last-generated-id"].decode()
        newest_first = client.call("XREVRANGE", key, "+", "-", "COUNT", count) if count else []
        for entry in map(entry_of, reversed(newest_first)):
            _print_entry(entry, field or [], as_json)
            last = entry.id
        while follow:
            for entry in entries_after(client, key, last):
                _print_entry(entry, field or [], as_json)
                last = entry.id


def entries_after(client: Client, key: str, last: str) -> list[Entry]:
    """Waits some seconds for entries; an empty list when there are none."""
    found = client.call("XREAD", "COUNT", _FOLLOW_COUNT, "BLOCK", _BLOCK_MS, "STREAMS", key, last)
    return [entry_of(reply) for reply in found[0][1]] if found else []


def _print_entry(entry: Entry, wanted: list[str], as_json: bool) -> None:
    fields = [(name, value) for name, value in entry.fields if not wanted or name in wanted]
    if as_json:
        _print_json({"id": entry.id, "time_ms": time_of(entry.id), "fields": _fields_json(fields)})
    else:
        line = Text.assemble((entry.id, "cyan"), "  ", (local_time(entry.id), "dim"), "  ")
        if len(wanted) == 1:
            line.append(" ".join(value for _, value in fields) or "-")
        else:
            line.append(Text("  ").join(Text.assemble((name, "green"), "=", value) for name, value in fields))
        _console().print(line, soft_wrap=True)
    sys.stdout.flush()  # who follows through a pipe waits for it


def _fields_json(fields: list[tuple[str, str]]) -> dict[str, str | list[str]]:
    """{name: value}; a name that is there several times has the list of its values."""
    found: dict[str, list[str]] = {}
    for name, value in fields:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


# pending


@app.command("pending")
def pending(
    key: Key,
    group: Annotated[str, typer.Argument(help="The consumer group.")],
    consumer: Annotated[str | None, typer.Option("--consumer", help="Only what this consumer holds.")] = None,
    idle: Annotated[int, typer.Option("--idle", min=0, help="Only what was not touched for so many ms.")] = 0,
    count: Count = 10,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show what a group was given and has not acknowledged, oldest first."""
    with connected(url) as client:
        require_stream(client, key)
        total, _, _, holders = client.call("XPENDING", key, group)
        only_idle: tuple[str | int, ...] = ("IDLE", idle) if idle else ()
        only_consumer = (consumer,) if consumer is not None else ()
        entries = client.call("XPENDING", key, group, *only_idle, "-", "+", count, *only_consumer) if count else []
    held = [(printable(name), int(number)) for name, number in holders or []]
    if as_json:
        _print_json(_pending_json(total, held, entries))
        return
    console = _console()
    console.print(Text(f"{total} pending in group {printable(group)}"))
    if held:
        summary = _table("", "consumer", "pending", numbers=("pending",))
        for name, number in held:
            _row(summary, name, number)
        console.print(summary)
    if entries:
        console.print(_pending_table(entries))


def _pending_table(entries: list[Reply]) -> Table:
    table = _table("\nentries", "id", "local time", "consumer", "idle", "deliveries", numbers=("deliveries",))
    for raw_id, consumer, idle, deliveries in entries:
        entry_id = raw_id.decode()
        _row(table, entry_id, local_time(entry_id), consumer, human_age(idle), deliveries)
    return table


def _pending_json(total: int, held: list[tuple[str, int]], entries: list[Reply]) -> dict[str, Any]:
    return {
        "pending": total,
        "consumers": dict(held),
        "entries": [
            {"id": raw_id.decode(), "consumer": printable(name), "idle_ms": idle, "deliveries": deliveries}
            for raw_id, name, idle, deliveries in entries
        ],
    }
