"""Consumer groups of streams: XGROUP and XREADGROUP. What is pending in them is the business of stream_pending.py.

What a group does is journaled as what came of it: deliveries and claims as XCLAIM with all numbers given, pending
entries dropped as XACK, consumers that came into being as XGROUP CREATECONSUMER, how far a group read as XGROUP SETID.
"""

from broker.commands.args import Args
from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.registry import (
    ACCESS,
    BLOCKING,
    DELETE,
    DENYOOM,
    INSERT,
    LOADING,
    RO,
    RW,
    STALE,
    UPDATE,
    WRITE,
    key,
    keys_after,
)
from broker.commands.registry import Group as CommandGroup
from broker.commands.streams import (
    ReadRequest,
    peek_stream,
    read_request,
    read_stream,
    to_id,
)
from broker.datatypes.stream_groups import UNKNOWN, Consumer, Group, ids_from
from broker.datatypes.streams import MAX_ID, Stream, format_id
from broker.errors import CommandError
from broker.keyspace.events import STREAM
from broker.protocol.numbers import I64_MAX
from broker.protocol.replies import NULL_ARRAY, OK, PairMap, Reply

command = CommandGroup("stream").command


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


# -- journaling


def journal_group_id(ctx: Context, name: bytes, group_name: bytes, group: Group) -> None:
    entries_read = min(group.entries_read, I64_MAX)  # more, and the reader of the log would refuse it
    last_id = format_id(group.last_id)
    ctx.journal(b"XGROUP", b"SETID", name, group_name, last_id, b"ENTRIESREAD", b"%d" % entries_read)


def _journal_claim(
    ctx: Context,
    name: bytes,
    group_name: bytes,
    consumer: Consumer,
    ids: list[bytes],
    delivered_ms: int,
    deliveries: int,
    last_id: int,
) -> None:
    """One XCLAIM for all entries with the same numbers: it gives the same pending entries wherever it is executed."""
    argv = [b"XCLAIM", name, group_name, consumer.name, b"0"]
    argv += ids
    argv += [b"TIME", b"%d" % delivered_ms, b"RETRYCOUNT", b"%d" % deliveries]
    argv += [b"FORCE", b"JUSTID", b"LASTID", format_id(last_id)]
    ctx.journal_argv(argv)


class Claims:
    """The entries that one request gives to a consumer, and those it found deleted, as they go into the journal."""

    def __init__(
        self, ctx: Context, name: bytes, group_name: bytes, group: Group, consumer: Consumer, delivered_ms: int
    ) -> None:
        self._ctx = ctx
        self._name = name
        self._group_name = group_name
        self._group = group
        self._consumer = consumer
        self._delivered_ms = delivered_ms
        self._deliveries = 0
        self._ids: list[bytes] = []
        self._dropped: list[bytes] = []
        self.any = False  # something was claimed

    def add(self, entry_id: bytes, deliveries: int) -> None:
        if deliveries != self._deliveries:
            self._flush()
            self._deliveries = deliveries
        self._ids.append(entry_id)
        self.any = True

    def drop(self, entry_id: bytes) -> None:
        self._dropped.append(entry_id)

    def end(self) -> None:
        """Report and journal it all."""
        self._flush()
        if self._dropped:
            self._ctx.journal_argv([b"XACK", self._name, self._group_name] + self._dropped)
        if self.any or self._dropped:
            self._ctx.changed_aside(self._name)

    def _flush(self) -> None:
        if self._ids:
            _journal_claim(
                self._ctx, self._name, self._group_name, self._consumer,
                self._ids, self._delivered_ms, self._deliveries, self._group.last_id,
            )  # fmt: skip
            self._ids = []


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


def _xgroup_group(ctx: Context, argv: list[bytes]) -> tuple[Stream, Group]:
    stream = _xgroup_stream(ctx, argv[2])
    group = stream.groups.get(argv[3])
    if group is None:
        raise CommandError("NOGROUP", f"No such consumer group '{as_text(argv[3])}' for key name '{as_text(argv[2])}'")
    return stream, group


@command("XGROUP|CREATE", arity=-5, flags=WRITE | DENYOOM, keys=[key(RW, INSERT, at=2)], since="5.0.0",
         syntax="key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]", summary="Create a consumer group",
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
        stream.groups[argv[3]] = Group(last_id, options.entries_read)
        ctx.db.put(name, stream)
        ctx.changed(name, b"xgroup-create", STREAM)
        return OK
    if argv[3] in stream.groups:
        raise CommandError("BUSYGROUP", "Consumer Group name already exists")
    stream.groups[argv[3]] = Group(last_id, options.entries_read)
    ctx.changed_aside(name, b"xgroup-create")
    return OK


@command("XGROUP|SETID", arity=-5, flags=WRITE, keys=[key(RW, UPDATE, at=2)], since="5.0.0",
         syntax="key group <id | $> [ENTRIESREAD entries-read]", summary="Set how far a consumer group has read",
         cost="O(1)")  # fmt: skip
def xgroup_setid(ctx: Context, argv: list[bytes]) -> Reply:
    options = _group_options(argv, False)
    stream, group = _xgroup_group(ctx, argv)
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
    group.entries_read = options.entries_read
    ctx.changed_aside(argv[2], b"xgroup-setid")
    return OK


@command("XGROUP|DESTROY", arity=4, flags=WRITE, keys=[key(RW, DELETE, at=2)], since="5.0.0",
         syntax="key group", summary="Remove a consumer group", cost="O(n), n entries pending in it")  # fmt: skip
def xgroup_destroy(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _xgroup_stream(ctx, argv[2])
    if stream.groups.pop(argv[3], None) is None:
        return 0
    ctx.changed_aside(argv[2], b"xgroup-destroy")
    if argv[2] in ctx.db.waited:  # who is blocked on the group has to learn that it is gone
        ctx.keyspace.ready.append((ctx.db.index, argv[2]))
    return 1


@command("XGROUP|CREATECONSUMER", arity=5, flags=WRITE | DENYOOM, keys=[key(RW, INSERT, at=2)], since="6.2.0",
         syntax="key group consumer", summary="Create a consumer of a group", cost="O(1)")  # fmt: skip
def xgroup_createconsumer(ctx: Context, argv: list[bytes]) -> Reply:
    group = _xgroup_group(ctx, argv)[1]
    if argv[4] in group.consumers:
        return 0
    group.add_consumer(argv[4], ctx.now_ms)
    ctx.changed_aside(argv[2], b"xgroup-createconsumer")
    return 1


@command("XGROUP|DELCONSUMER", arity=5, flags=WRITE, keys=[key(RW, DELETE, at=2)], since="5.0.0",
         syntax="key group consumer", summary="Remove a consumer with what is pending for it",
         cost="O(n log m), n entries pending for it, m in the group")  # fmt: skip
def xgroup_delconsumer(ctx: Context, argv: list[bytes]) -> Reply:
    group = _xgroup_group(ctx, argv)[1]
    if argv[4] not in group.consumers:
        return 0
    pending = group.remove_consumer(argv[4])
    ctx.changed_aside(argv[2], b"xgroup-delconsumer")
    return pending


@command("XGROUP|HELP", arity=2, flags=LOADING | STALE, since="5.0.0",
         summary="What XGROUP can do", cost="O(1)")  # fmt: skip
def xgroup_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"XGROUP")


# -- XREADGROUP


@command("XREADGROUP", arity=-7, flags=BLOCKING | WRITE,
         keys=[keys_after(b"STREAMS", RO, ACCESS, start=4, last=-1, limit=2)], since="5.0.0",
         syntax="GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]",
         summary="Entries of several streams that no consumer of a group has got yet, or those pending for one",
         cost="O(m log n) for each stream, m entries returned, n pending in the group")  # fmt: skip
def xreadgroup(ctx: Context, argv: list[bytes]) -> Reply:
    request = read_request(ctx, argv, True)
    at = request.keys_at
    count = request.count
    streams: list[Stream] = []
    groups: list[Group] = []
    after: list[int] = []  # MAX_ID: what is new (`>`); Redis takes the greatest id for that, too
    for i in range(at, at + count):
        stream = read_stream(ctx, argv[i])
        group = None if stream is None else stream.groups.get(request.group)
        if stream is None or group is None:
            raise no_group(argv[i], request.group, " in XREADGROUP with GROUP option")
        streams.append(stream)
        groups.append(group)
        after.append(_group_after(argv[i + count]))
    flat: list[Reply] = []
    for i in range(count):
        name = argv[at + i]
        stream = streams[i]
        group = groups[i]
        is_new = after[i] == MAX_ID
        consumer = seen_consumer(ctx, name, request.group, group, request.consumer)
        if not is_new:
            flat.append(name)
            flat.append(_deliver_again(ctx, request, name, stream, group, consumer, after[i]))
        elif stream.size and stream.newest_id() > group.last_id:
            flat.append(name)
            flat.append(_deliver(ctx, request, name, stream, group, consumer))
    if flat:
        return PairMap(flat)
    if request.block_ms < 0:
        return NULL_ARRAY
    return Blocked(argv[at : at + count], request.block_ms, argv, NULL_ARRAY, b"stream", True, request.group)


def _group_after(text: bytes) -> int:
    """The id after which XREADGROUP begins; MAX_ID for `>`."""
    if text == b">":
        return MAX_ID
    if text in (b"$", b"+"):
        sign = as_text(text)
        raise CommandError(
            "ERR",
            f"The {sign} ID is meaningless in the context of XREADGROUP: you want to read the history of this "
            f"consumer by specifying a proper ID, or use the > ID to get new messages. The {sign} ID would just "
            "return an empty result set.",
        )
    return to_id(text)


def _deliver(
    ctx: Context, request: ReadRequest, name: bytes, stream: Stream, group: Group, consumer: Consumer
) -> Reply:
    """Hand entries that are new to the group to `consumer`. There is at least one."""
    now = ctx.now_ms
    found = stream.range(group.last_id + 1, MAX_ID, request.limit, False)
    ids: list[bytes] = []
    replies: list[Reply] = []
    for i in range(len(found.ids)):
        entry_id = found.ids[i]
        stream.advance(group, entry_id)
        text = format_id(entry_id)
        ids.append(text)
        replies.append([text, found.fields[i]])
        if not request.noack:
            group.assign(entry_id, consumer, now, 1)
    if not request.noack:
        consumer.active_ms = now
        _journal_claim(ctx, name, request.group, consumer, ids, now, 1, group.last_id)
    journal_group_id(ctx, name, request.group, group)
    ctx.changed_aside(name)
    return replies


def _deliver_again(
    ctx: Context, request: ReadRequest, name: bytes, stream: Stream, group: Group, consumer: Consumer, after: int
) -> Reply:
    """What is pending for `consumer`, counted as one more delivery. An entry that was deleted has null for fields.

    Redis journals nothing of this; here the counts outlive a restart, so that "dead after n deliveries" holds.
    """
    claims = Claims(ctx, name, request.group, group, consumer, ctx.now_ms)
    replies: list[Reply] = []
    limit = request.limit if request.limit > 0 else len(consumer.order)
    for entry_id in ids_from(consumer.order, after + 1, limit):
        text = format_id(entry_id)
        fields = stream.get(entry_id)
        if fields is None:
            replies.append([text, NULL_ARRAY])
            continue
        pending = group.pending[entry_id]
        pending.delivered_ms = ctx.now_ms
        pending.deliveries += 1
        claims.add(text, pending.deliveries)
        replies.append([text, fields])
    claims.end()
    return replies
