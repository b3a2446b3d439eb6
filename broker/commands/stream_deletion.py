"""Deleting entries of a stream with regard to its groups: XDELEX, XACKDEL."""

from typing import Final

from broker.commands.args import Args
from broker.commands.context import Context
from broker.commands.group_journal import acknowledged, wake_readers
from broker.commands.registry import DELETE, FAST, RW, UPDATE, WRITE, key
from broker.commands.registry import Group as CommandGroup
from broker.commands.stream_arguments import reference_policy, to_id
from broker.commands.streams import peek_stream, read_stream
from broker.datatypes.stream_groups import Group
from broker.datatypes.stream_references import ACKED, DROP, KEEP, drop_references, is_referenced
from broker.datatypes.streams import Stream, format_id
from broker.errors import CommandError, syntax_error
from broker.keyspace.events import STREAM
from broker.protocol.numbers import parse_int
from broker.protocol.replies import Reply

command = CommandGroup("stream").command

# What became of an id
_NOT_FOUND: Final = -1
_DELETED: Final = 1
_NEEDED: Final = 2


class _Options:
    """`[KEEPREF | DELREF | ACKED] IDS numids id [id ...]`, in any order. Redis: streamParseAckDelArgsOrReply."""

    def __init__(self, argv: list[bytes], at: int) -> None:
        self.policy = -1
        self.ids: list[bytes] = []
        args = Args(argv, at)
        while args.more():
            policy = reference_policy(args.peek())
            if policy >= 0 and self.policy < 0:
                args.next()
                self.policy = policy
            elif args.left > 1 and args.flag(b"IDS"):
                self.ids = _ids_block(args)
            else:
                raise syntax_error()
        if not self.ids:
            raise CommandError("ERR", "IDS option is required")
        self.policy = max(self.policy, KEEP)

    def not_found(self) -> list[Reply]:
        replies: list[Reply] = []
        for _ in self.ids:
            replies.append(_NOT_FOUND)
        return replies


def _ids_block(args: Args) -> list[bytes]:
    count = parse_int(args.next())
    if count is None or count < 1:
        raise CommandError("ERR", "Number of IDs must be a positive integer")
    if count > args.left:
        raise CommandError("ERR", "The `numids` parameter must match the number of arguments")
    ids: list[bytes] = []
    for _ in range(count):
        ids.append(args.next())
    return ids


@command("XDELEX", arity=-5, flags=WRITE | FAST, keys=[key(RW, DELETE)], since="8.2.0",
         syntax="key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
         summary="Delete entries of a stream, with regard to the groups that refer to them",
         cost="O(log n) for each id and group")  # fmt: skip
def xdelex(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    stream = peek_stream(ctx, name)
    options = _Options(argv, 2)
    if stream is None:
        return options.not_found()
    ids = [to_id(text) for text in options.ids]
    groups = list(stream.groups.values())
    replies: list[Reply] = []
    gone: list[bytes] = []
    dropped = False
    for entry_id in ids:
        if options.policy == ACKED and is_referenced(groups, entry_id):  # an id yet to come is unread, as in Redis
            replies.append(_NEEDED)
            continue
        if options.policy == DROP and drop_references(stream, entry_id):
            dropped = True
        if stream.delete(entry_id):
            gone.append(format_id(entry_id))
            replies.append(_DELETED)
        else:
            replies.append(_NOT_FOUND)
    if gone:
        ctx.changed(name, b"xdel", STREAM)
        if options.policy == ACKED:
            ctx.journal_argv([b"XDEL", name] + gone)
    elif dropped:
        ctx.changed_aside(name)
        wake_readers(ctx, name)  # a group may have room now, or go on in the order of a field
    return replies


@command("XACKDEL", arity=-6, flags=WRITE | FAST, keys=[key(RW, UPDATE, DELETE)], since="8.2.0",
         syntax="key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
         summary="Acknowledge entries and delete them, with regard to other groups that refer to them",
         cost="O(log n) for each id and group")  # fmt: skip
def xackdel(ctx: Context, argv: list[bytes]) -> Reply:
    """Of each id: 1 acknowledged and deleted, 2 acknowledged but needed by others, -1 not pending in the group."""
    name = argv[1]
    stream = read_stream(ctx, name)
    options = _Options(argv, 3)
    group = None if stream is None else stream.groups.get(argv[2])
    if stream is None or group is None:
        return options.not_found()
    ids = [to_id(text) for text in options.ids]
    ctx.db.before_change(name)
    acked: list[bytes] = []
    gone: list[bytes] = []
    replies: list[Reply] = []
    for entry_id in ids:
        if not group.acknowledge(entry_id):
            replies.append(_NOT_FOUND)
            continue
        acked.append(format_id(entry_id))
        deleted = _delete(stream, entry_id, options.policy)
        replies.append(_NEEDED if deleted < 0 else _DELETED)
        if deleted > 0:
            gone.append(format_id(entry_id))
    if acked:
        _report(ctx, argv, options.policy, group, acked, gone)
    return replies


def _delete(stream: Stream, entry_id: int, policy: int) -> int:
    """1 deleted, 0 it was gone before, -1 it is still needed."""
    if policy == ACKED:
        groups: list[Group] = list(stream.groups.values())
        if is_referenced(groups, entry_id):
            return -1
    elif policy == DROP:
        drop_references(stream, entry_id)
    return 1 if stream.delete(entry_id) else 0


def _report(ctx: Context, argv: list[bytes], policy: int, group: Group, acked: list[bytes], gone: list[bytes]) -> None:
    """What DELREF drops elsewhere is the same wherever the request is executed again; the rest is journaled as done."""
    name = argv[1]
    if gone:
        ctx.changed(name, b"xdel", STREAM)
    else:
        acknowledged(ctx, name, group)
    if policy == DROP:
        return
    ctx.journal_argv([b"XACK", name, argv[2]] + acked)
    if gone:
        ctx.journal_argv([b"XDEL", name] + gone)
