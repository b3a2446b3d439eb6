"""Consumer groups of streams: XGROUP, XREADGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM.

What a group does is journaled as what came of it: deliveries and claims as XCLAIM with all numbers given, pending
entries dropped as XACK, consumers that came into being as XGROUP CREATECONSUMER, how far a group read as XGROUP SETID.
"""

from typing import Final

from broker.commands.args import Args
from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    BLOCKING,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    LOADING,
    READONLY,
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
    changed_aside,
    peek_stream,
    read_request,
    read_stream,
    streams_reply,
    to_end,
    to_id,
    to_start,
)
from broker.datatypes.sorted_blocks import SortedBlocks
from broker.datatypes.stream_groups import UNKNOWN, Consumer, Group, Pending, ids_from
from broker.datatypes.streams import MAX_ID, Stream, format_id, parse_id
from broker.errors import CommandError, syntax_error
from broker.keyspace.events import STREAM
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import NULL_ARRAY, OK, Reply, Simple

command = CommandGroup("stream").command

_CHUNK: Final = 256  # pending ids looked at in one go
_ATTEMPTS: Final = 10  # XAUTOCLAIM looks at so many pending entries for each that COUNT asks for
_MOST_CLAIMED: Final = I64_MAX // 16  # Redis: LONG_MAX / sizeof(streamID)


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


def help_lines(name: bytes, lines: list[bytes]) -> Reply:
    """Redis: addReplyHelp."""
    head = name.upper() + b" <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    replies: list[Reply] = [Simple(line) for line in [head, *lines, b"HELP", b"    Prints this help."]]
    return replies


def _existing_group(ctx: Context, name: bytes, group: bytes) -> tuple[Stream, Group]:
    stream = read_stream(ctx, name)
    found = None if stream is None else stream.groups.get(group)
    if stream is None or found is None:
        raise no_group(name, group)
    return stream, found


def _seen_consumer(ctx: Context, name: bytes, group_name: bytes, group: Group, consumer_name: bytes) -> Consumer:
    """The consumer, who shows up now; he comes into being when there is none of that name."""
    consumer = group.consumers.get(consumer_name)
    if consumer is None:
        consumer = group.add_consumer(consumer_name, ctx.now_ms)
        changed_aside(ctx, name, b"xgroup-createconsumer")
        ctx.journal(b"XGROUP", b"CREATECONSUMER", name, group_name, consumer_name)
    consumer.seen_ms = ctx.now_ms
    return consumer


# -- journaling


def _journal_group_id(ctx: Context, name: bytes, group_name: bytes, group: Group) -> None:
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


class _Claims:
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
            changed_aside(self._ctx, self._name)

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
    changed_aside(ctx, name, b"xgroup-create")
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
    changed_aside(ctx, argv[2], b"xgroup-setid")
    return OK


@command("XGROUP|DESTROY", arity=4, flags=WRITE, keys=[key(RW, DELETE, at=2)], since="5.0.0",
         syntax="key group", summary="Remove a consumer group", cost="O(n), n entries pending in it")  # fmt: skip
def xgroup_destroy(ctx: Context, argv: list[bytes]) -> Reply:
    stream = _xgroup_stream(ctx, argv[2])
    if stream.groups.pop(argv[3], None) is None:
        return 0
    changed_aside(ctx, argv[2], b"xgroup-destroy")
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
    changed_aside(ctx, argv[2], b"xgroup-createconsumer")
    return 1


@command("XGROUP|DELCONSUMER", arity=5, flags=WRITE, keys=[key(RW, DELETE, at=2)], since="5.0.0",
         syntax="key group consumer", summary="Remove a consumer with what is pending for it",
         cost="O(n log m), n entries pending for it, m in the group")  # fmt: skip
def xgroup_delconsumer(ctx: Context, argv: list[bytes]) -> Reply:
    group = _xgroup_group(ctx, argv)[1]
    if argv[4] not in group.consumers:
        return 0
    pending = group.remove_consumer(argv[4])
    changed_aside(ctx, argv[2], b"xgroup-delconsumer")
    return pending


@command("XGROUP|HELP", arity=2, flags=LOADING | STALE, since="5.0.0",
         summary="What XGROUP can do", cost="O(1)")  # fmt: skip
def xgroup_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_lines(
        b"XGROUP",
        [
            b"CREATE <key> <groupname> <id|$> [option]",
            b"    Create a new consumer group. Options are:",
            b"    * MKSTREAM",
            b"      Create the empty stream if it does not exist.",
            b"    * ENTRIESREAD entries_read",
            b"      Set the group's entries_read counter (internal use).",
            b"CREATECONSUMER <key> <groupname> <consumer>",
            b"    Create a new consumer in the specified group.",
            b"DELCONSUMER <key> <groupname> <consumer>",
            b"    Remove the specified consumer.",
            b"DESTROY <key> <groupname>",
            b"    Remove the specified group.",
            b"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            b"    Set the current group ID and entries_read counter.",
        ],
    )


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
        consumer = _seen_consumer(ctx, name, request.group, group, request.consumer)
        if not is_new:
            flat.append(name)
            flat.append(_deliver_again(ctx, request, name, stream, group, consumer, after[i]))
        elif stream.size and stream.newest_id() > group.last_id:
            flat.append(name)
            flat.append(_deliver(ctx, request, name, stream, group, consumer))
    if flat:
        return streams_reply(ctx, flat)
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
    _journal_group_id(ctx, name, request.group, group)
    changed_aside(ctx, name)
    return replies


def _deliver_again(
    ctx: Context, request: ReadRequest, name: bytes, stream: Stream, group: Group, consumer: Consumer, after: int
) -> Reply:
    """What is pending for `consumer`, counted as one more delivery. An entry that was deleted has null for fields.

    Redis journals nothing of this; here the counts outlive a restart, so that "dead after n deliveries" holds.
    """
    claims = _Claims(ctx, name, request.group, group, consumer, ctx.now_ms)
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


# -- XACK, XPENDING


@command("XACK", arity=-4, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="5.0.0",
         syntax="key group id [id ...]", summary="Acknowledge entries: they are no longer pending",
         cost="O(log n) for each id")  # fmt: skip
def xack(ctx: Context, argv: list[bytes]) -> Reply:
    stream = read_stream(ctx, argv[1])
    group = None if stream is None else stream.groups.get(argv[2])
    if group is None:
        return 0
    ids = [to_id(text) for text in argv[3:]]
    acknowledged = 0
    for entry_id in ids:
        if group.acknowledge(entry_id):
            acknowledged += 1
    if acknowledged:
        changed_aside(ctx, argv[1])
    return acknowledged


@command("XPENDING", arity=-3, flags=READONLY, keys=[key(RO, ACCESS)], since="5.0.0",
         syntax="key group [[IDLE min-idle-time] start end count [consumer]]",
         summary="What is pending in a consumer group",
         cost="O(consumers) in short, else O(log n + m), m pending entries looked at")  # fmt: skip
def xpending(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 3:
        return _pending_summary(_existing_group(ctx, argv[1], argv[2])[1])
    if len(argv) < 6 or len(argv) > 9:
        raise syntax_error()
    args = Args(argv, 3)
    min_idle = 0
    if args.flag(b"IDLE"):
        min_idle = args.next_int()
        if len(argv) < 8:
            raise syntax_error()
    start_text = args.next()
    end_text = args.next()
    count = args.next_int()
    start = to_start(start_text)
    end = to_end(end_text)
    group = _existing_group(ctx, argv[1], argv[2])[1]
    order = group.order
    if args.more():  # a consumer; Redis ignores what follows it
        consumer = group.consumers.get(args.next())
        if consumer is None:
            return []
        order = consumer.order
    return _pending_rows(group, order, start, end, count, ctx.now_ms, min_idle)


def _pending_summary(group: Group) -> Reply:
    if not group.pending:
        return [0, None, None, NULL_ARRAY]
    consumers: list[Reply] = []
    for name in sorted(group.consumers):
        count = len(group.consumers[name].order)
        if count:
            consumers.append([name, b"%d" % count])
    return [len(group.pending), format_id(group.order.first()), format_id(group.order.last()), consumers]


def _pending_rows(
    group: Group, order: SortedBlocks[int], start: int, end: int, count: int, now: int, min_idle: int
) -> Reply:
    """Up to `count` pending entries of `order` that were delivered at least `min_idle` ms ago."""
    replies: list[Reply] = []
    rank = order.rank(start)
    size = min(_CHUNK, count)
    while len(replies) < count:
        chunk = order.slice(rank, rank + size)
        rank += size
        for entry_id in chunk:
            if entry_id > end or len(replies) >= count:
                return replies
            pending = group.pending[entry_id]
            idle = now - pending.delivered_ms
            if min_idle and idle < min_idle:
                continue
            replies.append([format_id(entry_id), pending.consumer.name, max(idle, 0), pending.deliveries])
        if len(chunk) < size:
            break
    return replies


# -- XCLAIM, XAUTOCLAIM


class _ClaimOptions:
    """delivered_ms, deliveries: -1 when not given."""

    def __init__(self) -> None:
        self.delivered_ms = -1
        self.deliveries = -1
        self.force = False
        self.just_id = False
        self.last_id = 0


def _claim_options(ctx: Context, argv: list[bytes], ids: list[int]) -> _ClaimOptions:
    """Ids up to the first word that is none (appended to `ids`), then options. Redis: xclaimCommand."""
    options = _ClaimOptions()
    for text in argv[5:]:
        entry_id = parse_id(text, 0)
        if entry_id < 0:
            break
        ids.append(entry_id)
    args = Args(argv, 5 + len(ids))
    while args.more():
        word = args.next()
        upper = word.upper()
        if upper == b"FORCE":
            options.force = True
        elif upper == b"JUSTID":
            options.just_id = True
        elif upper == b"IDLE" and args.more():
            options.delivered_ms = ctx.now_ms - _claim_int(args, "IDLE")
        elif upper == b"TIME" and args.more():
            options.delivered_ms = _claim_int(args, "TIME")
        elif upper == b"RETRYCOUNT" and args.more():
            options.deliveries = _claim_int(args, "RETRYCOUNT")
        elif upper == b"LASTID" and args.more():
            options.last_id = to_id(args.next())
        else:
            raise CommandError("ERR", f"Unrecognized XCLAIM option '{as_text(word)}'")
    return options


def _claim_int(args: Args, word: str) -> int:
    value = parse_int(args.next())
    if value is None:
        raise CommandError("ERR", f"Invalid {word} option argument for XCLAIM")
    return value


def _delivery_time(ctx: Context, given: int) -> int:
    """A time in the future is taken for now: clients compute it from clocks of their own. A log is believed."""
    if given < 0 or (given > ctx.now_ms and not ctx.session.is_replay):
        return ctx.now_ms
    return given


def _claimed_deliveries(pending: Pending | None, options: _ClaimOptions) -> int:
    """The count of deliveries that a claimed entry has then. JUSTID does not count as one."""
    if options.deliveries >= 0:
        return options.deliveries
    deliveries = 1 if pending is None else pending.deliveries
    return deliveries if options.just_id else deliveries + 1


@command("XCLAIM", arity=-6, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="5.0.0",
         syntax="key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] "
                "[RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
         summary="Give pending entries to another consumer", cost="O(log n) for each id")  # fmt: skip
def xclaim(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    stream, group = _existing_group(ctx, name, argv[2])
    min_idle = parse_int(argv[4])
    if min_idle is None:
        raise CommandError("ERR", "Invalid min-idle-time argument for XCLAIM")
    ids: list[int] = []
    options = _claim_options(ctx, argv, ids)
    last_id_moved = options.last_id > group.last_id
    if last_id_moved:
        group.last_id = options.last_id
    delivered_ms = _delivery_time(ctx, options.delivered_ms)
    consumer = _seen_consumer(ctx, name, argv[2], group, argv[3])
    claims = _Claims(ctx, name, argv[2], group, consumer, delivered_ms)
    replies: list[Reply] = []
    for entry_id in ids:
        fields = stream.get(entry_id)
        pending = group.pending.get(entry_id)
        if fields is None:
            if group.acknowledge(entry_id):  # the entry was deleted: nobody can have it any more
                claims.drop(format_id(entry_id))
            continue
        if pending is None:
            if not options.force:
                continue
        elif min_idle > 0 and ctx.now_ms - pending.delivered_ms < min_idle:
            continue
        deliveries = _claimed_deliveries(pending, options)
        group.assign(entry_id, consumer, delivered_ms, deliveries)
        consumer.active_ms = ctx.now_ms
        text = format_id(entry_id)
        claims.add(text, deliveries)
        replies.append(text if options.just_id else [text, fields])
    claims.end()
    if last_id_moved and not claims.any:
        changed_aside(ctx, name)
        _journal_group_id(ctx, name, argv[2], group)
    return replies


class _AutoClaimOptions:
    def __init__(self) -> None:
        self.count = 100
        self.just_id = False


def _autoclaim_options(argv: list[bytes]) -> _AutoClaimOptions:
    options = _AutoClaimOptions()
    args = Args(argv, 6)
    while args.more():
        if args.flag(b"JUSTID"):
            options.just_id = True
        elif args.left > 1 and args.flag(b"COUNT"):
            count = parse_int(args.next())
            if count is None or not 1 <= count <= _MOST_CLAIMED:
                raise CommandError("ERR", "COUNT must be > 0")
            options.count = count
        else:
            raise syntax_error()
    return options


@command("XAUTOCLAIM", arity=-6, flags=WRITE | FAST, keys=[key(RW, DELETE)], since="6.2.0",
         syntax="key group consumer min-idle-time start [COUNT count] [JUSTID]",
         summary="Give entries that were pending for long to another consumer",
         cost="O(m log n), m pending entries looked at")  # fmt: skip
def xautoclaim(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    min_idle = parse_int(argv[4])
    if min_idle is None:
        raise CommandError("ERR", "Invalid min-idle-time argument for XAUTOCLAIM")
    start = to_start(argv[5])
    options = _autoclaim_options(argv)
    stream, group = _existing_group(ctx, name, argv[2])
    consumer = _seen_consumer(ctx, name, argv[2], group, argv[3])
    claims = _Claims(ctx, name, argv[2], group, consumer, ctx.now_ms)
    replies: list[Reply] = []
    deleted: list[Reply] = []
    attempts = options.count * _ATTEMPTS
    rank = group.order.rank(start)  # of the next pending entry to look at
    while attempts > 0 and len(replies) + len(deleted) < options.count:
        chunk = group.order.slice(rank, rank + min(_CHUNK, attempts, options.count - len(replies) - len(deleted)))
        if not chunk:
            break
        attempts -= len(chunk)
        for entry_id in chunk:
            text = format_id(entry_id)
            fields = stream.get(entry_id)
            if fields is None:
                group.acknowledge(entry_id)
                claims.drop(text)
                deleted.append(text)
                continue
            rank += 1
            pending = group.pending[entry_id]
            if _claim_idle(ctx, group, entry_id, pending, consumer, min_idle, options.just_id):
                claims.add(text, pending.deliveries)
                replies.append(text if options.just_id else [text, fields])
    claims.end()
    following = group.order.slice(rank, rank + 1)
    return [format_id(following[0] if following else 0), replies, deleted]


def _claim_idle(
    ctx: Context, group: Group, entry_id: int, pending: Pending, consumer: Consumer, min_idle: int, just_id: bool
) -> bool:
    """Give a pending entry to `consumer` if it was delivered long enough ago."""
    if min_idle > 0 and ctx.now_ms - pending.delivered_ms < min_idle:
        return False
    deliveries = pending.deliveries if just_id else pending.deliveries + 1
    group.assign(entry_id, consumer, ctx.now_ms, deliveries)
    consumer.active_ms = ctx.now_ms
    return True
