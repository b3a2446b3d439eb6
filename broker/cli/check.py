"""`millstream check`: what is in RDB files and logs, ours or Redis's, and whether they are whole."""

import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import attrs
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from broker.cli.replaying import replay
from broker.errors import CorruptFile
from broker.inspection.units import human_bytes
from broker.persistence.checking import (
    FileReport,
    TypeStatistics,
    check_file,
    cut,
    groups_of,
    offset_after,
    statistics_of,
)

_MOST_EXECUTED: Final = 1 << 30  # bytes, unless asked for

Where = Annotated[Path, typer.Argument(help="An RDB file, a log, a manifest, or a folder of them.", metavar="FILE|DIR")]


def check(
    path: Where,
    fix: Annotated[bool, typer.Option("--fix", help="Cut a log at the first damage. What follows it is lost.")] = False,
    execute: Annotated[
        bool | None,
        typer.Option("--execute/--no-execute", help="Execute logs, too, to tell keys by type and find commands that "
                     "fail: the time and memory of a start. Without either: logs of up to 1 GiB."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON for scripts.")] = False,
    truncate_to_timestamp: Annotated[
        int | None,
        typer.Option(metavar="SECONDS", help="Cut a log before what was written after this Unix time, which takes "
                     "`aof-timestamp-enabled yes`."),
    ] = None,
) -> None:  # fmt: skip
    """Read RDB files and logs: how many keys of which types, and the first damage. Status 1 when there is any.

    --fix cuts the last file of a log. An RDB file can't be fixed: `convert --until-damage` saves what stands before.
    """
    try:
        groups = groups_of(path)
        if truncate_to_timestamp is not None:
            _truncate([file for group in groups for file in group], truncate_to_timestamp)
        reports = []
        for group in groups:
            found = _check_all(group, quiet=as_json)
            if fix:
                found = [_fixed(report, report is found[-1]) for report in found]
            _execute(group, found, execute, quiet=as_json)
            reports += found
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


def _execute(files: list[Path], reports: list[FileReport], wanted: bool | None, quiet: bool) -> None:
    """A log that is whole, but for its end: what it amounts to."""
    size = sum(report.bytes for report in reports)
    if all(report.kind == "rdb" for report in reports) or any(
        report.damage and not report.is_torn for report in reports
    ):
        return
    if wanted is False or (wanted is None and size > _MOST_EXECUTED):
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True) as progress:
        task = progress.add_task("executing", total=size)
        try:
            keyspace, _ = replay(files, lambda done: progress.advance(task, done))
        except CorruptFile as error:
            report = next(report for report in reports if report.path == error.path)
            if not report.damage:
                report.damage, report.offset, report.whole = error.why, error.offset, error.offset
            return
    reports[-1].data = statistics_of(keyspace)


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
        console.print(_table(report.types))
    if report.functions or report.records:
        console.print(Text(f"  {report.functions} libraries of functions, {report.records} records of Millstream"))
    if report.commands:
        commands = sorted(report.commands.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{name} {count}" for name, count in commands[:12])
        console.print(Text(f"  commands: {sum(report.commands.values())} ({shown}{', ...' if commands[12:] else ''})"))
    if report.data:
        console.print(Text("  the log as a whole, executed; bytes as in an RDB file:"))
        console.print(_table(report.data))
    if report.first_timestamp:
        console.print(Text(f"  written from {report.first_timestamp} to {report.last_timestamp} (Unix time)"))
    if report.damage:
        console.print(Text(f"  DAMAGED at byte {report.offset}: {report.damage}", style="bold red"))
        if report.kind.endswith("aof"):
            console.print(Text(f"  all is well up to byte {report.whole}; --fix cuts the file there"))
    else:
        console.print(Text("  all is well", style="green"))


def _table(types: dict[str, TypeStatistics]) -> Table:
    table = Table("type", "keys", "bytes", "expiring", "biggest", box=None, pad_edge=False)
    for name, one in sorted(types.items()):
        biggest = f"{one.biggest} ({human_bytes(one.biggest_bytes)})"
        table.add_row(name, str(one.keys), human_bytes(one.bytes), str(one.expiring), Text(biggest))
    return table


# -- changing


def _fixed(report: FileReport, is_last: bool) -> FileReport:
    if not report.damage:
        return report
    path = Path(report.path)
    if not report.kind.endswith("aof"):
        _fail(
            f"{path}: an RDB file can't be fixed, since its parts have no marks to go on from: {report.damage} "
            f"(at byte {report.offset}). The keys before that can be saved: millstream convert --until-damage"
        )
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
