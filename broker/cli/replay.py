"""`millstream replay`: add a part of a stream to another once more."""

from typing import Annotated

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Client, Url, connected, fail
from broker.cli.entries import Key, Where, chosen, conditions, forward
from broker.cli.moments import FORMS, id_at
from broker.cli.pending import require_stream
from broker.cli.printing import print_json
from broker.cli.writing import Rate, Writer, progress_bar
from broker.inspection import gathering
from broker.inspection.units import entries, time_of


def replay(
    key: Key,
    first: Annotated[str, typer.Argument(metavar="FROM", help=f"Where to begin: {FORMS}.")],
    last: Annotated[str, typer.Argument(metavar="TO", help="Where to end.")],
    into: Annotated[str, typer.Option("--into", help="The stream that gets the entries, under new ids.")],
    where: Where = None,
    rate: Rate = 1000.0,
    count: Annotated[int, typer.Option("--count", min=0, help="At most so many entries, 0: all.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell how many it would be.")] = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Add the entries from FROM to TO, both of them included, to another stream. What comes meanwhile is left out."""
    wanted = conditions(where)
    with connected(url) as client:
        require_stream(client, key)
        begin, end = _range(client, key, first, last)
        writer = Writer(client, into, rate)
        counted = 0
        with progress_bar(f"{key} -> {into}", _span(begin, end), quiet=as_json) as bar:
            for page in forward(client, key, begin, end):
                found = chosen(page, wanted)
                if count:
                    found = found[: count - counted]
                counted += len(found)
                if not dry_run:
                    writer.write(found)
                bar.show(_passed(begin, page[-1].id))
                if count and counted >= count:
                    break
    _tell(key, into, counted, writer, dry_run, as_json)


def _range(client: Client, key: str, first: str, last: str) -> tuple[str, str]:
    """The ids, with the present end of the stream in the place of `+`: where a stream is replayed into itself, that
    would never be reached.
    """
    now_ms = client.gather(gathering.clock())
    there = client.gather(gathering.stream(key))
    begin, end = id_at(first, now_ms, "FROM"), id_at(last, now_ms, "TO")
    begin = there.first_id or "0-0" if begin == "-" else begin
    end = there.last_id if end == "+" or _number(end) > _number(there.last_id) else end
    if "+" in begin or end == "-":
        fail("FROM has to come before TO")
    return begin, end


def _number(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return (int(ms or 0), int(seq) if seq else 1 << 64)


def _span(begin: str, end: str) -> int | None:
    """By time, as nobody knows how many entries there are in between. None: the ids hold none."""
    first, last = time_of(begin), time_of(end)
    return None if first is None or last is None else max(last - first, 1)


def _passed(begin: str, at: str) -> int:
    first, here = time_of(begin), time_of(at)
    return 0 if first is None or here is None else here - first


def _tell(key: str, into: str, counted: int, writer: Writer, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(
            {"from": key, "into": into, "entries": counted, "last_id": writer.last_read or None, "dry_run": dry_run}
        )
    elif dry_run:
        print(f"{entries(counted)} of {key} would be added to {into}")
    else:
        print(f"{entries(counted)} of {key} added to {into}")
