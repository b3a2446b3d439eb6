"""The table of log formats. A parser takes a line and gives a Record, or None where the line isn't of its format.

To add a format, write a function and add it to PARSERS; the order is the order of trying.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import attrs


@attrs.frozen
class Record:
    """What is counted of a line: the minute it belongs to, in UTC, as 2026-11-21T01:25, and a short word for what it
    says.
    """

    minute: str
    status: str


Parser = Callable[[str], Record | None]

_ACCESS = re.compile(r'\S+ \S+ .+? \[([^\]]+)\] "(?:[^"\\]|\\.)*" (\d{3}) (?:\d+|-)(?: |$)')
_DPKG = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:status (\S+)|(\w+)) \S")
_SYSLOG = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) \S+ ([^\s:\[]+)(?:\[\d+\])?: ")
_GIT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) [0-9a-f]{7,40} ")


def access_log(line: str) -> Record | None:
    """Common and combined log format of web servers; the status is the HTTP status."""
    if (found := _ACCESS.match(line)) is None:
        return None
    return _record(lambda: datetime.strptime(found[1], "%d/%b/%Y:%H:%M:%S %z"), found[2])


def syslog(line: str) -> Record | None:
    """System logs with ISO timestamps (rsyslog's present default); the status is the program."""
    if (found := _SYSLOG.match(line)) is None:
        return None
    return _record(lambda: datetime.fromisoformat(found[1]), found[2])


def git_log(line: str) -> Record | None:
    """`git log --format='%cI %h %s'`; the status is "commit"."""
    if (found := _GIT.match(line)) is None:
        return None
    return _record(lambda: datetime.fromisoformat(found[1]), "commit")


def dpkg_log(line: str) -> Record | None:
    """The package manager's log (local time, taken as UTC); the status is the package's state, or the action."""
    if (found := _DPKG.match(line)) is None:
        return None
    return _record(lambda: datetime.fromisoformat(found[1]).replace(tzinfo=UTC), found[2] or found[3])


def _record(moment: Callable[[], datetime], status: str) -> Record | None:
    try:
        return Record(moment().astimezone(UTC).strftime("%Y-%m-%dT%H:%M"), status)
    except ValueError:  # looks like a time, but there is no 31st of June
        return None


PARSERS: dict[str, Parser] = {"access": access_log, "syslog": syslog, "git": git_log, "dpkg": dpkg_log}


def parse(line: str) -> Record | None:
    """The record of the first parser that knows the line."""
    for parser in PARSERS.values():
        if (record := parser(line)) is not None:
            return record
    return None
