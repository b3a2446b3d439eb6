"""DUMP and RESTORE: a value as bytes that other servers take, too."""

from typing import Final

from broker.commands.args import Args, to_int
from broker.commands.context import Context
from broker.commands.registry import ACCESS, DENYOOM, OW, READONLY, RO, UPDATE, WRITE, Group, key
from broker.datatypes.stream_settings import LIMITS
from broker.datatypes.streams import Stream
from broker.errors import CommandError, syntax_error
from broker.keyspace.events import GENERIC
from broker.keyspace.types import type_name
from broker.protocol.replies import OK, Reply
from broker.rdb.codes import BadData
from broker.rdb.limits import format_of
from broker.rdb.payload import is_whole, payload_of, value_of

command = Group("generic").command

_NOT_GIVEN: Final = -1


@command("DUMP", arity=2, flags=READONLY, keys=[key(RO, ACCESS)], acl=("keyspace",), since="2.6.0",
         syntax="key", summary="The value at a key as bytes that RESTORE takes",
         cost="O(size of the value)",
         differs="What only we know stands behind the value, where Redis skips it")  # fmt: skip
def dump(ctx: Context, argv: list[bytes]) -> Reply:
    value = ctx.db.read(argv[1])
    return None if value is None else payload_of(value, format_of(ctx.config))


class _Options:
    """Of RESTORE. Redis reads them before it looks at anything else."""

    def __init__(self, argv: list[bytes]) -> None:
        self.replace = False
        self.is_absolute = False
        self.idle_seconds = _NOT_GIVEN
        self.frequency = _NOT_GIVEN
        args = Args(argv, 4)
        while args.more():
            if args.flag(b"REPLACE"):
                self.replace = True
            elif args.flag(b"ABSTTL"):
                self.is_absolute = True
            elif args.left >= 2 and self.frequency == _NOT_GIVEN and args.flag(b"IDLETIME"):
                self.idle_seconds = to_int(args.next())
                if self.idle_seconds < 0:
                    raise CommandError("ERR", "Invalid IDLETIME value, must be >= 0")
            elif args.left >= 2 and self.idle_seconds == _NOT_GIVEN and args.flag(b"FREQ"):
                self.frequency = to_int(args.next())
                if not 0 <= self.frequency <= 255:
                    raise CommandError("ERR", "Invalid FREQ value, must be >= 0 and <= 255")
            else:
                raise syntax_error()


@command("RESTORE", arity=-4, flags=WRITE | DENYOOM, keys=[key(OW, UPDATE)], acl=("keyspace", "dangerous"),
         since="2.6.0", syntax="key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
         summary="Store a value that DUMP gave", cost="O(size of the value)",
         differs="Values of modules are refused by name")  # fmt: skip
def restore(ctx: Context, argv: list[bytes]) -> Reply:
    """Redis: restoreCommand in cluster.c."""
    options = _Options(argv)
    name = argv[1]
    db = ctx.db
    before = db.peek(name)
    if before is not None and not options.replace:
        raise CommandError("BUSYKEY", "Target key name already exists.")
    when = to_int(argv[2])
    if when < 0:
        raise CommandError("ERR", "Invalid TTL value, must be >= 0")
    if when and not options.is_absolute:
        when += ctx.now_ms
    value = _value_of(argv[3])
    if when and when <= ctx.now_ms and ctx.keyspace.expiry:
        if before is not None:
            db.discard(name)
            ctx.changed(name, b"del", GENERIC)
            ctx.journal(b"DEL", name)
        return OK
    _store(ctx, name, value, when)
    ctx.changed(name, b"restore", GENERIC)
    _note_use(ctx, name, options)  # changing it was a use
    if before is not None:
        db.tell_overwritten(name, type_name(before) != type_name(value))
    if when and not options.is_absolute:
        ctx.journal_argv([*argv[:2], b"%d" % when, *argv[3:], b"ABSTTL"])
    return OK


def _value_of(payload: bytes) -> object:
    if not is_whole(payload):
        raise CommandError("ERR", "DUMP payload version or checksum are wrong")
    try:
        return value_of(payload)
    except BadData:
        raise CommandError("ERR", "Bad data format") from None


def _store(ctx: Context, name: bytes, value: object, when: int) -> None:
    db = ctx.db
    db.discard(name)
    db.replace(name, value)
    if isinstance(value, Stream) and value.settings is not None and value.settings.retain != LIMITS:
        ctx.keyspace.retention.by_acks = True
    if when:
        db.set_expiry(name, when)


def _note_use(ctx: Context, name: bytes, options: _Options) -> None:
    if options.idle_seconds != _NOT_GIVEN:
        ctx.db.set_idle(name, options.idle_seconds)
    if options.frequency != _NOT_GIVEN:
        ctx.db.set_frequency(name, options.frequency)
