"""`millstream read`: a range of a stream, from either end."""

from itertools import islice
from typing import Annotated

import typer

from broker.cli.client import DEFAULT_URL, AsJson, Url, connected
from broker.cli.entries import PAGE, Fields, Key, Where, backward, chosen, conditions, forward, print_entry
from broker.cli.moments import FORMS, id_at
from broker.cli.pending import require_stream
from broker.cli.printing import style_of_output
from broker.inspection import gathering


def read(
    key: Key,
    first: Annotated[str, typer.Argument(metavar="FROM", help=f"Where to begin: {FORMS}.")] = "-",
    last: Annotated[str, typer.Argument(metavar="TO", help="Where to end.")] = "+",
    count: Annotated[int, typer.Option("--count", min=0, help="How many entries at most, 0: all.")] = 10,
    reverse: Annotated[bool, typer.Option("--reverse", help="Newest first.")] = False,
    where: Where = None,
    field: Fields = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Show entries from FROM to TO, both of them included. Changes nothing, neither in the stream nor in its groups."""
    wanted = conditions(where)
    style = style_of_output()
    with connected(url) as client:
        require_stream(client, key)
        now_ms = client.gather(gathering.clock())
        ends = id_at(first, now_ms, "FROM"), id_at(last, now_ms, "TO")
        page = PAGE if wanted or not count else min(count, PAGE)
        pages = backward(client, key, ends[1], ends[0], page) if reverse else forward(client, key, *ends, page)
        found = (entry for page in pages for entry in chosen(page, wanted))
        for entry in islice(found, count or None):
            print_entry(entry, field or [], as_json, style)
