-- Tables on their way between Lua and the host, which know none of each other's: as flat rows of values.

local tools = ...
local host, type, error, next, select, unpack, rawget, floor, ceil = tools.host, tools.type, tools.error, tools.next,
    tools.select, tools.unpack, tools.rawget, tools.floor, tools.ceil
local CHUNK, new_maker = tools.CHUNK, host.libraries.shapes(tools)
tools.setfenv(1, tools.env)

local MAX_DEPTH = 128 -- of a reply: its reader and its writer recurse, too

-- What the host hands over and holds tables comes as a flat row of values (broker/scripting/rows.py): of each table its
-- head, the number of tables among its entries, its entries. Those tables stand before it; nil takes the next of them.

local function extend(row, n, ...)
    local values = { ... }
    local count = select("#", ...)
    for i = 1, count do row[n + i] = values[i] end
    return count
end

local function more(row, n, ok, ...)
    if not ok then
        host.relimit()
        error("not enough memory", 0)
    end
    return extend(row, n, ...)
end

local function pairs_of(row, from, to, made, child)
    local t = {}
    for i = from, to, 2 do
        local key, value = row[i], row[i + 1]
        if key == nil then key, child = made[child], child + 1 end
        if value == nil then value, child = made[child], child + 1 end
        t[key] = value
    end
    return t
end

local function array_of(row, from, to, made, child)
    local t = {}
    for i = from, to do
        local value = row[i]
        if value == nil then value, child = made[child], child + 1 end
        t[i - from + 1] = value
    end
    return t
end

-- Of shapes (broker/scripting/shapes.py): {head: a function that makes a table of its values}.
local makers, newest = {}, 0

-- What a row tells of a shape; `at` is behind the True. Gives where it goes on.
local function learn(row, at)
    local head, anew, tables, count = row[at], row[at + 1], row[at + 2], row[at + 3]
    if anew then makers = {} end
    makers[head] = new_maker(tables, unpack(row, at + 4, at + 3 + count))
    newest = head
    return at + 4 + count
end

-- The table, and its head.
local function build(total, ...)
    local row = { ... }
    if total > CHUNK then
        local n = CHUNK
        while n < total do n = n + more(row, n, host.more()) end
    end
    local made, top, at, head = {}, 0, 1, nil
    while at <= total do
        head = row[at]
        while head == true do
            at = learn(row, at + 1)
            head = row[at]
        end
        local maker, tables, t = makers[head], row[at + 1], nil
        at = at + 2
        if maker then
            t, at, top = maker(row, at - 1, made, top)
        elseif not head then
            t = nil -- a nil
        elseif head < 0 then
            local stop = at - head - 2
            if tables == 0 then
                t = {}
                for i = at, stop, 2 do t[row[i]] = row[i + 1] end
            else
                top = top - tables
                t = pairs_of(row, at, stop, made, top + 1)
            end
            at = stop + 1
        else
            local stop = at + head - 1
            if tables > 0 then
                top = top - tables
                t = array_of(row, at, stop, made, top + 1)
            elseif head == 2 then
                t = { row[at], row[at + 1] }
            elseif head <= CHUNK then
                t = { unpack(row, at, stop) }
            else
                t = array_of(row, at, stop)
            end
            at = stop + 1
        end
        top = top + 1
        made[top] = t
    end
    return made[1], head
end

-- Results, as a flat row of values that the host reads: a plain value stands for itself, anything else begins with
-- nil and the letter of its kind.

local flatten
local function flatten_keyed(letter, t, row, n, depth)
    row[n + 2] = letter
    local at, count = n + 3, 0
    n = at
    for key, value in next, t do
        n = flatten(key, row, n, depth + 1)
        if letter == "m" then n = flatten(value, row, n, depth + 1) end
        count = count + 1
    end
    row[at] = count
    return n
end
flatten = function(value, row, n, depth)
    local kind = type(value)
    if kind == "string" or kind == "boolean" then
        row[n + 1] = value
        return n + 1
    elseif kind == "number" then
        row[n + 1] = value >= 0 and floor(value) or ceil(value)
        return n + 1
    elseif kind ~= "table" then
        row[n + 2] = "0"
        return n + 2
    elseif depth > MAX_DEPTH then
        row[n + 2], row[n + 3] = "e", "ERR reached lua stack limit"
        return n + 3
    end
    local field = rawget(value, "err")
    if type(field) == "string" then
        row[n + 2] = rawget(value, "ignore_error_stats_update") and "e" or "E"
        row[n + 3] = field
        return n + 3
    end
    field = rawget(value, "ok")
    if type(field) == "string" then
        row[n + 2], row[n + 3] = "s", field
        return n + 3
    end
    field = rawget(value, "double")
    if type(field) == "number" then
        row[n + 2], row[n + 3] = "d", field
        return n + 3
    end
    field = rawget(value, "map")
    if type(field) == "table" then return flatten_keyed("m", field, row, n, depth) end
    field = rawget(value, "set")
    if type(field) == "table" then return flatten_keyed("S", field, row, n, depth) end
    field = rawget(value, "big_number")
    if type(field) == "string" then
        row[n + 2], row[n + 3] = "n", field
        return n + 3
    end
    field = rawget(value, "verbatim_string")
    if type(field) == "table" then
        local text, format = rawget(field, "string"), rawget(field, "format")
        if type(text) == "string" and type(format) == "string" then
            row[n + 2], row[n + 3], row[n + 4] = "v", format, text
            return n + 4
        end
    end
    local at, i = n + 3, 1
    row[n + 2] = "a"
    n = at
    while true do
        local item = rawget(value, i)
        if item == nil then break end
        n = flatten(item, row, n, depth + 1)
        i = i + 1
    end
    row[at] = i - 1
    return n
end

return build, flatten, extend, function() return newest end
