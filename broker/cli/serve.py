"""`millstream serve [FILE] [--name value ...]`"""

import sys
from pathlib import Path
from typing import Annotated

import structlog
import trio
import typer

from broker.config import Config, ConfigError, load
from broker.errors import CorruptFile
from broker.observability.log import configure
from broker.server.listeners import ListenError
from broker.server.server import Server

log = structlog.get_logger()


def serve(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE] [--name value ...]", help="A file in redis.conf syntax (`-`: standard input), "
                       "then settings: --port 6380 --appendfsync always"),
    ] = None,
) -> None:  # fmt: skip
    """Serve until SIGTERM. Settings have the names of redis.conf; `--port 0` picks a free port and prints it."""
    config = _load(arguments or [])
    configure(config.text("loglevel"), config.text("logfile"), stdout=True)
    sys.exit(run(config))


def _load(arguments: list[str]) -> Config:
    file = None
    if arguments and (arguments[0] == "-" or not arguments[0].startswith("-")):
        file = Path(arguments.pop(0))
    try:
        return load(file, arguments)
    except ConfigError as error:
        print(f"\n{error}", file=sys.stderr)
        sys.exit(1)


def run(config: Config) -> int:
    """Serve; the exit status."""
    failures: list[str] = []
    try:
        trio.run(_serve, Server(config))
    except* CorruptFile as group:
        failures += [_told("log.corrupt", error) for error in group.exceptions]
    except* ListenError as group:
        failures += [_told("server.can_not_start", error) for error in group.exceptions]
    except* OSError as group:
        failures += [_told("server.failed", error) for error in group.exceptions]
    return 1 if failures else 0


def _told(event: str, error: BaseException) -> str:
    log.critical(event, error=str(error))
    return event


async def _serve(server: Server) -> None:
    await server.run(signals=True)
