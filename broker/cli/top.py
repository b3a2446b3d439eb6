"""`millstream top`: a live screen of a server. The screen itself is in top_screen.py, which needs textual."""

from typing import Annotated

import typer

from broker.cli.client import DEFAULT_URL, Url, connected, fail, without_password
from broker.cli.printing import Pattern
from broker.inspection import gathering


def top(
    pattern: Pattern = "*",
    url: Url = DEFAULT_URL,
    every: Annotated[float, typer.Option("--every", min=0.2, metavar="SECONDS", help="How often to look.")] = 2.0,
) -> None:
    """Watch a server: rates, memory, the busiest streams, groups by lag, slow consumers. Enter looks into one."""
    try:
        from broker.cli.top_screen import Top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        fail("top needs the package textual: pip install 'millstream[inspector]'")
    with connected(url) as client:
        client.gather(gathering.clock())  # what is wrong is told before there is a screen
        screen = Top(client, without_password(url), pattern, every)
        screen.run()
        if screen.failure is not None:
            raise screen.failure
