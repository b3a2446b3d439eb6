"""Publish and subscribe: fire and forget, to whoever listens now."""

from collections.abc import Callable
from typing import Final

from broker.commands.blocked import in_steps
from broker.commands.context import Context
from broker.commands.docs import bad_subcommand, help_of
from broker.commands.event_messages import tell_events
from broker.commands.messages import append_and_deliver, deliver, send_all
from broker.commands.registry import (
    FAST,
    LOADING,
    MAY_REPLICATE,
    NOSCRIPT,
    NOT_KEY,
    PUBSUB,
    SENTINEL,
    STALE,
    Group,
    key,
    keys_to_end,
)
from broker.commands.session import REPLY_ON, SUBSCRIBED, Session
from broker.datatypes.table import Table
from broker.errors import CommandError
from broker.keyspace.glob import matches
from broker.keyspace.subscriptions import count_of, members_in
from broker.protocol.replies import NOTHING, Push, Replies, Reply

command = Group("pubsub").command
_AT_ONCE: Final = 1000  # subscriptions that end in one turn
_LISTENING = PUBSUB | NOSCRIPT | LOADING | STALE | SENTINEL


# -- sending


def _tell_what_came_before(ctx: Context) -> None:
    """Events of a transaction or of a script are told at its end, but not after a message that was sent later."""
    if ctx.session.in_exec and ctx.keyspace.events:
        tell_events(ctx.shared)


@command("PUBLISH", arity=3, flags=PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE | SENTINEL, since="2.0.0",
         syntax="channel message", summary="Send a message to a channel",
         cost="O(n + m), n subscribers of the channel, m patterns that begin or end as it does")  # fmt: skip
def publish(ctx: Context, argv: list[bytes]) -> Reply:
    _tell_what_came_before(ctx)
    log = ctx.keyspace.channel_log
    if log.is_active:
        count = append_and_deliver(ctx, argv[1], log.next_position(ctx.now_ms), argv[2])
        if count >= 0:
            return count
    return deliver(ctx.shared, argv[1], argv[2])


@command("SPUBLISH", arity=3, flags=PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE, since="7.0.0",
         keys=[key(NOT_KEY)], syntax="shardchannel message", summary="Send a message to a shard channel",
         cost="O(n), n subscribers of the shard channel")  # fmt: skip
def spublish(ctx: Context, argv: list[bytes]) -> Reply:
    _tell_what_came_before(ctx)
    members = ctx.shared.subscriptions.on_shard(argv[1])
    if members is None:
        return 0
    return send_all(ctx.shared, members, [b"smessage", argv[1], argv[2]])


# -- listening


def set_gate(session: Session) -> None:
    """To be called when the number of subscriptions has changed."""
    session.set_gate(SUBSCRIBED, session.subscriptions > 0 and not session.resp3)


def confirm(session: Session, replies: list[Reply]) -> Reply:
    """Confirmations are pushed: CLIENT REPLY OFF and SKIP don't hold them back. Redis: CLIENT_PUSHING in pubsub.c."""
    if session.reply_mode == REPLY_ON:
        return Replies(replies)
    for reply in replies:
        session.send(reply)
    return NOTHING


@command("SUBSCRIBE", arity=-2, flags=_LISTENING, since="2.0.0", syntax="channel [channel ...]",
         summary="Listen to channels", cost="O(n), n channels")  # fmt: skip
def subscribe(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    replies: list[Reply] = []
    for channel in argv[1:]:
        session.channels.set(channel, True)
        ctx.shared.subscriptions.subscribe(session.id, channel)
        replies.append(Push([b"subscribe", channel, session.listening]))
    set_gate(session)
    return confirm(session, replies)


@command("PSUBSCRIBE", arity=-2, flags=_LISTENING, since="2.0.0", syntax="pattern [pattern ...]",
         summary="Listen to all channels whose names match", cost="O(n), n patterns")  # fmt: skip
def psubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    replies: list[Reply] = []
    for pattern in argv[1:]:
        session.patterns.set(pattern, True)
        ctx.shared.subscriptions.psubscribe(session.id, pattern)
        replies.append(Push([b"psubscribe", pattern, session.listening]))
    set_gate(session)
    return confirm(session, replies)


@command("UNSUBSCRIBE", arity=-1, flags=_LISTENING, since="2.0.0", syntax="[channel [channel ...]]",
         summary="Stop listening to channels, or to all of them", cost="O(n), n channels",
         differs="From very many channels it goes on over several turns")  # fmt: skip
def unsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 1 and _is_long(ctx, ctx.session.channels):
        return in_steps(_Leaving(ctx, ctx.session.channels, unsubscribe_channels).step)
    return confirm(ctx.session, unsubscribe_channels(ctx, argv[1:]))


@command("PUNSUBSCRIBE", arity=-1, flags=_LISTENING, since="2.0.0", syntax="[pattern [pattern ...]]",
         summary="Stop listening to patterns, or to all of them", cost="O(n), n patterns",
         differs="From very many patterns it goes on over several turns")  # fmt: skip
def punsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 1 and _is_long(ctx, ctx.session.patterns):
        return in_steps(_Leaving(ctx, ctx.session.patterns, unsubscribe_patterns).step)
    return confirm(ctx.session, unsubscribe_patterns(ctx, argv[1:]))


def _is_long(ctx: Context, table: Table) -> bool:
    """Whether leaving all of them takes several turns. (Not in a transaction: its reply has the confirmations.)"""
    return table.size > _AT_ONCE and not ctx.session.in_exec


class _Leaving:
    """A client stops listening to all of very many, some in each turn."""

    def __init__(self, ctx: Context, table: Table, leave: Callable[[Context, list[bytes]], list[Reply]]) -> None:
        self._ctx = ctx
        self._table = table
        self._leave = leave

    def step(self) -> Reply:
        """See Unfinished. The confirmations go out as they come."""
        session = self._ctx.session
        if session.closed:
            return Replies([])  # Subscriptions.leave() does it
        for reply in self._leave(self._ctx, self._table.some(_AT_ONCE)):
            session.send(reply)
        return NOTHING if self._table.size else Replies([])


def unsubscribe_channels(ctx: Context, channels: list[bytes]) -> list[Reply]:
    """The confirmations; one with a null when there was nothing to stop."""
    session = ctx.session
    replies: list[Reply] = []
    for channel in channels or session.channels.key_list():
        session.channels.pop(channel)
        ctx.shared.subscriptions.unsubscribe(session.id, channel)
        replies.append(Push([b"unsubscribe", channel, session.listening]))
    set_gate(session)
    return replies or [Push([b"unsubscribe", None, session.listening])]


def unsubscribe_patterns(ctx: Context, patterns: list[bytes]) -> list[Reply]:
    session = ctx.session
    replies: list[Reply] = []
    for pattern in patterns or session.patterns.key_list():
        session.patterns.pop(pattern)
        ctx.shared.subscriptions.punsubscribe(session.id, pattern)
        replies.append(Push([b"punsubscribe", pattern, session.listening]))
    set_gate(session)
    return replies or [Push([b"punsubscribe", None, session.listening])]


@command("SSUBSCRIBE", arity=-2, flags=PUBSUB | NOSCRIPT | LOADING | STALE, since="7.0.0",
         keys=[keys_to_end(NOT_KEY)], syntax="shardchannel [shardchannel ...]", summary="Listen to shard channels",
         cost="O(n), n shard channels")  # fmt: skip
def ssubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    if session.in_exec:  # Redis: ssubscribeCommand, which, unlike SUBSCRIBE, makes no exception for transactions
        raise CommandError("ERR", "SSUBSCRIBE isn't allowed for a DENY BLOCKING client")
    replies: list[Reply] = []
    for channel in argv[1:]:
        session.shard_channels.set(channel, True)
        ctx.shared.subscriptions.ssubscribe(session.id, channel)
        replies.append(Push([b"ssubscribe", channel, len(session.shard_channels)]))
    set_gate(session)
    return confirm(session, replies)


@command("SUNSUBSCRIBE", arity=-1, flags=PUBSUB | NOSCRIPT | LOADING | STALE, since="7.0.0",
         keys=[keys_to_end(NOT_KEY)], syntax="[shardchannel [shardchannel ...]]",
         summary="Stop listening to shard channels, or to all of them", cost="O(n), n shard channels")  # fmt: skip
def sunsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 1 and _is_long(ctx, ctx.session.shard_channels):
        return in_steps(_Leaving(ctx, ctx.session.shard_channels, unsubscribe_shards).step)
    return confirm(ctx.session, unsubscribe_shards(ctx, argv[1:]))


def unsubscribe_shards(ctx: Context, channels: list[bytes]) -> list[Reply]:
    session = ctx.session
    replies: list[Reply] = []
    for channel in channels or session.shard_channels.key_list():
        session.shard_channels.pop(channel)
        ctx.shared.subscriptions.sunsubscribe(session.id, channel)
        replies.append(Push([b"sunsubscribe", channel, len(session.shard_channels)]))
    set_gate(session)
    return replies or [Push([b"sunsubscribe", None, len(session.shard_channels)])]


# -- looking


def _names(table: Table, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise bad_subcommand(argv)
    names: list[Reply] = [name for name in table.key_list() if len(argv) == 2 or matches(argv[2], name)]
    return names


def _numbers(table: Table, argv: list[bytes]) -> Reply:
    flat: list[Reply] = []
    for channel in argv[2:]:
        flat.append(channel)
        flat.append(count_of(members_in(table, channel)))
    return flat


@command("PUBSUB|CHANNELS", arity=-2, flags=PUBSUB | LOADING | STALE, since="2.8.0", syntax="[pattern]",
         summary="Channels that somebody listens to", cost="O(n), n channels in use")  # fmt: skip
def pubsub_channels(ctx: Context, argv: list[bytes]) -> Reply:
    return _names(ctx.shared.subscriptions.channels, argv)


@command("PUBSUB|SHARDCHANNELS", arity=-2, flags=PUBSUB | LOADING | STALE, since="7.0.0", syntax="[pattern]",
         summary="Shard channels that somebody listens to", cost="O(n), n shard channels in use")  # fmt: skip
def pubsub_shardchannels(ctx: Context, argv: list[bytes]) -> Reply:
    return _names(ctx.shared.subscriptions.shards, argv)


@command("PUBSUB|NUMSUB", arity=-2, flags=PUBSUB | LOADING | STALE, since="2.8.0", syntax="[channel [channel ...]]",
         summary="Numbers of listeners of channels", cost="O(n), n channels asked for")  # fmt: skip
def pubsub_numsub(ctx: Context, argv: list[bytes]) -> Reply:
    return _numbers(ctx.shared.subscriptions.channels, argv)


@command("PUBSUB|SHARDNUMSUB", arity=-2, flags=PUBSUB | LOADING | STALE, since="7.0.0",
         syntax="[shardchannel [shardchannel ...]]", summary="Numbers of listeners of shard channels",
         cost="O(n), n shard channels asked for")  # fmt: skip
def pubsub_shardnumsub(ctx: Context, argv: list[bytes]) -> Reply:
    return _numbers(ctx.shared.subscriptions.shards, argv)


@command("PUBSUB|NUMPAT", arity=2, flags=PUBSUB | LOADING | STALE, since="2.8.0",
         summary="Number of distinct patterns that somebody listens to", cost="O(1)")  # fmt: skip
def pubsub_numpat(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.shared.subscriptions.patterns)


@command("PUBSUB|HELP", arity=2, flags=LOADING | STALE, since="6.2.0", summary="What PUBSUB can do", cost="O(1)")
def pubsub_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"PUBSUB")
