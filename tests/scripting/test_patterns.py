"""The matcher that can be interrupted (lua/patterns.lua) finds what Lua's own finds."""

from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.scripting.binding import LuaRuntime

_MAKE = b"""
local source, most_steps = ...
local tools = { env = _G, string = string, table = table, math = math, type = type, error = error, pcall = pcall,
    floor = math.floor, ceil = math.ceil, tonumber = tonumber, tostring = tostring, select = select, unpack = unpack,
    setfenv = setfenv, most_steps = most_steps, argument_error = error, expected = error,
    host = { find = function(text, wanted, start) return (string.find(text, wanted, start + 1, true) or 0) - 1 end } }
local ours = loadstring(source, "@patterns")(tools)
local function all(f, ...)
    local found = {}
    for a, b, c in f(...) do found[#found + 1] = tostring(a) .. "|" .. tostring(b) .. "|" .. tostring(c) end
    return table.concat(found, "&")
end
local function text(ok, ...)
    local values = { ... }
    for i = 1, select("#", ...) do values[i] = tostring(values[i]) end
    local joined = tostring(ok) .. ":" .. table.concat(values, ",")
    return (joined:gsub("%l+:%d+: ", ""))
end
return function(subject, pattern, init, replacement)
    local results = {}
    for _, library in ipairs({ ours, string }) do
        local gsub = library.gsub
        results[#results + 1] = table.concat({
            text(pcall(library.find, subject, pattern, init)), text(pcall(library.find, subject, pattern, init, true)),
            text(pcall(library.match, subject, pattern, init)), text(pcall(all, library.gmatch, subject, pattern)),
            text(pcall(gsub, subject, pattern, replacement)), text(pcall(gsub, subject, pattern, replacement, init)),
            text(pcall(gsub, subject, pattern, { a = "A", [1] = 2, ab = false })),
            text(pcall(gsub, subject, pattern, function(a, b) return b or (a == "a" and "<" .. a .. ">") end)),
        }, "\\n")
    end
    return results[1], results[2]
end
"""


@pytest.fixture(scope="module")
def compare() -> Any:
    """(subject, pattern, init, replacement) -> what ours and Lua's say; ours never asks Lua's."""
    source = (files("broker.scripting") / "lua" / "patterns.lua").read_bytes()
    return LuaRuntime(encoding=None).execute(_MAKE, source, -1)


_ITEMS = st.sampled_from(
    "a b . %a %w %s [ab] [^a] [%a-] [a-b] a* b+ .- .* a? [ab]- %w+ %s* (a) (b*) (.-) () %1 %2 %bab %b() %f[a] %f[%W] "
    "^ $ ( ) % [ [] [a %b %f ] * - \0".split(" ")
)
_REPLACEMENTS = st.sampled_from(["", "x", "%0", "%1", "<%1%2>", "%%", "%", "%z", "7"])


@given(
    st.text("ab() 1\0", max_size=12),
    st.lists(_ITEMS, max_size=6).map("".join),
    st.sampled_from([1, 2, 5, -2, -30, 99, 0]),
    _REPLACEMENTS,
)
def test_both_matchers_agree(compare: Any, subject: str, pattern: str, init: int, replacement: str) -> None:
    ours, expected = compare(subject.encode(), pattern.encode(), init, replacement.encode())
    assert ours == expected
