"""`millstream tail`: the last entries of a stream, those of the last minutes, and those to come."""

from collections.abc import Iterator
from typing import Annotated, Final

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Client, Url, connected
from broker.cli.entries import (
    PAGE,
    Condition,
    Entry,
    Fields,
    Key,
    Where,
    backward,
    chosen,
    conditions,
    entry_of,
    forward,
    print_entry,
)  # fmt: skip
from broker.cli.moments import FORMS, id_at
from broker.cli.pending import require_stream
from broker.cli.printing import note, style_of_output
from broker.inspection import gathering

_BLOCK_MS: Final = 5000  # each XREAD of --follow waits that long, so that a dead connection is noticed
_FOLLOW_COUNT: Final = 100
_COUNT: Final = 10  # entries, where neither a number nor a time is given


def tail(
    key: Key,
    count: Annotated[int | None, typer.Option("-n", "--count", min=0, help="How many entries at most.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    where: Where = None,
    field: Fields = None,
    since: Annotated[str | None, typer.Option(help=f"All that came after: {FORMS}.")] = None,
    until: Annotated[str | None, typer.Option(help="Nothing that came after.")] = None,
    scan: Annotated[int, typer.Option(min=1, help="How many entries to look at for --where.")] = 100_000,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show the last entries of a stream, oldest first: ten, unless --count or --since say otherwise."""
    if follow and until is not None:
        raise typer.BadParameter("--follow has no end", param_hint="--until")
    wanted = conditions(where)
    style = style_of_output()
    with connected(url) as client:
        require_stream(client, key)
        now_ms = client.gather(gathering.clock())
        first = "-" if since is None else id_at(since, now_ms, "--since")
        # Asked before the entries: what is added in between is then followed, and not lost.
        last = client.gather(gathering.stream(key)).last_id
        end = last if until is None else id_at(until, now_ms, "--until")
        for entry in _past(client, key, first, end, wanted, _limit(count, since), scan):
            print_entry(entry, field or [], as_json, style)
        while follow:
            for entry in entries_after(client, key, last):
                last = entry.id
                if chosen([entry], wanted):
                    print_entry(entry, field or [], as_json, style)


def _limit(count: int | None, since: str | None) -> int | None:
    return _COUNT if count is None and since is None else count


def _past(
    client: Client, key: str, first: str, last: str, wanted: list[Condition], count: int | None, scan: int
) -> Iterator[Entry]:
    """Oldest first: all of the range, as they come, or the last `count`, which are looked for from the end."""
    if count is None:
        for page in forward(client, key, first, last):
            yield from chosen(page, wanted)
        return
    found: list[Entry] = []
    looked = 0
    for page in backward(client, key, last, first, PAGE if wanted else min(count, PAGE)) if count else ():
        found += chosen(page, wanted)
        looked += len(page)
        if len(found) >= count:
            break
        if wanted and looked >= scan:
            note(f"looked at the last {looked:,} entries only; --scan {scan * 10} looks further")
            break
    yield from reversed(found[:count])


def entries_after(client: Client, key: str, last: str) -> list[Entry]:
    """Waits some seconds for entries; an empty list when there are none."""
    found = client.call("XREAD", "COUNT", _FOLLOW_COUNT, "BLOCK", _BLOCK_MS, "STREAMS", key, last)
    return [entry_of(reply) for reply in found[0][1]] if found else []
