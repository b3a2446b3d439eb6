-- What a script sees, and nothing else. Run once for each interpreter, before any script, with the functions of the
-- host (broker/scripting/interpreter.py); gives back the entry points that the host calls.
--
-- Promises: no Python object, file, process or byte code is reachable; no table that outlives a run can be changed.
-- Stock Lua has no read-only tables, so each library is an empty proxy whose metatable leads to the real one, and the
-- few functions that write without asking the metatable (rawset, table.insert ...) are wrapped.

local host, flag_names, version, version_number, for_functions = ...

local assert, debug, error, floor, ceil, getfenv, getmetatable, ipairs, loadstring, math, next, pairs, pcall, rawequal =
    assert, debug, error, math.floor, math.ceil, getfenv, getmetatable, ipairs, loadstring, math, next, pairs, pcall, rawequal
local rawget, rawset, select, setfenv, setmetatable, string, table, tonumber, tostring, type, unpack, xpcall, load, os_clock =
    rawget, rawset, select, setfenv, setmetatable, string, table, tonumber, tostring, type, unpack, xpcall, load, os.clock
local coroutine, collectgarbage, gcinfo, newproxy = coroutine, collectgarbage, gcinfo, newproxy
local getinfo, sethook, sub, find, byte = debug.getinfo, debug.sethook, string.sub, string.find, string.byte
local create, resume, insert = coroutine.create, coroutine.resume, table.insert
local base = getfenv(0)

local READONLY = "Attempt to modify a readonly table"
local CHUNK = 4000 -- values at a time between Lua and the host: the C stack takes 8,000
local MAX_HANDLERS = 200 -- of an error in the handler of an error in ...
local MANY_SORTED = 2000 -- entries of a table; beyond that its sorting has to be open to the hook

-- Tables that nobody may change: {proxy: the real table}. Weak, or nothing here would ever be freed.
local protected = setmetatable({}, { __mode = "k" })

local function refuse() error(READONLY, 2) end

local function proxy(real)
    local shown = setmetatable({}, { __index = real, __newindex = refuse, __metatable = false })
    protected[shown] = real
    return shown
end

local globals = {} -- the real global table of scripts; they see `env`
local env = setmetatable({}, { __index = globals, __newindex = refuse, __metatable = false })
protected[env] = globals

local function missing(t, name)
    if (name == "KEYS" or name == "ARGV") and t == globals and not for_functions then
        globals[name] = {} -- the script that runs was given none
        return globals[name]
    end
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end
setmetatable(globals, { __index = missing })
setfenv(1, env)

-- The hook: it lets the host answer other clients, and ends a script that was killed. What keeps an error to itself
-- (pcall, xpcall, coroutine.resume) asks, too: so it can't save the script, nor hide that the hook could not run for
-- want of room on a stack.

local INTERNAL = { ["@sandbox"] = true, ["@cjson"] = true, ["@cmsgpack"] = true, ["@patterns"] = true,
                   ["@rows"] = true, ["@shapes"] = true }
local MOST_COUNT, LEAST_COUNT = 2000, 20 -- instructions between two runs of the hook
local QUICK, SLOW = 0.002, 0.02 -- seconds that they may take: one that joins strings of 100 MB is slow
local hook_count, last_clock = MOST_COUNT, 0

local function stop_if_killed()
    local message = host.tick()
    if message then error({ err = message, ignore_error_stats_update = false }, 0) end
end
local function hook()
    stop_if_killed()
    local now = os_clock()
    local took = now - last_clock
    last_clock = now
    if took > SLOW and hook_count > LEAST_COUNT then
        hook_count = hook_count / 10
        sethook(hook, "", hook_count)
    elseif took < QUICK and hook_count < MOST_COUNT then
        hook_count = hook_count * 10
        sethook(hook, "", hook_count)
    end
end

-- Base library

globals._G = env
globals._VERSION = base._VERSION
for _, name in ipairs({ "tostring", "assert", "tonumber", "rawequal", "type", "select", "unpack", "ipairs", "error",
                        "gcinfo" }) do
    globals[name] = base[name]
end

-- The text of an error without a line of ours at its begin: what scripts call is C to them.
local function without_place(text)
    local _, stop, file = find(text, "^(%l+):%d+: ")
    if stop and INTERNAL["@" .. file] then return sub(text, stop + 1), true end
    return text, false
end

-- For a function of ours: what Lua's library says of an argument, with the name that the script called it by.
local function argument_error(index, why)
    local info = getinfo(2, "n")
    local name = info.name or "?"
    if info.namewhat == "method" then
        index = index - 1
        if index == 0 then error("calling '" .. name .. "' on bad self (" .. why .. ")", 3) end
    end
    error("bad argument #" .. index .. " to '" .. name .. "' (" .. why .. ")", 3)
end
local function expected(wanted, value, count, index)
    return wanted .. " expected, got " .. (count < index and "no value" or type(value))
end

local function protected_result(ok, ...)
    if not ok then
        stop_if_killed()
        local problem = ...
        if type(problem) == "table" then -- scripts of before Redis 7 expect a text
            local text = rawget(problem, "err")
            if type(text) == "string" then return false, text end
        elseif type(problem) == "string" then
            return false, (without_place(problem))
        end
    end
    return ok, ...
end
globals.pcall = function(...) return protected_result(pcall(...)) end

-- The handler runs when the stack has been unwound: within the error of a hook nothing could interrupt it.
local function handled(handler, ok, ...)
    if ok then return true, ... end
    local problem = ...
    for _ = 1, MAX_HANDLERS do
        stop_if_killed()
        if problem == "not enough memory" then return false, problem end
        ok, problem = pcall(handler, problem)
        if ok then return false, problem end
    end
    return false, "error in error handling"
end
globals.xpcall = function(...)
    if select("#", ...) < 2 then error("bad argument #2 to 'xpcall' (value expected)", 2) end
    local f, handler = ...
    return handled(handler, pcall(f))
end

-- What is protected is looked at as if it were the real table, which nobody gets.
globals.next = function(t, ...) return next(protected[t] or t, ...) end
globals.pairs = function(...)
    local t = ...
    local real = protected[t]
    if not real then return pairs(...) end
    return function(_, key) return next(real, key) end, t, nil
end
globals.rawget = function(t, ...) return rawget(protected[t] or t, ...) end

globals.rawset = function(t, key, value)
    if protected[t] then error(READONLY, 0) end
    return rawset(t, key, value)
end
globals.setmetatable = function(t, meta)
    if protected[t] then error(READONLY, 0) end
    return setmetatable(t, meta)
end
local no_meta = proxy({})
globals.getmetatable = function(t)
    local meta = getmetatable(t)
    if meta == false then return no_meta end
    return meta
end

local function compiled(text, name)
    if byte(text) == 27 then return nil, "attempt to load chunk with wrong mode" end
    if INTERNAL[name] then name = "=(load)" end -- one of ours could not be ended
    local f, problem = loadstring(text, name)
    if not f then return nil, problem end
    return setfenv(f, env)
end
local function wanted(kind, name, ...)
    local got = select("#", ...) == 0 and "no value" or type((...))
    error("bad argument #1 to '" .. name .. "' (" .. kind .. " expected, got " .. got .. ")", 3)
end
globals.loadstring = function(...)
    local text, name = ...
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then wanted("string", "loadstring", ...) end
    return compiled(text, name or text)
end
globals.load = function(...)
    local reader, name = ...
    if type(reader) ~= "function" then wanted("function", "load", ...) end
    local pieces = {}
    while true do
        local piece = reader()
        if piece == nil or piece == "" then break end
        if type(piece) ~= "string" then return nil, "reader function must return a string" end
        pieces[#pieces + 1] = piece
    end
    return compiled(table.concat(pieces), name or "=(load)")
end
globals.collectgarbage = function(what, argument)
    if what == "count" then return collectgarbage("count") end
    if what == nil or what == "collect" or what == "step" then
        return collectgarbage(what or "collect", argument)
    end
    return 0 -- tuning and stopping the collector is the host's business
end

-- Coroutines: each has a hook of its own while it runs, or a script could run in one for ever. It loses it with each
-- yield, since Lua's table of hooks keeps what is in it, also of coroutines that are gone.

local co = {}
for name, f in pairs(coroutine) do co[name] = f end
co.create = function(f)
    if type(f) ~= "function" then error("bad argument #1 to 'create' (Lua function expected)", 2) end
    return create(f)
end
local status = coroutine.status
local resumed_times = 0
local function resume_result(thread, ok, ...)
    sethook(thread)
    if not ok then stop_if_killed() end
    return ok, ...
end
local function resume_hooked(thread, ...)
    if status(thread) ~= "suspended" then return resume(thread, ...) end -- which gives the reason why it does not
    resumed_times = resumed_times + 1
    if resumed_times % 64 == 0 then stop_if_killed() end -- each counts its instructions from the start
    sethook(thread, hook, "", hook_count)
    return resume_result(thread, resume(thread, ...))
end
co.resume = function(...)
    if type((...)) ~= "thread" then error("bad argument #1 to 'resume' (coroutine expected)", 2) end
    return resume_hooked(...)
end
local function resumed(ok, ...)
    if not ok then error((...), 3) end -- at the caller of what co.wrap() made, which called this as its last act
    return ...
end
co.wrap = function(f)
    if type(f) ~= "function" then error("bad argument #1 to 'wrap' (Lua function expected)", 2) end
    local thread = co.create(f)
    return function(...) return resumed(resume_hooked(thread, ...)) end
end
globals.coroutine = proxy(co)

-- string, table, math, os

local strings = {}
for name, f in pairs(string) do strings[name] = f end
for name, f in pairs(host.libraries.patterns({
    host = host, env = env, string = string, table = table, type = type, error = error, pcall = pcall, floor = floor,
    ceil = ceil, tonumber = tonumber, tostring = tostring, select = select, unpack = unpack, setfenv = setfenv,
    argument_error = argument_error, expected = expected, most_steps = 5e7, -- a few tenths of a second
})) do
    strings[name] = f
end
local rep = string.rep
local LONG = 1000000 -- bytes of a text whose making takes as long as many instructions
strings.rep = function(...)
    local text, count = ...
    if text == "" and type(count) == "number" then return "" end -- C would count to the end
    if type(text) ~= "string" and type(text) ~= "number" then argument_error(1, expected("string", text, select("#", ...), 1)) end
    if not tonumber(count) then argument_error(2, expected("number", count, select("#", ...), 2)) end
    if #tostring(text) * tonumber(count) > LONG then stop_if_killed() end
    return rep(text, count)
end
globals.string = proxy(strings)
local string_meta = getmetatable("")
string_meta.__index = strings
string_meta.__metatable = proxy({ __index = globals.string })

local tables = {}
for name, f in pairs(table) do tables[name] = f end
tables.insert = function(t, ...)
    if type(t) ~= "table" then
        error("bad argument #1 to 'insert' (table expected, got " .. (t == nil and "nil" or type(t)) .. ")", 2)
    end
    if protected[t] then error(READONLY, 0) end
    local count = select("#", ...)
    if count == 1 then
        t[#t + 1] = (...)
        return
    elseif count ~= 2 then
        error("wrong number of arguments to 'insert'", 2)
    end
    return insert(t, ...)
end
local sort = table.sort
local function less(a, b) return a < b end
tables.sort = function(t, compare)
    if compare == nil and type(t) == "table" and #t > MANY_SORTED then return sort(t, less) end
    return sort(t, compare)
end
globals.table = proxy(tables)

local maths = {}
for name, f in pairs(math) do maths[name] = f end
local LIMIT = 2147483647
-- As C makes an `int` of it: of 64 bits first, of which the lower 32 count.
local function checked_int(value, index, name)
    local number = tonumber(value)
    if not number then
        local got = value == nil and "no value" or type(value)
        error("bad argument #" .. index .. " to '" .. name .. "' (number expected, got " .. got .. ")", 3)
    end
    if not (number > -2 ^ 63 and number < 2 ^ 63) then return 0 end
    number = (number >= 0 and floor(number) or ceil(number)) % 2 ^ 32
    return number < 2 ^ 31 and number or number - 2 ^ 32
end
maths.random = function(...)
    local count = select("#", ...)
    local r = (host.random() % LIMIT) / LIMIT
    if count == 0 then return r end
    local low, high = 1, nil
    if count == 1 then
        high = checked_int((...), 1, "random")
    elseif count == 2 then
        low, high = checked_int((...), 1, "random"), checked_int(select(2, ...), 2, "random")
    else
        error("wrong number of arguments", 2)
    end
    if low > high then error("bad argument #" .. count .. " to 'random' (interval is empty)", 2) end
    return floor(r * (high - low + 1)) + low
end
maths.randomseed = function(seed) host.seed(checked_int(seed, 1, "randomseed")) end
globals.math = proxy(maths)
globals.os = proxy({ clock = os_clock })

-- redis

local function failure(text) return { err = text } end

local build, flatten, extend, newest_shape = host.libraries.rows({
    host = host, env = env, type = type, error = error, next = next, select = select, unpack = unpack, rawget = rawget,
    floor = floor, ceil = ceil, setfenv = setfenv, CHUNK = CHUNK, ipairs = ipairs, insert = insert, loadstring = loadstring,
    format = string.format, concat = table.concat,
})

-- What a call gives: a value, and for what is no plain value its mark (broker/scripting/values.py).
local function made(value, mark, ...)
    if mark == 6 then return { ... } end
    if mark == 7 then return (build(value, ...)) end
    if mark == 1 then return { ok = value } end
    if mark == 5 then host.relimit() end -- no room: the host has lifted the limit to be able to say so
    if mark == 2 or mark == 5 then return { err = value, ignore_error_stats_update = true } end
    if mark == 3 then return { double = value } end
    return { verbatim_string = { string = value, format = (...) } }
end

local host_call, host_part, host_call_parts, host_taken, host_verb = host.call, host.part, host.call_parts, host.taken,
    host.verb
local MANY = 40 -- arguments that are cheaper in parts: each of the others is copied with every one that follows
-- (The host must not ask for them while a script runs: it would use the stack of the coroutine that resumed this one.)
local function in_parts(row, count)
    for from = 1, count, MANY do
        local to = from + MANY - 1
        host_part(from, unpack(row, from, to < count and to or count))
    end
end

-- Commands by name, as scripts spell it: an object of the host, which takes what follows the name.
local verbs = {}
local function call_otherwise(...)
    local name, count = (...), select("#", ...)
    if type(name) == "string" and not verbs[name] then verbs[name] = host_verb(name) end -- for the next time
    if count > MANY then
        in_parts({ ... }, count)
        return host_call_parts()
    end
    return host_call(...)
end

local function given(value, mark, ...)
    if mark == nil then return value end
    return made(value, mark, ...)
end
local function given_or_error(value, mark, ...)
    if mark == nil then return value end
    local result = made(value, mark, ...)
    if mark == 2 or mark == 5 then error(result, 0) end
    return result
end

-- redis.call and redis.pcall. finish: makes what they give of what the host gave. A verb gives a plain value; true for
-- the status OK; and what is not a number for all else, which is then to be taken.
local function calling(finish)
    return function(name, ...) -- so that what follows the name need not be selected: call() is a call(nil)
        local verb = verbs[name]
        local first, second, _, _, _, _, _, _, ninth = ...
        if not verb or ninth ~= nil then return finish(call_otherwise(name, ...)) end
        local value
        if second == nil and select("#", ...) == 1 then
            value = verb[first]
        else
            value = verb(...)
        end
        if value ~= value then return finish(host_taken()) end
        if value == true then return { ok = "OK" } end
        return value
    end
end
local call, protected_call = calling(given_or_error), calling(given)

-- A function of the host that gives (true, results ...) or (false, message).
local function checked(ok, ...)
    if not ok then
        host.relimit()
        error((...), 3)
    end
    return ...
end
local PLAIN = { string = true, number = true, boolean = true, ["nil"] = true } -- cross by themselves
local function from_host(f)
    return function(...)
        local count = select("#", ...)
        if count <= MANY then return checked(f(...)) end
        local values = { ... }
        for i = 1, count do -- a table that Python knows takes a place of the registry, and there are not so many
            if not PLAIN[type(values[i])] then values[i] = true end
        end
        return checked(f(unpack(values, 1, count)))
    end
end
local function raising_table(f) -- the error is a table, as the functions of redis.* raise it
    return function(...)
        local ok, value = f(...)
        if not ok then error(failure(value), 0) end
        return value
    end
end

local function logging(api)
    api.log = raising_table(host.log)
    api.LOG_DEBUG, api.LOG_VERBOSE, api.LOG_NOTICE, api.LOG_WARNING = 0, 1, 2, 3
    api.REDIS_VERSION, api.REDIS_VERSION_NUM = version, version_number
    api.SERVER_NAME, api.SERVER_VERSION, api.SERVER_VERSION_NUM = "millstream", version, version_number
    return api
end

local api = logging({ call = call, pcall = protected_call })
api.sha1hex = function(...)
    if select("#", ...) ~= 1 then error(failure("ERR wrong number of arguments"), 0) end
    local text = ...
    if type(text) == "number" then text = tostring(text) end
    if type(text) ~= "string" then text = "" end
    return host.sha1hex(text)
end
api.error_reply = function(...)
    local text = ...
    if select("#", ...) ~= 1 or type(text) ~= "string" then return failure("ERR wrong number or type of arguments") end
    if byte(text) == 45 then text = sub(text, 2) end
    if not find(text, " ", 1, true) then text = "ERR " .. text end
    return failure(text)
end
api.status_reply = function(...)
    local text = ...
    if select("#", ...) ~= 1 or type(text) ~= "string" then return failure("ERR wrong number or type of arguments") end
    return { ok = text }
end
api.setresp = raising_table(host.setresp)
api.set_repl = raising_table(host.set_repl)
api.REPL_NONE, api.REPL_AOF, api.REPL_SLAVE, api.REPL_REPLICA, api.REPL_ALL = 0, 1, 2, 2, 3
api.acl_check_cmd = raising_table(host.acl_check_cmd)
if not for_functions then
    api.breakpoint = function() return false end
    api.debug = function() end
    api.replicate_commands = function() return true end
end
globals.redis = proxy(api)
globals.server = globals.redis

-- cjson, cmsgpack, struct, bit

local null = newproxy()
local function is_null(value) return rawequal(value, null) end

local settings = { changed = false } -- of cjson: has a script changed them?
local tools = {
    host = host, build = build, checked = checked, null = null, is_null = is_null, settings = settings, env = env,
    string = string, table = table, math = math, type = type, next = next, error = error, pcall = pcall, floor = floor,
    tostring = tostring, tonumber = tonumber, select = select, unpack = unpack, rawget = rawget, setfenv = setfenv, in_parts = in_parts,
    newest_shape = newest_shape, MANY = MANY,
}
do
    globals.cjson = proxy(host.libraries.cjson(tools))
    globals.cmsgpack = proxy(host.libraries.cmsgpack(tools))
    local packing = {}
    for _, name in ipairs({ "pack", "unpack", "size" }) do packing[name] = from_host(host.struct[name]) end
    globals.struct = proxy(packing)
    local bits = {}
    for _, name in ipairs({ "tobit", "bnot", "band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror",
                            "bswap", "tohex" }) do
        bits[name] = from_host(host.bit[name])
    end
    globals.bit = proxy(bits)
end

-- Functions: while a library is loaded, only redis.register_function and the log are there.

local loading_api = logging({})
local loading = { redis = proxy(setmetatable(loading_api, { __index = missing })) }
loading.server = loading.redis
setmetatable(loading, { __index = missing })
local env_meta = { __index = globals, __newindex = refuse, __metatable = false }
debug.setmetatable(env, env_meta)

local FLAGS = {}
for _, name in ipairs(flag_names) do FLAGS[name] = true end
local function read_named(arguments)
    if type(arguments) ~= "table" then
        return nil, "calling redis.register_function with a single argument is only applicable to Lua table " ..
            "(representing named arguments)."
    end
    local found = { flags = {} }
    for key, value in pairs(arguments) do
        if type(key) ~= "string" and type(key) ~= "number" then
            return nil, "named argument key given to redis.register_function is not a string"
        end
        local lowered = string.lower(key)
        if lowered == "function_name" or lowered == "description" then
            if type(value) == "number" then value = tostring(value) end
            if type(value) ~= "string" then
                return nil, lowered .. " argument given to redis.register_function must be a string"
            end
            found[lowered] = value
        elseif lowered == "callback" then
            if type(value) ~= "function" then
                return nil, "callback argument given to redis.register_function must be a function"
            end
            found.callback = value
        elseif lowered == "flags" then
            if type(value) ~= "table" then
                return nil, "flags argument to redis.register_function must be a table representing function flags"
            end
            local i = 1
            while value[i] ~= nil do
                if type(value[i]) ~= "string" or not FLAGS[string.lower(value[i])] then return nil, "unknown flag given" end
                found.flags[i] = string.lower(value[i])
                i = i + 1
            end
        else
            return nil, "unknown argument given to redis.register_function"
        end
    end
    if not found.function_name then return nil, "redis.register_function must get a function name argument" end
    if not found.callback then return nil, "redis.register_function must get a callback argument" end
    return found
end
local function read_positional(name, callback)
    if type(name) == "number" then name = tostring(name) end
    if type(name) ~= "string" then return nil, "first argument to redis.register_function must be a string" end
    if type(callback) ~= "function" then return nil, "second argument to redis.register_function must be a function" end
    return { function_name = name, callback = callback, flags = {} }
end
loading_api.register_function = function(...)
    local count = select("#", ...)
    if count < 1 or count > 2 then error(failure("ERR wrong number of arguments to redis.register_function"), 0) end
    local found, problem
    if count == 1 then found, problem = read_named(...) else found, problem = read_positional(...) end
    if not found then error(failure("ERR " .. problem), 0) end
    host.lift() -- the registry may have to grow
    local refused = host.register(found.function_name, found.callback, found.description or false,
                                  table.concat(found.flags, ","))
    host.relimit()
    if refused then error(failure("ERR " .. refused), 0) end
end

-- A text of Lua's own library that one of our functions had called for the script, as if the script had called it.
local function placed(text, info, callee)
    local rest, is_ours = without_place(text)
    if not is_ours then return text end
    if callee and callee.namewhat == "method" then
        rest = string.gsub(rest, "^bad argument #(%d+)", function(n) return "bad argument #" .. n - 1 end)
    end
    return info.short_src .. ":" .. info.currentline .. ": " .. rest
end

-- Where an error came from: the innermost function of the script itself.
local function locate(problem)
    if protected[problem] then problem = READONLY end
    for level = 2, 40 do
        local info = getinfo(level, "Sl")
        if not info then break end
        if info.what ~= "C" and info.what ~= "tail" and not INTERNAL[info.source] then
            if type(problem) == "string" then problem = placed(problem, info, getinfo(level - 1, "n")) end
            if type(problem) ~= "table" then problem = { err = "ERR " .. tostring(problem) } end
            rawset(problem, "source", info.source)
            rawset(problem, "line", info.currentline)
            return problem
        end
    end
    return type(problem) == "table" and problem or { err = "ERR " .. tostring(problem) }
end

local function outcome(ok, value)
    if not ok then
        if type(value) ~= "table" then return "!", "ERR " .. tostring(value), false, 0, false end
        local text = rawget(value, "err")
        return "!", type(text) == "string" and text or "ERR unknown error", rawget(value, "source") or false, rawget(value, "line") or 0,
            rawget(value, "ignore_error_stats_update") == true
    end
    if PLAIN[type(value)] then return value end
    local row = {}
    local n = flatten(value, row, 0, 0)
    if n > CHUNK then return "*", row, n end
    return "=", unpack(row, 1, n)
end

local entry = {}

-- A script, or its code, of which the host makes what load_code() takes.
function entry.compile(source, name, as_code)
    local f, problem = compiled(source, name)
    if not f then return nil, problem end
    return as_code and string.dump(f) or f
end
function entry.load_code(code) return setfenv(loadstring(code), env) end

-- What a script sets holds for its run alone.
local function begin()
    settings.changed = false
    settings.reset()
end

local function run_with(f, keys, argv)
    if settings.changed then begin() end
    globals.KEYS, globals.ARGV = keys, argv
    local ok, value = xpcall(f, locate)
    if ok and PLAIN[type(value)] then return value end
    return outcome(ok, value)
end

-- Run a script: the first `count` of the values are its KEYS, the others its ARGV. What is not given is made when the
-- script asks for it (`missing`).
function entry.run(f, count, ...)
    if count == 0 then return run_with(f, nil, { ... }) end
    if count == 1 then
        local key = ...
        return run_with(f, { key }, { select(2, ...) })
    end
    local keys, argv = { ... }, { select(count + 1, ...) }
    for i = #keys, count + 1, -1 do keys[i] = nil end
    return run_with(f, keys, argv)
end

-- Of one key and nothing else.
function entry.run_key(f, key) return run_with(f, { key }, nil) end

entry.run_tables = run_with

function entry.run_function(f, keys, argv)
    if settings.changed then begin() end
    return outcome(xpcall(function() return f(keys, argv) end, locate))
end

function entry.begin_loading() env_meta.__index = loading end
function entry.end_loading() env_meta.__index = globals end

function entry.load_library(f)
    local ok, problem = pcall(f)
    if ok then return nil end
    if type(problem) == "table" then
        local text = rawget(problem, "err")
        return type(text) == "string" and text or ""
    end
    return "ERR " .. tostring(problem)
end

function entry.list(...) return { ... } end
entry.extend = extend
function entry.slice(row, from, to) return unpack(row, from, to) end

-- Nothing dangerous stays where a stray reference could find it.
for _, name in ipairs({ "python", "io", "os", "package", "require", "module", "debug", "dofile", "loadfile", "print",
                        "newproxy" }) do
    rawset(base, name, nil)
end
sethook(hook, "", hook_count)
return entry
