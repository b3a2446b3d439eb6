"""COMMAND: what the registry knows, as clients and tools ask for it."""

from typing import Final

from broker.commands.context import Context
from broker.commands.docs import OUR_MODULE, documentation, help_of
from broker.commands.registry import (
    ADMIN,
    BLOCKING,
    FAST,
    FLAG_NAMES,
    INCOMPLETE,
    LOADING,
    MAY_REPLICATE,
    MOVABLE_KEYS,
    NO_MANDATORY_KEYS,
    NOT_KEY,
    OW,
    PUBSUB,
    READONLY,
    RO,
    RW,
    SENTINEL,
    STALE,
    UPDATE,
    VARIABLE_FLAGS,
    WRITE,
    Command,
    Group,
    KeySpec,
)
from broker.errors import CommandError, syntax_error
from broker.keyspace.glob import matches
from broker.protocol.replies import Map, Reply, Set, Simple

command = Group("server").command
_FLAGS: Final = LOADING | STALE | SENTINEL

# In the order in which Redis prints them (ACLCommandCategories in acl.c).
CATEGORIES: Final = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
    "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
)  # fmt: skip

# What stands in the place of the category of the group: WAITAOF is about connections, SORT about types.
_INSTEAD: Final = frozenset(["connection", "sortedset"])
_BY_GROUP: Final[dict[str, str]] = {
    "generic": "keyspace",
    "sorted_set": "sortedset",
    "transactions": "transaction",
    "set": "set",
    "list": "list",
    "hash": "hash",
    "string": "string",
    "bitmap": "bitmap",
    "hyperloglog": "hyperloglog",
    "geo": "geo",
    "stream": "stream",
    "connection": "connection",
    "scripting": "scripting",
}

# Redis shows `no_mandatory_keys` and keeps `may_replicate` to itself (addReplyFlagsForCommand in server.c).
_SHOWN_FLAGS: Final = [
    *[(bit, name) for bit, name in FLAG_NAMES if bit != MAY_REPLICATE and bit != NO_MANDATORY_KEYS],
    (NO_MANDATORY_KEYS, b"no_mandatory_keys"),
]

# As COMMAND INFO prints a key spec's flags, in its order.
_KEY_FLAGS: Final = ("RO", "RW", "OW", "RM", "ACCESS", "UPDATE", "INSERT", "DELETE", "NOT_KEY", "INCOMPLETE",
                     "VARIABLE_FLAGS")  # fmt: skip
_KEY_FLAGS_IN_CAPITALS: Final = frozenset(["RO", "RW", "OW", "RM"])


# -- what follows from a command's facts


def categories(command: Command) -> list[str]:
    """ACL categories: from the group, from the flags, and those that the decorator adds.

    Redis: setImplicitACLCategories.
    """
    flags = command.flags
    found = {name.lower() for name in command.acl}
    # WAIT and WAITAOF are "generic", but of connections, not of keys.
    if command.group in _BY_GROUP and not command.is_container and not found & _INSTEAD:
        found.add(_BY_GROUP[command.group])
    if flags & WRITE:
        found.add("write")
    if flags & READONLY and "scripting" not in found:
        found.add("read")
    if flags & ADMIN:
        found.update(("admin", "dangerous"))
    if flags & PUBSUB:
        found.add("pubsub")
    if flags & BLOCKING:
        found.add("blocking")
    found.add("fast" if flags & FAST else "slow")
    return [name for name in CATEGORIES if name in found]


def is_plain_range(spec: KeySpec) -> bool:
    """Whether first, last and step say all about it."""
    return not spec.keyword and spec.count_at < 0 and spec.search is None


def key_range(command: Command) -> tuple[int, int, int, bool]:
    """(first, last, step, whether that leaves keys out), as old clients read them.

    Redis: populateCommandLegacyRangeSpec. Ranges that follow one another are joined; others are left out.
    """
    specs = command.keys
    movable = any(INCOMPLETE in spec.flags for spec in specs)
    if len(specs) == 1 and is_plain_range(specs[0]):
        return specs[0].position, _absolute_last(specs[0]), specs[0].step, movable
    first = last = previous = 0
    for spec in specs:
        if not is_plain_range(spec) or spec.step != 1 or (previous and previous != spec.position - 1):
            movable = True
            continue
        first = min(first, spec.position) if first else spec.position
        absolute = _absolute_last(spec)
        last = absolute if absolute < 0 or last < 0 else max(last, absolute)
        previous = last
    return (first, last, 1, movable) if first else (0, 0, 0, movable)


def _absolute_last(spec: KeySpec) -> int:
    return spec.last + spec.position if spec.last >= 0 else spec.last


def flag_names(command: Command) -> list[bytes]:
    flags = int(command.flags)
    if key_range(command)[3]:
        flags |= MOVABLE_KEYS
    return [name for bit, name in _SHOWN_FLAGS if flags & bit]


# -- COMMAND


@command("COMMAND", arity=-1, flags=_FLAGS, acl=("CONNECTION",), since="2.8.13",
         summary="Facts about all commands", cost="O(n), n commands")  # fmt: skip
def command_(ctx: Context, argv: list[bytes]) -> Reply:
    return [command_entry(each) for each in ctx.shared.commands.values()]


@command("COMMAND|COUNT", arity=2, flags=_FLAGS, acl=("CONNECTION",), since="2.8.13",
         summary="Number of commands", cost="O(1)")  # fmt: skip
def command_count(ctx: Context, argv: list[bytes]) -> Reply:
    return len(ctx.shared.commands)


@command("COMMAND|INFO", arity=-2, flags=_FLAGS, acl=("CONNECTION",), since="2.8.13",
         syntax="[command-name [command-name ...]]", summary="Facts about some commands, or all",
         cost="O(n), n commands asked for")  # fmt: skip
def command_info(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2:
        return [command_entry(each) for each in ctx.shared.commands.values()]
    entries: list[Reply] = []
    for name in argv[2:]:
        found = find_command(ctx, name)
        entries.append(command_entry(found) if found is not None else None)
    return entries


@command("COMMAND|DOCS", arity=-2, flags=_FLAGS, acl=("CONNECTION",), since="7.0.0",
         syntax="[command-name [command-name ...]]", summary="Documentation of some commands, or all",
         cost="O(n), n commands asked for")  # fmt: skip
def command_docs(ctx: Context, argv: list[bytes]) -> Reply:
    flat: list[Reply] = []
    if len(argv) == 2:
        for each in ctx.shared.commands.values():
            flat.append(each.wire_name)
            flat.append(documentation(each))
        return Map(flat)
    for name in argv[2:]:
        found = find_command(ctx, name)
        if found is not None:
            flat.append(found.wire_name)
            flat.append(documentation(found))
    return Map(flat)


@command("COMMAND|LIST", arity=-2, flags=_FLAGS, acl=("CONNECTION",), since="7.0.0",
         syntax="[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
         summary="Names of commands", cost="O(n), n commands")  # fmt: skip
def command_list(ctx: Context, argv: list[bytes]) -> Reply:
    if len(argv) == 2:
        return _names(ctx, b"", b"")
    if len(argv) != 5 or argv[2].upper() != b"FILTERBY":
        raise syntax_error()
    kind = argv[3].upper()
    if kind not in (b"MODULE", b"ACLCAT", b"PATTERN"):
        raise syntax_error()
    return _names(ctx, kind, argv[4])


def _names(ctx: Context, kind: bytes, wanted: bytes) -> list[Reply]:
    """Names of commands and of sub-commands that pass a filter."""
    names: list[Reply] = []
    for top in ctx.shared.commands.values():
        for each in [top, *top.subcommands.values()]:
            if _passes(each, kind, wanted):
                names.append(each.wire_name)
    return names


def _passes(each: Command, kind: bytes, wanted: bytes) -> bool:
    if kind == b"MODULE":
        return each.ours and wanted == OUR_MODULE  # there are no others
    if kind == b"ACLCAT":
        return wanted.lower().decode("utf-8", "surrogateescape") in categories(each)
    return kind == b"" or matches(wanted.lower(), each.wire_name)


@command("COMMAND|GETKEYS", arity=-4, flags=_FLAGS, acl=("CONNECTION",), since="2.8.13",
         syntax="command arg [arg ...]", summary="Keys of a request", cost="O(n), n arguments",
         differs="Wants an argument behind the name, as 7.0")  # fmt: skip
def command_getkeys(ctx: Context, argv: list[bytes]) -> Reply:
    keys: list[Reply] = [argv[2 + place] for place, _ in _keys_of(ctx, argv[2:])]
    return keys


@command("COMMAND|GETKEYSANDFLAGS", arity=-4, flags=_FLAGS, acl=("CONNECTION",), since="7.0.0",
         syntax="command arg [arg ...]", summary="Keys of a request, and what it does with them",
         cost="O(n), n arguments",
         differs="Wants an argument behind the name, as 7.0")  # fmt: skip
def command_getkeysandflags(ctx: Context, argv: list[bytes]) -> Reply:
    rows: list[Reply] = []
    for place, flags in _keys_of(ctx, argv[2:]):
        row: list[Reply] = [argv[2 + place], Set(_key_flags(flags))]
        rows.append(row)
    return rows


def _keys_of(ctx: Context, request: list[bytes]) -> list[tuple[int, tuple[str, ...]]]:
    """(index, flags) of each key of a request. Redis: getKeysSubcommandImpl."""
    wanted = ctx.shared.commands.get(request[0].upper())
    if wanted is not None and wanted.subcommands and len(request) > 1:
        wanted = wanted.subcommands.get(request[1].upper())
    if wanted is None:
        raise CommandError("ERR", "Invalid command specified")
    if all(NOT_KEY in spec.flags for spec in wanted.keys):
        raise CommandError("ERR", "The command has no key arguments")
    if not wanted.fits(len(request)):
        raise CommandError("ERR", "Invalid number of arguments specified for command")
    found: list[tuple[int, tuple[str, ...]]] = []
    for spec in wanted.keys:
        places = spec.positions(request)
        if places is None and not spec.keyword:
            found = []
            break
        flags = _real_flags(wanted, spec, request)
        found.extend((place, flags) for place in places or [])
    if not found and not wanted.flags & NO_MANDATORY_KEYS:
        raise CommandError("ERR", "Invalid arguments specified for command")
    return found


def _real_flags(wanted: Command, spec: KeySpec, request: list[bytes]) -> tuple[str, ...]:
    """What a request does with its key where that depends on its options. Redis: setGetKeys, bitfieldGetKeys."""
    if VARIABLE_FLAGS not in spec.flags:
        return spec.flags
    if wanted.name == b"SET":
        if any(word.upper() == b"GET" for word in request[3:]):
            return (RW, "ACCESS", UPDATE)
        return (OW, UPDATE)
    if wanted.name == b"DELEX":
        return (RW, "DELETE") if len(request) > 2 else ("RM", "DELETE")
    if wanted.name == b"BITFIELD" and all(word.upper() not in (b"SET", b"INCRBY") for word in request[2:]):
        return (RO, "ACCESS")
    return tuple(flag for flag in spec.flags if flag != VARIABLE_FLAGS)


@command("COMMAND|HELP", arity=2, flags=_FLAGS, acl=("CONNECTION",), since="5.0.0", summary="What COMMAND can do",
         cost="O(1)")  # fmt: skip
def command_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"COMMAND")


def find_command(ctx: Context, name: bytes) -> Command | None:
    """A command by name in any case; `config|get` names a sub-command."""
    parts = name.upper().split(b"|")
    found = ctx.shared.commands.get(parts[0])
    if len(parts) == 1 or found is None:
        return found
    return found.subcommands.get(parts[1]) if len(parts) == 2 else None


# -- an entry of COMMAND INFO


def command_entry(each: Command) -> Reply:
    """Ten fields: name, arity, flags, first, last, step, categories, tips, key specs, sub-commands."""
    first, last, step, _ = key_range(each)
    flags: list[Reply] = [Simple(name) for name in flag_names(each)]
    acl: list[Reply] = [Simple(b"@" + name.encode()) for name in categories(each)]
    tips: list[Reply] = []
    specs: list[Reply] = [_key_spec(spec) for spec in each.keys]
    subcommands: list[Reply] = [command_entry(sub) for sub in each.subcommands.values()]
    entry: list[Reply] = [
        each.wire_name, int(each.arity), Set(flags), first, last, step, Set(acl), Set(tips), Set(specs),
        Set(subcommands),
    ]  # fmt: skip
    return entry


def _key_flags(flags: tuple[str, ...]) -> list[Reply]:
    return [
        Simple((name if name in _KEY_FLAGS_IN_CAPITALS else name.lower()).encode())
        for name in _KEY_FLAGS
        if name in flags
    ]


def _key_spec(spec: KeySpec) -> Reply:
    if spec.search is not None:
        unknown: list[Reply] = [b"type", b"unknown", b"spec", Map([])]
        return Map([b"flags", Set(_key_flags(spec.flags)), b"begin_search", Map(unknown), b"find_keys", Map(unknown)])
    begin: list[Reply] = [b"index", spec.position]
    if spec.keyword:
        begin = [b"keyword", spec.keyword, b"startfrom", spec.position]
    find: list[Reply] = [b"lastkey", spec.last, b"keystep", spec.step, b"limit", spec.limit]
    if spec.count_at >= 0:
        find = [b"keynumidx", spec.count_at, b"firstkey", spec.first, b"keystep", spec.step]
    return Map([
        b"flags", Set(_key_flags(spec.flags)),
        b"begin_search", Map([b"type", b"keyword" if spec.keyword else b"index", b"spec", Map(begin)]),
        b"find_keys", Map([b"type", b"keynum" if spec.count_at >= 0 else b"range", b"spec", Map(find)]),
    ])  # fmt: skip
