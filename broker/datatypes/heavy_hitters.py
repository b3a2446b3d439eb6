"""Which keys weigh most in a stream of (key, weight), in bounded memory.

Costs: add O(1) amortized, top O(n log n), n keys held. Invariant: at most `capacity` keys are held. When they are all
taken, the lighter half is forgotten, so that a weight is exact since the key was last taken up, and never too large.
(Count-min sketches and their like bound the error better, and cost several hashes at each request.)
"""

from typing import Final

from mypy_extensions import i64


class HeavyHitters:
    """capacity: keys that are held at most; some ten times what is asked of top()."""

    def __init__(self, capacity: int) -> None:
        self._capacity: Final = capacity
        self._weights: dict[bytes, int] = {}
        self.total: i64 = 0  # all weight that was ever added

    def add(self, key: bytes, weight: int) -> None:
        self.total += weight
        if weight <= 0:
            return
        weights = self._weights
        known = weights.get(key)
        if known is not None:
            weights[key] = known + weight
            return
        if len(weights) >= self._capacity:
            self._weights = weights = dict(self.top(self._capacity // 2))
        weights[key] = weight

    def top(self, count: int) -> list[tuple[bytes, int]]:
        """The heaviest first, of equal ones that which was there first."""
        return sorted(self._weights.items(), key=_lightness)[:count]

    def size(self) -> int:
        return len(self._weights)


def _lightness(entry: tuple[bytes, int]) -> int:
    return -entry[1]
