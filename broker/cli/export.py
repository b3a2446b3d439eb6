"""`millstream export`: a stream as lines of JSON, which `millstream import` takes."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TextIO

import typer

from broker.cli.client import DEFAULT_URL, Url, connected, fail
from broker.cli.entries import Key, Where, chosen, conditions, exact_json, forward
from broker.cli.moments import FORMS, id_at
from broker.cli.pending import require_stream
from broker.cli.printing import note
from broker.cli.writing import progress_bar
from broker.inspection import gathering
from broker.inspection.units import entries


def export(
    key: Key,
    file: Annotated[str, typer.Argument(help="Where to write, `-`: standard output.")] = "-",
    since: Annotated[str, typer.Option(help=f"Where to begin: {FORMS}.")] = "-",
    until: Annotated[str, typer.Option(help="Where to end.")] = "+",
    where: Where = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Write the entries of a stream as JSON, one line each: {"id": ..., "fields": {...}}. Nothing is lost: bytes that
    are no UTF-8 are {"base64": "..."}, and fields that repeat a name a list of pairs.
    """
    wanted = conditions(where)
    with connected(url) as client:
        require_stream(client, key)
        now_ms = client.gather(gathering.clock())
        there = client.gather(gathering.stream(key))
        last = there.last_id if until == "+" else id_at(until, now_ms, "--until")
        written = 0
        with _opened(file, force) as output, progress_bar(key, there.length, quiet=file == "-") as bar:
            for page in forward(client, key, id_at(since, now_ms, "--since"), last):
                for entry in chosen(page, wanted):
                    output.write(json.dumps(exact_json(entry), ensure_ascii=False) + "\n")
                    written += 1
                output.flush()
                bar.show(written, there.length)
    note(f"{entries(written)} of {key} written")


@contextmanager
def _opened(file: str, force: bool) -> Iterator[TextIO]:
    """A new file appears when it is whole."""
    if file == "-":
        yield sys.stdout
        return
    target = Path(file)
    if target.exists() and not force:
        fail(f"{file} exists already; --force replaces it")
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as output:
            yield output
        part.replace(target)
    except OSError as error:
        if error.filename is None:
            raise  # of the connection
        fail(f"{error.filename}: {error.strerror}")
    finally:
        part.unlink(missing_ok=True)
