"""A stand-in for an embedding model: texts that share words and parts of words lie close to each other. Pure."""

from __future__ import annotations

import math
import random
import re
import zlib
from array import array

DIMENSIONS = 256
TABLES, BITS = 6, 5  # more tables find more, more bits look at fewer

_random = random.Random(1)
_PLANES = [[_random.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(TABLES * BITS)]
_FILLING = {"a", "an", "the", "is", "are", "do", "does", "i", "my", "to", "of", "can", "please", "what", "how"}


def embed(text: str) -> array[float]:
    """Of length 1."""
    vector = array("f", bytes(4 * DIMENSIONS))
    for word in re.findall(r"\w+", text.lower()):
        if word not in _FILLING:
            padded = f"^{word}$"
            for part in {word, *(padded[i : i + 3] for i in range(len(padded) - 2))}:
                vector[zlib.crc32(part.encode()) % DIMENSIONS] += 1.0
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return array("f", (x / length for x in vector))


def similarity(one: array[float], other: array[float]) -> float:
    """The cosine of the angle between them."""
    return sum(x * y for x, y in zip(one, other, strict=True))


def buckets(vector: array[float]) -> list[str]:
    """In which buckets it lies: vectors that are close share at least one of them, most probably."""
    sides = ["1" if similarity_to_plane(vector, plane) > 0 else "0" for plane in _PLANES]
    return [f"{table}:{''.join(sides[table * BITS : (table + 1) * BITS])}" for table in range(TABLES)]


def similarity_to_plane(vector: array[float], plane: list[float]) -> float:
    return sum(x * y for x, y in zip(vector, plane, strict=True) if x)
