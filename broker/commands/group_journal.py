"""What happens in consumer groups, as the journal has it: what came of a request, and not the request.

Deliveries and claims are journaled as XCLAIM with all numbers given, entries given back as XNACK, likewise; pending
entries dropped as XACK, how far a group read as XGROUP SETID.
"""

from broker.commands.context import Context
from broker.datatypes.group_policy import NEVER_DUE
from broker.datatypes.stream_groups import Consumer, Group
from broker.datatypes.streams import format_id
from broker.protocol.numbers import I64_MAX


def journal_group_id(ctx: Context, name: bytes, group_name: bytes, group: Group) -> None:
    entries_read = min(group.entries_read, I64_MAX)  # more, and the reader of the log would refuse it
    last_id = format_id(group.last_id)
    ctx.journal(b"XGROUP", b"SETID", name, group_name, last_id, b"ENTRIESREAD", b"%d" % entries_read)


def journal_claim(
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


def wake_readers(ctx: Context, name: bytes) -> None:
    """Let those who are blocked on the stream look again: something of a group, not of the stream, has changed."""
    if name in ctx.db.waited:
        ctx.keyspace.ready.append((ctx.db.index, name))


def acknowledged(ctx: Context, name: bytes, group: Group) -> None:
    """Report acknowledgements; with a policy they may let others go on."""
    ctx.changed_aside(name)
    if group.policy is not None and group.policy.wakes:
        wake_readers(ctx, name)


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
        if self._dropped:
            acknowledged(self._ctx, self._name, self._group)
        elif self.any:
            self._ctx.changed_aside(self._name)

    def _flush(self) -> None:
        if self._ids:
            journal_claim(
                self._ctx, self._name, self._group_name, self._consumer,
                self._ids, self._delivered_ms, self._deliveries, self._group.last_id,
            )  # fmt: skip
            self._ids = []


class Returns:
    """The entries that one request gives back to the group, and those it drops, as they go into the journal.

    Neighbours with equal numbers share an XNACK. Its options AT (Unix ms), ATTEMPTS and DEAD are the journal's own:
    what is read back depends on no policy and no clock.
    """

    def __init__(self, ctx: Context, name: bytes, group_name: bytes, group: Group) -> None:
        self._ctx = ctx
        self._name = name
        self._group_name = group_name
        self._group = group
        self._numbers: list[bytes] = []
        self._ids: list[bytes] = []
        self._dropped: list[bytes] = []

    def give_back(
        self, entry_id: int, due_ms: int, deliveries: int, failures: int = 0, reason: bytes = b"", is_dead: bool = False
    ) -> None:
        """failures: all of the entry so far. It must be pending already, or be in its lane."""
        group = self._group
        policy = group.policy
        if policy is not None:
            pending = group.pending.get(entry_id)
            is_owned = pending is not None and pending.consumer is not group.nobody
            owner = pending.consumer.name if pending is not None and is_owned else b""
            policy.note(entry_id, failures, owner, reason, is_dead)
            if is_dead or policy.is_behind(entry_id):
                due_ms = NEVER_DUE
        group.release(entry_id, due_ms, deliveries)
        numbers = [b"RETRYCOUNT", b"%d" % deliveries, b"AT", b"%d" % due_ms]
        if policy is not None and (failures or is_dead):
            numbers += [b"ATTEMPTS", b"%d" % failures, b"REASON", reason]
        if is_dead:
            numbers.append(b"DEAD")
        if numbers != self._numbers:
            self._flush_returns()
            self._numbers = numbers
        self._ids.append(format_id(entry_id))

    def drop(self, entry_id: int) -> None:
        """An entry that is nobody's business any longer: it was deleted, or moved elsewhere."""
        self._group.acknowledge(entry_id)
        self._flush_returns()  # dropping may let the next one of a lane go on: keep the order of events
        self._dropped.append(format_id(entry_id))

    def flush(self) -> bool:
        """Journal what has happened so far. True when there was something."""
        some = bool(self._ids or self._dropped)
        self._flush_dropped()
        self._flush_returns()
        return some

    def end(self) -> None:
        """Report and journal it all; wake who may have waited for it."""
        if self.flush():
            self._ctx.changed_aside(self._name)
            wake_readers(self._ctx, self._name)

    def _flush_returns(self) -> None:
        if self._ids:
            self._flush_dropped()
            argv = [b"XNACK", self._name, self._group_name, b"FAIL", b"IDS", b"%d" % len(self._ids)]
            self._ctx.journal_argv(argv + self._ids + self._numbers + [b"FORCE"])
            self._ids = []

    def _flush_dropped(self) -> None:
        if self._dropped:
            self._ctx.journal_argv([b"XACK", self._name, self._group_name] + self._dropped)
            self._dropped = []
