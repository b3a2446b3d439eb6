"""Ways out of the sandbox, tried one by one: each fails with an error or finds nothing, and the server stands."""

import pytest
from support.engine import Harness

# Each returns what it got hold of; an escape would be anything but an error, nil or a plain value named below.
NOTHING_THERE = """
return io
return os.execute
return os.getenv
return os.remove
return debug
return package
return require
return module
return dofile
return loadfile
return print
return newproxy
return python
return setfenv
return getfenv
return getmetatable(redis.call)
return getmetatable(cjson.null)
return rawget(_G, 'python')
return rawget(getmetatable(''), 'x')
return loadstring('return python')()
return loadstring('return io')()
return redis.register_function
return load(function() return nil end)()
return coroutine.wrap(function() return python end)()
return select(2, pcall(function() return python end))
return string.dump
""".strip().splitlines()

REFUSED = """
redis.call.__globals__ = 1
return redis.call.__globals__
return redis.call.__class__
return redis.log.__self__
return cjson.decode.__code__
return cjson.null.__class__
return cjson.null.x
cjson.null.x = 1
return loadstring(string.char(27, 76, 117, 97))()
return loadstring(string.dump(function() end))()
return load(coroutine.wrap(function() coroutine.yield(string.dump(function() end)) end))()
_G.x = 1
x = 1
string.format = nil
string.x = 1
rawset(string, 'format', nil)
rawset(_G, 'x', 1)
table.insert(string, 1)
table.insert(_G, 1, 1)
setmetatable(_G, {})
setmetatable(string, nil)
getmetatable('').__index = nil
getmetatable('').x = 1
getmetatable('').__index.format = nil
getmetatable(_G).__index = nil
redis.call = nil
cjson.encode = nil
math.random = nil
coroutine.create = nil
bit.band = nil
struct.pack = nil
os.clock = nil
KEYS = nil
for k in pairs(_G) do _G[k] = nil end error('empty')
for k in pairs(redis) do redis[k] = nil end error('empty')
return redis.call(redis)
return redis.call(function() end)
return redis.call(setmetatable({}, {__tostring = function() return 'PING' end}))
return redis.call('EVAL', 'return 1', 0)
return redis.call('FUNCTION', 'FLUSH')
return redis.call('SCRIPT', 'FLUSH')
return redis.call('SHUTDOWN')
return redis.call('CONFIG', 'SET', 'dir', '/tmp')
return redis.call('DEBUG', 'SLEEP', 1)
local function f() return f() + 1 end return f()
local function f() f() f() end f()
local t = setmetatable({}, {__index = function(t, k) return t[k] end}) return t.x
local s = string.rep('(', 250) .. '1' .. string.rep(')', 250) return loadstring('return ' .. s)()
return string.rep(string.rep('x', 1e6), 1e6)
return ('x'):rep(1e10)
return table.concat({1, 2}, ('x'):rep(1e9))
return string.format('%1000d', 1)
return string.format('%' .. ('9'):rep(300) .. 'd', 1)
return string.find(('a'):rep(300000), ('a?'):rep(300000))
return string.find(('a'):rep(3000), ('.-'):rep(30) .. 'b')
return string.find(('a'):rep(3000), ('a*'):rep(12) .. 'b')
return ('a'):rep(3000):match(('.*'):rep(12) .. 'b')
return ('a'):rep(3000):gsub(('.-'):rep(12) .. 'b', '')
for _ in ('a'):rep(3000):gmatch(('.-'):rep(12) .. 'b') do end
local t = {} t[1] = t return cjson.encode(t)
return cjson.decode(('['):rep(100000))
return cjson.decode(('{"a":'):rep(100000))
return cmsgpack.unpack(('\\145'):rep(100000))
return cmsgpack.unpack('\\221\\255\\255\\255\\255')
return cmsgpack.unpack('\\223\\255\\255\\255\\255')
return cmsgpack.unpack('\\219\\255\\255\\255\\255')
return struct.unpack('c2000000000', 'x')
return struct.pack('i99999999999', 1)
return struct.unpack(('B'):rep(100000), ('x'):rep(100000))
error(setmetatable({}, {__index = error}))
error(setmetatable({err = 'x y'}, {__newindex = function() error('again') end}))
local c c = coroutine.wrap(function() return c() end) return c()
local function nest(n) return coroutine.wrap(function() return nest(n + 1) end)() end return nest(1)
return unpack({}, 1, 1e8)
return select(-1)
return tonumber('z', 99)
return math.random(0)
""".strip().splitlines()


@pytest.fixture(scope="module")
def broker() -> Harness:
    return Harness("--script-memory-limit", "64mb")


@pytest.mark.parametrize("script", NOTHING_THERE)
def test_there_is_nothing_to_get_hold_of(broker: Harness, script: str) -> None:
    reply = broker.run("EVAL", script, 0)
    assert (
        reply is None
        or (isinstance(reply, bytes) and b"nonexistent global" in reply)
        or (isinstance(reply, str) and reply.startswith("-ERR "))
    )
    assert broker.run("EVAL", "return redis.call('PING')", 0) == "PONG"


@pytest.mark.parametrize("script", REFUSED)
def test_an_attempt_is_an_error_and_the_server_stands(broker: Harness, script: str) -> None:
    reply = broker.run("EVAL", script, 0)
    assert isinstance(reply, str) and reply.startswith("-"), reply
    assert broker.run("EVAL", "return {redis.call('PING'), string.format('%d', 7), cjson.encode({1})}", 0) == [
        "PONG",
        b"7",
        b"[1]",
    ]
    assert broker.bugs == []


def test_python_objects_show_nothing_where_one_is_passed_to_lua(broker: Harness) -> None:
    """Defence in depth: even with a host function in hand, no attribute of it can be read or set."""
    interpreter = broker.scripts.interpreter
    probe = interpreter.lua.eval(b"function(f) local a, b = pcall(function() return f.__globals__ end) return a end")
    assert probe(len) is False
    assert interpreter.lua.eval(b"function(f) return (pcall(function() f.x = 1 end)) end")(len) is False


def test_patterns_that_people_write_are_let_through(broker: Harness) -> None:
    text = "key = value; " * 200
    trim = "return (string.gsub(ARGV[1], '^%s*(.-)%s*$', '%1'))"
    assert broker.run("EVAL", trim, 0, "  " + text + "  ") == text.rstrip().encode()
    split = "local n = 0 for k, v in string.gmatch(ARGV[1], '(%w+)%s*=%s*(%w+)') do n = n + 1 end return n"
    assert broker.run("EVAL", split, 0, text) == 200
