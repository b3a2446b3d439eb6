"""The bytes of an RDB file, made out of a snapshot a little at a time. No I/O.

Keys that change while the snapshot is taken come first, so that what is kept of them is soon free. While a large value
is being written they can't be: they are encoded aside, and follow it.

Costs: put_some() some hundred elements of a value, or one key.
"""

from collections import deque
from typing import Final

from broker.keyspace.snapshot import Snapshot
from broker.keyspace.unsaved import Piece
from broker.keyspace.usage import FREQUENCY, UNKNOWN
from broker.persistence.rdb_state import AgendaWriter, ChannelsWriter, writers_of_state
from broker.persistence.rdb_writer import begin_key, frequency_bytes, idle_bytes, put_database, put_header
from broker.rdb.functions import put_libraries
from broker.rdb.limits import Format
from broker.rdb.values_out import Pieces

_NONE: Final = -1
_ASIDE: Final = 16  # keys that are encoded aside with each piece of a large value


class SnapshotBytes:
    """All but the END and the checksum after it. facts: AUX fields of the header."""

    def __init__(self, snapshot: Snapshot, form: Format, facts: list[tuple[bytes, bytes]]) -> None:
        self.snapshot: Final = snapshot
        self._form: Final = form
        self._facts: Final = facts
        self._begun = False
        self._state: list[AgendaWriter | ChannelsWriter] = writers_of_state(snapshot.agendas, snapshot.channel_log)
        self._database = _NONE  # that the file has selected
        self._aside_database = _NONE
        self._large: Pieces | None = None
        self._piece: Piece | None = None  # of which _large is the value
        self._aside: list[bytes] = []
        self._large_aside: deque[Piece] = deque()

    def put_some(self, out: list[bytes]) -> bool:
        """Append some bytes. False: that was all."""
        if self._large is not None:
            self._put_large(out)
            return True
        if not self._begun:
            self._begun = True
            put_header(self._form, self._facts, out)
            put_libraries(self.snapshot.libraries, self._form.compressed, out)
            return True
        if self._state:
            if not self._state[-1].put_some(out):
                self._state.pop()
            return True
        piece = self._large_aside.popleft() if self._large_aside else self.snapshot.take()
        if piece is None:
            return False
        self._database = self._select(piece.database, self._database, out)
        self._large = self._begin(piece, out)
        if self._large is None:
            piece.done()
        else:
            self._piece = piece
        return True

    def _begin(self, piece: Piece, out: list[bytes]) -> Pieces | None:
        hint = b""
        if piece.use != UNKNOWN:
            hint = frequency_bytes(piece.use) if self.snapshot.hints.kind == FREQUENCY else idle_bytes(piece.use)
        return begin_key(piece.key, piece.value, piece.expire_at_ms, self._form, out, hint)

    def _select(self, database: int, selected: int, out: list[bytes]) -> int:
        if database != selected:
            keys, expiring = self.snapshot.sizes[database]
            put_database(database, keys, expiring, out)
        return database

    def _put_large(self, out: list[bytes]) -> None:
        large, piece = self._large, self._piece
        assert large is not None and piece is not None
        self._put_aside()
        if large.put_some(out):
            return
        piece.done()
        self._large = None
        self._piece = None
        if self._aside:
            out.extend(self._aside)
            self._aside.clear()
            self._database = self._aside_database
            self._aside_database = _NONE

    def _put_aside(self) -> None:
        for _ in range(_ASIDE):
            piece = self.snapshot.take_kept()
            if piece is None:
                return
            out: list[bytes] = []
            selected = self._select(piece.database, self._aside_database, out)
            if self._begin(piece, out) is not None:
                self._large_aside.append(piece)  # another large one: it has to wait
                continue
            self._aside_database = selected
            self._aside.extend(out)
            piece.done()

    def give_up(self) -> None:
        """Nothing more is written."""
        if self._piece is not None:
            self._piece.done()
            self._piece = None
        while self._large_aside:
            self._large_aside.popleft().done()
        self.snapshot.end()
