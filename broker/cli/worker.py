"""`millstream worker module:app`: run the consumers of an application until SIGTERM."""

import importlib
import importlib.util
import logging
import os
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import structlog
import trio
import typer

from broker.cli.supervisor import MULTIPROCESS, READY_FD, WRONG_TARGET, Door, DoorError, Supervisor
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
    processes: Annotated[int, typer.Option(min=1, help="Worker processes. One that dies is started again.")] = 1,
    reload: Annotated[bool, typer.Option("--reload", help="Start anew when a Python file here changes.")] = False,
    grace: Annotated[float, typer.Option(min=0.0, help="Seconds that running handlers get after SIGTERM.")] = 30.0,
    http_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics, /healthz and /readyz there; 0: a free port.")
    ] = None,
    http_host: Annotated[str, typer.Option(help="The address for --http-port.")] = "127.0.0.1",
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Run the consumers of an application. SIGTERM or Ctrl-C drains; a second one stops at once."""
    try:
        _configure_logging(log_level)
        door = None if http_port is None else (http_host, http_port)
        if READY_FD not in os.environ and (processes > 1 or reload):
            command = [
                sys.executable,
                "-m",
                "broker",
                "worker",
                target,
                "--grace",
                str(grace),
                "--log-level",
                log_level,
            ]
            command += [] if url is None else ["--url", url]
            command += [] if concurrency is None else ["--concurrency", str(concurrency)]
            status = _run_processes(command, processes, reload, door)
        else:
            running = Worker(load_app(target), url=url, concurrency=concurrency, grace=grace)
            status = trio.run(_run_one, running, door)
    except (TargetError, ConfigurationError, DoorError) as error:
        typer.echo(f"millstream worker: {error}", err=True)
        raise typer.Exit(WRONG_TARGET) from None
    if status:
        raise typer.Exit(status)


def _run_processes(command: list[str], processes: int, reload: bool, door: Door | None) -> int:
    if reload and importlib.util.find_spec("watchfiles") is None:
        raise TargetError("--reload needs the package watchfiles: pip install millstream[reload]")
    watch = [Path.cwd()] if reload else []
    if door is None:
        return trio.run(Supervisor(command, processes, watch=watch).run)
    from broker.cli import worker_pages as pages

    with TemporaryDirectory(prefix="millstream-worker-") as folder:
        environment = {MULTIPROCESS: folder}
        supervisor = Supervisor(
            command, processes, watch=watch, environment=environment, exits=partial(pages.forget_process, folder)
        )
        shown = pages.paths_of(partial(pages.all_metrics, folder), supervisor.unready)
        return trio.run(pages.with_pages, supervisor.run, door, shown)


async def _run_one(running: Worker, door: Door | None) -> int:
    """The exit status."""
    ready = trio.Event()
    if door is not None or MULTIPROCESS in os.environ:
        from broker.cli import worker_pages as pages

        pages.count(running.app)

    async def run() -> int:
        async with trio.open_nursery() as nursery:
            if READY_FD in os.environ:
                nursery.start_soon(_report_ready, ready, int(os.environ[READY_FD]))
                nursery.start_soon(_drain_with_the_supervisor, running)
            drained = await run_worker(running, ready)
            nursery.cancel_scope.cancel()
        return 0 if drained else 1

    if door is None:
        return await run()

    def unready() -> str | None:
        return "draining" if running.draining else None if ready.is_set() else "starting"

    return await pages.with_pages(run, door, pages.paths_of(pages.own_metrics, unready))


async def _report_ready(ready: trio.Event, descriptor: int) -> None:
    await ready.wait()
    os.write(descriptor, b"1")


async def _drain_with_the_supervisor(running: Worker) -> None:
    """Standard input ends when the supervisor does, however that dies."""
    async with trio.lowlevel.FdStream(os.dup(0)) as stream:
        while await stream.receive_some():
            continue
    running.drain()


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
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),  # a line in one piece: several processes may write,
    )


def _console() -> structlog.dev.ConsoleRenderer:
    """With plain tracebacks: the rich ones print local variables, which hold what is in the messages."""
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
