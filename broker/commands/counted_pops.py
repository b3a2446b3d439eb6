"""What LMPOP and ZMPOP, and their blocking forms, have in common: `numkeys key [key ...] <end> [COUNT count]`."""

from broker.commands.args import Args
from broker.commands.context import Context
from broker.commands.ranges import above_zero
from broker.errors import syntax_error, wrong_type
from broker.keyspace.types import type_name


class PopOptions:
    """first, last: the words for the two ends, upper case. at_first: the request said the first one."""

    def __init__(self, argv: list[bytes], numkeys_at: int, first: bytes, last: bytes) -> None:
        numkeys = above_zero(argv[numkeys_at], "numkeys")
        where_at = numkeys_at + numkeys + 1
        if where_at >= len(argv):
            raise syntax_error()
        where = argv[where_at].upper()
        if where != first and where != last:
            raise syntax_error()
        self.keys: list[bytes] = argv[numkeys_at + 1 : where_at]
        self.at_first: bool = where == first
        self.count: int = 0
        args = Args(argv, where_at + 1)
        while args.more():
            if self.count or not args.flag(b"COUNT") or not args.more():
                raise syntax_error()
            self.count = above_zero(args.next(), "count")
        if not self.count:
            self.count = 1


def first_of_type(ctx: Context, names: list[bytes], kind: bytes) -> bytes | None:
    """The first of the keys that is there, which has to be of that type.

    So too for a request that waited, whichever key became ready: Redis from 7.2 on executes it again, as we do.
    """
    for name in names:
        value = ctx.db.peek(name)
        if value is None:
            continue
        if type_name(value) != kind:
            raise wrong_type()
        return name
    return None
