"""`millstream groups`: consumer groups, and what waits in them."""

from typing import Final

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Line, Looking, Most, Pattern, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.facts import Group
from broker.inspection.units import age_ms, age_of, human_count, printable

_NUMBERS: Final = frozenset(["consumers", "pending", "lag"])


def groups(
    pattern: Pattern = "*",
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List the consumer groups of streams: consumers, pending, lag, what was delivered last, the group's policy."""

    def look(looking: Looking) -> View:
        now_ms = looking.client.gather(gathering.clock())
        streams = sorted(looking.client.gather(gathering.streams(pattern)), key=lambda each: each.key)
        shown, more = cut(looking.client.gather(gathering.groups(streams)), most)
        return View([group_json(each, now_ms) for each in shown], [_table(shown, now_ms), *_policies(shown), *more])

    show(look, url, as_json, watch, every)


def _table(found: list[Group], now_ms: int) -> Table:
    columns = ("stream", "group", "consumers", "pending", "lag", "last delivered id", "age")
    rows = [
        (each.stream, each.name, each.consumers, each.pending, human_count(each.lag), each.delivered_id,
         age_of(each.delivered_id, now_ms))
        for each in found
    ]  # fmt: skip
    return Table(columns, rows, _NUMBERS, none="no groups")


def _policies(found: list[Group]) -> list[Table | Line]:
    """Groups of Millstream that do something by themselves."""
    having = [each for each in found if each.policy]
    if not having:
        return []
    columns = ("stream", "group", "in flight", "waiting", "given up", "policy")
    rows = [
        (each.stream, each.name, each.in_flight or 0, each.returned or 0, each.dead or 0, _policy(each.policy))
        for each in having
    ]
    return [Table(columns, rows, frozenset(["in flight", "waiting", "given up"]), title="policies")]


def _policy(policy: dict[str, object]) -> str:
    """What is set, as XGROUP POLICY takes it."""
    parts = []
    for name, value in policy.items():
        if name == "paused":
            parts += ["PAUSE"] if value else []
        elif value:
            words = value if isinstance(value, list) else [value]
            parts.append(" ".join([name.upper(), *map(str, words)]))
    return " ".join(parts)


def group_json(each: Group, now_ms: int) -> dict[str, object]:
    return {
        "stream": printable(each.stream),
        "name": printable(each.name),
        "consumers": each.consumers,
        "pending": each.pending,
        "lag": each.lag,
        "entries_read": each.read,
        "last_delivered_id": each.delivered_id,
        "age_ms": age_ms(each.delivered_id, now_ms),
        "policy": each.policy or None,
        "in_flight": each.in_flight,
        "waiting": each.returned,
        "given_up": each.dead,
    }
