"""Looking hashes and their fields up, with the fields whose time has come out of the way.

Time stands still within a turn, and the engine removes what is due before the requests of the turn: only when there is
more than one turn can take, or active expiry is off, do commands meet fields whose time has come. Those that ask for a
single field then remove it, as Redis does; those that list a hash leave such fields out. What was removed is journaled
as HDEL, before whatever else the request does; a log that is read, or a paused server, removes nothing.
"""

from broker.commands.context import Context
from broker.commands.registry import WRITE
from broker.datatypes.hashes import HashValue
from broker.errors import wrong_type
from broker.keyspace.events import HASH


def read_hash(ctx: Context, name: bytes) -> HashValue | None:
    """The hash at a key, for a reading command."""
    value = ctx.db.read(name)
    if value is None or isinstance(value, HashValue):
        return value
    raise wrong_type()


def peek_hash(ctx: Context, name: bytes) -> HashValue | None:
    """The hash at a key, for a writing command."""
    value = ctx.db.peek(name)
    if value is None or isinstance(value, HashValue):
        return value
    raise wrong_type()


def made_hash(ctx: Context, name: bytes) -> HashValue:
    """The hash at a key, made when there is none. The caller adds a field to it for certain."""
    value = ctx.db.peek(name)
    if isinstance(value, HashValue):
        return value
    if value is not None:
        raise wrong_type()
    made = HashValue()
    ctx.db.put(name, made)
    return made


def hidden_ms(ctx: Context) -> int:
    """The Unix time up to which fields are gone for this request; -1: none is, a log is being read."""
    return int(ctx.keyspace.now_ms) if ctx.keyspace.expiry else -1


def value_of(ctx: Context, name: bytes, fields: HashValue, field: bytes) -> bytes | None:
    """One field; one whose time has come is removed, and with the last one the key."""
    value = fields.get(field)
    if fields.deadlines is None or value is None or not fields.is_due(field, hidden_ms(ctx)):
        return value
    if ctx.keyspace.removal:
        ctx.db.peek(name)  # tells that it will change
        fields.pop(field)
        _gone(ctx, name, fields, [field])
    return None


def without_due(ctx: Context, name: bytes, fields: HashValue) -> HashValue:
    """The hash after the removal of all fields whose time has come; another one where nothing may be removed."""
    now = hidden_ms(ctx)
    if fields.next_ms() > now:
        return fields
    if not ctx.keyspace.removal:
        fields = fields.copy()
        fields.pop_due(now, len(fields))
        return fields
    ctx.db.peek(name)  # tells that it will change
    due = fields.pop_due(now, len(fields))
    if due:
        _gone(ctx, name, fields, due)
    return fields


def expire_fields(ctx: Context, name: bytes, limit: int) -> int:
    """Remove up to `limit` fields of the hash at a key whose time has come, and plan the next look. Their number."""
    fields = ctx.db.peek(name)
    if not isinstance(fields, HashValue):
        return 0
    due = fields.pop_due(int(ctx.keyspace.now_ms), limit)
    if due:
        _gone(ctx, name, fields, due)
    if fields.fields.size:
        ctx.db.plan_fields(name, fields)
    return len(due)


def _gone(ctx: Context, name: bytes, fields: HashValue, due: list[bytes]) -> None:
    """Report and journal that fields expired."""
    keyspace = ctx.keyspace
    keyspace.expired_subkeys += len(due)
    keyspace.expired_fields.append((int(ctx.db.index), name, due))
    if ctx.command is not None and not ctx.command.flags & WRITE:
        ctx.journal_nothing()  # the request itself changes nothing
    ctx.changed(name, b"hexpired", HASH)
    ctx.note_fields(name, b"hexpired", due)
    drop_if_empty(ctx, name, fields)


def drop_if_empty(ctx: Context, name: bytes, fields: HashValue) -> None:
    """After the removal of fields."""
    if not fields.fields.size:
        ctx.dropped(name)
    elif fields.deadlines is not None and not fields.deadlines.times.size:
        ctx.db.field_agenda.pop(name)
