"""The arguments of stream commands: ids and intervals, and what XADD and XTRIM may be told."""

from typing import Final

from broker.commands.args import Args
from broker.commands.context import Context
from broker.datatypes.stream_references import ACKED, DROP, KEEP
from broker.datatypes.streams import MAX_ID, NO_ID, parse_id, parse_ms
from broker.errors import CommandError, syntax_error

_LAST_SEQ: Final = (1 << 64) - 1
_BLOCKS_AT_ONCE: Final = 100  # that `~` trims in one request at most, unless LIMIT says more
_UNKNOWN_BLOCKS: Final = 10_000  # entries in so many, where a block has no limit
_TRIM_AT_ONCE: Final = 1_000_000  # entries, whatever a block holds


# -- ids


def invalid_id() -> CommandError:
    return CommandError("ERR", "Invalid stream ID specified as stream command argument")


def to_id(text: bytes) -> int:
    """An id without special forms; a missing sequence is 0."""
    entry_id = parse_id(text, 0)
    if entry_id < 0:
        raise invalid_id()
    return entry_id


def to_start(text: bytes) -> int:
    """The least id of an interval: `-`, `+`, an id, or `(id`: the one after it."""
    if text == b"-":
        return 0
    if text == b"+":
        return MAX_ID
    if len(text) > 1 and text[:1] == b"(":
        entry_id = to_id(text[1:])
        if entry_id == MAX_ID:
            raise CommandError("ERR", "invalid start ID for the interval")
        return entry_id + 1
    return to_id(text)


def to_end(text: bytes) -> int:
    """The greatest id of an interval: `-`, `+`, an id (`ms` is all of that millisecond), or `(id`: the one before."""
    if text == b"+":
        return MAX_ID
    if text == b"-":
        return 0
    is_open = len(text) > 1 and text[:1] == b"("
    entry_id = parse_id(text[1:] if is_open else text, _LAST_SEQ)
    if entry_id < 0:
        raise invalid_id()
    if not is_open:
        return entry_id
    if entry_id == 0:
        raise CommandError("ERR", "invalid end ID for the interval")
    return entry_id - 1


# -- XADD, XTRIM


class AddOptions:
    """The options of XADD and XTRIM. max_length, min_id: -1 when not given. policy: what happens to references, or -1.

    if_last: NO_ID without IFLAST. producer: empty without IDMP and IDMPAUTO; own_name: empty with IDMPAUTO.
    id_at: where in argv the id stands; new_id: NO_ID when it is left to us, open_ms: NO_ID unless it is `ms-*`.
    """

    def __init__(self) -> None:
        self.only_existing = False
        self.policy = -1
        self.if_last = NO_ID
        self.producer: bytes = b""
        self.own_name: bytes = b""
        self.max_length = -1
        self.min_id = NO_ID
        self.approximately = False
        self.limit = 0
        self.id_at = 0
        self.new_id = NO_ID
        self.open_ms = NO_ID

    @property
    def trims(self) -> bool:
        return self.max_length >= 0 or self.min_id >= 0


def add_options(ctx: Context, argv: list[bytes], is_xadd: bool) -> AddOptions:
    """Redis: streamParseAddOrTrimArgsOrReply."""
    options = AddOptions()
    args = Args(argv, 2)
    limit_given = False
    while args.more():
        word = args.peek()
        if is_xadd and word == b"*":
            break
        if word in (b"MAXLEN", b"MINID") and args.left > 1:
            if options.trims:
                raise CommandError("ERR", "syntax error, MAXLEN and MINID options at the same time are not compatible")
            _threshold(options, args)
        elif word == b"LIMIT" and args.left > 1:
            args.next()
            options.limit = args.next_int()
            if options.limit < 0:
                raise CommandError("ERR", "The LIMIT argument must be >= 0.")
            limit_given = True
        elif options.policy < 0 and reference_policy(word) >= 0:
            args.next()
            options.policy = reference_policy(word)
        elif is_xadd and args.flag(b"NOMKSTREAM"):
            options.only_existing = True
        elif is_xadd and word == b"IFLAST" and args.left > 1:
            args.next()
            options.if_last = to_id(args.next())
        elif is_xadd and ((word == b"IDMP" and args.left > 2) or (word == b"IDMPAUTO" and args.left > 1)):
            _producer(options, args)
        elif is_xadd:
            break
        else:
            raise syntax_error()
    options.id_at = int(args.position)
    if is_xadd and args.more() and argv[options.id_at] != b"*":
        options.new_id = parse_id(argv[options.id_at], 0)
        if options.new_id < 0:
            options.open_ms = parse_ms(argv[options.id_at])
            if options.open_ms < 0:
                raise invalid_id()
        if options.producer and not ctx.session.is_replay:  # a log that Redis wrote has the id that was chosen
            raise CommandError("ERR", "syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs")
    _settle_limit(ctx, options, limit_given, is_xadd)
    return options


def _producer(options: AddOptions, args: Args) -> None:
    """`IDMP producer-id idempotent-id | IDMPAUTO producer-id`"""
    word = args.next().upper().decode()
    if options.producer:
        raise CommandError("ERR", "syntax error, IDMP/IDMPAUTO specified multiple times")
    options.producer = args.next()
    if not options.producer:
        raise CommandError("ERR", f"syntax error, {word} requires a non-empty producer ID")
    if word == "IDMP":
        options.own_name = args.next()
        if not options.own_name:
            raise CommandError("ERR", "syntax error, IDMP requires a non-empty idempotent ID")


def reference_policy(word: bytes) -> int:
    """KEEPREF, DELREF or ACKED (in upper case); -1 for any other word."""
    if word == b"KEEPREF":
        return KEEP
    if word == b"DELREF":
        return DROP
    return ACKED if word == b"ACKED" else -1


def _threshold(options: AddOptions, args: Args) -> None:
    """`MAXLEN | MINID [= | ~] threshold`, with at least one argument after the first word."""
    by_length = args.next().upper() == b"MAXLEN"
    options.approximately = False
    if args.left > 1 and not args.flag(b"="):
        options.approximately = args.flag(b"~")
    if not by_length:
        options.min_id = to_id(args.next())
        return
    options.max_length = args.next_int()
    if options.max_length < 0:
        raise CommandError("ERR", "The MAXLEN argument must be >= 0.")


def _settle_limit(ctx: Context, options: AddOptions, limit_given: bool, is_xadd: bool) -> None:
    if options.limit and not options.trims:
        raise CommandError("ERR", "syntax error, LIMIT cannot be used without specifying a trimming strategy")
    if not is_xadd and not options.trims:
        raise CommandError("ERR", "syntax error, XTRIM must be called with a trimming strategy")
    if ctx.session.is_replay:
        options.limit = 0  # a log that Redis wrote: the threshold was replaced by the result, LIMIT was left in
    elif limit_given and not options.approximately:
        raise CommandError("ERR", "syntax error, LIMIT cannot be used without the special ~ option")
    elif options.approximately and not limit_given:
        options.limit = _trim_at_once(ctx)


def _trim_at_once(ctx: Context) -> int:
    """Entries that `~` removes in one request at most, without LIMIT. Redis: streamParseAddOrTrimArgsOrReply."""
    limit = _BLOCKS_AT_ONCE * ctx.config.integer("stream-node-max-entries")
    return min(limit if limit > 0 else _UNKNOWN_BLOCKS, _TRIM_AT_ONCE)
