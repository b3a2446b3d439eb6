"""The table of settings: every one of Redis 7.0 to 8.x, Valkey's own, and ours.

What this promises: a file written for those servers loads. A setting marked `used` changes what Millstream does; any
other is kept, shown and checked, and named in a warning at start when a file or an option sets it. Names, limits and
defaults are those of Redis, but for: appendonly (yes: durable unless told otherwise), bind (this host alone),
enable-debug-command (local).
"""

from collections.abc import Iterable
from typing import Final

import attrs

from broker.settings_kinds import (
    INT_MAX,
    LONG_MAX,
    UINT_MAX,
    ULONG_MAX,
    Addresses,
    Boolean,
    Directory,
    Enum,
    Integer,
    KeyspaceEvents,
    Kind,
    Memory,
    Octal,
    OomScores,
    OutputLimits,
    Percentiles,
    Primary,
    SavePoints,
    ShutdownFlags,
    Text,
    bare_name,
    file_name,
    host_name,
    ip_address,
    title_template,
)


@attrs.frozen
class Setting:
    """One setting: what it is called, how it is read, what it is unless set, and who may change it."""

    name: str
    kind: Kind
    default: str  # one line of a file, without the name
    used: bool = False
    mutable: bool = True  # by CONFIG SET
    protected: bool = False  # by CONFIG SET, only where enable-protected-configs allows it
    hidden: bool = False  # from a CONFIG GET with a pattern
    several: bool = False  # takes several words
    adds: bool = False  # a further line of a file adds to the first instead of replacing it
    moot: str | None = None  # this value (as CONFIG GET prints it) is what happens without effect, too: no warning
    aliases: tuple[str, ...] = ()  # shown beside the name, as Redis does


def _used(*rows: Setting) -> list[Setting]:
    return [attrs.evolve(row, used=True) for row in rows]


def _immutable(*rows: Setting) -> list[Setting]:
    return [attrs.evolve(row, mutable=False) for row in rows]


def _hidden(*rows: Setting) -> list[Setting]:
    return [attrs.evolve(row, hidden=True) for row in rows]


def _booleans(default: str, names: str) -> list[Setting]:
    return [Setting(name, Boolean(), default) for name in names.split()]


def _texts(names: str) -> list[Setting]:
    return [Setting(name, Text(), "") for name in names.split()]


_LONG: Final = Integer(high=LONG_MAX)
_PORT: Final = Integer(high=65535)
_PERMISSION: Final = Enum(("no", "yes", "local"))
_POLICIES: Final = (
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
)

_LIMITS: Final = "normal 0 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60"

_NETWORK: Final = _used(
    Setting("bind", Addresses(), "127.0.0.1 -::1", several=True),
    Setting("port", _PORT, "6379"),
    Setting("protected-mode", Boolean(), "yes"),
    Setting("timeout", Integer(), "0"),
    Setting("tcp-keepalive", Integer(), "300"),
    Setting("maxclients", Integer(1, UINT_MAX), "10000"),
    Setting("busy-reply-threshold", _LONG, "5000", aliases=("lua-time-limit",)),
    Setting("script-memory-limit", Memory(1 << 20), "256mb"),  # ours: of each of the two interpreters
    Setting("requirepass", Text(), ""),
    Setting("client-output-buffer-limit", OutputLimits(), _LIMITS, several=True),
    Setting("pubsub-overflow", Enum(("disconnect", "drop-oldest", "drop-newest")), "disconnect"),  # ours
    Setting("client-query-buffer-limit", Memory(1 << 20), "1gb"),
    Setting("proto-max-bulk-len", Memory(1 << 20), "512mb"),
    *_immutable(
        Setting("tcp-backlog", Integer(), "511"),
        Setting("unixsocket", Text(), ""),
        Setting("unixsocketperm", Octal(), "0"),
    ),
    Setting("http-port", _PORT, "0"),  # ours; the server keeps them as they are while it runs
    Setting("http-host", Text(ip_address), "127.0.0.1"),
    Setting("http-admin", Boolean(), "no"),  # whether the inspector's page may change anything
)

_PERSISTENCE: Final = _used(
    Setting("dir", Directory(), ".", protected=True),
    Setting("appendonly", Boolean(), "yes"),
    Setting("appendfsync", Enum(("everysec", "always", "no")), "everysec"),
    Setting("rdb-version", Integer(10, 12), "10"),  # ours: of what is written; Redis 7.0 reads 10, 7.2 11, 7.4 12
    Setting("aof-load-truncated", Boolean(), "yes"),
    *_hidden(Setting("key-load-delay", Integer(-INT_MAX - 1), "0")),  # microseconds
    Setting("dbfilename", Text(file_name), "dump.rdb", protected=True),
    Setting("save", SavePoints(), "3600 1 300 100 60 10000", several=True, adds=True),
    *_booleans("yes", "aof-use-rdb-preamble aof-rewrite-incremental-fsync"),
    *_booleans("yes", "rdbcompression rdb-save-incremental-fsync stop-writes-on-bgsave-error"),
    *_booleans("no", "aof-disable-auto-gc aof-timestamp-enabled"),
    Setting("aof-load-corrupt-tail-max-size", Memory(), "0"),
    Setting("auto-aof-rewrite-percentage", Integer(), "100"),
    Setting("backup-sealed-ttl", Integer(), "0"),
    Setting("auto-aof-rewrite-min-size", Memory(), "64mb"),
    *_immutable(*_booleans("yes", "rdbchecksum")),
    *_immutable(
        Setting("appendfilename", Text(bare_name("appendfilename")), "appendonly.aof"),
        Setting("appenddirname", Text(bare_name("appenddirname", "dirname")), "appendonlydir"),
        Setting("backupdirname", Text(bare_name("backupdirname", "dirname")), "backupdir"),
        Setting("preload-file", Text(), ""),
    ),
)

_KEYSPACE: Final = _used(
    Setting("tracking-table-max-keys", _LONG, "1000000"),
    Setting("maxmemory-clients", Memory(-100, LONG_MAX, percent=True), "0"),
    Setting("maxmemory", Memory(0, ULONG_MAX), "0"),
    Setting("maxmemory-policy", Enum(_POLICIES), "noeviction"),
    Setting("maxmemory-samples", Integer(1, 64), "5"),
    Setting("lfu-log-factor", Integer(), "10"),
    Setting("lfu-decay-time", Integer(), "1"),
    Setting("notify-keyspace-events", KeyspaceEvents(), ""),
    Setting("notify-keyspace-stream", Text(), ""),  # ours: a stream of database 0 that gets the events, too
    Setting("notify-keyspace-stream-max-len", _LONG, "100000"),  # ours: its MAXLEN ~, 0 is no limit
    Setting("hash-max-listpack-entries", _LONG, "512", aliases=("hash-max-ziplist-entries",)),
    Setting("hash-max-listpack-value", Memory(), "64", aliases=("hash-max-ziplist-value",)),
    Setting("list-max-listpack-size", Integer(-INT_MAX - 1), "-2", aliases=("list-max-ziplist-size",)),
    Setting("set-max-intset-entries", _LONG, "512"),
    Setting("set-max-listpack-entries", _LONG, "128"),
    Setting("set-max-listpack-value", _LONG, "64"),
    Setting("zset-max-listpack-entries", _LONG, "128", aliases=("zset-max-ziplist-entries",)),
    Setting("stream-node-max-entries", _LONG, "100"),
    Setting("stream-node-max-bytes", Memory(), "4096"),
    Setting("stream-idmp-duration", Integer(1, 86_400), "100"),  # seconds
    Setting("stream-idmp-maxsize", Integer(1, 10_000), "100"),
    Setting("stream-compression", Enum(("no", "fast", "high")), "fast"),  # ours: of full blocks
    *_immutable(Setting("databases", Integer(1), "16")),
)

_OPERATION: Final = _used(
    Setting("loglevel", Enum(("debug", "verbose", "notice", "warning"), unlisted=("nothing",)), "notice"),
    Setting("slowlog-log-slower-than", Integer(-1, LONG_MAX), "10000", aliases=("commandlog-execution-slower-than",)),
    Setting("slowlog-max-len", _LONG, "128", aliases=("commandlog-slow-execution-max-len",)),
    Setting("commandlog-request-larger-than", Integer(-1, LONG_MAX), "1048576"),
    Setting("commandlog-large-request-max-len", _LONG, "128"),
    Setting("commandlog-reply-larger-than", Integer(-1, LONG_MAX), "1048576"),
    Setting("commandlog-large-reply-max-len", _LONG, "128"),
    Setting("latency-monitor-threshold", _LONG, "0"),
    Setting("latency-tracking", Boolean(), "yes"),
    Setting("latency-tracking-info-percentiles", Percentiles(), "50 99 99.9", several=True),
    *_immutable(
        Setting("logfile", Text(), ""),
        Setting("enable-debug-command", _PERMISSION, "local"),
        Setting("enable-protected-configs", _PERMISSION, "no"),
    ),
)

# What Millstream will use and does not yet. Whoever makes one of them work moves it up: until then it is warned of.
_NOT_YET: Final = [
    Setting("active-expire-effort", Integer(1, 10), "1"),
    Setting("activerehashing", Boolean(), "yes"),
    Setting("hz", Integer(clamp=(1, 500)), "10"),
    Setting("zset-max-listpack-value", Memory(), "64", aliases=("zset-max-ziplist-value",)),
    Setting("shutdown-timeout", Integer(), "10"),
]

_PERSISTENCE_WITHOUT_EFFECT: Final = [
    *_booleans("no", "rdb-del-sync-files no-appendfsync-on-rewrite"),
    Setting("sanitize-dump-payload", Enum(("no", "yes", "clients")), "no"),
    Setting("rdb-version-check", Enum(("strict", "relaxed")), "strict"),
    *_hidden(
        Setting("rdb-key-save-delay", Integer(-INT_MAX - 1), "0"),
        Setting("loading-process-events-interval-bytes", Integer(1024), "2097152"),
    ),
]

_REPLICATION_WITHOUT_EFFECT: Final = [
    *_immutable(Setting("replicaof", Primary(), "no one", several=True, aliases=("slaveof",))),
    Setting("masterauth", Text(), "", aliases=("primaryauth",)),
    Setting("masteruser", Text(), "", aliases=("primaryuser",)),
    Setting("replica-serve-stale-data", Boolean(), "yes", aliases=("slave-serve-stale-data",)),
    Setting("replica-read-only", Boolean(), "yes", aliases=("slave-read-only",)),
    Setting("replica-ignore-maxmemory", Boolean(), "yes", aliases=("slave-ignore-maxmemory",)),
    Setting("replica-lazy-flush", Boolean(), "no", aliases=("slave-lazy-flush",)),
    Setting("replica-priority", Integer(), "100", aliases=("slave-priority",)),
    Setting("replica-announce-ip", Text(), "", aliases=("slave-announce-ip",)),
    Setting("replica-announce-port", _PORT, "0", aliases=("slave-announce-port",)),
    Setting("min-replicas-to-write", Integer(), "0", aliases=("min-slaves-to-write",)),
    Setting("min-replicas-max-lag", Integer(), "10", aliases=("min-slaves-max-lag",)),
    Setting("repl-ping-replica-period", Integer(1), "10", aliases=("repl-ping-slave-period",)),
    *_booleans("yes", "replica-announced repl-diskless-sync"),
    *_booleans(
        "no",
        "replica-ignore-disk-write-errors repl-disable-tcp-nodelay repl-rdb-channel dual-channel-replication-enabled"
        " close-on-replica-write import-mode",
    ),
    Setting("repl-diskless-sync-delay", Integer(), "5"),
    Setting("repl-diskless-sync-max-replicas", Integer(), "0"),
    Setting(
        "repl-diskless-load", Enum(("disabled", "on-empty-db", "swapdb"), unlisted=("flush-before-load",)), "disabled"
    ),
    Setting("repl-timeout", Integer(1), "60"),
    Setting("repl-backlog-size", Memory(1), "1mb"),
    Setting("repl-backlog-ttl", _LONG, "3600"),
    Setting("replica-full-sync-buffer-limit", Memory(), "0"),
    Setting("propagation-error-behavior", Enum(("ignore", "panic", "panic-on-replicas")), "ignore"),
]

_CLUSTER_WITHOUT_EFFECT: Final = [
    *_immutable(
        Setting("cluster-enabled", Boolean(), "no"),
        Setting("cluster-config-file", Text(), "nodes.conf"),
        Setting("cluster-port", _PORT, "0"),
    ),
    Setting("cluster-node-timeout", _LONG, "15000"),
    Setting("cluster-migration-barrier", Integer(), "1"),
    Setting("cluster-replica-validity-factor", Integer(), "10", aliases=("cluster-slave-validity-factor",)),
    Setting("cluster-replica-no-failover", Boolean(), "no", aliases=("cluster-slave-no-failover",)),
    *_booleans(
        "yes", "cluster-require-full-coverage cluster-allow-pubsubshard-when-down cluster-allow-replica-migration"
    ),
    *_booleans("no", "cluster-allow-reads-when-down cluster-slot-stats-enabled"),
    Setting("cluster-announce-ip", Text(), ""),
    Setting("cluster-announce-hostname", Text(host_name), ""),
    *_texts("cluster-announce-human-nodename cluster-announce-client-ipv4 cluster-announce-client-ipv6"),
    Setting("cluster-announce-port", _PORT, "0"),
    Setting("cluster-announce-tls-port", _PORT, "0"),
    Setting("cluster-announce-bus-port", _PORT, "0"),
    Setting("cluster-preferred-endpoint-type", Enum(("ip", "hostname", "unknown-endpoint")), "ip"),
    Setting("cluster-link-sendbuf-limit", Memory(0, ULONG_MAX), "0"),
    Setting("cluster-blacklist-ttl", _LONG, "60"),
    Setting("cluster-manual-failover-timeout", Integer(1), "5000"),
    Setting("cluster-compatibility-sample-ratio", Integer(0, 100), "0"),
    *_hidden(Setting("cluster-ping-interval", _LONG, "0")),
]

_MEMORY_WITHOUT_EFFECT: Final = [
    *_booleans(
        "no",
        "lazyfree-lazy-eviction lazyfree-lazy-expire lazyfree-lazy-server-del lazyfree-lazy-user-del"
        " lazyfree-lazy-user-flush activedefrag key-memory-histograms",
    ),
    Setting("maxmemory-eviction-tenacity", Integer(0, 100), "10"),
    Setting("active-defrag-cycle-min", Integer(1, 99), "1"),
    Setting("active-defrag-cycle-max", Integer(1, 99), "25"),
    Setting("active-defrag-cycle-us", Integer(0, 100000), "500"),
    Setting("active-defrag-threshold-lower", Integer(0, 1000), "10"),
    Setting("active-defrag-threshold-upper", Integer(0, 1000), "100"),
    Setting("active-defrag-ignore-bytes", Memory(1), "100mb"),
    Setting("active-defrag-max-scan-fields", Integer(1, LONG_MAX), "1000"),
    *_booleans("yes", "jemalloc-bg-thread"),
    *_immutable(*_booleans("yes", "disable-thp")),
    Setting("hll-sparse-max-bytes", Memory(), "3000"),
    Setting("list-compress-depth", Integer(), "0"),
    Setting("oom-score-adj", Enum(("no", "yes", "relative", "absolute"), synonyms=(("relative", "yes"),)), "no"),
    Setting("oom-score-adj-values", OomScores(), "0 200 800", several=True),
]

_OPERATION_WITHOUT_EFFECT: Final = [
    *_immutable(
        *_booleans("no", "daemonize syslog-enabled io-threads-do-reads always-show-logo"),
        *_booleans("yes", "set-proc-title"),
        Setting("supervised", Enum(("upstart", "systemd", "auto", "no")), "no"),
        Setting("syslog-ident", Text(), "redis"),
        Setting("syslog-facility", Enum(("user", *(f"local{n}" for n in range(8)))), "local0"),
        Setting("io-threads", Integer(1, 256), "1"),
        Setting("socket-mark-id", Integer(0, UINT_MAX), "0"),
        Setting("enable-module-command", _PERMISSION, "no"),
        Setting("server_cpulist", Text(), "", aliases=("server-cpulist",)),
        Setting("bio_cpulist", Text(), "", aliases=("bio-cpulist",)),
        Setting("aof_rewrite_cpulist", Text(), "", aliases=("aof-rewrite-cpulist",)),
        Setting("bgsave_cpulist", Text(), "", aliases=("bgsave-cpulist",)),
        *_texts("pidfile aclfile unixsocketgroup hash-seed"),
    ),
    *_booleans("yes", "crash-log-enabled crash-memcheck-enabled dynamic-hz"),
    *_booleans(
        "no",
        "hide-user-data-from-log extended-redis-compatibility io-threads-always-active"
        " vset-force-single-threaded-execution",
    ),
    *_texts("ignore-warnings bind-source-addr locale-collate availability-zone"),
    Setting("proc-title-template", Text(title_template), "{title} {listen-addr} {server-mode}"),
    Setting("acl-pubsub-default", Enum(("allchannels", "resetchannels")), "resetchannels"),
    Setting("acllog-max-len", _LONG, "128"),
    Setting("shutdown-on-sigint", ShutdownFlags(), "default", several=True),
    Setting("shutdown-on-sigterm", ShutdownFlags(), "default", several=True),
    Setting("max-new-connections-per-cycle", Integer(1, 1000), "10"),
    Setting("max-new-tls-connections-per-cycle", Integer(1, 1000), "1"),
    Setting("lookahead", Integer(1), "16"),
    Setting("events-per-io-thread", Integer(), "2"),
    Setting("prefetch-batch-max-size", Integer(0, 128), "16"),
    Setting("min-io-threads-avoid-copy-reply", Integer(), "7"),
    Setting("log-format", Enum(("legacy", "logfmt")), "legacy"),
    Setting("log-timestamp-format", Enum(("legacy", "iso8601", "milliseconds")), "legacy"),
    Setting("slowlog-entry-max-argc", Integer(2), "32"),
    Setting("slowlog-entry-max-string-len", Integer(1), "128"),
    *_hidden(*_booleans("no", "use-exit-on-panic enable-debug-assert"), Setting("watchdog-period", Integer(), "0")),
]

_TLS_WITHOUT_EFFECT: Final = [
    Setting("tls-port", _PORT, "0"),
    *_booleans("no", "tls-replication tls-cluster tls-prefer-server-ciphers"),
    *_booleans("yes", "tls-session-caching"),
    Setting("tls-auth-clients", Enum(("no", "yes", "optional")), "yes"),
    Setting("tls-auth-clients-user", Enum(("off", "CN")), "off"),
    Setting("tls-session-cache-size", Integer(), "20480"),
    Setting("tls-session-cache-timeout", Integer(), "300"),
    *_texts(
        "tls-cert-file tls-key-file tls-key-file-pass tls-client-cert-file tls-client-key-file"
        " tls-client-key-file-pass tls-dh-params-file tls-ca-cert-file tls-ca-cert-dir tls-protocols tls-ciphers"
        " tls-ciphersuites"
    ),
]

TABLE: Final[tuple[Setting, ...]] = (
    *_NETWORK,
    *_PERSISTENCE,
    *_KEYSPACE,
    *_OPERATION,
    *_NOT_YET,
    *_PERSISTENCE_WITHOUT_EFFECT,
    *_REPLICATION_WITHOUT_EFFECT,
    *_CLUSTER_WITHOUT_EFFECT,
    *_MEMORY_WITHOUT_EFFECT,
    *_OPERATION_WITHOUT_EFFECT,
    *_TLS_WITHOUT_EFFECT,
)

# Lines that are no settings: kept in the file, without effect here. {name: fewest words after it}
DIRECTIVES: Final[dict[str, int]] = {"user": 1, "loadmodule": 1, "rename-command": 2}

# Names that Redis still takes and forgets; one word each.
OBSOLETE: Final = frozenset({"list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"})


def by_name(table: Iterable[Setting]) -> dict[str, Setting]:
    """{name or alias: setting}; raises ValueError when two settings claim one name: a slip in the table."""
    found: dict[str, Setting] = {}
    for setting in table:
        for name in (setting.name, *setting.aliases):
            if name in found:
                raise ValueError(f"setting {name} is in the table twice")
            found[name] = setting
    return found


SETTINGS: Final = by_name(TABLE)
