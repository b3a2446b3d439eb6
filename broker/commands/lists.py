"""Lists, and waiting for them.

A blocking command that finds something does at once what its plain sibling does, and is journaled as that sibling; one
that finds nothing returns Blocked and is executed again when one of its keys is written to.
"""

from broker.commands.args import Args, to_int, to_positive, to_timeout_ms
from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.counted_pops import PopOptions, first_of_type
from broker.commands.registry import (
    ACCESS,
    BLOCKING,
    DELETE,
    DENYOOM,
    FAST,
    INSERT,
    READONLY,
    RO,
    RW,
    UPDATE,
    WRITE,
    Group,
    counted_keys,
    key,
    keys_to_end,
)
from broker.datatypes.lists import ListValue
from broker.errors import CommandError, index_out_of_range, no_such_key, syntax_error, wrong_arity, wrong_type
from broker.keyspace.events import LIST
from broker.protocol.numbers import I64_MAX, I64_MIN, parse_int
from broker.protocol.replies import NULL_ARRAY, OK, Reply

command = Group("list").command


def read_list(ctx: Context, name: bytes) -> ListValue | None:
    """The list at a key, for a reading command."""
    value = ctx.db.read(name)
    if value is None or isinstance(value, ListValue):
        return value
    raise wrong_type()


def peek_list(ctx: Context, name: bytes) -> ListValue | None:
    """The list at a key, for a writing command."""
    value = ctx.db.peek(name)
    if value is None or isinstance(value, ListValue):
        return value
    raise wrong_type()


# -- pushing


@command("LPUSH", arity=-3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="1.0.0",
         syntax="key element [element ...]", summary="Put values before the first one of a list",
         cost="O(1) for each value")  # fmt: skip
def lpush(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    found = ctx.db.peek(name)
    if found is None:
        items = ListValue()
        ctx.db.put(name, items)
    elif isinstance(found, ListValue):
        items = found
    else:
        raise wrong_type()
    for i in range(2, len(argv)):
        items.push_left(argv[i])
    ctx.changed(name, b"lpush", LIST)
    return items.size


@command("RPUSH", arity=-3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="1.0.0",
         syntax="key element [element ...]", summary="Put values behind the last one of a list",
         cost="O(1) for each value")  # fmt: skip
def rpush(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    found = ctx.db.peek(name)
    if found is None:
        items = ListValue()
        ctx.db.put(name, items)
    elif isinstance(found, ListValue):
        items = found
    else:
        raise wrong_type()
    for i in range(2, len(argv)):
        items.push_right(argv[i])
    ctx.changed(name, b"rpush", LIST)
    return items.size


@command("LPUSHX", arity=-3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="2.2.0",
         syntax="key element [element ...]", summary="Put values before the first one of a list that exists",
         cost="O(1) for each value")  # fmt: skip
def lpushx(ctx: Context, argv: list[bytes]) -> Reply:
    return 0 if peek_list(ctx, argv[1]) is None else lpush(ctx, argv)


@command("RPUSHX", arity=-3, flags=WRITE | DENYOOM | FAST, keys=[key(RW, INSERT)], since="2.2.0",
         syntax="key element [element ...]", summary="Put values behind the last one of a list that exists",
         cost="O(1) for each value")  # fmt: skip
def rpushx(ctx: Context, argv: list[bytes]) -> Reply:
    return 0 if peek_list(ctx, argv[1]) is None else rpush(ctx, argv)


@command("LINSERT", arity=5, flags=WRITE | DENYOOM, keys=[key(RW, INSERT)], since="2.2.0",
         syntax="key <BEFORE | AFTER> pivot element", summary="Put a value before or after another one of a list",
         cost="O(n), n values up to the pivot")  # fmt: skip
def linsert(ctx: Context, argv: list[bytes]) -> Reply:
    where = argv[2].upper()
    if where != b"BEFORE" and where != b"AFTER":
        raise syntax_error()
    items = peek_list(ctx, argv[1])
    if items is None:
        return 0
    index = items.find(argv[3])
    if index < 0:
        return -1
    items.insert(index if where == b"BEFORE" else index + 1, argv[4])
    ctx.changed(argv[1], b"linsert", LIST)
    return items.size


# -- reading


@command("LLEN", arity=2, flags=READONLY | FAST, keys=[key(RO)], since="1.0.0",
         syntax="key", summary="Number of values of a list", cost="O(1)")  # fmt: skip
def llen(ctx: Context, argv: list[bytes]) -> Reply:
    items = read_list(ctx, argv[1])
    return 0 if items is None else items.size


@command("LINDEX", arity=3, flags=READONLY, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key index", summary="The value at an index of a list",
         cost="O(n), n values to the nearer end, in blocks")  # fmt: skip
def lindex(ctx: Context, argv: list[bytes]) -> Reply:
    items = read_list(ctx, argv[1])
    if items is None:
        return None
    size = len(items)
    index = to_int(argv[2])
    if index < 0:
        index += size
    return items.get(index) if 0 <= index < size else None


@command("LRANGE", arity=4, flags=READONLY, keys=[key(RO, ACCESS)], since="1.0.0",
         syntax="key start stop", summary="The values between two indexes of a list",
         cost="O(s + n), s to the nearer end in blocks, n values returned")  # fmt: skip
def lrange(ctx: Context, argv: list[bytes]) -> Reply:
    start = to_int(argv[2])
    stop = to_int(argv[3])
    items = read_list(ctx, argv[1])
    if items is None:
        return []
    if start < 0:
        start = max(start + len(items), 0)
    if stop < 0:
        stop += len(items)
    return items.slice(start, stop + 1)


class _PositionOptions:
    def __init__(self) -> None:
        self.rank: int = 1
        self.count: int = -1  # not given: one index instead of an array
        self.most: int = 0


def _position_options(argv: list[bytes]) -> _PositionOptions:
    options = _PositionOptions()
    args = Args(argv, 3)
    while args.more():
        word = args.next().upper()
        if not args.more():
            raise syntax_error()
        if word == b"RANK":
            options.rank = to_int(args.next())
            if options.rank == I64_MIN:  # refused since 7.2: C cannot negate it
                raise CommandError("ERR", f"value is out of range, value must between {-I64_MAX} and {I64_MAX}")
            if options.rank == 0:
                raise CommandError(
                    "ERR",
                    "RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
                    "or use negative to start from the end of the list",
                )
        elif word == b"COUNT":
            options.count = _not_negative(args.next(), "COUNT")
        elif word == b"MAXLEN":
            options.most = _not_negative(args.next(), "MAXLEN")
        else:
            raise syntax_error()
    return options


def _not_negative(text: bytes, what: str) -> int:
    value = parse_int(text)
    if value is None or value < 0:
        raise CommandError("ERR", f"{what} can't be negative")
    return value


@command("LPOS", arity=-3, flags=READONLY, keys=[key(RO, ACCESS)], since="6.0.6",
         syntax="key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
         summary="Where a value stands in a list", cost="O(n), n values looked at")  # fmt: skip
def lpos(ctx: Context, argv: list[bytes]) -> Reply:
    options = _position_options(argv)
    items = read_list(ctx, argv[1])
    if options.count >= 0:
        return [] if items is None else items.positions(argv[2], options.rank, options.count, options.most)
    if items is None:
        return None
    found = items.positions(argv[2], options.rank, 1, options.most)
    return found[0] if found else None


# -- changing in place


@command("LSET", arity=4, flags=WRITE | DENYOOM, keys=[key(RW, UPDATE)], since="1.0.0",
         syntax="key index element", summary="Replace the value at an index of a list",
         cost="O(n), n values to the nearer end, in blocks")  # fmt: skip
def lset(ctx: Context, argv: list[bytes]) -> Reply:
    items = peek_list(ctx, argv[1])
    if items is None:
        raise no_such_key()
    size = len(items)
    index = to_int(argv[2])
    if index < 0:
        index += size
    if index < 0 or index >= size:
        raise index_out_of_range()
    items.set(index, argv[3])
    ctx.changed(argv[1], b"lset", LIST)
    return OK


@command("LTRIM", arity=4, flags=WRITE, keys=[key(RW, DELETE)], since="1.0.0",
         syntax="key start stop", summary="Keep only the values between two indexes of a list",
         cost="O(n), n values removed, in blocks")  # fmt: skip
def ltrim(ctx: Context, argv: list[bytes]) -> Reply:
    start = to_int(argv[2])
    stop = to_int(argv[3])
    name = argv[1]
    items = peek_list(ctx, name)
    if items is None:
        return OK
    size = len(items)
    if start < 0:
        start = max(start + size, 0)
    stop = min(stop + size if stop < 0 else stop, size - 1)
    if start == 0 and stop == size - 1:
        # Nothing goes, and nothing is journaled; yet Redis fails WATCH and notifies (ltrimCommand in t_list.c).
        ctx.touched(name)
        ctx.notify(name, b"ltrim", LIST)
        return OK
    items.trim(start, stop + 1)
    ctx.changed(name, b"ltrim", LIST)
    if items.size == 0:
        ctx.dropped(name)
    return OK


@command("LREM", arity=4, flags=WRITE, keys=[key(RW, DELETE)], since="1.0.0",
         syntax="key count element", summary="Remove values that are equal to one from a list",
         cost="O(n), n values of the list",
         differs="The least 64-bit number is a count, as in Redis 7")  # fmt: skip
def lrem(ctx: Context, argv: list[bytes]) -> Reply:
    name = argv[1]
    count = to_int(argv[2])
    items = peek_list(ctx, name)
    if items is None:
        return 0
    removed = items.remove(argv[3], count)
    if removed:
        ctx.changed(name, b"lrem", LIST)
        if items.size == 0:
            ctx.dropped(name)
    return removed


# -- popping


def _pop_one(ctx: Context, name: bytes, items: ListValue, left: bool) -> bytes:
    value = items.pop_left() if left else items.pop_right()
    ctx.changed(name, b"lpop" if left else b"rpop", LIST)
    if items.size == 0:
        ctx.dropped(name)
    return value


def _pop_several(ctx: Context, name: bytes, items: ListValue, left: bool, count: int) -> list[bytes]:
    values = items.take_left(count) if left else items.take_right(count)
    ctx.changed(name, b"lpop" if left else b"rpop", LIST)
    if items.size == 0:
        ctx.dropped(name)
    return values


def _pop(ctx: Context, argv: list[bytes], left: bool) -> Reply:
    name = argv[1]
    if len(argv) == 2:
        items = peek_list(ctx, name)
        return None if items is None else _pop_one(ctx, name, items, left)
    if len(argv) > 3:
        raise wrong_arity("lpop" if left else "rpop")
    count = to_positive(argv[2])
    items = peek_list(ctx, name)
    if items is None:
        return NULL_ARRAY
    return _pop_several(ctx, name, items, left, count) if count else []


@command("LPOP", arity=-2, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="1.0.0",
         syntax="key [count]", summary="Remove and return the first values of a list",
         cost="O(n), n values returned")  # fmt: skip
def lpop(ctx: Context, argv: list[bytes]) -> Reply:
    return _pop(ctx, argv, True)


@command("RPOP", arity=-2, flags=WRITE | FAST, keys=[key(RW, ACCESS, DELETE)], since="1.0.0",
         syntax="key [count]", summary="Remove and return the last values of a list",
         cost="O(n), n values returned")  # fmt: skip
def rpop(ctx: Context, argv: list[bytes]) -> Reply:
    return _pop(ctx, argv, False)


# -- popping from the first of several


def _pop_counted(ctx: Context, options: PopOptions) -> Reply:
    """[key, [value ...]] of the first list that is there; None when there is none."""
    name = first_of_type(ctx, options.keys, b"list")
    if name is None:
        return None
    items = peek_list(ctx, name)
    assert items is not None
    values = _pop_several(ctx, name, items, options.at_first, options.count)
    ctx.journal_argv([b"LPOP" if options.at_first else b"RPOP", name, b"%d" % len(values)])
    return [name, values]


@command("LMPOP", arity=-4, flags=WRITE, keys=[counted_keys(RW, ACCESS, DELETE)], since="7.0.0",
         syntax="numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
         summary="Remove and return values from the first list that has any",
         cost="O(k + n), k keys, n values returned")  # fmt: skip
def lmpop(ctx: Context, argv: list[bytes]) -> Reply:
    found = _pop_counted(ctx, PopOptions(argv, 1, b"LEFT", b"RIGHT"))
    return NULL_ARRAY if found is None else found


@command("BLMPOP", arity=-5, flags=WRITE | BLOCKING, keys=[counted_keys(RW, ACCESS, DELETE, at=2)], since="7.0.0",
         syntax="timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
         summary="Remove and return values from the first list that has any, or wait for one",
         cost="O(k + n), k keys, n values returned")  # fmt: skip
def blmpop(ctx: Context, argv: list[bytes]) -> Reply:
    options = PopOptions(argv, 2, b"LEFT", b"RIGHT")
    timeout = to_timeout_ms(argv[1], ctx.now_ms)
    found = _pop_counted(ctx, options)
    return Blocked(options.keys, timeout, argv, NULL_ARRAY, b"list") if found is None else found


def _blocking_pop(ctx: Context, argv: list[bytes], left: bool) -> Reply:
    timeout = to_timeout_ms(argv[-1], ctx.now_ms)
    names = argv[1:-1]
    name = first_of_type(ctx, names, b"list")
    if name is None:
        return Blocked(names, timeout, argv, NULL_ARRAY, b"list")
    items = peek_list(ctx, name)
    assert items is not None
    value = _pop_one(ctx, name, items, left)
    ctx.journal_argv([b"LPOP" if left else b"RPOP", name])
    return [name, value]


@command("BLPOP", arity=-3, flags=WRITE | BLOCKING, keys=[keys_to_end(RW, ACCESS, DELETE, last=-2)],
         since="2.0.0", syntax="key [key ...] timeout",
         summary="Remove and return the first value of the first list that has any, or wait for one",
         cost="O(k), k keys")  # fmt: skip
def blpop(ctx: Context, argv: list[bytes]) -> Reply:
    return _blocking_pop(ctx, argv, True)


@command("BRPOP", arity=-3, flags=WRITE | BLOCKING, keys=[keys_to_end(RW, ACCESS, DELETE, last=-2)],
         since="2.0.0", syntax="key [key ...] timeout",
         summary="Remove and return the last value of the first list that has any, or wait for one",
         cost="O(k), k keys")  # fmt: skip
def brpop(ctx: Context, argv: list[bytes]) -> Reply:
    return _blocking_pop(ctx, argv, False)
