-- cjson for scripts: encoding here, since it walks Lua's tables; decoding by the host (broker/scripting/json_text.py).
-- Behaviour and texts: lua-cjson 2.1 as Redis ships it.

local tools = ...
local host, null, is_null, settings, build = tools.host, tools.null, tools.is_null, tools.settings, tools.build
local type, next, error, tostring, floor, select, rawget = tools.type, tools.next, tools.error, tools.tostring,
    tools.floor, tools.select, tools.rawget
local format, gsub, find, concat = tools.string.format, tools.string.gsub, tools.string.find, tools.table.concat
local huge, pcall, newest_shape = tools.math.huge, tools.pcall, tools.newest_shape
host.json_null(null)
tools.setfenv(1, tools.env)

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\t"] = "\\t", ["\n"] = "\\n",
                  ["\f"] = "\\f", ["\r"] = "\\r", ["\127"] = "\\u007f" }
for code = 0, 31 do
    local char = tools.string.char(code)
    escapes[char] = escapes[char] or format("\\u%04x", code)
end
local ESCAPED = '[%z\1-\31"\\/\127]'
local HARMLESS = "^[%w_ .,:;=+-]*$" -- found out faster

local function quoted(text)
    if not find(text, HARMLESS) and find(text, ESCAPED) then text = gsub(text, ESCAPED, escapes) end
    return '"' .. text .. '"'
end

-- (value), or (nil, what is wrong).
local function decoded(kind, ...)
    if kind == true then return (...) end
    if kind then return (build(kind, ...)) end
    host.relimit()
    return nil, (...)
end

local MOST, SHORT, SMALL, MOST_PIECES, MOST_BYTES = 2000, 40, 1000, 1000, 16384

local function new_library()
    -- What short texts and small numbers become, of as many as MOST before it is forgotten: most documents say the same
    -- things again and again. texts: {value: text}; firsts, others: {key of an object: {value: text of both, with what
    -- precedes them, LEAD: the text without the value}}; first_item, other_item: such tables for entries of arrays.
    local LEAD, lone = {}, {} -- lone: instead of such a table, for a key that is not to be remembered
    local texts, firsts, others, first_item, other_item, known
    local function forget()
        texts, firsts, others, known = { [true] = "true", [false] = "false", [null] = "null" }, {}, {}, 0
        first_item, other_item = { [LEAD] = "[" }, { [LEAD] = "," }
    end
    forget()
    local function remember(memo, key, text)
        known = known + 1
        if known > MOST then forget() else memo[key] = text end
        return text
    end

    local row -- of the pieces of a document, kept when it was small: to grow costs more than to be there

    local convert, ratio, safe, encode_depth, decode_depth, invalid_out, invalid_in, precision, keep
    local number_format

    local function reset()
        convert, ratio, safe = false, 2, 10
        encode_depth, decode_depth = 1000, 1000
        invalid_out, invalid_in = 0, true
        precision, keep = 14, true
        number_format = "%.14g"
        forget()
    end
    reset()

    local function unserialisable(value, why)
        error("Cannot serialise " .. type(value) .. ": " .. why, 0)
    end

    local function number_text(value)
        if value ~= value or value == huge or value == -huge then
            if invalid_out == 0 then unserialisable(value, "must not be NaN or Inf") end
            if invalid_out == 2 then return "null" end
            if value ~= value then return "nan" end
            return value > 0 and "inf" or "-inf"
        end
        return format(number_format, value)
    end

    -- The highest index of a table that is an array, -1 for an object.
    local function array_length(t)
        local highest, items = 0, 0
        for key in next, t do
            if type(key) ~= "number" or key < 1 or floor(key) ~= key then return -1 end
            if key > highest then highest = key end
            items = items + 1
        end
        if ratio > 0 and highest > items * ratio and highest > safe then
            if not convert then unserialisable(t, "excessively sparse array") end
            return -1
        end
        return highest
    end

    local function key_of(key, memo)
        local lead = memo == firsts and "{" or ","
        local kind = type(key)
        if kind == "string" then
            lead = lead .. quoted(key) .. ":"
            if #key <= SHORT then return remember(memo, key, { [LEAD] = lead }) end
        elseif kind == "number" then
            lead = lead .. '"' .. number_text(key) .. '":'
        else
            unserialisable(key, "table key must be a number or string")
        end
        lone[LEAD] = lead
        return lone
    end

    -- Of what is in no memo and no table.
    local function scalar(value, kind)
        if kind == "number" then
            if precision ~= 14 or value - value ~= 0 then return number_text(value) end
            if value > 0 and value < SMALL and value % 1 == 0 then return remember(texts, value, value .. "") end
            return value -- table.concat prints it so
        elseif kind == "string" then
            if #value > SHORT then return quoted(value) end
            return remember(texts, value, quoted(value))
        elseif kind == "boolean" then
            return value and "true" or "false"
        elseif kind == "nil" or is_null(value) then
            return "null"
        end
        unserialisable(value, "type not supported")
    end

    local append
    local careful = false -- see first whether an array is sparse, as lua-cjson does

    -- A key and a value that no memo has together.
    local function append_pair(of_key, value, out, n, depth)
        local kind = type(value)
        if kind == "table" then
            out[n] = of_key[LEAD]
            return append(value, out, n, depth)
        end
        local text = scalar(value, kind)
        if texts[value] and of_key ~= lone then
            out[n] = remember(of_key, value, of_key[LEAD] .. text)
            return n
        end
        out[n], out[n + 1] = of_key[LEAD], text
        return n + 1
    end

    local function append_object(t, key, value, out, n, depth)
        local of_key = firsts[key] or key_of(key, firsts)
        local text = of_key[value]
        n = n + 1
        if text then out[n] = text else n = append_pair(of_key, value, out, n, depth) end
        for key, value in next, t, key do
            of_key = others[key] or key_of(key, others)
            text = of_key[value]
            n = n + 1
            if text then out[n] = text else n = append_pair(of_key, value, out, n, depth) end
        end
        out[n + 1] = "}"
        return n + 1
    end

    -- Of what next() gives in the order of an array, as nearly every array is stored; otherwise nil. value: its first.
    local function append_stored(t, value, out, n, depth)
        local text = first_item[value]
        n = n + 1
        if text then out[n] = text else n = append_pair(first_item, value, out, n, depth) end
        local last = 1
        for i, value in next, t, 1 do
            last = last + 1
            if i ~= last then return nil end
            text = other_item[value]
            n = n + 1
            if text then out[n] = text else n = append_pair(other_item, value, out, n, depth) end
        end
        out[n + 1] = "]"
        return n + 1
    end

    local function append_array(t, length, out, n, depth)
        for i = 1, length do
            n = append_pair(i == 1 and first_item or other_item, rawget(t, i), out, n + 1, depth)
        end
        out[n + 1] = "]"
        return n + 1
    end

    append = function(t, out, n, depth)
        depth = depth + 1
        if depth > encode_depth then error("Cannot serialise, excessive nesting (" .. depth .. ")", 0) end
        local key, value = next(t)
        if key == 1 and not careful then
            local stop = append_stored(t, value, out, n, depth)
            if stop then return stop end
        elseif firsts[key] or type(key) == "string" then
            return append_object(t, key, value, out, n, depth)
        elseif key == nil then
            out[n + 1] = "{}"
            return n + 1
        end
        local length = array_length(t)
        if length <= 0 then return append_object(t, key, value, out, n, depth) end
        return append_array(t, length, out, n, depth)
    end

    local function encoded(value)
        local kind = type(value)
        if kind ~= "table" then return scalar(value, kind) .. "" end
        local out = row or {}
        row = nil
        local n = append(value, out, 0, 0)
        local text = concat(out, "", 1, n)
        if n <= MOST_PIECES and #text <= MOST_BYTES then row = out end
        return text
    end

    local library = { null = null, _NAME = "cjson", _VERSION = "2.1.0" }

    function library.encode(...)
        if select("#", ...) ~= 1 then error("bad argument #1 to 'encode' (expected 1 argument)", 2) end
        local ok, text = pcall(encoded, (...))
        if ok then return text end
        careful = true -- to find what lua-cjson finds wrong first
        ok, text = pcall(encoded, (...))
        careful = false
        error(text, 2)
    end

    function library.decode(...)
        local text = ...
        if select("#", ...) ~= 1 then error("bad argument #1 to 'decode' (expected 1 argument)", 2) end
        if type(text) == "number" then text = tostring(text) end
        if type(text) ~= "string" then
            error("bad argument #1 to 'decode' (string expected, got " .. type(text) .. ")", 2)
        end
        local value, problem = decoded(host.json_decode(text, invalid_in, decode_depth, newest_shape()))
        if problem then error(problem, 2) end
        return value
    end

    local function too_many(count, limit, name)
        if count > limit then error("bad argument #" .. (limit + 1) .. " to '" .. name .. "' (found too many arguments)", 3) end
    end
    local function integer(value, current, low, high, name, index)
        if value == nil then return current end
        local number = tools.tonumber(value)
        if not number then
            error("bad argument #" .. index .. " to '" .. name .. "' (number expected, got " .. type(value) .. ")", 3)
        end
        number = floor(number)
        if number < low or number > high then
            error("bad argument #1 to '" .. name .. "' (expected integer between " .. format("%d and %d", low, high) .. ")", 3)
        end
        return number
    end
    local function flag(value, current, name)
        if value == nil then return current end
        if value == true or value == "on" then return true end
        if value == false or value == "off" then return false end
        error("bad argument #1 to '" .. name .. "' (invalid option '" .. tostring(value) .. "')", 3)
    end

    local MAX = 2147483647
    function library.encode_sparse_array(...)
        too_many(select("#", ...), 3, "encode_sparse_array")
        local a, b, c = ...
        settings.changed = true
        convert = flag(a, convert, "encode_sparse_array")
        ratio = integer(b, ratio, 0, MAX, "encode_sparse_array", 2)
        safe = integer(c, safe, 0, MAX, "encode_sparse_array", 3)
        return convert, ratio, safe
    end
    function library.encode_max_depth(...)
        too_many(select("#", ...), 1, "encode_max_depth")
        settings.changed = true
        encode_depth = integer((...), encode_depth, 1, MAX, "encode_max_depth", 1)
        return encode_depth
    end
    function library.decode_max_depth(...)
        too_many(select("#", ...), 1, "decode_max_depth")
        settings.changed = true
        decode_depth = integer((...), decode_depth, 1, MAX, "decode_max_depth", 1)
        return decode_depth
    end
    function library.encode_number_precision(...)
        too_many(select("#", ...), 1, "encode_number_precision")
        settings.changed = true
        precision = integer((...), precision, 1, 14, "encode_number_precision", 1)
        number_format = "%." .. precision .. "g"
        forget()
        return precision
    end
    function library.encode_keep_buffer(...)
        too_many(select("#", ...), 1, "encode_keep_buffer")
        settings.changed = true
        keep = flag((...), keep, "encode_keep_buffer")
        return keep
    end
    function library.encode_invalid_numbers(...)
        too_many(select("#", ...), 1, "encode_invalid_numbers")
        local value = ...
        settings.changed = true
        if value == "null" then
            invalid_out = 2
        elseif value ~= nil then
            invalid_out = flag(value, false, "encode_invalid_numbers") and 1 or 0
        end
        if invalid_out == 2 then return "null" end
        return invalid_out == 1
    end
    function library.decode_invalid_numbers(...)
        too_many(select("#", ...), 1, "decode_invalid_numbers")
        settings.changed = true
        invalid_in = flag((...), invalid_in, "decode_invalid_numbers")
        return invalid_in
    end
    return library, reset
end

local library
library, settings.reset = new_library()
function library.new() -- a library of its own, with the default settings
    return (new_library())
end
return library
