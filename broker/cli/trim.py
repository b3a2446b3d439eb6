"""`millstream trim`: remove the oldest entries of a stream."""

from typing import Annotated

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Url, connected
from broker.cli.entries import Key
from broker.cli.moments import FORMS, id_at
from broker.cli.pending import require_stream
from broker.cli.printing import confirm, print_json
from broker.inspection import gathering
from broker.inspection.units import entries, local_time


def trim(
    key: Key,
    keep: Annotated[int | None, typer.Option("--keep", min=0, help="Keep so many entries, the newest.")] = None,
    before: Annotated[str | None, typer.Option("--before", help=f"Remove what is older: {FORMS}.")] = None,
    approximately: Annotated[
        bool, typer.Option("--approximately", help="Some may stay, where removing them would cost more.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Remove the oldest entries of a stream, after asking. Groups that did not read them yet will not get them."""
    if (keep is None) == (before is None):
        raise typer.BadParameter("either --keep or --before")
    with connected(url) as client:
        require_stream(client, key)
        there = client.gather(gathering.stream(key))
        if keep is not None:
            limit: tuple[str, str | int] = ("MAXLEN", keep)
            what = f"the oldest {max(there.length - keep, 0):,} of {there.length:,} entries"
        else:
            first = id_at(before or "", client.gather(gathering.clock()), "--before")
            first = {"-": "0", "+": f"{there.last_id}"}.get(first, first)
            limit = ("MINID", first)
            what = f"the entries below {first} ({local_time(first)}) of {there.length:,}"
        confirm(f"Remove {what} from {key}?", yes)
        removed = client.call("XTRIM", key, limit[0], "~" if approximately else "=", limit[1])
    if as_json:
        print_json({"removed": removed})
    else:
        print(f"{entries(removed)} removed")
