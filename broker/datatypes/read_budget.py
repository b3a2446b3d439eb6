"""How much one reply may hold of several streams together: XREAD's MAXCOUNT and MAXSIZE."""

from typing import Final

from broker.datatypes.streams import MAX_ID, Stream

_CHUNK: Final = 32  # entries looked at in one go when bytes are counted


class ReadBudget:
    """entries: left for this reply, -1 for any number; size: bytes left, as entries have them on the wire, -1 likewise.

    There is always room for the first entry: a reader would come back for it for ever.
    """

    def __init__(self, entries: int, size: int) -> None:
        self.entries = entries
        self.size = size
        self._is_begun = False

    def is_spent(self) -> bool:
        return self.entries == 0 or (self.size == 0 and self._is_begun)

    def take(self, stream: Stream, start: int, limit: int) -> tuple[int, bytes]:
        """The entries from the id `start` on that there is room for, at most `limit` (-1: all): how many, encoded."""
        most = limit if self.entries < 0 or 0 <= limit < self.entries else self.entries
        if self.size < 0:
            found = stream.range_encoded(start, MAX_ID, most, False)
            count, wire = found.count, found.wire()
        else:
            count, wire = self._fit(stream, start, most)
        if self.entries > 0:
            self.entries -= count
        return count, wire

    def admit(self, size: int) -> bool:
        """Whether one more entry of `size` bytes fits; it is counted then. After a refusal nothing fits any more."""
        if self.is_spent():
            return False
        if self.size >= 0:
            if size > self.size and self._is_begun:
                self.size = 0
                return False
            self.size = max(self.size - size, 0)
        self._is_begun = True
        if self.entries > 0:
            self.entries -= 1
        return True

    def _fit(self, stream: Stream, start: int, most: int) -> tuple[int, bytes]:
        wires: list[bytes] = []
        count = 0
        while most < 0 or count < most:
            wanted = _CHUNK if most < 0 else min(_CHUNK, most - count)
            found = stream.range_encoded(start, MAX_ID, wanted, False, True)
            end = 0
            for next_end in found.ends:
                size = next_end - end
                if size > self.size and self._is_begun:
                    self.size = 0  # not even for a smaller one further on: what is left out begins here
                    wires.append(found.wire()[:end])
                    return count, b"".join(wires)
                self._is_begun = True
                self.size = max(self.size - size, 0)
                end = next_end
                count += 1
            wires.append(found.wire())
            if len(found.ids) < wanted or self.is_spent():
                break
            start = found.ids[-1] + 1
        return count, b"".join(wires)
