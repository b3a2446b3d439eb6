"""Who subscribed to which channel or pattern. Knows sessions only as numbers, sends nothing."""

from broker.keyspace.glob import matches


class Subscriptions:
    """{name: {session id: None}}: dictionaries keep the order of subscription, in which messages go out."""

    def __init__(self) -> None:
        self.channels: dict[bytes, dict[int, None]] = {}
        self.patterns: dict[bytes, dict[int, None]] = {}

    def subscribe(self, session: int, channel: bytes) -> None:
        self.channels.setdefault(channel, {})[session] = None

    def unsubscribe(self, session: int, channel: bytes) -> None:
        _drop(self.channels, session, channel)

    def psubscribe(self, session: int, pattern: bytes) -> None:
        self.patterns.setdefault(pattern, {})[session] = None

    def punsubscribe(self, session: int, pattern: bytes) -> None:
        _drop(self.patterns, session, pattern)

    def patterns_of(self, channel: bytes) -> list[bytes]:
        """The patterns that `channel` matches: O(number of patterns)."""
        return [pattern for pattern in self.patterns if matches(pattern, channel)]


def _drop(table: dict[bytes, dict[int, None]], session: int, name: bytes) -> None:
    members = table.get(name)
    if members is not None:
        members.pop(session, None)
        if not members:
            del table[name]
