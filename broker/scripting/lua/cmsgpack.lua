-- cmsgpack for scripts: tables are laid flat here and packed by the host (broker/scripting/message_pack.py).
-- Behaviour: lua-cmsgpack 0.4 as Redis ships it.

local tools = ...
local host, build = tools.host, tools.build
local type, next, error, floor, select, unpack = tools.type, tools.next, tools.error, tools.floor, tools.select, tools.unpack
tools.setfenv(1, tools.env)

local results = tools.checked
local MAX_NESTING = 16

-- (true, n) for a table that has exactly the keys 1 to n, else (false, number of pairs).
local function shape(t)
    local highest, count, array = 0, 0, true
    for key in next, t do
        count = count + 1
        if array then
            if type(key) ~= "number" or key <= 0 or floor(key) ~= key then
                array = false
            elseif key > highest then
                highest = key
            end
        end
    end
    return array and highest == count, count
end

-- A row of values; nil and a letter stand before what is no plain value.
local function flatten(value, row, n, level)
    local kind = type(value)
    if kind == "string" or kind == "boolean" or kind == "number" then
        row[n + 1] = value
        return n + 1
    elseif kind ~= "table" or level == MAX_NESTING then
        row[n + 2] = "0"
        return n + 2
    end
    local array, count = shape(value)
    row[n + 2], row[n + 3] = array and "a" or "m", count
    n = n + 3
    if array then
        for i = 1, count do n = flatten(value[i], row, n, level + 1) end
    else
        for k, v in next, value do
            n = flatten(k, row, n, level + 1)
            n = flatten(v, row, n, level + 1)
        end
    end
    return n
end

local library = { _NAME = "cmsgpack", _VERSION = "lua-cmsgpack 0.4.0", _COPYRIGHT = "", _DESCRIPTION = "MessagePack C implementation for Lua" }

function library.pack(...)
    local count = select("#", ...)
    if count == 0 then error("bad argument #0 to 'pack' (MessagePack pack needs input.)", 2) end
    local row, n = {}, 0
    for i = 1, count do n = flatten((select(i, ...)), row, n, 0) end
    if n <= tools.MANY then return results(host.msgpack_pack(unpack(row, 1, n))) end
    tools.in_parts(row, n)
    return results(host.msgpack_pack_parts())
end

local function checked_text(text, name)
    if type(text) == "number" then return tools.tostring(text) end
    if type(text) ~= "string" then
        error("bad argument #1 to '" .. name .. "' (string expected, got " .. (text == nil and "no value" or type(text)) .. ")", 3)
    end
    return text
end

local function unpacked(kind, ...)
    if not kind then
        host.relimit()
        error((...), 3)
    end
    local found, count = build(kind, ...)
    return unpack(found, 1, count)
end

function library.unpack(text)
    text = checked_text(text, "unpack")
    return unpacked(host.msgpack_unpack(text, 0, 0))
end

local function checked_integer(value, index, name, default)
    if value == nil and default then return default end
    local number = tools.tonumber(value)
    if not number then
        local got = value == nil and "no value" or type(value)
        error("bad argument #" .. index .. " to '" .. name .. "' (number expected, got " .. got .. ")", 3)
    end
    return number - number == 0 and number or -1 -- nothing that could be taken
end

function library.unpack_limit(text, limit, offset)
    text = checked_text(text, "unpack_limit")
    limit, offset = checked_integer(limit, 2, "unpack_limit"), checked_integer(offset, 3, "unpack_limit", 0)
    return unpacked(host.msgpack_unpack(text, limit, offset))
end

function library.unpack_one(text, offset)
    text = checked_text(text, "unpack_one")
    return unpacked(host.msgpack_unpack(text, 1, checked_integer(offset, 2, "unpack_one", 0)))
end

return library
