"""The bytes of one client: what came in becomes requests, what is owed goes out. Never waits.

Reading goes on while the client is blocked (who hung up must not take an element), within bounds; a client that does
not take its replies is cut at its class's output limit, or, where that is unlimited, not read from any more.
"""

from socket import socket
from time import monotonic
from typing import Final

from mypy_extensions import i64

from broker.commands.context import Context
from broker.commands.session import DROP_NEWEST, DROP_OLDEST, NEEDS_AUTH, REPLY_ON, REPLY_SKIP, REPLY_SKIP_NEXT, TRACKS
from broker.engine.admission import POSTPONED
from broker.engine.engine import Engine
from broker.errors import ProtocolError
from broker.protocol.encoder import encode
from broker.protocol.replies import ErrorReply
from broker.protocol.requests import RequestParser
from broker.server.held import Held, notice

_RECEIVE: Final = 16 * 1024
_RECEIVE_MORE: Final = 256 * 1024  # once a client sends more than the above at a time
_REQUESTS_PER_TURN: Final = 1024
_PIECES_PER_TURN: Final = 8192  # of output: a request makes 1 to 3
_BYTES_PER_TURN: Final = 1024 * 1024  # of output, so that many large replies do not meet in memory
_HELD_WHILE_WAITING: Final = 1024 * 1024  # bytes read ahead of a client that is blocked or paused
_CHUNK: Final = 64 * 1024  # of what is held, to be sent next
_OWN_BYTES: Final = 3072  # of a connection with its session and parser
_FREE: Final = 16 * 1024  # of output that Redis keeps in a place of its own, which no limit counts
_UNLIMITED: Final = 1 << 60
_BACKPRESSURE: Final = 128 * 1024 * 1024  # unsent bytes at which a client without an output limit is not read


class Limits:
    """The settings that bound a connection; one object for all, refreshed when they change."""

    def __init__(self) -> None:
        self.query_buffer: int = 1024 * 1024 * 1024
        self.max_bulk: int = 512 * 1024 * 1024
        # (hard bytes, soft bytes, soft seconds); 0 is unlimited
        self.normal: tuple[int, int, int] = (0, 0, 0)
        self.pubsub: tuple[int, int, int] = (32 * 1024 * 1024, 8 * 1024 * 1024, 60)


class Traffic:
    """Counters of all connections together."""

    def __init__(self) -> None:
        self.reads: i64 = 0
        self.writes: i64 = 0
        self.bytes_in: i64 = 0
        self.bytes_out: i64 = 0
        self.output_limit_cuts: i64 = 0
        self.messages_dropped: i64 = 0  # as pubsub-overflow says
        self.query_limit_cuts: i64 = 0


class Connection:
    """One client's socket. `closing` says why it has to end: empty while it lives.

    ended: the client sends no more. What it sent before is still executed and answered, unless it waits for a key.
    """

    def __init__(self, sock: socket, ctx: Context, engine: Engine, limits: Limits, traffic: Traffic) -> None:
        self.socket: Final = sock
        self.fd: Final = sock.fileno()
        self.ctx: Final = ctx
        self.session: Final = ctx.session
        self.closing = ""
        self.postponed = False  # its next request waits for the end of a pause
        self.ended = False
        self.bytes_in: i64 = 0
        self.bytes_out: i64 = 0
        self.requests: i64 = 0  # executed
        self.received: i64 = 0  # bytes of the requests that were executed last
        self._came: i64 = 0  # bytes since it last had sent nothing that was not executed
        self.events: i64 = 1  # what epoll watches for; kept by the hub
        self._engine: Final = engine
        self._limits: Final = limits
        self._traffic: Final = traffic
        self._recv: Final = sock.recv
        self._send: Final = sock.send
        self._receive: i64 = _RECEIVE
        self._parser: Final = RequestParser(not ctx.session.gate & NEEDS_AUTH, limits.max_bulk)
        self._queue: list[list[bytes]] = []  # complete requests
        self._next: i64 = 0  # the first of them that was not executed
        self._failure: ErrorReply | None = None  # a protocol error, to be told after them
        self._sealed: list[bytes] = []  # output whose log is being fsynced
        self._lost_before: i64 = 0  # messages dropped from _sealed; their notice stands at _notice_at
        self._notice_at: i64 = 0
        self._sealed_messages: list[int] = []  # as Session.messages, of _sealed
        self._sealed_bytes: i64 = 0
        self._held_bytes: i64 = 0  # those, and what of session.out waits for an fsync, as far as it was counted
        self._counted: i64 = 0  # pieces of session.out that are in _held_bytes
        self._unsent: list[bytes] = []  # output that the socket did not take
        self._held: Held | None = None  # more of it, after that, some of which may be dropped
        self._unsent_bytes: i64 = 0
        self._sent: i64 = 0  # of _unsent[0]
        self.measured: i64 = 0  # memory_bytes when the hub looked last
        self._soft_since: float = 0.0  # monotonic time since when the soft limit is exceeded; 0: it is not

    # -- in

    def on_readable(self) -> None:
        """Read once, execute what is complete."""
        if self.closing:
            return
        try:
            data = self._recv(self._receive)
        except BlockingIOError:
            return
        except OSError:
            self.closing = "connection_reset"
            return
        if not data:
            self.ended = True
            self.end_if_done()
            return
        size: i64 = len(data)
        self._traffic.reads += 1
        self._traffic.bytes_in += size
        self.bytes_in += size
        self._came += size
        if size == self._receive:
            self._receive = _RECEIVE_MORE
        self.session.active_ms = self._engine.keyspace.now_ms
        self._parser.feed(data)
        if self._parser.pending > self._limits.query_buffer:
            self._traffic.query_limit_cuts += 1
            self.closing = "query_buffer_limit"
            return
        self.run()

    def run(self) -> i64:
        """Execute complete requests until there is none, the client has to wait, or it had its share of this turn.

        The number executed.
        """
        session = self.session
        engine = self._engine
        ctx = self.ctx
        out = session.out
        owed: i64 = 0
        left: i64 = 0 if self._unsent_bytes + self._held_bytes > _BACKPRESSURE else _REQUESTS_PER_TURN
        while True:
            queue = self._queue
            while self._next < len(queue):
                if session.is_blocked or left == 0 or len(out) > _PIECES_PER_TURN or owed > _BYTES_PER_TURN:
                    return _REQUESTS_PER_TURN - left
                before: i64 = len(out)
                reply = engine.execute(ctx, queue[self._next])
                self.postponed = reply is POSTPONED
                if self.postponed:
                    return _REQUESTS_PER_TURN - left
                left -= 1
                self._next += 1
                self.requests += 1
                if self._came >= engine.observation.request_limit:
                    engine.observation.note_request(session, queue[self._next - 1])
                if session.reply_mode == REPLY_ON:
                    if len(out) > before:
                        session.answer_first(reply, before)
                    else:
                        encode(reply, out, session.resp3)
                    if isinstance(reply, bytes):
                        size: i64 = len(reply)
                    else:
                        size = _size(out, before) if len(out) > before + 1 else 0
                    owed += size
                    if size >= engine.observation.reply_limit:
                        engine.observation.note_reply(session, queue[self._next - 1], int(size))
                else:
                    self._withhold()
                if session.close_after_reply or session.closed:
                    self.closing = self.closing or "asked"
                    queue.clear()
                    self._next = 0
                    return _REQUESTS_PER_TURN - left
            queue.clear()
            self._next = 0
            if self._failure is not None:
                if self._failure.text:
                    encode(self._failure, out, session.resp3)
                self.closing = "protocol_error"
                return _REQUESTS_PER_TURN - left
            if not self._take():
                self.received = self._came
                self._came = self._parser.pending
                return _REQUESTS_PER_TURN - left

    def _take(self) -> bool:
        """Fetch complete requests from the parser; False when there is nothing to execute."""
        parser = self._parser
        parser.trusted = self.session.gate & NEEDS_AUTH == 0
        parser.max_bulk = self._limits.max_bulk
        try:
            parser.take(self._queue)
        except ProtocolError as error:
            text = str(error).encode("utf-8", "surrogateescape")
            self._failure = ErrorReply(b"ERR " + text if text else b"")
        return len(self._queue) > 0 or self._failure is not None

    def _withhold(self) -> None:
        """CLIENT REPLY OFF or SKIP. For a request that waits, blocking.py does it when the reply is due."""
        session = self.session
        if session.is_blocked:
            return
        if session.reply_mode == REPLY_SKIP_NEXT:
            session.reply_mode = REPLY_SKIP
        elif session.reply_mode == REPLY_SKIP:
            session.reply_mode = REPLY_ON

    @property
    def has_work(self) -> bool:
        """Requests are complete and nothing keeps them from being executed (but a pause, which the hub knows)."""
        if self.session.is_blocked or self._unsent_bytes + self._held_bytes > _BACKPRESSURE:
            return False
        return self._next < len(self._queue)

    @property
    def wants_input(self) -> bool:
        """False while more input would only be piled up."""
        if self.ended or self.closing or self._unsent_bytes + self._held_bytes > _BACKPRESSURE:
            return False
        if self._next >= len(self._queue):
            return True
        # Another read must not lead over the limit: what waits for its turn is no fault of the client.
        return self._parser.pending < min(_HELD_WHILE_WAITING, self._limits.query_buffer - _RECEIVE_MORE)

    def end_if_done(self) -> None:
        """Close when the client sends no more and all it asked for is done. One that waits for a key is done at once:
        it must not take an element."""
        if self.ended and not self.closing:
            if self.session.is_blocked or not (self._next < len(self._queue) or self.owes):
                self.closing = "peer_closed"

    @property
    def query_bytes(self) -> int:
        return self._parser.pending

    # -- out

    def seal(self) -> None:
        """Set aside what is owed so far: it may go once the fsync that now begins has ended."""
        self.count_held()
        self._sealed_bytes = self._held_bytes
        self._counted = 0
        for place in self.session.messages:
            self._sealed_messages.append(len(self._sealed) + place)
        self._sealed.extend(self.session.out)
        self.session.messages.clear()
        self.session.out.clear()

    def release(self) -> None:
        """That fsync has ended. (More output may have come since: it waits for the next one.)"""
        if self._sealed:
            sealed = self._sealed
            messages = self._sealed_messages
            self._sealed = []
            self._sealed_messages = []
            self._held_bytes -= self._sealed_bytes
            self._sealed_bytes = 0
            self._lost_before = 0
            self._transmit(sealed, messages)

    def count_held(self) -> None:
        """What waits for an fsync counts as if the client did not take it: a disk that hangs must not fill memory."""
        out = self.session.out
        while self._counted < len(out):
            self._held_bytes += len(out[self._counted])
            self._counted += 1
        hard = self._limits.pubsub[0] if self.session.subscriptions else self._limits.normal[0]
        if hard and self._held_bytes > hard:
            if self.session.overflow == DROP_OLDEST:
                self._drop_oldest_held(hard)
            elif self.session.overflow == DROP_NEWEST:
                self._drop_newest_held(hard)
            if self._held_bytes > hard:
                self._cut()

    def _drop_oldest_held(self, hard: i64) -> None:
        """Drop messages that wait for the fsync, until the rest fits; one notice stands for all of them. Those of this
        turn, which wait for the next one, leave a notice each."""
        last = -1
        dropped = 0
        for place in self._sealed_messages:
            if self._held_bytes <= hard:
                break
            self._lose(self._sealed, place, b"")
            last = place
            dropped += 1
        if dropped:
            del self._sealed_messages[:dropped]
            if self._lost_before:
                self._sealed[self._notice_at] = b""
            self._lost_before += dropped
            self._notice_at = last
            self._sealed[last] = notice(int(self._lost_before), self.session.resp3)
        while self._held_bytes > hard and self.session.messages:
            self._lose(self.session.out, self.session.messages.pop(0), notice(1, self.session.resp3))

    def _drop_newest_held(self, hard: i64) -> None:
        instead = notice(1, self.session.resp3)
        while self._held_bytes > hard and self.session.messages:
            self._lose(self.session.out, self.session.messages.pop(), instead)
        while self._held_bytes > hard and self._sealed_messages:
            self._lose(self._sealed, self._sealed_messages.pop(), instead)

    def _lose(self, pieces: list[bytes], place: i64, instead: bytes) -> None:
        freed = len(pieces[place]) - len(instead)
        self._held_bytes -= freed
        if pieces is self._sealed:
            self._sealed_bytes -= freed
        pieces[place] = instead
        self._traffic.messages_dropped += 1

    def flush(self) -> None:
        """Send what the client is owed, as far as the socket takes it."""
        out = self.session.out
        if not out:
            return
        if self._counted:
            self._counted = 0
            self._held_bytes = self._sealed_bytes
        self._transmit(out, self.session.messages)
        out.clear()
        if self.session.messages:
            self.session.messages.clear()

    def _transmit(self, pieces: list[bytes], messages: list[int]) -> None:
        """messages: indexes of the pieces that may be dropped, rising."""
        if self._unsent:
            if messages or self._held is not None:
                self._hold(pieces, messages, 0)
            else:
                self._keep(pieces)
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not messages and self._exceeds(len(data)):
            self._cut()  # Redis gathers a turn's output before it sends, and cuts a client that is owed too much
            return
        try:
            sent: i64 = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.closing = "connection_reset"
            return
        self._traffic.writes += 1
        self._traffic.bytes_out += sent
        self.bytes_out += sent
        if sent < len(data):
            self._sent = sent
            self._unsent_bytes = -sent
            if messages:
                self._keep_begun(pieces, messages)
            else:
                self._keep([data])

    def _keep(self, pieces: list[bytes]) -> None:
        """Hold what the socket did not take, within the limit of the client's class."""
        for piece in pieces:
            self._unsent_bytes += len(piece)
        if self._over_limit():
            self._cut()
            return
        self._unsent.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _cut(self) -> None:
        self._traffic.output_limit_cuts += 1
        self.closing = "output_limit"
        self._unsent = []
        self._held = None

    def _keep_begun(self, pieces: list[bytes], messages: list[int]) -> None:
        """Of these, the first _sent bytes are sent. The piece that was begun has to be finished; the others are held so
        that they can still be dropped."""
        size: i64 = 0
        stop: i64 = 0
        while size <= self._sent:
            size += len(pieces[stop])
            stop += 1
        self._unsent_bytes += size
        self._unsent.append(b"".join(pieces[:stop]))
        self._hold(pieces, messages, stop)

    def _hold(self, pieces: list[bytes], messages: list[int], start: i64) -> None:
        """Hold pieces[start:] behind what is unsent, and drop messages where that is too much."""
        held = self._held
        if held is None:
            held = Held()
            self._held = held
        room = self._allowed()
        newest = self.session.overflow == DROP_NEWEST
        droppable = set(messages)
        for i in range(start, len(pieces)):
            piece = pieces[i]
            if i not in droppable:
                held.add_reply(piece)
                self._unsent_bytes += len(piece)
            elif newest and self._unsent_bytes + len(piece) > room:
                held.add_lost()
                self._traffic.messages_dropped += 1
            else:
                held.add_message(piece)
                self._unsent_bytes += len(piece)
        self._shrink(room)

    def _shrink(self, room: i64) -> None:
        """Drop the oldest messages until the rest is at most `room` bytes; without any left, cut the client."""
        while self._unsent_bytes > room:
            freed = 0
            if self._held is not None and self.session.overflow:
                freed = self._held.drop_oldest()
            if not freed:
                self._cut()
                return
            self._unsent_bytes -= freed
            self._traffic.messages_dropped += 1

    def _allowed(self) -> i64:
        """Unsent bytes that the limits of the client's class allow now."""
        hard, soft, _ = self._limits.pubsub if self.session.subscriptions else self._limits.normal
        if self._over_limit() and not (hard and self._unsent_bytes > hard):
            return soft
        return hard or _UNLIMITED

    def _over_limit(self) -> bool:
        session = self.session
        hard, soft, seconds = self._limits.pubsub if session.subscriptions else self._limits.normal
        if hard and self._unsent_bytes > hard:
            return True
        if not soft or self._unsent_bytes <= soft:
            self._soft_since = 0.0
            return False
        if self._soft_since == 0.0:
            self._soft_since = monotonic()
        return monotonic() - self._soft_since > seconds

    def _exceeds(self, size: i64) -> bool:
        """Whether so many bytes at once are beyond the hard limit of the client's class."""
        hard = self._limits.pubsub[0] if self.session.subscriptions else self._limits.normal[0]
        return hard != 0 and size > hard and size > _FREE

    def check_soft_limit(self) -> None:
        """Called now and then: the soft limit runs out even if nothing more is sent."""
        if self._unsent and self._over_limit():
            self._shrink(self._allowed())

    def on_writable(self) -> None:
        """The socket takes bytes again."""
        unsent = self._unsent
        try:
            while unsent:
                sent: i64 = self._send(memoryview(unsent[0])[self._sent :])
                self._traffic.bytes_out += sent
                self.bytes_out += sent
                self._unsent_bytes -= sent
                self._sent += sent
                if self._sent < len(unsent[0]):
                    return
                self._sent = 0
                del unsent[0]
                if not unsent and self._held is not None:
                    self._take_held()
        except BlockingIOError:
            return
        except OSError:
            self.closing = "connection_reset"
            return
        self._soft_since = 0.0

    def _take_held(self) -> None:
        """Send on with the next of what is held."""
        held = self._held
        assert held is not None
        before = held.bytes
        chunk = held.take(_CHUNK, self.session.resp3)
        self._unsent_bytes += len(chunk) - (before - held.bytes)  # a notice comes on top
        if chunk:
            self._unsent.append(chunk)
        if not len(held):
            self._held = None

    def memory_bytes(self) -> int:
        """What the client holds: requests, replies not taken, what MULTI queued, and the connection itself."""
        session = self.session
        queued = 0
        for i in range(self._next, len(self._queue)):
            queued += _size_of(self._queue[i])
        owed = _size(self._sealed, 0) if self._sealed else 0
        held: i64 = _OWN_BYTES + self._parser.pending + self._unsent_bytes + owed + queued + session.queue_bytes
        held += 120 * (session.subscriptions + len(session.watcher.keys)) + session.watcher.bytes
        if session.special & TRACKS:
            held += 120 * len(self._engine.keyspace.tracking.trackers[session.id].prefixes)
        return int(held)

    @property
    def has_unsent(self) -> bool:
        return len(self._unsent) > 0

    @property
    def has_sealed(self) -> bool:
        return len(self._sealed) > 0

    @property
    def owes(self) -> bool:
        """Something is to be sent still, now or after an fsync."""
        return len(self.session.out) > 0 or len(self._unsent) > 0 or len(self._sealed) > 0

    @property
    def unsent_pieces(self) -> int:
        held = len(self._held) if self._held is not None else 0
        return len(self._unsent) + held + len(self.session.out) + len(self._sealed)

    @property
    def unsent_bytes(self) -> int:
        return int(self._unsent_bytes) if self._unsent else 0


def _size_of(argv: list[bytes]) -> i64:
    """Memory of a request."""
    return 56 + 41 * len(argv) + _size(argv, 0)


def _size(pieces: list[bytes], start: i64) -> i64:
    """Bytes of pieces[start:]."""
    size: i64 = 0
    for i in range(start, len(pieces)):
        size += len(pieces[i])
    return size
