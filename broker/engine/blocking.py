"""Who waits for which key, and until when.

A waiter's request is executed again inside the turn of whoever wrote to the key, oldest waiter first; nobody is woken
to compete. Who finds nothing keeps his place. Costs: park and unpark O(keys), serving O(waiters that are tried).
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from mypy_extensions import i64

from broker.commands.blocked import LOG, Blocked
from broker.commands.context import Context
from broker.commands.session import REPLY_ON, REPLY_SKIP, Session
from broker.keyspace.database import Keyspace
from broker.keyspace.types import type_name
from broker.protocol.replies import NOTHING, ErrorReply, Reply


class Waiter:
    """One blocked request."""

    def __init__(self, ctx: Context, blocked: Blocked, deadline_ms: int, number: int) -> None:
        self.ctx = ctx
        self.blocked = blocked
        self.database: int = int(ctx.session.database)
        self.deadline_ms = deadline_ms  # monotonic; 0: none
        self.retry_at_ms = 0  # Unix time, as it stands in the heap; 0: none
        self.number = number  # order of arrival
        self.parked = True


class Blocking:
    def __init__(self, keyspace: Keyspace, retry: Callable[[Context, list[bytes]], Reply | Blocked]) -> None:
        self._keyspace = keyspace
        self._retry = retry  # executes a parked request again
        self._by_key: dict[tuple[int, bytes], dict[Waiter, None]] = {}  # {(db, key): {waiter: None}}, oldest first
        self._by_session: dict[int, Waiter] = {}
        self._deadlines: list[tuple[int, int, Waiter]] = []  # heap of (deadline_ms, number, waiter), some outdated
        self._retries: list[tuple[int, int, Waiter]] = []  # heap of (Unix time in ms, number, waiter), some outdated
        self._number = 0
        self._serving = False
        self.for_log: dict[Waiter, None] = {}  # who waits for an fsync, oldest first
        self._on_deletion = 0  # waiters that are to be tried, too, when their key is gone

    def __len__(self) -> int:
        return len(self._by_session)

    def park(self, ctx: Context, blocked: Blocked, monotonic_ms: int) -> None:
        deadline = monotonic_ms + blocked.timeout_ms if blocked.timeout_ms else 0
        self._number += 1
        waiter = Waiter(ctx, blocked, deadline, self._number)
        for key in blocked.keys:
            place = (waiter.database, key)
            queue = self._by_key.setdefault(place, {})
            if waiter not in queue:
                queue[waiter] = None
                waited = self._keyspace.databases[waiter.database].waited
                waited[key] = waited.get(key, 0) + 1
        self._by_session[ctx.session.id] = waiter
        self._on_deletion += blocked.on_deletion
        if blocked.wants == LOG:
            self.for_log[waiter] = None
        if deadline:
            heappush(self._deadlines, (deadline, waiter.number, waiter))
        self._plan_retry(waiter)
        ctx.session.is_blocked = True
        ctx.session.blocked_on = blocked.keys

    def unpark(self, waiter: Waiter) -> None:
        waiter.parked = False
        waited = self._keyspace.databases[waiter.database].waited
        for key in dict.fromkeys(waiter.blocked.keys):
            place = (waiter.database, key)
            queue = self._by_key[place]
            del queue[waiter]
            if not queue:
                del self._by_key[place]
            waited[key] -= 1
            if not waited[key]:
                del waited[key]
        del self._by_session[waiter.ctx.session.id]
        self._on_deletion -= waiter.blocked.on_deletion
        self.for_log.pop(waiter, None)
        waiter.ctx.session.is_blocked = False
        waiter.ctx.session.blocked_on = []
        if len(self._deadlines) > 64 + 2 * len(self._by_session):
            self._deadlines = [entry for entry in self._deadlines if entry[2].parked]
            heapify(self._deadlines)

    def _plan_retry(self, waiter: Waiter) -> None:
        when = waiter.blocked.retry_at_ms
        if when and when != waiter.retry_at_ms:
            heappush(self._retries, (when, waiter.number, waiter))
            if len(self._retries) > 64 + 2 * len(self._by_session):
                self._retries = [entry for entry in self._retries if entry[0] == entry[2].retry_at_ms]
                self._retries.append((when, waiter.number, waiter))
                heapify(self._retries)
        waiter.retry_at_ms = when

    def forget(self, session_id: int) -> None:
        """The client went away."""
        waiter = self._by_session.get(session_id)
        if waiter is not None:
            self.unpark(waiter)

    def unblock(self, session_id: int, with_error: bool) -> bool:
        """CLIENT UNBLOCK. False when that client does not wait."""
        waiter = self._by_session.get(session_id)
        if waiter is None:
            return False
        reply = waiter.blocked.on_timeout
        if with_error:
            reply = ErrorReply(b"UNBLOCKED client unblocked via CLIENT UNBLOCK")
        _count(waiter, with_error)
        self._finish(waiter, reply)
        return True

    def waiting_keys(self) -> int:
        return len(self._by_key)

    def keys_waited_for_deletion(self) -> int:
        """Keys that somebody waits for who wants to be told when they go."""
        return sum(1 for queue in self._by_key.values() if any(waiter.blocked.on_deletion for waiter in queue))

    def with_deadline(self) -> int:
        return sum(1 for waiter in self._by_session.values() if waiter.deadline_ms)

    def serve(self) -> None:
        """Offer the keys that became ready to their waiters, until nothing moves."""
        if self._serving:
            return  # a retry wrote to a key (BLMOVE): the loop below is on its way to it
        self._serving = True
        ready = self._keyspace.ready
        try:
            while ready:
                places = list(dict.fromkeys(ready))
                ready.clear()
                for place in places:
                    self._serve_key(place)
        finally:
            self._serving = False

    def _serve_key(self, place: tuple[int, bytes]) -> None:
        queue = self._by_key.get(place)
        if queue is None:
            return
        exhausted: set[bytes] = set()
        for waiter in list(queue):
            blocked = waiter.blocked
            if not waiter.parked or blocked.competes in exhausted:
                continue
            value = self._keyspace.databases[place[0]].peek(place[1])
            if value is None and not self._on_deletion:
                return  # all was taken: the many who wait still need not be looked at
            if (value is None or type_name(value) != blocked.wants) and not blocked.on_deletion:
                continue
            if not self._try(waiter) and blocked.competes:
                exhausted.add(blocked.competes)

    def _try(self, waiter: Waiter) -> bool:
        """Execute a parked request again. False when it has to go on waiting."""
        session = waiter.ctx.session
        before: i64 = len(session.out)
        reply = self._retry(waiter.ctx, waiter.blocked.argv)
        if not isinstance(reply, Blocked):
            if len(session.out) > before and session.reply_mode == REPLY_ON:
                session.answer_first(reply, before)
                reply = NOTHING
            self._finish(waiter, reply)
            return True
        waiter.blocked.retry_at_ms = reply.retry_at_ms
        waiter.blocked.competes = reply.competes
        waiter.blocked.on_timeout = reply.on_timeout
        self._plan_retry(waiter)
        return False

    def _finish(self, waiter: Waiter, reply: Reply) -> None:
        self.unpark(waiter)
        self.answer(waiter.ctx.session, reply)

    def answer(self, session: Session, reply: Reply) -> None:
        """The late reply to a request."""
        if session.reply_mode == REPLY_ON:
            session.send(reply)
        elif session.reply_mode == REPLY_SKIP:
            session.reply_mode = REPLY_ON
        session.mark()  # its further requests can go on, reply or not

    def retry_log(self) -> None:
        """More of the log is durable."""
        for waiter in list(self.for_log):
            self._try(waiter)

    def next_deadline_ms(self) -> int | None:
        """Monotonic time at which the next waiter gives up, or None."""
        deadlines = self._deadlines
        while deadlines and not deadlines[0][2].parked:
            heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def next_retry_ms(self) -> int | None:
        """Unix time at which retry_due() has work, or None."""
        retries = self._retries
        while retries and (not retries[0][2].parked or retries[0][2].retry_at_ms != retries[0][0]):
            heappop(retries)
        return retries[0][0] if retries else None

    def retry_due(self, now_ms: int) -> bool:
        """Try those again whose time has come, in the order of their times. True when there was one."""
        tried = False
        while True:
            when = self.next_retry_ms()
            if when is None or when > now_ms:
                return tried
            waiter = heappop(self._retries)[2]
            waiter.retry_at_ms = 0
            self._try(waiter)
            tried = True

    def expire(self, monotonic_ms: int) -> None:
        """Answer those whose time is up."""
        while True:
            deadline = self.next_deadline_ms()
            if deadline is None or deadline > monotonic_ms:
                return
            waiter = self._deadlines[0][2]
            _count(waiter, False)
            self._finish(waiter, waiter.blocked.on_timeout)


def _count(waiter: Waiter, failed: bool) -> None:
    """A request that waited in vain counts as called now that it has ended. Redis: updateStatsOnUnblock."""
    command = waiter.ctx.command
    if command is not None:
        command.calls += 1
        if failed:
            command.failed += 1
