"""`millstream check`: what is in RDB files and logs, ours or Redis's, and whether they are whole."""

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import attrs
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from broker.errors import CorruptFile
from broker.inspection.units import human_bytes
from broker.persistence.checking import FileReport, check_file, cut, files_of, offset_after

Where = Annotated[Path, typer.Argument(help="An RDB file, a log, a manifest, or a folder of them.", metavar="FILE|DIR")]


def check(
    path: Where,
    fix: Annotated[bool, typer.Option("--fix", help="Cut a log at the first damage. What follows it is lost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
    truncate_to_timestamp: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="Cut a log before what was written after this Unix time, which takes "
                     "`aof-timestamp-enabled yes`."),
    ] = None,
) -> None:  # fmt: skip
    """Read RDB files and logs: how many keys of which types, and the first damage. Status 1 when there is any."""
    try:
        files = files_of(path)
        if truncate_to_timestamp is not None:
            _truncate(files, truncate_to_timestamp)
        reports = _check_all(files, quiet=as_json)
        if fix:
            reports = [_fixed(report, report is reports[-1]) for report in reports]
    except CorruptFile as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}")
    if as_json:
        print(json.dumps([attrs.asdict(report) for report in reports], indent=2))
    else:
        for report in reports:
            _print(report)
    sys.exit(1 if any(report.damage for report in reports) else 0)


def _fail(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    sys.exit(1)


def _check_all(files: list[Path], quiet: bool) -> list[FileReport]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        reports = []
        for file in files:
            task = progress.add_task(Text(file.name).plain.replace("[", "\\["), total=file.stat().st_size)
            reports.append(check_file(file, lambda size, task=task: progress.advance(task, size)))  # type: ignore[misc]
        return reports


def _print(report: FileReport) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(f"{report.path}: {report.kind}, {human_bytes(report.bytes)}"))
    if report.version:
        console.print(Text(f"  format: {report.version}" + "".join(f", {k} {v}" for k, v in report.facts.items())))
    if report.types:
        table = Table("type", "keys", "bytes", "expiring", "biggest", box=None, pad_edge=False)
        for name, one in sorted(report.types.items()):
            biggest = f"{one.biggest} ({human_bytes(one.biggest_bytes)})"
            table.add_row(name, str(one.keys), human_bytes(one.bytes), str(one.expiring), Text(biggest))
        console.print(table)
    if report.functions or report.records:
        console.print(Text(f"  {report.functions} libraries of functions, {report.records} records of Millstream"))
    if report.commands:
        commands = sorted(report.commands.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {count}" for name, count in commands[:12])
        console.print(Text(f"  commands: {sum(report.commands.values())} ({shown}{', ...' if commands[12:] else ''})"))
    if report.first_timestamp:
        console.print(Text(f"  written from {report.first_timestamp} to {report.last_timestamp} (Unix time)"))
    if report.damage:
        console.print(Text(f"  DAMAGED at byte {report.offset}: {report.damage}", style="bold red"))
        if report.kind.endswith("aof"):
            console.print(Text(f"  all is well up to byte {report.whole}; --fix cuts the file there"))
    else:
        console.print(Text("  all is well", style="green"))


# -- changing


def _fixed(report: FileReport, is_last: bool) -> FileReport:
    if not report.damage:
        return report
    path = Path(report.path)
    if not report.kind.endswith("aof"):
        _fail(f"{path}: an RDB file can't be fixed: {report.damage} (at byte {report.offset})")
    if not is_last:
        _fail(f"{path}: not the last file of its log: to cut it would let the next one begin after a gap")
    _refuse_use(path)
    cut(path, report.whole)
    print(f"{path}: cut at byte {report.whole}, {report.bytes - report.whole} bytes less", file=sys.stderr)
    return check_file(path, lambda size: None)


def _truncate(files: list[Path], timestamp: int) -> None:
    for file in files:
        if file.suffix == ".rdb":
            continue
        offset = offset_after(file, timestamp)
        if offset < 0:
            continue
        if file is not files[-1]:
            _fail(f"{file}: the time is reached at byte {offset} of a file that is not the last one of its log")
        _refuse_use(file)
        print(f"{file}: cut at byte {offset}, {file.stat().st_size - offset} bytes less", file=sys.stderr)
        cut(file, offset)
        return
    print(f"nothing was written after {timestamp}", file=sys.stderr)


def _refuse_use(path: Path) -> None:
    """A server locks the folder of its log."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _fail(f"{path}: a server uses this log: end it first")
    finally:
        os.close(folder)
