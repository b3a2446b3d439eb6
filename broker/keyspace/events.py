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
OVERWRITTEN: Final = 1 << 15  # o, likewise
TYPE_CHANGED: Final = 1 << 16  # c, likewise
SUBKEYSPACE: Final = 1 << 19  # S: publish fields to __subkeyspace@<db>__:<key>
SUBKEYEVENT: Final = 1 << 20  # T: to __subkeyevent@<db>__:<event>
SUBKEYSPACEITEM: Final = 1 << 21  # I: to __subkeyspaceitem@<db>__:<key>\n<field>
SUBKEYSPACEEVENT: Final = 1 << 22  # V: to __subkeyspaceevent@<db>__:<event>|<key>
ARRAY: Final = 1 << 23  # a: a type of value that there is none of here
SUBKEYS: Final = SUBKEYSPACE | SUBKEYEVENT | SUBKEYSPACEITEM | SUBKEYSPACEEVENT
FIELDS: Final = 1 << 29  # no class: marks the fields of the event before, as pack_fields() has them
TRACKED: Final = 1 << 30  # no class of events: marks where invalidations (keyspace/tracking.py) are due
ALL: Final = GENERIC | STRING | LIST | SET | HASH | ZSET | EXPIRED | EVICTED | STREAM | MODULE

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
    ("a", ARRAY),
    ("n", NEW),
    ("o", OVERWRITTEN),
    ("c", TYPE_CHANGED),
    ("K", KEYSPACE),
    ("E", KEYEVENT),
    ("m", KEY_MISS),
    ("S", SUBKEYSPACE),
    ("T", SUBKEYEVENT),
    ("I", SUBKEYSPACEITEM),
    ("V", SUBKEYSPACEEVENT),
)


def parse_classes(text: str) -> int | None:
    """`KEA` and the like as bits, or None when a letter is unknown."""
    bits = {"A": ALL, **dict(_LETTERS)}
    classes = 0
    for letter in text:
        if letter not in bits:
            return None
        classes |= bits[letter]
    return classes


def pack_fields(event: bytes, fields: list[bytes]) -> bytes:
    """`<event>|<length>:<field>[,<length>:<field> ...]`, as Redis publishes it. Redis: catSubkeysPayload."""
    parts: list[bytes] = []
    for field in fields:
        parts.append(b"%d:%b" % (len(field), field))
    return event + b"|" + b",".join(parts)


def unpack_fields(packed: bytes) -> list[bytes]:
    """The fields in what pack_fields() made."""
    fields: list[bytes] = []
    at = packed.index(b"|") + 1
    while at < len(packed):
        colon = packed.index(b":", at)
        end = colon + 1 + int(packed[at:colon])
        fields.append(packed[colon + 1 : end])
        at = end + 1
    return fields
