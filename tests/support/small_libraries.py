"""Small libraries, each for one error or one way of registering: loaded by us and by redis-server, which is right."""

# The first line, with a function below it.
HEADS = [
    "#!lua name=x",
    "#!lua",
    "#!lua  name=x",
    "#! lua name=x",
    "#!LUA name=x",
    "#!lua name=",
    "#!lua name=a-b",
    "#!lua name='x'",
    '#!lua name="x y"',
    "#!lua name=x foo=1",
    "#!lua name=x name=y",
    "#!lua NAME=x",
    "#!lua engine=x name=x",
    "#!lua name=x flags=no-writes",
    "!lua name=x",
    "#!js name=x",
    "#!",
    "#!lua name=x\r",
    "\n#!lua name=x",
    "#!lua name=x 'unbalanced",
    "#!lua\tname=x",
]

# What is below a good first line. What they register, if anything, is called then.
BODIES = r"""
local x=string.format('a')
local x=tostring(1)
for k in pairs({}) do end
local x=cjson.encode({})
local x=os.clock()
local x=redis.sha1hex('a')
local x=redis.REDIS_VERSION
redis.log(redis.LOG_NOTICE,'x')
x=1
local x=y
local x=_G
local x=KEYS
redis.register_function('a','b','c')
redis.register_function()
redis.register_function('f',5)
redis.register_function(function() end,'f')
redis.register_function({})
redis.register_function{function_name='x'}
redis.register_function{function_name='x',callback=5}
redis.register_function{function_name='x',callback=function() end,flags='no-writes'}
redis.register_function{function_name='x',callback=function() end,flags={5}}
redis.register_function{function_name='x',callback=function() end,flags={'no-writes','allow-oom','allow-stale'}}
redis.register_function{function_name='x',callback=function() end,flags={'no-cluster','allow-cross-slot-keys'}}
redis.register_function{function_name='x',callback=function() end,flags={'raw-arguments'}}
redis.register_function{function_name='x',callback=function() end,flags={'NO-WRITES'}}
redis.register_function{function_name='x',callback=function() end,description=5}
redis.register_function{function_name='x',callback=function() end,description={}}
redis.register_function{function_name=5,callback=function() end}
redis.register_function{[1]='x',callback=function() end}
redis.register_function{function_name='x',callback=function() end,foo=1}
redis.register_function(5,function() end)
redis.register_function(nil,function() end)
redis.register_function('a-b',function() end)
redis.register_function('',function() end)
redis.register_function('a',nil)
redis.x=1
redis.call('get','x')
redis.pcall('get','x')
redis.setresp(3)
error('boom')
error({err='FOO bar'})
error('boom',0)
return 5
local function f() return f() end f()
setmetatable({}, {})
local a = nil .. 'x'
redis.register_function('c',function() return 1 end) error('after')
redis.register_function('c',cjson)
redis.register_function('e',redis.call)
redis.register_function('e2',error)
redis.register_function('d', function() return 1 end) do return end
assert(false)
assert(false,'m')
local t=loadstring('return 1')
getmetatable('')
rawset(_G,'x',1)
next(redis)
redis.register_function{function_name='n',callback=function() end,flags={'no-writes',nil,'bad'}}
redis.register_function{function_name='n2',callback=function() end,flags={a='bad'}}
redis.setresp
local s=('x'):rep(3)
local s=('x'):upper() redis.register_function(s,function() return s end)
local n=#redis
redis.register_function{FUNCTION_NAME='up',CALLBACK=function() end}
redis.register_function{function_name='x\0y',callback=function() end}
""".strip().splitlines()

# Flags in the first line of a script.
FLAGS = """

#!lua
#!lua flags=no-writes
#!lua flags=allow-oom
#!lua flags=no-writes,allow-oom
#!lua flags=allow-stale
#!lua flags=no-cluster
#!lua flags=
#!lua flags
#!lua flags=no-writes,
#!lua flags=no-writes,no-writes
#!lua flags=no-writes flags=allow-oom
#!lua flags=NO-WRITES
#!lua FLAGS=no-writes
#!lua flags=allow-cross-slot-keys
#!lua flags=raw-arguments
#!lua 'flags=no-writes'
#!lua x
#!
#!LUA
#! lua
#!js
""".removesuffix("\n").split("\n")[1:]

# What such a script does before its last call, and that call.
FIRST = ["", "redis.call('DEL', 'a') ", "redis.call('GET', 'a') ", "redis.pcall('SET', 'a', 1) "]
LAST = ["'SET', 'x', 'y'", "'GET', 'x'", "'DEL', 'x'", "'PUBLISH', 'a', 'b'", "'EXPIRE', 'x', 100"]
