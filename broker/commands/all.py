"""Imports every file of commands, which fills the registry."""

from broker.commands import (  # noqa: F401  (imported for what their decorators do)
    backup,
    bitmaps,
    channels,
    client_list,
    clients,
    command_log,
    connection,
    counters,
    debug,
    dump,
    expire,
    geo,
    group_policy,
    group_reading,
    hash_expiry,
    hashes,
    hotkeys,
    hyperloglog,
    introspection,
    keys,
    latency,
    lcs,
    list_moves,
    lists,
    modules,
    monitor,
    persistence,
    pubsub,
    replication,
    scan,
    schedules,
    scripting,
    server,
    sets,
    sort,
    sorted_set_ops,
    sorted_set_ranges,
    sorted_sets,
    stream_deletion,
    stream_groups,
    stream_info,
    stream_leases,
    stream_pending,
    stream_settings,
    streams,
    strings,
    tracking,
    transactions,
)
from broker.commands.registry import Command
from broker.commands.registry import command_table as _command_table


def command_table() -> dict[bytes, Command]:
    """A fresh table of all commands, by upper-case name."""
    return _command_table()
