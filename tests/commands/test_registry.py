"""What the decorators say of each command agrees with Redis.

command_facts.json holds the facts of Redis 8 (arity, flags, group, first version, ACL categories, key specs), one
command a line. Where Redis 7.0, which the differential tests compare with, says otherwise, DIFFERENCES has the reason.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.commands import registry
from broker.commands.all import command_table
from broker.commands.docs import Argument, kind_of, parse_syntax
from broker.commands.introspection import categories
from broker.commands.registry import Command, KeySpec

FACTS: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("command_facts.json").read_text(encoding="ascii")
)

# {(command, field): why ours is another}
DIFFERENCES = {
    ("XGROUP|DELCONSUMER", "arity"): "ours takes RELEASE and REASSIGN, too",
    ("COMMAND|GETKEYS", "arity"): "Redis 7.0 wants the name and an argument; later versions look into it themselves",
    ("COMMAND|GETKEYSANDFLAGS", "arity"): "as COMMAND GETKEYS",
    ("WATCH", "flags"): "NO_MULTI came later, with another error text inside MULTI",
    ("MULTI", "flags"): "as WATCH",
    ("SET", "arguments"): "IFEQ and its like, of 8.4",
    ("BITOP", "arguments"): "DIFF and its like, of 8.2",
    ("ZUNION", "arguments"): "AGGREGATE COUNT, of 8.8",
    ("ZINTER", "arguments"): "AGGREGATE COUNT",
    ("ZUNIONSTORE", "arguments"): "AGGREGATE COUNT",
    ("ZINTERSTORE", "arguments"): "AGGREGATE COUNT",
    ("XADD", "arguments"): "KEEPREF and its like, of 8.2; IDMP, of 8.6; IFLAST is ours",
    ("XTRIM", "arguments"): "KEEPREF and its like",
    ("XREAD", "arguments"): "MAXCOUNT and MAXSIZE, of 8.10",
    ("XREADGROUP", "arguments"): "likewise, and CLAIM, of 8.4",
    ("XACK", "arguments"): "FENCE is ours",
    ("XGROUP|DELCONSUMER", "arguments"): "ours takes RELEASE and REASSIGN, too",
    ("CLIENT|LIST", "arguments"): "the filters of Valkey 9",
    ("CLIENT|KILL", "arguments"): "the filters of Valkey 9",
    ("SHUTDOWN", "arguments"): "ABORT stands beside the others: the parser tells that they exclude each other",
    ("BITFIELD", "arguments"): "our syntax has no `any number of` around a choice",
    ("PFDEBUG", "arguments"): "ours names the four sub-commands",
    ("COMMAND|GETKEYS", "arguments"): "as its arity",
    ("COMMAND|GETKEYSANDFLAGS", "arguments"): "as its arity",
    ("DEBUG", "arguments"): "Redis's table has none",
}

# Any arguments are let through, and QUIT does not care; COMMAND has sub-commands besides its own meaning.
TAKES_ANYTHING = ("QUIT", "COMMAND")

FLAGS = {
    name: getattr(registry, name)
    for name in (
        "WRITE READONLY DENYOOM ADMIN PUBSUB NOSCRIPT BLOCKING LOADING STALE SKIP_MONITOR SKIP_SLOWLOG ASKING FAST "
        "NO_AUTH MAY_REPLICATE NO_ASYNC_LOADING NO_MULTI ALLOW_BUSY NO_MANDATORY_KEYS PROTECTED SENTINEL "
        "TOUCHES_ARBITRARY_KEYS"
    ).split()
}


def all_commands() -> list[Command]:
    found = []
    for command in command_table().values():
        found += [command, *command.subcommands.values()]
    return found


def described(spec: KeySpec) -> dict[str, Any]:
    if spec.search is not None:
        return {"unknown": True, "flags": sorted(spec.flags)}
    begin: dict[str, Any] = {"index": spec.position}
    if spec.keyword:
        begin = {"keyword": spec.keyword.decode(), "from": spec.position}
    find = {"last": spec.last, "step": spec.step, "limit": spec.limit}
    if spec.count_at >= 0:
        find = {"count": spec.count_at, "first": spec.first, "step": spec.step}
    return {**begin, **find, "flags": sorted(spec.flags)}


def flags_of(command: Command) -> list[str]:
    return sorted(name for name, bit in FLAGS.items() if command.flags & bit)


def facts_of(command: Command) -> dict[str, Any]:
    return {
        "arity": command.arity,
        # A container is never executed: that Sentinel has it, too, is said of its sub-commands.
        "flags": FACTS[command.name.decode()]["flags"] if command.is_container else flags_of(command),
        "group": command.group,
        "since": command.since,
        "keys": [described(spec) for spec in command.keys],
        "acl": sorted(categories(command)),
        "arguments": " ".join(shown(argument, command) for argument in parse_syntax(command.syntax)),
    }


def shown(argument: Argument, command: Command) -> str:
    """An argument with its type, as command_facts.json has it; in lower case, as servers take it in any."""
    inner = [shown(each, command) for each in argument.inner]
    if argument.kind == "pure-token":
        text = argument.token
    elif argument.kind == "oneof":
        text = f"<{' | '.join(inner)}>"
    else:
        text = " ".join(inner) if inner else f"{argument.name}:{kind_of(argument, command)}"
        if inner and argument.multiple:
            text = f"({text})"
    if argument.token and argument.kind != "pure-token":
        text = f"{argument.token} {text}"
    if argument.multiple:
        text += " +..." if argument.multiple_token else " ..."
    return (f"[{text}]" if argument.optional else text).lower()


def expected(name: str) -> dict[str, Any]:
    """The line of the file, with the categories that follow from flags."""
    facts = dict(FACTS[name])
    flags, acl = set(facts["flags"]), {category.lower() for category in facts["acl"]}
    for flag, category in (("WRITE", "write"), ("PUBSUB", "pubsub"), ("BLOCKING", "blocking"), ("ADMIN", "admin")):
        if flag in flags:
            acl.add(category)
    if "ADMIN" in flags:
        acl.add("dangerous")
    if "READONLY" in flags and "scripting" not in acl:
        acl.add("read")
    acl.add("fast" if "FAST" in flags else "slow")
    return {**facts, "acl": sorted(acl)}


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.name.decode())
def test_the_facts_of_a_command_are_those_of_redis(command: Command) -> None:
    name = command.name.decode()
    if command.ours:
        assert name not in FACTS, "Redis has it: it is not ours"
        return
    ours, theirs = facts_of(command), expected(name)
    for field, value in theirs.items():
        if (name, field) in DIFFERENCES:
            assert ours[field] != value, f"{field} is no difference any more"
        else:
            assert ours[field] == value, field


@pytest.mark.parametrize("command", all_commands(), ids=lambda command: command.name.decode())
def test_the_documentation_of_a_command_is_complete(command: Command) -> None:
    if command.is_container:
        assert command.subcommands
        return
    assert command.summary
    assert not command.summary.endswith(".")
    assert command.cost
    arguments = parse_syntax(command.syntax)
    shortest = len(command.name.split(b"|")) + fewest(arguments)
    assert abs(command.arity) <= shortest, "the arity lets through what the syntax requires"
    assert command.fits(shortest)
    if command.name.decode() not in TAKES_ANYTHING:
        assert (command.arity < 0) == any(varies(argument) for argument in arguments), "fixed arity, or not"


def fewest(arguments: list[Argument]) -> int:
    """How many words the arguments take at least."""
    return sum(0 if argument.optional else size(argument) for argument in arguments)


def size(argument: Argument) -> int:
    inner = argument.inner
    if argument.kind == "oneof":
        words = min(fewest([choice]) for choice in inner)
    elif argument.kind == "pure-token":
        return 1
    else:
        words = fewest(inner) if inner else 1
    return words + (1 if argument.token else 0)


def varies(argument: Argument) -> bool:
    if argument.optional or argument.multiple or any(varies(inner) for inner in argument.inner):
        return True
    return argument.kind == "oneof" and len({size(choice) for choice in argument.inner}) > 1


def test_a_name_may_be_registered_only_once() -> None:
    with pytest.raises(ValueError, match="registered twice"):
        registry.Group("string").command("GET", arity=2)(lambda ctx, argv: None)


def test_each_engine_has_statistics_of_its_own() -> None:
    first, second = command_table(), command_table()
    first[b"GET"].calls += 1
    first[b"CONFIG"].subcommands[b"GET"].calls += 1
    assert second[b"GET"].calls == 0
    assert second[b"CONFIG"].subcommands[b"GET"].calls == 0


@pytest.mark.parametrize(
    ("spec", "request_line", "places"),
    [
        (registry.key("RO"), "GET a", [1]),
        (registry.key("RO"), "GET", None),
        (registry.keys_to_end("RO"), "MGET a b c", [1, 2, 3]),
        (registry.keys_to_end("RW", last=-2), "BLPOP a b 0", [1, 2]),
        (registry.keys_to_end("OW", step=2), "MSET a 1 b 2", [1, 3]),
        (registry.counted_keys("RW"), "LMPOP 2 a b LEFT", [2, 3]),
        (registry.counted_keys("RW"), "LMPOP 9 a b LEFT", None),
        (registry.counted_keys("RW"), "LMPOP x a b LEFT", None),
        (registry.counted_keys("RW"), "LMPOP 0 a b LEFT", None),
        (registry.keys_after(b"STREAMS", "RO", start=1, last=-1, limit=2), "XREAD COUNT 1 streams a b 0 0", [4, 5]),
        (registry.keys_after(b"STREAMS", "RO", start=1, last=-1, limit=2), "XREAD COUNT 1 a b 0 0", None),
        (registry.keys_after(b"STORE", "RW", start=-2), "SORT a BY x STORE b", [5]),
    ],
)
def test_key_specs_find_the_keys(spec: KeySpec, request_line: str, places: list[int] | None) -> None:
    assert spec.positions(request_line.encode().split()) == places
