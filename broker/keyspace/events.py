"""The classes of keyspace events, as notify-keyspace-events spells them."""

from typing import Final

KEYSPACE: Final = 1  # K: publish to __keyspace@<db>__:<key>
KEYEVENT: Final = 2  # E: publish to __keyevent@<db>__:<event>
GENERIC: Final = 4  # g
STRING: Final = 8  # $
LIST: Final = 16  # l
SET: Final = 32  # s
HASH: Final = 64  # h
ZSET: Final = 128  # z
EXPIRED: Final = 256  # x
EVICTED: Final = 512  # e
STREAM: Final = 1024  # t
KEY_MISS: Final = 2048  # m, not part of A
MODULE: Final = 8192  # d
NEW: Final = 16384  # n, not part of A
TRACKED: Final = 1 << 30  # no class of events: marks where invalidations (keyspace/tracking.py) are due
ALL: Final = GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE

# In the order in which Redis prints them. Redis: keyspaceEventsFlagsToString in notify.c.
_LETTERS: Final = (
    ("g", GENERIC),
    ("$", STRING),
    ("l", LIST),
    ("s", SET),
    ("h", HASH),
    ("z", ZSET),
    ("x", EXPIRED),
    ("e", EVICTED),
    ("t", STREAM),
    ("d", MODULE),
)


def parse_classes(text: str) -> int | None:
    """`KEA` and the like as bits, or None when a letter is unknown."""
    bits = {"A": ALL, "K": KEYSPACE, "E": KEYEVENT, "m": KEY_MISS, "n": NEW, **dict(_LETTERS)}
    classes = 0
    for letter in text:
        if letter not in bits:
            return None
        classes |= bits[letter]
    return classes


def format_classes(classes: int) -> str:
    text = "A" if classes & ALL == ALL else "".join(letter for letter, bit in _LETTERS if classes & bit)
    text += "n" if classes & NEW else ""
    text += "K" if classes & KEYSPACE else ""
    text += "E" if classes & KEYEVENT else ""
    return text + ("m" if classes & KEY_MISS else "")
