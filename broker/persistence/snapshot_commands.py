"""A base of the log as commands, made out of a snapshot a little at a time: `aof-use-rdb-preamble no`. No I/O.

Keys that change while the snapshot is taken come first, also between the commands of a large one, so that what is kept
of them is soon free.

Costs: put_some() some hundred elements of a value, or one key, and up to 16 more keys that have changed.
"""

from collections import deque
from typing import Final

from mypy_extensions import i64

from broker.keyspace.snapshot import Snapshot
from broker.keyspace.unsaved import Piece
from broker.persistence.as_commands import KeyCommands, put_select
from broker.persistence.log_records import put_state_record
from broker.persistence.rdb_state import AgendaWriter, ChannelsWriter, records_in, writers_of_state
from broker.protocol.encoder import encode_request
from broker.rdb.limits import Format
from broker.rdb.values_out import is_large

_BETWEEN: Final = 16


class SnapshotCommands:
    """stamp: a line that stands first, or nothing."""

    def __init__(self, snapshot: Snapshot, form: Format, stamp: bytes) -> None:
        self.snapshot: Final = snapshot
        self._form: Final = form
        self._stamp: Final = stamp
        self._begun = False
        self._state: list[AgendaWriter | ChannelsWriter] = writers_of_state(snapshot.agendas, snapshot.channel_log)
        self._database: i64 = -1  # that the file has selected
        self._large: KeyCommands | None = None
        self._piece: Piece | None = None  # that _large writes
        self._waiting: deque[Piece] = deque()  # large ones that changed while another one was written

    def put_some(self, out: list[bytes]) -> bool:
        """Append some bytes. False: that was all."""
        if self._large is not None:
            self._put_large(self._large, out)
            return True
        if not self._begun:
            self._begun = True
            if self._stamp:
                out.append(self._stamp)
            for library in self.snapshot.libraries:
                encode_request([b"FUNCTION", b"LOAD", library], out)
            return True
        if self._state:
            self._put_state(out)
            return True
        piece = self._waiting.popleft() if self._waiting else self.snapshot.take()
        if piece is None:
            return False
        if is_large(piece.value):
            self._piece = piece
            self._large = self._commands_of(piece)
        else:
            self._put(piece, out)
        return True

    def _commands_of(self, piece: Piece) -> KeyCommands:
        return KeyCommands(piece.database, piece.key, piece.value, piece.expire_at_ms, self._form)

    def _put(self, piece: Piece, out: list[bytes]) -> None:
        self._select(piece.database, out)
        commands = self._commands_of(piece)
        while commands.put_some(out):
            pass
        piece.done()

    def _select(self, database: i64, out: list[bytes]) -> None:
        if database != self._database:
            self._database = database
            put_select(int(database), out)

    def _put_large(self, large: KeyCommands, out: list[bytes]) -> None:
        piece = self._piece
        assert piece is not None
        if not large.is_within:
            self._put_changed(out)
            self._select(piece.database, out)
        if large.put_some(out):
            return
        piece.done()
        self._large = None
        self._piece = None

    def _put_changed(self, out: list[bytes]) -> None:
        for _ in range(_BETWEEN):
            piece = self.snapshot.take_kept()
            if piece is None:
                return
            if is_large(piece.value):
                self._waiting.append(piece)
            else:
                self._put(piece, out)

    def _put_state(self, out: list[bytes]) -> None:
        made: list[bytes] = []
        if not self._state[len(self._state) - 1].put_some(made):
            self._state.pop()
        for record in records_in(b"".join(made)):
            put_state_record(record, out)

    def give_up(self) -> None:
        """Nothing more is written."""
        if self._piece is not None:
            self._piece.done()
            self._piece = None
        while self._waiting:
            self._waiting.popleft().done()
        self.snapshot.end()
