"""Groups and their consumers on the server: made when they are missing, removed when their worker is long dead.

Removing a consumer throws away what it has pending, so the rule is conservative: only names that this package gives
out, only after `consumer_expiry` without a sign of life (a live worker asks at least every `block` seconds), and only
with nothing pending.
"""

import os
import re
import secrets
import socket
import time
from typing import Any, cast

from coredis import Redis

from consumers.options import Options
from consumers.pending import PendingList, text

_OUR_NAME = re.compile(r".+-\d+-[0-9a-f]{8}")
_REPAIR_LIMIT = 1000  # entries that a consumer may receive between being seen with none and being removed


def consumer_name() -> str:
    """A name that no other process has or had: host, process id, eight random hex digits."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def now_ms() -> int:
    return int(time.time() * 1000)


async def remove_consumer(client: Redis[bytes], stream: str, group: str, victim: str, heir: str) -> None:
    """Remove `victim`, which was seen with nothing pending.

    It may have come back to life since, and read. So what it has is listed in the same EXEC that removes it, and put
    back into the pending list as `heir`'s (FORCE), from where claiming takes it up.
    """
    async with client.pipeline(transaction=True) as pipe:
        left = pipe.xpending(stream, group, "-", "+", _REPAIR_LIMIT, consumer=victim)
        pipe.xgroup_delconsumer(stream, group, victim)
    ids = [text(raw.identifier) for raw in cast(tuple[Any, ...], await left)]
    if ids:
        await client.xclaim(stream, group, heir, 0, ids, force=True, justid=True)


async def remove_expired(client: Redis[bytes], stream: str, options: Options, own: str) -> list[str]:
    """Remove consumers of dead workers by the rule above; their names."""
    removed = []
    for info in await client.xinfo_consumers(stream, options.group):
        facts = {text(key): value for key, value in info.items()}
        name = text(facts["name"])
        idle = float(cast(int, facts["idle"])) / 1000
        if name != own and facts["pending"] == 0 and idle > options.consumer_expiry and _OUR_NAME.fullmatch(name):
            await remove_consumer(client, stream, options.group, name, heir=own)
            removed.append(name)
    return removed


async def leave(client: Redis[bytes], stream: str, group: str, own: str) -> bool:
    """Remove this worker's own consumer if it has nothing pending. True where it was removed."""
    if await PendingList(client, stream, group).page(count=1, consumer=own):
        return False
    await client.xgroup_delconsumer(stream, group, own)
    return True
