"""A snapshot that is read as slowly as a disk may be: each value stays half read while requests go on."""

from random import Random

from broker.datatypes.schedules import Ticket
from broker.keyspace.database import Keyspace
from broker.keyspace.snapshot import Snapshot
from broker.keyspace.unsaved import NEVER, Piece
from broker.rdb.limits import Format
from broker.rdb.payload import payload_of, value_of


class Slow:
    """What was taken stays open for a few steps; its value is read only then."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.agendas = dict(snapshot.agendas)
        self.keys: list[tuple[int, bytes, object, int]] = []
        self._open: list[Piece] = []

    def advance(self, count: int) -> None:
        for _ in range(count):
            piece = self.snapshot.take()
            if piece is None:
                break
            self._open.append(piece)
        while len(self._open) > 3:
            self._close()

    def finish(self) -> None:
        while self.snapshot.taken < self.snapshot.total:
            self.advance(10)
        assert self.snapshot.take() is None
        while self._open:
            self._close()
        self.tickets = {index: [_twin(t) for t in agenda.tickets()] for index, agenda in self.agendas.items()}
        self.snapshot.end()

    def _close(self) -> None:
        piece = self._open.pop(0)
        # Not its copy(), which would share blocks with the frozen value, and so with the living one after it is thawed.
        value = piece.value if isinstance(piece.value, bytes) else value_of(payload_of(piece.value, Format(12)))
        self.keys.append((piece.database, piece.key, value, piece.expire_at_ms))
        piece.done()


def _twin(ticket: Ticket) -> Ticket:
    """The one that is given belongs to the agenda still."""
    due_ms, runs = int(ticket.due_ms), int(ticket.runs)
    return Ticket(int(ticket.kind), ticket.key, ticket.name, due_ms, runs, ticket.terms, ticket.packed)


def loaded(slow: Slow) -> Keyspace:
    """The data that was read."""
    keyspace = Keyspace(16, Random(1))
    keyspace.now_ms = slow.snapshot.now_ms
    for database, key, value, expire_at_ms in slow.keys:
        db = keyspace.databases[database]
        assert db.table.get(key) is None, "given twice"
        db.table.set(key, value)
        if expire_at_ms != NEVER:
            db.set_expiry(key, expire_at_ms)
    for database, tickets in slow.tickets.items():
        for ticket in tickets:
            keyspace.databases[database].agenda.add(ticket)
    keyspace.libraries = {source: source for source in slow.snapshot.libraries}
    keyspace.channel_log = slow.snapshot.channel_log
    return keyspace
