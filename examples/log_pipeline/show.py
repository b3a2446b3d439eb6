"""Print what the log pipeline has counted."""

from typing import Annotated, Any

import attrs
import trio
import typer
from coredis import Redis
from rich.console import Console
from rich.table import Column, Table

from consumers.connection import open_client
from examples.log_pipeline.app import GROUP, STREAM, UNPARSED

_COLUMNS = 5  # statuses with a column of their own: a terminal is narrow


@attrs.frozen
class Totals:
    """The numbers of one look. `lines` were added to the stream; each is counted, unparsed, or still to do."""

    lines: int
    unparsed: int
    statuses: dict[str, int]
    minutes: dict[str, int]

    @property
    def counted(self) -> int:
        return sum(self.statuses.values())


async def totals(client: Redis[bytes]) -> Totals:
    """One consistent look, in one transaction."""
    async with client.pipeline(transaction=True) as pipe:
        lines, unparsed = pipe.xlen(STREAM), pipe.xlen(UNPARSED)
        statuses = pipe.zrange("log:statuses", 0, -1, withscores=True)
        minutes = pipe.zrange("log:minutes", 0, -1, withscores=True)
    return Totals(await lines, await unparsed, _scores(await statuses), _scores(await minutes))


async def of_minute(client: Redis[bytes], minute: str) -> dict[str, int]:
    return _scores(await client.zrange(f"log:minute:{minute}", 0, -1, withscores=True))


def _scores(members: Any) -> dict[str, int]:
    return {one.member.decode(): int(one.score) for one in members}


async def table(client: Redis[bytes], found: Totals, rows: int) -> Table:
    """The last `rows` minutes, newest last; the most frequent statuses as columns."""
    statuses = sorted(found.statuses, key=lambda status: -found.statuses[status])[:_COLUMNS]
    result = Table(Column("minute (UTC)", no_wrap=True), title=f"{STREAM}, group {GROUP}")
    for name in (*statuses, "others", "all"):
        result.add_column(name, justify="right")
    for minute in sorted(found.minutes)[-rows:]:
        result.add_row(minute, *_cells(await of_minute(client, minute), statuses))
    result.add_section()
    result.add_row("all", *_cells(found.statuses, statuses))
    return result


def _cells(counts: dict[str, int], statuses: list[str]) -> list[str]:
    every = sum(counts.values())
    named = [counts.get(status, 0) for status in statuses]
    return [str(count or "") for count in (*named, every - sum(named), every)]


async def show(url: str, rows: int, console: Console) -> None:
    async with open_client(url) as client:
        found = await totals(client)
        console.print(await table(client, found, rows))
        left = found.lines - found.counted - found.unparsed
        console.print(
            f"{found.lines} lines: {found.counted} counted, {found.unparsed} unparsed ({UNPARSED}), {left} to do"
        )


def main(
    url: Annotated[str, typer.Option(help="The broker.", envvar="LOG_URL")] = "redis://127.0.0.1:6379",
    rows: Annotated[int, typer.Option(help="Minutes to show.", min=1)] = 20,
) -> None:
    """Show the counts per minute and status."""
    trio.run(show, url, rows, Console())


if __name__ == "__main__":
    typer.run(main)
