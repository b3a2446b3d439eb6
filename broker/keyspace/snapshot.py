"""A point in time of all data, to be read in slices while the data goes on changing. No I/O, no clock.

Begin one between two requests; take() then gives every key as it was at that moment, once, in no order. Schedules and
retained channels are `agendas` and `channel_log`, frozen copies. One snapshot at a time.
"""

from collections import deque
from typing import Final

from mypy_extensions import i64

from broker.datatypes.schedules import Agenda
from broker.keyspace.channel_log import ChannelLog
from broker.keyspace.database import Database, Keyspace
from broker.keyspace.unsaved import NEVER, Piece, Unsaved
from broker.keyspace.usage import Hints


class Snapshot:
    """dirty: Keyspace.dirty at that moment; total: keys there were; taken: of them, by now.

    is_still: nothing can change until the end, so nothing is frozen; such a one may be taken while there is another.
    """

    def __init__(self, keyspace: Keyspace, is_still: bool = False) -> None:
        self.dirty: i64 = keyspace.dirty
        self.total: i64 = 0
        self.taken: i64 = 0
        self.now_ms: i64 = keyspace.now_ms
        self.sizes: dict[int, tuple[int, int]] = {}  # {database: (keys, keys that expire)}
        self.agendas: dict[int, Agenda] = {}  # {database: scheduled messages}, without those that have none
        self.channel_log: ChannelLog = keyspace.channel_log if is_still else keyspace.channel_log.frozen()
        self.libraries: list[bytes] = list(keyspace.libraries.values())
        self.hints: Final = Hints(keyspace.hints, int(keyspace.tick), keyspace.minute(), keyspace.lfu_decay)
        self._is_still = is_still
        self._is_over = False
        self._shards: list[dict[bytes, object]] = []  # of a still one: those of the database that is walked
        self._items: list[tuple[bytes, object]] = []
        self._databases: list[Database] = []  # likewise: those to come, the next one last
        self._keyspace = keyspace
        self._still_db: Database = keyspace.databases[0]
        self._kept: deque[Piece] = deque()
        self._left: list[Unsaved] = []  # databases that the walk has not finished, the next one last
        for db in keyspace.databases:
            if len(db.agenda):
                self.agendas[db.index] = db.agenda if is_still else db.agenda.frozen()
            if db.table.size:
                if is_still:
                    self._databases.append(db)
                else:
                    db.unsaved = Unsaved(db.index, db.table, db.expires, self._kept, db.usage, self.hints)
                    self._left.append(db.unsaved)
                self.sizes[db.index] = (db.size(), len(db.expires))
                self.total += db.table.size
        self._left.reverse()
        self._databases.reverse()

    def take(self) -> Piece | None:
        """The next key, those first that changed since; None at the end. Call its done() when it is written."""
        piece = self._kept.popleft() if self._kept else self._walk()
        if piece is not None:
            self.taken += 1
        return piece

    def take_kept(self) -> Piece | None:
        """As take(), but only a key that changed since."""
        if not self._kept:
            return None
        self.taken += 1
        return self._kept.popleft()

    @property
    def waiting(self) -> int:
        """Keys that changed and were not taken yet: they take memory."""
        return len(self._kept)

    def _walk_still(self) -> Piece | None:
        while not self._items:
            if self._shards:
                self._items = list(self._shards.pop().items())
            elif self._databases:
                self._still_db = self._databases.pop()
                self._shards = list(self._still_db.table.shards())
            else:
                return None
        key, value = self._items.pop()
        when = self._still_db.expiry(key)
        use = self.hints.of(self._still_db.usage, key)
        return Piece(self._still_db.index, key, value, NEVER if when is None else when, use, True)

    def _walk(self) -> Piece | None:
        if self._is_still:
            return self._walk_still()
        while self._left:
            piece = self._left[-1].take()
            if piece is not None:
                return piece
            self._forget(self._left.pop())
        return None

    def end(self) -> None:
        """Nothing more is taken: when all was, or to give up. Pieces that were taken have to be done() all the same."""
        if self._is_over:
            return
        self._is_over = True
        while self._left:
            self._forget(self._left.pop())
        while self._kept:
            self._kept.popleft().done()
        if not self._is_still:
            for db in self._keyspace.databases:
                db.agenda.thaw()
        self.agendas.clear()

    def _forget(self, unsaved: Unsaved) -> None:
        unsaved.release()
        for db in self._keyspace.databases:  # SWAPDB may have moved it
            if db.unsaved is unsaved:
                db.unsaved = None
