"""Messages on their way to subscribers: each is encoded once for each protocol."""

from broker.commands.context import Context, Shared
from broker.datatypes.streams import format_id
from broker.keyspace.subscriptions import AS_PATTERN, WITH_ID, Members
from broker.protocol.encoder import encode
from broker.protocol.replies import Push, Reply


def deliver(shared: Shared, channel: bytes, message: bytes) -> int:
    """Hand a message to all subscribers of a channel. The number of deliveries (a client may get several).

    It is encoded once for each protocol, and the subscribers share those bytes.
    """
    subscriptions = shared.subscriptions
    count = 0
    members = subscriptions.on_channel(channel)
    if members is not None:
        count += send_all(shared, members, [b"message", channel, message])
    if subscriptions.patterns.size:
        count += deliver_to_patterns(shared, channel, message)
    return count


def deliver_to_patterns(shared: Shared, channel: bytes, message: bytes) -> int:
    subscriptions = shared.subscriptions
    count = 0
    for pattern in subscriptions.patterns_of(channel):
        members = subscriptions.on_pattern(pattern)
        if members is not None:
            count += send_all(shared, members, [b"pmessage", pattern, channel, message])
    return count


def wire_of(items: list[Reply], resp3: bool) -> bytes:
    """A push as one piece."""
    out: list[bytes] = []
    encode(Push(items), out, resp3)
    return b"".join(out)


def send_all(shared: Shared, members: Members, items: list[Reply]) -> int:
    if not isinstance(members, dict):
        only = shared.sessions.get(members)
        if only is None:
            return 0
        only.send_wire(wire_of(items, only.resp3))
        return 1
    resp2 = resp3 = b""  # made when first needed
    count = 0
    for session_id in members:
        session = shared.sessions.get(session_id)
        if session is None:
            continue  # it went, and its subscriptions are on their way out
        count += 1
        if session.resp3:
            if not resp3:
                resp3 = wire_of(items, True)
            session.send_wire(resp3)
        else:
            if not resp2:
                resp2 = wire_of(items, False)
            session.send_wire(resp2)
    return count


def append_and_deliver(ctx: Context, channel: bytes, position: int, message: bytes) -> int:
    """Keep a message under a position, and hand it to subscribers. -1, and nothing happens, when none is kept of this
    channel."""
    if not ctx.keyspace.channel_log.append(channel, position, message):
        return -1
    shared = ctx.shared
    subscriptions = shared.subscriptions
    text = format_id(position)
    count = 0
    members = subscriptions.on_channel(channel)
    if isinstance(members, dict):
        count += _send_retained(shared, members, channel, text, message)
    elif members is not None:
        count += send_all(shared, members, [b"message", channel, message])
    if subscriptions.patterns.size:
        count += deliver_to_patterns(shared, channel, message)
    ctx.keyspace.dirty += 1
    ctx.journal(b"CHANNEL", b"APPEND", channel, text, message)
    return count


def push_of(form: int, channel: bytes, position: bytes, message: bytes) -> list[Reply]:
    """A message of a retained channel as its subscriber wants it."""
    if form == WITH_ID:
        return [b"cmessage", channel, position, message]
    if form == AS_PATTERN:
        return [b"pmessage", position, channel, message]
    return [b"message", channel, message]


def _send_retained(shared: Shared, members: dict[int, int], channel: bytes, position: bytes, message: bytes) -> int:
    wires: list[bytes] = [b"", b"", b"", b"", b"", b""]  # of each form RESP2 and RESP3: made when first needed
    count = 0
    for session_id, form in members.items():
        session = shared.sessions.get(session_id)
        if session is None:
            continue
        count += 1
        which = 2 * form + (1 if session.resp3 else 0)
        if not wires[which]:
            wires[which] = wire_of(push_of(form, channel, position, message), session.resp3)
        session.send_wire(wires[which])
    return count
