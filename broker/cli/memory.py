"""`millstream memory`: what takes the memory, and how much there may be."""

from typing import Annotated, Final

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Looking, Table, View, Watch, show
from broker.inspection import gathering
from broker.inspection.facts import Key, Server
from broker.inspection.units import human_bytes, printable

_FACTS: Final = (  # (what it is, field of INFO)
    ("used", "used_memory"),
    ("peak", "used_memory_peak"),
    ("limit (maxmemory)", "maxmemory"),
    ("process (RSS)", "used_memory_rss"),
    ("data", "used_memory_dataset"),
    ("overhead", "used_memory_overhead"),
    ("clients", "mem_clients_normal"),
    ("scripts", "used_memory_scripts"),
    ("log buffer", "mem_aof_buffer"),
    ("retained channels", "mem_retained_channels"),
    ("machine", "total_system_memory"),
)


def memory(
    biggest: Annotated[
        int, typer.Option(min=0, metavar="N", help="Also the N biggest keys, after a look at every key.")
    ] = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """Show what memory the server uses, for what, and within which limit."""

    def look(looking: Looking) -> View:
        found = looking.client.gather(gathering.server("memory"))
        keys = looking.client.gather(gathering.keys()) if biggest else []
        keys = sorted(keys, key=lambda each: (-(each.memory or 0), each.key))[:biggest]
        return View(_json(found, keys), [_table(found), _keys(keys)])

    show(look, url, as_json, watch, every)


def _table(found: Server) -> Table:
    rows: list[tuple[str, str]] = []
    for what, field in _FACTS:
        size = found.number(field)
        if size is not None:
            rows.append((what, "none" if field == "maxmemory" and not size else human_bytes(size)))
    rows.append(("policy", found.info.get("maxmemory_policy", "-")))
    rows.append(("fragmentation", found.info.get("mem_fragmentation_ratio", "-")))
    return Table(("memory", "amount"), rows, frozenset(["amount"]))


def _keys(found: list[Key]) -> Table:
    rows = [(each.key, each.type, "-" if each.size is None else each.size, human_bytes(each.memory)) for each in found]
    return Table(("key", "type", "size", "memory"), rows, frozenset(["size", "memory"]), title="biggest keys")


def _json(found: Server, keys: list[Key]) -> dict[str, object]:
    facts: dict[str, object] = {field: found.number(field) for _, field in _FACTS}
    facts["maxmemory_policy"] = found.info.get("maxmemory_policy")
    facts["mem_fragmentation_ratio"] = found.decimal("mem_fragmentation_ratio")
    if keys:
        facts["biggest"] = [
            {"key": printable(each.key), "type": each.type, "size": each.size, "memory": each.memory} for each in keys
        ]
    return facts
