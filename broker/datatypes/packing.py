"""Small collections as one bytes object: what hashes, sets and sorted sets that nobody uses just now are kept as.

A dict of ten fields takes 350 bytes and each short field or value 48; packed, a field and a value take as many bytes as
they have, and two. Packing takes about 3 microseconds, and so does unpacking, which the first access does.

The form: for each text one byte of length and the text; before them, of a sorted set, a byte with the number of members
and their scores, 8 bytes each, as the machine has them. It never leaves the process.
"""

from array import array
from typing import Final

from mypy_extensions import i64

MOST: Final = 24  # members: what a table keeps in one dict
LONGEST: Final = 255
_HEADS: Final = [bytes([length]) for length in range(LONGEST + 1)]


def pack(texts: list[bytes]) -> bytes:
    """None of them is longer than LONGEST."""
    parts: list[bytes] = []
    for text in texts:
        parts.append(_HEADS[len(text)])
        parts.append(text)
    return b"".join(parts)


def unpack(packed: bytes, start: int = 0) -> list[bytes]:
    texts: list[bytes] = []
    at: i64 = start
    end: i64 = len(packed)
    while at < end:
        stop: i64 = at + 1 + packed[at]
        texts.append(packed[at + 1 : stop])
        at = stop
    return texts


def texts_in(packed: bytes) -> int:
    """How many texts there are."""
    found: i64 = 0
    at: i64 = 0
    end: i64 = len(packed)
    while at < end:
        at += 1 + packed[at]
        found += 1
    return int(found)


def pack_scored(scores: list[float], members: list[bytes]) -> bytes:
    return _HEADS[len(scores)] + array("d", scores).tobytes() + pack(members)


def unpack_scored(packed: bytes) -> tuple[list[float], list[bytes]]:
    stop = 1 + 8 * packed[0]
    scores = array("d")
    scores.frombytes(packed[1:stop])
    return scores.tolist(), unpack(packed, stop)


def fits(texts: list[bytes]) -> bool:
    """Whether they are few enough to be packed, none too long, and no two equal."""
    if len(texts) > MOST or len(dict.fromkeys(texts)) != len(texts):
        return False
    for text in texts:
        if len(text) > LONGEST:
            return False
    return True
