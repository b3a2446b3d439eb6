"""`millstream worker module:app`: run the consumers of an application until SIGTERM."""

import importlib
import logging
import os
import sys
from typing import Annotated

import structlog
import trio
import typer

from consumers import App, ConfigurationError, Worker, run_worker


class TargetError(Exception):
    """The target doesn't name an App: the text says why."""


def load_app(target: str) -> App:
    """The App that `module:attribute` names (`module` alone: its `app`). The working directory is importable. Raises
    TargetError.
    """
    module_name, _, attribute = target.partition(":")
    attribute = attribute or "app"
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise TargetError(f"no module named {error.name!r} (looked in {os.getcwd()} and the Python path)") from None
        raise TargetError(f"module {module_name!r} can't be imported: {error}") from error
    except (ValueError, TypeError):
        raise TargetError(f"{target!r} is not of the form module:app") from None
    except (ImportError, SyntaxError, ConfigurationError) as error:
        raise TargetError(f"module {module_name!r} can't be imported: {error}") from error
    found = getattr(module, attribute, None)
    if found is None:
        raise TargetError(f"module {module_name!r} has no attribute {attribute!r}")
    if not isinstance(found, App):
        raise TargetError(f"{module_name}:{attribute} is a {type(found).__name__}, not a consumers.App")
    if not (found.consumers or found.services):
        raise TargetError(
            f"{module_name}:{attribute} has no consumers: decorate a handler with @{attribute}.consumer(...)"
        )
    return found


def worker(
    target: Annotated[str, typer.Argument(help="The application, as module:app.", metavar="MODULE:APP")],
    url: Annotated[
        str | None, typer.Option(help="The server. Default: what the app says, redis://127.0.0.1:6379 if nothing.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Handlers at a time, for every consumer of the app.")
    ] = None,
    grace: Annotated[float, typer.Option(min=0.0, help="Seconds that running handlers get after SIGTERM.")] = 30.0,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the consumers of an application. SIGTERM or Ctrl-C drains; a second one stops at once."""
    try:
        _configure_logging(log_level)
        app = load_app(target)
        running = Worker(app, url=url, concurrency=concurrency, grace=grace)
    except (TargetError, ConfigurationError) as error:
        typer.echo(f"millstream worker: {error}", err=True)
        raise typer.Exit(2) from None
    if not trio.run(run_worker, running):
        raise typer.Exit(1)


def _configure_logging(level: str) -> None:
    """To stderr: for people on a terminal, JSON lines otherwise."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise TargetError(f"no log level {level!r}: debug, info, warning or error")
    # The client library tells of every lost connection with a traceback; `connection.lost` says it once.
    logging.getLogger("coredis").setLevel(logging.CRITICAL)
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([] if terminal else [structlog.processors.format_exc_info]),
            _console() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _console() -> structlog.dev.ConsoleRenderer:
    """With plain tracebacks: the rich ones print local variables, which hold what is in the messages."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
