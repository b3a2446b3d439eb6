"""What the settings of a stream do when entries come, when groups get on, and when time passes.

Whatever goes is journaled as the trim or deletion that it was: who reads the log removes nothing by himself. An entry
that goes by a setting is pending nowhere any more (as DELREF has it), so that nobody is handed an empty one.
"""

from typing import Final

from broker.commands.context import Context
from broker.commands.registry import Command
from broker.datatypes.stream_groups import Group
from broker.datatypes.stream_references import (
    drop_references,
    floor_of,
    is_referenced,
    trim_with_references,
)
from broker.datatypes.stream_settings import ACKED, DURATION, LIMITS, MAX_SIZE, NOT_FOUND, StreamSettings
from broker.datatypes.streams import Stream, format_id, parse_id
from broker.keyspace.events import STREAM
from broker.protocol.numbers import parse_int

_AT_ONCE: Final = 2000  # entries trimmed in one look, in streams that have groups; the next look follows at once
_BUSY: Final = 1000  # entries with a time to live that one look removes at most; the next look follows at once
_MEASURE_EVERY: Final = 100  # entries added between two measurements for MAXBYTES: about a block
_ROUNDS: Final = 8  # of measuring and trimming
_LONGEST_TTL_MS: Final = 1 << 53
_LOOK_EVERY_MS: Final = 1000  # between two counts of idle groups


# -- settings


def settings_of(ctx: Context, name: bytes, stream: Stream) -> StreamSettings:
    """Those of the stream, which has some from now on."""
    if stream.settings is None:
        stream.settings = StreamSettings()
        if not ctx.session.is_replay:
            _take_defaults(ctx, name, stream.settings)
    return stream.settings


def _take_defaults(ctx: Context, name: bytes, settings: StreamSettings) -> None:
    """The server's configuration, journaled where it is not the usual one: it may be another when the log is read."""
    duration = ctx.config.integer("stream-idmp-duration")
    max_size = ctx.config.integer("stream-idmp-maxsize")
    window = settings.window
    window.duration = duration
    window.max_size = max_size
    if window.duration != DURATION or window.max_size != MAX_SIZE:
        ctx.journal(
            b"XCFGSET", name, b"IDMP-DURATION", b"%d" % window.duration, b"IDMP-MAXSIZE", b"%d" % window.max_size
        )


def record_added(ctx: Context, name: bytes, stream: Stream, producer: bytes, own_name: bytes, entry_id: int) -> None:
    """Remember under which name a producer added an entry. The request's own decision stands in the journal already."""
    settings = settings_of(ctx, name, stream)
    text = format_id(entry_id)
    arrived_ms = entry_id >> 64
    if not ctx.session.is_replay and arrived_ms != ctx.now_ms:  # ids run ahead of the clock, which went back
        arrived_ms = ctx.now_ms
        text += b"@%d" % arrived_ms
    settings.window.record(producer, own_name, entry_id, arrived_ms)
    ctx.journal(b"XIDMPRECORD", name, producer, own_name, text)


# -- entries come


def after_add(ctx: Context, name: bytes, stream: Stream, entry_id: int, argv: list[bytes], fields_at: int) -> None:
    """An entry was added to a stream that has settings. argv: the request, with the id that was chosen."""
    settings = stream.settings
    if settings is None:
        return
    if settings.ttl_field:
        _note_time_to_live(stream, settings, entry_id, argv, fields_at)
    if not ctx.session.is_replay and (settings.has_limits or settings.ttl_field):
        decisions: list[list[bytes]] = []
        if enforce(stream, settings, name, ctx.now_ms, decisions):
            ctx.notify(name, b"xtrim", STREAM)
            _journal_with(ctx, argv, decisions, fields_at == 3)
    if settings.max_age_ms or settings.ttl_field:
        plan(ctx, name, stream, settings)


def _journal_with(ctx: Context, argv: list[bytes], decisions: list[list[bytes]], is_plain: bool) -> None:
    """The request, and what came of the settings. is_plain: an XADD without options, which may take in a trim."""
    if ctx.decisions is None:
        if is_plain and len(decisions) == 1 and decisions[0][0] == b"XTRIM":
            ctx.journal_argv([b"XADD", argv[1]] + decisions[0][2:] + argv[2:])
            return
        ctx.journal_argv(argv)
    for decision in decisions:
        ctx.journal_argv(decision)


def _note_time_to_live(
    stream: Stream, settings: StreamSettings, entry_id: int, argv: list[bytes], fields_at: int
) -> None:
    for i in range(fields_at, len(argv) - 1, 2):
        if argv[i] == settings.ttl_field:
            ttl_ms = parse_int(argv[i + 1])
            if ttl_ms is not None and 0 < ttl_ms <= _LONGEST_TTL_MS:
                settings.expire_at(entry_id, (entry_id >> 64) + ttl_ms, stream.first_id)
            return


# -- what goes


def enforce(stream: Stream, settings: StreamSettings, name: bytes, now_ms: int, decisions: list[list[bytes]]) -> int:
    """Remove what the limits and times to live let go. The number removed; `decisions` gets what to journal of it."""
    removed = 0
    if settings.max_length and stream.size > settings.max_length:
        removed += trim_with_references(stream, _part_of_way(stream, settings.max_length), 0, False, 0)
    if settings.max_age_ms and stream.size:
        oldest = (now_ms - settings.max_age_ms + 1) << 64
        if stream.first_id < oldest:
            left = stream.live_after(oldest - 1)
            removed += trim_with_references(stream, _part_of_way(stream, left), 0, False, 0)
    if settings.max_bytes:
        settings.adds_until_measured -= 1
        if settings.adds_until_measured < 0:
            removed += _trim_to_bytes(stream, settings)
    if removed:
        decisions.append([b"XTRIM", name, b"DELREF", b"MAXLEN", b"=", b"%d" % len(stream)])
    if settings.ttl_field or settings.next_due_ms() != NOT_FOUND:
        removed += _remove_due(stream, settings, name, now_ms, decisions)
    return removed


def _part_of_way(stream: Stream, length: int) -> int:
    """The length to trim to now: where pending entries may have to be dropped one by one, not all of a long way."""
    return max(length, len(stream) - _AT_ONCE) if stream.groups else length


def entry_bytes(stream: Stream) -> int:
    """Memory of the entries alone. O(consumers + producers)."""
    total = stream.approximate_bytes()
    if stream.settings is not None:
        total -= stream.settings.approximate_bytes()
    for group_name, group in stream.groups.items():
        total -= len(group_name) + group.approximate_bytes()
    return total


def _trim_to_bytes(stream: Stream, settings: StreamSettings) -> int:
    """Memory is given back block by block, so this is a matter of measuring again."""
    settings.adds_until_measured = _MEASURE_EVERY
    removed = 0
    for _ in range(_ROUNDS):
        total = entry_bytes(stream)
        size = len(stream)
        if total <= settings.max_bytes or not size:
            break
        excess = max(size * (total - settings.max_bytes) // total, 1)
        removed += trim_with_references(stream, size - excess, 0, False, 0)
    return removed


def _remove_due(
    stream: Stream, settings: StreamSettings, name: bytes, now_ms: int, decisions: list[list[bytes]]
) -> int:
    ids: list[bytes] = []
    for entry_id in settings.take_due(now_ms, _BUSY):
        if stream.delete(entry_id):
            drop_references(stream, entry_id)
            ids.append(format_id(entry_id))
    if ids:
        decisions.append([b"XDELEX", name, b"DELREF", b"IDS", b"%d" % len(ids)] + ids)
    return len(ids)


# -- groups get on


def after_groups(ctx: Context, command: Command, argv: list[bytes], did_change: bool) -> None:
    """Called after a writing command when some stream is retained by acknowledgements: drop what nobody needs now.

    did_change: whether the request itself changed anything, and so has to be journaled.
    """
    if command.group != "stream" or ctx.session.is_replay:
        return
    for place in command.key_positions(argv):
        stream = ctx.db.table.get(argv[place])
        if not isinstance(stream, Stream) or stream.settings is None or stream.settings.retain == LIMITS:
            continue
        decisions: list[list[bytes]] = []
        if command.name == b"XACK":
            _release(stream, stream.settings, argv[place], _acked_ids(argv), decisions)
        sweep(stream, stream.settings, argv[place], ctx.now_ms, decisions)
        tell_idle(ctx, argv[place], stream.settings)
        if not decisions:
            continue
        if did_change and ctx.decisions is None:
            ctx.journal_argv(argv)
        ctx.changed(argv[place], b"xdel", STREAM)
        for decision in decisions:
            ctx.journal_argv(decision)


def _acked_ids(argv: list[bytes]) -> list[int]:
    at = 5 if len(argv) > 5 and argv[3].upper() == b"FENCE" else 3
    return [parse_id(text, 0) for text in argv[at:]]


def _needing(stream: Stream, settings: StreamSettings) -> list[Group]:
    """The groups whose needs count."""
    if settings.retain != ACKED:
        return list(stream.groups.values())
    return [group for name, group in stream.groups.items() if name not in settings.idle_groups]


def _release(
    stream: Stream, settings: StreamSettings, name: bytes, ids: list[int], decisions: list[list[bytes]]
) -> None:
    """Remove those of `ids` that no group needs any more."""
    groups = _needing(stream, settings)
    gone: list[bytes] = []
    for entry_id in ids:
        if entry_id >= 0 and groups and not is_referenced(groups, entry_id) and stream.delete(entry_id):
            gone.append(format_id(entry_id))
            if settings.idle_groups:
                drop_references(stream, entry_id)
    if gone:
        decisions.append([b"XDELEX", name, b"DELREF", b"IDS", b"%d" % len(gone)] + gone)


def sweep(stream: Stream, settings: StreamSettings, name: bytes, now_ms: int, decisions: list[list[bytes]]) -> None:
    """RETAIN acked: remove the oldest entries that every group that is alive is done with. O(groups + blocks)."""
    if settings.retain != ACKED or not stream.size:
        return
    _look_for_idle(stream, settings, now_ms)
    groups = _needing(stream, settings)
    if not groups:
        return
    floor = floor_of(stream, groups)
    if floor > stream.first_id and trim_with_references(stream, -1, floor, False, 0):
        decisions.append([b"XTRIM", name, b"DELREF", b"MAXLEN", b"=", b"%d" % len(stream)])


def _look_for_idle(stream: Stream, settings: StreamSettings, now_ms: int) -> None:
    """Who is alive, as of now; or a second ago, as long as everybody is."""
    if not settings.idle_groups and 0 <= now_ms - settings.looked_ms < _LOOK_EVERY_MS:
        return
    settings.looked_ms = now_ms
    before = dict(settings.idle_groups)
    settings.idle_groups.clear()
    if not settings.group_idle_ms:
        return
    for name in list(settings.noticed_ms):
        if name not in stream.groups:
            del settings.noticed_ms[name]
    for name, group in stream.groups.items():
        if _last_seen_ms(settings, name, group, now_ms) + settings.group_idle_ms <= now_ms:
            settings.idle_groups[name] = None
            if name not in before:
                settings.newly_idle.append(name)


def tell_idle(ctx: Context, name: bytes, settings: StreamSettings) -> None:
    """Warn of groups that a stream does not wait for any more: what they have yet to read goes."""
    if settings.newly_idle:
        for group_name in settings.newly_idle:
            ctx.control.group_idle(int(ctx.db.index), name, group_name, settings.group_idle_ms)
        settings.newly_idle.clear()


def _last_seen_ms(settings: StreamSettings, name: bytes, group: Group, now_ms: int) -> int:
    """When one of its consumers showed up last. Of a group without any: when it was noticed first."""
    last = settings.noticed_ms.setdefault(name, now_ms)
    for consumer in group.consumers.values():
        last = max(last, consumer.seen_ms)
    return last


# -- time passes


def plan(ctx: Context, name: bytes, stream: Stream, settings: StreamSettings) -> None:
    """See to it that the stream is looked at when something of it may be due."""
    when = settings.next_due_ms()
    if settings.max_length and stream.size > settings.max_length:
        when = ctx.now_ms
    if settings.max_age_ms and stream.size:
        aged = (stream.first_id >> 64) + settings.max_age_ms
        when = aged if when == NOT_FOUND else min(when, aged)
    if settings.retain == ACKED and settings.group_idle_ms and stream.size:
        for group_name, group in stream.groups.items():
            if group_name not in settings.idle_groups:
                idle = _last_seen_ms(settings, group_name, group, ctx.now_ms) + settings.group_idle_ms
                when = idle if when == NOT_FOUND else min(when, idle)
    if when != NOT_FOUND:
        ctx.keyspace.retention.plan(ctx.db.index, name, when)


def look_at(ctx: Context, name: bytes) -> bool:
    """Something of that stream may be due: remove what is, and plan the next look. True when there are decisions."""
    ctx.decisions = None
    stream = ctx.db.peek(name)
    if not isinstance(stream, Stream) or stream.settings is None:
        return False
    settings = stream.settings
    decisions: list[list[bytes]] = []
    enforce(stream, settings, name, ctx.now_ms, decisions)
    sweep(stream, settings, name, ctx.now_ms, decisions)
    tell_idle(ctx, name, settings)
    if decisions:
        ctx.changed(name, b"xtrim", STREAM)
        for decision in decisions:
            ctx.journal_argv(decision)
    plan(ctx, name, stream, settings)
    return len(decisions) > 0
