"""Consumer groups of streams: XGROUP. What is pending in them is the business of stream_pending.py, reading of
group_reading.py; their policies are in group_policy.py."""

from typing import Final

from broker.commands.args import Args
from broker.commands.blocked import in_steps
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.group_journal import Claims, Returns, acknowledged, wake_readers
from broker.commands.registry import DELETE, DENYOOM, INSERT, LOADING, RW, STALE, UPDATE, WRITE, key
from broker.commands.registry import Group as CommandGroup
from broker.commands.stream_arguments import to_id
from broker.commands.streams import peek_stream, read_stream
from broker.datatypes.stream_groups import UNKNOWN, Consumer, Group
from broker.datatypes.streams import MAX_ID, Stream, format_id
from broker.errors import CommandError, syntax_error, wrong_arity
from broker.keyspace.disposal import dispose
from broker.keyspace.events import STREAM
from broker.protocol.replies import NOTHING, OK, Reply

command = CommandGroup("stream").command

_ENTRIES_AT_ONCE: Final = 500  # of a consumer that goes, in one turn


def as_text(name: bytes) -> str:
    """A name in an error text: printf stops at a zero byte."""
    return name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def no_group(name: bytes, group: bytes, where: str = "") -> CommandError:
    return CommandError("NOGROUP", f"No such key '{as_text(name)}' or consumer group '{as_text(group)}'{where}")


def subcommand_syntax(argv: list[bytes]) -> CommandError:
    """Redis: addReplySubcommandSyntaxError."""
    return CommandError(
        "ERR",
        f"unknown subcommand or wrong number of arguments for '{as_text(argv[1][:128])}'. "
        f"Try {as_text(argv[0]).upper()} HELP.",
    )


def existing_group(ctx: Context, name: bytes, group: bytes) -> tuple[Stream, Group]:
    stream = read_stream(ctx, name)
    found = None if stream is None else stream.groups.get(group)
    if stream is None or found is None:
        raise no_group(name, group)
    ctx.db.before_change(name)
    return stream, found


def peek_group(ctx: Context, name: bytes, group: bytes) -> tuple[Stream, Group]:
    """As existing_group(), for a command that Redis does not count as a look-up."""
    stream = peek_stream(ctx, name)
    found = None if stream is None else stream.groups.get(group)
    if stream is None or found is None:
        raise no_group(name, group)
    return stream, found


def seen_consumer(ctx: Context, name: bytes, group_name: bytes, group: Group, consumer_name: bytes) -> Consumer:
    """The consumer, who shows up now; he comes into being when there is none of that name."""
    consumer = group.consumers.get(consumer_name)
    if consumer is None:
        consumer = group.add_consumer(consumer_name, ctx.now_ms)
        ctx.changed_aside(name, b"xgroup-createconsumer")
        ctx.journal(b"XGROUP", b"CREATECONSUMER", name, group_name, consumer_name)
    consumer.seen_ms = ctx.now_ms
    return consumer


# -- XGROUP


class _GroupOptions:
    def __init__(self) -> None:
        self.make_stream = False
        self.entries_read = UNKNOWN


def _group_options(argv: list[bytes], is_create: bool) -> _GroupOptions:
    options = _GroupOptions()
    args = Args(argv, 5)
    while args.more():
        if is_create and args.flag(b"MKSTREAM"):
            options.make_stream = True
        elif args.left > 1 and args.flag(b"ENTRIESREAD"):
            options.entries_read = args.next_int()
            if options.entries_read < UNKNOWN:
                raise CommandError("ERR", "value for ENTRIESREAD must be positive or -1")
        else:
            raise subcommand_syntax(argv)
    return options


def _xgroup_stream(ctx: Context, name: bytes) -> Stream:
    stream = peek_stream(ctx, name)
    if stream is None:
        raise CommandError(
            "ERR",
            "The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
            "option to create an empty stream automatically.",
        )
    return stream


def xgroup_group(ctx: Context, argv: list[bytes]) -> tuple[Stream, Group]:
    stream = _xgroup_stream(ctx, argv[2])
    group = stream.groups.get(argv[3])
    if group is None:
        raise CommandError("NOGROUP", f"No such consumer group '{as_text(argv[3])}' for key name '{as_text(argv[2])}'")
    return stream, group


@command("XGROUP|CREATE", arity=-5, flags=WRITE | DENYOOM, keys=[key(RW, INSERT, at=2)], since="5.0.0",
         syntax="key group <id | $> [MKSTREAM] [ENTRIESREAD entriesread]", summary="Create a consumer group",
         cost="O(1)")  # fmt: skip
def xgroup_create(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[2]
    options = _group_options(argv, True)
    stream = peek_stream(ctx, name) if options.make_stream else _xgroup_stream(ctx, name)
    if len(argv) > 8:
        raise subcommand_syntax(argv)
    if argv[4] == b"$":
        last_id = 0 if stream is None else stream.last_id
    else:
        last_id = to_id(argv[4])
    if stream is None:
        stream = Stream()
        stream.groups[argv[3]] = Group(last_id, min(options.entries_read, 0))
        ctx.db.put(name, stream)
        ctx.changed(name, b"xgroup-create", STREAM)
        return OK
    if argv[3] in stream.groups:
        raise CommandError("BUSYGROUP", "Consumer Group name already exists")
    stream.groups[argv[3]] = Group(last_id, min(options.entries_read, stream.entries_added))
    ctx.changed_aside(name, b"xgroup-create")
    return OK


@command("XGROUP|SETID", arity=-5, flags=WRITE, keys=[key(RW, UPDATE, at=2)], since="5.0.0",
         syntax="key group <id | $> [ENTRIESREAD entriesread]", summary="Set how far a consumer group has read",
         cost="O(1)")  # fmt: skip
def xgroup_setid(ctx: Context, argv: list[bytes]) -> Reply:
    options = _group_options(argv, False)
    stream, group = xgroup_group(ctx, argv)
    if len(argv) > 7:
        raise subcommand_syntax(argv)
    text = argv[4]
    if text == b"$":
        last_id = stream.last_id
    elif text in (b"-", b"+"):
        last_id = 0 if text == b"-" else MAX_ID
    else:
        last_id = to_id(text)
    group.last_id = last_id
    group.entries_read = min(options.entries_read, stream.entries_added)
    ctx.changed_aside(argv[2], b"xgroup-setid")
    return OK


@command("XGROUP|DESTROY", arity=4, flags=WRITE, keys=[key(RW, DELETE, at=2)], since="5.0.0",
         syntax="key group", summary="Remove a consumer group", cost="O(n), n entries pending in it")  # fmt: skip
def xgroup_destroy(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _xgroup_stream(ctx, argv[2])
    group = stream.groups.pop(argv[3], None)
    if group is None:
        return 0
    dispose(group)
    ctx.changed_aside(argv[2], b"xgroup-destroy")
    if argv[2] in ctx.db.waited:  # who is blocked on the group has to learn that it is gone
        ctx.keyspace.ready.append((ctx.db.index, argv[2]))
    return 1


@command("XGROUP|CREATECONSUMER", arity=5, flags=WRITE | DENYOOM, keys=[key(RW, INSERT, at=2)], since="6.2.0",
         syntax="key group consumer", summary="Create a consumer of a group", cost="O(1)")  # fmt: skip
def xgroup_createconsumer(ctx: Context, argv: list[bytes]) -> Reply:
    group = xgroup_group(ctx, argv)[1]
    if argv[4] in group.consumers:
        return 0
    group.add_consumer(argv[4], ctx.now_ms)
    ctx.changed_aside(argv[2], b"xgroup-createconsumer")
    return 1


@command("XGROUP|DELCONSUMER", arity=-5, flags=WRITE, keys=[key(RW, DELETE, at=2)], since="5.0.0",
         syntax="key group consumer [RELEASE | REASSIGN other-consumer]",
         summary="Remove a consumer with what is pending for it, or give that to others",
         cost="O(n log m), n entries pending for it, m in the group",
         differs="Goes on over several turns where much is pending; RELEASE and REASSIGN are ours")  # fmt: skip
def xgroup_delconsumer(ctx: Context, argv: list[bytes]) -> Reply:
    """RELEASE, REASSIGN (ours): what is pending goes back to the group, uncounted, or to another consumer."""
    heir: bytes | None = None
    releases = len(argv) == 6 and argv[5].upper() == b"RELEASE"
    if len(argv) == 7 and argv[5].upper() == b"REASSIGN" and argv[6] != argv[4]:
        heir = argv[6]
    elif len(argv) > 5 and not releases:
        raise wrong_arity("xgroup|delconsumer") if len(argv) == 6 else syntax_error()
    group = xgroup_group(ctx, argv)[1]
    consumer = group.consumers.get(argv[4])
    if consumer is None:
        return 0
    return in_steps(_Departure(ctx, argv, group, consumer, releases, heir).step)


class _Departure:
    """A consumer goes, some of its entries at a time: they are dropped, or go to the group, or to another one."""

    def __init__(
        self, ctx: Context, argv: list[bytes], group: Group, consumer: Consumer, releases: bool, heir: bytes | None
    ) -> None:
        self._ctx = ctx
        self._argv = argv
        self._group = group
        self._consumer = consumer
        self._releases = releases
        self._heir = heir
        self._done = 0

    def step(self) -> Reply:
        """See Unfinished."""
        ctx, argv, group, consumer = self._ctx, self._argv, self._group, self._consumer
        if not self._is_there():
            return self._done  # somebody else was faster
        ctx.db.before_change(argv[2])
        ids = consumer.order.slice(0, _ENTRIES_AT_ONCE)
        is_last = len(ids) == len(consumer.order)
        self._done += len(ids)
        if self._releases:
            _release(ctx, argv[2], argv[3], group, ids)
        elif self._heir is not None:
            _reassign(ctx, argv[2], argv[3], group, ids, self._heir)
        elif not is_last:
            for entry_id in ids:
                group.acknowledge(entry_id)
            acknowledged(ctx, argv[2], group)
            ctx.journal_argv([b"XACK", argv[2], argv[3]] + [format_id(entry_id) for entry_id in ids])
        if not is_last:
            return NOTHING
        group.remove_consumer(argv[4])
        ctx.changed_aside(argv[2], b"xgroup-delconsumer")
        ctx.journal_argv(argv[:5])
        if len(argv) == 5 and group.policy is not None:
            wake_readers(ctx, argv[2])
        return self._done

    def _is_there(self) -> bool:
        stream = self._ctx.db.peek(self._argv[2])
        if not isinstance(stream, Stream) or stream.groups.get(self._argv[3]) is not self._group:
            return False
        return self._group.consumers.get(self._argv[4]) is self._consumer


def _release(ctx: Context, name: bytes, group_name: bytes, group: Group, ids: list[int]) -> None:
    returns = Returns(ctx, name, group_name, group)
    policy = group.policy
    for entry_id in ids:
        failures = 0 if policy is None else policy.failures(entry_id)
        reason = b"" if policy is None or not failures else policy.attempts[entry_id].reason
        returns.give_back(entry_id, 0, max(group.pending[entry_id].deliveries - 1, 0), failures, reason)
    returns.end()


def _reassign(ctx: Context, name: bytes, group_name: bytes, group: Group, ids: list[int], heir_name: bytes) -> None:
    """The leases begin anew; the counts of deliveries stay."""
    heir = seen_consumer(ctx, name, group_name, group, heir_name)
    claims = Claims(ctx, name, group_name, group, heir, ctx.now_ms)
    for entry_id in ids:
        deliveries = group.pending[entry_id].deliveries
        group.assign(entry_id, heir, ctx.now_ms, deliveries)
        claims.add(format_id(entry_id), deliveries)
    claims.end()


@command("XGROUP|HELP", arity=2, flags=LOADING | STALE, since="5.0.0",
         summary="What XGROUP can do", cost="O(1)")  # fmt: skip
def xgroup_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"XGROUP")
