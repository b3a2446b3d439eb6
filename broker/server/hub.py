"""One turn of I/O over all connections. Synchronous; server.py decides when the next turn runs.

A turn: poll, read and execute, answer whose time is up, write the log, send the replies. The log is written before the
replies are sent: that order carries the durability promise. With `appendfsync always` the replies wait for the fsync,
too, which runs in a thread while the next turns read on; what those owe waits for the next fsync.
"""

import os
from collections.abc import Callable
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, epoll
from socket import socket
from time import perf_counter
from typing import Final

from mypy_extensions import i64

from broker.commands.context import Context
from broker.commands.session import ALWAYS, EVERYBODY, EVERYSEC, Session
from broker.engine.engine import Engine
from broker.server.connection import Connection, Limits, Traffic

_IN: Final[int] = EPOLLIN | EPOLLRDHUP
_OUT: Final[int] = EPOLLOUT
_GONE: Final[int] = EPOLLHUP | EPOLLERR
_MAX_EVENTS: Final = 512
_OWED_ITS_REPLIES: Final = frozenset(["asked", "protocol_error"])  # why a connection ends when it has got them all
_CLOSED_IS_NORMAL: Final = frozenset(["peer_closed", "asked", "connection_reset"])


class Hub:
    """All connections. Limits and counters are shared with them.

    write_log: takes what a turn journaled; it may raise nothing (a disk that fails is its business).
    replies_wait: says whose replies have to wait for an fsync: NOBODY's, those of whom goes BY_POLICY, or EVERYBODY's
    (then start_sync begins one, and synced() ends it).
    on_close: told of each connection that ends for another reason than that the client wanted to.
    """

    def __init__(
        self,
        engine: Engine,
        write_log: Callable[[bytes], None],
        replies_wait: Callable[[], int],
        start_sync: Callable[[], None],
        on_close: Callable[[Session, str], None],
    ) -> None:
        self.engine: Final = engine
        self.limits: Final = Limits()
        self.traffic: Final = Traffic()
        self.connections: dict[int, Connection] = {}  # {file descriptor: connection}
        self.turns: i64 = 0
        self.busy_seconds: float = 0.0  # spent in turns; of these:
        self.upkeep_seconds: float = 0.0  # what is due by the clock
        self.log_seconds: float = 0.0  # writing the log
        self.longest_turn: float = 0.0  # seconds
        self.most_requests: i64 = 0  # in one turn
        self.turns_with_requests: i64 = 0
        self.clients_limit: i64 = 0  # bytes that all clients may hold together (maxmemory-clients), 0: any
        self.evicted_clients: i64 = 0
        self.measures = False  # what clients hold is kept up to date
        self._epoll: Final = epoll()
        self._by_session: dict[int, Connection] = {}
        self._write_log: Final = write_log
        self._replies_wait: Final = replies_wait
        self._start_sync: Final = start_sync
        self._on_close: Final = on_close
        self._backlog: dict[Connection, None] = {}  # with requests that wait for another turn
        self._fresh = False  # something was added to it that is not known to be held up
        self._waiting: list[Connection] = []  # with output that waits for the fsync under way
        self._syncing = False
        self._failing = False
        self._wake: Final = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, EPOLLIN)

    def reset_statistics(self) -> None:
        self.evicted_clients = 0
        self.busy_seconds = self.upkeep_seconds = self.log_seconds = self.longest_turn = 0.0
        self.turns = self.turns_with_requests = self.most_requests = 0

    def wake(self) -> None:
        """There is something to do for a turn that no socket tells of."""
        os.eventfd_write(self._wake, 1)

    def fileno(self) -> int:
        """Readable when a turn has something to do."""
        return self._epoll.fileno()

    # -- connections

    def add(self, sock: socket, address: bytes, local_address: bytes) -> Context:
        """Take over a connected, non-blocking socket."""
        ctx = self.engine.open_session()
        ctx.session.address = address
        ctx.session.local_address = local_address
        connection = Connection(sock, ctx, self.engine, self.limits, self.traffic)
        ctx.session.fd = connection.fd
        connection.events = _IN
        if self.measures:
            self._measure(connection)
        self.connections[connection.fd] = connection
        self._by_session[ctx.session.id] = connection
        self._epoll.register(connection.fd, _IN)
        return ctx

    def connection_of(self, session: Session) -> Connection | None:
        return self._by_session.get(session.id)

    def close(self, connection: Connection, reason: str) -> None:
        """End a connection now. What it is owed and could be sent without waiting was sent before."""
        if self.connections.pop(connection.fd, None) is None:
            return
        session = connection.session
        self.engine.memory.clients_bytes -= connection.measured
        connection.measured = 0
        del self._by_session[session.id]
        self.engine.close_session(connection.ctx)
        try:
            self._epoll.unregister(connection.fd)
        finally:
            connection.socket.close()
        if reason not in _CLOSED_IS_NORMAL:
            self._on_close(session, reason)

    def close_all(self) -> None:
        for connection in list(self.connections.values()):
            self.close(connection, "asked")
        self._epoll.close()
        os.close(self._wake)

    # -- what clients hold

    def measure(self, on: bool) -> None:
        """Keep MemoryLimit.clients_bytes up to date, or not."""
        self.measures = on
        self.engine.memory.clients_bytes = 0
        for connection in self.connections.values():
            connection.measured = 0
            if on:
                self._measure(connection)

    def _measure(self, connection: Connection) -> None:
        now = connection.memory_bytes()
        self.engine.memory.clients_bytes += now - connection.measured
        connection.measured = now

    def _evict_clients(self) -> None:
        """Close who holds most, until the rest is within the limit. Redis: evictClients in server.c."""
        victims = [c for c in self.connections.values() if not c.session.no_evict]
        victims.sort(key=_memory_of, reverse=True)
        for connection in victims:
            if self.engine.memory.clients_bytes <= self.clients_limit:
                return
            self.evicted_clients += 1
            self.close(connection, "client_eviction")

    # -- a turn

    def turn(self) -> bool:
        """Run one; False when there was nothing to do."""
        events: list[tuple[int, int]] = self._epoll.poll(0, _MAX_EVENTS)
        engine = self.engine
        started = perf_counter()
        executed: i64 = engine.executed
        engine.begin_turn()
        self.turns += 1
        connections = self.connections
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                if fd == self._wake:
                    os.eventfd_read(fd)
                continue  # or it was closed by a request of this turn
            if mask & EPOLLIN:
                self._receive(connection)
                if self.measures:
                    self._measure(connection)
                    if connection.received > self.clients_limit > 0 and not connection.session.no_evict:
                        self.evicted_clients += 1  # one request took more than all clients may have
                        connection.closing = "client_eviction"
                if connection.closing or connection.has_work or not connection.wants_input:
                    self._unusual(connection)
                    if connection.closing:
                        continue
            elif mask & (_GONE | EPOLLRDHUP):
                connection.closing = "connection_reset"
                self._unusual(connection)
            if mask & _OUT:
                connection.on_writable()
                self._unusual(connection)
        busy = len(events) > 0
        self._fresh = False
        if self._backlog:
            busy = self._run_backlog() or busy
        begun = perf_counter()
        engine.end_turn()
        self.upkeep_seconds += perf_counter() - begun
        self._finish()
        if self.clients_limit and engine.memory.clients_bytes > self.clients_limit:
            self._evict_clients()
        self._measure_turn(started, executed)
        return busy or self._fresh

    def _measure_turn(self, started: float, executed: i64) -> None:
        took = perf_counter() - started
        self.busy_seconds += took
        if took > self.longest_turn:
            self.longest_turn = took
        requests: i64 = self.engine.executed - executed
        if requests > 0:
            self.turns_with_requests += 1
            if requests > self.most_requests:
                self.most_requests = requests

    def answer_others(self, caller: Session) -> None:
        """A turn within a turn, while a request of `caller` runs for long: read and answer everybody else.

        The time of the turn stands still, nothing falls due, and what the request has changed so far is in no unit of
        the journal yet; what others were owed before goes out behind the log as ever.
        """
        for fd, mask in self._epoll.poll(0, _MAX_EVENTS):
            connection = self.connections.get(fd)
            if connection is None or connection.session is caller:
                continue
            if mask & EPOLLIN:
                self._receive(connection)
            elif mask & (_GONE | EPOLLRDHUP):
                connection.closing = "connection_reset"
            if mask & _OUT:
                connection.on_writable()
            self._unusual(connection)
        if caller.queued_for_sending:
            self.engine.outgoing.remove(caller)
            caller.queued_for_sending = False  # its output is being made
        self._write_journal()
        if not self.engine.outgoing:
            return
        if self._replies_wait() and not self._syncing:
            self._begin_sync()  # sent when the script has ended: only then the end of an fsync is heard of
        elif not self._syncing:
            self._send_all()

    def _receive(self, connection: Connection) -> None:
        """Read once, and execute what is complete."""
        try:
            connection.on_readable()
        except Exception as error:
            self._crashed(connection, error)
        if connection.session.out:
            connection.session.mark()

    def _crashed(self, connection: Connection, error: Exception) -> None:
        """A bug of ours met one client: it ends, with what it is owed possibly cut in the middle; the others go on."""
        self.engine.report_bug("connection", error)
        connection.closing = "internal_error"

    def _unusual(self, connection: Connection) -> None:
        """After something else than a plain read: close, queue for another turn, or change what epoll watches for."""
        connection.end_if_done()
        if connection.closing:
            self._end(connection)
            return
        if connection.has_work:
            self._backlog[connection] = None
            self._fresh = True
        self._watch(connection)

    def _end(self, connection: Connection) -> None:
        """Close, at once or when what the client is owed is out."""
        session = connection.session
        if connection.owes and connection.closing in _OWED_ITS_REPLIES:
            session.close_after_reply = True
            if session.out:
                session.mark()
            self._watch(connection)
        else:
            self.close(connection, connection.closing)

    def _watch(self, connection: Connection) -> None:
        """Tell epoll what is of interest. (That the peer has closed is, to who waits for a key, also when there is no
        room for more input; to others it would be told again and again.)"""
        events = 0
        if connection.wants_input:
            events = _IN
        elif connection.session.is_blocked:
            events = EPOLLRDHUP
        if connection.has_unsent:
            events |= _OUT
        if events != connection.events:
            connection.events = events
            self._epoll.modify(connection.fd, events)

    def _run_backlog(self) -> bool:
        """Give those who wait for another turn their share. True when one of them got on."""
        backlog = self._backlog
        self._backlog = {}
        moved = False
        for connection in backlog:
            if self.connections.get(connection.fd) is not connection:
                continue
            try:
                if connection.run() > 0:
                    moved = True
            except Exception as error:
                self._crashed(connection, error)
            if connection.session.out:
                connection.session.mark()
            self._unusual(connection)
        self._fresh = False  # who is still there has had its turn, or is paused
        return moved

    def _finish(self) -> None:
        """The log, then the replies. (That order is the durability promise.)"""
        self._write_journal()
        if not self.engine.outgoing:
            return
        if self.engine.shared.durability_clients:
            self._finish_mixed()
        elif not (self._syncing or self._replies_wait()):
            self._send_all()
        elif self._failing:
            self._send_past()
        elif not self._syncing:
            self._begin_sync()
        else:
            self._count_held()  # sent by synced(), or sealed there for the next fsync

    def _write_journal(self) -> None:
        data = self.engine.journal.take()
        if data:
            begun = perf_counter()
            self._write_log(data)
            self.log_seconds += perf_counter() - begun

    def _count_held(self) -> None:
        for session in self.engine.outgoing.copy():
            connection = self._by_session.get(session.id)
            if connection is not None:
                connection.count_held()
                if connection.closing or not connection.wants_input:
                    self._unusual(connection)

    def _finish_mixed(self) -> None:
        """Some clients chose a durability of their own: send what need not wait, hold the rest."""
        outgoing = self.engine.outgoing
        held = self._held()
        if self._failing:
            self._send_past()
        elif not held:
            self._send_all()
        else:
            chosen = set(held)
            outgoing[:] = [session for session in outgoing if session not in chosen]
            self._send_all()
            outgoing[:] = held
            if not self._syncing:
                self._begin_sync()
            else:
                self._count_held()

    def _held(self) -> list[Session]:
        """Of those with output, whose replies have to wait for an fsync."""
        log = self.engine.shared.log
        waits = self._replies_wait()
        held: list[Session] = []
        for session in self.engine.outgoing:
            connection = self._by_session.get(session.id)
            if connection is None:
                continue
            if connection.has_sealed:
                held.append(session)
            elif session.durability == ALWAYS:
                if log.enabled and not log.is_durable(session.wrote):
                    held.append(session)
            elif waits and (waits == EVERYBODY or session.durability != EVERYSEC):
                held.append(session)
        return held

    def _send_past(self) -> None:
        """While the disk fails no write is taken: all but those who wait for it are answered."""
        ahead: list[Session] = []
        for session in self.engine.outgoing:
            connection = self._by_session.get(session.id)
            if connection is not None and connection.has_sealed:
                session.queued_for_sending = False
                connection.seal()
            else:
                ahead.append(session)
        self.engine.outgoing[:] = ahead
        self._send_all()

    def disk_fails(self, failing: bool) -> None:
        """Set aside what was owed up to now, which may not go before the disk works; what comes later may."""
        outgoing = self.engine.outgoing
        if failing and outgoing:
            if self.engine.shared.durability_clients:
                held = self._held()
                chosen = set(held)
                others = [session for session in outgoing if session not in chosen]
                outgoing[:] = held
                if held:
                    self._begin_sync()
                outgoing[:] = others
            elif self._syncing or self._replies_wait():
                self._begin_sync()
        self._failing = failing

    def _send_all(self) -> None:
        outgoing = self.engine.outgoing
        by_session = self._by_session
        for session in outgoing:
            session.queued_for_sending = False
            connection = by_session.get(session.id)
            if connection is not None:
                connection.flush()
                if self.measures:
                    self._measure(connection)
                if (
                    connection.has_unsent
                    or connection.has_work
                    or connection.closing
                    or connection.ended
                    or session.close_after_reply
                ):
                    self._after_sending(connection)
        outgoing.clear()

    def _after_sending(self, connection: Connection) -> None:
        if connection.session.close_after_reply and not connection.closing:
            connection.closing = "asked"  # CLIENT KILL by another
        self._unusual(connection)

    # -- replies that wait for the disk

    def _begin_sync(self) -> None:
        for session in self.engine.outgoing:
            session.queued_for_sending = False
            connection = self._by_session.get(session.id)
            if connection is not None:
                connection.seal()
                self._waiting.append(connection)
                if connection.has_work:
                    self._backlog[connection] = None
                    self._fresh = True
        self.engine.outgoing.clear()
        self._syncing = True
        self._start_sync()

    def synced(self) -> None:
        """The fsync that start_sync() began has ended well: send what waited for it."""
        waiting = self._waiting
        self._waiting = []
        self._syncing = False
        for connection in waiting:
            if self.connections.get(connection.fd) is connection:
                connection.release()
                self._after_sending(connection)
        self._finish()
        if self._backlog:
            self.wake()


def _memory_of(connection: Connection) -> int:
    return int(connection.measured)
