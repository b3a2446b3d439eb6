"""Glob patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^x]`, backslash.

Redis's own matcher backtracks at every star, which takes exponential time for `a*a*a*a*b`. This one remembers only the
last star, which is enough (a later star can always take over from an earlier one), so it is O(pattern * text) at worst.

It also gives up, and says no, when stars stand at more than a thousand places; so does this one.

Two oddities of Redis's matcher are not repeated: `**` does not match an empty text there, and the bytes from 0x80 on
come before all others in a range where C's char is signed.
"""

from mypy_extensions import i64

_STAR = 42
_QUESTION = 63
_OPEN = 91
_ESCAPE = 92
_MOST_STARS = 1000


def matches(pattern: bytes, text: bytes, nocase: bool = False) -> bool:
    """Whether the whole of `text` matches. Redis: stringmatchlen in util.c."""
    if pattern == b"*":
        return True
    if nocase:
        pattern = pattern.lower()
        text = text.lower()
    if len(pattern) > 2 * _MOST_STARS and _stars(pattern) > _MOST_STARS:
        return False
    p: i64 = 0
    t: i64 = 0
    pn: i64 = len(pattern)
    tn: i64 = len(text)
    star: i64 = -1  # where the pattern goes on after the last star
    mark: i64 = 0  # where the text goes on if that star takes one byte more
    while t < tn:
        if p < pn and pattern[p] == _STAR:
            p += 1
            star = p
            mark = t
            continue
        step: i64 = _match_one(pattern, p, text[t]) if p < pn else -1
        if step > 0:
            p = step
            t += 1
        elif star >= 0:
            mark += 1
            t = mark
            p = star
        else:
            return False
    while p < pn and pattern[p] == _STAR:
        p += 1
    return p == pn


def _stars(pattern: bytes) -> int:
    """At how many places there are stars, without a last one: how deep Redis nests for it."""
    count = 0
    p: i64 = 0
    n: i64 = len(pattern)
    while p < n:
        head: i64 = pattern[p]
        if head == _STAR:
            while p < n and pattern[p] == _STAR:
                p += 1
            if p < n:
                count += 1
        elif head == _OPEN:
            p = _class_end(pattern, p + 1)
        else:
            p += 2 if head == _ESCAPE else 1
    return count


def _class_end(pattern: bytes, p: i64) -> i64:
    """Position after the class whose inside begins at `p`."""
    n: i64 = len(pattern)
    while p < n and pattern[p] != 93:
        p += 2 if pattern[p] == _ESCAPE else 1
    return p + 1


def _match_one(pattern: bytes, p: i64, char: i64) -> i64:
    """Match one byte against the element at `p`. Position after that element, or -1."""
    head: i64 = pattern[p]
    if head == _QUESTION:
        return p + 1
    if head == _OPEN:
        return _match_class(pattern, p + 1, char)
    if head == _ESCAPE and p + 1 < len(pattern):
        p += 1
        head = pattern[p]
    return p + 1 if head == char else -1


def _match_class(pattern: bytes, p: i64, char: i64) -> i64:
    """Match one byte against `[...]`, whose inside begins at `p`. A class that is not closed ends with the pattern."""
    n: i64 = len(pattern)
    negated = p < n and pattern[p] == 94
    if negated:
        p += 1
    found = False
    while p < n and pattern[p] != 93:
        low: i64 = pattern[p]
        if low == _ESCAPE and p + 1 < n:
            p += 1
            found = found or pattern[p] == char
        elif p + 2 < n and pattern[p + 1] == 45:
            high: i64 = pattern[p + 2]
            if low > high:
                low, high = high, low
            found = found or low <= char <= high
            p += 2
        else:
            found = found or low == char
        p += 1
    return min(p + 1, n) if found != negated else -1
