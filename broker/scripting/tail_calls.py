"""Scripts without tail calls to what is not theirs, done to what Lua's compiler made of them.

A tail call takes the script's function off Lua's stack, so that an error could not name the script's line any more. In
Redis the library is written in C, and for functions of C Lua keeps the caller; here much of it is written in Lua. So
`return redis.call(...)`, also by another name (`local rcall = redis.call`), becomes an ordinary call that hands all
results on. Calls of functions that the script defines itself stay as they are: their recursion may be endless.
"""

import re
from typing import Final

_HEADER: Final = b"\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00"  # Lua 5.1, little endian, 64 bits, numbers are doubles
_MOVE: Final = 0
_GETUPVAL: Final = 4
_FIELDS: Final = (6, 11)  # gettable, self
_CALL: Final = 28
_TAILCALL: Final = 29
# Of the instructions that can load the function that is called: move, getupval, getglobal, gettable, self, call,
# closure. (Those for its arguments load higher registers.)
_LOADS: Final = frozenset([_MOVE, _GETUPVAL, 5, 6, 11, _CALL, 36])
_MAYBE: Final = re.compile(rb"[\x1d\x5d\x9d\xdd]")  # bytes whose lower six bits are _TAILCALL
_DEFINED: Final = re.compile(rb"\bfunction\s+(?:\w+[.:])*(\w+)\s*\(|\b(\w+)\s*=\s*function\b")


_RETURN: Final = re.compile(rb"\breturn\b\s*[^\s\d\"'{]")  # what follows may be a call


def may_have_some(source: bytes) -> bool:
    return _RETURN.search(source) is not None


def without_tail_calls(code: bytes, source: bytes) -> bytes:
    """code: what string.dump gives of the compiled source."""
    if not code.startswith(_HEADER):
        return code  # another machine's: only the lines of some errors are at stake
    own = {found[1] or found[2] for found in _DEFINED.finditer(source)}
    rewriter = _Rewriter(code, own)
    rewriter.function()
    return bytes(rewriter.code)


class _Rewriter:
    def __init__(self, code: bytes, own: set[bytes]) -> None:
        self.code = bytearray(code)
        self._own = own  # names of functions that the script defines
        self._at = len(_HEADER)

    def function(self) -> None:
        """One, and those within it. Layout: ldump.c of Lua 5.1."""
        self._string()  # the name of the source
        self._at += 12  # lines, numbers of upvalues and parameters, size of the stack
        start, count = self._array(4)
        constants = [self._constant() for _ in range(self._int())]
        for _ in range(self._int()):
            self.function()
        self._array(4)  # lines
        names = [(self._string(), self._int(), self._int()) for _ in range(self._int())]
        upvalues = [self._string() for _ in range(self._int())]
        words = memoryview(self.code)[start : start + 4 * count].cast("I")
        for at in [found.start() - start for found in _MAYBE.finditer(self.code, start, start + 4 * count)]:
            if at % 4 == 0:
                at //= 4
                visible = [name for name, begin, end in names if begin <= at < end]
                if _name_in(_what_loaded(words, at), constants, upvalues, visible) not in self._own:
                    words[at] = words[at] & ~63 | _CALL

    def _constant(self) -> bytes:
        """Empty, if it is no text."""
        kind = self.code[self._at]
        self._at += 1
        if kind == 4:
            return self._string()
        self._at += {0: 0, 1: 1, 3: 8}[kind]  # nil, boolean, number
        return b""

    def _int(self) -> int:
        self._at += 4
        return int.from_bytes(self.code[self._at - 4 : self._at], "little")

    def _array(self, size: int) -> tuple[int, int]:
        count = self._int()
        start = self._at
        self._at += count * size
        return start, count

    def _string(self) -> bytes:
        size = int.from_bytes(self.code[self._at : self._at + 8], "little")
        start = self._at + 8
        self._at = start + size
        return bytes(self.code[start : self._at - 1]) if size else b""


def _what_loaded(words: memoryview, at: int) -> int:
    """The instruction that put the function into the register from which instruction `at` calls it."""
    register = words[at] >> 6 & 255
    for i in range(at - 1, -1, -1):
        if words[i] >> 6 & 255 == register and words[i] & 63 in _LOADS:
            return words[i]
    return _CALL


def _name_in(loaded: int, constants: list[bytes], upvalues: list[bytes], visible: list[bytes]) -> bytes:
    """What the script calls that which an instruction loaded. Empty: it has no name. visible: the local variables."""
    kind = loaded & 63
    where = loaded >> 23
    if kind == _MOVE and where < len(visible):
        return visible[where]
    if kind == _GETUPVAL and where < len(upvalues):
        return upvalues[where]
    key = loaded >> 14 & 511
    return constants[key & 255] if kind in _FIELDS and key >= 256 else b""
