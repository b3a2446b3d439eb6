-- string.find, match, gmatch and gsub for scripts.
--
-- Lua's matcher is C: no hook interrupts it, and n characters under k repeats may cost it n^k steps. So only what is
-- sure to be done soon goes there. Anything else goes to the matcher below, which finds the same, can be interrupted, and
-- gives up a match that runs away.

local tools = ...
local host, type, error, pcall, tonumber, tostring, unpack, select, floor, ceil = tools.host, tools.type, tools.error,
    tools.pcall, tools.tonumber, tools.tostring, tools.unpack, tools.select, tools.floor, tools.ceil
local string, concat = tools.string, tools.table.concat
local byte, char, find, match, gmatch, gsub, sub = string.byte, string.char, string.find, string.match, string.gmatch,
    string.gsub, string.sub
local argument_error, expected = tools.argument_error, tools.expected
tools.setfenv(1, tools.env)

local MOST_STEPS = tools.most_steps -- of the matcher in C
local MAX_PATTERN = 2000 -- characters; both matchers recurse, about once for each
local MAX_CAPTURES = 32
local STEPS, STEPS_PER_CHARACTER = 1e6, 50 -- of the matcher below: what a text may take of them, about 0.2 us each
local SPECIAL = "[%^%$%*%+%?%.%(%[%%%-]"
local TOO_COMPLEX = "pattern too complex"

-- A pattern's items as arrays: ops[i], with the members of its class in sets[i], or x[i] and y[i] of other kinds.

local SINGLE, MANY, FEW, OPTIONAL, OPEN, PLACE, CLOSE, LAST, BALANCE, FRONTIER, AGAIN, BROKEN =
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12

local function class_end(pattern, at)
    local first = byte(pattern, at)
    at = at + 1
    if first == 37 then
        if at > #pattern then return nil, "malformed pattern (ends with '%')" end
        return at
    elseif first == 91 then
        if byte(pattern, at) == 94 then at = at + 1 end
        repeat
            local code = byte(pattern, at)
            if not code then return nil, "malformed pattern (missing ']')" end
            at = at + 1
            if code == 37 and at <= #pattern then at = at + 1 end
        until byte(pattern, at) == 93
        return at
    end
    return at - 1
end

local known_sets, set_count = {}, 0
local function members(item) -- {code of a character that it takes: true}
    if #item == 1 and item ~= "." then return { [byte(item)] = true } end
    local set = known_sets[item]
    if set then return set end
    set = {}
    local anchored = "^" .. item
    for code = 0, 255 do
        if find(char(code), anchored) then set[code] = true end
    end
    if set_count >= 100 then known_sets, set_count = {}, 0 end
    if #item <= 40 then known_sets[item], set_count = set, set_count + 1 end
    return set
end

-- What is malformed becomes an item, too: it counts when the matcher gets there.
local function items_of(pattern, at)
    local ops, sets, x, y, n = {}, {}, {}, {}, 0
    local function broken(why)
        n = n + 1
        ops[n], x[n] = BROKEN, why
        return ops, sets, x, y
    end
    local stop = #pattern
    while at <= stop do
        local code, following = byte(pattern, at, at + 1)
        n = n + 1
        if code == 40 then
            ops[n] = following == 41 and PLACE or OPEN
            at = at + (following == 41 and 2 or 1)
        elseif code == 41 then
            ops[n], at = CLOSE, at + 1
        elseif code == 36 and at == stop then
            ops[n], at = LAST, at + 1
        elseif code == 37 and following == 98 then
            x[n], y[n] = byte(pattern, at + 2, at + 3)
            if not y[n] then
                n = n - 1
                return broken("unbalanced pattern")
            end
            ops[n], at = BALANCE, at + 4
        elseif code == 37 and following == 102 then
            n = n - 1
            if byte(pattern, at + 2) ~= 91 then return broken("missing '[' after '%f' in pattern") end
            local to, why = class_end(pattern, at + 2)
            if not to then return broken(why) end
            n = n + 1
            ops[n], sets[n], at = FRONTIER, members(sub(pattern, at + 2, to)), to + 1
        elseif code == 37 and following and following >= 48 and following <= 57 then
            ops[n], x[n], at = AGAIN, following - 48, at + 2
        else
            local to, why = class_end(pattern, at)
            if not to then
                n = n - 1
                return broken(why)
            end
            sets[n] = members(sub(pattern, at, to))
            local suffix = byte(pattern, to + 1)
            at = to + 2
            if suffix == 42 or suffix == 43 then
                ops[n], x[n] = MANY, suffix - 42
            elseif suffix == 45 then
                ops[n] = FEW
            elseif suffix == 63 then
                ops[n] = OPTIONAL
            else
                ops[n], at = SINGLE, to + 1
            end
        end
    end
    return ops, sets, x, y
end

-- (search, capture, captures) over one text. Characters are counted from 1; a length of -1 stands for a capture that is
-- open, of -2 for one of a place.
local function matcher(text, pattern, at)
    local ops, sets, x, y = items_of(pattern, at)
    local starts, lengths, level, stop = {}, {}, 0, #text
    local left = STEPS + STEPS_PER_CHARACTER * stop

    local go
    local function captured(s, i, length)
        if level >= MAX_CAPTURES then error("too many captures", 0) end
        level = level + 1
        starts[level], lengths[level] = s, length
        local found = go(s, i + 1)
        if not found then level = level - 1 end
        return found
    end
    local function closed(s, i)
        local open = level
        while open > 0 and lengths[open] ~= -1 do open = open - 1 end
        if open == 0 then error("invalid pattern capture", 0) end
        lengths[open] = s - starts[open]
        local found = go(s, i + 1)
        if not found then lengths[open] = -1 end
        return found
    end
    local function balanced(s, opening, closing)
        if byte(text, s) ~= opening then return nil end
        local depth = 1
        for at = s + 1, stop do
            local code = byte(text, at)
            if code == closing then
                depth = depth - 1
                if depth == 0 then return at + 1 end
            elseif code == opening then
                depth = depth + 1
            end
        end
    end
    local function again(s, number)
        local length = lengths[number]
        if number < 1 or number > level or length == -1 then error("invalid capture index", 0) end
        if length < 0 or stop + 1 - s < length then return nil end
        if sub(text, starts[number], starts[number] + length - 1) ~= sub(text, s, s + length - 1) then return nil end
        return s + length
    end
    go = function(s, i) -- where a match from s of the items from i on ends
        while true do
            left = left - 1
            if left < 0 then error(TOO_COMPLEX, 0) end
            local op = ops[i]
            if op == SINGLE then
                if s > stop or not sets[i][byte(text, s)] then return nil end
                s = s + 1
            elseif op == MANY then
                local set, to = sets[i], s
                while to <= stop and set[byte(text, to)] do to = to + 1 end
                left = left - (to - s)
                for from = to, s + x[i], -1 do
                    local found = go(from, i + 1)
                    if found then return found end
                end
                return nil
            elseif op == FEW then
                local set = sets[i]
                while true do
                    local found = go(s, i + 1)
                    if found then return found end
                    if s > stop or not set[byte(text, s)] then return nil end
                    s = s + 1
                end
            elseif op == OPTIONAL then
                if s <= stop and sets[i][byte(text, s)] then
                    local found = go(s + 1, i + 1)
                    if found then return found end
                end
            elseif op == nil then
                return s
            elseif op == OPEN then
                return captured(s, i, -1)
            elseif op == PLACE then
                return captured(s, i, -2)
            elseif op == CLOSE then
                return closed(s, i)
            elseif op == LAST then
                return s == stop + 1 and s or nil
            elseif op == FRONTIER then
                local set = sets[i]
                if set[s > 1 and byte(text, s - 1) or 0] or not set[s <= stop and byte(text, s) or 0] then return nil end
            elseif op == BROKEN then
                error(x[i], 0)
            else
                if op == BALANCE then s = balanced(s, x[i], y[i]) else s = again(s, x[i]) end
                if not s then return nil end
            end
            i = i + 1
        end
    end

    -- (start, what follows the end) of the first match that begins at s to last.
    local function search(s, last)
        for from = s, last do
            level = 0
            local found = go(from, 1)
            if found then return from, found end
        end
    end
    local function capture(i, from, to)
        if i > level then
            if i > 1 then error("invalid capture index", 0) end
            return sub(text, from, to - 1)
        end
        local length = lengths[i]
        if length == -1 then error("unfinished capture", 0) end
        if length == -2 then return starts[i] end
        return sub(text, starts[i], starts[i] + length - 1)
    end
    local function captures(from, to, none) -- none: the whole match does not stand for them
        local found, count = {}, (level == 0 and not none) and 1 or level
        for i = 1, count do found[i] = capture(i, from, to) end
        return found, count
    end
    return search, capture, captures
end

-- Errors of patterns name the place of the call, as those of C do.
local function checked(level, ok, ...)
    if ok then return ... end
    local problem = ...
    error(problem, type(problem) == "string" and problem ~= "not enough memory" and level or 0)
end

local function readable(pattern) -- the matcher reads as C does, up to the first NUL
    local zero = find(pattern, "%z")
    return zero and sub(pattern, 1, zero - 1) or pattern
end

local function slow_find(text, pattern, wanted, init, plain)
    local start = 1
    if init ~= nil then
        start = tonumber(init)
        if start ~= start or start >= 2 ^ 63 then start = 0 end
        start = start >= 0 and floor(start) or ceil(start)
        if start < 0 then start = start + #text + 1 end
        if start < 1 then start = 1 end
        if start > #text + 1 then start = #text + 1 end
    end
    if wanted and (plain or not find(readable(pattern), SPECIAL)) then
        local at = host.find(text, pattern, start - 1)
        if at < 0 then return nil end
        return at + 1, at + #pattern
    end
    pattern = readable(pattern)
    local anchored = byte(pattern) == 94
    local search, _, captures = matcher(text, pattern, anchored and 2 or 1)
    local from, to = search(start, anchored and start or #text + 1)
    if not from then return nil end
    local found, count = captures(from, to, wanted)
    if wanted then return from, to - 1, unpack(found, 1, count) end
    return unpack(found, 1, count)
end

local function slow_gmatch(text, pattern)
    local search, _, captures = matcher(text, readable(pattern), 1)
    local at = 1
    local function following()
        local from, to = search(at, #text + 1)
        if not from then
            at = #text + 2
            return nil
        end
        at = to > from and to or to + 1
        local found, count = captures(from, to)
        return unpack(found, 1, count)
    end
    return function() return checked(3, pcall(following)) end
end

local function filled(replacement, capture, from, to) -- of a replacement that is a text
    local pieces, n, at = {}, 0, 1
    while true do
        local mark = find(replacement, "%", at, true)
        if not mark then break end
        local code = byte(replacement, mark + 1)
        n = n + 2
        pieces[n - 1] = sub(replacement, at, mark - 1)
        if not code then
            pieces[n] = "\0"
        elseif code < 48 or code > 57 then
            pieces[n] = char(code)
        else
            pieces[n] = code == 48 and capture(99, from, to) or capture(code - 48, from, to)
        end
        at = mark + 2
    end
    pieces[n + 1] = sub(replacement, at)
    return concat(pieces)
end

local function slow_gsub(text, pattern, replacement, most)
    pattern = readable(pattern)
    local anchored = byte(pattern) == 94
    local search, capture, captures = matcher(text, pattern, anchored and 2 or 1)
    local whole = function(i, from, to) return i == 99 and sub(text, from, to - 1) or capture(i, from, to) end
    local kind = type(replacement)
    if kind == "number" then replacement, kind = tostring(replacement), "string" end
    local pieces, n, at, done = {}, 0, 1, 0
    while done < most do
        local from, to = checked(4, pcall(search, at, anchored and at or #text + 1))
        if not from then break end
        done = done + 1
        local value
        if kind == "string" then
            value = checked(4, pcall(filled, replacement, whole, from, to))
        else
            if kind == "table" then
                value = replacement[checked(4, pcall(capture, 1, from, to))]
            else
                local found, count = checked(4, pcall(captures, from, to))
                value = replacement(unpack(found, 1, count))
            end
            if not value then
                value = sub(text, from, to - 1)
            elseif type(value) ~= "string" and type(value) ~= "number" then
                error("invalid replacement value (a " .. type(value) .. ")", 3)
            end
        end
        pieces[n + 1], pieces[n + 2] = sub(text, at, from - 1), value
        n = n + 2
        at = to
        if to == from then -- an empty match: on by one character
            if to > #text then break end
            n = n + 1
            pieces[n] = sub(text, to, to)
            at = to + 1
        end
        if anchored then break end
    end
    pieces[n + 1] = sub(text, at)
    return concat(pieces), done
end

-- How long may a text be that C is given with a pattern? At worst it goes through all ways to spread n characters among
-- k repeats, the start of the match being one of them; each `?` doubles them.

local function counted(pattern, of)
    local _, count = gsub(pattern, of, "")
    return count
end

local function longest(pattern, anchored)
    if #pattern > MAX_PATTERN then return -1 end
    local ops, _, x = items_of(readable(pattern), 1)
    if ops[#ops] == BROKEN then return -1 end -- for the error's place
    local repeats = counted(pattern, "[*+%-]") + counted(pattern, "%%[b%d]") + (anchored and byte(pattern) == 94 and 0 or 1)
    if find(pattern, "[^%%][*+%-]%)*$") then repeats = repeats - 1 end -- nothing follows that could fail
    local ways = 2 ^ counted(pattern, "%?") * (4 + #pattern / 4)
    if ways > MOST_STEPS then return -1 end
    if repeats == 0 then return MOST_STEPS / ways end
    local low, high = 0, floor(MOST_STEPS / ways) + 1
    while high - low > 1 do
        local n = floor((low + high) / 2)
        local steps, i = ways, 1
        while i <= repeats and steps <= MOST_STEPS do
            steps = steps * (n + i) / i
            i = i + 1
        end
        if steps <= MOST_STEPS then low = n else high = n end
    end
    return low
end

local limits, loose_limits, known = {}, {}, 0 -- {pattern: the longest text}; loose: of gmatch, which knows no anchor
local function limit_of(pattern, loose)
    if known >= 500 then limits, loose_limits, known = {}, {}, 0 end
    local limit = longest(pattern, not loose)
    if #pattern <= 100 then
        known = known + 1
        if loose then loose_limits[pattern] = limit else limits[pattern] = limit end
    end
    return limit
end

-- What may be wrong with the arguments: (index, why), of which the function itself makes the error.
local function wrong(count, text, pattern, number, place)
    if type(text) ~= "string" and type(text) ~= "number" then return 1, expected("string", text, count, 1) end
    if type(pattern) ~= "string" and type(pattern) ~= "number" then return 2, expected("string", pattern, count, 2) end
    if number ~= nil and not tonumber(number) then return place, expected("number", number, count, place) end
end

local function finder(f, wanted)
    return function(...)
        local text, pattern, init, plain = ...
        if type(text) ~= "string" or type(pattern) ~= "string" or init ~= nil then
            local index, why = wrong(select("#", ...), text, pattern, init, 3)
            if index then argument_error(index, why) end
            text, pattern = text .. "", pattern .. ""
        end
        if #text <= (limits[pattern] or limit_of(pattern)) then return f(text, pattern, init, plain) end
        if wanted and plain and #text * #pattern <= MOST_STEPS then return f(text, pattern, init, plain) end
        if #pattern > MAX_PATTERN and not (wanted and (plain or not find(pattern, SPECIAL))) then error(TOO_COMPLEX, 2) end
        return checked(3, pcall(slow_find, text, pattern, wanted, init, plain))
    end
end

local library = { find = finder(find, true), match = finder(match, false) }

function library.gmatch(...)
    local text, pattern = ...
    if type(text) ~= "string" or type(pattern) ~= "string" then
        local index, why = wrong(select("#", ...), text, pattern)
        if index then argument_error(index, why) end
        text, pattern = text .. "", pattern .. ""
    end
    if #text <= (loose_limits[pattern] or limit_of(pattern, true)) then return gmatch(text, pattern) end
    if #pattern > MAX_PATTERN then error(TOO_COMPLEX, 2) end
    return slow_gmatch(text, pattern)
end
library.gfind = library.gmatch

local function captures_named(replacement, pattern) -- does it speak of captures that the pattern can't have?
    local _, most = gsub(pattern, "%(", "")
    if most == 0 then most = 1 end
    return most < 9 and find(replacement, "%%[" .. (most + 1) .. "-9]")
end

local REPLACING = { string = true, number = true, ["function"] = true, table = true }
function library.gsub(...)
    local text, pattern, replacement, most = ...
    local kind = type(replacement)
    if type(text) ~= "string" or type(pattern) ~= "string" or most ~= nil or not REPLACING[kind] then
        local index, why = wrong(select("#", ...), text, pattern, most, 4)
        if not index and not REPLACING[kind] then index, why = 3, "string/function/table expected" end
        if index then argument_error(index, why) end
        text, pattern = text .. "", pattern .. ""
    end
    local is_odd = kind == "string" and find(replacement, "%", 1, true) and captures_named(replacement, pattern)
    if not is_odd and #text <= (limits[pattern] or limit_of(pattern)) then return gsub(text, pattern, replacement, most) end
    if #pattern > MAX_PATTERN then error(TOO_COMPLEX, 2) end
    return slow_gsub(text, pattern, replacement, tonumber(most) or #text + 1)
end

return library
