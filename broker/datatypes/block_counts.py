"""How many live entries the blocks before one hold: a Fenwick tree that grows at its end and loses its front.

Costs: append, add, before O(log n), n blocks; drop_front O(k log n), k blocks, or one rebuild when k is large.
It is built when a count is first asked for, so that streams that nobody asks about pay nothing.
"""

from typing import Final

from mypy_extensions import i64

_MOST_SINGLY: Final = 64  # blocks dropped one after another; more of them, and the tree is built anew when needed


class BlockCounts:
    """Positions are those of the blocks now: 0 is the oldest that is left."""

    def __init__(self) -> None:
        self._tree: list[
            int
        ] = []  # from 1 on; tree[i]: the sum of the `i & -i` counts up to the i-th. Empty: not built
        self._gone: i64 = 0  # counts at the front whose blocks are dropped; they are 0

    def is_built(self) -> bool:
        return len(self._tree) > 0

    def forget(self) -> None:
        """Blocks came or went in the middle."""
        self._tree = []
        self._gone = 0

    def build(self, counts: list[int]) -> None:
        tree = [0]
        tree += counts
        n: i64 = len(tree)
        for i in range(1, n):
            above = i + (i & -i)
            if above < n:
                tree[above] += tree[i]
        self._tree = tree
        self._gone = 0

    def append(self, count: int) -> None:
        """A block more at the end."""
        tree = self._tree
        if not tree:
            return
        i: i64 = len(tree)
        total = count
        j = i - 1
        while j > i - (i & -i):
            total += tree[j]
            j &= j - 1
        tree.append(total)

    def add(self, position: int, change: int) -> None:
        tree = self._tree
        n: i64 = len(tree)
        i: i64 = self._gone + position + 1
        while i < n:
            tree[i] += change
            i += i & -i

    def drop_front(self, counts: list[int]) -> None:
        """counts: what the blocks that are dropped counted for."""
        if not self._tree:
            return
        if len(counts) > _MOST_SINGLY or (self._gone + len(counts)) * 2 > len(self._tree):
            self.forget()
            return
        for count in counts:
            self.add(0, -count)
            self._gone += 1

    def before(self, position: int) -> int:
        """The sum of the counts before `position`. It must be built."""
        tree = self._tree
        total = 0
        i: i64 = self._gone + position
        while i > 0:
            total += tree[i]
            i &= i - 1
        return total
