"""What waits for a subscriber that reads too slowly, where `pubsub-overflow` says to drop messages and keep the client.

Replies are never dropped, and a message is dropped as a whole. Where some were dropped stands a notice that says how
many: in RESP3 a push `overflow <number>`; in RESP2, which knows no such push, a message on OVERFLOW_CHANNEL.
Costs: O(1) for each piece, amortised. Invariant: `bytes` is the size of all pieces, without notices.
"""

from typing import Final

OVERFLOW_CHANNEL: Final = b"__millstream__:overflow"
_COMPACT_FROM: Final = 64


class Reply:
    """Bytes that must arrive."""

    def __init__(self, wire: bytes) -> None:
        self.wire: Final = wire


class Lost:
    """Messages that stood here."""

    def __init__(self) -> None:
        self.count = 1


class Held:
    """A queue of messages (bytes), replies and gaps; None where something was."""

    def __init__(self) -> None:
        self.bytes = 0
        self._items: list[bytes | Reply | Lost | None] = []
        self._head = 0
        self._oldest = 0  # no message stands between _head and here
        self._holes = 0  # from _head on

    def __len__(self) -> int:
        """Pieces and gaps."""
        return len(self._items) - self._head - self._holes

    def add_message(self, wire: bytes) -> None:
        self._items.append(wire)
        self.bytes += len(wire)

    def add_reply(self, wire: bytes) -> None:
        self._items.append(Reply(wire))
        self.bytes += len(wire)

    def add_lost(self) -> None:
        """A message was dropped instead of added."""
        last = self._items[-1] if len(self._items) > self._head else None
        if isinstance(last, Lost):
            last.count += 1
        else:
            self._items.append(Lost())

    def drop_oldest(self) -> int:
        """Drop the oldest message. Its size; 0 when there is none."""
        items = self._items
        i = max(self._oldest, self._head)
        while i < len(items) and not isinstance(items[i], bytes):
            i += 1
        self._oldest = i
        if i == len(items):
            return 0
        message = items[i]
        assert isinstance(message, bytes)
        before = items[i - 1] if i > self._head else None
        if isinstance(before, Lost):
            before.count += 1
            items[i - 1] = None
            items[i] = before
            self._holes += 1
        else:
            items[i] = Lost()
        self._oldest = i + 1
        self.bytes -= len(message)
        self._compact()
        return len(message)

    def take(self, limit: int, resp3: bool) -> bytes:
        """The next pieces, about `limit` bytes of them, with notices where messages were dropped."""
        taken: list[bytes] = []
        size = 0
        while self._head < len(self._items) and size < limit:
            item = self._items[self._head]
            self._items[self._head] = None
            self._head += 1
            if item is None:
                self._holes -= 1
            elif isinstance(item, Lost):
                taken.append(notice(item.count, resp3))
            else:
                wire = item.wire if isinstance(item, Reply) else item
                taken.append(wire)
                size += len(wire)
        self.bytes -= size
        self._compact()
        return b"".join(taken)

    def _compact(self) -> None:
        gone = self._head + self._holes
        if gone < _COMPACT_FROM or gone * 2 < len(self._items):
            return
        place = max(self._oldest, self._head)
        holes = sum(1 for item in self._items[self._head : place] if item is None)
        self._items = [item for item in self._items[self._head :] if item is not None]
        self._oldest = place - self._head - holes
        self._head = self._holes = 0


def notice(count: int, resp3: bool) -> bytes:
    number = b"%d" % count
    if resp3:
        return b">2\r\n$8\r\noverflow\r\n:%b\r\n" % number
    channel = b"$%d\r\n%b\r\n" % (len(OVERFLOW_CHANNEL), OVERFLOW_CHANNEL)
    return b"*3\r\n$7\r\nmessage\r\n%b$%d\r\n%b\r\n" % (channel, len(number), number)
