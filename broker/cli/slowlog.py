"""`millstream slowlog`: the requests that took longest, newest first."""

from broker.cli.client import DEFAULT_URL, AsJson, Url
from broker.cli.printing import Every, Looking, Most, Table, View, Watch, show
from broker.inspection import gathering
from broker.inspection.facts import SlowRequest
from broker.inspection.units import human_age, human_micros, printable

_WORDS = 12  # of a request, on the screen


def slowlog(
    most: Most = 20,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
    watch: Watch = False,
    every: Every = 2.0,
) -> None:
    """Show slow requests (slowlog-log-slower-than): when, how long, who, what."""

    def look(looking: Looking) -> View:
        now_s = looking.client.gather(gathering.clock()) // 1000
        found = looking.client.gather(gathering.slow_requests(most or -1))
        rows = [
            (each.id, human_age(max(now_s - each.at_s, 0) * 1000), human_micros(each.micros), each.address,
             each.client_name, _request(each))
            for each in found
        ]  # fmt: skip
        columns = ("id", "ago", "took", "client", "name", "request")
        table = Table(columns, rows, frozenset(["id", "ago", "took"]), none="no slow requests")
        return View([_json(each) for each in found], [table])

    show(look, url, as_json, watch, every)


def _request(each: SlowRequest) -> str:
    words = [printable(word) for word in each.words[:_WORDS]]
    return " ".join([*words, "..."] if len(each.words) > _WORDS else words)


def _json(each: SlowRequest) -> dict[str, object]:
    return {
        "id": each.id,
        "time_s": each.at_s,
        "micros": each.micros,
        "request": [printable(word) for word in each.words],
        "address": printable(each.address),
        "client_name": printable(each.client_name),
    }
