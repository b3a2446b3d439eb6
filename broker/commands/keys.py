"""Keys of any type: delete, rename, copy, move, list; whole databases; OBJECT. Time-outs: expire.py; SCAN: scan.py.

Whatever appears under a key wakes those who wait for it; whole databases that change fail each WATCH that they touch.
"""

from typing import Final

from broker.commands.args import Args
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.encodings import encoding
from broker.commands.ranges import to_c_int
from broker.commands.registry import (
    ACCESS,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    LOADING,
    OW,
    READONLY,
    RM,
    RO,
    RW,
    STALE,
    TOUCHES_ARBITRARY_KEYS,
    UPDATE,
    WRITE,
    Group,
    key,
    keys_to_end,
)
from broker.datatypes.hashes import HashValue
from broker.datatypes.lists import ListValue
from broker.datatypes.sets import SetValue
from broker.datatypes.sorted_sets import SortedSet
from broker.datatypes.streams import Stream
from broker.errors import CommandError, no_such_key, syntax_error
from broker.keyspace.database import Database
from broker.keyspace.events import GENERIC
from broker.keyspace.glob import matches
from broker.keyspace.types import type_name
from broker.protocol.numbers import parse_int
from broker.protocol.replies import OK, Reply, Simple

command = Group("generic").command
database_command = Group("server").command
_TYPES: Final[dict[bytes, Simple]] = {
    name: Simple(name) for name in (b"none", b"string", b"list", b"hash", b"set", b"zset", b"stream")
}


# -- there or not


def _delete(ctx: Context, argv: list[bytes]) -> int:
    db = ctx.db
    deleted = 0
    for i in range(1, len(argv)):
        name = argv[i]
        if db.expires:
            db.peek(name)  # one whose time has come is no more
        if db.discard(name):
            ctx.changed(name, b"del", GENERIC)
            deleted += 1
    return deleted


@command("DEL", arity=-2, flags=WRITE, keys=[keys_to_end(RM, DELETE)], acl=("keyspace",), since="1.0.0",
         syntax="key [key ...]", summary="Delete keys",
         cost="O(n), n keys; what is in them is freed later, in parts",
         differs="Big values are freed in the turns that follow")  # fmt: skip
def del_(ctx: Context, argv: list[bytes]) -> Reply:
    return _delete(ctx, argv)


@command("UNLINK", arity=-2, flags=WRITE | FAST, keys=[keys_to_end(RM, DELETE)], acl=("keyspace",), since="4.0.0",
         syntax="key [key ...]", summary="Delete keys (the same as DEL)",
         cost="O(n), n keys; what is in them is freed later, in parts",
         differs="The same as DEL")  # fmt: skip
def unlink(ctx: Context, argv: list[bytes]) -> Reply:
    return _delete(ctx, argv)


@command("EXISTS", arity=-2, flags=READONLY | FAST, keys=[keys_to_end(RO)], acl=("keyspace",), since="1.0.0",
         syntax="key [key ...]", summary="How many of several keys exist", cost="O(n), n keys")  # fmt: skip
def exists(ctx: Context, argv: list[bytes]) -> Reply:
    found = 0
    for i in range(1, len(argv)):
        if ctx.db.look(argv[i]) is not None:
            found += 1
    return found


@command("TOUCH", arity=-2, flags=READONLY | FAST, keys=[keys_to_end(RO)], acl=("keyspace",), since="3.2.1",
         syntax="key [key ...]", summary="How many of several keys exist; they count as used",
         cost="O(n), n keys")  # fmt: skip
def touch(ctx: Context, argv: list[bytes]) -> Reply:
    found = 0
    for i in range(1, len(argv)):
        if ctx.db.read(argv[i]) is not None:
            found += 1
    return found


@command("TYPE", arity=2, flags=READONLY | FAST, keys=[key(RO)], acl=("keyspace",), since="1.0.0",
         syntax="key", summary="Type of the value at a key", cost="O(1)")  # fmt: skip
def type_(ctx: Context, argv: list[bytes]) -> Reply:
    return _TYPES[type_name(ctx.db.look(argv[1]))]


# -- to another place


def _rename(ctx: Context, source: bytes, name: bytes, only_new: bool) -> bool:
    """False when `only_new` kept it from happening."""
    db = ctx.db
    value = db.peek(source)
    if value is None:
        raise no_such_key()
    if source == name:
        return not only_new
    if only_new and db.peek(name) is not None:
        return False
    when = db.expiry(source)
    before = type_name(db.peek(name))
    db.remove(source)
    db.discard(name)  # what is there now is a new key, as in Redis
    db.replace(name, value)
    if when is not None:
        db.set_expiry(name, when)
    ctx.changed(source, b"rename_from", GENERIC)
    ctx.changed(name, b"rename_to", GENERIC)
    if before != b"none":
        db.tell_overwritten(name, before != type_name(value))
    return True


@command("RENAME", arity=3, flags=WRITE, keys=[key(RW, ACCESS, DELETE), key(OW, UPDATE, at=2)], acl=("keyspace",),
         since="1.0.0", syntax="key newkey", summary="Rename a key, over whatever was there", cost="O(1)",
         differs="Wakes who waits for the key")  # fmt: skip
def rename(ctx: Context, argv: list[bytes]) -> Reply:
    _rename(ctx, argv[1], argv[2], False)
    return OK


@command("RENAMENX", arity=3, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE), key(OW, INSERT, at=2)],
         acl=("keyspace",), since="1.0.0", syntax="key newkey", summary="Rename a key if the new name is free",
         cost="O(1)")  # fmt: skip
def renamenx(ctx: Context, argv: list[bytes]) -> Reply:
    return 1 if _rename(ctx, argv[1], argv[2], True) else 0


def _database(ctx: Context, text: bytes) -> Database:
    index = to_c_int(text)
    if index < 0 or index >= len(ctx.keyspace.databases):
        raise CommandError("ERR", "DB index is out of range")
    return ctx.keyspace.databases[index]


def _same_place() -> CommandError:
    return CommandError("ERR", "source and destination objects are the same")


def _copied(value: object) -> object:
    """A value of its own. O(n), n elements."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray):
        return bytearray(value)
    if isinstance(value, HashValue):
        return value.copy()
    if isinstance(value, ListValue):
        return value.copy()
    if isinstance(value, SetValue):
        return value.copy()
    if isinstance(value, SortedSet):
        return value.copy()
    assert isinstance(value, Stream)
    return value.copy()


@command("COPY", arity=-3, flags=WRITE | DENYOOM, keys=[key(RO, ACCESS), key(OW, UPDATE, at=2)], acl=("keyspace",),
         since="6.2.0", syntax="source destination [DB destination-db] [REPLACE]", summary="Copy a key",
         cost="O(n), n elements of the value")  # fmt: skip
def copy(ctx: Context, argv: list[bytes]) -> Reply:
    target = ctx.db
    replace = False
    args = Args(argv, 3)
    while args.more():
        if args.flag(b"REPLACE"):
            replace = True
        elif args.left >= 2 and args.flag(b"DB"):
            target = _database(ctx, args.next())
        else:
            raise syntax_error()
    source, name = argv[1], argv[2]
    if target is ctx.db and source == name:
        raise _same_place()
    value = ctx.db.read(source)
    if value is None or (target.peek(name) is not None and not replace):
        return 0
    before = type_name(target.peek(name))
    target.discard(name)
    target.replace(name, _copied(value))
    when = ctx.db.expiry(source)
    if when is not None:
        target.set_expiry(name, when)
    ctx.changed_in(target, name, b"copy_to", GENERIC)
    if before != b"none":
        target.tell_overwritten(name, before != type_name(value))
    return 1


@command("MOVE", arity=3, flags=WRITE | FAST, keys=[key(RW, ACCESS, UPDATE)], acl=("keyspace",), since="1.0.0",
         syntax="key db", summary="Move a key to another database", cost="O(1)")  # fmt: skip
def move(ctx: Context, argv: list[bytes]) -> Reply:
    target = _database(ctx, argv[2])
    if target is ctx.db:
        raise _same_place()
    name = argv[1]
    value = ctx.db.peek(name)
    if value is None or target.peek(name) is not None:
        return 0
    when = ctx.db.expiry(name)
    ctx.db.remove(name)
    target.replace(name, value)
    if when is not None:
        target.set_expiry(name, when)
    ctx.changed(name, b"move_from", GENERIC)
    ctx.changed_in(target, name, b"move_to", GENERIC)
    return 1


# -- all keys


@command("KEYS", arity=2, flags=READONLY, acl=("keyspace", "dangerous"), since="1.0.0", syntax="pattern",
         summary="All keys that match a pattern", cost="O(n), n keys of the database")  # fmt: skip
def keys(ctx: Context, argv: list[bytes]) -> Reply:
    db = ctx.db
    names = db.table.key_list()
    pattern = argv[1]
    if pattern != b"*":
        names = [name for name in names if matches(pattern, name)]
    if not db.expires:
        return names
    found: list[Reply] = []
    now = ctx.now_ms
    for name in names:
        when = db.expiry(name)
        if when is None or when > now:
            found.append(name)
    return found


@command("RANDOMKEY", arity=1, flags=READONLY | TOUCHES_ARBITRARY_KEYS, acl=("keyspace",), since="1.0.0",
         summary="A key at random", cost="O(1)")  # fmt: skip
def randomkey(ctx: Context, argv: list[bytes]) -> Reply:
    while True:
        name = ctx.db.table.random_key(ctx.keyspace.rng)
        if name is None or ctx.db.peek(name) is not None:
            return name  # peek() removes an expired one, so this ends


@database_command("DBSIZE", arity=1, flags=READONLY | FAST, acl=("keyspace",), since="1.0.0",
                  summary="Number of keys of the database", cost="O(1)")  # fmt: skip
def dbsize(ctx: Context, argv: list[bytes]) -> Reply:
    return ctx.db.size()


# -- whole databases


def _check_flush_mode(argv: list[bytes]) -> None:
    """ASYNC and SYNC are the same here: keys are gone at once, their memory is given back in the turns that follow."""
    if len(argv) > 2 or (len(argv) == 2 and argv[1].upper() not in (b"ASYNC", b"SYNC")):
        raise syntax_error()


def _flush(ctx: Context, db: Database) -> None:
    keyspace = ctx.keyspace
    _report(ctx, db, db)
    keyspace.dirty += db.clear()


def _report(ctx: Context, db: Database, other: Database) -> None:
    """Tell those who watch or wait for a key of `db` that is in it or in `other`: it may change, come or go."""
    keyspace = ctx.keyspace
    for name in keyspace.watches.watched_in(db.index):
        if db.is_overdue(name):
            keyspace.watches.lapse(db.index, name)
        elif db.table.has(name) or other.table.has(name):
            keyspace.watches.spoil(db.index, name)
    for name in db.waited:
        if db.table.has(name) or other.table.has(name):
            keyspace.ready.append((db.index, name))


@database_command("FLUSHDB", arity=-1, flags=WRITE, acl=("keyspace", "dangerous"), since="1.0.0",
                  syntax="[ASYNC | SYNC]", summary="Delete all keys of the database",
                  cost="O(n), n keys of the database",
         differs="SYNC and ASYNC are the same; of an empty database it is no change")  # fmt: skip
def flushdb(ctx: Context, argv: list[bytes]) -> Reply:
    _check_flush_mode(argv)
    _flush(ctx, ctx.db)
    if ctx.keyspace.observed:
        ctx.keyspace.observe_flush()
    return OK


@database_command("FLUSHALL", arity=-1, flags=WRITE, acl=("keyspace", "dangerous"), since="1.0.0",
                  syntax="[ASYNC | SYNC]", summary="Delete all keys of all databases",
                  cost="O(n), n keys of all databases",
         differs="SYNC and ASYNC are the same; of no keys it is no change")  # fmt: skip
def flushall(ctx: Context, argv: list[bytes]) -> Reply:
    _check_flush_mode(argv)
    for db in ctx.keyspace.databases:
        _flush(ctx, db)
    if ctx.keyspace.observed:
        ctx.keyspace.observe_flush()
    if not ctx.session.is_replay:
        ctx.shared.control.emptied()
    return OK


@database_command("SWAPDB", arity=3, flags=WRITE | FAST, acl=("keyspace", "dangerous"), since="4.0.0",
                  syntax="index1 index2", summary="Exchange the keys of two databases",
                  cost="O(n), n keys that are watched or waited for",
         differs="Clients that track keys are told to forget all; `SWAPDB n n` is no change")  # fmt: skip
def swapdb(ctx: Context, argv: list[bytes]) -> Reply:
    first = _swap_index(argv[1], "first")
    second = _swap_index(argv[2], "second")
    databases = ctx.keyspace.databases
    if min(first, second) < 0 or max(first, second) >= len(databases):
        raise CommandError("ERR", "DB index is out of range")
    if first == second:
        return OK
    one, two = databases[first], databases[second]
    _expire_all(one)
    _expire_all(two)
    _report(ctx, one, two)
    _report(ctx, two, one)
    one.swap(two)
    ctx.keyspace.dirty += 1
    if ctx.keyspace.observed:
        ctx.keyspace.observe_flush()
    return OK


def _swap_index(text: bytes, which: str) -> int:
    index = parse_int(text)
    if index is None or not -(1 << 31) <= index < 1 << 31:
        raise CommandError("ERR", f"invalid {which} DB index")
    return index


def _expire_all(db: Database) -> None:
    """Remove what is overdue. The journal has removals by time before the unit in which they were noticed: after the
    swap, in a transaction, such a removal would name the wrong database."""
    if db.keyspace.expiry:
        while db.expire_next():
            pass


# -- looking into a value

_NO_LRU: Final = (
    "An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at "
    "runtime LRU and LFU data will take some time to adjust."
)
_NO_LFU: Final = (
    "An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between "
    "policies at runtime LRU and LFU data will take some time to adjust."
)


def _look_at(ctx: Context, name: bytes) -> object | None:
    """A reading look-up of which no `keymiss` is told. Redis: objectCommandLookup."""
    if ctx.db.peek(name) is None:
        ctx.keyspace.misses += 1
        return None
    return ctx.db.look(name)


@command("OBJECT|ENCODING", arity=3, flags=READONLY, keys=[key(RO, at=2)], acl=("keyspace",), since="2.2.3",
         syntax="key", summary="How Redis would store the value at a key",
         cost="O(1), O(n) for short lists",
         differs="Told from what the value holds now")  # fmt: skip
def object_encoding(ctx: Context, argv: list[bytes]) -> Reply:
    value = _look_at(ctx, argv[2])
    return None if value is None else encoding(value, ctx.config)


@command("OBJECT|REFCOUNT", arity=3, flags=READONLY, keys=[key(RO, at=2)], acl=("keyspace",), since="2.2.3",
         syntax="key", summary="Number of references to the value at a key: one", cost="O(1)",
         differs="Always 1")  # fmt: skip
def object_refcount(ctx: Context, argv: list[bytes]) -> Reply:
    return None if _look_at(ctx, argv[2]) is None else 1


@command("OBJECT|IDLETIME", arity=3, flags=READONLY, keys=[key(RO, at=2)], acl=("keyspace",), since="2.2.3",
         syntax="key", summary="Seconds since the value at a key was used; an error with an LFU policy",
         cost="O(1)",
         differs="Approximate: keys share the places where it is noted")  # fmt: skip
def object_idletime(ctx: Context, argv: list[bytes]) -> Reply:
    if _look_at(ctx, argv[2]) is None:
        return None
    if ctx.keyspace.lfu:
        raise CommandError("ERR", _NO_LRU)
    return ctx.db.idle_seconds(argv[2])


@command("OBJECT|FREQ", arity=3, flags=READONLY, keys=[key(RO, at=2)], acl=("keyspace",), since="4.0.0",
         syntax="key", summary="How often the value at a key is used, as a logarithm; an error without an LFU policy",
         cost="O(1)",
         differs="Approximate: keys share the places where it is noted")  # fmt: skip
def object_freq(ctx: Context, argv: list[bytes]) -> Reply:
    if _look_at(ctx, argv[2]) is None:
        return None
    if not ctx.keyspace.lfu:
        raise CommandError("ERR", _NO_LFU)
    return ctx.db.frequency(argv[2])


@command("OBJECT|HELP", arity=2, flags=LOADING | STALE, acl=("keyspace",), since="6.2.0",
         summary="What OBJECT can do", cost="O(1)")  # fmt: skip
def object_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"OBJECT")
