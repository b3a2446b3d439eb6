"""How facts are gathered: generators that yield batches of requests, are sent the replies, and return facts.

A batch is one round trip, or one step of who executes the requests in the server's own process: a page of SCAN, a
pipeline for the keys of a page. Nothing is fetched whole: of a stream only what XINFO tells, of pending entries pages.
Replies are as RESP2 has them; an error reply stands in its place as an exception.
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any, Final, TypeVar

from broker.inspection.facts import (
    Attempt,
    Channel,
    Channels,
    Connected,
    Consumer,
    Group,
    Key,
    Pending,
    PendingOf,
    RetainedRule,
    Server,
    SlowRequest,
    Stream,
    attempts_of,
)

Reply = Any  # int, bytes, None, lists of them, or an exception: the shape depends on the request
Request = tuple[str | bytes | int, ...]
T = TypeVar("T")
Gathering = Generator[list[Request], list[Reply], T]

_SCAN_COUNT: Final = 500
_SIZE_OF: Final = {
    "list": "LLEN",
    "set": "SCARD",
    "zset": "ZCARD",
    "hash": "HLEN",
    "stream": "XLEN",
    "string": "STRLEN",
}
_DEAD_LETTER: Final = b"dead.stream"  # a field that only dead letters have


def gather(gathering: Gathering[T], execute: Callable[[list[Request]], list[Reply]]) -> T:
    """Run one to its end."""
    try:
        batch = next(gathering)
        while True:
            batch = gathering.send(execute(batch))
    except StopIteration as end:
        found: T = end.value
        return found


def pairs(flat: list[Reply]) -> dict[str, Reply]:
    """A map as RESP2 has it (name, value, name, value ...), names as text."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def ask(*words: str | bytes | int) -> Gathering[Reply]:
    """One request. Raises the error reply."""
    (reply,) = yield [words]
    if isinstance(reply, Exception):
        raise reply
    return reply


def _maybe(reply: Reply, kind: type[T]) -> T | None:
    """What a server may refuse to tell, or not know."""
    return reply if isinstance(reply, kind) else None


# Keys


def scan(pattern: str | bytes = "*", kind: str = "", most: int = 0) -> Gathering[list[bytes]]:
    """Names of keys, each once; at most so many, unless it is 0."""
    seen: dict[bytes, None] = {}  # SCAN may give a key twice
    cursor: str | bytes = "0"
    narrowed: Request = ("TYPE", kind) if kind else ()
    while True:
        cursor, page = yield from ask("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT, *narrowed)
        seen.update(dict.fromkeys(page))
        if most and len(seen) >= most:
            return list(seen)[:most]
        if cursor == b"0":
            return list(seen)


def _pages(keys: list[bytes]) -> Iterable[list[bytes]]:
    return (keys[at : at + _SCAN_COUNT] for at in range(0, len(keys), _SCAN_COUNT))


def keys(pattern: str | bytes = "*", kind: str = "", most: int = 0) -> Gathering[list[Key]]:
    found: list[Key] = []
    for page in _pages((yield from scan(pattern, kind, most))):
        found += yield from _keys_of(page)
    return found


def _keys_of(page: list[bytes]) -> Gathering[list[Key]]:
    questions = ("TYPE",), ("OBJECT", "ENCODING"), ("MEMORY", "USAGE"), ("PTTL",)
    replies = yield [(*question, key) for key in page for question in questions]
    rows = [replies[at : at + len(questions)] for at in range(0, len(replies), len(questions))]
    kinds = [reply.decode() if isinstance(reply, bytes) else "none" for reply, *_ in rows]
    sizes = iter((yield [(_SIZE_OF[kind], key) for kind, key in zip(kinds, page, strict=True) if kind in _SIZE_OF]))
    found = []
    for key, kind, (_, encoding, memory, ttl) in zip(page, kinds, rows, strict=True):
        size = _maybe(next(sizes), int) if kind in _SIZE_OF else None
        if kind == "none":
            continue  # gone meanwhile
        expires = ttl if isinstance(ttl, int) and ttl >= 0 else None
        shown = encoding.decode() if isinstance(encoding, bytes) else None
        found.append(Key(key, kind, shown, size, _maybe(memory, int), expires))
    return found


# Streams


def streams(pattern: str | bytes = "*", most: int = 0) -> Gathering[list[Stream]]:
    return (yield from streams_named((yield from scan(pattern, "stream", most))))


def streams_named(names: list[bytes]) -> Gathering[list[Stream]]:
    """Those of them that are there."""
    found: list[Stream] = []
    for page in _pages(names):
        replies = yield [request for key in page for request in (("XINFO", "STREAM", key), ("MEMORY", "USAGE", key))]
        for key, info, memory in zip(page, replies[::2], replies[1::2], strict=True):
            if not isinstance(info, Exception):  # deleted meanwhile
                found.append(_stream(key, pairs(info), _maybe(memory, int)))
    return found


def stream(key: str | bytes) -> Gathering[Stream]:
    """Raises the error reply when there is none."""
    info = yield from ask("XINFO", "STREAM", key)
    (memory,) = yield [("MEMORY", "USAGE", key)]
    return _stream(key.encode() if isinstance(key, str) else key, pairs(info), _maybe(memory, int))


def _stream(key: bytes, info: dict[str, Reply], memory: int | None) -> Stream:
    first, last = info["first-entry"], info["last-entry"]
    names = last[1][::2] if last and last[1] else []
    return Stream(
        key,
        info["length"],
        info["groups"],
        first[0].decode() if first else None,
        info["last-generated-id"].decode(),
        info.get("entries-added"),
        memory,
        _DEAD_LETTER in names,
    )


def groups(of: list[Stream]) -> Gathering[list[Group]]:
    """Of these streams, in their order."""
    found: list[Group] = []
    having = [each for each in of if each.groups]
    for at in range(0, len(having), _SCAN_COUNT):
        page = having[at : at + _SCAN_COUNT]
        replies = yield [("XINFO", "GROUPS", each.key) for each in page]
        for each, reply in zip(page, replies, strict=True):
            if not isinstance(reply, Exception):
                found += [_group(each, pairs(flat)) for flat in reply]
    return found


def _group(of: Stream, info: dict[str, Reply]) -> Group:
    policy = {name: _plain(value) for name, value in pairs(info.get("policy", [])).items()}
    return Group(
        of.key,
        info["name"],
        info["consumers"],
        info["pending"],
        info.get("lag"),
        info.get("entries-read"),
        info["last-delivered-id"].decode(),
        of.last_id,
        policy,
        info.get("in-flight"),
        info.get("returned"),
        info.get("dead"),
    )


def _plain(value: Reply) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def consumers(of: list[Group]) -> Gathering[list[Consumer]]:
    found: list[Consumer] = []
    having = [each for each in of if each.consumers]
    for at in range(0, len(having), _SCAN_COUNT):
        page = having[at : at + _SCAN_COUNT]
        replies = yield [("XINFO", "CONSUMERS", each.stream, each.name) for each in page]
        for each, reply in zip(page, replies, strict=True):
            if not isinstance(reply, Exception):
                found += [_consumer(each, pairs(flat)) for flat in reply]
    return found


def _consumer(of: Group, info: dict[str, Reply]) -> Consumer:
    inactive = info.get("inactive", -1)
    return Consumer(of.stream, of.name, info["name"], info["pending"], info["idle"], None if inactive < 0 else inactive)


def pending_of(of: list[tuple[bytes, bytes]]) -> Gathering[list[PendingOf | None]]:
    """What (stream, group) pairs have pending; None where there is no such group any more."""
    found: list[PendingOf | None] = []
    for at in range(0, len(of), _SCAN_COUNT):
        replies = yield [("XPENDING", key, group) for key, group in of[at : at + _SCAN_COUNT]]
        found += [None if isinstance(reply, Exception) else _pending_of(reply) for reply in replies]
    return found


def _pending_of(reply: list[Reply]) -> PendingOf:
    total, first, last, holders = reply
    held = {name: int(count) for name, count in holders or []}
    return PendingOf(total, first.decode() if first else None, last.decode() if last else None, held)


def pending(
    key: str | bytes, group: str | bytes, most: int, idle_ms: int = 0, consumer: str | bytes | None = None,
    after: str = "-", until: str = "+",
) -> Gathering[list[Pending]]:  # fmt: skip
    """The oldest entries that are pending, in pages."""
    found: list[Pending] = []
    idle: Request = ("IDLE", idle_ms) if idle_ms else ()
    holder: Request = () if consumer is None else (consumer,)
    while len(found) < most:
        count = min(most - len(found), _SCAN_COUNT)
        page = yield from ask("XPENDING", key, group, *idle, after, until, count, *holder)
        found += [Pending(entry_id.decode(), name, waited, times) for entry_id, name, waited, times in page]
        if len(page) < count:
            break
        after = f"({found[-1].id}"
    return found


def failed_attempts(key: bytes, group: bytes, entry_id: str) -> Gathering[list[Attempt]]:
    """What the worker framework has noted of an entry that is to be tried again, the oldest first."""
    tagged = key if b"{" in key else b"{%b}" % key
    (found,) = yield [("HGET", b"%b:attempts:%b" % (tagged, group), entry_id)]
    return attempts_of(found) if isinstance(found, bytes) else []


# The server


def server(section: str = "default") -> Gathering[Server]:
    text = yield from ask("INFO", section)
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
    return Server({name: value for name, _, value in lines})


def clock() -> Gathering[int]:
    """The server's: ids were made from it, and ages are to be counted by it."""
    seconds, micros = yield from ask("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def slow_requests(most: int) -> Gathering[list[SlowRequest]]:
    found = yield from ask("SLOWLOG", "GET", most)
    return [SlowRequest(*each[:4], *(each[4:6] or (b"", b""))) for each in found]


def clients() -> Gathering[list[Connected]]:
    text = yield from ask("CLIENT", "LIST")
    return [_client(line) for line in text.decode("utf-8", "backslashreplace").splitlines()]


def _client(line: str) -> Connected:
    facts = {name: value for name, _, value in (word.partition("=") for word in line.split(" "))}

    def number(name: str) -> int:
        return int(facts.get(name, "0"))

    memory = facts.get("tot-mem")
    return Connected(
        number("id"),
        facts.get("addr", ""),
        facts.get("name", ""),
        number("age"),
        number("idle"),
        number("db"),
        facts.get("cmd", ""),
        number("sub") + number("psub") + number("ssub"),
        "b" in facts.get("flags", ""),
        number("qbuf"),
        number("omem"),
        None if memory is None else int(memory),
        f"{facts.get('lib-name', '')} {facts.get('lib-ver', '')}".strip(),
    )


def channels(pattern: str | bytes = "*") -> Gathering[Channels]:
    """Those with subscribers, and what is retained for those without."""
    plain, shard, patterns, retained = yield [
        ("PUBSUB", "CHANNELS", pattern),
        ("PUBSUB", "SHARDCHANNELS", pattern),
        ("PUBSUB", "NUMPAT"),
        ("CHANNEL", "LIST"),
    ]
    if isinstance(plain, Exception):
        raise plain
    found: list[Channel] = []
    named = [("channel", "NUMSUB", plain), ("shard", "SHARDNUMSUB", [] if isinstance(shard, Exception) else shard)]
    for kind, question, names in named:
        for page in _pages(sorted(names)):
            flat = yield from ask("PUBSUB", question, *page)
            found += [Channel(name, kind, count) for name, count in zip(flat[::2], flat[1::2], strict=True)]
    return Channels(found, patterns, _rules(retained))


def _rules(reply: Reply) -> list[RetainedRule]:
    """None on servers that have no such command."""
    if isinstance(reply, Exception):
        return []
    rules = [{name: _plain(value) for name, value in pairs(flat).items()} for flat in reply]
    return [RetainedRule(str(facts.pop("pattern")).encode(), facts) for facts in rules]
