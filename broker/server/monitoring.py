"""What /metrics, /healthz and /readyz read of a running server."""

from collections.abc import Iterable, Mapping

from broker.engine.admission import IS_LOADING, WRITES_REFUSED
from broker.engine.engine import Engine
from broker.observability.metrics import CommandStat, Statistics
from broker.server.info import Info
from broker.server.shutdown import Shutdown


class InfoStatistics:
    """INFO's figures in the form that the metrics take."""

    def __init__(self, info: Info) -> None:
        self._info = info

    def info(self) -> Mapping[str, int | float | str]:
        return self._info.fields()

    def command_stats(self) -> Iterable[CommandStat]:
        for command in self._info.commands():
            name = command.wire_name.decode()
            yield CommandStat(
                name, int(command.calls), int(command.seconds * 1e6), int(command.rejected), int(command.failed)
            )

    def keyspace(self) -> Iterable[tuple[int, int, int]]:
        return [(number, keys, expiring) for number, (keys, expiring) in self._info.databases().items()]


class ServerState:
    """Ready or not, and why."""

    def __init__(self, engine: Engine, info: Info, shutdown: Shutdown) -> None:
        self.statistics: Statistics = InfoStatistics(info)
        self._engine = engine
        self._shutdown = shutdown

    def unready(self) -> str | None:
        if self._shutdown.asked:
            return "shutting down"
        if self._engine.gate & IS_LOADING:
            return "loading the log"
        if self._engine.gate & WRITES_REFUSED:
            return "the log can't be written"
        return None
