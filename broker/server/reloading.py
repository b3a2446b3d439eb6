"""DEBUG RELOAD and DEBUG LOADAOF: what was saved, or logged, is loaded again while nobody gets on. For tests."""

from collections.abc import Callable
from pathlib import Path

import structlog

from broker.engine.engine import Engine
from broker.errors import CommandError, CorruptFile
from broker.keyspace.channel_log import ChannelLog
from broker.persistence.aof import AppendOnlyLog
from broker.persistence.recovery import load_log, load_rdb, read_manifest
from broker.server.loading import Loading
from broker.server.saving import Saving

log = structlog.get_logger()


class Reloading:
    def __init__(
        self, engine: Engine, loading: Loading, saving: Saving, log_of: Callable[[], AppendOnlyLog | None]
    ) -> None:
        self._engine = engine
        self._loading = loading
        self._saving = saving
        self._log_of = log_of

    def rdb(self, save: bool, flush: bool, merge: bool) -> None:
        """Raises CommandError."""
        config, keyspace = self._engine.config, self._engine.keyspace
        if save:
            self._saving.at_once()
        path = Path(config.text("dir")) / config.text("dbfilename")
        checks = config.boolean("rdbchecksum")
        now_ms = int(keyspace.now_ms)
        apply = self._loading.apply()
        self._again(flush, lambda: self._loading.at_once(
            lambda progress: load_rdb(path, keyspace, now_ms, checks, progress, apply, merge)
        ), "Error trying to load the RDB dump, check server logs.")  # fmt: skip
        log.warning("rdb.reloaded", keys=self._loading.keys)

    def log(self) -> None:
        """Raises CommandError."""
        current = self._log_of()
        if current is not None:
            current.append(self._engine.journal.take())
        keyspace = self._engine.keyspace
        folder = Path(self._engine.config.text("dir")) / self._engine.config.text("appenddirname")
        failure = "Error trying to load the AOF files, check server logs."
        try:
            manifest = read_manifest(folder, self._engine.config.text("appendfilename"))
        except CorruptFile as error:
            log.error("log.corrupt", error=str(error))
            raise CommandError("ERR", failure) from None
        if manifest is None:
            self._flush()
            return
        apply = self._loading.apply()
        self._again(True, lambda: self._loading.at_once(
            lambda progress: load_log(folder, manifest, apply, keyspace, False, progress)
        ), failure)  # fmt: skip

    def _again(self, flush: bool, load: Callable[[], None], failure: str) -> None:
        engine = self._engine
        journaled = engine.journal.enabled
        dirty = engine.keyspace.dirty
        engine.journal.enabled = False  # what is loaded is no change
        try:
            if flush:
                self._flush()
            load()
        except (CorruptFile, OSError) as error:
            engine.keyspace.expiry = True
            log.error("loading.failed", error=str(error))
            raise CommandError("ERR", failure) from None
        finally:
            engine.journal.enabled = journaled
            engine.keyspace.dirty = dirty

    def _flush(self) -> None:
        keyspace = self._engine.keyspace
        for db in keyspace.databases:
            for key in keyspace.watches.watched_in(db.index):
                if db.is_overdue(key):
                    keyspace.watches.lapse(db.index, key)
                elif db.table.has(key):
                    keyspace.watches.spoil(db.index, key)
            db.clear()
        if self._engine.shared.scripts is not None:
            self._engine.shared.scripts.flush_libraries()
        keyspace.channel_log = ChannelLog()
