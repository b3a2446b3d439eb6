"""`millstream keys`: keys with their types, sizes and times to live."""

from typing import Annotated, Final

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Line, Looking, Most, Pattern, Table, View, Watch, show
from broker.inspection import gathering
from broker.inspection.facts import Key
from broker.inspection.units import human_age, human_bytes, printable

_ORDERS: Final = ("none", "name", "memory", "size", "ttl")


def keys(
    pattern: Pattern = "*",
    kind: Annotated[str, typer.Option("--type", help="Only keys of this type: string, list, stream ...")] = "",
    sort: Annotated[
        str, typer.Option(help=f"By what, after a look at every key that matches: {', '.join(_ORDERS[1:])}.")
    ] = "none",
    most: Most = 100,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List keys: type, encoding, size, memory, time to live. Without --sort it stops when it has found enough."""
    if sort not in _ORDERS:
        raise typer.BadParameter(f"one of {', '.join(_ORDERS)}", param_hint="--sort")

    def look(looking: Looking) -> View:
        enough = most if sort == "none" else 0
        found = looking.client.gather(gathering.keys(pattern, kind, enough))
        if sort != "none":
            found.sort(key=lambda each: _rank(each, sort))
        total = looking.client.call("DBSIZE")
        return _view(found[:most] if most else found, total)

    show(look, url, as_json, watch, every)


def _rank(each: Key, sort: str) -> tuple[int, bytes]:
    if sort == "ttl":
        return (1 << 62 if each.ttl_ms is None else each.ttl_ms, each.key)
    return ({"name": 0, "memory": -(each.memory or 0), "size": -(each.size or 0)}[sort], each.key)


def _view(found: list[Key], total: int) -> View:
    rows = [
        (each.key, each.type, each.encoding or "-", "-" if each.size is None else each.size, human_bytes(each.memory),
         "-" if each.ttl_ms is None else human_age(each.ttl_ms))
        for each in found
    ]  # fmt: skip
    numbers = frozenset(["size", "memory", "expires in"])
    table = Table(("key", "type", "encoding", "size", "memory", "expires in"), rows, numbers, none="no keys")
    json = [
        {
            "key": printable(each.key),
            "type": each.type,
            "encoding": each.encoding,
            "size": each.size,
            "memory": each.memory,
            "ttl_ms": each.ttl_ms,
        }
        for each in found
    ]
    return View(json, [table, Line(f"{len(found):,} of {total:,} keys in this database", "dim")])
