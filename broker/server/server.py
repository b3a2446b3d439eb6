"""The only wiring: config, engine, log, hub, listeners and tasks, put together and taken apart."""

import contextlib
import os
import secrets
import shutil
import socket
import sys
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

import attrs
import structlog
import trio

from broker.clock import Clock
from broker.commands.connection import let_in
from broker.commands.session import NOBODY, Session
from broker.config import Config, Veto
from broker.engine.admission import WRITES_REFUSED
from broker.engine.engine import Engine
from broker.errors import CorruptFile
from broker.observability.log import configure
from broker.persistence.aof import AppendOnlyLog, Disk
from broker.persistence.aof_format import Manifest
from broker.persistence.file_lock import FileLock
from broker.persistence.recovery import load_log, load_rdb, read_manifest
from broker.persistence.upgrade import upgrade
from broker.scripting.scripts import Scripting
from broker.server import listeners
from broker.server.background import Housekeeping, Timer, take_over_garbage_collection
from broker.server.backup import LOG_OF_BACKUP
from broker.server.control import ServerControl
from broker.server.hub import Hub
from broker.server.info import Facts, Info
from broker.server.loading import Loading
from broker.server.memory_info import used_memory
from broker.server.monitoring import ServerState
from broker.server.protected import denied
from broker.server.reloading import Reloading
from broker.server.rewriting import Rewriting
from broker.server.saving import Saving
from broker.server.shutdown import Drain, Shutdown, watch_signals
from broker.server.statistics import Statistics
from broker.version import VERSION, is_compiled

if TYPE_CHECKING:
    from broker.console.web import Console

log = structlog.get_logger()
_TURNS: Final = 16  # before control goes back to Trio, so that the other tasks stay fair
_TURNS_WHILE_SAVING: Final = 4  # likewise, so that a save gets on, too
_DRAIN_SECONDS: Final = 5.0
_FOREVER_MS: Final = 1 << 60
_FIXED: Final = ("http-port", "http-host", "http-admin", "unixsocket")
_FULL: Final = b"-ERR max number of clients reached\r\n"


@attrs.define
class Started:
    """What a server that is ready tells."""

    port: int  # TCP; 0 when there is none
    http_port: int


class Server:
    """One broker. run() serves until it is asked to end; it may be run once.

    embedded: it is a part of another program, to which logging and garbage collection belong.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        rng: Random | None = None,
        disk: Disk | None = None,
        embedded: bool = False,
    ) -> None:
        self._embedded = embedded
        self.config = config
        self.clock = clock or Clock()
        self.shutdown = Shutdown()
        self.statistics = Statistics()
        self.control = ServerControl(self.shutdown)
        self.engine = Engine(config, self.control, self.clock, rng or Random(), _log_bug)
        self.log: AppendOnlyLog | None = None
        self.hub = Hub(self.engine, self._write_log, self._replies_wait, self._start_sync, _log_close)
        self._timer = Timer(self.hub.wake)
        self._housekeeping = Housekeeping(self.hub, self._idle_seconds, self._sample, self._is_paused, embedded)
        self._drain = Drain(self._owes)
        self._disk = disk or Disk()
        self.saving = Saving(self.engine, lambda: self.rewriting.is_active, self._disk)
        self.rewriting = Rewriting(
            self.engine, self.saving, lambda: self.log, self._new_log, self._turn_log_off, self._turn_log_on
        )
        self.rewriting.backup.told = self._backup_told
        self._nursery: trio.Nursery | None = None
        self._doors = listeners.Doors(config, self._accepted)
        self._log_task = trio.CancelScope()
        self._log_task_ended = trio.Event()
        self.loading = Loading(self.engine)
        self._rdb_lock = FileLock()
        self._is_preloaded = False
        self._stamps = False
        self._stamped = 0  # Unix time of the last annotation
        self._failure: Exception | None = None  # of loading
        self._facts = Facts(secrets.token_hex(20), 0, self.clock.now_ms(), sys.argv[0])
        self.scripts = Scripting(config, self.engine.script_calls, self._answer_others)
        self.engine.shared.scripts = self.scripts
        self._watch_settings()

    # -- life

    async def run(
        self, *, signals: bool = False, task_status: trio.TaskStatus[Started] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Recover, listen, serve; return when all is flushed and closed.

        Raises CorruptFile (the log), ListenError (an address), OSError (the log can't be written at the end).
        """
        about = f"Millstream {VERSION}, PID: {os.getpid()}"
        self._tell("Server initialized", about=about, port=self.config.integer("port"))  # " PID: " is waited for
        self._warn_of_settings()
        manifest = self._prepare()
        self.info = Info(
            self.engine,
            self.hub,
            self.statistics,
            self._facts,
            lambda: self.log,
            self.saving,
            self.rewriting,
            self.loading,
        )
        self.control.connect(self.engine, self.hub, self.info, self.statistics, self.saving, self.rewriting)
        self.control.connect_loading(Reloading(self.engine, self.loading, self.saving, lambda: self.log))
        if not self._embedded:
            take_over_garbage_collection()
        try:
            async with trio.open_nursery() as nursery:
                if signals:
                    await nursery.start(watch_signals, self.shutdown)
                await self._serve(nursery, manifest, task_status)
                nursery.cancel_scope.cancel()
            if self._failure is not None:
                raise self._failure
            self._close_log()
        finally:
            self._doors.close()  # if something else has ended the server
            self.hub.close_all()
            if self.log:
                self.log.unlock()
                if self.log.folder.name == LOG_OF_BACKUP:
                    shutil.rmtree(self.log.folder, ignore_errors=True)
            self._rdb_lock.release()
        self._tell("server.stopped")

    def _tell(self, event: str, **facts: object) -> None:
        """Of start and end, for whoever runs the server: a program that has one inside need not hear it."""
        if not self._embedded:
            log.warning(event, **facts)

    async def _serve(
        self, nursery: trio.Nursery, manifest: Manifest | None, task_status: trio.TaskStatus[Started]
    ) -> None:
        """Until the end is asked for and everybody has what he is owed."""
        with trio.CancelScope() as accepting:
            started = await self._listen(nursery)
            nursery.start_soon(self._turn_forever)
            nursery.start_soon(self._timer.run)
            nursery.start_soon(self._housekeeping.run)
            async with trio.open_nursery() as accept_nursery:
                self._doors.start(accept_nursery)
                if not await self._load(manifest):
                    accepting.cancel()
                    return
                self._nursery = nursery
                if self.log:
                    nursery.start_soon(self._run_log, self.log)
                await nursery.start(self.saving.run)
                await nursery.start(self.rewriting.run)
                self._announce(started)
                task_status.started(started)
                while True:
                    await self.shutdown.wait()
                    if await self._save_finally():
                        break
                    self.shutdown.refuse()
                    self.hub.wake()
                accepting.cancel()
        with trio.CancelScope(shield=True):
            self._doors.close()
            self._remove_unix_socket()
            with self.shutdown.patience:
                await self._drain.wait(_DRAIN_SECONDS)
            if self._owes():
                log.warning("server.drain_incomplete", seconds=_DRAIN_SECONDS)

    async def _save_finally(self) -> bool:
        """The last RDB file, when there are save points or somebody wants it. False: it failed, the server goes on."""
        wanted = self.shutdown.save
        if wanted is None:
            wanted = bool(self.config.save_points())
        if not wanted:
            return True
        self.engine.pause(_FOREVER_MS, writes_only=False)  # what would be changed from here on would be lost
        await self.rewriting.stop()
        if await self.saving.finally_() or self.shutdown.forced:
            return True
        log.error("server.shutdown_refused", why="the data can't be saved")
        self.engine.unpause()
        return False

    async def _listen(self, nursery: trio.Nursery) -> Started:
        await self._doors.open()
        self._facts.port = self._doors.port
        return Started(self._doors.port, await self._serve_http(nursery))

    async def _serve_http(self, nursery: trio.Nursery) -> int:
        """/metrics, /healthz, /readyz and the inspector's page, when `http-port` is set. The port, 0 when it is not."""
        port = self.config.integer("http-port")
        if not port:
            return 0
        # Imported here: hypercorn costs memory and a third of a second, which a server without HTTP need not pay.
        from broker.observability.http import serve_http

        state = ServerState(self.engine, self.info, self.shutdown)
        host = self.config.text("http-host")
        try:
            return int(await nursery.start(serve_http, host, port, state, self._console(host)))
        except OSError as error:
            raise listeners.ListenError(f"Could not listen on {host}:{port} for HTTP: {error.strerror}") from None

    def _console(self, host: str) -> "Console":
        """The inspector's page: it asks over connections of its own, as a client of this server."""
        from broker.console.link import Link
        from broker.console.web import Console

        def attach(sock: socket.socket, *, trusted: bool) -> None:
            ctx = self.hub.add(sock, b"console", b"")
            if trusted:
                let_in(ctx, b"default")

        return Console(
            lambda: Link(partial(attach, trusted=False)),
            lambda: Link(partial(attach, trusted=True)),
            self.config.boolean("http-admin"),
            ip_address(host).is_loopback,
        )

    def _announce(self, started: Started) -> None:
        self._tell(
            "Ready to accept connections",
            port=started.port,
            http_port=started.http_port,
            unixsocket=self.config.text("unixsocket"),
            version=VERSION,
            build="compiled" if is_compiled() else "pure",
            keys=sum(db.size() for db in self.engine.keyspace.databases),
        )

    # -- turns

    async def _turn_forever(self) -> None:
        """Wait on one descriptor, run turns while there is work."""
        fileno = self.hub.fileno()
        self.hub.wake()  # what fell due while no server ran
        while True:
            await trio.lowlevel.wait_readable(fileno)
            while self.run_turns():
                await trio.lowlevel.checkpoint()

    def run_turns(self) -> bool:
        """Some turns; True when there is more to do."""
        turn = self.hub.turn
        busy = True
        left = _TURNS_WHILE_SAVING if self.saving.is_active or self.rewriting.is_active else _TURNS
        while busy and left:
            busy = turn()
            left -= 1
        self._drain.after_turn()
        self._housekeeping.stir()
        deadline = self.engine.next_deadline_ms()
        self._timer.set(None if deadline is None else deadline / 1000)
        return busy

    def _answer_others(self) -> bool:
        """While a script runs for long: serve the other clients, new ones too. True when the server is to end."""
        run = self.scripts.current()
        if run is not None:
            for listener in self._doors.all():
                with contextlib.suppress(OSError):  # no descriptor is left: said by accept_forever() when it runs again
                    listeners.accept_waiting(listener, self._accepted, self.config.integer("tcp-keepalive"))
            self.hub.answer_others(run.caller.session)
        return self.shutdown.asked

    def _accepted(self, sock: socket.socket, address: bytes, local: bytes) -> None:
        self.statistics.connections_received += 1
        refusal = b""
        if len(self.hub.connections) >= self.config.integer("maxclients"):
            refusal = _FULL
        elif denied(self.config, sock):
            refusal = denied(self.config, sock)
        if refusal:
            self.statistics.rejected_connections += 1
            _refuse(sock, refusal)
            return
        self.hub.add(sock, address, local)

    def _owes(self) -> bool:
        return any(connection.owes for connection in self.hub.connections.values())

    def _idle_seconds(self) -> int:
        return self.config.integer("timeout")

    def _is_paused(self) -> bool:
        return self.control.housekeeping_paused

    def _sample(self) -> None:
        traffic = self.hub.traffic
        self.statistics.sample(
            int(self.engine.executed),
            int(traffic.bytes_in),
            int(traffic.bytes_out),
            self.clock.monotonic(),
        )
        self.statistics.note_memory(used_memory(self.engine, self.hub), self.clock.now_ms())
        self.statistics.sample_turns(int(self.hub.turns), self.hub.busy_seconds, self.clock.monotonic())

    # -- the log

    def _prepare(self) -> Manifest | None:
        """Take what no other server may have, and look at what there is to be loaded."""
        directory = Path(self.config.text("dir"))
        if not directory.is_dir():
            raise listeners.ListenError(f"Can't chdir to '{directory}': No such file or directory")
        manifest = self._prepare_log() if self.config.boolean("appendonly") else None
        if self.config.save_points():
            self._rdb_lock.take(directory / self.config.text("dbfilename"))
        return manifest

    def _prepare_log(self) -> Manifest | None:
        self.log = self._new_log()
        self.log.lock()
        upgrade(self.log.folder, self.log.name, self.log.disk)
        return read_manifest(self.log.folder, self.log.name)

    async def _load(self, manifest: Manifest | None) -> bool:
        """Load what the server had when it ended. False: the end was asked for meanwhile, or it failed."""
        try:
            whole = await self._load_files(manifest)
            if whole and self.log and self._is_preloaded:
                self.rewriting.begin(False)  # the log gets a base of its own
            elif whole and self.log:
                self.log.open(manifest)
                self.engine.journal.enabled = self.engine.shared.log.enabled = True
        except (CorruptFile, OSError) as error:
            self._failure = error  # to be raised where it is no group
            return False
        if whole:
            self.rewriting.backup.resume()
        self.engine.keyspace.dirty = 0  # what was loaded is no change
        self.saving.loaded()
        return whole

    async def _load_files(self, manifest: Manifest | None) -> bool:
        loading = self.loading
        keyspace = self.engine.keyspace
        preload = self.config.text("preload-file")
        if preload and manifest is None and not self._has_rdb():
            self._is_preloaded = True
            return await self._preload(preload)
        if manifest is None:
            path = Path(self.config.text("dir")) / self.config.text("dbfilename")
            if not path.exists():
                return True
            if self.log is not None:
                # Redis would begin an empty log, and at the next save the file would be gone: a user who moves in with
                # an RDB file, and has not read so far, would lose it.
                log.warning("log.begins_with_rdb", file=str(path))
                self._is_preloaded = True
            checks = self.config.boolean("rdbchecksum")
            apply = loading.apply()
            whole = await loading.run(
                lambda progress: load_rdb(path, keyspace, int(keyspace.now_ms), checks, progress, apply), self._is_asked
            )
            if whole:
                done, seconds = loading.progress, round(loading.seconds, 3)
                self._tell("rdb.loaded", keys=done.keys, expired=done.expired, bytes=done.done, seconds=seconds)
            return whole
        assert self.log is not None, "it has the manifest"
        folder, cut_torn = self.log.folder, self.config.boolean("aof-load-truncated")
        corrupt_tail = self.config.memory("aof-load-corrupt-tail-max-size")
        apply = loading.apply()
        whole = await loading.run(
            lambda progress: load_log(folder, manifest, apply, keyspace, cut_torn, progress, corrupt_tail),
            self._is_asked,
        )
        if whole:
            done, seconds = loading.progress, round(loading.seconds, 3)
            self._tell("log.loaded", commands=done.commands, keys=done.keys, bytes=done.done, seconds=seconds)
        return whole

    def _has_rdb(self) -> bool:
        return self.log is None and (Path(self.config.text("dir")) / self.config.text("dbfilename")).exists()

    async def _preload(self, where: str) -> bool:
        """preload-file: `aof:<manifest>`, as BACKUP leaves it, for a server that has no data yet."""
        kind, _, text = where.partition(":")
        path = Path(text)
        if kind != "aof" or path.suffix != ".manifest":
            raise CorruptFile(where, 0, "preload-file has to be aof:<path of a manifest>")
        manifest = read_manifest(path.parent, path.stem)
        if manifest is None:
            raise CorruptFile(text, 0, "preload-file names a manifest that is not there")
        apply, keyspace = self.loading.apply(), self.engine.keyspace
        log.warning("log.preloading", manifest=text)
        return await self.loading.run(
            lambda progress: load_log(path.parent, manifest, apply, keyspace, False, progress), self._is_asked
        )

    def _is_asked(self) -> bool:
        return self.shutdown.asked

    def _backup_told(self) -> None:
        self.engine.log_moved = True
        self.hub.wake()

    def _new_log(self, folder: str = "") -> AppendOnlyLog:
        return AppendOnlyLog(
            Path(self.config.text("dir")) / (folder or self.config.text("appenddirname")),
            self.config.text("appendfilename"),
            self.config.text("appendfsync"),
            self._synced,
            self._log_state,
            self._disk,
            lambda: int(self.engine.shared.log.batch) - 1,
            self._log_durable,
        )

    async def _run_log(self, current: AppendOnlyLog) -> None:
        """Until the log is turned off."""
        self._log_task, self._log_task_ended = trio.CancelScope(), trio.Event()
        try:
            with self._log_task:
                await current.run()
        finally:
            self._log_task_ended.set()

    def _turn_log_on(self) -> None:
        """`CONFIG SET appendonly yes`: rewriting.py writes its base and begins to journal. Raises OSError.

        Without appendonly, it is one for a backup: in a folder of its own, which goes when it is turned off.
        """
        if self.log is None:
            current = self._new_log("" if self.config.boolean("appendonly") else LOG_OF_BACKUP)
            current.lock()
            self.log = current
            if self._nursery:
                self._nursery.start_soon(self._run_log, current)

    async def _turn_log_off(self) -> None:
        """`CONFIG SET appendonly no`. What was written so far stays, whole."""
        current = self.log
        if current is None:
            return
        self._log_task.cancel()
        await self._log_task_ended.wait()
        current.append(self.engine.journal.take())
        self.engine.journal.enabled = self.engine.shared.log.enabled = False
        self.log = None
        with trio.CancelScope(shield=True):
            try:
                await trio.to_thread.run_sync(current.close)
            except OSError as error:
                log.error("log.close_failed", error=str(error))
            finally:
                current.unlock()
            if current.folder.name == LOG_OF_BACKUP:
                await trio.to_thread.run_sync(partial(shutil.rmtree, current.folder, ignore_errors=True))
        self._log_state(True)
        self._log_durable(int(self.engine.shared.log.batch))
        self._synced()

    def _write_log(self, data: bytes) -> None:
        if self.log:
            if self._stamps:
                data = self._stamp() + data
            self.log.append(data)

    def _stamp(self) -> bytes:
        """aof-timestamp-enabled: the time, where another second has begun. `redis-check-aof` can cut a log there."""
        second = self.clock.now_ms() // 1000
        if second == self._stamped:
            return b""
        self._stamped = second
        return b"#TS:%d\r\n" % second

    def _synced(self) -> None:
        self.hub.synced()
        self._drain.after_turn()

    def _log_durable(self, batch: int) -> None:
        if self.engine.log_durable(batch):
            self.hub.wake()

    def _replies_wait(self) -> int:
        return NOBODY if self.log is None else self.log.replies_wait()

    def _start_sync(self) -> None:
        if self.log:
            self.log.start_sync()

    def _log_state(self, works: bool) -> None:
        self.hub.disk_fails(not works)
        if works:
            self.engine.gate &= ~WRITES_REFUSED
        else:
            self.engine.gate |= WRITES_REFUSED

    def _close_log(self) -> None:
        if self.log is None or not self.engine.journal.enabled:  # or the end came while it was loaded
            return
        self.log.append(self.engine.journal.take())
        try:
            self.log.close()
        except OSError as error:
            log.error("log.close_failed", error=str(error))
            if not self.shutdown.forced:
                raise

    # -- settings

    def _watch_settings(self) -> None:
        for name in ("client-output-buffer-limit", "client-query-buffer-limit", "proto-max-bulk-len"):
            self.config.on_change(name, self._read_limits)
        for name in ("maxmemory", "maxmemory-clients"):
            self.config.on_change(name, self._read_client_memory)
        self._read_client_memory()
        self.config.on_change("appendfsync", self._read_policy)
        self.config.on_change("loglevel", self._read_loglevel)
        self.config.on_change("aof-timestamp-enabled", self._read_stamps)
        self._read_stamps()
        self.config.on_change("appendonly", self._note_appendonly)
        for name in ("save", "stop-writes-on-bgsave-error"):
            self.config.on_change(name, self.saving.note_settings)
        self.config.on_change("port", self._move_port)
        self.config.on_change("bind", self._move_addresses)
        for name in _FIXED:
            self.config.on_change(name, _refuse_change)
        self._read_limits()

    def _read_limits(self) -> None:
        limits = self.hub.limits
        classes = self.config.output_limits()
        normal, pubsub = classes["normal"], classes["pubsub"]
        limits.normal = (normal.hard, normal.soft, normal.seconds)
        limits.pubsub = (pubsub.hard, pubsub.soft, pubsub.seconds)
        limits.query_buffer = self.config.memory("client-query-buffer-limit")
        limits.max_bulk = self.config.memory("proto-max-bulk-len")

    def _move_port(self) -> None:
        self._move("Unable to listen on this port. Check server logs.")

    def _move_addresses(self) -> None:
        self._move("Failed to bind to specified addresses.")

    def _move(self, complaint: str) -> None:
        try:
            self._doors.move()
        except listeners.ListenError as error:
            log.error("listener.can_not_move", error=str(error))
            raise Veto(complaint) from None
        self._facts.port = self._doors.port

    def _read_client_memory(self) -> None:
        limit = self.config.memory("maxmemory-clients")
        data = self.config.memory("maxmemory")
        self.hub.clients_limit = limit if limit >= 0 else data * -limit // 100
        self.hub.measure(data > 0 or self.hub.clients_limit > 0)

    def _read_policy(self) -> None:
        if self.log:
            self.log.policy = self.config.text("appendfsync")

    def _read_stamps(self) -> None:
        self._stamps = self.config.boolean("aof-timestamp-enabled")

    def _note_appendonly(self) -> None:
        if not self.config.boolean("appendonly"):
            self.rewriting.cancel()
        self.rewriting.look()

    def _read_loglevel(self) -> None:
        if not self._embedded:
            configure(self.config.text("loglevel"), self.config.text("logfile"), stdout=True)

    def _warn_of_settings(self) -> None:
        for name in self.config.warnings:
            log.warning("config.setting_without_effect", setting=name)

    def _remove_unix_socket(self) -> None:
        path = self.config.text("unixsocket")
        if path:
            Path(path).unlink(missing_ok=True)


def _refuse_change() -> None:
    raise Veto("it can't be changed while the server runs")


def _refuse(sock: socket.socket, text: bytes) -> None:
    """Say why, as far as that is possible without waiting, and close."""
    try:
        sock.send(text)
    except OSError as error:
        log.debug("client.refusal_not_sent", error=str(error))
    sock.close()


def _log_bug(command: str, error: Exception) -> None:
    log.error("command.bug", command=command, exc_info=error)


def _log_close(session: Session, reason: str) -> None:
    address = session.address.decode("utf-8", "replace")
    log.warning("client.closed", id=session.id, address=address, reason=reason)
