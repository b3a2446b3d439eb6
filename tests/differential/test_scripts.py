"""Small scripts, and random values through them, on us and on redis-server: the same replies, byte for byte."""

import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import scripts_of_lua, scripts_of_the_api, small_libraries, small_scripts
from support.engine import Harness
from support.servers import RedisServer
from support.wire import Wire

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "60"))


@pytest.fixture(scope="module")
def oracle() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def theirs(oracle: RedisServer) -> Iterator[dict[bool, Wire]]:
    """{RESP3?: connection}."""
    with Wire(oracle.port) as resp2, Wire(oracle.port) as resp3:
        resp3("HELLO", 3)
        yield {False: resp2, True: resp3}


@pytest.fixture(scope="module")
def ours() -> dict[bool, Callable[..., Any]]:
    harness = Harness()
    return {False: harness.wire(False), True: harness.wire(True)}


def run_all(ask: Callable[..., Any], scripts: list[str]) -> list[Any]:
    replies = []
    for script in scripts:
        ask("SET", "k", "v")
        replies.append((script, ask("EVAL", script, 1, "k", "a1", "a2")))
    return replies


@pytest.mark.parametrize("resp3", [False, True], ids=["resp2", "resp3"])
@pytest.mark.parametrize("table", [small_scripts, scripts_of_the_api, scripts_of_lua], ids=["small", "api", "lua"])
def test_small_scripts_reply_as_redis_does(resp3: bool, table: ModuleType) -> None:
    """On a server of its own: settings of cjson and seeds outlive scripts in Redis."""
    with RedisServer() as server, Wire(server.port) as wire:
        if resp3:
            wire("HELLO", 3)
        pairs = list(zip(run_all(Harness().wire(resp3), table.SCRIPTS), run_all(wire, table.SCRIPTS), strict=True))
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


CALLED = ("x", "a", "c", "d", "e", "e2", "n", "n2", "up", "h", "5")


def load_all(ask: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    for head in small_libraries.HEADS:
        ask("FUNCTION", "FLUSH")
        yield head, ask("FUNCTION", "LOAD", head + "\nredis.register_function('h', function() return 'h' end)")
        yield head, ask("FUNCTION", "LOAD", head)
        yield head, ask("FUNCTION", "LIST", "WITHCODE")
    for body in small_libraries.BODIES:
        ask("FUNCTION", "FLUSH")
        yield body, ask("FUNCTION", "LOAD", "#!lua name=x\n" + body)
        yield body, ask("FUNCTION", "LIST")
        for name in CALLED:
            yield body, ask("FCALL", name, 0)


@pytest.mark.parametrize("resp3", [False, True], ids=["resp2", "resp3"])
def test_small_libraries_are_loaded_or_refused_as_by_redis(theirs: Any, resp3: bool) -> None:
    pairs = zip(load_all(Harness().wire(resp3)), load_all(theirs[resp3]), strict=True)
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


def run_with_flags(ask: Callable[..., Any], full: bool) -> Iterator[tuple[str, Any]]:
    ask("SET", "x", 1)
    if full:
        for i in range(20):
            ask("SET", f"big{i}", "x" * 100_000)
        ask("CONFIG", "SET", "maxmemory", "100kb")
    for command in ("EVAL", "EVAL_RO"):
        for flags in small_libraries.FLAGS:
            for first in small_libraries.FIRST:
                for last in small_libraries.LAST:
                    script = f"{flags}\n{first}return redis.call({last})"
                    yield f"{command} {script}", ask(command, script, 0)


@pytest.mark.parametrize("full", [False, True], ids=["room", "full"])
def test_what_flags_allow_is_what_redis_allows(full: bool) -> None:
    with RedisServer() as server, Wire(server.port) as wire:
        pairs = list(zip(run_with_flags(Harness().wire(False), full), run_with_flags(wire, full), strict=True))
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


# -- values through a script and back

TEXTS = st.binary(max_size=8)
SCALARS = st.one_of(TEXTS, st.integers(-(2**53), 2**53))
VALUES = st.recursive(st.one_of(SCALARS, st.booleans()), lambda inner: st.lists(inner, max_size=4), max_leaves=12)


def lua(value: Any) -> str:
    """As a literal of Lua."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return "'" + "".join(f"\\{byte:03d}" for byte in value) + "'"
    if isinstance(value, list):
        return "{" + ",".join(map(lua, value)) + "}"
    return repr(value)


@settings(max_examples=EXAMPLES)
@given(VALUES, st.sampled_from(["", "redis.setresp(3) "]), st.booleans())
def test_any_value_is_returned_as_by_redis(ours: Any, theirs: Any, value: Any, begin: str, resp3: bool) -> None:
    request = ("EVAL", begin + "return " + lua(value), 0)
    assert ours[resp3](*request) == theirs[resp3](*request)


TABLES = st.recursive(
    st.one_of(SCALARS, st.booleans(), st.floats(allow_nan=False, allow_infinity=False)),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=EXAMPLES)
@given(TABLES, st.sampled_from(["cjson.encode", "cmsgpack.pack"]))
def test_any_table_is_encoded_as_by_redis(ours: Any, theirs: Any, value: Any, function: str) -> None:
    request = ("EVAL", f"return {function}({lua(value)})", 0)
    assert ours[False](*request) == theirs[False](*request)


TOKENS = ["{", "}", "[", "]", ",", ":", '"a"', '"\\u00e9"', "1", "-2.5", "1e3", "true", "null", "nul", " ", "x"]


@settings(max_examples=EXAMPLES * 3)
@given(st.lists(st.sampled_from(TOKENS), max_size=9).map("".join))
def test_any_text_is_decoded_or_refused_as_by_redis(ours: Any, theirs: Any, text: str) -> None:
    request = ("EVAL", "return cjson.encode(cjson.decode(ARGV[1]))", 0, text)
    assert ours[False](*request) == theirs[False](*request)


FORMATS = st.lists(st.sampled_from([*"<>bBhHlLiI!fds", "i3", "I8", "c0", "c2", "x", "!4"]), max_size=6)


@settings(max_examples=EXAMPLES)
@given(FORMATS.map("".join), st.lists(st.one_of(st.integers(-(2**40), 2**40), TEXTS), min_size=2, max_size=6))
def test_any_format_packs_as_by_redis(ours: Any, theirs: Any, form: str, values: list[Any]) -> None:
    request = ("EVAL", f"return struct.pack('{form}',{','.join(map(lua, values))})", 0)
    assert ours[False](*request) == theirs[False](*request)
