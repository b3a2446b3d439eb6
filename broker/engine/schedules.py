"""Scheduled messages that are due are appended here, at the end of a turn.

Each firing is one unit of the journal: the command that appends, with the id it chose, and the ticket's next state. So
a log that is cut anywhere has both or neither, and replaying it fires nothing by itself.
"""

from collections.abc import Callable
from typing import Final

from broker.cron import CronError, next_time
from broker.datatypes.schedules import LIST, NEVER, STREAM, Agenda, Outcome, Ticket, outcome, unpack
from broker.engine.journal import Journal
from broker.keyspace.database import Keyspace
from broker.protocol.replies import ErrorReply

_FIRE_PER_TURN: Final = 200  # the hub comes back at once for the rest
_LOOK_AT_LEAST_EVERY_MS: Final = 1000  # the wall clock may jump while the timer sleeps by the monotonic one
_FIRST_HOLD_MS: Final = 1000
_LONGEST_HOLD_MS: Final = 60_000

# By kind of value: the names of the commands that append at the end and at the front, and that change tickets.
_APPEND: Final = (b"XADD", b"RPUSH")
_PREPEND: Final = (b"XADD", b"LPUSH")
_SCHEDULE: Final = (b"XSCHEDULE", b"LSCHEDULE")
_UNSCHEDULE: Final = (b"XUNSCHEDULE", b"LUNSCHEDULE")


class Schedules:
    """fire: executes a command for no client in a database and records its effects, or says why it failed.

    settle: ends that request: journal, notifications, who waits.
    """

    def __init__(
        self,
        keyspace: Keyspace,
        journal: Journal,
        fire: Callable[[int, list[bytes]], ErrorReply | None],
        settle: Callable[[], None],
    ) -> None:
        self._keyspace = keyspace
        self._journal = journal
        self._fire = fire
        self._settle = settle

    def wait_ms(self, now_ms: int, held_up: bool) -> int | None:
        """Milliseconds until run_due() should be called again; None: nothing is planned.

        held_up: nothing may be written at present.
        """
        wait = _LOOK_AT_LEAST_EVERY_MS
        planned = False
        for database in self._keyspace.planned:
            first = self._keyspace.databases[database].agenda.first()
            if first is not None:
                planned = True
                if not held_up:
                    wait = min(wait, int(first.at_ms) - now_ms)
        return max(0, wait) if planned else None

    def run_due(self, now_ms: int) -> None:
        """Append what is due, up to a bound, in the order of due times within each database."""
        left = _FIRE_PER_TURN
        for database in list(self._keyspace.planned):
            agenda = self._keyspace.databases[database].agenda
            while left > 0:
                ticket = agenda.first()
                if ticket is None:
                    del self._keyspace.planned[database]
                    break
                if ticket.at_ms > now_ms:
                    break
                self._run(database, agenda, ticket, now_ms)
                left -= 1

    def _run(self, database: int, agenda: Agenda, ticket: Ticket, now_ms: int) -> None:
        try:
            plan = outcome(ticket, now_ms, next_time)
        except CronError as error:  # the zone was known when the schedule was made
            _hold(agenda, ticket, now_ms, str(error).encode())
            return
        if plan.fires:
            failed = self._fire(database, message(ticket))
            if failed is not None:
                _hold(agenda, ticket, now_ms, failed.text)
                self._settle()
                return
        self._keyspace.dirty += 1
        self._journal.record(database, _apply(agenda, ticket, plan))
        self._settle()


def message(ticket: Ticket) -> list[bytes]:
    """The command that appends it."""
    terms = ticket.terms
    if ticket.kind == LIST:
        return [(_PREPEND if terms.left else _APPEND)[LIST], ticket.key] + unpack(ticket.packed)
    argv = [_APPEND[STREAM], ticket.key]
    if terms.max_length != NEVER:
        argv += [b"MAXLEN", b"~" if terms.approximately else b"=", b"%d" % terms.max_length]
    argv.append(b"*")
    return argv + unpack(ticket.packed)


def _apply(agenda: Agenda, ticket: Ticket, plan: Outcome) -> list[bytes]:
    """Give the ticket its next state, or remove it. The command that does the same."""
    kind = int(ticket.kind)
    if plan.next_ms == NEVER:
        agenda.remove(kind, ticket.key, ticket.name)
        return [_UNSCHEDULE[kind], ticket.key, ticket.name]
    agenda.move(ticket, plan.next_ms, plan.runs)
    return [_SCHEDULE[kind], ticket.key, b"RUN", ticket.name, b"%d" % plan.next_ms, b"%d" % plan.runs]


def _hold(agenda: Agenda, ticket: Ticket, now_ms: int, error: bytes) -> None:
    """Nothing is lost because a key has the wrong type just now: try again, less and less often."""
    wait = min(_FIRST_HOLD_MS << min(int(ticket.failures), 10), _LONGEST_HOLD_MS)
    agenda.hold(ticket, now_ms + wait, error)
