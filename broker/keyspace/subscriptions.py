"""Who subscribed to which channel or pattern. Knows sessions only as numbers, sends nothing.

Costs: subscribe and unsubscribe O(1); patterns_of() O(distinct lengths of literal prefixes + patterns that begin, or
failing that end, as the channel does), not O(patterns).
"""

from typing import Final, TypeAlias, cast

from broker.datatypes.table import Table
from broker.keyspace.glob import matches

# How a subscriber wants the messages of a retained channel.
PLAIN: Final = 0  # message channel payload, as everywhere
WITH_ID: Final = 1  # cmessage channel id payload
AS_PATTERN: Final = 2  # pmessage id channel payload: for client libraries that know no cmessage

# One plain subscriber is just its session number (a million channels with one each is a use that has to be cheap);
# otherwise {session number: PLAIN, WITH_ID or AS_PATTERN} in the order of subscription, in which messages go out.
Members: TypeAlias = int | dict[int, int]

RELEASED_AT_ONCE: Final = 1000  # subscriptions of a session that left; the others go in the turns that follow
_CHANNELS: Final = 0
_PATTERNS: Final = 1
_SHARDS: Final = 2

_STAR: Final = 42
_QUESTION: Final = 63
_OPEN: Final = 91
_ESCAPE: Final = 92


class Ends:
    """Patterns by a literal text of theirs. lengths: of those texts, rising, each once."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.patterns = Table()  # {literal text: the pattern, or {pattern: None} where there are several}
        self._texts: dict[int, int] = {}  # {length: number of texts}

    def add(self, text: bytes, pattern: bytes) -> None:
        bucket = self.patterns.get(text)
        if isinstance(bucket, dict):
            bucket[pattern] = None
        elif isinstance(bucket, bytes):
            self.patterns.set(text, {bucket: None, pattern: None})
        else:
            self.patterns.set(text, pattern)
            count = self._texts.get(len(text), 0)
            self._texts[len(text)] = count + 1
            if not count:
                self.lengths.append(len(text))
                self.lengths.sort()

    def remove(self, text: bytes, pattern: bytes) -> None:
        bucket = self.patterns.get(text)
        if isinstance(bucket, dict):
            del bucket[pattern]
        if not bucket or not isinstance(bucket, dict):
            self.patterns.pop(text)
            self._texts[len(text)] -= 1
            if not self._texts[len(text)]:
                del self._texts[len(text)]
                self.lengths.remove(len(text))


class PatternIndex:
    """Glob patterns, by the text before their first special byte, or, when there is none, after their last."""

    def __init__(self) -> None:
        self._numbers = Table()  # {pattern: in the order of arrival}
        self._next = 0
        self._prefixes = Ends()
        self._suffixes = Ends()

    def add(self, pattern: bytes) -> None:
        """Nothing happens when it is there."""
        if not self._numbers.set(pattern, self._next):
            return
        self._next += 1
        prefix = literal_prefix(pattern)
        suffix = b"" if prefix else literal_suffix(pattern)
        if suffix:
            self._suffixes.add(suffix, pattern)
        else:
            self._prefixes.add(prefix, pattern)

    def remove(self, pattern: bytes) -> None:
        """It must be there."""
        self._numbers.pop(pattern)
        prefix = literal_prefix(pattern)
        suffix = b"" if prefix else literal_suffix(pattern)
        if suffix:
            self._suffixes.remove(suffix, pattern)
        else:
            self._prefixes.remove(prefix, pattern)

    def find(self, text: bytes) -> list[bytes]:
        """The patterns that `text` matches, oldest first."""
        found: list[bytes] = []
        size = len(text)
        for length in self._prefixes.lengths:
            if length > size:
                break
            _collect(self._prefixes.patterns.get(text[:length]), text, found)
        for length in self._suffixes.lengths:
            if length > size:
                break
            _collect(self._suffixes.patterns.get(text[size - length :]), text, found)
        if len(found) > 1:
            numbered = [(cast(int, self._numbers.get(pattern)), pattern) for pattern in found]
            numbered.sort()
            return [pattern for _, pattern in numbered]
        return found


def _collect(bucket: object, text: bytes, found: list[bytes]) -> None:
    if isinstance(bucket, bytes):
        if matches(bucket, text):
            found.append(bucket)
    elif isinstance(bucket, dict):
        for pattern in bucket:
            if matches(pattern, text):
                found.append(pattern)


def literal_prefix(pattern: bytes) -> bytes:
    """What every text that matches begins with."""
    for i in range(len(pattern)):
        byte = pattern[i]
        if byte == _STAR or byte == _QUESTION or byte == _OPEN or byte == _ESCAPE:
            return pattern[:i]
    return pattern


def literal_suffix(pattern: bytes) -> bytes:
    """What every text that matches ends with. Of a pattern with a class, which need not be closed, nothing is said."""
    if _OPEN in pattern:
        return b""
    for i in range(len(pattern) - 1, -1, -1):
        byte = pattern[i]
        if byte == _STAR or byte == _QUESTION or byte == _ESCAPE:
            return pattern[i + 1 :]
    return pattern


class Subscriptions:
    """Tables {name: Members}. A session that went may stand in them for some turns more: release()."""

    def __init__(self) -> None:
        self.channels = Table()
        self.patterns = Table()
        self.shards = Table()  # shard channels: a namespace of their own
        self._index = PatternIndex()
        self._leaving: list[_Leaving] = []

    def on_channel(self, channel: bytes) -> Members | None:
        return members_in(self.channels, channel)

    def on_pattern(self, pattern: bytes) -> Members | None:
        return members_in(self.patterns, pattern)

    def on_shard(self, channel: bytes) -> Members | None:
        return members_in(self.shards, channel)

    def subscribe(self, session: int, channel: bytes) -> None:
        """How one who is there already wants the messages stays as it is."""
        _add(self.channels, session, channel)

    def unsubscribe(self, session: int, channel: bytes) -> None:
        _drop(self.channels, session, channel)

    def resume(self, session: int, channel: bytes, form: int) -> None:
        """Subscribe to a retained channel, or change how its messages are wanted: WITH_ID or AS_PATTERN."""
        members = self.on_channel(channel)
        if isinstance(members, dict):
            members[session] = form
        elif members is None or members == session:
            self.channels.set(channel, {session: form})
        else:
            self.channels.set(channel, {members: PLAIN, session: form})

    def psubscribe(self, session: int, pattern: bytes) -> None:
        if not self.patterns.has(pattern):
            self._index.add(pattern)
        _add(self.patterns, session, pattern)

    def punsubscribe(self, session: int, pattern: bytes) -> None:
        if _drop(self.patterns, session, pattern):
            self._index.remove(pattern)

    def ssubscribe(self, session: int, channel: bytes) -> None:
        _add(self.shards, session, channel)

    def sunsubscribe(self, session: int, channel: bytes) -> None:
        _drop(self.shards, session, channel)

    # -- sessions that go

    def leave(self, session: int, channels: Table, patterns: Table, shards: Table) -> None:
        """All subscriptions of a session end. Many do so little by little, by release(); nobody finds it any more."""
        for kind, table in ((_CHANNELS, channels), (_PATTERNS, patterns), (_SHARDS, shards)):
            if table.size:
                self._leaving.append(_Leaving(session, kind, table))
        self.release(RELEASED_AT_ONCE)

    @property
    def is_releasing(self) -> bool:
        return len(self._leaving) > 0

    def release(self, limit: int) -> None:
        """End up to about so many subscriptions of those who left."""
        left = limit
        while self._leaving and left > 0:
            leaving = self._leaving[-1]
            names = leaving.take()
            left -= len(names)
            for name in names:
                if leaving.kind == _CHANNELS:
                    self.unsubscribe(leaving.session, name)
                elif leaving.kind == _PATTERNS:
                    self.punsubscribe(leaving.session, name)
                else:
                    self.sunsubscribe(leaving.session, name)
            if leaving.is_done:
                self._leaving.pop()

    def patterns_of(self, channel: bytes) -> list[bytes]:
        """The patterns that `channel` matches, in the order in which they were first subscribed to."""
        return self._index.find(channel)


class _Leaving:
    """A session that left, and what it has yet to be taken out of."""

    def __init__(self, session: int, kind: int, table: Table) -> None:
        self.session: Final = session
        self.kind: Final = kind
        self._shards = list(table.shards())

    @property
    def is_done(self) -> bool:
        return not self._shards

    def take(self) -> list[bytes]:
        """Some of the names, each once."""
        return list(self._shards.pop())


def members_in(table: Table, name: bytes) -> Members | None:
    return cast("Members | None", table.get(name))


def count_of(members: Members | None) -> int:
    if isinstance(members, dict):
        return len(members)
    return 0 if members is None else 1


def _add(table: Table, session: int, name: bytes) -> None:
    members = members_in(table, name)
    if members is None:
        table.set(name, session)
    elif isinstance(members, dict):
        if session not in members:
            members[session] = PLAIN
    elif members != session:
        table.set(name, {members: PLAIN, session: PLAIN})


def _drop(table: Table, session: int, name: bytes) -> bool:
    """True when nobody is left who had subscribed."""
    members = members_in(table, name)
    if members is None:
        return False
    if isinstance(members, dict):
        members.pop(session, None)
        if members:
            return False
    elif members != session:
        return False
    table.pop(name)
    return True
