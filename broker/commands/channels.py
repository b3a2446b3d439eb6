"""Channels that can be resumed: what is published to them is kept for a while, and who comes back gets what he missed.

None of this is Redis's. Positions are written as the ids of streams. What is kept, and under which rules, is journaled:
PUBLISH to a retained channel as CHANNEL APPEND, which says what position it got.
"""

from typing import Final

from broker.commands.args import Args, to_positive
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.messages import append_and_deliver, push_of
from broker.commands.pubsub import confirm, set_gate
from broker.commands.registry import DENYOOM, FAST, LOADING, NO_MULTI, NOSCRIPT, PUBSUB, STALE, WRITE, Group
from broker.datatypes.streams import NO_ID, format_id, parse_id
from broker.errors import CommandError, must_be_positive, syntax_error
from broker.keyspace.channel_log import DEFAULT_MAX_BYTES, DEFAULT_MAX_LENGTH
from broker.keyspace.subscriptions import AS_PATTERN, WITH_ID
from broker.protocol.replies import OK, Map, Push, Reply

command = Group("pubsub").command

_ALL: Final = -1  # no COUNT


# -- rules


@command("CHANNEL|RETAIN", arity=-3, flags=WRITE | PUBSUB, since="0.2.0", ours=True,
         syntax="pattern [OFF | [MAXLEN count] [MAXAGE milliseconds] [MAXBYTES bytes]]",
         summary="Keep what is published to the channels that match, or keep it no more",
         cost="O(n log n), n channels that are kept")  # fmt: skip
def channel_retain(ctx: Context, argv: list[bytes]) -> Reply:
    pattern = argv[2]
    log = ctx.keyspace.channel_log
    args = Args(argv, 3)
    if args.flag(b"OFF"):
        args.end()
        if not log.remove_rule(pattern):
            return 0
        ctx.keyspace.dirty += 1
        return 1
    max_length = DEFAULT_MAX_LENGTH
    max_age_ms = 0
    max_bytes = DEFAULT_MAX_BYTES
    while args.more():
        if args.flag(b"MAXLEN"):
            max_length = _limit(args)
        elif args.flag(b"MAXAGE"):
            max_age_ms = to_positive(args.next())
        elif args.flag(b"MAXBYTES"):
            max_bytes = _limit(args)
        else:
            raise syntax_error()
    rule = log.rules.get(pattern)
    if rule and (rule.max_length, rule.max_age_ms, rule.max_bytes) == (max_length, max_age_ms, max_bytes):
        return OK
    log.set_rule(pattern, max_length, max_age_ms, max_bytes)
    ctx.keyspace.dirty += 1
    ctx.journal(
        b"CHANNEL", b"RETAIN", pattern, b"MAXLEN", b"%d" % max_length, b"MAXAGE", b"%d" % max_age_ms,
        b"MAXBYTES", b"%d" % max_bytes,
    )  # fmt: skip
    return OK


def _limit(args: Args) -> int:
    """Of what 0 would keep nothing."""
    value = to_positive(args.next())
    if value == 0:
        raise must_be_positive()
    return value


@command("CHANNEL|LIST", arity=2, flags=PUBSUB, since="0.2.0", ours=True,
         summary="The rules of retained channels, and what they keep", cost="O(n), n rules")  # fmt: skip
def channel_list(ctx: Context, argv: list[bytes]) -> Reply:
    rows: list[Reply] = []
    for pattern, rule in ctx.keyspace.channel_log.rules.items():
        flat: list[Reply] = [
            b"pattern", pattern,
            b"max-length", rule.max_length,
            b"max-age", rule.max_age_ms,
            b"max-bytes", rule.max_bytes,
            b"channels", len(rule.filled) + len(rule.quiet),
            b"messages", rule.messages,
            b"bytes", rule.bytes,
        ]  # fmt: skip
        rows.append(Map(flat))
    return rows


# -- writing


@command("CHANNEL|APPEND", arity=5, flags=WRITE | PUBSUB | DENYOOM | FAST, since="0.2.0", ours=True,
         syntax="channel id message",
         summary="Publish to a retained channel under a position of one's own, above all others",
         cost="O(n + m), as PUBLISH")  # fmt: skip
def channel_append(ctx: Context, argv: list[bytes]) -> Reply:
    """The form in which PUBLISH to a retained channel is journaled."""
    position = _to_id(argv[3])
    log = ctx.keyspace.channel_log
    if position <= log.last:
        raise CommandError("ERR", "The position is not above the newest one, " + format_id(log.last).decode())
    count = append_and_deliver(ctx, argv[2], position, argv[4])
    if count < 0:
        raise _not_retained()
    return count


def _not_retained() -> CommandError:
    return CommandError("ERR", "no CHANNEL RETAIN rule covers this channel")


def _to_id(text: bytes) -> int:
    position = parse_id(text, 0)
    if position == NO_ID:
        raise CommandError("ERR", "Invalid position: it has to be one that CHANNEL POSITION, or a message, told")
    return position


# -- reading


@command("CHANNEL|POSITION", arity=3, flags=PUBSUB | FAST, since="0.2.0", ours=True, syntax="channel",
         summary="The position of a retained channel's newest message", cost="O(1)")  # fmt: skip
def channel_position(ctx: Context, argv: list[bytes]) -> Reply:
    """After this position nothing has been missed yet. Null when the channel is not retained."""
    newest = ctx.keyspace.channel_log.newest(argv[2])
    return None if newest is None else format_id(newest)


def _start(ctx: Context, channel: bytes, text: bytes) -> int:
    """The position that `text` means. Raises GAP when messages after it are gone already."""
    log = ctx.keyspace.channel_log
    oldest = log.oldest(channel, ctx.now_ms)
    newest = log.newest(channel)
    if oldest is None or newest is None:
        raise _not_retained()
    if text == b"$":
        return newest
    if text == b"-":
        return oldest
    position = _to_id(text)
    if position == 0:
        return oldest
    if position < oldest:
        raise CommandError(
            "GAP",
            f"messages after {format_id(position).decode()} are gone; what there is begins after "
            f"{format_id(oldest).decode()}",
        )
    if position > log.last:
        raise CommandError(
            "GAP", f"{format_id(position).decode()} is above the newest position, {format_id(log.last).decode()}"
        )
    return position


@command("CHANNEL|READ", arity=-4, flags=PUBSUB, since="0.2.0", ours=True, syntax="channel id [COUNT count]",
         summary="Messages of a retained channel after a position, without listening to it",
         cost="O(log n + k), n messages kept, k messages returned")  # fmt: skip
def channel_read(ctx: Context, argv: list[bytes]) -> Reply:
    args = Args(argv, 4)
    limit = to_positive(args.next()) if args.flag(b"COUNT") else _ALL
    args.end()
    start = _start(ctx, argv[2], argv[3])
    rows: list[Reply] = []
    for message in ctx.keyspace.channel_log.since(argv[2], start, limit, ctx.now_ms):
        rows.append([format_id(message.position), message.payload])
    return rows


@command("CHANNEL|RESUME", arity=-4, flags=PUBSUB | NOSCRIPT | NO_MULTI, since="0.2.0", ours=True,
         syntax="channel id [PMESSAGE]",
         summary="Listen to a retained channel, beginning with what was published after a position",
         cost="O(log n + k), n messages kept, k messages after the position")  # fmt: skip
def channel_resume(ctx: Context, argv: list[bytes]) -> Reply:
    """Atomic: what is replayed and what comes live have nothing between them and nothing in common."""
    args = Args(argv, 4)
    form = AS_PATTERN if args.flag(b"PMESSAGE") else WITH_ID
    args.end()
    channel = argv[2]
    start = _start(ctx, channel, argv[3])
    session = ctx.session
    session.channels.set(channel, True)
    ctx.shared.subscriptions.resume(session.id, channel, form)
    set_gate(session)
    kind = b"subscribe" if form == AS_PATTERN else b"resume"
    replies: list[Reply] = [Push([kind, channel, session.listening])]
    for message in ctx.keyspace.channel_log.since(channel, start, _ALL, ctx.now_ms):
        replies.append(Push(push_of(form, channel, format_id(message.position), message.payload)))
    return confirm(session, replies)


@command("CHANNEL|HELP", arity=2, flags=LOADING | STALE, since="0.2.0", ours=True, summary="What CHANNEL can do")
def channel_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"CHANNEL")
