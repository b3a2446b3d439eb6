"""Is a pattern match going to take for ever? Lua's matcher is C and can't be interrupted, so it is asked beforehand.

Only for what could be slow at all (several repeats over a long text) the match is gone through here, counting steps:
what takes more than a budget is refused. An ordinary pattern never gets here.
"""

from typing import Final

_HARMLESS: Final = 50_000_000  # steps at worst: half a second of C
_BUDGET: Final = 300_000  # steps that are gone through here at most
_REPEATS: Final = b"*+-"


class _OutOfSteps(Exception):
    pass


def is_slow(text: bytes, pattern: bytes) -> bool:
    """True for a match whose number of steps runs away."""
    repeats = sum(pattern.count(mark) for mark in _REPEATS) + pattern.count(b"?") // 8
    if not pattern.startswith(b"^"):
        repeats += 1
    if repeats <= 1 or len(text) ** min(repeats, 20) < _HARMLESS:
        return False
    try:
        _Steps(text, pattern).search()
    except (_OutOfSteps, RecursionError):
        return True
    except IndexError:
        return False  # malformed: the real matcher says so at once
    return False


class _Steps:
    """The matcher's course, without captures' values. Positions in `text` are s, in `pattern` p."""

    def __init__(self, text: bytes, pattern: bytes) -> None:
        self._text = text
        self._pattern = pattern + b"\0"
        self._end = len(pattern)
        self._left = _BUDGET

    def search(self) -> None:
        anchored = self._pattern[:1] == b"^"
        start = 0
        while start <= len(self._text):
            if self._match(start, 1 if anchored else 0) >= 0 or anchored:
                return
            start += 1

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _OutOfSteps

    def _match(self, s: int, p: int) -> int:
        """Where a match of the pattern from p at s ends, -1 for none."""
        text, pattern = self._text, self._pattern
        while True:
            self._step()
            if p >= self._end:
                return s
            char = pattern[p]
            if char in b"()":
                p += 1
                continue
            if char == 36 and p + 1 == self._end:
                return s if s == len(text) else -1
            if char == 37 and pattern[p + 1] in b"bf0123456789":  # %b, %f, back-references: taken as one character
                p += 4 if pattern[p + 1] == 98 else 2
                if pattern[p - 1] == 102:
                    p = self._item_end(p)
                continue
            after = self._item_end(p)
            mark = pattern[after] if after < self._end else 0
            if mark == 63:  # ?
                if s < len(text) and self._single(s, p, after):
                    found = self._match(s + 1, after + 1)
                    if found >= 0:
                        return found
                p = after + 1
            elif mark in (42, 43):  # * +
                return self._longest(s, p, after, 1 if mark == 43 else 0)
            elif mark == 45:
                return self._shortest(s, p, after)
            else:
                if s >= len(text) or not self._single(s, p, after):
                    return -1
                s += 1
                p = after

    def _longest(self, s: int, p: int, after: int, least: int) -> int:
        count = 0
        while s + count < len(self._text) and self._single(s + count, p, after):
            self._step()
            count += 1
        while count >= least:
            found = self._match(s + count, after + 1)
            if found >= 0:
                return found
            count -= 1
        return -1

    def _shortest(self, s: int, p: int, after: int) -> int:
        while True:
            found = self._match(s, after + 1)
            if found >= 0:
                return found
            if s >= len(self._text) or not self._single(s, p, after):
                return -1
            s += 1

    def _item_end(self, p: int) -> int:
        char = self._pattern[p]
        p += 1
        if char == 37:
            return p + 1
        if char == 91:
            if self._pattern[p] == 94:
                p += 1
            first = True
            while first or self._pattern[p] != 93:
                first = False
                p += 2 if self._pattern[p] == 37 else 1
            return p + 1
        return p

    def _single(self, s: int, p: int, after: int) -> bool:
        char = self._text[s]
        item = self._pattern[p]
        if item == 46:
            return True
        if item == 37:
            return _in_class(char, self._pattern[p + 1])
        if item == 91:
            return self._in_set(char, p, after - 1)
        return item == char

    def _in_set(self, char: int, p: int, last: int) -> bool:
        pattern = self._pattern
        wanted = True
        p += 1
        if pattern[p] == 94:
            wanted = False
            p += 1
        while p < last:
            if pattern[p] == 37:
                if _in_class(char, pattern[p + 1]):
                    return wanted
                p += 2
            elif pattern[p + 1] == 45 and p + 2 < last:
                if pattern[p] <= char <= pattern[p + 2]:
                    return wanted
                p += 3
            else:
                if pattern[p] == char:
                    return wanted
                p += 1
        return not wanted


_ALPHA: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_DIGIT: Final = frozenset(b"0123456789")
_SPACE: Final = frozenset(b" \t\n\r\v\f")
_PUNCTUATION: Final = frozenset(range(33, 127)) - _ALPHA - _DIGIT
_CLASSES: Final[dict[int, frozenset[int]]] = {
    ord("a"): _ALPHA,
    ord("d"): _DIGIT,
    ord("s"): _SPACE,
    ord("w"): _ALPHA | _DIGIT,
    ord("p"): _PUNCTUATION,
    ord("c"): frozenset(range(32)) | {127},
    ord("l"): frozenset(b"abcdefghijklmnopqrstuvwxyz"),
    ord("u"): frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    ord("x"): frozenset(b"0123456789abcdefABCDEF"),
    ord("z"): frozenset([0]),
}


def _in_class(char: int, letter: int) -> bool:
    members = _CLASSES.get(letter | 32)
    if members is None:
        return letter == char
    return (char in members) == bool(letter & 32)
