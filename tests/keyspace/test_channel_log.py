"""What retained channels keep, against a naive model; that nothing goes missing unnoticed; that memory is bounded."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.keyspace.channel_log import DEFAULT_MAX_BYTES, MAX_POSITION, ChannelLog
from broker.keyspace.glob import matches

MANY = 1 << 40
_names = st.sampled_from([b"a", b"ab", b"abc", b"b", b"x"])
_patterns = st.sampled_from([b"*", b"a*", b"ab*", b"*c", b"b", b"ab?"])


def rows(log: ChannelLog, name: bytes, after: int = 0, limit: int = -1, now_ms: int = 0) -> list[tuple[int, bytes]]:
    return [(message.position, message.payload) for message in log.since(name, after, limit, now_ms)]


class Machine(RuleBasedStateMachine):
    """The model remembers every publication; a reader that holds a position must get all after it, or be told."""

    def __init__(self) -> None:
        super().__init__()
        self.log = ChannelLog()
        self.again = ChannelLog()  # is told the same, as a replay would tell it
        self.rules: dict[bytes, tuple[int, int, int]] = {}
        self.published: list[tuple[int, bytes, bytes]] = []  # all, (position or 0 if it was not kept, channel, payload)
        self.held: list[tuple[int, bytes, int]] = []  # (how many were published by then, channel, position)
        self.now = 1000
        self.count = 0

    def _both(self, call):
        call(self.log)
        call(self.again)

    @rule(
        pattern=_patterns,
        length=st.integers(1, 4),
        age=st.sampled_from([0, 0, 5, 50]),
        size=st.sampled_from([MANY, MANY, 3000, 1500, 10]),
    )
    def retain(self, pattern, length, age, size):
        self._both(lambda log: log.set_rule(pattern, length, age, size))
        self.rules[pattern] = (length, age, size)

    @rule(pattern=_patterns)
    def stop(self, pattern):
        known = self.rules.pop(pattern, None) is not None
        assert self.log.remove_rule(pattern) == known
        assert self.again.remove_rule(pattern) == known

    @rule(name=_names, size=st.sampled_from([0, 3, 400]))
    def publish(self, name, size):
        self.count += 1
        payload = b"%d:" % self.count + b"." * size
        covered = any(matches(pattern, name) for pattern in self.rules)
        position = self.log.next_position(self.now)
        assert self.log.append(name, position, payload) == covered
        self.again.append(name, position, payload)
        self.published.append((position if covered else 0, name, payload))

    @rule(ms=st.integers(1, 20))
    def wait(self, ms):
        self.now += ms

    @rule(name=_names)
    def hold(self, name):
        position = self.log.newest(name)
        assert (position is not None) == any(matches(pattern, name) for pattern in self.rules)
        if position is not None:
            self.held.append((len(self.published), name, position))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def come_back(self, data):
        """A position that is not refused gives exactly what was published since it was told."""
        seen, name, position = data.draw(st.sampled_from(self.held))
        oldest = self.log.oldest(name, self.now)
        if oldest is None or position < oldest:
            return
        wanted = [payload for _, channel, payload in self.published[seen:] if channel == name]
        assert [payload for _, payload in rows(self.log, name, position, -1, self.now)] == wanted

    @invariant()
    def what_is_kept_is_the_end_of_what_was_published(self):
        for name in (b"a", b"ab", b"abc", b"b", b"x"):
            kept = rows(self.log, name)
            published = [(position, payload) for position, channel, payload in self.published if channel == name]
            assert kept == (published[-len(kept) :] if kept else [])

    @invariant()
    def the_limits_hold(self):
        for pattern, (length, age, size) in self.rules.items():
            kept = self.log.rules[pattern]
            assert kept.bytes <= size and kept.bytes >= 0
            total = 0
            for name in kept.filled:
                channel = self.log.channels[name]
                assert channel.rule is kept and matches(pattern, name)
                assert 0 < len(channel) <= length
                total += len(channel)
                if age:
                    assert all(p >> 64 >= self.now - age for p, _ in rows(self.log, name, 0, -1, self.now))
            assert kept.messages == total
            for name in kept.quiet:
                assert len(self.log.channels[name]) == 0
        assert self.log.is_active == bool(self.rules)
        assert len(self.log.channels) == sum(len(r.filled) + len(r.quiet) for r in self.log.rules.values())

    @invariant()
    def being_told_the_same_gives_the_same(self):
        assert self.log.facts() == self.again.facts()


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestChannelLog = Machine.TestCase


def test_the_most_telling_pattern_governs():
    log = ChannelLog()
    for number, pattern in enumerate([b"*", b"chat.*", b"*.vip", b"chat.*.vip", b"chat.[ab].vip", b"chat.a.vip"]):
        log.set_rule(pattern, number + 1, 0, MANY)

    def length(name: bytes) -> int:
        found = log.rule_of(name)
        return 0 if found is None else found.max_length

    assert length(b"x") == 1
    assert length(b"chat.x") == 2
    assert length(b"x.vip") == 3
    assert length(b"chat.x.vip") == 4
    assert length(b"chat.b.vip") == 5
    assert length(b"chat.a.vip") == 6
    log.remove_rule(b"*")
    assert log.rule_of(b"x") is None


def test_a_rule_that_comes_back_does_not_hide_what_was_not_kept_meanwhile():
    log = ChannelLog()
    log.set_rule(b"a", 10, 0, MANY)
    log.append(b"a", log.next_position(1), b"one")
    held = log.newest(b"a")
    log.remove_rule(b"a")
    assert not log.append(b"a", log.next_position(2), b"lost")
    log.set_rule(b"a", 10, 0, MANY)
    oldest = log.oldest(b"a", 3)
    assert held is not None and oldest is not None and held < oldest


def test_a_reader_of_a_quiet_channel_has_missed_nothing_even_when_its_messages_are_too_old():
    log = ChannelLog()
    log.set_rule(b"*", 10, 100, MANY)
    log.append(b"quiet", log.next_position(1000), b"old")
    held = log.newest(b"quiet")
    for ms in range(2000, 2010):
        log.append(b"busy", log.next_position(ms), b"x")
    assert rows(log, b"quiet") == []  # cleared by the others, no timer needed
    assert log.newest(b"quiet") == held == log.oldest(b"quiet", 3000)
    assert len(log.channels) == 2


def test_messages_that_are_too_old_are_not_given_even_before_they_are_cleared():
    log = ChannelLog()
    log.set_rule(b"*", 10, 100, MANY)
    first = log.next_position(1000)
    log.append(b"a", first, b"one")
    second = log.next_position(1050)
    log.append(b"a", second, b"two")
    assert rows(log, b"a", 0, -1, 1100) == [(first, b"one"), (second, b"two")]
    assert rows(log, b"a", 0, -1, 1101) == [(second, b"two")]
    assert log.oldest(b"a", 1101) == first
    assert log.oldest(b"a", 9999) == second == log.newest(b"a")


def test_a_million_channels_stay_within_the_bytes_of_their_rule():
    log = ChannelLog()
    log.set_rule(b"*", 10, 0, 1_000_000)
    for i in range(20_000):
        log.append(b"channel:%d" % i, log.next_position(i), b"x" * 100)
    assert log.rules[b"*"].bytes <= 1_000_000
    assert 500 < len(log.channels) < 2000
    assert rows(log, b"channel:19999") != [] == rows(log, b"channel:0")
    oldest = log.oldest(b"channel:0", 20_000)
    assert oldest is not None and oldest > 0  # its reader is told that something is gone


def test_positions_rise_even_when_the_clock_does_not():
    log = ChannelLog()
    log.set_rule(b"*", 10, 0, DEFAULT_MAX_BYTES)
    positions = []
    for ms in (5, 5, 3, 9, 1):
        positions.append(log.next_position(ms))
        log.append(b"a", positions[-1], b"")
    assert positions == sorted(set(positions))
    assert positions[0] == 5 << 64 and positions[-1] < MAX_POSITION
    assert rows(log, b"a", positions[1], 2) == [(positions[2], b""), (positions[3], b"")]


def test_a_long_channel_does_not_keep_what_was_dropped():
    log = ChannelLog()
    log.set_rule(b"*", 100, 0, MANY)
    for i in range(10_000):
        log.append(b"a", log.next_position(i), b"%d" % i)
    channel = log.channels[b"a"]
    assert len(channel) == 100
    assert len(channel.positions) <= 202
    assert rows(log, b"a")[0] == (9900 << 64, b"9900")
