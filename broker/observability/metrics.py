"""Every metric that Prometheus can read from us, by name.

Nothing is counted here: at scrape time a collector reads the figures that INFO shows anyway, so that watching costs the
hot path nothing. A figure that the server does not give leaves its metric out; none is ever invented as 0.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


class CommandStat(NamedTuple):
    """What one command did. usec: microseconds in it, all calls together."""

    name: str
    calls: int
    usec: int
    rejected: int
    failed: int


class Statistics(Protocol):
    """The figures, as they are at this moment. All of it is quick and changes nothing."""

    def info(self) -> Mapping[str, int | float | str]:
        """The fields of INFO by name (`connected_clients`, `loading` ...): those that the tables below name."""
        ...

    def command_stats(self) -> Iterable[CommandStat]:
        """One for each command that was called, or refused, since the start."""
        ...

    def keyspace(self) -> Iterable[tuple[int, int, int]]:
        """(database, keys, keys that expire), for each database that holds something."""
        ...


class Row(NamedTuple):
    """One metric: its name after the prefix, the field of INFO, what it means, what the field is divided by."""

    name: str
    field: str
    help: str
    divisor: float = 1


PREFIX: Final = "millstream_"

GAUGES: Final[tuple[Row, ...]] = (
    Row("uptime_seconds", "uptime_in_seconds", "Time since the start."),
    Row("connected_clients", "connected_clients", "Client connections, subscribers included."),
    Row("blocked_clients", "blocked_clients", "Clients that wait in a blocking command."),
    Row("max_clients", "maxclients", "The limit on client connections."),
    Row("pubsub_channels", "pubsub_channels", "Channels with a subscriber."),
    Row("pubsub_patterns", "pubsub_patterns", "Patterns with a subscriber."),
    Row("memory_used_bytes", "used_memory", "Memory in use."),
    Row("memory_rss_bytes", "used_memory_rss", "Memory of the process as the system counts it."),
    Row("memory_peak_bytes", "used_memory_peak", "The most memory that was in use."),
    Row("memory_limit_bytes", "maxmemory", "The limit on memory, 0 for none."),
    Row("scheduled_messages", "scheduled_messages", "Messages that are scheduled."),
    Row("unfinished_requests", "unfinished_requests", "Requests that go on over several turns."),
    Row("stream_cache_bytes", "mem_stream_cache", "Memory of blocks of streams that are kept decoded."),
    Row("retained_channels_bytes", "mem_retained_channels", "Memory of what is kept of retained channels."),
    Row("lazyfree_pending", "lazyfree_pending_objects", "Elements of dropped values that are yet to be freed."),
    Row("loading", "loading", "1 while the log is being read at start."),
    Row("aof_enabled", "aof_enabled", "1 when the append-only log is on."),
    Row("aof_size_bytes", "aof_current_size", "Size of the append-only log."),
    Row("aof_pending_bytes", "aof_buffer_length", "Bytes of the log that are not written yet."),
    Row("aof_last_fsync_seconds", "aof_last_fsync_usec", "How long the last fsync of the log took.", 1e6),
    Row("operations_per_second", "instantaneous_ops_per_sec", "Commands a second, a short average."),
)

COUNTERS: Final[tuple[Row, ...]] = (
    Row("connections", "total_connections_received", "Connections accepted."),
    Row("connections_rejected", "rejected_connections", "Connections refused because of the limit on clients."),
    Row("commands", "total_commands_processed", "Commands executed."),
    Row("errors", "total_error_replies", "Error replies sent."),
    Row("internal_errors", "internal_errors", "Bugs of the server met while it executed a command."),
    Row("keyspace_hits", "keyspace_hits", "Reads that found their key."),
    Row("keyspace_misses", "keyspace_misses", "Reads that found no key."),
    Row("expired_keys", "expired_keys", "Keys that expired."),
    Row("evicted_keys", "evicted_keys", "Keys removed for want of memory."),
    Row("net_input_bytes", "total_net_input_bytes", "Bytes received from clients."),
    Row("net_output_bytes", "total_net_output_bytes", "Bytes sent to clients."),
    Row(
        "slow_client_disconnections", "client_output_buffer_limit_disconnections", "Clients cut for reading too slowly."
    ),
    Row(
        "query_buffer_disconnections", "client_query_buffer_limit_disconnections", "Clients cut for too long a request."
    ),
    Row("pubsub_messages_dropped", "pubsub_messages_dropped", "Messages that slow subscribers did not get."),
    Row("aof_fsyncs", "aof_fsyncs", "Times that the log was flushed to disk."),
    Row("aof_delayed_fsyncs", "aof_delayed_fsync", "Writes of the log that had to wait for an fsync."),
)

# A status of INFO that is a word, as 1 when it is "ok".
STATES: Final[tuple[Row, ...]] = (
    Row("aof_last_write_ok", "aof_last_write_status", "1 when the last write of the log worked."),
)

LABELS: Final = ("redis_version", "millstream_version", "redis_mode", "run_id")


class BrokerCollector(Collector):
    """The metrics of one server, read when they are asked for."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask a server for figures that is not up yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        info = self._statistics.info()
        yield InfoMetricFamily(
            PREFIX + "server", "What is running.", {name: str(info[name]) for name in LABELS if name in info}
        )
        for row in GAUGES:
            if row.field in info:
                yield GaugeMetricFamily(PREFIX + row.name, row.help, value=float(info[row.field]) / row.divisor)
        for row in COUNTERS:
            if row.field in info:
                yield CounterMetricFamily(PREFIX + row.name, row.help, value=float(info[row.field]) / row.divisor)
        for row in STATES:
            if row.field in info:
                yield GaugeMetricFamily(PREFIX + row.name, row.help, value=float(info[row.field] == "ok"))
        yield from self._databases()
        yield from self._commands()

    def _databases(self) -> Iterator[Metric]:
        keys = GaugeMetricFamily(PREFIX + "database_keys", "Keys of a database.", labels=["db"])
        expires = GaugeMetricFamily(PREFIX + "database_expiring_keys", "Its keys that will expire.", labels=["db"])
        for number, count, expiring in self._statistics.keyspace():
            keys.add_metric([str(number)], count)
            expires.add_metric([str(number)], expiring)
        yield keys
        yield expires

    def _commands(self) -> Iterator[Metric]:
        label = ["command"]
        calls = CounterMetricFamily(PREFIX + "command_calls", "Calls of a command.", labels=label)
        seconds = CounterMetricFamily(PREFIX + "command_seconds", "Time spent in a command.", labels=label)
        rejected = CounterMetricFamily(PREFIX + "command_rejected", "Calls refused before they ran.", labels=label)
        failed = CounterMetricFamily(PREFIX + "command_failed", "Calls that ended with an error.", labels=label)
        for stat in self._statistics.command_stats():
            name = [stat.name]
            calls.add_metric(name, stat.calls)
            seconds.add_metric(name, stat.usec / 1e6)
            rejected.add_metric(name, stat.rejected)
            failed.add_metric(name, stat.failed)
        yield from (calls, seconds, rejected, failed)


def registry_of(statistics: Statistics) -> CollectorRegistry:
    """A registry of its own for one server: its figures, and those of the process (`process_*`)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BrokerCollector(statistics))
    ProcessCollector(registry=registry)
    return registry


def render(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """(body, content type), in the form that the Accept header prefers."""
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type
