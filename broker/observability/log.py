"""The log: for a person when a terminal reads it, one JSON object a line otherwise.

Never raises: a log that can't be written (terminal closed, disk full, reader gone) loses lines, not the server. What
was lost is counted in `lost_lines`. Values of keys are never logged, so tracebacks come without local variables.
"""

import os
import sys
from typing import IO, Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS: Final[dict[str, int]] = {  # Redis's loglevels as numbers of the logging module
    "debug": 10,
    "verbose": 20,  # nothing of ours lies between debug and notice
    "notice": 20,
    "warning": 30,
    "nothing": 50,  # "critical", which nothing of ours uses
}


class Sink:
    """Where lines go. A file is opened for each line, as Redis does, so that it may be moved away at any time."""

    def __init__(self, stream: IO[str] | None, path: str = "") -> None:
        self._stream = stream
        self._path = path
        self.lost_lines = 0

    def write_line(self, text: str) -> None:
        raw = (text + "\n").encode("utf-8", "backslashreplace")
        try:
            if self._path:
                with open(self._path, "ab", buffering=0) as file:
                    file.write(raw)
            elif self._stream is not None:
                self._stream.write(raw.decode())
                self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed
            self.lost_lines += 1

    def is_terminal(self) -> bool:
        try:
            return not self._path and self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    # structlog calls a method named after the level
    debug = info = msg = warning = warn = error = critical = exception = fatal = log = write_line


def configure(level: str, logfile: str = "", stdout: bool = False) -> Sink:
    """Send what is logged from now on to `logfile`, or, when it is empty, to standard error, or to standard output as
    servers do. May be called again.

    level: one of LEVELS. Raises ValueError for any other, OSError when the file can't be opened.
    """
    if level not in LEVELS:
        raise ValueError(f"no such loglevel: {level}")
    if logfile:
        with open(logfile, "ab"):  # told at start, while somebody is looking
            pass
    sink = Sink(sys.stdout if stdout else sys.stderr, os.path.abspath(logfile) if logfile else "")
    structlog.configure(
        processors=_processors(sink.is_terminal()),
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=False,  # else CONFIG SET loglevel would not reach the loggers of modules
    )
    return sink


def _processors(terminal: bool) -> list[Processor]:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=not terminal),
        printable,
    ]
    if terminal:
        plain = structlog.dev.plain_traceback
        return [*shared, structlog.dev.ConsoleRenderer(colors=True, exception_formatter=plain)]
    return [*shared, structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def printable(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Bytes become text, and no text can forge a second line or steer a terminal: clients choose names that we log."""
    for key, value in event.items():
        if isinstance(value, bytes):
            value = value.decode("utf-8", "backslashreplace")
        if isinstance(value, str):
            event[key] = value.translate(_CONTROL)
    return event
