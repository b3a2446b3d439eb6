"""What a consumer group does by itself: leases that run out, attempts that are counted, dead letters, limits, order.

XREADGROUP first puts the group in order (`put_in_order`), then takes what it may have (`Gathering`); when nobody reads,
time does the former (`look_at_groups`). Replay does neither: what came of it is in the journal (group_journal.py).
"""

from typing import Final

from broker.commands.args import Args
from broker.commands.blocked import in_steps
from broker.commands.context import Context
from broker.commands.group_journal import Claims, Returns, journal_claim, journal_group_id, wake_readers
from broker.commands.registry import RW, UPDATE, WRITE, key
from broker.commands.registry import Group as CommandGroup
from broker.commands.stream_groups import subcommand_syntax, xgroup_group
from broker.commands.stream_retention import after_add
from broker.commands.streams import ReadRequest
from broker.datatypes.group_policy import NEVER_DUE, GroupPolicy
from broker.datatypes.stream_groups import Consumer, Group
from broker.datatypes.streams import MAX_ID, Stream, format_id
from broker.errors import CommandError
from broker.keyspace.events import STREAM
from broker.protocol.encoder import encode
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import NOTHING, OK, Map, Reply

command = CommandGroup("stream").command

PREFIX: Final = b"dead."  # of the names of the facts in a dead letter
_LEASES_AT_ONCE: Final = 100  # that run out in one request, or in one look; the next one goes on
_MOST_RETURNED: Final = 4096  # entries of a group that nobody has, beyond which ORDERBY holds back no further one
_CHUNK: Final = 128  # entries looked at in one go
_ORDERED_AT_ONCE: Final = 1000  # pending entries that are put into lanes in one turn
_MOST_MS: Final = 1 << 53


# -- failed attempts


def fail(
    ctx: Context, returns: Returns, name: bytes, group_name: bytes, stream: Stream, group: Group, entry_id: int,
    reason: bytes, when_ms: int, delay_ms: int = 0, is_fatal: bool = False,
) -> None:  # fmt: skip
    """An attempt at a pending entry failed at `when_ms`: back to the group, or to the dead letters.

    delay_ms: how long it rests; 0: as the policy says. An entry that nobody has does not fail once more.
    """
    policy = group.policy
    pending = group.pending.get(entry_id)
    assert policy is not None and pending is not None, "only a policy counts attempts, and only at what is pending"
    failures = policy.failures(entry_id) + (0 if group.is_released(entry_id) and not is_fatal else 1)
    if not is_fatal and not policy.is_spent(failures):
        rest_ms = delay_ms or policy.pause_ms(failures)
        returns.give_back(entry_id, when_ms + rest_ms if rest_ms else 0, pending.deliveries, failures, reason)
        return
    owner = b"" if group.is_released(entry_id) else pending.consumer.name
    if not bury(ctx, returns, name, group_name, stream, group, entry_id, owner, failures, reason):
        deliveries = I64_MAX if is_fatal else pending.deliveries
        returns.give_back(entry_id, NEVER_DUE, deliveries, failures, reason, True)


def bury(
    ctx: Context, returns: Returns, name: bytes, group_name: bytes, stream: Stream, group: Group, entry_id: int,
    owner: bytes, failures: int, reason: bytes,
) -> bool:  # fmt: skip
    """Move a pending entry to the dead-letter stream. False when there is none that takes it."""
    policy = group.policy
    fields = stream.get(entry_id)
    pending = group.pending.get(entry_id)
    if policy is None or pending is None or fields is None or not policy.dead_letter or policy.dead_letter == name:
        return False
    letters = ctx.db.peek(policy.dead_letter)
    if letters is None:
        letters = Stream()
        ctx.db.put(policy.dead_letter, letters)
    if not isinstance(letters, Stream) or letters.last_id == MAX_ID:
        return False
    record = policy.attempts.get(entry_id)
    if not owner and record is not None:
        owner = record.consumer
    letter = dead_letter(fields, [
        b"stream", name, b"id", format_id(entry_id), b"group", group_name, b"consumer", owner,
        b"deliveries", b"%d" % pending.deliveries, b"attempts", b"%d" % failures, b"reason", reason,
        b"time", b"%d" % ctx.now_ms,
    ])  # fmt: skip
    letter_id = letters.next_id(ctx.now_ms)
    returns.flush()
    append_decided(ctx, policy.dead_letter, letters, letter_id, letter)
    returns.drop(entry_id)
    return True


def append_decided(ctx: Context, name: bytes, stream: Stream, entry_id: int, fields: list[bytes]) -> None:
    """Append an entry that no request named, with all that goes with it: the journal, who waits, what is kept."""
    argv = [b"XADD", name, format_id(entry_id)] + fields
    stream.append(entry_id, fields)
    ctx.changed(name, b"xadd", STREAM)
    ctx.journal_argv(argv)
    if stream.settings is not None:
        after_add(ctx, name, stream, entry_id, argv, 3)


def dead_letter(fields: list[bytes], facts: list[bytes]) -> list[bytes]:
    """The fields of an entry, then the facts. A fact wins over a field of the same name."""
    letter: list[bytes] = []
    named: list[bytes] = []
    for i in range(0, len(facts), 2):
        named += [PREFIX + facts[i], facts[i + 1]]
    for i in range(0, len(fields) - 1, 2):
        if fields[i] not in named[::2]:
            letter += fields[i : i + 2]
    return letter + named


# -- leases


def put_in_order(
    ctx: Context, name: bytes, group_name: bytes, stream: Stream, group: Group, reader: Consumer | None
) -> None:
    """Do what time has brought: take back what was leased for too long, forget consumers that went away."""
    policy = group.policy
    if policy is None:
        return
    if policy.ack_wait_ms:
        _take_back(ctx, name, group_name, stream, group, policy)
    if policy.consumer_ttl_ms and ctx.now_ms >= policy.sweep_ms:
        _forget_consumers(ctx, name, group_name, group, policy, reader)


def _take_back(ctx: Context, name: bytes, group_name: bytes, stream: Stream, group: Group, policy: GroupPolicy) -> None:
    ids = group.delivered_until(ctx.now_ms - policy.ack_wait_ms, _LEASES_AT_ONCE)
    if not ids:
        return
    returns = Returns(ctx, name, group_name, group)
    for entry_id in ids:
        if stream.get(entry_id) is None:
            returns.drop(entry_id)
            continue
        ran_out_ms = group.pending[entry_id].delivered_ms + policy.ack_wait_ms
        fail(ctx, returns, name, group_name, stream, group, entry_id, b"lease", ran_out_ms)
    returns.end()


def _forget_consumers(
    ctx: Context, name: bytes, group_name: bytes, group: Group, policy: GroupPolicy, reader: Consumer | None
) -> None:
    ttl = policy.consumer_ttl_ms
    policy.sweep_ms = ctx.now_ms + ttl // 4 + 1
    for consumer in list(group.consumers.values()):
        if consumer is not reader and not len(consumer.order) and consumer.seen_ms + ttl <= ctx.now_ms:
            group.remove_consumer(consumer.name)
            ctx.changed_aside(name, b"xgroup-delconsumer")
            ctx.journal(b"XGROUP", b"DELCONSUMER", name, group_name, consumer.name)


def holds(group: Group, entry_id: int, consumer: bytes, now_ms: int) -> bool:
    """Whether an entry is leased to `consumer`. A lease that ran out is none, noticed or not."""
    pending = group.pending.get(entry_id)
    if pending is None or pending.consumer is group.nobody or pending.consumer.name != consumer:
        return False
    policy = group.policy
    return policy is None or not policy.ack_wait_ms or now_ms - pending.delivered_ms < policy.ack_wait_ms


def may_claim(group: Group, entry_id: int, now_ms: int, min_idle: int) -> bool:
    """Whether XCLAIM and its kin may take a pending entry away. What was given back counts as idle since ever."""
    pending = group.pending[entry_id]
    if pending.consumer is group.nobody:
        if group.policy is not None and group.policy.is_behind(entry_id):
            return False
        return pending.delivered_ms <= now_ms or min_idle <= 0
    return min_idle <= 0 or now_ms - pending.delivered_ms >= min_idle


# -- reading


def room_for(group: Group, consumer: Consumer, limit: int) -> int:
    """How many entries `consumer` may get now, -1 for any number. limit: as asked, -1 for all."""
    policy = group.policy
    if policy is None:
        return limit
    if policy.paused or policy.ordering:
        return 0
    room = limit
    if policy.max_pending:
        free = policy.max_pending - (len(group.pending) - group.released())
        room = max(free if room < 0 else min(free, room), 0)
    if policy.max_per_consumer:
        free = policy.max_per_consumer - len(consumer.order)
        room = max(free if room < 0 else min(free, room), 0)
    return room


def next_try_ms(request: ReadRequest, group: Group, consumer: Consumer, now_ms: int) -> int:
    """When a reader that found nothing has to look again by himself; NEVER_DUE: never.

    What a policy does by time is looked after once for all readers of the stream (plan_look).
    """
    policy = group.policy
    when = NEVER_DUE
    if request.claim_ms >= 0 and room_for(group, consumer, 1) > 0:
        if group.zone is not None:
            when = group.zone.next_due(now_ms)
        when = min(when, group.oldest_delivery_ms() + request.claim_ms)
    if policy is not None and policy.consumer_ttl_ms:
        when = min(when, now_ms + policy.consumer_ttl_ms // 2 + 1)  # a sign of life of who waits
    return NEVER_DUE if when >= NEVER_DUE else max(when, now_ms + 1)


def plan_look(ctx: Context, name: bytes, group: Group) -> None:
    """See to it that the group is put in order when its next lease runs out, or something it was given back is due."""
    policy = group.policy
    if policy is None:
        return
    when = NEVER_DUE
    if policy.ack_wait_ms:
        when = group.oldest_delivery_ms() + policy.ack_wait_ms
    if group.zone is not None:
        when = min(when, group.zone.next_due(ctx.now_ms))
    if policy.consumer_ttl_ms and group.consumers:
        when = min(when, max(policy.sweep_ms, ctx.now_ms + policy.consumer_ttl_ms // 4))
    if when < NEVER_DUE:
        ctx.keyspace.retention.plan(ctx.db.index, name, max(when, ctx.now_ms + 1))


def look_at_groups(ctx: Context, name: bytes) -> bool:
    """The time of something in the groups of that stream may have come. True when there are decisions to journal."""
    ctx.decisions = None
    dirty = ctx.keyspace.dirty
    stream = ctx.db.peek(name)
    if not isinstance(stream, Stream):
        return False
    for group_name, group in stream.groups.items():
        if group.policy is not None:
            put_in_order(ctx, name, group_name, stream, group, None)
            if group.due(ctx.now_ms, 1):
                wake_readers(ctx, name)
            plan_look(ctx, name, group)
    return ctx.keyspace.dirty != dirty  # of `decisions` the compiler would believe that they are None still


def admits(request: ReadRequest, row: list[Reply]) -> bool:
    """Whether MAXCOUNT and MAXSIZE leave room for an entry; asked once for each, before it is delivered.

    row: as it will be replied.
    """
    budget = request.budget
    if budget is None:
        return True
    wire: list[bytes] = []
    if budget.size >= 0:
        encode(row, wire, request.resp3)
    return budget.admit(sum(map(len, wire)))


class Gathering:
    """What one XREADGROUP with `>` gets of one group that has a policy, or with CLAIM."""

    def __init__(
        self, ctx: Context, request: ReadRequest, name: bytes, stream: Stream, group: Group, consumer: Consumer
    ) -> None:
        self._ctx = ctx
        self._request = request
        self._name = name
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._room = 0  # -1: any number
        self._claims = Claims(ctx, name, request.group, group, consumer, ctx.now_ms)
        self._returns = Returns(ctx, name, request.group, group)
        self.rows: list[Reply] = []

    def gather(self) -> list[Reply]:
        """First what was given back, then, with CLAIM, what others have for too long, then what is new."""
        ctx = self._ctx
        group = self._group
        put_in_order(ctx, self._name, self._request.group, self._stream, group, self._consumer)
        self._room = room_for(group, self._consumer, self._request.limit)
        if self._room == 0:
            plan_look(ctx, self._name, group)
            return self.rows
        idle: list[int] = []
        if self._request.claim_ms >= 0 and not self._is_full():
            idle = group.delivered_until(ctx.now_ms - self._request.claim_ms, self._room)
        self._take_due()
        for entry_id in idle:
            if not self._is_full() and entry_id in group.pending:
                self._take(entry_id)
        self._claims.end()
        self._returns.end()
        if not self._is_full() and self._stream.size and self._stream.newest_id() > group.last_id:
            self._take_new()
        if self.rows:
            self._consumer.active_ms = ctx.now_ms
        plan_look(ctx, self._name, group)
        return self.rows

    def _is_full(self) -> bool:
        budget = self._request.budget
        return 0 <= self._room <= len(self.rows) or (budget is not None and budget.is_spent())

    def _take_due(self) -> None:
        while not self._is_full():
            ids = self._group.due(self._ctx.now_ms, self._room - len(self.rows) if self._room >= 0 else _CHUNK)
            if not ids:
                return
            for entry_id in ids:
                self._take(entry_id)

    def _take(self, entry_id: int) -> None:
        """Give a pending entry to the reader; drop it when it was deleted, or when it has failed often enough."""
        group = self._group
        ctx = self._ctx
        fields = self._stream.get(entry_id)
        text = format_id(entry_id)
        if fields is None:
            group.acknowledge(entry_id)
            self._claims.drop(text)
            return
        pending = group.pending[entry_id]
        deliveries = pending.deliveries
        policy = group.policy
        if policy is not None and group.is_released(entry_id) and policy.is_spent(policy.failures(entry_id)):
            reason = policy.attempts[entry_id].reason  # MAXDELIVER was lowered after its last attempt
            fail(ctx, self._returns, self._name, self._request.group, self._stream, group, entry_id, reason, 0)
            return
        since_ms = 0 if group.is_released(entry_id) else pending.delivered_ms  # 0: as Redis has it
        idle = max(ctx.now_ms - since_ms, 0)
        row = self._row(text, fields, idle, deliveries)
        if not admits(self._request, row):
            return
        after = min(deliveries + 1, I64_MAX)
        group.assign(entry_id, self._consumer, ctx.now_ms, after)
        self._claims.add(text, after)
        self.rows.append(row)

    def _row(self, text: bytes, fields: list[bytes], idle: int, deliveries: int) -> list[Reply]:
        return [text, fields, idle, deliveries] if self._request.claim_ms >= 0 else [text, fields]

    def _take_new(self) -> None:
        group = self._group
        ctx = self._ctx
        ids: list[bytes] = []
        moved = False
        while not self._is_full():
            chunk = self._room - len(self.rows) if self._room >= 0 else -1
            found = self._stream.range(group.last_id + 1, MAX_ID, chunk, False)
            stopped = not found.ids
            for i in range(len(found.ids)):
                fields = found.fields[i]
                assert fields is not None
                if not self._take_one(found.ids[i], fields, ids):
                    stopped = True
                    break
                moved = True
            if stopped or chunk < 0:
                break
        if ids:
            journal_claim(ctx, self._name, self._request.group, self._consumer, ids, ctx.now_ms, 1, group.last_id)
        self._returns.flush()
        if moved:
            journal_group_id(ctx, self._name, self._request.group, group)
            ctx.changed_aside(self._name)

    def _take_one(self, entry_id: int, fields: list[bytes], ids: list[bytes]) -> bool:
        """Deliver a new entry, or hold it back for an earlier one of its lane; False when there is no room for it."""
        group = self._group
        policy = group.policy
        if policy is not None and entry_id in group.pending:  # XGROUP SETID went back: it is on its way already
            self._stream.advance(group, entry_id)
            return True
        if policy is not None and policy.order_by:
            value = policy.lane_value(fields)
            if value is not None and policy.lanes.has(value):
                if group.released() >= _MOST_RETURNED:
                    return False
                policy.enter(entry_id, fields)
                self._stream.advance(group, entry_id)
                self._returns.give_back(entry_id, 0, 0)
                return True
        text = format_id(entry_id)
        row = self._row(text, fields, 0, 0)
        if not admits(self._request, row):
            return False
        self._stream.advance(group, entry_id)
        if not self._request.noack:
            group.assign(entry_id, self._consumer, self._ctx.now_ms, 1)
            if policy is not None:
                policy.enter(entry_id, fields)
            ids.append(text)
        self.rows.append(row)
        return True


# -- XGROUP POLICY


class _Change:
    """One request's options: None, or the option's value."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.texts: dict[bytes, bytes] = {}
        self.backoff: list[int] | None = None
        self.paused: bool | None = None


_NUMBERS: Final = (b"ACKWAIT", b"MAXDELIVER", b"MAXPENDING", b"MAXPENDINGPERCONSUMER", b"CONSUMERTTL")
_TEXTS: Final = (b"DEADLETTER", b"ORDERBY")


def _number(option: bytes, text: bytes) -> int:
    value = parse_int(text)
    if value is None or not 0 <= value <= _MOST_MS:
        raise CommandError("ERR", f"{option.decode()} must be an integer between 0 and {_MOST_MS}")
    return value


def _change(argv: list[bytes]) -> _Change:
    change = _Change()
    args = Args(argv, 4)
    while args.more():
        word = args.next().upper()
        if word in _NUMBERS and args.more():
            change.numbers[word] = _number(word, args.next())
        elif word in _TEXTS and args.more():
            change.texts[word] = args.next()
        elif word == b"BACKOFF" and args.more():
            change.backoff = [_number(word, args.next())]
            while args.more() and parse_int(args.peek()) is not None:
                change.backoff.append(_number(word, args.next()))
        elif word in (b"PAUSE", b"RESUME"):
            change.paused = word == b"PAUSE"
        else:
            raise subcommand_syntax(argv)
    return change


@command("XGROUP|POLICY", arity=-4, flags=WRITE, keys=[key(RW, UPDATE, at=2)], since="0.2.0", ours=True,
         syntax="key group [ACKWAIT milliseconds] [MAXDELIVER count] [BACKOFF milliseconds [milliseconds ...]] "
                "[DEADLETTER dead-key] [MAXPENDING count] [MAXPENDINGPERCONSUMER count] [CONSUMERTTL milliseconds] "
                "[ORDERBY field] [PAUSE | RESUME]",
         summary="Set or show what a consumer group does by itself",
         cost="O(1); O(n log n) with ORDERBY, n entries pending in the group")  # fmt: skip
def xgroup_policy(ctx: Context, argv: list[bytes]) -> Reply:
    """An option that is not given stays as it is; 0, or an empty name, unsets one."""
    change = _change(argv)
    name = argv[2]
    if change.texts.get(b"DEADLETTER") == name:
        raise CommandError("ERR", "The dead letters of a stream can't go into the stream itself")
    stream, group = xgroup_group(ctx, argv)
    if len(argv) == 4:
        return policy_map(group.policy if group.policy is not None else GroupPolicy())
    policy = group.policy
    if policy is None:
        policy = GroupPolicy()
        group.policy = policy
    _apply(policy, change)
    if b"ORDERBY" in change.texts:
        ctx.changed_aside(name, b"xgroup-policy")
        ctx.journal_argv(argv)
        policy.forget_lanes()
        policy.orderings += 1
        policy.ordering = policy.orderings
        return in_steps(_Ordering(ctx, argv, stream, group, policy, b"DEADLETTER" in change.texts).step)
    ctx.changed_aside(name, b"xgroup-policy")
    ctx.journal_argv(argv)
    return _policy_set(ctx, argv, stream, group, policy, b"DEADLETTER" in change.texts)


def _policy_set(
    ctx: Context, argv: list[bytes], stream: Stream, group: Group, policy: GroupPolicy, has_dead_letters: bool
) -> Reply:
    """What follows from a change of the policy."""
    name = argv[2]
    if has_dead_letters and not ctx.session.is_replay:
        _bury_marked(ctx, name, argv[3], stream, group, policy)
    if policy.is_unset() and not policy.attempts and not group.released():  # else somebody has to give those out
        group.policy = None
    plan_look(ctx, name, group)
    wake_readers(ctx, name)
    return OK


def _apply(policy: GroupPolicy, change: _Change) -> None:
    numbers = change.numbers
    policy.ack_wait_ms = numbers.get(b"ACKWAIT", policy.ack_wait_ms)
    policy.max_deliver = numbers.get(b"MAXDELIVER", policy.max_deliver)
    policy.max_pending = numbers.get(b"MAXPENDING", policy.max_pending)
    policy.max_per_consumer = numbers.get(b"MAXPENDINGPERCONSUMER", policy.max_per_consumer)
    policy.consumer_ttl_ms = numbers.get(b"CONSUMERTTL", policy.consumer_ttl_ms)
    policy.dead_letter = change.texts.get(b"DEADLETTER", policy.dead_letter)
    policy.order_by = change.texts.get(b"ORDERBY", policy.order_by)
    if change.backoff is not None:
        policy.backoff_ms = [] if change.backoff == [0] else change.backoff
    if change.paused is not None:
        policy.paused = change.paused


class _Ordering:
    """The lanes of ORDERBY are made anew, some entries at a time; until that is done nothing new is given out. What was
    held back and need not be any longer may go then."""

    def __init__(
        self, ctx: Context, argv: list[bytes], stream: Stream, group: Group, policy: GroupPolicy, has_dead_letters: bool
    ) -> None:
        self._ctx = ctx
        self._argv = argv
        self._stream = stream
        self._group = group
        self._policy = policy
        self._has_dead_letters = has_dead_letters
        self._number = policy.ordering
        self._entered = 0  # pending entries with ids below it are in their lanes
        self._looked_at = 0  # those that nobody has

    def step(self) -> Reply:
        """See Unfinished."""
        if not self._is_there():
            return OK  # somebody else was faster
        if self._enter() and self._let_go():
            self._policy.ordering = 0
            return _policy_set(self._ctx, self._argv, self._stream, self._group, self._policy, self._has_dead_letters)
        return NOTHING

    def _is_there(self) -> bool:
        stream, group = self._stream, self._group
        if self._ctx.db.peek(self._argv[2]) is not stream or stream.groups.get(self._argv[3]) is not group:
            return False
        return group.policy is self._policy and self._policy.ordering == self._number

    def _enter(self) -> bool:
        """True when all are in their lanes."""
        ids = self._group.order.from_id(self._entered, _ORDERED_AT_ONCE)
        for entry_id in ids:
            fields = self._stream.get(entry_id)
            if fields is not None:
                self._policy.enter(entry_id, fields)
        if ids:
            self._entered = ids[-1] + 1
        return len(ids) < _ORDERED_AT_ONCE

    def _let_go(self) -> bool:
        group, policy = self._group, self._policy
        ids = [] if group.nobody is None else group.nobody.order.from_id(self._looked_at, _ORDERED_AT_ONCE)
        for entry_id in ids:
            pending = group.pending[entry_id]
            if pending.delivered_ms == NEVER_DUE and not policy.is_dead(entry_id) and not policy.is_behind(entry_id):
                group.release(entry_id, 0, pending.deliveries)
        if ids:
            self._looked_at = ids[-1] + 1
        return len(ids) < _ORDERED_AT_ONCE


def _bury_marked(
    ctx: Context, name: bytes, group_name: bytes, stream: Stream, group: Group, policy: GroupPolicy
) -> None:
    """There are dead letters now: what was only marked goes there."""
    returns = Returns(ctx, name, group_name, group)
    for entry_id, record in list(policy.attempts.items()):
        if record.is_dead:
            bury(ctx, returns, name, group_name, stream, group, entry_id, b"", record.failures, record.reason)
    returns.end()


def policy_map(policy: GroupPolicy) -> Reply:
    """As XGROUP POLICY and XINFO GROUPS show it."""
    backoff: list[Reply] = list(policy.backoff_ms)
    return Map([
        b"ackwait", policy.ack_wait_ms,
        b"maxdeliver", policy.max_deliver,
        b"backoff", backoff,
        b"deadletter", policy.dead_letter,
        b"maxpending", policy.max_pending,
        b"maxpendingperconsumer", policy.max_per_consumer,
        b"consumerttl", policy.consumer_ttl_ms,
        b"orderby", policy.order_by,
        b"paused", int(policy.paused),
    ])  # fmt: skip


def policy_facts(group: Group) -> list[Reply]:
    """What XINFO GROUPS says besides Redis's fields; nothing of a group without a policy."""
    policy = group.policy
    if policy is None:
        return []
    dead = sum(1 for record in policy.attempts.values() if record.is_dead)
    return [
        b"policy", policy_map(policy),
        b"in-flight", len(group.pending) - group.released(),
        b"returned", group.released() - dead,
        b"dead", dead,
    ]  # fmt: skip
