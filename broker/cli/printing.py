"""What the inspecting commands print: tables, lines, JSON; once, or again and again with --watch.

Tables are our own: rich takes a millisecond for each row, which is ten seconds for ten thousand streams.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import attrs
import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.text import Text

from broker.cli.client import Client, connected, fail
from broker.inspection.history import History
from broker.inspection.units import printable

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")]
Every = Annotated[float, typer.Option("--every", min=0.1, metavar="SECONDS", help="How often to look with --watch.")]
Most = Annotated[int, typer.Option("-n", "--most", min=0, help="How many lines at most, 0: all.")]
Pattern = Annotated[str, typer.Argument(help="Only names that match, as in KEYS: orders, orders.*")]

_NARROWEST: Final = 8  # columns are not cut below
_GAP: Final = "  "
_ANSI: Final = {"bold": "\x1b[1m", "title": "\x1b[1;36m", "dim": "\x1b[2m", "warn": "\x1b[33m", "bad": "\x1b[31m"}
_ANSI_END: Final = "\x1b[0m"

Json = Any  # what json.dumps() takes
Cell = str | bytes | int


@attrs.frozen
class Table:
    """numbers: the columns that are aligned to the right. none: what is said when there are no rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: frozenset[str] = frozenset()
    title: str = ""
    none: str = ""


@attrs.frozen
class Line:
    """A line of its own. style: a name in _ANSI, or none."""

    text: str
    style: str = ""


@attrs.frozen
class View:
    """What a command has to show: to scripts, and to people."""

    json: Json
    parts: Sequence[Table | Line]


@attrs.frozen
class Style:
    """width: of the terminal; 0 where nobody counts columns: `| grep` wants whole names."""

    width: int
    has_colours: bool

    def paint(self, text: str, style: str) -> str:
        return f"{_ANSI[style]}{text}{_ANSI_END}" if style and self.has_colours else text


def style_of_output() -> Style:
    """Colours only on a terminal, and not with NO_COLOR (https://no-color.org) or a dumb one."""
    if not sys.stdout.isatty():
        return Style(0, False)
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Style(shutil.get_terminal_size().columns, not plain)


# Tables


def lines_of(view: View, style: Style) -> list[str]:
    lines: list[str] = []
    for part in view.parts:
        if isinstance(part, Line):
            lines.append(style.paint(part.text, part.style))
        else:
            lines += _table(part, style, spaced=bool(lines))
    return lines


def _table(table: Table, style: Style, spaced: bool) -> list[str]:
    if not table.rows:
        return [table.none] if table.none else []
    cells = [[printable(cell) if isinstance(cell, (str, bytes)) else f"{cell:,}" for cell in row] for row in table.rows]
    widths = [max(map(cell_len, column)) for column in zip(table.columns, *cells, strict=True)]
    if style.width:
        widths = _fitted(widths, [name in table.numbers for name in table.columns], style.width)
    right = [name in table.numbers for name in table.columns]
    lines = ["", style.paint(table.title, "title")] if table.title and spaced else []
    lines = lines or ([style.paint(table.title, "title")] if table.title else [])
    lines.append(style.paint(_row(list(table.columns), widths, right), "bold"))
    return lines + [_row(row, widths, right) for row in cells]


def _fitted(widths: list[int], fixed: list[bool], width: int) -> list[int]:
    """Narrower columns where the terminal is: the widest first, numbers never."""
    widths = list(widths)
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while excess > 0:
        widest = max((at for at in range(len(widths)) if not fixed[at]), key=widths.__getitem__, default=None)
        if widest is None or widths[widest] <= _NARROWEST:
            break
        others = [w for at, w in enumerate(widths) if not fixed[at] and at != widest]
        cut = min(excess, max(widths[widest] - max([*others, _NARROWEST]), 1))
        widths[widest] -= cut
        excess -= cut
    return widths


def _row(cells: list[str], widths: list[int], right: list[bool]) -> str:
    parts = []
    for cell, width, is_right in zip(cells, widths, right, strict=True):
        size = cell_len(cell)
        if size > width:
            parts.append(set_cell_size(cell, width - 1) + "…")
        else:
            parts.append(" " * (width - size) + cell if is_right else cell + " " * (width - size))
    return _GAP.join(parts).rstrip()


# Output


def print_json(value: Json) -> None:
    """One line. Flushed: who follows through a pipe waits for it, and a reader that is gone is noticed here."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_view(view: View, as_json: bool) -> None:
    if as_json:
        print_json(view.json)
    else:
        print("\n".join(lines_of(view, style_of_output())), flush=True)


def note(text: str) -> None:
    """For people, beside the output that scripts read."""
    print(printable(text), file=sys.stderr)


def cut(rows: list[Any], most: int) -> tuple[list[Any], list[Line]]:
    """The first rows, and a line that tells how many there are besides."""
    if not most or len(rows) <= most:
        return rows, []
    return rows[:most], [Line(f"... and {len(rows) - most:,} more (-n 0 shows all)", "dim")]


# Looking


@attrs.frozen
class Looking:
    """What a command looks with. history: of the looks before, so that it can tell rates."""

    client: Client
    history: History
    watches: bool

    def rate(self, name: object, total: int) -> float | None:
        """Growth of a counter per second since the last look."""
        return self.history.sample(name, total, time.monotonic()) if self.watches else None


Look = Callable[[Looking], View]


def show(look: Look, url: str, as_json: bool, watch: bool, every: float) -> None:
    """Look once, or until Ctrl-C. On a terminal each look replaces the one before."""
    with connected(url) as client:
        looking = Looking(client, History(), watch)
        if not watch:
            print_view(look(looking), as_json)
        elif as_json or not sys.stdout.isatty():
            while True:
                print_view(look(looking), as_json)
                time.sleep(every)
        else:
            _watch_on_screen(look, looking, every)


def _watch_on_screen(look: Look, looking: Looking, every: float) -> None:
    console = Console(highlight=False, no_color=True if os.environ.get("NO_COLOR") else None)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            view = look(looking)
            height = shutil.get_terminal_size().lines
            lines = lines_of(view, style_of_output())
            if len(lines) > height:
                lines = [*lines[: height - 1], "..."]
            live.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)
            time.sleep(every)


def confirm(question: str, yes: bool) -> None:
    """Ends the command unless the user agrees. Without a terminal nobody can: --yes has to be said."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail(f"{question} Say --yes: no terminal is here to ask")
    if not typer.confirm(question):
        raise typer.Exit(1)
