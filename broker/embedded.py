"""A whole broker inside a Trio program: `async with open_broker() as b:`.

It is the same server that `millstream serve` runs, on a port of its own, and leaves to the program what belongs to the
program: signals, logging, garbage collection, the clock.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import trio

from broker.clock import Clock
from broker.config import Config, load
from broker.server.server import Server, Started

Setting = str | int | float | bool | os.PathLike[str] | list[str]

_ANY_ADDRESS: Final = frozenset(["*", "0.0.0.0", "::*", "::"])


class EmbeddedBroker:
    """A broker that runs. url: what clients connect to. port: 0 where there is only a Unix socket."""

    def __init__(self, server: Server, started: Started, clock: "_MovableClock") -> None:
        self._server = server
        self._clock = clock
        self.port: Final = started.port
        self.http_port: Final = started.http_port
        self.url: Final = _url(server.config, started.port)

    async def advance(self, seconds: float) -> None:
        """Let so much time pass at once, and do what falls due: times to live, schedules, blocked clients' time-outs.

        Where Trio runs on a MockClock, that one jumps; otherwise the broker's clock alone goes ahead from here on.
        """
        self._clock.advance(seconds)
        while self._server.run_turns():
            await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()


@asynccontextmanager
async def open_broker(
    *, dir: str | os.PathLike[str] | None = None, clock: Clock | None = None, **settings: Setting
) -> AsyncIterator[EmbeddedBroker]:
    """Start a broker, and end it, with all that it was told written, when the block is left, in whatever way.

    dir: where its data is kept; without one it is in memory, and gone at the end.
    clock: where it takes the time from; by default from Trio if that runs on a clock for tests, else from the machine.
    settings: those of the server, with `_` for `-`: `appendfsync="always"`, `maxmemory="100mb"`, `port=6380`.

    Raises ConfigError for settings that make no sense, ListenError, CorruptFile or OSError when it can't start or, in
    case of OSError, can't write its log at the end.
    """
    with _folder(dir) as folder:
        movable = _MovableClock(clock)
        server = Server(_config(folder, dir is not None, settings), clock=movable, embedded=True)
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                started = _Start()
                nursery.start_soon(_serve, server, started)
                try:
                    yield EmbeddedBroker(server, await started.wait(), movable)
                except BaseException as error:
                    failure = error  # raised again below: out of a nursery it would come as a group
                # A save at the end that fails would keep the server running, if it were not forced to end.
                server.shutdown.ask(force=failure is not None or bool(server.config.save_points()),
                                    at_once=failure is not None)  # fmt: skip
        except BaseExceptionGroup as group:
            raise _alone(group, failure) from failure
        if failure is not None:
            raise failure


@contextmanager
def _folder(dir: str | os.PathLike[str] | None) -> Iterator[str]:
    """Where the server keeps its files, made where it is missing. Without a name: one that goes at the end."""
    if dir is None:
        with TemporaryDirectory(prefix="millstream-") as folder:
            yield folder
    else:
        os.makedirs(dir, exist_ok=True)
        yield os.fspath(dir)


class _Start(trio.TaskStatus[Started]):
    """Waiting until the server is ready."""

    def __init__(self) -> None:
        self._ready = trio.Event()
        self._facts: Started | None = None

    def started(self, facts: Started) -> None:
        self._facts = facts
        self._ready.set()

    def ended(self) -> None:
        self._ready.set()

    async def wait(self) -> Started:
        await self._ready.wait()
        if self._facts is None:
            raise RuntimeError("a client has shut the broker down before it was ready")
        return self._facts


async def _serve(server: Server, started: _Start) -> None:
    """Shielded: when the block is cancelled, the server is asked to end as at any other time, and ends in order."""
    with trio.CancelScope(shield=True):
        await server.run(task_status=started)
    started.ended()


def _alone(group: BaseExceptionGroup[BaseException], failure: BaseException | None) -> BaseException:
    """The one error that there is, without the groups around it; a group if there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if failure is None or isinstance(failure, trio.Cancelled):
        return error  # cancelled by the nursery, since the server ended; or from outside, which shows at the next await
    return BaseExceptionGroup("the program failed, and the broker, too", [failure, error])


class _MovableClock(Clock):
    """Another clock, and what advance() added to it."""

    def __init__(self, base: Clock | None) -> None:
        self._trio = trio.lowlevel.current_clock()
        self._follows_trio = base is None and type(self._trio).__name__ != "SystemClock"
        self._base = Clock() if base is None else base
        self._added = 0.0
        self._wall_at_start = self._base.wall()
        self._trio_at_start = self._trio.current_time()
        super().__init__(self._wall, self._monotonic)

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time does not go backwards")
        if self._follows_trio:
            from trio.testing import MockClock  # only tests have one: others need not import it

            if isinstance(self._trio, MockClock):
                self._trio.jump(seconds)
                return
        self._added += seconds

    def _wall(self) -> float:
        if self._follows_trio:
            return self._wall_at_start + self._trio.current_time() - self._trio_at_start + self._added
        return self._base.wall() + self._added

    def _monotonic(self) -> float:
        if self._follows_trio:
            return self._trio.current_time() + self._added
        return self._base.monotonic() + self._added


def _config(folder: str, durable: bool, settings: dict[str, Setting]) -> Config:
    """Raises ConfigError."""
    told: dict[str, Setting] = {"port": 0, "bind": "127.0.0.1", "save": "", "appendonly": durable, "dir": folder}
    told |= {name.replace("_", "-"): value for name, value in settings.items()}
    options: list[str] = []
    for name, value in told.items():
        options += [f"--{name}", *_words(value)]
    return load(None, options)


def _words(value: Setting) -> list[str]:
    if isinstance(value, bool):
        return ["yes" if value else "no"]
    if isinstance(value, list):
        return value
    return [os.fspath(value) if isinstance(value, os.PathLike) else str(value)]


def _url(config: Config, port: int) -> str:
    password = quote(config.text("requirepass"), safe="")
    login = f":{password}@" if password else ""
    if not port:
        return f"unix://{login}{config.text('unixsocket')}"
    host = next((name.removeprefix("-") for name in config.addresses()), "127.0.0.1")
    host = "127.0.0.1" if host in _ANY_ADDRESS else host
    return f"redis://{login}{f'[{host}]' if ':' in host else host}:{port}"
