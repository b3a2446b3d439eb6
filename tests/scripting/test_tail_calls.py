"""Calls that a script ends with: errors name their line, and recursion of the script's own functions has no end."""

import pytest
from support.engine import Harness

from broker.scripting.tail_calls import may_have_some, without_tail_calls


@pytest.fixture
def broker() -> Harness:
    return Harness()


NAMED = """
return redis.call('INCR', KEYS[1])
local call = redis.call return call('INCR', KEYS[1])
local call = redis.call local function f() return call('INCR', KEYS[1]) end return f()
local api = {call = redis.call} return api.call('INCR', KEYS[1])
local api = redis return api['call']('INCR', KEYS[1])
return (redis.call)('INCR', KEYS[1])
return (function() return redis.call('INCR', KEYS[1]) end)()
if true then return redis.call(unpack({'INCR', KEYS[1]})) end
return string.find('a', '(')
return ('a'):find('(')
return cmsgpack.unpack('\\193')
""".strip().splitlines()


@pytest.mark.parametrize("script", NAMED)
def test_an_error_behind_return_names_the_line(broker: Harness, script: str) -> None:
    broker.run("SET k text")
    reply = broker.run("EVAL", "-- the first line\n" + script, 1, "k")
    assert reply.startswith("-")
    assert reply.endswith(", on @user_script:2.")


@pytest.mark.parametrize(
    "script",
    [
        "local function down(n) if n == 0 then return 'end' end return down(n - 1) end return down(50000)",
        "local down down = function(n) if n == 0 then return 'end' end return down(n - 1) end return down(50000)",
        "local t = {} function t.down(n) if n == 0 then return 'end' end return t.down(n - 1) end return t.down(50000)",
        "local t = {} function t:go(n) if n == 0 then return 'end' end return self:go(n - 1) end return t:go(50000)",
    ],
)
def test_recursion_of_a_scripts_own_functions_takes_no_stack(broker: Harness, script: str) -> None:
    assert broker.run("EVAL", script, 0) == b"end"


def test_all_results_are_handed_on(broker: Harness) -> None:
    script = "local function all() return string.find('hello', '(l)(l)') end return {all()}"
    assert broker.run("EVAL", script, 0) == [3, 4, b"l", b"l"]
    assert broker.run("EVAL", "return {(function(...) return select('#', ...) end)(nil, nil)}", 0) == [2]


def test_what_no_return_of_a_call_is_in_is_left_alone() -> None:
    for source in (b"return 1", b"return 'redis.call()'", b"return {f()}", b"x = 5", b"returned()"):
        assert not may_have_some(source)
    for source in (b"return f()", b"return(f)()", b"return\n  f()", b"return --[[ ]] f()", b"if x then return f() end"):
        assert may_have_some(source)
    assert without_tail_calls(b"of another machine", b"return f()") == b"of another machine"
