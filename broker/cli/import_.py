"""`millstream import`: lines of JSON into a stream, as `millstream export` writes them, or by hand."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated, TextIO

import typer

from broker.cli.client import DEFAULT_URL, Url, connected, fail
from broker.cli.entries import Entry, Key, entry_from_json
from broker.cli.printing import note
from broker.cli.writing import Rate, Writer, progress_bar
from broker.inspection.units import entries


def import_(
    key: Key,
    file: Annotated[str, typer.Argument(help="What to read, `-`: standard input.")] = "-",
    keep_ids: Annotated[
        bool, typer.Option("--keep-ids", help="Under the ids of the file, which must be above those in the stream.")
    ] = False,
    rate: Rate = 0.0,
    url: Url = DEFAULT_URL,
) -> None:
    """Add entries to a stream, from lines of JSON: {"fields": {...}}, with "id" for --keep-ids. A bad line ends it."""
    with connected(url) as client:
        writer = Writer(client, key, rate, keep_ids)
        with _opened(file) as lines, progress_bar(key, None, quiet=file == "-") as bar:
            batch: list[Entry] = []
            for entry in _entries(lines, writer):
                batch.append(entry)
                if len(batch) >= writer.batch:
                    writer.write(batch)
                    batch = []
                    bar.show(writer.written)
            writer.write(batch)
    note(f"{entries(writer.written)} added to {key}")


def _opened(file: str) -> TextIO:
    try:
        return sys.stdin if file == "-" else open(file, encoding="utf-8")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")


def _entries(lines: TextIO, writer: Writer) -> Iterator[Entry]:
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _entry(line, number, writer)
    except UnicodeDecodeError as error:
        fail(f"{entries(writer.written)} added; then: the file is no UTF-8 ({error.reason})")


def _entry(line: str, number: int, writer: Writer) -> Entry:
    try:
        return entry_from_json(json.loads(line))
    except ValueError as error:
        fail(f"{entries(writer.written)} added; then line {number}: {error}")
