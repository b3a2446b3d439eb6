"""DEBUG: switches of the server that test suites turn, and a look at tables."""

from collections.abc import Callable
from typing import Final, TypeAlias

from broker.commands.args import to_int
from broker.commands.context import Context
from broker.commands.docs import bad_subcommand
from broker.datatypes.hashes import HashValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.table import Table
from broker.errors import CommandError, no_such_key
from broker.protocol.numbers import parse_int
from broker.protocol.replies import OK, Reply, Simple, Verbatim

Subcommand: TypeAlias = Callable[[Context, list[bytes]], Reply]


def _nothing_to_switch(ctx: Context, argv: list[bytes]) -> Reply:
    """What it switches in Redis (rehashing, checks of scripts, buffers that shrink) is not there."""
    return OK


def _replybuffer(ctx: Context, argv: list[bytes]) -> Reply:
    """Reply buffers have no size of their own here."""
    option = argv[2].upper()
    if option not in (b"PEAK-RESET-TIME", b"RESIZING"):
        raise bad_subcommand(argv)
    if option == b"PEAK-RESET-TIME" and argv[3].upper() not in (b"NEVER", b"RESET"):
        to_int(argv[3])
    return OK


def _structsize(ctx: Context, argv: list[bytes]) -> Reply:
    return Simple(b"bits:64 robj:16")


def _change_repl_id(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.change_replication_id()
    return OK


def _pause_cron(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.pause_housekeeping(to_int(argv[2]) != 0)
    return OK


def _config_rewrite_force_all(ctx: Context, argv: list[bytes]) -> Reply:
    """CONFIG REWRITE that writes defaults, too."""
    ctx.config.rewrite(everything=True)
    return OK


def _sdslen(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.db.peek(argv[2])
    if value is None:
        raise no_such_key()
    if not isinstance(value, (bytes, bytearray)):
        raise CommandError("ERR", "Not an sds encoded string.")
    size = len(value)
    key = len(argv[2])
    return Simple(
        b"key_sds_len:%d, key_sds_avail:0, key_zmalloc: %d, val_sds_len:%d, val_sds_avail:0, val_zmalloc: %d"
        % (key, key + 33, size, size + 33)
    )


def _htstats(ctx: Context, argv: list[bytes]) -> Reply:
    index = to_int(argv[2])
    if index < 0 or index >= len(ctx.keyspace.databases):
        raise CommandError("ERR", "Out of range database")
    db = ctx.keyspace.databases[index]
    lines = [b"[Dictionary HT]", *_table_lines(db.table), b"", b"[Expires HT]", *_table_lines(db.expires.times)]
    return Verbatim(b"\n".join(lines) + b"\n")


def _htstats_key(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.db.peek(argv[2])
    if value is None:
        raise no_such_key()
    if isinstance(value, HashValue):
        table = value.fields
    elif isinstance(value, (SetValue, SortedSet)):
        table = value.members
    else:
        raise CommandError("ERR", "The value stored at the specified key is not represented using an hash table")
    return Verbatim(b"\n".join(_table_lines(table)) + b"\n")


def _table_lines(table: Table) -> list[bytes]:
    """Shards stand for Redis's buckets: a table here never holds two tables at once."""
    if not table.size:
        return [b"Hash table 0 stats (main hash table):", b"No stats available for empty dictionaries"]
    shards = table.shards()
    return [
        b"Hash table 0 stats (main hash table):",
        b" table size: %d" % len(shards),
        b" number of elements: %d" % table.size,
        b" max chain length: %d" % max([len(shard) for shard in shards]),
    ]


def _log(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.control.log(argv[2].decode("utf-8", "backslashreplace"))
    return OK


def _client_eviction(ctx: Context, argv: list[bytes]) -> Reply:
    """Clients are not kept in buckets by their memory: who holds most is looked for when somebody has to go."""
    held = sum([ctx.control.client_traffic(session)[3] for session in ctx.shared.sessions.values()])
    return Verbatim(b"clients: %d\nmemory: %d\n" % (len(ctx.shared.sessions), held))


def _allow_noscript(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.shared.allow_noscript = parse_int(argv[2]) not in (None, 0)
    return OK


USAGES: Final[list[tuple[bytes, bytes]]] = [
    (b"CHANGE-REPL-ID", b"Take another replication id"),
    (b"CLIENT-EVICTION", b"What clients hold"),
    (b"CONFIG-REWRITE-FORCE-ALL", b"Write every setting into the file, defaults, too"),
    (b"DICT-RESIZING <0|1>", b"Accepted, without effect"),
    (b"HTSTATS <db> [FULL]", b"Figures of the tables of a database"),
    (b"HTSTATS-KEY <key> [FULL]", b"Figures of the table of a value"),
    (b"LOG <message>", b"Write a line into the log"),
    (b"PAUSE-CRON <0|1>", b"With 1, no housekeeping once a second"),
    (b"REPLYBUFFER <PEAK-RESET-TIME <NEVER|RESET|time> | RESIZING <0|1>>", b"Nothing: for test suites"),
    (b"SDSLEN <key>", b"Lengths of a key and a string"),
    (b"SET-DISABLE-DENY-SCRIPTS <0|1>", b"With 1, scripts may call what is kept from them"),
    (b"SET-SKIP-CHECKSUM-VALIDATION <0|1>", b"Accepted, without effect"),
    (b"STRUCTSIZE", b"Sizes that say nothing about this server"),
]

# {name: (function, fewest arguments, most or 0)}, with DEBUG and the name
SUBCOMMANDS: Final[dict[bytes, tuple[Subcommand, int, int]]] = {
    b"CHANGE-REPL-ID": (_change_repl_id, 2, 2),
    b"CLIENT-EVICTION": (_client_eviction, 2, 2),
    b"CONFIG-REWRITE-FORCE-ALL": (_config_rewrite_force_all, 2, 2),
    b"DICT-RESIZING": (_nothing_to_switch, 3, 3),
    b"HTSTATS": (_htstats, 3, 4),
    b"HTSTATS-KEY": (_htstats_key, 3, 4),
    b"LOG": (_log, 3, 3),
    b"PAUSE-CRON": (_pause_cron, 3, 3),
    b"REPLYBUFFER": (_replybuffer, 4, 4),
    b"SDSLEN": (_sdslen, 3, 3),
    b"SET-DISABLE-DENY-SCRIPTS": (_allow_noscript, 3, 3),
    b"SET-SKIP-CHECKSUM-VALIDATION": (_nothing_to_switch, 3, 3),
    b"STRUCTSIZE": (_structsize, 2, 2),
}
