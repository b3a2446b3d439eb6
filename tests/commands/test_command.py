"""COMMAND: all of it comes from the registry."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine import Harness
from support.same_data import wire

from broker.commands.all import command_table
from broker.commands.docs import Argument, parse_syntax
from broker.commands.registry import NOT_KEY

SYNTAX = "-ERR syntax error"


@pytest.fixture
def h() -> Harness:
    return Harness()


def as_map(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def shape(arguments: list[Argument]) -> list[Any]:
    """(type, name, token, signs, inner ones): `?` optional, `+` multiple, `t` with its token each time."""
    return [
        (
            argument.kind,
            argument.name,
            argument.token,
            "?" * argument.optional + "+" * argument.multiple + "t" * argument.multiple_token,
            shape(argument.inner),
        )
        for argument in arguments
    ]


# -- COUNT, LIST, INFO


def test_count_and_the_full_table_agree(h: Harness) -> None:
    table = h.run("COMMAND")
    assert h.run("COMMAND COUNT") == len(table) == len(h.engine.commands)
    assert h.run("COMMAND INFO") == table
    assert sorted(entry[0] for entry in table) == sorted(name.lower() for name in h.engine.commands)


def test_an_entry_has_ten_fields(h: Harness) -> None:
    entry = h.run("command info Get")[0]
    assert entry[:6] == [b"get", 2, ["readonly", "fast"], 1, 1, 1]
    assert entry[6] == ["@read", "@string", "@fast"]
    assert entry[7] == []
    assert [as_map(spec) for spec in entry[8]] == [
        {
            b"flags": ["RO", "access"],
            b"begin_search": [b"type", b"index", b"spec", [b"index", 1]],
            b"find_keys": [b"type", b"range", b"spec", [b"lastkey", 0, b"keystep", 1, b"limit", 0]],
        }
    ]
    assert entry[9] == []


def test_an_entry_in_resp3_has_sets_and_maps(h: Harness) -> None:
    resp2, resp3 = wire(h, "COMMAND INFO get nosuch")
    start = b"*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n"
    assert resp2.startswith(start)
    assert resp2.endswith(b"*0\r\n$-1\r\n")
    assert resp3.startswith(start.replace(b"*2\r\n+", b"~2\r\n+").replace(b"*3\r\n+", b"~3\r\n+"))
    assert b"~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n%2\r\n" in resp3
    assert resp3.endswith(b"~0\r\n_\r\n")


@pytest.mark.parametrize(
    ("name", "first_last_step", "movable"),
    [
        ("mset", [1, -1, 2], False),
        ("blpop", [1, -2, 1], False),
        ("rename", [1, 2, 1], False),
        ("sinterstore", [1, -1, 1], False),
        ("ping", [0, 0, 0], False),
        ("xread", [0, 0, 0], True),
        ("lmpop", [0, 0, 0], True),
        ("zunionstore", [1, 1, 1], True),
        ("memory|usage", [2, 2, 1], False),
    ],
)
def test_old_clients_get_first_last_and_step(h: Harness, name: str, first_last_step: list[int], movable: bool) -> None:
    entry = h.run("COMMAND", "INFO", name)[0]
    assert entry[3:6] == first_last_step
    assert ("movablekeys" in entry[2]) == movable


def test_subcommands_are_found_by_a_bar(h: Harness) -> None:
    assert h.run("COMMAND INFO config|GET")[0][0] == b"config|get"
    assert h.run("COMMAND INFO config|nosuch get|x a|b|c nosuch") == [None, None, None, None]
    names = [sub[0] for sub in h.run("COMMAND INFO config")[0][9]]
    assert names == [b"config|get", b"config|set", b"config|rewrite", b"config|resetstat", b"config|help"]


def test_admin_commands_are_dangerous_and_publish_hides_a_flag(h: Harness) -> None:
    assert h.run("COMMAND INFO config|set")[0][6] == ["@admin", "@slow", "@dangerous"]
    assert h.run("COMMAND INFO publish")[0][2] == ["pubsub", "loading", "stale", "fast"]
    assert h.run("COMMAND INFO blpop")[0][6] == ["@write", "@list", "@slow", "@blocking"]
    assert h.run("COMMAND INFO config")[0][6] == ["@slow"]


def test_list_names_commands_and_subcommands(h: Harness) -> None:
    names = h.run("COMMAND LIST")
    assert len(names) == len(set(names)) > h.run("COMMAND COUNT")
    assert {b"get", b"config", b"config|get"} <= set(names)
    assert h.run("COMMAND LIST FILTERBY PATTERN Config|*ET") == [b"config|get", b"config|set"]
    assert set(h.run("command list filterby aclcat TRANSACTION")) == {
        b"multi", b"exec", b"discard", b"watch", b"unwatch"
    }  # fmt: skip
    assert h.run("COMMAND LIST FILTERBY ACLCAT nosuch") == []
    assert h.run("COMMAND LIST FILTERBY MODULE any") == []
    ours = h.run("COMMAND LIST FILTERBY MODULE millstream")
    assert {b"xrenew", b"xgroup|policy", b"channel|resume"} <= set(ours)
    assert {b"xadd", b"xgroup", b"xnack"}.isdisjoint(ours)
    assert wire(h, "COMMAND LIST FILTERBY PATTERN get")[1] == b"*1\r\n$3\r\nget\r\n"


@pytest.mark.parametrize("options", ["x", "FILTERBY", "FILTERBY PATTERN", "FILTERBY foo x", "FILTERBY PATTERN a b"])
def test_list_refuses_other_filters(h: Harness, options: str) -> None:
    assert h.run("COMMAND LIST " + options) == SYNTAX


def test_wrong_subcommands_are_errors(h: Harness) -> None:
    assert h.run("COMMAND foo") == "-ERR unknown subcommand 'foo'. Try COMMAND HELP."
    assert h.run("COMMAND COUNT x") == "-ERR wrong number of arguments for 'command|count' command"


# -- GETKEYS


@pytest.mark.parametrize(
    ("request_line", "keys"),
    [
        ("get a", [b"a"]),
        ("MSET a 1 b 2", [b"a", b"b"]),
        ("mset a 1 b", [b"a", b"b"]),
        ("BLPOP a b 0", [b"a", b"b"]),
        ("LMPOP 2 a b LEFT", [b"a", b"b"]),
        ("XREAD COUNT 1 streams a b 0 0", [b"a", b"b"]),
        ("MEMORY USAGE a", [b"a"]),
        ("ZUNIONSTORE d 2 a b", [b"d", b"a", b"b"]),
        ("OBJECT encoding a", [b"a"]),
    ],
)
def test_getkeys_finds_the_keys(h: Harness, request_line: str, keys: list[bytes]) -> None:
    assert h.run("COMMAND GETKEYS " + request_line) == keys


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        ("get", "wrong number of arguments for 'command|getkeys' command"),
        ("nosuch x", "Invalid command specified"),
        ("memory nosuch", "Invalid command specified"),
        ("ping x", "The command has no key arguments"),
        ("memory doctor", "The command has no key arguments"),
        ("get a b", "Invalid number of arguments specified for command"),
        ("lmpop x a LEFT", "Invalid arguments specified for command"),
        ("lmpop 5 a LEFT", "Invalid arguments specified for command"),
        ("xread a b c", "Invalid arguments specified for command"),
        ("zunionstore d 0 a", "Invalid arguments specified for command"),
    ],
)
def test_getkeys_says_what_is_wrong(h: Harness, request_line: str, error: str) -> None:
    assert h.run("COMMAND GETKEYS " + request_line) == "-ERR " + error


def test_getkeysandflags_knows_what_set_does_with_its_options(h: Harness) -> None:
    assert h.run("COMMAND GETKEYSANDFLAGS SET a b") == [[b"a", ["OW", "update"]]]
    assert h.run("COMMAND GETKEYSANDFLAGS SET a b get") == [[b"a", ["RW", "access", "update"]]]
    assert h.run("COMMAND GETKEYSANDFLAGS LMPOP 2 a b LEFT") == [
        [b"a", ["RW", "access", "delete"]],
        [b"b", ["RW", "access", "delete"]],
    ]
    assert wire(h, "COMMAND GETKEYSANDFLAGS GET a")[1] == b"*1\r\n*2\r\n$1\r\na\r\n~2\r\n+RO\r\n+access\r\n"


# -- DOCS


def test_docs_of_a_command(h: Harness) -> None:
    (name, facts) = h.run("COMMAND DOCS GET nosuch")
    assert name == b"get"
    assert list(as_map(facts)) == [b"summary", b"since", b"group", b"complexity", b"arguments"]
    assert as_map(facts)[b"arguments"] == [[b"name", b"key", b"type", b"key", b"key_spec_index", 0]]
    assert wire(h, "COMMAND DOCS nosuch") == (b"*0\r\n", b"%0\r\n")


def test_docs_of_a_container_hold_those_of_its_subcommands(h: Harness) -> None:
    facts = as_map(h.run("COMMAND DOCS memory")[1])
    subcommands = as_map(facts[b"subcommands"])
    assert b"memory|usage" in subcommands
    assert as_map(subcommands[b"memory|usage"])[b"group"] == b"server"
    assert h.run("COMMAND DOCS memory|usage") == [b"memory|usage", subcommands[b"memory|usage"]]


def test_docs_mark_the_commands_that_redis_has_not(h: Harness) -> None:
    known = json.loads(Path(__file__).with_name("command_facts.json").read_text(encoding="ascii"))
    for command in list(h.engine.commands.values()):
        for each in [command, *command.subcommands.values()]:
            module = as_map(h.run("COMMAND", "DOCS", each.wire_name)[1]).get(b"module")
            assert module == (b"millstream" if each.ours else None), each.name
            assert each.ours == (each.name.decode() not in known), each.name


def test_docs_of_everything_can_be_made(h: Harness) -> None:
    names = h.run("COMMAND DOCS")[::2]
    assert sorted(names) == sorted(name.lower() for name in h.engine.commands)


def test_the_second_key_belongs_to_the_second_key_spec(h: Harness) -> None:
    arguments = as_map(h.run("COMMAND DOCS rename")[1])[b"arguments"]
    assert [as_map(argument)[b"key_spec_index"] for argument in arguments] == [0, 1]


def test_types_depend_on_the_command_where_the_name_does_not_tell(h: Harness) -> None:
    def kind(command: str, index: int) -> bytes:
        return as_map(as_map(h.run("COMMAND", "DOCS", command)[1])[b"arguments"][index])[b"type"]

    assert kind("lrange", 1) == b"integer"
    assert kind("xrange", 1) == b"string"
    assert kind("client|pause", 0) == b"integer"
    assert kind("blpop", 1) == b"double"


@pytest.mark.parametrize(
    ("syntax", "tree"),
    [
        ("", []),
        ("key", [("key", "key", "", "", [])]),
        ("key [key ...]", [("key", "key", "", "+", [])]),
        ("[message]", [("string", "message", "", "?", [])]),
        ("[channel [channel ...]]", [("string", "channel", "", "?+", [])]),
        ("[WITHSCORES]", [("pure-token", "withscores", "WITHSCORES", "?", [])]),
        ("[COUNT count]", [("integer", "count", "COUNT", "?", [])]),
        (
            "field value [field value ...]",
            [("block", "field_value", "", "+", [("string", "field", "", "", []), ("string", "value", "", "", [])])],
        ),
        (
            "[LIMIT offset count]",
            [
                (
                    "block",
                    "offset_count",
                    "LIMIT",
                    "?",
                    [("integer", "offset", "", "", []), ("integer", "count", "", "", [])],
                )
            ],
        ),
        (
            "[NX | XX]",
            [("oneof", "nx-or-xx", "", "?", [("pure-token", "nx", "NX", "", []), ("pure-token", "xx", "XX", "", [])])],
        ),
        (
            "<LEFT | RIGHT> [COUNT count]",
            [
                (
                    "oneof",
                    "left-or-right",
                    "",
                    "",
                    [("pure-token", "left", "LEFT", "", []), ("pure-token", "right", "RIGHT", "", [])],
                ),
                ("integer", "count", "COUNT", "?", []),
            ],
        ),
        (
            "STREAMS key [key ...] id [id ...]",
            [("block", "key_id", "STREAMS", "", [("key", "key", "", "+", []), ("string", "id", "", "+", [])])],
        ),
        ("[GET pattern [GET pattern ...]]", [("pattern", "pattern", "GET", "?+t", [])]),
        ("[WEIGHTS weight [weight ...]]", [("double", "weight", "WEIGHTS", "?+", [])]),
        (
            "[TYPE <A | B>]",
            [("oneof", "a-or-b", "TYPE", "?", [("pure-token", "a", "A", "", []), ("pure-token", "b", "B", "", [])])],
        ),
        (
            "<* | id>",
            [
                (
                    "oneof",
                    "auto-id-or-id",
                    "",
                    "",
                    [("pure-token", "auto-id", "*", "", []), ("string", "id", "", "", [])],
                )
            ],
        ),
        (
            "[MAXLEN [= | ~] threshold [LIMIT count]]",
            [
                (
                    "block",
                    "maxlen_equal-or-approximately_threshold_count",
                    "",
                    "?",
                    [
                        ("pure-token", "maxlen", "MAXLEN", "", []),
                        (
                            "oneof",
                            "equal-or-approximately",
                            "",
                            "?",
                            [("pure-token", "equal", "=", "", []), ("pure-token", "approximately", "~", "", [])],
                        ),
                        ("string", "threshold", "", "", []),
                        ("integer", "count", "LIMIT", "?", []),
                    ],
                )
            ],
        ),
    ],
)
def test_a_syntax_line_becomes_a_tree(syntax: str, tree: list[Any]) -> None:
    assert shape(parse_syntax(syntax)) == tree


@pytest.mark.parametrize("syntax", ["[key", "key]", "<a | b", "a | b", "[]", "...", "<a | >", "key [key ...>"])
def test_a_slip_in_a_syntax_line_is_found(syntax: str) -> None:
    with pytest.raises(ValueError, match=r"missing|empty|expected|repeat"):
        parse_syntax(syntax)


def test_every_key_argument_has_a_key_spec() -> None:
    def keys_of(arguments: list[Argument]) -> int:
        return sum((argument.kind == "key") + keys_of(argument.inner) for argument in arguments)

    for command in command_table().values():
        for each in [command, *command.subcommands.values()]:
            real = [spec for spec in each.keys if NOT_KEY not in spec.flags]  # a shard channel has the place of a key
            assert bool(keys_of(parse_syntax(each.syntax))) == bool(real), each.name


@given(st.lists(st.sampled_from(["key", "X", "[", "]", "<", ">", "|", "...", "count", "*"]), max_size=12))
def test_any_words_are_a_tree_or_a_slip(words: list[str]) -> None:
    try:
        tree = parse_syntax(" ".join(words))
    except ValueError:
        return
    assert not tree or words.count("[") + words.count("<") == words.count("]") + words.count(">")
