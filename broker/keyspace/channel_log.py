"""What was published to channels that are retained, under positions that rise over all channels together.

A rule says for the channels whose names match its pattern how much is kept. A channel keeps its newest messages; what
falls off is remembered by its position, so that whoever asks for what came after a position is told when some of that
is gone. Nothing here reads a clock: positions come from outside or follow from a time that does, and replaying the same
calls gives the same state.

A position is one int, `ms << 64 | seq`, as a stream's id. Costs: append O(1) but for finding the rule of a channel that
is new; since() O(log n + k); setting and removing a rule O(channels that are kept).
Invariant: a rule's `bytes` is the sum over its channels; a channel stands in `filled` when it has messages, else in
`quiet`, in the order of last publication.
"""

from bisect import bisect_right
from typing import Final

from mypy_extensions import i64

from broker.keyspace.subscriptions import PatternIndex, literal_prefix

DEFAULT_MAX_LENGTH: Final = 1000
DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024
MAX_POSITION: Final = (1 << 128) - 1
_PER_CHANNEL: Final = 600  # bytes of a channel's tables, its name apart
_PER_MESSAGE: Final = 120  # bytes of a position, of the message's object, and of their places in two lists


class Rule:
    """max_length: messages of a channel. max_age_ms: 0 is no limit. max_bytes: of all its channels together.

    floor: up to here messages may be missing of a channel that is not known (the rule was not there yet, or the channel
    was forgotten to keep within max_bytes).
    """

    def __init__(self, pattern: bytes, floor: int) -> None:
        self.pattern: Final = pattern
        self.max_length = DEFAULT_MAX_LENGTH
        self.max_age_ms = 0
        self.max_bytes = DEFAULT_MAX_BYTES
        self.floor = floor
        self.bytes = 0
        self.messages = 0
        self.filled: dict[bytes, None] = {}  # channels with messages; the one published to longest ago first
        self.quiet: dict[bytes, None] = {}  # channels of which only the newest position is known

    def copy(self) -> "Rule":
        other = Rule(self.pattern, self.floor)
        other.max_length = self.max_length
        other.max_age_ms = self.max_age_ms
        other.max_bytes = self.max_bytes
        other.bytes = self.bytes
        other.messages = self.messages
        other.filled = dict(self.filled)
        other.quiet = dict(self.quiet)
        return other

    def oldest_allowed(self, now_ms: int) -> int:
        """Messages at positions below are too old."""
        return (now_ms - self.max_age_ms) << 64 if self.max_age_ms and now_ms > self.max_age_ms else 0


class Channel:
    """One retained channel. The messages are those from index `head` on; before it, lists are cleared now and then.

    last: position of the newest message ever; dropped: of the newest that is not there any more, 0 when all are.
    """

    def __init__(self, rule: Rule, dropped: int) -> None:
        self.rule = rule
        self.last = dropped
        self.dropped = dropped
        self.head: i64 = 0
        self.positions: list[int] = []
        self.messages: list[bytes] = []

    def __len__(self) -> int:
        return int(len(self.positions) - self.head)

    def copy(self, rule: Rule) -> "Channel":
        """rule: the one that stands for its own."""
        other = Channel(rule, self.dropped)
        other.last = self.last
        other.positions = self.positions[self.head :]
        other.messages = self.messages[self.head :]
        return other

    def drop_oldest(self, count: int) -> int:
        """The bytes freed."""
        freed: i64 = 0
        stop: i64 = self.head + count
        i = self.head
        while i < stop:
            freed += len(self.messages[i]) + _PER_MESSAGE
            self.messages[i] = b""
            i += 1
        if count:
            self.dropped = self.positions[stop - 1]
        self.head = stop
        if self.head > 64 and self.head * 2 > len(self.positions):
            del self.positions[: self.head]
            del self.messages[: self.head]
            self.head = 0
        return int(freed)

    def below(self, position: int) -> int:
        """How many messages stand at positions below."""
        return bisect_right(self.positions, position - 1, int(self.head)) - int(self.head)


class Message:
    def __init__(self, position: int, payload: bytes) -> None:
        self.position: Final = position
        self.payload: Final = payload


class ChannelLog:
    """All rules and what they keep. is_active: there is a rule; if not, nothing else needs to be asked."""

    def __init__(self) -> None:
        self.is_active = False
        self.rules: dict[bytes, Rule] = {}
        self.channels: dict[bytes, Channel] = {}
        self.last = 0  # the newest position given away, for a message or for a rule
        self._index = PatternIndex()

    # -- rules

    def set_rule(self, pattern: bytes, max_length: int, max_age_ms: int, max_bytes: int) -> None:
        """Make a rule, or change one; what is kept already is cut to it, but for age, which takes a clock."""
        rule = self.rules.get(pattern)
        if rule is None:
            self.last += 1  # whoever holds an older position may have missed something before the rule
            rule = Rule(pattern, self.last)
            self.rules[pattern] = rule
            self._index.add(pattern)
            self.is_active = True
        rule.max_length = max_length
        rule.max_age_ms = max_age_ms
        rule.max_bytes = max_bytes
        self._assign()

    def remove_rule(self, pattern: bytes) -> bool:
        """Channels that no other rule covers are dropped. False when there is no such rule."""
        if self.rules.pop(pattern, None) is None:
            return False
        self._index.remove(pattern)
        self.is_active = len(self.rules) > 0
        self._assign()
        return True

    def rule_of(self, channel: bytes) -> Rule | None:
        """The rule that governs a channel: of those that match, the one that says most before its first wildcard; of
        these the longest, then the first in the order of bytes."""
        known = self.channels.get(channel)
        if known is not None:
            return known.rule
        found = self._index.find(channel)
        best: Rule | None = None
        for pattern in found:
            if best is None or _is_closer(pattern, best.pattern):
                best = self.rules[pattern]
        return best

    def _assign(self) -> None:
        """Give each channel the rule that governs it now."""
        channels = self.channels
        self.channels = {}
        for rule in self.rules.values():
            rule.bytes = rule.messages = 0
        order = self._in_order_of_publication(channels)
        for rule in self.rules.values():
            rule.filled.clear()
            rule.quiet.clear()
        for name in order:
            channel = channels[name]
            governing = self.rule_of(name)
            if governing is None:
                continue
            channel.rule = governing
            self.channels[name] = channel
            self._account(governing, name, channel)
        for rule in self.rules.values():
            for name in list(rule.filled):
                self._cut(name, self.channels[name], 0)
            self._keep_within(rule)

    @staticmethod
    def _in_order_of_publication(channels: dict[bytes, Channel]) -> list[bytes]:
        ordered = [(channel.last, name) for name, channel in channels.items()]
        ordered.sort()
        return [name for _, name in ordered]

    def _account(self, rule: Rule, name: bytes, channel: Channel) -> None:
        size = _PER_CHANNEL + len(name)
        i: i64 = channel.head
        while i < len(channel.messages):
            size += len(channel.messages[i]) + _PER_MESSAGE
            i += 1
        rule.bytes += size
        rule.messages += len(channel)
        (rule.filled if len(channel) else rule.quiet)[name] = None

    # -- messages

    def next_position(self, now_ms: int) -> int:
        """For a message of this moment: never before an earlier one, in whatever channel."""
        position = now_ms << 64
        return position if position > self.last else self.last + 1

    def append(self, name: bytes, position: int, payload: bytes) -> bool:
        """Keep a message. position: above `last`. False, and nothing happens, when no rule covers the channel."""
        channel = self.channels.get(name)
        if channel is None:
            rule = self.rule_of(name)
            if rule is None:
                return False
            channel = Channel(rule, rule.floor)
            self.channels[name] = channel
            rule.bytes += _PER_CHANNEL + len(name)
        rule = channel.rule
        self.last = position
        channel.last = position
        channel.positions.append(position)
        channel.messages.append(payload)
        rule.messages += 1
        rule.bytes += len(payload) + _PER_MESSAGE
        rule.filled.pop(name, None)
        rule.quiet.pop(name, None)
        rule.filled[name] = None
        if len(channel) > rule.max_length or rule.max_age_ms:
            self._cut(name, channel, rule.oldest_allowed(position >> 64))
        if rule.max_age_ms:
            self._silence_oldest(rule, rule.oldest_allowed(position >> 64))
        if rule.bytes > rule.max_bytes:
            self._keep_within(rule)
        return True

    def _cut(self, name: bytes, channel: Channel, oldest: int) -> None:
        """Drop what is too much, or stands below `oldest`."""
        count = len(channel) - channel.rule.max_length
        too_old = channel.below(oldest) if oldest else 0
        self._drop(name, channel, max(count, too_old))

    def _drop(self, name: bytes, channel: Channel, count: int) -> None:
        if count <= 0:
            return
        rule = channel.rule
        rule.bytes -= channel.drop_oldest(count)
        rule.messages -= count
        if not len(channel):
            rule.filled.pop(name, None)
            rule.quiet[name] = None

    def _silence_oldest(self, rule: Rule, oldest: int) -> None:
        """Channels that are not published to any more would keep what is too old: each append clears two of them."""
        for _ in range(2):
            if not rule.filled:
                return
            name = _first(rule.filled)
            channel = self.channels[name]
            if channel.last >= oldest:
                return
            self._drop(name, channel, len(channel))

    def _keep_within(self, rule: Rule) -> None:
        """Forget channels until the rule's bytes are enough: first those without messages, then those published to
        longest ago; the last one loses its oldest messages."""
        while rule.bytes > rule.max_bytes:
            if rule.quiet:
                self._forget(rule, _first(rule.quiet))
            elif len(rule.filled) > 1:
                self._forget(rule, _first(rule.filled))
            elif rule.filled:
                name = _first(rule.filled)
                self._drop(name, self.channels[name], 1)
            else:
                return

    def _forget(self, rule: Rule, name: bytes) -> None:
        channel = self.channels.pop(name)
        rule.messages -= len(channel)
        rule.bytes -= channel.drop_oldest(len(channel)) + _PER_CHANNEL + len(name)
        rule.filled.pop(name, None)
        rule.quiet.pop(name, None)
        if channel.last > rule.floor:
            rule.floor = channel.last

    # -- reading

    def newest(self, name: bytes) -> int | None:
        """The position after which a reader has missed nothing so far; None when the channel is not retained."""
        channel = self.channels.get(name)
        if channel is not None:
            return channel.last
        rule = self.rule_of(name)
        return None if rule is None else rule.floor

    def oldest(self, name: bytes, now_ms: int) -> int | None:
        """The least position after which all can be had; None when the channel is not retained."""
        channel = self.channels.get(name)
        if channel is None:
            return self.newest(name)
        expired = channel.below(channel.rule.oldest_allowed(now_ms))
        if expired:
            return channel.positions[channel.head + expired - 1]
        return channel.dropped

    def since(self, name: bytes, position: int, limit: int, now_ms: int) -> list[Message]:
        """The messages after a position, without those that are too old, oldest first, `limit` at most (-1: all)."""
        channel = self.channels.get(name)
        found: list[Message] = []
        if channel is None:
            return found
        start = max(position, channel.rule.oldest_allowed(now_ms) - 1)
        i: i64 = bisect_right(channel.positions, start, int(channel.head))
        left: i64 = limit
        while i < len(channel.positions) and left != 0:
            found.append(Message(channel.positions[i], channel.messages[i]))
            i += 1
            left -= 1
        return found

    # -- loading what a file has of another one: rules, then their channels, then messages, then `last`

    def load_rule(self, rule: Rule) -> None:
        self.rules[rule.pattern] = rule
        self._index.add(rule.pattern)
        self.is_active = True

    def load_channel(self, name: bytes, rule: Rule, last: int, dropped: int) -> None:
        """In the order of last publication, those of a rule without messages apart from the others."""
        channel = Channel(rule, dropped)
        channel.last = last
        self.channels[name] = channel
        rule.bytes += _PER_CHANNEL + len(name)
        rule.quiet[name] = None

    def load_message(self, name: bytes, position: int, payload: bytes) -> None:
        channel = self.channels[name]
        rule = channel.rule
        if not channel.positions:
            del rule.quiet[name]
            rule.filled[name] = None
        channel.positions.append(position)
        channel.messages.append(payload)
        rule.messages += 1
        rule.bytes += len(payload) + _PER_MESSAGE

    # -- the whole

    def frozen(self) -> "ChannelLog":
        """All of it as it is now, for reading only. O(messages), but only of pointers."""
        other = ChannelLog()
        other.last = self.last
        rules: dict[bytes, Rule] = {}
        for pattern, rule in self.rules.items():
            rules[pattern] = rule.copy()
        other.rules = rules
        for name, channel in self.channels.items():
            other.channels[name] = channel.copy(rules[channel.rule.pattern])
        return other

    def facts(self) -> list[bytes]:
        """All of the state, as texts in an order of their own: equal state, equal texts. Empty when nothing was ever
        retained."""
        found: list[bytes] = []
        for pattern, rule in sorted_rules(self.rules):
            limits = b"%d %d %d %d %d" % (rule.max_length, rule.max_age_ms, rule.max_bytes, rule.floor, rule.bytes)
            found.append(b"rule %b " % limits + pattern)
            for name in rule.quiet:
                found.append(b"quiet %d " % self.channels[name].last + name)
            for name in rule.filled:
                channel = self.channels[name]
                found.append(b"channel %d %d " % (channel.last, channel.dropped) + name)
                for i in range(int(channel.head), len(channel.positions)):
                    found.append(b"message %d " % channel.positions[i] + channel.messages[i])
        if self.last:
            found.append(b"last %d" % self.last)
        return found


def sorted_rules(rules: dict[bytes, Rule]) -> list[tuple[bytes, Rule]]:
    """By pattern."""
    return [(pattern, rules[pattern]) for pattern in sorted(rules)]


def _first(names: dict[bytes, None]) -> bytes:
    for name in names:
        return name
    raise KeyError("empty")


def _is_closer(pattern: bytes, other: bytes) -> bool:
    """Whether `pattern` says more than `other` of a channel that both match."""
    ours = len(literal_prefix(pattern))
    theirs = len(literal_prefix(other))
    if ours != theirs:
        return ours > theirs
    if len(pattern) != len(other):
        return len(pattern) > len(other)
    return pattern < other
