"""How much one reply may hold of several streams together: XREAD's MAXCOUNT and MAXSIZE."""

from typing import Final

from broker.datatypes.streams import MAX_ID, Stream

_CHUNK: Final = 32  # entries looked at in one go when bytes are counted


class ReadBudget:
    """entries: left for this reply, -1 for any number; size: bytes of it after which no entry begins, -1 likewise.

    So the last entry may go beyond `size`, and the first one always comes: a reader would ask for it for ever. The
    streams of a reply are opened and closed one after another. Redis: streamReplyMaxsizeReached in t_stream.c.
    """

    def __init__(self, entries: int, size: int) -> None:
        self.entries = entries
        self.size = size
        self._used = 0  # bytes of the reply so far
        self._used_before = 0  # this stream
        self._is_begun = False  # there is an entry

    def is_spent(self) -> bool:
        return self.entries == 0 or self._is_too_long()

    def _is_too_long(self) -> bool:
        return self._is_begun and 0 <= self.size <= self._used

    def open(self, name: bytes, resp3: bool) -> None:
        """The entries of a stream come next. resp3: whether the reply is a map, without an array for each stream."""
        self._used_before = self._used
        self._used += len(b"$%d\r\n" % len(name)) + len(name) + (2 if resp3 else 6)

    def close(self, count: int) -> None:
        """They were so many; of none, nothing is told."""
        if count:
            self._used += len(b"*%d\r\n" % count)
        else:
            self._used = self._used_before

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
        """Whether there is room for one more entry, of `size` bytes; it is counted then."""
        if self.is_spent():
            return False
        self._used += size
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
                if self._is_too_long():
                    wires.append(found.wire()[:end])
                    return count, b"".join(wires)
                self._is_begun = True
                self._used += next_end - end
                end = next_end
                count += 1
            wires.append(found.wire())
            if found.count < wanted or self._is_too_long():
                break
            start = found.ids()[-1] + 1
        return count, b"".join(wires)
