"""lupa, the one place that imports it (it has no types)."""

from typing import Any

import lupa.lua51  # type: ignore[import-untyped]

LuaError: type[Exception] = lupa.lua51.LuaError
LuaRuntime: Any = lupa.lua51.LuaRuntime
FAILURES: tuple[type[BaseException], ...] = (LuaError, MemoryError, RecursionError)
"""What a call into Lua may raise: a Lua error, no memory (also Lua's own limit), too deep."""


def message_of(error: BaseException) -> bytes:
    if isinstance(error, MemoryError):
        return b"not enough memory"
    if isinstance(error, RecursionError):
        return b"stack overflow"
    text = error.args[0] if error.args else ""
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape")
