"""A client as commands see it: who it is, what it selected, what it has queued, what is to be sent to it."""

from typing import Final

from mypy_extensions import i64

from broker.datatypes.table import Table
from broker.keyspace.watch import Watcher
from broker.protocol.encoder import encode
from broker.protocol.replies import Reply

# Bits of Session.gate: while one is set, each request goes through engine/admission.py.
NEEDS_AUTH: Final = 1
IN_MULTI: Final = 2
SUBSCRIBED: Final = 4  # RESP2 with subscriptions: only a few commands are allowed

# Bits of Session.special: while one is set, the engine does more around each request.
TRACKS: Final = 1  # CLIENT TRACKING
UNTOUCHING: Final = 2  # CLIENT NO-TOUCH

# Session.reply_mode
REPLY_ON: Final = 0
REPLY_SKIP_NEXT: Final = 1  # CLIENT REPLY SKIP was just read; the next request is the one without a reply
REPLY_SKIP: Final = 2
REPLY_OFF: Final = 3

# Session.durability: which of its writes are answered after their fsync only
DEFAULT_DURABILITY: Final = 0  # as appendfsync says
ALWAYS: Final = 1
EVERYSEC: Final = 2  # none

# Whose replies wait for the disk
NOBODY: Final = 0
BY_POLICY: Final = 1  # of those who chose no durability of their own
EVERYBODY: Final = 2

# Session.overflow: what happens to a subscriber at its output limit (pubsub-overflow).
DISCONNECT: Final = 0
DROP_OLDEST: Final = 1
DROP_NEWEST: Final = 2


class Session:
    """One client. `out` holds pieces of the wire; the hub joins and sends them at the end of the turn.

    outgoing: the hub's list of sessions with output, to which send() adds this one once.
    """

    def __init__(self, session_id: int, outgoing: list["Session"]) -> None:
        self.id: Final = session_id
        self.outgoing: Final = outgoing
        self.queued_for_sending = False
        self.out: list[bytes] = []
        self.overflow: i64 = DISCONNECT
        self.messages: list[int] = []  # where in `out` messages stand, unless overflow is DISCONNECT
        self.resp3 = False
        self.gate: i64 = 0
        self.special: i64 = 0
        self.author: i64 = session_id  # the client that does what this session does: of a script, who called it
        self.wrote: i64 = 0  # batch of the log that has its last write
        self.durability: i64 = DEFAULT_DURABILITY
        self.reply_mode: i64 = REPLY_ON
        self.close_after_reply = False
        self.closed = False
        # Who it is
        self.name = b""
        self.user = b"default"
        self.lib_name = b""
        self.lib_ver = b""
        self.address = b""  # ip:port, or the path of the Unix socket
        self.local_address = b""
        self.fd = -1
        self.created_ms: i64 = 0
        self.active_ms: i64 = 0  # of the last request
        self.last_command = b""
        self.no_evict = False
        self.no_touch = False
        self.is_replay = False  # the log is being read: time-outs, limits and the journal are off
        # Its state
        self.database: i64 = 0
        self.watcher = Watcher()
        self.queue: list[list[bytes]] = []  # of MULTI
        self.queue_failed = False  # EXEC will abort
        self.queue_bytes: i64 = 0  # memory of what is queued
        self.queue_flags = 0  # those of all commands queued, with what scripts declare instead
        self.channels = Table()  # as sets
        self.patterns = Table()
        self.shard_channels = Table()
        self.in_exec = False  # a transaction of this client is being executed
        self.in_script = False  # it is the session that a script has
        self.script_calls: i64 = 0  # commands that scripts of this client have called
        self.blocked_on: list[bytes] = []
        self.is_blocked = False

    @property
    def in_multi(self) -> bool:
        return self.gate & IN_MULTI != 0

    @property
    def listening(self) -> int:
        """Channels and patterns, as SUBSCRIBE's confirmations count them: without shard channels."""
        return len(self.channels) + len(self.patterns)

    @property
    def subscriptions(self) -> int:
        """Of any kind."""
        return len(self.channels) + len(self.patterns) + len(self.shard_channels)

    def set_gate(self, bit: int, on: bool) -> None:
        if on:
            self.gate |= bit
        else:
            self.gate &= ~bit

    def send(self, reply: Reply) -> None:
        """Encode for this client and see to it that it goes out at the end of this turn."""
        if self.closed:
            return
        encode(reply, self.out, self.resp3)
        self.mark()

    def answer_first(self, reply: Reply, before: i64) -> None:
        """What was sent while the request was executed (out[before:]) comes after its reply, which may be the array of
        EXEC. As in Redis 7.2."""
        messages = self.out[before:]
        del self.out[before:]
        encode(reply, self.out, self.resp3)
        shift = len(self.out) - before
        self.messages = [place + shift if place >= before else place for place in self.messages]
        self.out.extend(messages)

    def send_wire(self, wire: bytes) -> None:
        """As send(), for what was encoded already (one message for many subscribers)."""
        if not self.closed:
            if self.overflow:
                self.messages.append(len(self.out))
            self.out.append(wire)
            self.mark()

    def mark(self) -> None:
        if not self.queued_for_sending:
            self.queued_for_sending = True
            self.outgoing.append(self)
