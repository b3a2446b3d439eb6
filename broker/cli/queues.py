"""`millstream queues`: lists that are used as queues, the longest first."""

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Looking, Most, Pattern, Table, View, Watch, cut, show
from broker.inspection import gathering
from broker.inspection.units import human_bytes, printable


def queues(
    pattern: Pattern = "*",
    most: Most = 0,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """List lists: how many elements wait in them. (An empty list is no key, and not shown.)"""

    def look(looking: Looking) -> View:
        found = looking.client.gather(gathering.keys(pattern, "list"))
        found.sort(key=lambda each: (-(each.size or 0), each.key))
        shown, more = cut(found, most)
        rows = [(each.key, each.size or 0, human_bytes(each.memory)) for each in shown]
        json = [{"key": printable(each.key), "length": each.size, "memory": each.memory} for each in shown]
        numbers = frozenset(["length", "memory"])
        return View(json, [Table(("queue", "length", "memory"), rows, numbers, none="no queues"), *more])

    show(look, url, as_json, watch, every)
