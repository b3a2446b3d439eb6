"""Moving values from one list to another, and waiting for them.

A blocking command that finds something does at once what its plain sibling does, and is journaled as that sibling.
"""

from typing import Final

from broker.commands.args import Args, to_timeout_ms
from broker.commands.blocked import Blocked
from broker.commands.context import Context
from broker.commands.lists import peek_list
from broker.commands.ranges import above_zero
from broker.commands.registry import ACCESS, BLOCKING, DELETE, DENYOOM, INSERT, RW, WRITE, Group, key
from broker.datatypes.lists import ListValue
from broker.errors import syntax_error
from broker.keyspace.events import LIST
from broker.protocol.replies import NULL_ARRAY, Reply

command = Group("list").command


def is_left(text: bytes) -> bool:
    """LEFT or RIGHT."""
    word = text.upper()
    if word == b"LEFT":
        return True
    if word == b"RIGHT":
        return False
    raise syntax_error()


# -- moving from one list to another


def _move(ctx: Context, source: bytes, target: bytes, from_left: bool, to_left: bool) -> bytes | None:
    """The value that was moved; None when there was none."""
    items = peek_list(ctx, source)
    if items is None:
        return None
    others = peek_list(ctx, target)
    value = items.pop_left() if from_left else items.pop_right()
    if others is None:
        others = ListValue()
        ctx.db.put(target, others)
    if to_left:
        others.push_left(value)
    else:
        others.push_right(value)
    ctx.changed(target, b"lpush" if to_left else b"rpush", LIST)
    ctx.changed_too(source, b"lpop" if from_left else b"rpop", LIST)
    if items.size == 0:
        ctx.dropped(source)
    return value


_MOVE_KEYS: Final = [key(RW, ACCESS, DELETE), key(RW, INSERT, at=2)]


@command("LMOVE", arity=5, flags=WRITE | DENYOOM, keys=_MOVE_KEYS, since="6.2.0",
         syntax="source destination <LEFT | RIGHT> <LEFT | RIGHT>",
         summary="Move a value from an end of one list to an end of another", cost="O(1)")  # fmt: skip
def lmove(ctx: Context, argv: list[bytes]) -> Reply:
    from_left = is_left(argv[3])
    to_left = is_left(argv[4])
    return _move(ctx, argv[1], argv[2], from_left, to_left)


@command("RPOPLPUSH", arity=3, flags=WRITE | DENYOOM, keys=_MOVE_KEYS, since="1.2.0",
         syntax="source destination", summary="Move the last value of a list to the beginning of another",
         cost="O(1)")  # fmt: skip
def rpoplpush(ctx: Context, argv: list[bytes]) -> Reply:
    return _move(ctx, argv[1], argv[2], False, True)


@command("BLMOVE", arity=6, flags=WRITE | DENYOOM | BLOCKING, keys=_MOVE_KEYS, since="6.2.0",
         syntax="source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
         summary="Move a value from an end of one list to an end of another, or wait for one",
         cost="O(1)")  # fmt: skip
def blmove(ctx: Context, argv: list[bytes]) -> Reply:
    from_left = is_left(argv[3])
    to_left = is_left(argv[4])
    timeout = to_timeout_ms(argv[5], ctx.now_ms)
    value = _move(ctx, argv[1], argv[2], from_left, to_left)
    if value is None:
        return Blocked([argv[1]], timeout, argv, NULL_ARRAY, b"list", null_in_multi=True)
    ctx.journal_argv([b"LMOVE", argv[1], argv[2], argv[3], argv[4]])
    return value


@command("BRPOPLPUSH", arity=4, flags=WRITE | DENYOOM | BLOCKING, keys=_MOVE_KEYS, since="2.2.0",
         syntax="source destination timeout",
         summary="Move the last value of a list to the beginning of another, or wait for one",
         cost="O(1)")  # fmt: skip
def brpoplpush(ctx: Context, argv: list[bytes]) -> Reply:
    timeout = to_timeout_ms(argv[3], ctx.now_ms)
    value = _move(ctx, argv[1], argv[2], False, True)
    if value is None:
        return Blocked([argv[1]], timeout, argv, NULL_ARRAY, b"list", null_in_multi=True)
    ctx.journal_argv([b"RPOPLPUSH", argv[1], argv[2]])
    return value


# -- moving several values


class _ManyOptions:
    """`<COUNT count | EXACTLY count> <OBO | BULK>`, both words or none, from argv[at] on."""

    def __init__(self, argv: list[bytes], at: int) -> None:
        self.count: int = 1
        self.exactly: bool = False
        self.bulk: bool = True  # the order of one value is the same either way
        if at == len(argv):
            return
        args = Args(argv, at)
        self.exactly = args.flag(b"EXACTLY")
        if not self.exactly and not args.flag(b"COUNT"):
            raise syntax_error()
        if args.left != 2:
            raise syntax_error()
        count = args.next()
        self.bulk = args.flag(b"BULK")
        if not self.bulk and not args.flag(b"OBO"):
            raise syntax_error()
        self.count = above_zero(count, "count")


def _move_many(ctx: Context, argv: list[bytes], options: _ManyOptions) -> list[bytes] | None:
    """The values that were moved, in the order in which they stand in the destination; None when there are too few."""
    source = argv[1]
    target = argv[2]
    from_left = is_left(argv[3])
    to_left = is_left(argv[4])
    items = peek_list(ctx, source)
    if items is None:
        return None
    others = peek_list(ctx, target)
    if options.exactly and items.size < options.count:
        return None
    values = items.take_left(options.count) if from_left else items.take_right(options.count)
    # BULK keeps the order that they had in the source; one by one, what is pushed in front turns round.
    if not from_left if options.bulk else to_left:
        values.reverse()
    if others is None:
        others = ListValue()
        ctx.db.put(target, others)
    _push_block(others, values, to_left)
    ctx.changed(target, b"lpush" if to_left else b"rpush", LIST)
    ctx.changed_too(source, b"lpop" if from_left else b"rpop", LIST)
    if items.size == 0:
        ctx.dropped(source)
    return values


def _push_block(items: ListValue, values: list[bytes], left: bool) -> None:
    """Put `values` before (or behind) what is there, in their order."""
    if left:
        for i in range(len(values) - 1, -1, -1):
            items.push_left(values[i])
    else:
        for value in values:
            items.push_right(value)


@command("LMOVEM", arity=-5, flags=WRITE | DENYOOM, keys=_MOVE_KEYS, since="8.10.0",
         syntax="source destination <LEFT | RIGHT> <LEFT | RIGHT> [<COUNT count | EXACTLY exactly> <OBO | BULK>]",
         summary="Move several values from an end of one list to an end of another",
         cost="O(n), n values moved",
         differs="Follows the documentation alone: no server that has it was at hand")  # fmt: skip
def lmovem(ctx: Context, argv: list[bytes]) -> Reply:
    options = _ManyOptions(argv, 5)
    values = _move_many(ctx, argv, options)
    if values is not None:
        return values
    return NULL_ARRAY if options.exactly else []


@command("BLMOVEM", arity=-6, flags=WRITE | DENYOOM | BLOCKING, keys=_MOVE_KEYS, since="8.10.0",
         syntax="source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout "
                "[<COUNT count | EXACTLY exactly> <OBO | BULK>]",
         summary="Move several values from an end of one list to an end of another, or wait for them",
         cost="O(n), n values moved",
         differs="Follows the documentation alone: no server that has it was at hand")  # fmt: skip
def blmovem(ctx: Context, argv: list[bytes]) -> Reply:
    options = _ManyOptions(argv, 6)
    timeout = to_timeout_ms(argv[5], ctx.now_ms)
    values = _move_many(ctx, argv, options)
    if values is None:
        return Blocked([argv[1]], timeout, argv, NULL_ARRAY, b"list")
    order = b"BULK" if options.bulk else b"OBO"
    ctx.journal_argv([b"LMOVEM"] + argv[1:5] + [b"EXACTLY", b"%d" % len(values), order])
    return values
