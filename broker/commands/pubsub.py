"""Publish and subscribe: fire and forget, to whoever listens now."""

from broker.commands.context import Context, Shared
from broker.commands.docs import bad_subcommand, help_of
from broker.commands.registry import FAST, LOADING, MAY_REPLICATE, NOSCRIPT, PUBSUB, SENTINEL, STALE, Group
from broker.commands.session import REPLY_ON, SUBSCRIBED, Session
from broker.keyspace.glob import matches
from broker.protocol.encoder import encode
from broker.protocol.replies import NOTHING, Push, Replies, Reply

command = Group("pubsub").command
_LISTENING = PUBSUB | NOSCRIPT | LOADING | STALE | SENTINEL


# -- sending


def deliver(shared: Shared, channel: bytes, message: bytes) -> int:
    """Hand a message to all subscribers of a channel. The number of deliveries (a client may get several).

    It is encoded once for each protocol, and the subscribers share those bytes.
    """
    subscriptions = shared.subscriptions
    count = 0
    members = subscriptions.channels.get(channel)
    if members is not None:
        count += _send_all(shared, members, [b"message", channel, message])
    if subscriptions.patterns:
        for pattern in subscriptions.patterns_of(channel):
            listeners = subscriptions.patterns[pattern]
            count += _send_all(shared, listeners, [b"pmessage", pattern, channel, message])
    return count


def _send_all(shared: Shared, members: dict[int, None], items: list[Reply]) -> int:
    wires: list[bytes] = [b"", b""]  # RESP2, RESP3: made when first needed
    for session_id in members:
        session = shared.sessions[session_id]
        which = 1 if session.resp3 else 0
        if not wires[which]:
            out: list[bytes] = []
            encode(Push(items), out, session.resp3)
            wires[which] = b"".join(out)
        session.send_wire(wires[which])
    return len(members)


@command("PUBLISH", arity=3, flags=PUBSUB | LOADING | STALE | FAST | MAY_REPLICATE | SENTINEL, since="2.0.0",
         syntax="channel message", summary="Send a message to a channel",
         cost="O(n + m), n subscribers of the channel, m patterns in use")  # fmt: skip
def publish(ctx: Context, argv: list[bytes]) -> Reply:
    return deliver(ctx.shared, argv[1], argv[2])


# -- listening


def _gate(session: Session) -> None:
    session.set_gate(SUBSCRIBED, session.subscriptions > 0 and not session.resp3)


def _confirm(session: Session, replies: list[Reply]) -> Reply:
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
        session.channels[channel] = None
        ctx.shared.subscriptions.subscribe(session.id, channel)
        replies.append(Push([b"subscribe", channel, session.subscriptions]))
    _gate(session)
    return _confirm(session, replies)


@command("PSUBSCRIBE", arity=-2, flags=_LISTENING, since="2.0.0", syntax="pattern [pattern ...]",
         summary="Listen to all channels whose names match", cost="O(n), n patterns")  # fmt: skip
def psubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    session = ctx.session
    replies: list[Reply] = []
    for pattern in argv[1:]:
        session.patterns[pattern] = None
        ctx.shared.subscriptions.psubscribe(session.id, pattern)
        replies.append(Push([b"psubscribe", pattern, session.subscriptions]))
    _gate(session)
    return _confirm(session, replies)


@command("UNSUBSCRIBE", arity=-1, flags=_LISTENING, since="2.0.0", syntax="[channel [channel ...]]",
         summary="Stop listening to channels, or to all of them", cost="O(n), n channels")  # fmt: skip
def unsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx.session, unsubscribe_channels(ctx, argv[1:]))


@command("PUNSUBSCRIBE", arity=-1, flags=_LISTENING, since="2.0.0", syntax="[pattern [pattern ...]]",
         summary="Stop listening to patterns, or to all of them", cost="O(n), n patterns")  # fmt: skip
def punsubscribe(ctx: Context, argv: list[bytes]) -> Reply:
    return _confirm(ctx.session, unsubscribe_patterns(ctx, argv[1:]))


def unsubscribe_channels(ctx: Context, channels: list[bytes]) -> list[Reply]:
    """The confirmations; one with a null when there was nothing to stop."""
    session = ctx.session
    replies: list[Reply] = []
    for channel in channels or list(session.channels):
        session.channels.pop(channel, None)
        ctx.shared.subscriptions.unsubscribe(session.id, channel)
        replies.append(Push([b"unsubscribe", channel, session.subscriptions]))
    _gate(session)
    return replies or [Push([b"unsubscribe", None, session.subscriptions])]


def unsubscribe_patterns(ctx: Context, patterns: list[bytes]) -> list[Reply]:
    session = ctx.session
    replies: list[Reply] = []
    for pattern in patterns or list(session.patterns):
        session.patterns.pop(pattern, None)
        ctx.shared.subscriptions.punsubscribe(session.id, pattern)
        replies.append(Push([b"punsubscribe", pattern, session.subscriptions]))
    _gate(session)
    return replies or [Push([b"punsubscribe", None, session.subscriptions])]


# -- looking


@command("PUBSUB|CHANNELS", arity=-2, flags=PUBSUB | LOADING | STALE, since="2.8.0", syntax="[pattern]",
         summary="Channels that somebody listens to", cost="O(n), n channels in use")  # fmt: skip
def pubsub_channels(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) > 3:
        raise bad_subcommand(argv)
    channels = ctx.shared.subscriptions.channels
    names: list[Reply] = [name for name in channels if len(argv) == 2 or matches(argv[2], name)]
    return names


@command("PUBSUB|NUMSUB", arity=-2, flags=PUBSUB | LOADING | STALE, since="2.8.0", syntax="[channel [channel ...]]",
         summary="Numbers of listeners of channels", cost="O(n), n channels asked for")  # fmt: skip
def pubsub_numsub(ctx: Context, argv: list[bytes]) -> Reply:
    flat: list[Reply] = []
    for channel in argv[2:]:
        flat.append(channel)
        flat.append(len(ctx.shared.subscriptions.channels.get(channel, {})))
    return flat


@command("PUBSUB|NUMPAT", arity=2, flags=PUBSUB | LOADING | STALE, since="2.8.0",
         summary="Number of distinct patterns that somebody listens to", cost="O(1)")  # fmt: skip
def pubsub_numpat(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.shared.subscriptions.patterns)


@command("PUBSUB|HELP", arity=2, flags=LOADING | STALE, since="6.2.0", summary="What PUBSUB can do", cost="O(1)")
def pubsub_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"PUBSUB")
