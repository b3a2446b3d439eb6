"""Adding many entries to a stream: in pipelines, at a limited rate, with a progress bar."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from broker.cli.client import Client, fail
from broker.cli.entries import Entry
from broker.inspection import units

Rate = Annotated[
    float,
    typer.Option("--rate", min=0.0, metavar="N", help="At most so many entries per second, 0: as fast as it goes."),
]

_BATCH: Final = 500  # entries in one round trip
_SLICES: Final = 10  # batches per second where the rate is low


class Writer:
    """Adds to one stream. keep_ids: under the ids that the entries have, which must grow."""

    def __init__(self, client: Client, key: str, rate: float, keep_ids: bool = False) -> None:
        self.written = 0
        self.last_read = ""  # id of the last entry that was added, where it came from
        self._client = client
        self._key = key
        self._rate = rate
        self._keep_ids = keep_ids
        self._began = time.monotonic()

    @property
    def batch(self) -> int:
        """How many entries to hand over at once."""
        return max(1, min(_BATCH, int(self._rate / _SLICES))) if self._rate else _BATCH

    def write(self, entries: list[Entry]) -> None:
        """Ends the command at the first entry that the server refuses."""
        for at in range(0, len(entries), self.batch):
            part = entries[at : at + self.batch]
            self._wait(len(part))
            replies = self._client.call_many(
                [("XADD", self._key, entry.id if self._keep_ids else "*", *entry.flat) for entry in part]
            )
            for entry, reply in zip(part, replies, strict=True):
                if isinstance(reply, Exception):
                    fail(f"{units.entries(self.written)} added, up to {self.last_read or 'none'}; then: {reply}")
                self.written += 1
                self.last_read = entry.id

    def _wait(self, coming: int) -> None:
        if self._rate:
            time.sleep(max(0.0, self._began + (self.written + coming) / self._rate - time.monotonic()))


class Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def show(self, done: int, total: int | None = None) -> None:
        self._progress.update(self._task, completed=done, total=total)


@contextmanager
def progress_bar(what: str, total: int | None, quiet: bool) -> Iterator[Bar]:
    """On standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}"), TimeRemainingColumn())
    disable = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=disable, transient=True) as progress:
        yield Bar(progress, progress.add_task(what, total=total))
