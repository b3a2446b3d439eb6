"""`millstream claim`: hand pending entries to another consumer."""

from typing import Annotated

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Client, Url, connected
from broker.cli.entries import Key
from broker.cli.moments import duration_ms
from broker.cli.pending import require_stream
from broker.cli.printing import print_json
from broker.inspection.units import entries, printable

Group = Annotated[str, typer.Argument(help="The consumer group.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The entries.")]


def claim(
    key: Key,
    group: Group,
    consumer: Annotated[str, typer.Argument(help="Who gets them. It is made where it is missing.")],
    ids: Ids = None,
    idle: Annotated[str, typer.Option("--idle", help="Only what was not touched for so long: 90s, 5m.")] = "1m",
    most: Annotated[int, typer.Option("-n", "--most", min=1, help="Without ids: how many at most.")] = 100,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Give entries that another consumer left behind to CONSUMER: these, or those that are idle for longest. The counts
    of deliveries stay as they are.
    """
    idle_ms = duration_ms(idle, "--idle")
    with connected(url) as client:
        require_stream(client, key)
        if ids:
            claimed = client.call("XCLAIM", key, group, consumer, idle_ms, *ids, "JUSTID")
        else:
            claimed = _oldest(client, key, group, consumer, idle_ms, most)
    found = [entry_id.decode() for entry_id in claimed]
    if as_json:
        print_json({"claimed": found})
        return
    for entry_id in found:
        print(entry_id)
    print(f"{entries(len(found))} given to {printable(consumer)}")


def _oldest(client: Client, key: str, group: str, consumer: str, idle_ms: int, most: int) -> list[bytes]:
    found: list[bytes] = []
    cursor: bytes | str = "0-0"
    while len(found) < most:
        count = most - len(found)
        reply = client.call("XAUTOCLAIM", key, group, consumer, idle_ms, cursor, "COUNT", count, "JUSTID")
        cursor, claimed = reply[0], reply[1]
        found += claimed
        if cursor == b"0-0":
            break
    return found
