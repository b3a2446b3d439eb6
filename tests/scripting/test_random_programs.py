"""Random Lua programs over what scripts can use: whatever they do, the server stands and nothing in it is a bug."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.engine import Harness

ATOMS = st.sampled_from(
    "nil true false 0 1 -1 2.5 1e15 0/0 1/0 '' 'a' 'ab1' '7' '\\0x' 'a,b' ARGV[1] KEYS[1] ARGV KEYS redis cjson {} "
    "{1,2} {1,nil,3} {a=1} {ok='fine'} {err='My error'} {err=1} {double=1.5} {map={a=1}} x y cjson.null string "
    "math.huge _G redis.REPL_ALL function(...)return(...)end".split(" ")
)
FUNCTIONS = st.sampled_from(
    "type tostring tonumber select pcall rawequal rawget rawset next unpack error assert getmetatable setmetatable "
    "ipairs loadstring load xpcall string.len string.sub string.upper string.rep string.byte string.char string.format "
    "string.find string.match string.gsub string.reverse table.concat table.insert table.remove table.sort table.getn "
    "math.floor math.max math.fmod math.abs cjson.encode cjson.decode cmsgpack.pack cmsgpack.unpack struct.pack "
    "struct.unpack struct.size bit.band bit.tohex bit.lshift redis.call redis.pcall redis.error_reply "
    "redis.status_reply redis.sha1hex redis.setresp redis.log redis.set_repl coroutine.create coroutine.resume "
    "coroutine.status coroutine.wrap pcall(redis.pcall,'get',KEYS[1]) x.y y[1]".split(" ")
)
COMMANDS = st.sampled_from(
    "'get',KEYS[1]|'set',KEYS[1],ARGV[1]|'incr',KEYS[1]|'lpush','l',1,2|'lrange','l',0,-1|'del',KEYS[1],'l','h'|'ping'|"
    "'hset','h','f',1|'hgetall','h'|'mget',KEYS[1],'none'|'nope'|'get'|'eval','return 1',0|'type','h'".split("|")
)


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    call = st.builds(lambda f, a: f"{f}({','.join(a)})", FUNCTIONS, st.lists(inner, max_size=3))
    command = st.builds(lambda how, c: f"redis.{how}({c})", st.sampled_from(["call", "pcall"]), COMMANDS)
    caught = st.builds(lambda f, a: f"pcall({','.join([f, *a])})", FUNCTIONS, st.lists(inner, max_size=3))
    table = st.builds(lambda items: "{" + ",".join(items) + "}", st.lists(inner, max_size=3))
    operator = st.sampled_from(["+", "..", "==", "<", "and", "or", "*", "%"])
    binary = st.builds(lambda a, o, b: f"({a} {o} {b})", inner, operator, inner)
    return st.one_of(call, command, caught, table, binary)


EXPRESSIONS = st.recursive(ATOMS, _expressions, max_leaves=6)
STATEMENTS = st.one_of(
    st.builds("x={}".format, EXPRESSIONS),
    st.builds("y={}".format, EXPRESSIONS),
    st.builds("for i=1,3 do x={} end".format, EXPRESSIONS),
    st.builds("if {} then y={} end".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("x[1]={}".format, EXPRESSIONS),
    st.builds("local ok,e=pcall(function() y={} end) x=ok".format, EXPRESSIONS),
)
PROGRAMS = st.builds(
    lambda body, result: "\n".join(["local x,y={},{}", *body, f"return {result}"]),
    st.lists(STATEMENTS, max_size=4),
    EXPRESSIONS,
)


@pytest.fixture(scope="module")
def broker() -> Harness:
    return Harness("--script-memory-limit", "32mb")


@given(PROGRAMS)
def test_no_program_does_harm(broker: Harness, program: str) -> None:
    with capture_logs() as logged:
        broker.run("EVAL", program, 1, "k", "3")
    assert broker.bugs == []
    assert [entry for entry in logged if entry["event"] == "script.bug"] == []
    assert broker.run("EVAL", "return {redis.call('PING'), string.format('%d', 7), cjson.encode({1})}", 0) == [
        "PONG",
        b"7",
        b"[1]",
    ]
