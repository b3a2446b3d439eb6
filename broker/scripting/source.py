"""A script's text on its way to the compiler."""

import re
from typing import Final

# What may hold the word without meaning it comes first: comments and strings are left alone.
_CALL: Final = re.compile(
    rb"""--\[(?P<c>=*)\[.*?\](?P=c)\] | --[^\n]* | \[(?P<s>=*)\[.*?\](?P=s)\]
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
    | \breturn(?P<blank>\s+)(?=(?:(?:redis|server)\s*\.\s*\w+|cjson\s*\.\s*(?!encode_sparse_array)\w+
    |cmsgpack\s*\.\s*pack|bit\s*\.\s*\w+|struct\s*\.\s*(?:pack|size)|math\s*\.\s*random)\b)""",
    re.DOTALL | re.VERBOSE,
)


def without_tail_calls(source: bytes) -> bytes:
    """`return redis.call(...)` as `return nil or redis.call(...)`, which gives the same and is no tail call; so for the
    other library functions with one result.

    A tail call takes the script's function off Lua's stack, so that an error could not name the script's line any
    more. In Redis these are functions of C, for which Lua keeps the caller; here they are functions of Lua.
    """
    return _CALL.sub(_kept, source)


def _kept(found: re.Match[bytes]) -> bytes:
    blank = found["blank"]
    return found.group() if blank is None else b"return" + blank + b"nil or "
