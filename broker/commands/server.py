"""The server as a whole: INFO, CONFIG, SLOWLOG, MEMORY, LATENCY, TIME, ROLE, SHUTDOWN, LOLWUT.

DEBUG is in debug.py, COMMAND in introspection.py, MODULE in modules.py.
"""

from typing import Final

from broker.commands.args import to_int
from broker.commands.blocked import in_steps
from broker.commands.connection import REDACTED
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.registry import (
    ADMIN,
    ALLOW_BUSY,
    FAST,
    LOADING,
    NO_MULTI,
    NOSCRIPT,
    READONLY,
    RO,
    SENTINEL,
    STALE,
    Command,
    Group,
    key,
)
from broker.commands.session import Session
from broker.datatypes.trash import TRASH
from broker.errors import CommandError, syntax_error
from broker.keyspace.key_sizes import KeySizes
from broker.keyspace.memory import EXPIRY_BYTES, KEY_BYTES, key_bytes
from broker.protocol.numbers import parse_int
from broker.protocol.replies import NOTHING, OK, Double, Map, Reply, Verbatim
from broker.version import COMPATIBLE_WITH, VERSION

command = Group("server").command
_ADMIN: Final = ADMIN | NOSCRIPT | LOADING | STALE
_HELP: Final = LOADING | STALE


# -- facts


_COUNTING: Final = frozenset(["keysizes", "all", "everything"])  # sections of INFO that need all keys to be counted
_COUNTED_AT_ONCE: Final = 4000  # keys, in a turn: about a millisecond
_FEW_KEYS: Final = 4000  # likewise


@command("INFO", arity=-1, flags=LOADING | STALE | SENTINEL, acl=("DANGEROUS",), since="1.0.0",
         syntax="[section [section ...]]", summary="Facts and figures of the server",
         cost="O(1), O(n) for keysizes, in steps",
         differs="keysizes is counted when it is asked for")  # fmt: skip
def info(ctx: Context, argv: list[bytes]) -> Reply:
    sections = [name.decode("utf-8", "replace").lower() for name in argv[1:]]
    if _COUNTING.isdisjoint(sections):
        if not sections or "default" in sections:
            _count_few(ctx)
        return Verbatim(ctx.control.info(sections))
    return in_steps(_Counting(ctx, sections).step, writes=False)


class _Counting:
    """INFO with a section for which all keys are counted."""

    def __init__(self, ctx: Context, sections: list[str]) -> None:
        self._ctx: Final = ctx
        self._sections: Final = sections
        self._sizes: Final = KeySizes(ctx.keyspace.databases)

    def step(self) -> Reply:
        if not self._sizes.walk(_COUNTED_AT_ONCE):
            return NOTHING
        self._ctx.shared.key_sizes = self._sizes.fields()
        return Verbatim(self._ctx.control.info(self._sections))


def _count_few(ctx: Context) -> None:
    """For INFO without a name, which is asked often. Of many keys it shows what was counted last."""
    keys = sum([db.size() for db in ctx.keyspace.databases])
    if keys <= _FEW_KEYS:
        sizes = KeySizes(ctx.keyspace.databases)
        while not sizes.walk(_FEW_KEYS):
            pass
        ctx.shared.key_sizes = sizes.fields()


def _info_fields(ctx: Context, section: str) -> dict[bytes, bytes]:
    """One section of INFO as {field: value}."""
    fields: dict[bytes, bytes] = {}
    for line in ctx.control.info([section]).split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            fields[name] = value
    return fields


@command("TIME", arity=1, flags=LOADING | STALE | FAST, since="2.6.0", summary="The server's clock", cost="O(1)")
def time_(ctx: Context, argv: list[bytes]) -> Reply:
    shared = ctx.shared
    microseconds = int(shared.clock.wall() * 1_000_000)
    if ctx.session.in_exec:  # where time stands still
        if shared.unit_us == 0:
            shared.unit_us = microseconds
        microseconds = int(shared.unit_us)
    reply: list[Reply] = [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]
    return reply


@command("ROLE", arity=1, flags=NOSCRIPT | LOADING | STALE | FAST | SENTINEL, acl=("ADMIN", "DANGEROUS"),
         since="2.8.12", summary="Primary or replica, and what belongs to it", cost="O(1)")  # fmt: skip
def role(ctx: Context, argv: list[bytes]) -> Reply:
    replicas: list[Reply] = []
    reply: list[Reply] = [b"master", 0, replicas]
    return reply


_WATER: Final = (b"~", b"~", b"-", b".", b" ")
_WHEEL: Final = (
    b"     _|_     ",
    b"   .' | '.   ",
    b"  /   |   \\  ",
    b" |--- o ---| ",
    b"  \\   |   /  ",
    b"   '._|_.'   ",
)


@command("LOLWUT", arity=-1, flags=READONLY | FAST, since="5.0.0", syntax="[VERSION version]",
         summary="A drawing, and the version", cost="O(1)",
         differs="Draws nothing")  # fmt: skip
def lolwut(ctx: Context, argv: list[bytes]) -> Reply:
    """A stream that runs over the wheel of a mill, never twice the same."""
    if len(argv) >= 3 and argv[1].upper() == b"VERSION":
        to_int(argv[2])
    lines: list[bytes] = []
    for row in range(len(_WHEEL)):
        stream = b""
        for _ in range(24):
            stream += _WATER[min(len(_WATER) - 1, int(ctx.keyspace.rng.random() * 2) + abs(row - 3))]
        lines.append(stream + _WHEEL[row] + stream[::-1])
    lines.append(f"\nRedis ver. {COMPATIBLE_WITH} (Millstream {VERSION})\n".encode())
    return Verbatim(b"\n".join(lines))


# -- CONFIG


def is_local(session: Session) -> bool:
    """Whether the client is on this host. One without an address is in this process."""
    address = session.address
    return not address or address.startswith((b"127.", b"[::1]", b"::1", b"/"))


_SECRETS: Final = frozenset(
    [b"requirepass", b"masterauth", b"primaryauth", b"masteruser", b"primaryuser", b"tls-key-file-pass"]
    + [b"tls-client-key-file-pass"]
)


@command("CONFIG|GET", arity=-3, flags=_ADMIN, since="2.0.0", syntax="parameter [parameter ...]",
         summary="Settings whose names match", cost="O(n m), n settings, m patterns")  # fmt: skip
def config_get(ctx: Context, argv: list[bytes]) -> Reply:
    flat: list[Reply] = []
    for name, value in ctx.config.matching(argv[2:]).items():
        flat.append(name)
        flat.append(value)
    return Map(flat)


@command("CONFIG|SET", arity=-4, flags=_ADMIN, since="2.0.0", syntax="parameter value [parameter value ...]",
         summary="Change settings, all of them or none", cost="O(n), n settings given",
         differs="`unixsocket`, `http-port` and `http-host` can't be changed")  # fmt: skip
def config_set(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) % 2:
        raise syntax_error()
    pairs = [(argv[i], argv[i + 1]) for i in range(2, len(argv), 2)]
    for i in range(2, len(argv), 2):
        if argv[i].lower() in _SECRETS:
            argv[i + 1] = REDACTED
    ctx.config.set_many(pairs, is_local(ctx.session))
    return OK


@command("CONFIG|REWRITE", arity=2, flags=_ADMIN, since="2.8.0", summary="Write the settings into their file",
         cost="O(n), n settings")  # fmt: skip
def config_rewrite(ctx: Context, argv: list[bytes]) -> Reply:
    ctx.config.rewrite()
    return OK


@command("CONFIG|RESETSTAT", arity=2, flags=_ADMIN, since="2.0.0", summary="Set the counters of INFO to zero",
         cost="O(n), n commands")  # fmt: skip
def config_resetstat(ctx: Context, argv: list[bytes]) -> Reply:
    for each in ctx.shared.commands.values():
        _forget_statistics(each)
        for sub in each.subcommands.values():
            _forget_statistics(sub)
    ctx.shared.errors.clear()
    ctx.keyspace.hits = 0
    ctx.keyspace.misses = 0
    ctx.keyspace.expired_keys = 0
    ctx.keyspace.expired_keys_active = 0
    ctx.keyspace.expired_subkeys = 0
    ctx.keyspace.expired_subkeys_active = 0
    ctx.shared.slow_requests.forget_statistics()
    TRASH.freed = 0
    ctx.control.reset_statistics()
    return OK


def _forget_statistics(each: Command) -> None:
    each.calls = 0
    each.seconds = 0.0
    each.rejected = 0
    each.failed = 0
    each.times = []


@command("CONFIG|HELP", arity=2, flags=_HELP, since="5.0.0", summary="What CONFIG can do", cost="O(1)")
def config_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"CONFIG")


# -- MEMORY


@command("MEMORY|USAGE", arity=-3, flags=READONLY, keys=[key(RO, at=2)], since="4.0.0", syntax="key [SAMPLES count]",
         summary="Bytes that a key and its value take, roughly",
         cost="O(1) for strings, O(n) at most otherwise, n the parts looked at",
         differs="An estimate, of what it takes here")  # fmt: skip
def memory_usage(ctx: Context, argv: list[bytes]) -> Reply:
    for i in range(3, len(argv), 2):
        if argv[i].upper() != b"SAMPLES" or i + 1 >= len(argv):
            raise syntax_error()
        if to_int(argv[i + 1]) < 0:  # how many are looked at is our own choice
            raise syntax_error()
    value = ctx.db.peek(argv[2])
    if value is None:
        return None
    return key_bytes(ctx.db, argv[2], value)


# MEMORY STATS: (field, field of INFO memory that has the figure)
_MEMORY_FIELDS: Final = (
    (b"peak.allocated", b"used_memory_peak"),
    (b"total.allocated", b"used_memory"),
    (b"startup.allocated", b"used_memory_startup"),
    (b"replication.backlog", b"mem_replication_backlog"),
    (b"clients.slaves", b"mem_clients_slaves"),
    (b"clients.normal", b"mem_clients_normal"),
    (b"cluster.links", b"mem_cluster_links"),
    (b"aof.buffer", b"mem_aof_buffer"),
    (b"lua.caches", b"used_memory_scripts_eval"),
    (b"functions.caches", b"used_memory_functions"),
)
_ALLOCATOR_FIELDS: Final = (
    (b"allocator.allocated", b"allocator_allocated"),
    (b"allocator.active", b"allocator_active"),
    (b"allocator.resident", b"allocator_resident"),
    (b"allocator-fragmentation.bytes", b"allocator_frag_bytes"),
    (b"allocator-rss.bytes", b"allocator_rss_bytes"),
    (b"rss-overhead.bytes", b"rss_overhead_bytes"),
    (b"fragmentation.bytes", b"mem_fragmentation_bytes"),
)
_RATIO_FIELDS: Final = (
    (b"allocator-fragmentation.ratio", b"allocator_frag_ratio"),
    (b"allocator-rss.ratio", b"allocator_rss_ratio"),
    (b"rss-overhead.ratio", b"rss_overhead_ratio"),
    (b"fragmentation", b"mem_fragmentation_ratio"),
)


@command("MEMORY|STATS", arity=2, since="4.0.0", summary="Where the memory is", cost="O(n), n databases")
def memory_stats(ctx: Context, argv: list[bytes]) -> Reply:
    """What belongs to an allocator of Redis has no equal here: those figures are of the whole process."""
    fields = _info_fields(ctx, "memory")
    flat: list[Reply] = []
    for name, source in _MEMORY_FIELDS:
        flat.extend([name, _figure(fields, source)])
    keys = 0
    tables = 0
    for db in ctx.keyspace.databases:
        if db.size():
            keys += db.size()
            main, expires = db.size() * KEY_BYTES, len(db.expires) * EXPIRY_BYTES
            tables += main + expires
            flat.extend(
                [b"db.%d" % db.index, Map([b"overhead.hashtable.main", main, b"overhead.hashtable.expires", expires])]
            )
    used, start = _figure(fields, b"used_memory"), _figure(fields, b"used_memory_startup")
    dataset = _figure(fields, b"used_memory_dataset")
    flat.extend(
        [b"overhead.db.hashtable.lut", tables, b"overhead.db.hashtable.rehashing", 0, b"db.dict.rehashing.count", 0]
    )
    flat.extend([b"overhead.total", _figure(fields, b"used_memory_overhead"), b"keys.count", keys])
    flat.extend([b"keys.bytes-per-key", max(0, used - start) // keys if keys else 0, b"dataset.bytes", dataset])
    flat.extend([b"dataset.percentage", Double(100.0 * dataset / max(1, used - start))])
    flat.extend([b"peak.percentage", Double(100.0 * used / max(1, _figure(fields, b"used_memory_peak")))])
    for name, source in _ALLOCATOR_FIELDS:
        flat.extend([name, _figure(fields, source)])
    for name, source in _RATIO_FIELDS:
        flat.extend([name, Double(float(fields.get(source, b"0")))])
    return Map(flat)


def _figure(fields: dict[bytes, bytes], name: bytes) -> int:
    return parse_int(fields.get(name, b"")) or 0


@command("MEMORY|DOCTOR", arity=2, since="4.0.0", summary="What is wrong with the memory, if anything", cost="O(1)",
         differs="Other words")  # fmt: skip
def memory_doctor(ctx: Context, argv: list[bytes]) -> Reply:
    fields = _info_fields(ctx, "memory")
    used = parse_int(fields.get(b"used_memory", b"")) or 0
    peak = parse_int(fields.get(b"used_memory_peak", b"")) or 0
    if used and peak > used * 3 // 2:
        return Verbatim(
            b"Memory use was at %d bytes once and is at %d now: the process may keep what it does not need any more, "
            b"until it is restarted." % (peak, used)
        )
    return Verbatim(b"No memory problem was found.")


@command("MEMORY|MALLOC-STATS", arity=2, since="4.0.0", summary="Figures of the allocator: there are none", cost="O(1)",
         differs="There are none")  # fmt: skip
def memory_malloc_stats(ctx: Context, argv: list[bytes]) -> Reply:
    return b"Stats not supported for the current allocator"  # Redis without jemalloc says so


@command("MEMORY|PURGE", arity=2, since="4.0.0", summary="Nothing: the allocator gives memory back by itself",
         cost="O(1)",
         differs="Does nothing")  # fmt: skip
def memory_purge(ctx: Context, argv: list[bytes]) -> Reply:
    return OK  # as Redis does without jemalloc


@command("MEMORY|HELP", arity=2, flags=_HELP, since="4.0.0", summary="What MEMORY can do", cost="O(1)")
def memory_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"MEMORY")


# -- the end


@command("SHUTDOWN", arity=-1, flags=_ADMIN | NO_MULTI | SENTINEL | ALLOW_BUSY, since="1.0.0",
         syntax="[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]", summary="End the server", cost="that of saving")  # fmt: skip
def shutdown(ctx: Context, argv: list[bytes]) -> Reply:
    words = {word.upper() for word in argv[1:]}
    if not words <= {b"NOSAVE", b"SAVE", b"NOW", b"FORCE", b"ABORT"}:
        raise syntax_error()
    if (b"ABORT" in words and len(words) > 1) or (b"SAVE" in words and b"NOSAVE" in words):
        raise syntax_error()
    if b"ABORT" in words:
        if not ctx.control.abort_shutdown():
            raise CommandError("ERR", "No shutdown in progress.")
        return OK
    save: bool | None = None
    if b"SAVE" in words or b"NOSAVE" in words:
        save = b"SAVE" in words
    ctx.control.shutdown(ctx.session, save, b"NOW" in words, b"FORCE" in words)
    return NOTHING  # the end of the connection is the answer
