"""XINFO: what there is to know of a stream, its groups and their consumers."""

from broker.commands.args import to_int
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.group_policy import policy_facts
from broker.commands.registry import ACCESS, LOADING, READONLY, RO, STALE, key
from broker.commands.registry import Group as CommandGroup
from broker.commands.stream_groups import as_text, subcommand_syntax
from broker.commands.streams import read_stream, rows
from broker.datatypes.stream_groups import NEVER, UNKNOWN, Consumer, Group, ids_from
from broker.datatypes.streams import MAX_ID, Stream, format_id
from broker.errors import CommandError, no_such_key
from broker.protocol.numbers import I64_MAX
from broker.protocol.replies import Map, Reply

command = CommandGroup("stream").command


def _existing(ctx: Context, name: bytes) -> Stream:
    stream = read_stream(ctx, name)
    if stream is None:
        raise no_such_key()
    return stream


def _entries_read(group: Group) -> Reply:
    return None if group.entries_read == UNKNOWN else min(group.entries_read, I64_MAX)


@command("XINFO|STREAM", arity=-3, flags=READONLY, keys=[key(RO, ACCESS, at=2)], since="5.0.0",
         syntax="key [FULL [COUNT count]]", summary="What a stream is like",
         cost="O(1), FULL: O(n), n entries and pending entries returned",
         differs="`idmp-*` fields are shown once something of them is set")  # fmt: skip
def xinfo_stream(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _existing(ctx, argv[2])
    if len(argv) == 3:
        return _short(ctx, stream)
    if len(argv) not in (4, 6) or argv[3].upper() != b"FULL":
        raise subcommand_syntax(argv)
    count = 10
    if len(argv) == 6:
        if argv[4].upper() != b"COUNT":
            raise subcommand_syntax(argv)
        count = to_int(argv[5])
        if count < 0:
            count = 10
    return _full(ctx, stream, count)


def _facts(ctx: Context, stream: Stream) -> list[Reply]:
    blocks = stream.block_count()
    flat: list[Reply] = [
        b"length", len(stream),
        b"radix-tree-keys", blocks,
        b"radix-tree-nodes", blocks + 1,
        b"last-generated-id", format_id(stream.last_id),
        b"max-deleted-entry-id", format_id(stream.max_deleted_id),
        b"entries-added", min(stream.entries_added, I64_MAX),
        b"recorded-first-entry-id", format_id(stream.first_id),
    ]  # fmt: skip
    if stream.settings is not None:  # Redis 8.6 has them always; older clients know the shorter reply
        window = stream.settings.window
        producers, records = window.tracked(ctx.now_ms)
        flat += [
            b"idmp-duration", window.duration,
            b"idmp-maxsize", window.max_size,
            b"pids-tracked", producers,
            b"iids-tracked", records,
            b"iids-added", window.added,
            b"iids-duplicates", window.duplicates,
        ]  # fmt: skip
    return flat


def _short(ctx: Context, stream: Stream) -> Reply:
    flat = _facts(ctx, stream)
    first = rows(stream.range(0, MAX_ID, 1, False))
    last = rows(stream.range(0, MAX_ID, 1, True))
    flat += [
        b"groups", len(stream.groups),
        b"first-entry", first[0] if first else None,
        b"last-entry", last[0] if last else None,
    ]  # fmt: skip
    return Map(flat)


def _full(ctx: Context, stream: Stream, count: int) -> Reply:
    """count: of entries, and of pending entries of each group and consumer; 0 for all."""
    flat = _facts(ctx, stream)
    groups: list[Reply] = [_full_group(stream, name, count) for name in sorted(stream.groups)]
    flat += [b"entries", rows(stream.range(0, MAX_ID, count if count else -1, False)), b"groups", groups]
    return Map(flat)


def _full_group(stream: Stream, name: bytes, count: int) -> Reply:
    group = stream.groups[name]
    pending: list[Reply] = []
    for entry_id in ids_from(group.order, 0, count if count else len(group.order)):
        entry = group.pending[entry_id]
        delivered_ms = 0 if entry.consumer is group.nobody else entry.delivered_ms
        pending.append([format_id(entry_id), entry.consumer.name, delivered_ms, entry.deliveries])
    consumers: list[Reply] = [_full_consumer(group, group.consumers[one], count) for one in sorted(group.consumers)]
    return Map([
        b"name", name,
        b"last-delivered-id", format_id(group.last_id),
        b"entries-read", _entries_read(group),
        b"lag", stream.lag(group),
        b"pel-count", len(group.pending),
        b"nacked-count", group.released(),
        b"pending", pending,
        b"consumers", consumers,
    ])  # fmt: skip


def _full_consumer(group: Group, consumer: Consumer, count: int) -> Reply:
    pending: list[Reply] = []
    for entry_id in ids_from(consumer.order, 0, count if count else len(consumer.order)):
        entry = group.pending[entry_id]
        pending.append([format_id(entry_id), entry.delivered_ms, entry.deliveries])
    return Map([
        b"name", consumer.name,
        b"seen-time", consumer.seen_ms,
        b"active-time", consumer.active_ms,
        b"pel-count", len(consumer.order),
        b"pending", pending,
    ])  # fmt: skip


@command("XINFO|GROUPS", arity=3, flags=READONLY, keys=[key(RO, ACCESS, at=2)], since="5.0.0",
         syntax="key", summary="The consumer groups of a stream", cost="O(n), n groups",
         differs="`lag` is always known")  # fmt: skip
def xinfo_groups(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _existing(ctx, argv[2])
    replies: list[Reply] = []
    for name in sorted(stream.groups):
        group = stream.groups[name]
        replies.append(Map([
            b"name", name,
            b"consumers", len(group.consumers),
            b"pending", len(group.pending),
            b"last-delivered-id", format_id(group.last_id),
            b"entries-read", _entries_read(group),
            b"lag", stream.lag(group),
        ] + policy_facts(group)))  # fmt: skip
    return replies


@command("XINFO|CONSUMERS", arity=4, flags=READONLY, keys=[key(RO, ACCESS, at=2)], since="5.0.0",
         syntax="key group", summary="The consumers of a group", cost="O(n), n consumers")  # fmt: skip
def xinfo_consumers(ctx: Context, argv: list[bytes]) -> Reply:
    """idle: ms since the last attempt of a consumer; inactive: since his last success, -1 without one."""
    group = _existing(ctx, argv[2]).groups.get(argv[3])
    if group is None:
        raise CommandError("NOGROUP", f"No such consumer group '{as_text(argv[3])}' for key name '{as_text(argv[2])}'")
    replies: list[Reply] = []
    for name in sorted(group.consumers):
        consumer = group.consumers[name]
        inactive = NEVER if consumer.active_ms == NEVER else ctx.now_ms - consumer.active_ms
        replies.append(Map([
            b"name", name,
            b"pending", len(consumer.order),
            b"idle", max(ctx.now_ms - consumer.seen_ms, 0),
            b"inactive", inactive,
        ]))  # fmt: skip
    return replies


@command("XINFO|HELP", arity=2, flags=LOADING | STALE, since="5.0.0",
         summary="What XINFO can do", cost="O(1)")  # fmt: skip
def xinfo_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"XINFO")
