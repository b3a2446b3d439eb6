"""What would end the process, outlive its run, or keep the server from answering: each was a way out of the sandbox."""

import gc
from collections.abc import Iterator
from time import perf_counter

import pytest
from support.engine import Harness

KILLED = "-ERR Script killed by user with SCRIPT KILL..."


@pytest.fixture(scope="module")
def broker() -> Iterator[Harness]:
    """Its scripts are slow at once, and killed the second time that others are answered."""
    harness = Harness("--script-memory-limit", "64mb", "--busy-reply-threshold", "1")
    answered = 0

    def kill() -> bool:
        nonlocal answered
        answered += 1
        if answered % 2 == 0 and harness.scripts.current() is not None:
            harness.scripts.kill(True)
        return False

    harness.answer_others = kill
    yield harness
    harness.run("CONFIG", "SET", "busy-reply-threshold", 0)
    assert harness.bugs == []
    assert harness.run("EVAL", "return redis.call('PING')", 0) == "PONG"


# Each runs for ever, and tries not to be ended.
FOREVER = "local function forever() while true do end end "
ENDLESS = """
while true do pcall(forever) end
while true do pcall(error, 'x') end
while true do pcall(function() while true do coroutine.resume(coroutine.create(forever)) end end) end
local co co = coroutine.create(function() coroutine.resume(co) forever() end) coroutine.resume(co)
local co = coroutine.wrap(function() while true do coroutine.yield() forever() end end) co() co()
while true do coroutine.wrap(function() for i = 1, 20 do (('x'):rep(1e5)):upper() end end)() end
while true do string.rep('x', 1e7) end
xpcall(forever, forever)
while true do xpcall(forever, function(e) error(e) end) end
local function f(n) if n < 196 then return (pcall(f, n + 1)) end while true do pcall(forever) end end f(1)
local function f(n) if n < 150 then coroutine.wrap(f)(n + 1) end while true do pcall(f, 1) end end f(1)
local t = setmetatable({}, {__index = forever}) return t.x
(('a'):rep(1000)):gsub('.', forever)
table.sort({3, 2, 1}, forever)
local t = {} for i = 1, 3000 do t[i] = (i * 7919) % 3001 end while true do table.sort(t) end
while true do string.rep('', 2e9) end
return string.find(('a'):rep(1e6), 'a-b')
while true do string.find(('a'):rep(1e4), ('a'):rep(1000) .. 'b') end
while true do load(function() return 'local x = 1 ' end) end
return _G[setmetatable({}, {__tostring = forever})]
while true do pcall(cjson.decode, '[' .. ('1,'):rep(1e5) .. 'x]') end
while true do pcall(cmsgpack.unpack, '\\221\\0\\1\\255\\255' .. ('\\192'):rep(1e5)) end
while true do redis.pcall('NONE') end
""".strip().splitlines()


@pytest.mark.parametrize("script", ENDLESS)
def test_a_killed_script_ends_whatever_it_does(broker: Harness, script: str) -> None:
    began = perf_counter()
    reply = broker.run("EVAL", FOREVER + script, 0)
    assert reply.startswith(KILLED)
    assert perf_counter() - began < 5


def test_a_kill_in_one_run_is_none_in_the_next(broker: Harness) -> None:
    assert broker.run("EVAL", FOREVER + ENDLESS[2], 0).startswith(KILLED)
    broker.run("CONFIG", "SET", "busy-reply-threshold", 0)
    assert broker.run("EVAL", "return {pcall(error, 'x')}", 0) == [None, b"x"]
    broker.run("CONFIG", "SET", "busy-reply-threshold", 1)


@pytest.fixture(scope="module")
def quiet() -> Iterator[Harness]:
    harness = Harness("--script-memory-limit", "64mb")
    yield harness
    assert harness.bugs == []
    assert harness.run("EVAL", "return redis.call('PING')", 0) == "PONG"


def test_a_coroutine_outlives_a_call_with_many_arguments(quiet: Harness) -> None:
    """The host once asked Lua for them, on the stack that alone held the coroutine: it was freed while it ran."""
    script = """
        local many = {} for i = 1, 60 do many[i] = 'x' end
        for _ = 1, 50 do
            local ok, inner = coroutine.resume(coroutine.create(function()
                redis.pcall(unpack(many)) cmsgpack.pack(many)
                local _, sum = coroutine.resume(coroutine.create(function()
                    collectgarbage()
                    local t = {} for i = 1, 2000 do t[i] = {i} end
                    return #t
                end))
                return sum
            end))
            if inner ~= 2000 then return 'lost' end
        end
        return 'done'"""
    assert quiet.run("EVAL", script, 0) == b"done"


def test_what_a_coroutine_decoded_does_not_bind_the_host_to_it(quiet: Harness) -> None:
    assert quiet.run("EVAL", "return coroutine.wrap(function() return cjson.decode('[null,7]')[2] end)()", 0) == 7
    quiet.run("EVAL", "collectgarbage() local t = {} for i = 1, 20000 do t[i] = {i} end", 0)
    quiet.run("SCRIPT", "FLUSH")
    gc.collect()
    assert quiet.run("EVAL", "return cjson.decode('[null,7]')[2]", 0) == 7


FULL = """
local big, size = {}, 2^22
while size >= 8 do
    local ok, s = pcall(string.rep, 'x' .. #big .. '-' .. size .. '|', size / 8)
    if ok then big[#big + 1] = s else size = size / 2 end
end
local t = {} for i = 1, 30 do t[i] = {} end
"""


@pytest.mark.parametrize(
    "call",
    [
        "redis.call(unpack(t))",
        "redis.call('echo', 'x')",
        "redis.call('LRANGE', 'l', 0, -1)",
        "coroutine.wrap(function() return redis.call(unpack(t)) end)()",
        "bit.bor(unpack(t))",
        "cjson.decode('[1,[2],{\"a\":3}]')",
        "cmsgpack.unpack('\\148\\1\\2\\3\\4')",
        "redis.sha1hex('a')",
        "loadstring('return 1')()",
    ],
)
def test_without_memory_the_host_is_still_asked_safely(quiet: Harness, call: str) -> None:
    quiet.run("RPUSH", "l", *range(2000))
    quiet.run("EVAL", f"{FULL} for i = 1, 20 do pcall(function() return {call} end) end", 0)
    assert quiet.run("EVAL", "return redis.call('ECHO', 'fine')", 0) == b"fine"


def test_the_garbage_of_one_run_does_not_stop_the_next(quiet: Harness) -> None:
    quiet.run("EVAL", "local t = {} for i = 1, 30 do t[i] = ('x'):rep(1e6) .. i end return #t", 0)
    assert quiet.scripts.interpreter.memory() < 16 << 20
    assert quiet.run("EVAL", "return #('x'):rep(2e7)", 0) == 20_000_000


@pytest.mark.parametrize("body", ["", "coroutine.yield()"])
def test_coroutines_are_forgotten(quiet: Harness, body: str) -> None:
    script = f"""
        local t = {{}}
        for i = 1, 20000 do t[i] = coroutine.create(function() {body} end) coroutine.resume(t[i]) end
        t = nil collectgarbage()"""
    quiet.run("EVAL", "return 1", 0)
    before = quiet.scripts.interpreter.memory()
    quiet.run("EVAL", script, 0)
    quiet.scripts.interpreter.lua.gccollect()
    assert quiet.scripts.interpreter.memory() - before < 500_000


def test_an_error_leaves_no_trace_in_what_is_protected(quiet: Harness) -> None:
    """Where an error came from was once noted in the object that was thrown."""
    for thrown in ("redis", "_G", "cjson", "string", "getmetatable('')"):
        assert quiet.run("EVAL", f"error({thrown})", 0).startswith("-ERR Attempt to modify a readonly table")
    assert quiet.run("EVAL", "return {rawget(redis, 'line'), rawget(_G, 'line'), rawget(cjson, 'source')}", 0) == []


@pytest.mark.parametrize(
    "script",
    [
        "return string.find(('a'):rep(60), ('a?'):rep(60) .. ('a'):rep(60))",  # a short text
        "return (('b' .. ('a'):rep(3000)):gsub(('.-'):rep(12) .. 'b', ''))",  # the first match is found at once
        "return ('b' .. ('a'):rep(3000)):find(('.-'):rep(12) .. 'b', 2)",
        "return string.find(('a'):rep(3000), ('.-'):rep(6) .. '%bxy')",
        "return string.find(('a'):rep(3000), '(.-)(.-)(.-)%1%2%3b')",
        "return string.find(('a'):rep(32), ('.-'):rep(15) .. 'b')",
    ],
)
def test_a_pattern_that_runs_away_is_given_up(quiet: Harness, script: str) -> None:
    assert quiet.run("EVAL", script, 0).startswith("-ERR user_script:1: pattern too complex")


def test_a_long_text_is_looked_for_in_steps_that_add_up(quiet: Harness) -> None:
    script = "return string.find(('a'):rep(2e6), ('a'):rep(2e5) .. 'b', 1, true)"
    assert quiet.run("EVAL", script, 0) is None


@pytest.mark.parametrize(
    "script",
    [
        "return struct.size((' '):rep(1e7))",
        "return cjson.decode('[' .. ('1,'):rep(4e6) .. '1]')",
        "return cmsgpack.unpack('\\221\\0\\255\\255\\255' .. ('\\192'):rep(1.7e7))",
    ],
)
def test_what_is_too_much_for_the_host_is_refused_at_once(quiet: Harness, script: str) -> None:
    reply = quiet.run("EVAL", script, 0)
    assert "format too long" in reply or "not enough memory" in reply
