"""LCS: what two strings have in common."""

from broker.commands.args import Args
from broker.commands.context import Context
from broker.commands.registry import ACCESS, READONLY, RO, Group, keys_to_end
from broker.datatypes.common_subsequence import Run, common_length, common_runs
from broker.errors import CommandError, syntax_error
from broker.protocol.replies import Map, Reply

command = Group("string").command


class _Options:
    def __init__(self) -> None:
        self.length = False
        self.indexes = False
        self.sizes = False  # WITHMATCHLEN
        self.least = 0


def _parse(argv: list[bytes]) -> _Options:
    options = _Options()
    args = Args(argv, 3)
    while args.more():
        if args.flag(b"IDX"):
            options.indexes = True
        elif args.flag(b"LEN"):
            options.length = True
        elif args.flag(b"WITHMATCHLEN"):
            options.sizes = True
        elif args.left >= 2 and args.flag(b"MINMATCHLEN"):
            options.least = args.next_int()
        else:
            raise syntax_error()
    if options.length and options.indexes:
        raise CommandError("ERR", "If you want both the length and indexes, please just use IDX.")
    return options


def _string(ctx: Context, name: bytes) -> bytes:
    value = ctx.db.read(name)
    if value is None:
        return b""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise CommandError("ERR", "The specified keys must contain string values")


@command("LCS", arity=-3, flags=READONLY, keys=[keys_to_end(RO, ACCESS, last=1)], since="7.0.0",
         syntax="key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
         summary="The longest common subsequence of two strings",
         cost="O(n * m), n and m the lengths of the strings; 30 steps of it at a time",
         differs="Takes a fiftieth of the memory; the limit is the same")  # fmt: skip
def lcs(ctx: Context, argv: list[bytes]) -> Reply:
    first = _string(ctx, argv[1])
    second = _string(ctx, argv[2])
    options = _parse(argv)
    if (len(first) + 1) * (len(second) + 1) * 4 > ctx.config.memory("proto-max-bulk-len"):
        # What the table of Redis would take; ours takes a fiftieth, and the limit keeps the time within bounds.
        raise CommandError("ERR", "Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
    if options.length:
        return common_length(first, second)
    runs = common_runs(first, second)
    if options.indexes:
        return _matches(runs, options)
    return b"".join([first[run.first : run.first + run.size] for run in reversed(runs)])


def _matches(runs: list[Run], options: _Options) -> Reply:
    found: list[Reply] = []
    total = 0
    for run in runs:
        total += run.size
        if run.size >= options.least:
            row: list[Reply] = [_range(run.first, run.size), _range(run.second, run.size)]
            if options.sizes:
                row.append(run.size)
            found.append(row)
    return Map([b"matches", found, b"len", total])


def _range(start: int, size: int) -> Reply:
    return [start, start + size - 1]
