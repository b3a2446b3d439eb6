"""What to journal when a command of ours broke off in the middle: how things stand, not what was asked.

Replaying the request could break off again, or elsewhere, and keep the server from starting.
"""

from broker.commands.context import Context
from broker.commands.registry import Command
from broker.rdb.limits import format_of
from broker.rdb.payload import payload_of


def journal_present_state(ctx: Context, command: Command, argv: list[bytes]) -> None:
    """Of every key that the request names. O(size of their values). May raise what the values' classes do."""
    ctx.decisions = []
    for place in command.key_positions(argv):
        name = argv[place]
        value = ctx.db.table.get(name)
        if value is None:
            ctx.journal(b"DEL", name)
        else:
            when = ctx.db.expiry(name)
            payload = payload_of(value, format_of(ctx.config))
            ctx.journal(b"RESTORE", name, b"%d" % (when or 0), payload, b"REPLACE", b"ABSTTL")
        ctx.keyspace.dirty += 1
        ctx.keyspace.watches.touch(ctx.db.index, name)
