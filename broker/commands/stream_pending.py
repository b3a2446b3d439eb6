"""What is pending in a consumer group: XACK, XPENDING, XCLAIM, XAUTOCLAIM. Journaled as stream_groups.py says."""

from typing import Final

from broker.commands.args import Args
from broker.commands.context import Context
from broker.commands.group_journal import Claims, acknowledged, journal_group_id
from broker.commands.group_policy import holds, may_claim, plan_look
from broker.commands.registry import ACCESS, DELETE, FAST, READONLY, RO, RW, UPDATE, WRITE, key
from broker.commands.registry import Group as CommandGroup
from broker.commands.stream_arguments import to_end, to_id, to_start
from broker.commands.stream_groups import as_text, existing_group, seen_consumer
from broker.commands.streams import read_stream
from broker.datatypes.pending import PendingIds
from broker.datatypes.small_ids import parse_smalls
from broker.datatypes.stream_groups import Consumer, Group, Pending
from broker.datatypes.streams import format_id, parse_id
from broker.errors import CommandError, syntax_error
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import NULL_ARRAY, Reply

command = CommandGroup("stream").command

_LETTER_F: Final = (b"F", b"f")  # no id begins with it
_CHUNK: Final = 256  # pending ids looked at in one go
_ATTEMPTS: Final = 10  # XAUTOCLAIM looks at so many pending entries for each that COUNT asks for
_MOST_CLAIMED: Final = I64_MAX // 16  # Redis: LONG_MAX / sizeof(streamID)


# -- XACK, XPENDING


@command("XACK", arity=-4, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="5.0.0",
         syntax="key group [FENCE consumer] id [id ...]",
         summary="Acknowledge entries: they are no longer pending",
         cost="O(log n) for each id",
         differs="FENCE is ours")  # fmt: skip
def xack(ctx: Context, argv: list[bytes]) -> Reply:
    if argv[3][:1] in _LETTER_F and len(argv) > 5 and argv[3].upper() == b"FENCE":
        return _xack_fenced(ctx, argv)
    stream = read_stream(ctx, argv[1])
    group = None if stream is None else stream.groups.get(argv[2])
    if group is None:
        return 0
    ctx.db.before_change(argv[1])
    smalls = parse_smalls(argv, 3)
    if smalls is not None:
        count = group.acknowledge_all(smalls)
    else:
        ids = [to_id(text) for text in argv[3:]]
        count = 0
        for entry_id in ids:
            if group.acknowledge(entry_id):
                count += 1
    if count:
        acknowledged(ctx, argv[1], group)
    return count


def _xack_fenced(ctx: Context, argv: list[bytes]) -> Reply:
    """FENCE (ours): only what is leased to this consumer still; whoever lost his lease acknowledges nothing."""
    stream = read_stream(ctx, argv[1])
    group = None if stream is None else stream.groups.get(argv[2])
    if group is None:
        return 0
    ctx.db.before_change(argv[1])
    ids = [to_id(text) for text in argv[5:]]
    taken: list[bytes] = []
    for entry_id in ids:
        if holds(group, entry_id, argv[4], ctx.now_ms) and group.acknowledge(entry_id):
            taken.append(format_id(entry_id))
    if taken:
        acknowledged(ctx, argv[1], group)
        ctx.journal_argv([b"XACK", argv[1], argv[2]] + taken)
    return len(taken)


@command("XPENDING", arity=-3, flags=READONLY, keys=[key(RO, ACCESS)], since="5.0.0",
         syntax="key group [[IDLE min-idle-time] start end count [consumer]]",
         summary="What is pending in a consumer group",
         cost="O(consumers) in short, else O(log n + m), m pending entries looked at")  # fmt: skip
def xpending(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 3:
        return _pending_summary(existing_group(ctx, argv[1], argv[2])[1])
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
    group = existing_group(ctx, argv[1], argv[2])[1]
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


def _pending_rows(group: Group, order: PendingIds, start: int, end: int, count: int, now: int, min_idle: int) -> Reply:
    """Up to `count` pending entries of `order` that were delivered at least `min_idle` ms ago."""
    replies: list[Reply] = []
    size = min(_CHUNK, count)
    while len(replies) < count:
        if min_idle:
            start = _skip_busy(group, start, now - min_idle)
            if start < 0:
                break
        chunk = order.from_id(start, size)
        for entry_id in chunk:
            if entry_id > end or len(replies) >= count:
                return replies
            pending = group.pending[entry_id]
            if pending.consumer is group.nobody:  # given back: idle since ever, which Redis 8.8 shows as -1
                replies.append([format_id(entry_id), b"", -1, pending.deliveries])
                continue
            idle = now - pending.delivered_ms
            if min_idle and idle < min_idle:
                continue
            replies.append([format_id(entry_id), pending.consumer.name, max(idle, 0), pending.deliveries])
        if len(chunk) < size:
            break
        start = chunk[-1] + 1
    return replies


def _skip_busy(group: Group, start: int, until_ms: int) -> int:
    """The first pending id from `start` on before which none was delivered by `until_ms`, or is nobody's; -1: none is.

    Whole blocks are passed over: among a million entries the few that are idle may be anywhere.
    """
    idle = group.pending.idle_from(start, until_ms)
    returned = [] if group.nobody is None else group.nobody.order.from_id(start, 1)
    if returned and (idle < 0 or returned[0] < idle):
        return returned[0]
    return idle


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
    return deliveries if options.just_id else min(deliveries + 1, I64_MAX)


@command("XCLAIM", arity=-6, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="5.0.0",
         syntax="key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] "
                "[RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]",
         summary="Give pending entries to another consumer", cost="O(log n) for each id")  # fmt: skip
def xclaim(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    stream, group = existing_group(ctx, name, argv[2])
    min_idle = parse_int(argv[4])
    if min_idle is None:
        raise CommandError("ERR", "Invalid min-idle-time argument for XCLAIM")
    ids: list[int] = []
    options = _claim_options(ctx, argv, ids)
    last_id_moved = options.last_id > group.last_id
    if last_id_moved:
        group.last_id = options.last_id
    delivered_ms = _delivery_time(ctx, options.delivered_ms)
    consumer = seen_consumer(ctx, name, argv[2], group, argv[3])
    claims = Claims(ctx, name, argv[2], group, consumer, delivered_ms)
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
        elif not ctx.session.is_replay and not may_claim(group, entry_id, ctx.now_ms, min_idle):
            continue
        deliveries = _claimed_deliveries(pending, options)
        group.assign(entry_id, consumer, delivered_ms, deliveries)
        if group.policy is not None:
            group.policy.enter(entry_id, fields)
        consumer.active_ms = ctx.now_ms
        text = format_id(entry_id)
        claims.add(text, deliveries)
        replies.append(text if options.just_id else [text, fields])
    claims.end()
    plan_look(ctx, name, group)
    if last_id_moved and not claims.any:
        ctx.changed_aside(name)
        journal_group_id(ctx, name, argv[2], group)
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
    stream, group = existing_group(ctx, name, argv[2])
    consumer = seen_consumer(ctx, name, argv[2], group, argv[3])
    claims = Claims(ctx, name, argv[2], group, consumer, ctx.now_ms)
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
                claims.add(text, group.pending[entry_id].deliveries)
                replies.append(text if options.just_id else [text, fields])
    claims.end()
    following = group.order.slice(rank, rank + 1)
    return [format_id(following[0] if following else 0), replies, deleted]


def _claim_idle(
    ctx: Context, group: Group, entry_id: int, pending: Pending, consumer: Consumer, min_idle: int, just_id: bool
) -> bool:
    """Give a pending entry to `consumer` if it was delivered long enough ago."""
    if not may_claim(group, entry_id, ctx.now_ms, min_idle):
        return False
    deliveries = pending.deliveries if just_id else min(pending.deliveries + 1, I64_MAX)
    group.assign(entry_id, consumer, ctx.now_ms, deliveries)
    consumer.active_ms = ctx.now_ms
    return True
