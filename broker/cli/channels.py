"""`millstream channels`: who listens to what, and which channels are retained."""

from typing import Final

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Line, Looking, Most, Pattern, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.facts import Channels
from broker.inspection.units import human_bytes, printable

_NUMBERS: Final = frozenset(["subscribers", "channels", "messages", "memory", "kept of each"])


def channels(
    pattern: Pattern = "*",
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List channels that somebody listens to, subscriptions by pattern, and what CHANNEL RETAIN keeps."""

    def look(looking: Looking) -> View:
        return _view(looking.client.gather(gathering.channels(pattern)), most)

    show(look, url, as_json, watch, every)


def _view(found: Channels, most: int) -> View:
    shown, more = cut(found.found, most)
    rows = [(each.name, each.kind, each.subscribers) for each in shown]
    parts: list[Table | Line] = [
        Table(("channel", "kind", "subscribers"), rows, _NUMBERS, none="no channels with subscribers"), *more
    ]  # fmt: skip
    if found.patterns:
        parts.append(Line(f"{found.patterns:,} subscriptions by pattern"))
    parts.append(_retained(found))
    json = {
        "channels": [
            {"name": printable(each.name), "kind": each.kind, "subscribers": each.subscribers} for each in shown
        ],
        "patterns": found.patterns,
        "retained": [{"pattern": printable(rule.pattern), **rule.facts} for rule in found.retained],
    }
    return View(json, parts)


def _retained(found: Channels) -> Table:
    columns = ("retained", "kept of each", "channels", "messages", "memory")
    rows = []
    for rule in found.retained:
        kept, channels, messages, size = (int(str(rule.facts.get(name, 0))) for name in _RULE)
        rows.append((rule.pattern, kept, channels, messages, human_bytes(size)))
    return Table(columns, rows, _NUMBERS, title="retained channels")


_RULE: Final = ("max-length", "channels", "messages", "bytes")
