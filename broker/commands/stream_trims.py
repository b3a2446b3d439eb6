"""Exact trims of streams that have groups: they look at each entry, or at each pending one, so they take several turns.

Each part is a trim of its own, in the journal, too: whoever looks in between finds a stream that is yet to be trimmed
further.
"""

from typing import Final

from broker.commands.context import Context
from broker.datatypes.stream_references import ACKED, DROP, AckedTrim, trim_acknowledged, trim_with_references
from broker.datatypes.streams import MAX_ID, Stream, format_id
from broker.keyspace.events import STREAM
from broker.protocol.replies import NOTHING, Reply

_AT_ONCE: Final = 1000  # entries that are looked at in one turn, about


def is_long_trim(stream: Stream, policy: int) -> bool:
    """Whether a trim without LIMIT may be more than a turn should take."""
    return len(stream.groups) > 0 and (policy == ACKED or policy == DROP) and stream.size > _AT_ONCE


def journal_acked(name: bytes, result: AckedTrim, decisions: list[list[bytes]]) -> None:
    if result.removed > len(result.holes):
        decisions.append([b"XTRIM", name, b"MAXLEN", b"=", b"%d" % result.length])
    if result.holes:
        decisions.append([b"XDEL", name] + [format_id(entry_id) for entry_id in result.holes])


class LongTrim:
    """XTRIM with ACKED or DELREF. max_length: or -1, then below min_id."""

    def __init__(self, ctx: Context, name: bytes, stream: Stream, policy: int, max_length: int, min_id: int) -> None:
        self._ctx = ctx
        self._name = name
        self._stream = stream
        self._policy = policy
        self._max_length = max_length
        self._min_id = min_id
        self._start = 0  # ACKED: the entries below it were looked at
        self._removed = 0

    def step(self) -> Reply:
        """See Unfinished."""
        ctx = self._ctx
        stream = self._stream
        if ctx.db.peek(self._name) is not stream:
            return self._removed  # it went meanwhile
        ctx.db.before_change(self._name)
        decisions: list[list[bytes]] = []
        before = len(stream)
        is_done = self._acked(decisions) if self._policy == ACKED else self._referenced(decisions)
        if len(stream) != before:
            self._removed += before - len(stream)
            ctx.changed(self._name, b"xtrim", STREAM)
            for decision in decisions:
                ctx.journal_argv(decision)
        return self._removed if is_done else NOTHING

    def _referenced(self, decisions: list[list[bytes]]) -> bool:
        """DELREF: the oldest so many."""
        stream = self._stream
        size = len(stream)
        left = stream.live_after(self._min_id - 1) if self._max_length < 0 else min(self._max_length, size)
        target = max(left, size - _AT_ONCE)
        trim_with_references(stream, target, 0, False, 0)
        decisions.append([b"XTRIM", self._name, b"DELREF", b"MAXLEN", b"=", b"%d" % target])
        return target == left

    def _acked(self, decisions: list[list[bytes]]) -> bool:
        groups = list(self._stream.groups.values())
        result = trim_acknowledged(self._stream, groups, self._max_length, self._min_id, 0, self._start, _AT_ONCE)
        self._start = result.next_id
        journal_acked(self._name, result, decisions)
        return result.next_id == MAX_ID
