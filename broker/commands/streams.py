"""Streams: append, read, delete, trim. Their consumer groups are in stream_groups.py and stream_pending.py, XINFO in
stream_info.py."""

from typing import Final

from broker.commands.args import Args
from broker.commands.blocked import Blocked, in_steps
from broker.commands.context import Context
from broker.commands.registry import (
    ACCESS,
    BLOCKING,
    DELETE,
    DENYOOM,
    FAST,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    Group,
    key,
    keys_after,
)
from broker.commands.stream_arguments import AddOptions, add_options, to_end, to_id, to_start
from broker.commands.stream_retention import after_add, record_added
from broker.commands.stream_trims import LongTrim, is_long_trim, journal_acked
from broker.datatypes.read_budget import ReadBudget
from broker.datatypes.stream_references import ACKED, DROP, trim, trim_acknowledged, trim_with_references
from broker.datatypes.stream_settings import NOT_FOUND, content_id
from broker.datatypes.streams import (
    MAX_ID,
    NO_ID,
    Entries,
    Stream,
    format_id,
    parse_id,
)
from broker.errors import CommandError, no_such_key, syntax_error, wrong_arity, wrong_type
from broker.keyspace.events import STREAM
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import NULL_ARRAY, OK, EntryList, PairMap, Reply

command = Group("stream").command

_LAST_SEQ: Final = (1 << 64) - 1


# -- shared with stream_groups.py and stream_info.py


def read_stream(ctx: Context, name: bytes) -> Stream | None:
    """The stream at a key, for a command that Redis counts as a look-up."""
    value = ctx.db.read(name)
    if value is None or isinstance(value, Stream):
        return value
    raise wrong_type()


def peek_stream(ctx: Context, name: bytes) -> Stream | None:
    """The stream at a key, for a writing command."""
    value = ctx.db.peek(name)
    if value is None or isinstance(value, Stream):
        return value
    raise wrong_type()


def rows(found: Entries) -> list[Reply]:
    """Entries as XRANGE replies them: [[id, [field, value ...]] ...]."""
    replies: list[Reply] = []
    ids = found.ids
    fields = found.fields
    for i in range(len(ids)):
        replies.append([format_id(ids[i]), fields[i]])
    return replies


# -- XADD, XTRIM


def _trim(stream: Stream, options: AddOptions, name: bytes, decisions: list[list[bytes]]) -> int:
    """Trim as asked for. The number removed.

    decisions: what to journal of it, as far as it is not told by the length that is left (of the oldest entries).
    """
    length, min_id, limit = options.max_length, options.min_id, options.limit
    whole_blocks = options.approximately and options.policy not in (ACKED, DROP)  # else it goes entry by entry anyway
    if options.policy == ACKED and stream.groups:
        result = trim_acknowledged(stream, list(stream.groups.values()), length, min_id, limit)
        journal_acked(name, result, decisions)
        return result.removed
    if options.policy == DROP:
        return trim_with_references(stream, length, min_id, whole_blocks, limit)
    return trim(stream, length, min_id, whole_blocks, limit)


def _trimmed_to(stream: Stream, options: AddOptions) -> list[bytes]:
    """The words for a trim that comes to what the trim just made came to, wherever blocks end."""
    words = [b"DELREF"] if options.policy == DROP else []
    return words + [b"MAXLEN", b"=", b"%d" % len(stream)]


@command("XADD", arity=-5, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="5.0.0",
         syntax="key [NOMKSTREAM] [KEEPREF | DELREF | ACKED] [IFLAST last-id] "
                "[IDMPAUTO producer-id | IDMP producer-id idempotent-id] "
                "[<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]",
         summary="Append an entry to a stream", cost="O(1), O(n) when n entries are trimmed",
         differs="`~` may trim other entries; IFLAST is ours")  # fmt: skip
def xadd(ctx: Context, argv: list[bytes]) -> Reply:
    entry_id = NO_ID
    if argv[2] != b"*":
        entry_id = parse_id(argv[2], 0)
        if entry_id <= 0:
            return _xadd_with_options(ctx, argv)
    if len(argv) % 2 == 0:
        raise wrong_arity("xadd")
    name = argv[1]
    value = ctx.db.peek(name)
    if isinstance(value, Stream):
        stream = value
        if stream.last_id == MAX_ID:
            raise _exhausted()
        if 0 < entry_id <= stream.last_id:
            raise _not_rising()
    elif value is None:
        stream = Stream()
        ctx.db.put(name, stream)
    else:
        raise wrong_type()
    if entry_id < 0:
        text = stream.append_now(ctx.now_ms, argv[3:])
    else:
        stream.append(entry_id, argv[3:])
        text = stream.last_id_text()
    ctx.changed(name, b"xadd", STREAM)
    argv[2] = text  # the request itself is journaled, with the id that was chosen
    if stream.settings is not None:
        after_add(ctx, name, stream, stream.last_id, argv, 3)
    return text


def _not_rising() -> CommandError:
    return CommandError("ERR", "The ID specified in XADD is equal or smaller than the target stream top item")


def _exhausted() -> CommandError:
    return CommandError("ERR", "The stream has exhausted the last possible ID, unable to add more items")


def _xadd_with_options(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    options = add_options(ctx, argv, True)
    at = options.id_at
    if len(argv) - at < 3 or (len(argv) - at) % 2 == 0:
        raise wrong_arity("xadd")
    if options.new_id == 0:
        raise CommandError("ERR", "The ID specified in XADD must be greater than 0-0")
    stream = peek_stream(ctx, name)
    if stream is None and options.only_existing:
        return None
    fields = argv[at + 1 :]
    if options.producer:
        if not options.own_name:
            options.own_name = content_id(fields)
        known = _added_before(ctx, stream, options)
        if known != NOT_FOUND:
            return format_id(known)
    if options.if_last >= 0 and not ctx.session.is_replay:
        _check_last(stream, options.if_last)
    entry_id = _new_id(ctx, stream, options)
    if stream is None:
        stream = Stream()
        ctx.db.put(name, stream)
    stream.append(entry_id, fields)
    ctx.changed(name, b"xadd", STREAM)
    text = format_id(entry_id)
    argv[at] = text
    if options.trims:
        _trim_after_add(ctx, stream, options, argv, fields)
    elif options.if_last >= 0 or options.producer:
        ctx.journal_argv([b"XADD", name, text] + fields)
    if options.producer:
        record_added(ctx, name, stream, options.producer, options.own_name, entry_id)
    if stream.settings is not None:
        after_add(ctx, name, stream, entry_id, argv, at + 1)
    return text


def _added_before(ctx: Context, stream: Stream | None, options: AddOptions) -> int:
    """The id under which the entry was added already, or NOT_FOUND."""
    if stream is None or stream.settings is None or ctx.session.is_replay:
        return NOT_FOUND
    window = stream.settings.window
    known = window.find(options.producer, options.own_name, ctx.now_ms)
    if known != NOT_FOUND:
        window.duplicates += 1
    return known


def _check_last(stream: Stream | None, expected: int) -> None:
    last = 0 if stream is None else stream.last_id
    if last != expected:
        raise CommandError("STALE", f"The last ID of the stream is {format_id(last).decode()}")


def _new_id(ctx: Context, stream: Stream | None, options: AddOptions) -> int:
    """The id of the next entry, as `*`, `ms-*` or an id asks for it."""
    last = 0 if stream is None else stream.last_id
    if last == MAX_ID:
        raise _exhausted()
    entry_id = options.new_id
    if options.open_ms >= 0:
        entry_id = options.open_ms << 64
        if last >> 64 == options.open_ms and last != entry_id | _LAST_SEQ:
            entry_id = last + 1
    elif entry_id < 0:
        return max(ctx.now_ms << 64, last + 1)
    if entry_id <= last:
        raise _not_rising()
    return entry_id


def _trim_after_add(ctx: Context, stream: Stream, options: AddOptions, argv: list[bytes], fields: list[bytes]) -> None:
    """Trim, and journal what came of it where that may differ: the reader of the log may cut its blocks elsewhere."""
    name = argv[1]
    text = argv[options.id_at]
    decisions: list[list[bytes]] = []
    removed = _trim(stream, options, name, decisions)
    if removed:
        ctx.notify(name, b"xtrim", STREAM)
    if not decisions and not options.approximately and options.if_last < 0 and not options.producer:
        return  # the request itself tells it
    words = _trimmed_to(stream, options) if removed and not decisions else []
    ctx.journal_argv([b"XADD", name] + words + [text] + fields)
    for decision in decisions:
        ctx.journal_argv(decision)


@command("XTRIM", arity=-4, flags=WRITE, keys=[key(RW, DELETE)], since="5.0.0",
         syntax="key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [KEEPREF | DELREF | ACKED]",
         summary="Remove the oldest entries of a stream", cost="O(n), n entries removed",
         differs="`~` may trim other entries; ACKED finds what nobody needs wherever it is")  # fmt: skip
def xtrim(ctx: Context, argv: list[bytes]) -> Reply:
    options = add_options(ctx, argv, False)
    stream = peek_stream(ctx, argv[1])
    if stream is None:
        return 0
    if is_long_trim(stream, options.policy) and not options.limit:
        return in_steps(LongTrim(ctx, argv[1], stream, options.policy, options.max_length, options.min_id).step)
    decisions: list[list[bytes]] = []
    removed = _trim(stream, options, argv[1], decisions)
    if removed:
        ctx.changed(argv[1], b"xtrim", STREAM)
        if options.approximately and not decisions:
            decisions.append([b"XTRIM", argv[1]] + _trimmed_to(stream, options))
        for decision in decisions:
            ctx.journal_argv(decision)
    return removed


# -- XDEL, XSETID


@command("XDEL", arity=-3, flags=WRITE | FAST, keys=[key(RW, DELETE)], since="5.0.0",
         syntax="key id [id ...]", summary="Delete entries of a stream", cost="O(log n) for each id")  # fmt: skip
def xdel(ctx: Context, argv: list[bytes]) -> Reply:
    stream = peek_stream(ctx, argv[1])
    if stream is None:
        return 0
    ids = [to_id(text) for text in argv[2:]]
    deleted = 0
    for entry_id in ids:
        if stream.delete(entry_id):
            deleted += 1
    if deleted:
        ctx.changed(argv[1], b"xdel", STREAM)
    return deleted


@command("XSETID", arity=-3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="5.0.0",
         syntax="key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
         summary="Set the last id of a stream", cost="O(1)")  # fmt: skip
def xsetid(ctx: Context, argv: list[bytes]) -> Reply:
    last_id = to_id(argv[2])
    added = -1
    max_deleted = 0
    args = Args(argv, 3)
    while args.more():
        word = args.next().upper()
        if word == b"ENTRIESADDED" and args.more():
            added = args.next_int()
            if added < 0:
                raise CommandError("ERR", "entries_added must be positive")
        elif word == b"MAXDELETEDID" and args.more():
            max_deleted = to_id(args.next())
            if last_id < max_deleted:
                raise CommandError(
                    "ERR", "The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
                )
        else:
            raise syntax_error()
    stream = peek_stream(ctx, argv[1])
    if stream is None:
        raise no_such_key()
    if last_id < stream.max_deleted_id and not ctx.session.is_replay:  # Redis took it before 7.2: a log may have it
        raise CommandError("ERR", "The ID specified in XSETID is smaller than current max_deleted_entry_id")
    if stream.size > 0:
        if last_id < stream.newest_id():
            raise CommandError("ERR", "The ID specified in XSETID is smaller than the target stream top item")
        if 0 <= added < stream.size:
            raise CommandError("ERR", "The entries_added specified in XSETID is smaller than the target stream length")
    stream.set_last_id(last_id)
    if added >= 0:
        stream.entries_added = added
    if max_deleted:
        stream.max_deleted_id = max_deleted
    ctx.changed_aside(argv[1], b"xsetid")
    return OK


# -- reading


@command("XLEN", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="5.0.0",
         syntax="key", summary="Number of entries of a stream", cost="O(1)")  # fmt: skip
def xlen(ctx: Context, argv: list[bytes]) -> Reply:
    stream = read_stream(ctx, argv[1])
    return 0 if stream is None else len(stream)


@command("XRANGE", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="5.0.0",
         syntax="key start end [COUNT count]", summary="Entries of a stream, by ids",
         cost="O(log n + m), m entries returned")  # fmt: skip
def xrange_(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, argv[2], argv[3], False)


@command("XREVRANGE", arity=-4, flags=READONLY, keys=[key(RO, ACCESS)], since="5.0.0",
         syntax="key end start [COUNT count]", summary="Entries of a stream, by ids, newest first",
         cost="O(log n + m), m entries returned")  # fmt: skip
def xrevrange(ctx: Context, argv: list[bytes]) -> Reply:
    return _range(ctx, argv, argv[3], argv[2], True)


def _range(ctx: Context, argv: list[bytes], start_text: bytes, end_text: bytes, reverse: bool) -> Reply:
    start = to_start(start_text)
    end = to_end(end_text)
    limit = -1
    args = Args(argv, 4)
    while args.more():
        if args.left < 2 or not args.flag(b"COUNT"):
            raise syntax_error()
        limit = max(args.next_int(), 0)
    stream = read_stream(ctx, argv[1])
    if stream is None:
        return []
    if limit == 0:
        return NULL_ARRAY
    found = stream.range_encoded(start, end, limit, reverse)
    return EntryList(found.count, found.wire())


# -- XREAD, and what XREADGROUP has in common with it


class ReadRequest:
    """XREAD or XREADGROUP as it was given.

    block_ms: -1 without BLOCK; limit: entries of each stream, -1 for all; claim_ms: -1 without CLAIM; budget: of
    MAXCOUNT and MAXSIZE, or None; keys_at: where the names begin in argv, the ids `count` further on.
    """

    def __init__(self) -> None:
        self.block_ms = -1
        self.limit = -1
        self.claim_ms = -1
        self.budget: ReadBudget | None = None
        self.resp3 = False
        self.group: bytes = b""
        self.consumer: bytes = b""
        self.has_group = False
        self.noack = False
        self.keys_at = 0
        self.count = 0


def read_request(ctx: Context, argv: list[bytes], is_group: bool) -> ReadRequest:
    """Redis: the beginning of xreadCommand."""
    request = ReadRequest()
    request.resp3 = ctx.session.resp3
    args = Args(argv, 1)
    while args.more():
        word = args.next().upper()
        if word == b"BLOCK" and args.more():
            request.block_ms = _to_block_ms(ctx, args.next())
            if ctx.session.in_script:
                name = argv[0].decode("utf-8", "surrogateescape")  # as it was written
                raise CommandError("ERR", f"{name} command is not allowed with BLOCK option from scripts")
        elif word == b"COUNT" and args.more():
            request.limit = args.next_int()
            if request.limit <= 0:
                request.limit = -1
        elif word in (b"MAXCOUNT", b"MAXSIZE") and args.more():
            _give_budget(request, word, args.next_int())
        elif word == b"STREAMS" and args.more():
            request.keys_at = int(args.position)
            if args.left % 2:
                raise _unbalanced(is_group)
            request.count = args.left // 2
            break
        elif word == b"GROUP" and args.left > 1:
            if not is_group:
                raise CommandError("ERR", "The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
            request.group = args.next()
            request.consumer = args.next()
            request.has_group = True
        elif word == b"CLAIM" and args.more():
            if not is_group:
                raise CommandError("ERR", "The CLAIM option is only supported by XREADGROUP. You called XREAD instead.")
            request.claim_ms = _to_min_idle_ms(args.next())
        elif word == b"NOACK":
            if not is_group:
                raise CommandError("ERR", "The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
            request.noack = True
        else:
            raise syntax_error()
    if not request.keys_at:
        raise syntax_error()
    if is_group and not request.has_group:
        raise CommandError("ERR", "Missing GROUP option for XREADGROUP")
    if request.budget is not None and 0 <= request.budget.entries < request.limit:
        raise CommandError("ERR", "MAXCOUNT must be greater than or equal to COUNT")
    return request


def _unbalanced(is_group: bool) -> CommandError:
    name, sign = ("xreadgroup", ">") if is_group else ("xread", "$")
    return CommandError(
        "ERR", f"Unbalanced '{name}' list of streams: for each stream key an ID or '{sign}' must be specified."
    )


def _give_budget(request: ReadRequest, word: bytes, value: int) -> None:
    if value <= 0:
        raise CommandError("ERR", f"{word.decode()} must be a positive integer")
    if request.budget is None:
        request.budget = ReadBudget(-1, -1)
    if word == b"MAXCOUNT":
        request.budget.entries = value
    else:
        request.budget.size = value


def _to_min_idle_ms(text: bytes) -> int:
    min_idle = parse_int(text)
    if min_idle is None:
        raise CommandError("ERR", "min-idle-time is not an integer or out of range")
    if min_idle < 0:
        raise CommandError("ERR", "min-idle-time must be a positive integer")
    return min_idle


def _to_block_ms(ctx: Context, text: bytes) -> int:
    """Redis: getTimeoutFromObjectOrReply with milliseconds."""
    block_ms = parse_int(text)
    if block_ms is None:
        raise CommandError("ERR", "timeout is not an integer or out of range")
    if block_ms < 0:
        raise CommandError("ERR", "timeout is negative")
    if block_ms > I64_MAX - ctx.now_ms:
        raise CommandError("ERR", "timeout is out of range")
    return block_ms


@command("XREAD", arity=-4, flags=BLOCKING | READONLY,
         keys=[keys_after(b"STREAMS", RO, ACCESS, start=1, last=-1, limit=2)], since="5.0.0",
         syntax="[COUNT count] [MAXCOUNT maxcount] [MAXSIZE maxsize] [BLOCK milliseconds] "
                "STREAMS key [key ...] id [id ...]",
         summary="Entries of several streams after given ids; can wait for them",
         cost="O(log n + m) for each stream, m entries returned",
         differs="A missing key counts as one look-up")  # fmt: skip
def xread(ctx: Context, argv: list[bytes]) -> Reply:
    request = read_request(ctx, argv, False)
    at = request.keys_at
    count = request.count
    after: list[int] = []
    for i in range(at, at + count):
        after.append(_after(read_stream(ctx, argv[i]), argv[i + count]))
    flat: list[Reply] = []
    for i in range(count):
        stream = peek_stream(ctx, argv[at + i])
        if stream is not None and stream.newest_id() > after[i]:
            if request.budget is None:
                found = stream.range_encoded(after[i] + 1, MAX_ID, request.limit, False)
                entries = EntryList(found.count, found.wire())
            else:
                entries = _budgeted(request, request.budget, argv[at + i], stream, after[i] + 1)
            if entries.count:
                flat.append(argv[at + i])
                flat.append(entries)
    if flat:
        return PairMap(flat)
    if request.block_ms < 0:
        return NULL_ARRAY
    pinned = argv[: at + count]
    for i in range(count):  # `+` stays: its reader gets the newest entry, however many come at once
        text = argv[at + count + i]
        pinned.append(text if text == b"+" else format_id(after[i]))
    return Blocked(argv[at : at + count], request.block_ms, pinned, NULL_ARRAY, b"stream")


def _budgeted(request: ReadRequest, budget: ReadBudget, name: bytes, stream: Stream, start: int) -> EntryList:
    if budget.is_spent():
        return EntryList(0, b"")
    budget.open(name, request.resp3)
    count, wire = budget.take(stream, start, request.limit)
    budget.close(count)
    return EntryList(count, wire)


def _after(stream: Stream | None, text: bytes) -> int:
    """The id after which XREAD begins: `$` the last one, `+` the one before the newest entry that is there."""
    if text == b"$":
        return 0 if stream is None else stream.last_id
    if text == b"+":
        if stream is None:
            return 0
        return stream.newest_id() - 1 if stream.size else stream.last_id
    if text == b">":
        raise CommandError(
            "ERR",
            "The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
        )
    return to_id(text)
