-- Functions that make tables with certain keys (broker/scripting/shapes.py): (row, index of the first value, tables made
-- before, how many of these) -> the table, index and number afterwards.

local tools = ...
local next, ipairs, floor, loadstring, insert, format, concat = tools.next, tools.ipairs, tools.floor, tools.loadstring,
    tools.insert, tools.format, tools.concat

-- What stands for the value of each key.
local function sources(bits, keys)
    local found, tables, child = {}, 0, 0
    for i = 1, #keys do
        if floor(bits / 2 ^ (i - 1)) % 2 == 1 then tables = tables + 1 end
    end
    for i, key in ipairs(keys) do
        if floor(bits / 2 ^ (i - 1)) % 2 == 1 then
            child = child + 1
            found[key] = format("made[top - %d]", tables - child)
        else
            found[key] = format("row[at + %d]", i - 1)
        end
    end
    return found, tables
end

local function compiled(body, count, tables)
    return loadstring(format("local row, at, made, top = ...\n%s\nreturn t, at + %d, top - %d", body, count, tables),
                      "@sandbox")
end

-- A table of the final size has to get its keys in this order to look, to next(), like one that grew: when that was
-- full of the first ones, they went into one of twice the size from its end on.
local function order_of(keys)
    local full, order, first = {}, {}, 1
    while first * 2 < #keys do first = first * 2 end
    for i = 1, first do full[keys[i]] = true end
    for key in next, full do insert(order, 1, key) end
    for i = first + 1, #keys do order[i] = keys[i] end
    return order
end

local function is_like(made, keys)
    local grown = {}
    for _, key in ipairs(keys) do grown[key] = true end
    local other
    for key in next, grown do
        other = next(made, other)
        if other ~= key then return false end
    end
    return true
end

return function(bits, ...)
    local keys, lines = { ... }, {}
    local from, tables = sources(bits, keys)
    for i, key in ipairs(order_of(keys)) do lines[i] = format("[%q] = %s", key, from[key]) end
    local maker = compiled("local t = { " .. concat(lines, ", ") .. " }", #keys, tables)
    local row = {}
    for i = 1, #keys do row[i] = true end
    if is_like(maker(row, 1, row, tables), keys) then return maker end
    for i, key in ipairs(keys) do lines[i] = format("t[%q] = %s", key, from[key]) end
    return compiled("local t = {}\n" .. concat(lines, "\n"), #keys, tables)
end
