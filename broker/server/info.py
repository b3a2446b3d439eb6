"""INFO: sections of `field:value` lines under the names that clients and exporters read."""

import os
import platform
import secrets
import sys
from collections.abc import Callable
from typing import Final

import attrs

from broker.commands.logs import percentile
from broker.commands.registry import Command
from broker.engine.engine import Engine
from broker.persistence.aof import AppendOnlyLog
from broker.server import absent
from broker.server.hub import Hub
from broker.server.loading import Loading
from broker.server.memory_info import memory_fields
from broker.server.persistence_info import persistence_fields
from broker.server.rewriting import Rewriting
from broker.server.saving import Saving
from broker.server.statistics import Statistics, cpu_seconds
from broker.version import COMPATIBLE_WITH, VERSION, is_compiled

Value = str | int | float


@attrs.define
class Facts:
    """What does not change while the server runs."""

    run_id: str
    port: int
    started_ms: int
    executable: str
    replication_id: str = ""  # once it was changed


class Info:
    """text() makes INFO, fields() the same as numbers for the metrics."""

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        statistics: Statistics,
        facts: Facts,
        log_of: Callable[[], AppendOnlyLog | None],
        saving: Saving,
        rewriting: Rewriting,
        loading: Loading,
    ) -> None:
        self._engine = engine
        self._hub = hub
        self._statistics = statistics
        self._facts = facts
        self._log_of = log_of
        self._saving = saving
        self._rewriting = rewriting
        self._loading = loading
        self._sections: Final[dict[str, Callable[[], dict[str, Value]]]] = {
            "server": self.server,
            "clients": self.clients,
            "memory": self.memory,
            "persistence": self.persistence,
            "threads": self.threads,
            "stats": self.stats,
            "replication": self.replication,
            "cpu": self.cpu,
            "hotkeys": self.hotkeys,
            "modules": dict,
            "commandstats": self.commandstats,
            "errorstats": self.errorstats,
            "latencystats": self.latencystats,
            "cluster": self.cluster,
            "keyspace": self.keyspace,
            "keysizes": self.keysizes,
            "debug": self.debug,
        }

    def change_replication_id(self) -> None:
        self._facts.replication_id = secrets.token_hex(20)

    def text(self, asked: list[str]) -> bytes:
        """asked: section names in lower case; `default`, `all`, `everything` are several. Unknown ones: no text."""
        parts = []
        for name in self._chosen(asked):
            fields = self._sections[name]()
            lines = "".join(f"{field}:{_shown(value)}\r\n" for field, value in fields.items())
            parts.append(f"# {_TITLES.get(name, name.capitalize())}\r\n{lines}")
        return "\r\n".join(parts).encode("utf-8", "surrogateescape")

    def _chosen(self, asked: list[str]) -> list[str]:
        wanted = set(asked) or {"default"}
        if wanted & {"all", "everything"}:
            wanted |= set(self._sections) - {"debug"}
        if "default" in wanted:
            wanted |= set(self._sections) - {"commandstats", "latencystats", "debug"}
        return [name for name in self._sections if name in wanted]

    def fields(self) -> dict[str, Value]:
        """Every field of the sections with one value a field, for the metrics."""
        found: dict[str, Value] = {}
        for name in ("server", "clients", "memory", "persistence", "stats", "replication", "cpu"):
            found |= self._sections[name]()
        return found

    def databases(self) -> dict[int, tuple[int, int]]:
        """{number: (keys, keys that expire)} of those that hold any."""
        return {db.index: (db.size(), len(db.expires)) for db in self._engine.keyspace.databases if db.size()}

    def commands(self) -> list[Command]:
        """Those that were called or refused, sub-commands included."""
        found = []
        for command in self._engine.commands.values():
            for one in [command, *command.subcommands.values()]:  # COMMAND is a command and has sub-commands
                if one.calls or one.rejected:
                    found.append(one)
        return found

    # -- sections

    def server(self) -> dict[str, Value]:
        facts, now = self._facts, self._engine.clock.now_ms()
        uptime = (now - facts.started_ms) // 1000
        config = self._engine.config
        return {
            "redis_version": COMPATIBLE_WITH,
            "redis_git_sha1": "00000000",
            "redis_git_dirty": 0,
            "redis_build_id": "0",
            "redis_mode": "standalone",
            "millstream_version": VERSION,
            "millstream_build": "compiled" if is_compiled() else "pure",
            "python_version": platform.python_version(),
            "os": f"{platform.system()} {platform.release()} {platform.machine()}",
            "arch_bits": 64 if sys.maxsize > 2**32 else 32,
            "monotonic_clock": "POSIX clock_gettime",
            "multiplexing_api": "epoll",
            "process_id": os.getpid(),
            "process_supervised": "no",
            "run_id": facts.run_id,
            "tcp_port": facts.port,
            "server_time_usec": now * 1000,
            "uptime_in_seconds": uptime,
            "uptime_in_days": uptime // 86400,
            "hz": config.integer("hz"),
            "configured_hz": config.integer("hz"),
            "lru_clock": (now // 1000) & 0xFFFFFF,
            "executable": facts.executable,
            "config_file": str(config.file or ""),
            "io_threads_active": 0,
            **self._listeners(),
        }

    def _listeners(self) -> dict[str, Value]:
        """What is listened on, one line for each kind of socket."""
        config = self._engine.config
        found = []
        if self._facts.port:
            binds = "".join(f"bind={address}," for address in config.text("bind").split())
            found.append(f"name=tcp,{binds}port={self._facts.port}")
        if config.text("unixsocket"):
            found.append(f"name=unix,bind={config.text('unixsocket')}")
        return {f"listener{number}": text for number, text in enumerate(found)}

    def clients(self) -> dict[str, Value]:
        connections = self._hub.connections.values()
        engine, now_ms = self._engine, self._engine.clock.now_ms()
        return {
            "connected_clients": len(connections),
            "cluster_connections": 0,
            "maxclients": engine.config.integer("maxclients"),
            "client_recent_max_input_buffer": max((c.query_bytes for c in connections), default=0),
            "client_recent_max_output_buffer": max((c.unsent_bytes for c in connections), default=0),
            "blocked_clients": len(engine.blocking) + sum(1 for c in connections if c.postponed),
            "tracking_clients": len(engine.keyspace.tracking.trackers),
            "pubsub_clients": sum(1 for c in connections if c.session.subscriptions),
            "watching_clients": sum(1 for c in connections if c.session.watcher.keys),
            "clients_in_timeout_table": engine.blocking.with_deadline(),
            "active_clients": sum(1 for c in connections if c.session.active_ms >= now_ms - _ACTIVE_MS),
            "total_watched_keys": engine.keyspace.watches.count(),
            "total_blocking_keys": engine.blocking.waiting_keys(),
            "total_blocking_keys_on_nokey": engine.blocking.keys_waited_for_deletion(),
        }

    def memory(self) -> dict[str, Value]:
        log = self._log_of()
        held = log.held_bytes if log else 0
        return memory_fields(self._engine, self._hub, self._statistics, held)

    def persistence(self) -> dict[str, Value]:
        return persistence_fields(self._engine, self._log_of(), self._saving, self._rewriting, self._loading)

    def threads(self) -> dict[str, Value]:
        """There is one that serves clients."""
        traffic = self._hub.traffic
        clients = len(self._hub.connections)
        return {"io_thread_0": f"clients={clients},reads={int(traffic.reads)},writes={int(traffic.writes)}"}

    def stats(self) -> dict[str, Value]:
        statistics, traffic, keyspace = self._statistics, self._hub.traffic, self._engine.keyspace
        action, left_ms = self._engine.paused_action()
        return {
            "total_connections_received": statistics.connections_received,
            "total_commands_processed": int(self._engine.executed),
            "instantaneous_ops_per_sec": round(statistics.requests.value),
            "total_net_input_bytes": int(traffic.bytes_in),
            "total_net_output_bytes": int(traffic.bytes_out),
            "instantaneous_input_kbps": round(statistics.input.value / 1024, 2),
            "instantaneous_output_kbps": round(statistics.output.value / 1024, 2),
            "rejected_connections": statistics.rejected_connections,
            "sync_full": 0,
            "sync_partial_ok": 0,
            "sync_partial_err": 0,
            "expired_subkeys": int(keyspace.expired_subkeys),
            "expired_subkeys_active": int(keyspace.expired_subkeys_active),
            "expired_keys": int(keyspace.expired_keys),
            "expired_keys_active": int(keyspace.expired_keys_active),
            "expire_cycle_cpu_milliseconds": int(
                self._hub.upkeep_seconds * 1000
            ),  # with all else that is due by the clock
            "evicted_keys": int(keyspace.evicted_keys),
            "evicted_clients": int(self._hub.evicted_clients),
            "evicted_scripts": scripts.evicted_count() if (scripts := self._engine.shared.scripts) else 0,
            "keyspace_hits": int(keyspace.hits),
            "keyspace_misses": int(keyspace.misses),
            "pubsub_channels": len(self._engine.shared.subscriptions.channels),
            "pubsub_patterns": len(self._engine.shared.subscriptions.patterns),
            "pubsubshard_channels": len(self._engine.shared.subscriptions.shards),
            "latest_fork_usec": 0,
            "total_forks": 0,
            "migrate_cached_sockets": 0,
            "slave_expires_tracked_keys": 0,
            "active_defrag_running": 0,
            "tracking_total_keys": len(keyspace.tracking.keys),
            "tracking_total_items": int(keyspace.tracking.items),
            "tracking_total_prefixes": len(keyspace.tracking.prefixes),
            "unexpected_error_replies": 0,
            "total_error_replies": int(self._engine.error_replies),
            "client_query_buffer_limit_disconnections": int(traffic.query_limit_cuts),
            "client_output_buffer_limit_disconnections": int(traffic.output_limit_cuts),
            "pubsub_messages_dropped": int(traffic.messages_dropped),
            "scheduled_messages": sum(len(db.agenda) for db in keyspace.databases),
            "unfinished_requests": self._engine.unfinished(),
            "paused_reason": "none" if action == "none" else "client_pause",
            "paused_actions": action,
            "paused_timeout_milliseconds": left_ms,
            "total_reads_processed": int(traffic.reads),
            "total_writes_processed": int(traffic.writes),
            "eventloop_cycles": int(self._hub.turns),
            "eventloop_duration_sum": int(self._hub.busy_seconds * 1e6),
            "eventloop_duration_cmd_sum": int(sum(command.seconds for command in self.commands()) * 1e6),
            "instantaneous_eventloop_cycles_per_sec": round(statistics.turns.value),
            "instantaneous_eventloop_duration_usec": round(statistics.turn_us()),
            "turns": int(self._hub.turns),
            **self._requests(),
            **absent.STATS,
        }

    def _requests(self) -> dict[str, Value]:
        """How many come together, and how many took long."""
        reads, executed = int(self._hub.traffic.reads), int(self._engine.executed)
        slow = self._engine.shared.slow_requests
        return {
            "eventloop_cycles_with_clients_processing": int(self._hub.turns_with_requests),
            "total_client_processing_events": reads,
            "avg_pipeline_length_sum": executed,
            "avg_pipeline_length_cnt": reads,
            "avg_pipeline_length": f"{executed / max(reads, 1):.2f}",
            "slowlog_commands_count": int(slow.noted),
            "slowlog_commands_time_ms_max": f"{slow.most / 1000:.2f}",
            "slowlog_commands_time_ms_sum": f"{slow.sum / 1000:.2f}",
        }

    def replication(self) -> dict[str, Value]:
        return {
            "role": "master",
            "connected_slaves": 0,
            "master_failover_state": "no-failover",
            "master_replid": self._facts.replication_id or self._facts.run_id,
            "master_replid2": "0" * 40,
            "master_repl_offset": 0,
            "second_repl_offset": -1,
            "repl_backlog_active": 0,
            "repl_backlog_size": self._engine.config.integer("repl-backlog-size"),
            "repl_backlog_first_byte_offset": 0,
            "repl_backlog_histlen": 0,
        }

    def cpu(self) -> dict[str, Value]:
        return {name: f"{seconds:.6f}" for name, seconds in cpu_seconds().items()}

    def hotkeys(self) -> dict[str, Value]:
        watch = self._engine.shared.hot_keys
        if watch is None:
            return {}
        watch.look_at_the_clock(self._engine.clock.now_ms())
        return {
            "hotkeys-tracking-active": int(watch.is_active),
            "hotkeys-cmd-cpu-time": int(watch.own_seconds * 1000),
        }

    def commandstats(self) -> dict[str, Value]:
        fields: dict[str, Value] = {}
        for command in self.commands():
            microseconds = int(command.seconds * 1e6)
            each = command.seconds * 1e6 / int(command.calls) if command.calls else 0.0
            fields[f"cmdstat_{command.wire_name.decode()}"] = (
                f"calls={command.calls},usec={microseconds},usec_per_call={each:.2f},"
                f"rejected_calls={command.rejected},failed_calls={command.failed}"
            )
        return fields

    def errorstats(self) -> dict[str, Value]:
        return {
            f"errorstat_{code.decode('ascii', 'replace')}": f"count={count}"
            for code, count in self._engine.shared.errors.items()
        }

    def latencystats(self) -> dict[str, Value]:
        shown = self._engine.config.get("latency-tracking-info-percentiles").split()
        fields: dict[str, Value] = {}
        for command in self.commands():
            if command.times and shown:
                figures = [f"p{text}={percentile(command.times, float(text)):.3f}" for text in shown]
                fields[f"latency_percentiles_usec_{command.wire_name.decode()}"] = ",".join(figures)
        return fields

    def cluster(self) -> dict[str, Value]:
        return {"cluster_enabled": 0}

    def keyspace(self) -> dict[str, Value]:
        now = self._engine.clock.now_ms()
        fields: dict[str, Value] = {}
        for db in self._engine.keyspace.databases:
            if db.size():
                fields[f"db{db.index}"] = (
                    f"keys={db.size()},expires={len(db.expires)},avg_ttl={db.average_ttl(now)},"
                    f"subexpiry={len(db.field_agenda)}"
                )
        return fields

    def keysizes(self) -> dict[str, Value]:
        """As the command INFO has counted them."""
        return {**self._engine.shared.key_sizes}

    def debug(self) -> dict[str, Value]:
        hub = self._hub
        return {
            "eventloop_duration_aof_sum": int(hub.log_seconds * 1e6),
            "eventloop_duration_cron_sum": int(hub.upkeep_seconds * 1e6),
            "eventloop_duration_max": int(hub.longest_turn * 1e6),
            "eventloop_cmd_per_cycle_max": int(hub.most_requests),
        }


_TITLES: Final = {"cpu": "CPU"}
_ACTIVE_MS: Final = 512  # a client that sent a request within it is active, as for Redis


def _shown(value: Value) -> str:
    return str(value)
