"""What commands may ask of the server (commands/control.py), done."""

import os
from typing import Final

import structlog

from broker.commands.session import Session
from broker.engine.engine import Engine
from broker.errors import CommandError
from broker.server.backup import FAILED, INCREMENTING, SEALED, SEALING, Backup
from broker.server.hub import Hub
from broker.server.info import Info
from broker.server.reloading import Reloading
from broker.server.rewriting import Rewriting
from broker.server.saving import Saving
from broker.server.shutdown import Shutdown
from broker.server.statistics import Statistics

_PER_MINUTE: Final = 10
_MINUTE_MS: Final = 60_000

log = structlog.get_logger()


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


class LineLimit:
    """Lets so many lines of one kind a minute into the log, and counts the others."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute: Final = per_minute
        self._since_ms = 0
        self._lines = 0
        self._left_out = 0

    def admit(self, now_ms: int) -> int:
        """-1: not this one; else how many were left out since the last one that was let in."""
        if self._lines == 0 or now_ms - self._since_ms >= _MINUTE_MS:
            self._since_ms = now_ms
            self._lines = 0
        if self._lines >= self._per_minute:
            self._left_out += 1
            return -1
        self._lines += 1
        left_out = self._left_out
        self._left_out = 0
        return left_out


class ServerControl:
    """Made before the engine, which needs it; connect() completes it."""

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._engine: Engine | None = None
        self._hub: Hub | None = None
        self._info: Info | None = None
        self._statistics: Statistics | None = None
        self._saving: Saving | None = None
        self._rewriting: Rewriting | None = None
        self._reloading: Reloading | None = None
        self.housekeeping_paused = False
        self._idle_lines = LineLimit(_PER_MINUTE)

    def connect(
        self, engine: Engine, hub: Hub, info: Info, statistics: Statistics, saving: Saving, rewriting: Rewriting
    ) -> None:
        self._saving = saving
        self._rewriting = rewriting
        self._engine = engine
        self._hub = hub
        self._info = info
        self._statistics = statistics

    def connect_loading(self, reloading: Reloading) -> None:
        self._reloading = reloading

    def reload(self, save: bool, flush: bool, merge: bool) -> None:
        if self._reloading:
            self._reloading.rdb(save, flush, merge)

    def load_log(self) -> None:
        if self._reloading:
            self._reloading.log()

    def info(self, sections: list[str]) -> bytes:
        return self._info.text(sections) if self._info else b""

    def reset_statistics(self) -> None:
        engine, hub, statistics = self._engine, self._hub, self._statistics
        if engine and hub and statistics:
            statistics.connections_received = 0
            statistics.rejected_connections = 0
            statistics.peak_memory = 0
            hub.traffic.bytes_in = hub.traffic.bytes_out = 0
            hub.reset_statistics()
            hub.traffic.output_limit_cuts = hub.traffic.query_limit_cuts = 0
            engine.executed = 0
            engine.keyspace.evicted_keys = 0
            if engine.shared.scripts:
                engine.shared.scripts.reset_statistics()
            engine.error_replies = 0

    def disconnect(self, session: Session, after_reply: bool) -> None:
        if after_reply:
            session.close_after_reply = True
            session.mark()
            return
        connection = self._hub.connection_of(session) if self._hub else None
        if connection is not None and self._hub:
            self._hub.close(connection, "asked")

    def client_buffers(self, session: Session) -> tuple[int, int, int]:
        connection = self._hub.connection_of(session) if self._hub else None
        if connection is None:
            return 0, 0, 0
        return connection.query_bytes, connection.unsent_pieces, connection.unsent_bytes

    def change_replication_id(self) -> None:
        if self._info:
            self._info.change_replication_id()

    def pause_housekeeping(self, paused: bool) -> None:
        self.housekeeping_paused = paused

    def log(self, message: str) -> None:
        log.warning("debug.log", message=message)

    def client_traffic(self, session: Session) -> tuple[int, int, int, int]:
        connection = self._hub.connection_of(session) if self._hub else None
        if connection is None:
            return 0, 0, 0, 0
        return (
            int(connection.bytes_in),
            int(connection.bytes_out),
            # One that waits counts once it is answered.
            int(connection.requests) + int(session.script_calls) - int(session.is_blocked),
            connection.memory_bytes(),
        )

    def group_idle(self, database: int, key: bytes, group: bytes, idle_ms: int) -> None:
        now_ms = self._engine.clock.monotonic_ms() if self._engine else 0
        dropped = self._idle_lines.admit(now_ms)
        if dropped >= 0:
            log.warning(
                "stream.group_idle", database=database, key=_shown(key), group=_shown(group), idle_ms=idle_ms,
                lines_left_out=dropped,
            )  # fmt: skip

    def pause(self, until_ms: int, writes_only: bool) -> None:
        if self._engine:
            self._engine.pause(until_ms, writes_only)

    def unpause(self) -> None:
        if self._engine:
            self._engine.unpause()

    def save(self) -> None:
        if self._saving:
            self._saving.at_once()

    def begin_save(self, is_patient: bool, in_transaction: bool) -> bool:
        return self._saving is not None and self._saving.begin(is_patient, in_transaction)

    def cancel_save(self) -> bool:
        return self._saving is not None and self._saving.cancel()

    def emptied(self) -> None:
        if self._saving:
            self._saving.emptied()

    def last_save(self) -> int:
        return self._saving.last_save if self._saving else 0

    def sync_log(self) -> None:
        if self._rewriting:
            self._rewriting.sync_log()

    def begin_rewrite(self, in_transaction: bool) -> bool:
        return self._rewriting is not None and self._rewriting.begin(in_transaction)

    @property
    def _backup(self) -> Backup:
        assert self._rewriting is not None, "commands come after connect()"
        return self._rewriting.backup

    def backup_start(self) -> None:
        self._backup.start()

    def backup_seal(self, again: bool) -> bool:
        backup = self._backup
        if not again:
            backup.seal()
        elif backup.state == FAILED:
            raise CommandError("ERR", f"The backup failed: {backup.error}")
        return backup.state == SEALED

    def backup_status(self) -> list[bytes]:
        backup = self._backup
        state = INCREMENTING if backup.state == SEALING else backup.state
        facts = [("state", state), ("error", backup.error)]
        facts += [("start_time", str(backup.start_time)), ("end_time", str(backup.end_time))]
        return [word.encode() for fact in facts for word in fact]

    def backup_paths(self) -> list[bytes]:
        return [os.fsencode(path) for path in self._backup.paths()]

    def backup_abort(self) -> None:
        self._backup.abort()

    def backup_clean_up(self) -> None:
        self._backup.clean_up()

    def shutdown(self, session: Session, save: bool | None, now: bool, force: bool) -> None:
        self._shutdown.ask(force, at_once=now, save=save, asker=session)

    def abort_shutdown(self) -> bool:
        return False  # once asked for, the end is only a drain away: nothing waits that could be called back
