"""XREADGROUP. What a group with a policy gives, and what CLAIM takes, is decided in group_policy.py."""

from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.group_journal import Claims, journal_claim, journal_group_id
from broker.commands.group_policy import Gathering, admits, next_try_ms, plan_look, put_in_order, room_for
from broker.commands.registry import ACCESS, BLOCKING, RO, WRITE, keys_after
from broker.commands.registry import Group as CommandGroup
from broker.commands.stream_arguments import to_id
from broker.commands.stream_groups import as_text, no_group, seen_consumer
from broker.commands.streams import ReadRequest, read_request, read_stream
from broker.datatypes.group_policy import NEVER_DUE
from broker.datatypes.small_ids import large_id
from broker.datatypes.stream_groups import Consumer, Group, ids_from
from broker.datatypes.streams import MAX_ID, Stream, format_id
from broker.errors import CommandError
from broker.protocol.numbers import I64_MAX
from broker.protocol.replies import NULL_ARRAY, EntryList, PairMap, Reply

command = CommandGroup("stream").command


@command("XREADGROUP", arity=-7, flags=BLOCKING | WRITE,
         keys=[keys_after(b"STREAMS", RO, ACCESS, start=4, last=-1, limit=2)], since="5.0.0",
         syntax="GROUP group consumer [COUNT count] [MAXCOUNT maxcount] [MAXSIZE maxsize] [BLOCK milliseconds] "
                "[CLAIM min-idle-time] [NOACK] STREAMS key [key ...] id [id ...]",
         summary="Entries of several streams that no consumer of a group has got yet, or those pending for one",
         cost="O(m log n) for each stream, m entries returned, n pending in the group",
         differs="Repeated reads of history are journaled")  # fmt: skip
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
        ctx.db.before_change(argv[i])
        streams.append(stream)
        groups.append(group)
        after.append(_group_after(argv[i + count]))
    flat: list[Reply] = []
    for i in range(count):
        name = argv[at + i]
        stream = streams[i]
        group = groups[i]
        is_new = after[i] == MAX_ID
        budget = request.budget
        if budget is not None:
            if budget.is_spent():
                break
            budget.open(name, request.resp3)
        consumer = seen_consumer(ctx, name, request.group, group, request.consumer)
        if not is_new:
            if group.policy is not None:
                put_in_order(ctx, name, request.group, stream, group, consumer)
            again = _deliver_again(ctx, request, name, stream, group, consumer, after[i])
            flat.append(name)
            flat.append(again)
            if budget is not None:
                budget.close(len(again))
        elif group.policy is not None or request.claim_ms >= 0 or budget is not None:
            entries = _deliver_leased(ctx, request, name, stream, group, consumer)
            if entries is not None:
                flat.append(name)
                flat.append(entries)
                continue
            rows = Gathering(ctx, request, name, stream, group, consumer).gather()
            if budget is not None:
                budget.close(len(rows))
            if rows:
                flat.append(name)
                flat.append(rows)
        elif stream.size and stream.newest_id() > group.last_id:
            flat.append(name)
            flat.append(_deliver(ctx, request, name, stream, group, consumer, request.limit))
    if flat:
        return PairMap(flat)
    if request.block_ms < 0:
        return NULL_ARRAY
    return _blocked(ctx, request, argv, groups)


def _blocked(ctx: Context, request: ReadRequest, argv: list[bytes], groups: list[Group]) -> Blocked:
    """Readers of one group compete, unless they differ in what they may have."""
    keys = argv[request.keys_at : request.keys_at + request.count]
    competes = request.group + b"\0CLAIM" if request.claim_ms >= 0 else request.group
    retry_ms = NEVER_DUE
    for group in groups:
        if group.policy is None and request.claim_ms < 0:
            continue
        consumer = group.consumers[request.consumer]
        retry_ms = min(retry_ms, next_try_ms(request, group, consumer, ctx.now_ms))
        if room_for(group, consumer, 1) == 0:
            competes = request.group + b"\0consumer " + request.consumer
    retry_at = 0 if retry_ms == NEVER_DUE else retry_ms
    return Blocked(keys, request.block_ms, argv, NULL_ARRAY, b"stream", True, competes, False, retry_at)


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


def _deliver_leased(
    ctx: Context, request: ReadRequest, name: bytes, stream: Stream, group: Group, consumer: Consumer
) -> Reply | None:
    """As Gathering, several times as fast, in the usual case that all there is to give out is new entries, in no order
    of their own; None in any other."""
    policy = group.policy
    if policy is None or policy.order_by or request.claim_ms >= 0 or request.budget is not None or request.noack:
        return None
    put_in_order(ctx, name, request.group, stream, group, consumer)
    limit = room_for(group, consumer, request.limit)
    if limit == 0 or not stream.size or stream.newest_id() <= group.last_id or group.due(ctx.now_ms, 1):
        return None
    if len(group.pending) and group.order.last() > group.last_id:
        return None  # XGROUP SETID went back
    entries = _deliver(ctx, request, name, stream, group, consumer, limit)
    plan_look(ctx, name, group)
    return entries


def _deliver(
    ctx: Context, request: ReadRequest, name: bytes, stream: Stream, group: Group, consumer: Consumer, limit: int
) -> Reply:
    """Hand entries that are new to the group to `consumer`. There is at least one. limit: -1 for all."""
    now = ctx.now_ms
    found = stream.range_encoded(group.last_id + 1, MAX_ID, limit, False, True)
    smalls = found.smalls()
    if smalls is None or not stream.advance_over(group, found.count, large_id(smalls[0]), large_id(smalls[-1])):
        for entry_id in found.ids():
            stream.advance(group, entry_id)
    if not request.noack:
        consumer.active_ms = now
        if smalls is None or not group.assign_new(smalls, consumer, now):
            for entry_id in found.ids():
                group.assign(entry_id, consumer, now, 1)
    if ctx.is_journaled():
        if not request.noack:
            texts = [format_id(entry_id) for entry_id in found.ids()]
            journal_claim(ctx, name, request.group, consumer, texts, now, 1, group.last_id)
        journal_group_id(ctx, name, request.group, group)
    ctx.changed_aside(name)
    return EntryList(found.count, found.wire())


def _deliver_again(
    ctx: Context, request: ReadRequest, name: bytes, stream: Stream, group: Group, consumer: Consumer, after: int
) -> list[Reply]:
    """What is pending for `consumer`, counted as one more delivery. An entry that was deleted has null for fields.

    Redis journals nothing of this; here the counts outlive a restart, so that "dead after n deliveries" holds.
    """
    claims = Claims(ctx, name, request.group, group, consumer, ctx.now_ms)
    replies: list[Reply] = []
    limit = request.limit if request.limit > 0 else len(consumer.order)
    for entry_id in ids_from(consumer.order, after + 1, limit):
        text = format_id(entry_id)
        fields = stream.get(entry_id)
        row: list[Reply] = [text, NULL_ARRAY if fields is None else fields]
        if not admits(request, row):
            break
        replies.append(row)
        if fields is None:
            continue
        deliveries = min(group.pending[entry_id].deliveries + 1, I64_MAX)
        group.assign(entry_id, consumer, ctx.now_ms, deliveries)
        claims.add(text, deliveries)
    claims.end()
    return replies
