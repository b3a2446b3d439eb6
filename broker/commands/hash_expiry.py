"""Times of fields of hashes, and the commands that read or write fields and their times in one go.

Kept, and journaled, as absolute Unix times in ms (HPEXPIREAT, HPERSIST); a time in the past deletes the field at once
and is journaled as HDEL. HSETEX is journaled as HSET and HPEXPIREAT, which older servers know, too.
"""

from typing import Final

from broker.commands.args import to_int
from broker.commands.context import Context
from broker.commands.hash_fields import drop_if_empty, hidden_ms, made_hash, peek_hash, read_hash, value_of
from broker.commands.registry import ACCESS, DELETE, DENYOOM, FAST, READONLY, RO, RW, UPDATE, WRITE, Group, key
from broker.datatypes.hashes import HashValue
from broker.errors import CommandError, invalid_expire, syntax_error, wrong_arity
from broker.keyspace.events import HASH
from broker.protocol.numbers import I64_MAX, parse_int
from broker.protocol.replies import Reply

command = Group("hash").command
_LATEST_MS: Final = (1 << 46) - 1  # Redis: HFE_MAX_ABS_TIME_MSEC in t_hash.c
_FIELDS: Final = "FIELDS numfields field [field ...]"
_CONDITIONS: Final = "[NX | XX | GT | LT] " + _FIELDS
_TIMES: Final = "EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds"

# What is said of each field
_NO_FIELD: Final = -2
_NO_TIME: Final = -1
_REFUSED: Final = 0  # by NX, XX, GT or LT
_DONE: Final = 1
_DELETED: Final = 2

_AT_LEAST_ONE: Final = "Number of fields must be a positive integer"


def _parse_when(ctx: Context, text: bytes, unit: int, relative: bool) -> int:
    """Unix time in ms. unit: milliseconds in one of the argument's. Redis: parseExpireTime in t_hash.c."""
    assert ctx.command is not None
    base = ctx.now_ms if relative else 0
    value = to_int(text)
    if value < 0:
        raise CommandError("ERR", "invalid expire time, must be >= 0")
    if value * unit > _LATEST_MS - base:
        raise invalid_expire(ctx.command.wire_name.decode())
    return value * unit + base


def _parse_fields(argv: list[bytes], at: int, not_positive: str = _AT_LEAST_ONE) -> list[bytes]:
    """`FIELDS numfields field [field ...]`, to the end of the request."""
    if argv[at].upper() != b"FIELDS":
        raise CommandError("ERR", "Mandatory argument FIELDS is missing or not at the right position")
    count = parse_int(argv[at + 1]) if at + 1 < len(argv) else None
    if count is None or not 0 < count <= I64_MAX:
        raise CommandError("ERR", not_positive)
    if count != len(argv) - at - 2:
        raise CommandError("ERR", "The `numfields` parameter must match the number of arguments")
    return argv[at + 2 :]


def _journal_fields(ctx: Context, head: list[bytes], fields: list[bytes]) -> None:
    ctx.journal_argv(head + [b"FIELDS", b"%d" % len(fields)] + fields)


def _set_time(ctx: Context, fields: HashValue, field: bytes, when: int) -> bool:
    """True when the field was deleted, because the time is in the past."""
    if when <= ctx.now_ms and not ctx.session.is_replay:
        fields.pop(field)
        ctx.keyspace.expired_subkeys += 1
        return True
    fields.give_time(field, when)
    return False


class _Outcome:
    """What became of the fields to which a request gave one time."""

    def __init__(self) -> None:
        self.timed: list[bytes] = []
        self.deleted: list[bytes] = []

    def report(self, ctx: Context, name: bytes, fields: HashValue, when: int, condition: bytes = b"") -> None:
        """Notify of the times and deletions, and journal them (with the condition, which was met, as Redis does)."""
        if self.timed:
            head = [b"HPEXPIREAT", name, b"%d" % when]
            _journal_fields(ctx, head + [condition] if condition else head, self.timed)
        for field in self.deleted:
            ctx.journal(b"HDEL", name, field)
        if self.deleted:
            ctx.changed(name, b"hdel", HASH)
            ctx.note_fields(name, b"hdel", self.deleted)
        if self.timed:
            ctx.changed(name, b"hexpire", HASH)
            ctx.note_fields(name, b"hexpire", self.timed)
        if self.timed or self.deleted:
            if self.timed:
                ctx.db.plan_fields(name, fields)
            drop_if_empty(ctx, name, fields)


# -- giving times


def _allows(condition: bytes, when: int, current: int) -> bool:
    """current: -1 when the field has no time, which GT takes for the latest one and LT, too."""
    if current < 0:
        return condition not in (b"XX", b"GT")
    if condition == b"GT":
        return when > current
    return when < current if condition == b"LT" else condition != b"NX"


def _expire(ctx: Context, argv: list[bytes], unit: int, relative: bool) -> Reply:
    name = argv[1]
    fields = peek_hash(ctx, name)
    when = _parse_when(ctx, argv[2], unit, relative)
    condition = argv[3].upper()
    if condition not in (b"NX", b"XX", b"GT", b"LT"):
        condition = b""
    asked = _parse_fields(argv, 4 if condition else 3, "Parameter `numFields` should be greater than 0")
    replies: list[Reply] = []
    outcome = _Outcome()
    for field in asked:
        if fields is None or not fields.fields.has(field):
            replies.append(_NO_FIELD)
        elif condition and not _allows(condition, when, fields.time_of(field)):
            replies.append(_REFUSED)
        elif _set_time(ctx, fields, field, when):
            outcome.deleted.append(field)
            replies.append(_DELETED)
        else:
            outcome.timed.append(field)
            replies.append(_DONE)
    if fields is not None:
        outcome.report(ctx, name, fields, when, condition)
    return replies


@command("HEXPIRE", arity=-6, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="7.4.0",
         syntax=f"key seconds {_CONDITIONS}", summary="Let fields of a hash go after some seconds",
         cost="O(n log m), n fields, m of the hash have a time",
         differs="Options after FIELDS are refused, as before 8.9")  # fmt: skip
def hexpire(ctx: Context, argv: list[bytes]) -> Reply:
    return _expire(ctx, argv, 1000, True)


@command("HPEXPIRE", arity=-6, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="7.4.0",
         syntax=f"key milliseconds {_CONDITIONS}", summary="Let fields of a hash go after some milliseconds",
         cost="O(n log m), n fields, m of the hash have a time",
         differs="Options after FIELDS are refused, as before 8.9")  # fmt: skip
def hpexpire(ctx: Context, argv: list[bytes]) -> Reply:
    return _expire(ctx, argv, 1, True)


@command("HEXPIREAT", arity=-6, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="7.4.0",
         syntax=f"key unix-time-seconds {_CONDITIONS}", summary="Let fields of a hash go at a Unix time",
         cost="O(n log m), n fields, m of the hash have a time",
         differs="Options after FIELDS are refused, as before 8.9")  # fmt: skip
def hexpireat(ctx: Context, argv: list[bytes]) -> Reply:
    return _expire(ctx, argv, 1000, False)


@command("HPEXPIREAT", arity=-6, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="7.4.0",
         syntax=f"key unix-time-milliseconds {_CONDITIONS}",
         summary="Let fields of a hash go at a Unix time in milliseconds",
         cost="O(n log m), n fields, m of the hash have a time",
         differs="Options after FIELDS are refused, as before 8.9")  # fmt: skip
def hpexpireat(ctx: Context, argv: list[bytes]) -> Reply:
    return _expire(ctx, argv, 1, False)


@command("HPERSIST", arity=-5, flags=WRITE | FAST, keys=[key(RW, UPDATE)], since="7.4.0",
         syntax=f"key {_FIELDS}", summary="Take the times from fields of a hash", cost="O(n), n fields")  # fmt: skip
def hpersist(ctx: Context, argv: list[bytes]) -> Reply:
    fields = peek_hash(ctx, argv[1])
    asked = _parse_fields(argv, 2)
    replies: list[Reply] = []
    persisted: list[bytes] = []
    for field in asked:
        if fields is None or not _is_there(ctx, fields, field):
            replies.append(_NO_FIELD)
        elif fields.clear_time(field):
            persisted.append(field)
            replies.append(_DONE)
        else:
            replies.append(_NO_TIME)
    if fields is not None and persisted:
        ctx.changed(argv[1], b"hpersist", HASH)
        ctx.note_fields(argv[1], b"hpersist", persisted)
        drop_if_empty(ctx, argv[1], fields)
        _journal_fields(ctx, [b"HPERSIST", argv[1]], persisted)
    return replies


def _is_there(ctx: Context, fields: HashValue, field: bytes) -> bool:
    return fields.fields.has(field) and not fields.is_due(field, hidden_ms(ctx))


# -- reading times


def _times(ctx: Context, argv: list[bytes], unit: int, relative: bool) -> Reply:
    fields = read_hash(ctx, argv[1])
    replies: list[Reply] = []
    for field in _parse_fields(argv, 2):
        if fields is None or not _is_there(ctx, fields, field):
            replies.append(_NO_FIELD)
            continue
        when = fields.time_of(field)
        if when < 0:
            replies.append(_NO_TIME)
        else:
            left = when - ctx.now_ms if relative else when
            replies.append((left + unit - 1) // unit)  # rounded up
    return replies


@command("HTTL", arity=-5, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="7.4.0",
         syntax=f"key {_FIELDS}", summary="Seconds until fields of a hash go", cost="O(n), n fields")  # fmt: skip
def httl(ctx: Context, argv: list[bytes]) -> Reply:
    return _times(ctx, argv, 1000, True)


@command("HPTTL", arity=-5, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="7.4.0",
         syntax=f"key {_FIELDS}", summary="Milliseconds until fields of a hash go",
         cost="O(n), n fields")  # fmt: skip
def hpttl(ctx: Context, argv: list[bytes]) -> Reply:
    return _times(ctx, argv, 1, True)


@command("HEXPIRETIME", arity=-5, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="7.4.0",
         syntax=f"key {_FIELDS}", summary="Unix times at which fields of a hash go",
         cost="O(n), n fields")  # fmt: skip
def hexpiretime(ctx: Context, argv: list[bytes]) -> Reply:
    return _times(ctx, argv, 1000, False)


@command("HPEXPIRETIME", arity=-5, flags=READONLY | FAST, keys=[key(RO, ACCESS)], since="7.4.0",
         syntax=f"key {_FIELDS}", summary="Unix times in milliseconds at which fields of a hash go",
         cost="O(n), n fields")  # fmt: skip
def hpexpiretime(ctx: Context, argv: list[bytes]) -> Reply:
    return _times(ctx, argv, 1, False)


# -- fields and times in one go


@command("HGETDEL", arity=-5, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="8.0.0",
         syntax=f"key {_FIELDS}", summary="Return fields of a hash and delete them",
         cost="O(n), n fields")  # fmt: skip
def hgetdel(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    fields = peek_hash(ctx, name)
    asked = _parse_fields(argv, 2)
    replies: list[Reply] = []
    deleted: list[bytes] = []
    for field in asked:
        value = None if fields is None else value_of(ctx, name, fields, field)
        replies.append(value)
        if fields is not None and value is not None:
            fields.pop(field)
            deleted.append(field)
    if fields is not None and deleted:
        ctx.changed(name, b"hdel", HASH)
        ctx.note_fields(name, b"hdel", deleted)
        drop_if_empty(ctx, name, fields)
        ctx.journal_argv([b"HDEL", name] + deleted)
    return replies


_UNITS: Final = {b"EX": 1000, b"PX": 1, b"EXAT": 1000, b"PXAT": 1}  # milliseconds in one of the argument's


@command("HGETEX", arity=-5, flags=WRITE | FAST, keys=[key(RW, ACCESS, UPDATE)], since="8.0.0",
         syntax=f"key [{_TIMES} | PERSIST] {_FIELDS}",
         summary="Return fields of a hash, and give them a time or take it",
         cost="O(n log m), n fields, m of the hash have a time")  # fmt: skip
def hgetex(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    fields = peek_hash(ctx, name)
    word = argv[2].upper()
    unit = _UNITS.get(word, 0)
    persist = word == b"PERSIST"
    when = _parse_when(ctx, argv[3], unit, len(word) == 2) if unit else -1
    asked = _parse_fields(argv, 4 if unit else 3 if persist else 2)
    replies: list[Reply] = []
    outcome = _Outcome()
    persisted: list[bytes] = []
    for field in asked:
        value = None if fields is None else value_of(ctx, name, fields, field)
        replies.append(value)
        if fields is None or value is None:
            continue
        if persist and fields.clear_time(field):
            persisted.append(field)
        elif unit:
            (outcome.deleted if _set_time(ctx, fields, field, when) else outcome.timed).append(field)
    if fields is not None:
        outcome.report(ctx, name, fields, when)
        if persisted:
            ctx.changed(name, b"hpersist", HASH)
            ctx.note_fields(name, b"hpersist", persisted)
            drop_if_empty(ctx, name, fields)
            _journal_fields(ctx, [b"HPERSIST", name], persisted)
    return replies


class _SetOptions:
    """[FNX | FXX] [time | KEEPTTL] FIELDS numfields field value [field value ...]"""

    def __init__(self, ctx: Context, argv: list[bytes]) -> None:
        self.condition: bytes = b""  # FNX: none of the fields may be there; FXX: all have to be
        self.when: int = -1
        self.keep: bool = False
        self.first: int = 0  # of the pairs
        at = 2
        while at < len(argv) and not self.first:
            at += self._read_one(ctx, argv, at)
        if not self.first:
            raise syntax_error()

    def _read_one(self, ctx: Context, argv: list[bytes], at: int) -> int:
        """The number of arguments that the option has."""
        word = argv[at].upper()
        if word == b"FIELDS":
            self._read_pairs(argv, at)
        elif word == b"FNX" or word == b"FXX":
            if self.condition:
                raise CommandError("ERR", "Only one of FXX or FNX arguments can be specified")
            self.condition = word
        elif word == b"KEEPTTL" or word in _UNITS:
            if self.keep or self.when >= 0:
                raise CommandError("ERR", "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified")
            self.keep = word == b"KEEPTTL"
            if not self.keep:
                if at + 1 == len(argv):
                    raise CommandError("ERR", "missing expire time")
                self.when = _parse_when(ctx, argv[at + 1], _UNITS[word], len(word) == 2)
                return 2
        else:
            shown = argv[at].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            raise CommandError("ERR", f"unknown argument: {shown}")
        return 1

    def _read_pairs(self, argv: list[bytes], at: int) -> None:
        left = len(argv) - at - 2
        if left < 2:
            raise wrong_arity("hsetex")
        count = parse_int(argv[at + 1])
        if count is None or not 0 < count < 1 << 31:
            raise CommandError("ERR", "invalid number of fields")
        if left != 2 * count:
            raise wrong_arity("hsetex")
        self.first = at + 2


@command("HSETEX", arity=-6, flags=WRITE | DENYOOM | FAST, keys=[key(RW, UPDATE)], since="8.0.0",
         syntax=f"key [FNX | FXX] [{_TIMES} | KEEPTTL] FIELDS numfields field value [field value ...]",
         summary="Set fields of a hash, and give them a time",
         cost="O(n log m), n fields, m of the hash have a time")  # fmt: skip
def hsetex(ctx: Context, argv: list[bytes]) -> Reply:
    """1 when the fields were set, 0 when FNX or FXX forbids it."""
    options = _SetOptions(ctx, argv)
    name = argv[1]
    fields = peek_hash(ctx, name)
    if options.condition and not _meets(ctx, argv, fields, options):
        return 0
    fields = made_hash(ctx, name)
    kept = False
    outcome = _Outcome()
    for i in range(options.first, len(argv), 2):
        field = argv[i]
        if options.keep:
            fields.update(field, argv[i + 1])
            kept = kept or fields.time_of(field) >= 0
        else:
            fields.set(field, argv[i + 1])
        if options.when >= 0:
            (outcome.deleted if _set_time(ctx, fields, field, options.when) else outcome.timed).append(field)
    ctx.changed(name, b"hset", HASH)
    ctx.note_fields(name, b"hset", argv[options.first :: 2])
    if kept:
        ctx.journal_argv([b"HSETEX", name, b"KEEPTTL"] + argv[options.first - 2 :])
    elif not outcome.deleted:
        ctx.journal_argv([b"HSET", name] + argv[options.first :])
    outcome.report(ctx, name, fields, options.when)
    return 1


def _meets(ctx: Context, argv: list[bytes], fields: HashValue | None, options: _SetOptions) -> bool:
    wanted = options.condition == b"FXX"
    for i in range(options.first, len(argv), 2):
        found = fields is not None and value_of(ctx, argv[1], fields, argv[i]) is not None
        if found != wanted:
            return False
    return True
