"""What may differ between two servers that both answer rightly, taken out of the replies before they are compared."""

import contextlib
from typing import Any

from support.wire import Error

# Replies whose order means nothing.
_UNORDERED = frozenset([b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF", b"KEYS", b"HKEYS", b"HVALS"])
_PAIRS = frozenset([b"HGETALL"])
_SCANS = frozenset([b"SCAN", b"SSCAN", b"HSCAN", b"ZSCAN"])
_CHOSEN_AT_RANDOM = frozenset([b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER", b"RANDOMKEY", b"SPOP"])
_TIMES = frozenset([b"TTL", b"PTTL"])
_TOLERANCE_MS = 3000
_UNBALANCED = Error("ERR Unbalanced ")


def normalised(argv: list[bytes], reply: Any) -> Any:
    """The reply to `argv` in a form that two right servers agree on."""
    name = argv[0].upper()
    if isinstance(reply, Error):
        return _UNBALANCED if reply.startswith(_UNBALANCED) else reply  # 7.2 words the rest anew
    if name in _UNORDERED and isinstance(reply, list):
        return sorted(reply)
    if name in _PAIRS and isinstance(reply, list):
        return sorted(zip(reply[::2], reply[1::2], strict=True))
    if name == b"CONFIG" and isinstance(reply, list):
        return sorted(zip(reply[::2], reply[1::2], strict=True))
    if name in _SCANS and isinstance(reply, list):
        items = reply[1]
        if name in (b"HSCAN", b"ZSCAN") and b"NOVALUES" not in argv:
            items = list(zip(items[::2], items[1::2], strict=True))
        return [reply[0], sorted(items)]
    if name in _CHOSEN_AT_RANDOM:
        return len(reply) if isinstance(reply, list) else reply is None
    if name in _TIMES and isinstance(reply, int) and reply > 0:
        return reply // (_TOLERANCE_MS * 10)
    if name in (b"HTTL", b"HPTTL") and isinstance(reply, list):
        return [left // (_TOLERANCE_MS * 10) if left > 0 else left for left in reply]
    if name in (b"HEXPIRETIME", b"HPEXPIRETIME") and isinstance(reply, list):
        return [when if when < 0 or when > 33_000_000_000 else when > 0 for when in reply]
    if name in (b"EXPIRETIME", b"PEXPIRETIME") and isinstance(reply, int) and reply < 33_000_000_000:
        return reply > 0
    if name.startswith(b"GEO"):
        return _coordinates(reply)
    if name == b"XPENDING" and isinstance(reply, list) and len(argv) > 3:
        return [[entry[0], entry[1], entry[3]] for entry in reply]  # without the idle time
    if name == b"XINFO":
        return _without_times(reply)
    if name == b"XGROUP" and len(argv) > 1 and argv[1].upper() == b"CREATECONSUMER":
        return isinstance(reply, int)  # 7.0 does not create a consumer that finds nothing to read, 7.2 and we do
    return reply


def _coordinates(reply: Any) -> Any:
    """7.0 shows them as long doubles, with 17 decimals."""
    if isinstance(reply, list):
        if len(reply) == 2 and all(isinstance(part, bytes | float) for part in reply):
            with contextlib.suppress(ValueError):
                return [round(float(part), 12) for part in reply]
        return [_coordinates(part) for part in reply]
    return reply


_TIME_FIELDS = frozenset([b"seen-time", b"active-time", b"idle", b"inactive", b"radix-tree-keys", b"radix-tree-nodes"])
_TIME_FIELDS |= {b"nacked-count"}  # came with Redis 8.8
# What 7.0 does not have; entries-read, which later versions tell in more cases; and lag, which is null there when it
# would have to count (ours always counts: a model test of streams holds it).
_NEWER_FIELDS = frozenset([b"nacked-count", b"entries-read", b"lag"])
_LEFT_OUT = _TIME_FIELDS | _NEWER_FIELDS


def _without_times(reply: Any) -> Any:
    """XINFO's maps (flat lists in RESP2) without clocks and without the sizes of Redis's own trees."""
    if isinstance(reply, dict):
        return {key: _pel(key, value) for key, value in reply.items() if key not in _LEFT_OUT}
    if isinstance(reply, list):
        if reply and len(reply) % 2 == 0 and isinstance(reply[0], bytes) and reply[0] in _XINFO_FIRST:
            pairs = zip(reply[::2], reply[1::2], strict=True)
            return {key: _pel(key, value) for key, value in pairs if key not in _LEFT_OUT}
        return [_without_times(item) for item in reply]
    return reply


_XINFO_FIRST = frozenset([b"length", b"name"])


def _pel(key: bytes, value: Any) -> Any:
    """Pending entries without their delivery times, and only consumers that have some (see XGROUP above)."""
    if key == b"consumers":
        consumers = [_without_times(item) for item in value] if isinstance(value, list) else []
        return [item for item in consumers if item[b"pel-count"]]
    if key in (b"pel", b"pending") and isinstance(value, list):
        return [[entry[0], *([entry[1]] if len(entry) == 4 else []), entry[-1]] for entry in value]
    return _without_times(value)


def describe(ask: Any) -> dict[tuple[int, bytes], Any]:
    """Everything that a server holds, by database and key: type, content, and whether it expires.

    ask: sends one request, gives its reply.
    """
    found: dict[tuple[int, bytes], Any] = {}
    for database in (2, 1, 0):
        ask(b"SELECT", b"%d" % database)
        for name in ask(b"KEYS", b"*"):
            kind = ask(b"TYPE", name)
            readers = [[part or name for part in reader] for reader in _READERS[str(kind)]]
            content = [normalised(argv, ask(*argv)) for argv in readers]
            found[database, name] = (kind, content, ask(b"PTTL", name) > 0)
    return found


# An empty part stands for the key.
_READERS: dict[str, list[list[bytes]]] = {
    "string": [[b"GET", b""]],
    "list": [[b"LRANGE", b"", b"0", b"-1"]],
    "hash": [[b"HGETALL", b""]],
    "set": [[b"SMEMBERS", b""]],
    "zset": [[b"ZRANGE", b"", b"0", b"-1", b"WITHSCORES"]],
    "stream": [[b"XRANGE", b"", b"-", b"+"], [b"XINFO", b"STREAM", b"", b"FULL"]],
}
