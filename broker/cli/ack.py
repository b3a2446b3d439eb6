"""`millstream ack`: acknowledge entries by hand."""

from typing import Annotated

import typer

from broker.cli.claim import Group, Ids
from broker.cli.client import DEFAULT_URL, AsJson, Client, Url, connected
from broker.cli.entries import Key
from broker.cli.pending import require_stream
from broker.cli.printing import confirm, print_json
from broker.inspection import gathering
from broker.inspection.units import entries

_PAGE = 500


def ack(
    key: Key,
    group: Group,
    ids: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is pending now; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Acknowledge pending entries: the group will not deliver them again."""
    if bool(ids) == everything:
        raise typer.BadParameter("either ids or --all")
    with connected(url) as client:
        require_stream(client, key)
        if ids:
            done = client.call("XACK", key, group, *ids)
        else:
            total, _, last, _ = client.call("XPENDING", key, group)
            confirm(f"Acknowledge {entries(total)} that group {group} has not finished?", yes or not total)
            done = _all(client, key, group, last.decode()) if total else 0
    if as_json:
        print_json({"acknowledged": done})
    else:
        print(f"{entries(done)} acknowledged")


def _all(client: Client, key: str, group: str, last: str) -> int:
    done, after = 0, "-"
    while True:
        page = client.gather(gathering.pending(key, group, _PAGE, after=after, until=last))
        if not page:
            return done
        done += client.call("XACK", key, group, *(each.id for each in page))
        after = f"({page[-1].id}"
