"""Objects that have the same keys in the same order, as those of a list mostly have.

Lua is told of such a shape once, in the row of the document where it first came a second time, and makes a function of
it that makes tables of the values alone: the keys do not cross again (lua/shapes.lua).
"""

from typing import Final

from broker.scripting.rows import Row

_MOST: Final = 256  # shapes; one more, and all are forgotten
MOST_KEYS: Final = 40
_MOST_BYTES: Final = 1024  # of keys
_NEVER: Final = 0  # instead of a head: too large
_ONCE: Final = 1  # instead of a head: seen once

Shape = tuple[tuple[str, ...], int]  # keys; and bits, from the lowest: which of the values are tables


class Shapes:
    def __init__(self) -> None:
        self._heads: dict[Shape, int] = {}
        self._last = 0  # that Lua was told of

    def known_to_be(self, newest: int) -> None:
        """Before each document: what Lua was told of last. A row may get lost on its way, if there is no room; what it
        told of is then as if it had never been named."""
        if newest != self._last:
            self._heads.clear()
            self._last = newest

    def head_of(self, row: Row, shape: Shape) -> int:
        """By which the row is to name it; 0: it can't. A shape has to come twice for that."""
        head = self._heads.get(shape)
        if head is None:
            if len(self._heads) >= _MOST:
                self._heads.clear()
            self._heads[shape] = _ONCE if _fits(shape[0]) else _NEVER
            return 0
        if head == _ONCE:
            anew = not any([known < 0 for known in self._heads.values()])
            self._last -= 2
            head = self._heads[shape] = self._last
            row.tell_of_shape(head, anew, shape[1], [name.encode() for name in shape[0]])
        return head


def _fits(names: tuple[str, ...]) -> bool:
    return 0 < len(names) <= MOST_KEYS and sum([len(name) for name in names]) <= _MOST_BYTES
