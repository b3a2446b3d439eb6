"""SCAN, and what it shares with HSCAN, SSCAN and ZSCAN: the cursor and the options.

A walk returns at least once whatever is there from its first call to its last; see broker/datatypes/table.py.
"""

from typing import Final

from broker.commands.args import Args
from broker.commands.context import Context
from broker.commands.registry import READONLY, TOUCHES_ARBITRARY_KEYS, Group
from broker.errors import CommandError, syntax_error
from broker.keyspace.glob import matches
from broker.keyspace.types import type_name
from broker.protocol.replies import Reply

command = Group("generic").command
_CURSOR_LIMIT: Final = 1 << 64


class ScanOptions:
    """What follows the cursor. An empty pattern or type: any."""

    def __init__(self) -> None:
        self.count: int = 10
        self.pattern: bytes = b""
        self.filtered: bool = False  # the pattern is not empty and not `*`
        self.type: bytes = b""
        self.names_only: bool = False  # NOVALUES of HSCAN, NOSCORES of ZSCAN


def parse_cursor(text: bytes) -> int:
    """An unsigned 64-bit integer as strtoul reads it: signs are taken, and nothing at all is 0."""
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not digits.isdigit() and text:
        raise CommandError("ERR", "invalid cursor")
    cursor = int(digits or b"0")
    if cursor >= _CURSOR_LIMIT:
        raise CommandError("ERR", "invalid cursor")
    return _CURSOR_LIMIT - cursor if text[:1] == b"-" and cursor else cursor


def parse_options(argv: list[bytes], position: int, keyspace: bool, names_only: bytes = b"") -> ScanOptions:
    """keyspace: TYPE is allowed; names_only: the word, if any, that asks for names alone."""
    options = ScanOptions()
    args = Args(argv, position)
    while args.more():
        if args.left >= 2 and args.flag(b"COUNT"):
            options.count = args.next_int()
            if options.count < 1:
                raise syntax_error()
        elif args.left >= 2 and args.flag(b"MATCH"):
            options.pattern = args.next()
            options.filtered = options.pattern != b"*"
        elif keyspace and args.left >= 2 and args.flag(b"TYPE"):
            options.type = args.next().lower()
        elif args.flag(b"NOVALUES"):
            options.names_only = _for(b"NOVALUES", names_only, "HSCAN")
        elif args.flag(b"NOSCORES"):
            options.names_only = _for(b"NOSCORES", names_only, "ZSCAN")
        else:
            raise syntax_error()
    return options


def _for(word: bytes, allowed: bytes, command_name: str) -> bool:
    if word != allowed:
        raise CommandError("ERR", f"{word.decode()} option can only be used in {command_name}")
    return True


def select(names: list[bytes], options: ScanOptions) -> list[bytes]:
    """Those that match the pattern."""
    if not options.filtered:
        return names
    return [name for name in names if matches(options.pattern, name)]


def scan_reply(cursor: int, items: list[Reply]) -> Reply:
    return [b"%d" % cursor, items]


@command("SCAN", arity=-2, flags=READONLY | TOUCHES_ARBITRARY_KEYS, acl=("keyspace",), since="2.8.0",
         syntax="cursor [MATCH pattern] [COUNT count] [TYPE type]", summary="Walk over the keys, some at a time",
         cost="O(1) for each call, O(n) for a whole walk, n keys",
         differs="Other cursors; somewhat more than COUNT may come; an unknown TYPE finds nothing")  # fmt: skip
def scan(ctx: Context, argv: list[bytes]) -> Reply:
    cursor = parse_cursor(argv[1])
    options = parse_options(argv, 2, True)
    cursor, names = ctx.db.table.scan(cursor, options.count)
    found: list[Reply] = []
    for name in select(names, options):
        value = ctx.db.peek(name)  # None: its time has come
        if value is not None and (not options.type or type_name(value) == options.type):
            found.append(name)
    return scan_reply(cursor, found)
