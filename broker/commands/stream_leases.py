"""Leases of pending entries: XNACK gives them back, XRENEW keeps them, XREDRIVE puts dead letters back where they came
from."""

from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.context import Context
from broker.commands.group_journal import Claims, Returns, wake_readers
from broker.commands.group_policy import PREFIX, append_decided, fail, holds, plan_look
from broker.commands.registry import DENYOOM, FAST, RW, TOUCHES_ARBITRARY_KEYS, UPDATE, WRITE, key
from broker.commands.registry import Group as CommandGroup
from broker.commands.stream_arguments import to_id
from broker.commands.stream_groups import as_text, existing_group, peek_group
from broker.commands.streams import peek_stream
from broker.datatypes.streams import MAX_ID, Stream, format_id, parse_id
from broker.errors import CommandError, syntax_error
from broker.keyspace.events import STREAM
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import Reply

command = CommandGroup("stream").command

_SILENT: Final = b"SILENT"
_FAIL: Final = b"FAIL"
_FATAL: Final = b"FATAL"
_MOST_IDS: Final = (1 << 31) - 1
_REDRIVEN: Final = 100  # dead letters that XREDRIVE takes without COUNT or IDS


def _ids_block(args: Args) -> list[bytes]:
    """`numids id [id ...]`, after the word IDS."""
    count = parse_int(args.next())
    if count is None or not 0 < count <= _MOST_IDS:
        raise CommandError("ERR", "numids must be a positive integer")
    if count > args.left:
        raise CommandError("ERR", "number of IDs doesn't match numids")
    ids: list[bytes] = []
    for _ in range(count):
        ids.append(args.next())
    return ids


def _to_ids(texts: list[bytes]) -> list[int]:
    return [to_id(text) for text in texts]


# -- XNACK


class _Nack:
    """An XNACK as it was given. retry_count, delay_ms, at_ms, attempts: -1 when not given."""

    def __init__(self, mode: bytes) -> None:
        self.mode: Final = mode
        self.ids: list[int] = []
        self.retry_count = -1
        self.force = False
        self.fence: bytes | None = None
        self.delay_ms = 0
        self.reason = b""
        self.at_ms = -1  # AT, ATTEMPTS and DEAD stand in the journal alone
        self.attempts = 0
        self.is_dead = False


def _nack(ctx: Context, argv: list[bytes]) -> _Nack:
    mode = argv[3].upper()
    if mode not in (_SILENT, _FAIL, _FATAL):
        raise CommandError("ERR", "mode must be SILENT, FAIL, or FATAL")
    nack = _Nack(mode)
    texts: list[bytes] = []
    args = Args(argv, 4)
    while args.more():
        word = args.next()
        upper = word.upper()
        if upper == b"IDS" and args.more():
            texts = _ids_block(args)
        elif upper == b"FORCE":
            nack.force = True
        elif upper == b"RETRYCOUNT" and args.more():
            nack.retry_count = args.next_int()
            if nack.retry_count < 0:
                raise CommandError("ERR", "Invalid RETRYCOUNT value, must be >= 0")
        elif upper == b"DELAY" and args.more():
            nack.delay_ms = args.next_int()
            if not 0 <= nack.delay_ms <= I64_MAX // 2 - ctx.now_ms:
                raise CommandError("ERR", "Invalid DELAY value, must be >= 0")
        elif upper == b"FENCE" and args.more():
            nack.fence = args.next()
        elif upper == b"REASON" and args.more():
            nack.reason = args.next()
        elif not ctx.session.is_replay or not _journal_option(nack, upper, args):
            raise CommandError("ERR", f"Unrecognized XNACK option '{as_text(word)}'")
    if not texts:
        raise CommandError("ERR", "syntax error, expected IDS keyword")
    nack.ids = _to_ids(texts)
    return nack


def _journal_option(nack: _Nack, word: bytes, args: Args) -> bool:
    if word == b"AT":
        nack.at_ms = args.next_int()
    elif word == b"ATTEMPTS":
        nack.attempts = args.next_int()
    elif word == b"DEAD":
        nack.is_dead = True
    else:
        return False
    return True


@command("XNACK", arity=-7, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="8.8.0",
         syntax="key group <SILENT | FAIL | FATAL> IDS numids id [id ...] [RETRYCOUNT count] [DELAY milliseconds] "
                "[REASON reason] [FENCE consumer] [FORCE]",
         summary="Give pending entries back to their group", cost="O(log n) for each id",
         differs="DELAY, REASON and FENCE are ours")  # fmt: skip
def xnack(ctx: Context, argv: list[bytes]) -> Reply:
    """DELAY, REASON and FENCE are ours. In a group with a policy FAIL counts as a failed attempt, FATAL as the last."""
    name = argv[1]
    stream, group = peek_group(ctx, name, argv[2])
    nack = _nack(ctx, argv)
    returns = Returns(ctx, name, argv[2], group)
    given_back = 0
    for entry_id in nack.ids:
        pending = group.pending.get(entry_id)
        if nack.fence is not None and not holds(group, entry_id, nack.fence, ctx.now_ms):
            continue
        fields = stream.get(entry_id) if pending is None or group.policy is not None else None
        if pending is None:
            if not nack.force or fields is None:
                continue
            if group.policy is not None:
                group.policy.enter(entry_id, fields)
        given_back += 1
        deliveries = _deliveries(nack, 0 if pending is None else pending.deliveries, pending is None)
        policy = group.policy
        if nack.at_ms >= 0:
            returns.give_back(entry_id, nack.at_ms, deliveries, nack.attempts, nack.reason, nack.is_dead)
        elif policy is None or nack.mode == _SILENT or pending is None:
            failures = 0 if policy is None or nack.retry_count == 0 else policy.failures(entry_id)
            due_ms = ctx.now_ms + nack.delay_ms if nack.delay_ms else 0
            returns.give_back(entry_id, due_ms, deliveries, failures, nack.reason)
        else:
            if deliveries != pending.deliveries and nack.mode == _FAIL:
                group.assign(entry_id, pending.consumer, pending.delivered_ms, deliveries)
            reason = nack.reason or nack.mode.lower()
            is_fatal = nack.mode == _FATAL
            fail(
                ctx, returns, name, argv[2], stream, group, entry_id, reason, ctx.now_ms, nack.delay_ms, is_fatal
            )  # fmt: skip
    if given_back:
        returns.end()
        plan_look(ctx, name, group)
    return given_back


def _deliveries(nack: _Nack, before: int, is_new: bool) -> int:
    if nack.retry_count >= 0:
        return nack.retry_count
    if nack.mode == _FATAL:
        return I64_MAX
    return max(before - 1, 0) if nack.mode == _SILENT and not is_new else before


# -- XRENEW


@command("XRENEW", arity=-7, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="0.2.0", ours=True,
         syntax="key group consumer IDS numids id [id ...]",
         summary="Extend the leases of pending entries that are still the consumer's",
         cost="O(log n) for each id")  # fmt: skip
def xrenew(ctx: Context, argv: list[bytes]) -> Reply:
    """For each id 1: its lease begins anew, or 0: it is not this consumer's (any more)."""
    name = argv[1]
    args = Args(argv, 4)
    if not args.flag(b"IDS"):
        raise CommandError("ERR", "syntax error, expected IDS keyword")
    ids = _to_ids(_ids_block(args))
    args.end()
    group = existing_group(ctx, name, argv[2])[1]
    replies: list[Reply] = []
    consumer = group.consumers.get(argv[3])
    if consumer is None:
        replies += [0] * len(ids)
        return replies
    consumer.seen_ms = ctx.now_ms
    claims = Claims(ctx, name, argv[2], group, consumer, ctx.now_ms)
    for entry_id in ids:
        if not holds(group, entry_id, argv[3], ctx.now_ms):
            replies.append(0)
            continue
        deliveries = group.pending[entry_id].deliveries
        group.assign(entry_id, consumer, ctx.now_ms, deliveries)
        claims.add(format_id(entry_id), deliveries)
        replies.append(1)
    claims.end()
    return replies


# -- XREDRIVE


class _Redrive:
    def __init__(self) -> None:
        self.count = -1
        self.ids: list[int] = []
        self.target: bytes | None = None


def _redrive(argv: list[bytes]) -> _Redrive:
    redrive = _Redrive()
    args = Args(argv, 2)
    while args.more():
        if args.flag(b"COUNT"):
            redrive.count = to_int(args.next())
            if redrive.count <= 0:
                raise CommandError("ERR", "COUNT must be > 0")
        elif args.flag(b"IDS"):
            redrive.ids = _to_ids(_ids_block(args))
        elif args.flag(b"TO"):
            redrive.target = args.next()
        else:
            raise syntax_error()
    if redrive.target == argv[1]:
        raise CommandError("ERR", "Dead letters can't be put back into the dead-letter stream itself")
    return redrive


@command("XREDRIVE", arity=-2, flags=WRITE | DENYOOM | TOUCHES_ARBITRARY_KEYS, keys=[key(RW, UPDATE)], since="0.2.0",
         ours=True, syntax="dead-key [COUNT count] [IDS numids id [id ...]] [TO key]",
         summary="Put dead letters back where they came from",
         cost="O(m log n), m dead letters put back")  # fmt: skip
def xredrive(ctx: Context, argv: list[bytes]) -> Reply:
    """[[dead id, key, id] ...] of those put back, the oldest first. What is no dead letter stays (but for TO)."""
    redrive = _redrive(argv)
    dead = peek_stream(ctx, argv[1])
    if redrive.target is not None:
        peek_stream(ctx, redrive.target)  # of another type: an error before anything has changed
    replies: list[Reply] = []
    if dead is None:
        return replies
    ids = redrive.ids or dead.range(0, MAX_ID, redrive.count if redrive.count > 0 else _REDRIVEN, False).ids
    if redrive.count > 0:
        ids = ids[: redrive.count]
    for dead_id in ids:
        letter = dead.get(dead_id)
        if letter is None:
            continue
        place = _put_back(ctx, letter, redrive.target)
        if place is None:
            continue
        dead.delete(dead_id)
        ctx.journal(b"XDEL", argv[1], format_id(dead_id))
        replies.append([format_id(dead_id), place[0], format_id(place[1])])
    if replies:
        ctx.changed(argv[1], b"xdel", STREAM)
    return replies


def _fact(letter: list[bytes], name: bytes) -> bytes:
    for i in range(0, len(letter) - 1, 2):
        if letter[i] == PREFIX + name:
            return letter[i + 1]
    return b""


def _put_back(ctx: Context, letter: list[bytes], target: bytes | None) -> tuple[bytes, int] | None:
    """Where a dead letter went, or None when it can't go there."""
    name = target if target is not None else _fact(letter, b"stream")
    if not name:
        return None
    value = ctx.db.peek(name)
    if value is not None and not isinstance(value, Stream):
        return None
    if target is None and value is not None:
        entry_id = parse_id(_fact(letter, b"id"), 0)
        if entry_id >= 0 and _into_group(ctx, name, value, _fact(letter, b"group"), entry_id):
            return name, entry_id
    fields: list[bytes] = []
    for i in range(0, len(letter) - 1, 2):
        if not letter[i].startswith(PREFIX):
            fields += letter[i : i + 2]
    if not fields or (value is not None and value.last_id == MAX_ID):
        return None
    if value is None:
        value = Stream()
        ctx.db.put(name, value)
    new_id = value.next_id(ctx.now_ms)
    append_decided(ctx, name, value, new_id, fields)
    return name, new_id


def _into_group(ctx: Context, name: bytes, stream: Stream, group_name: bytes, entry_id: int) -> bool:
    """Give an entry that is still in its stream to the group that gave it up, and to no other."""
    group = stream.groups.get(group_name)
    fields = stream.get(entry_id)
    if group is None or fields is None:
        return False
    if entry_id in group.pending:
        return True  # XGROUP SETID went back, and it was delivered once more
    if group.policy is not None:
        group.policy.enter(entry_id, fields)
    returns = Returns(ctx, name, group_name, group)
    returns.give_back(entry_id, 0, 0)
    returns.end()
    wake_readers(ctx, name)
    return True
