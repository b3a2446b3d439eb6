"""Who listens to what; and that finding the patterns of a channel looks only at those that can match."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.table import Table
from broker.keyspace.glob import matches
from broker.keyspace.subscriptions import (
    AS_PATTERN,
    PLAIN,
    WITH_ID,
    PatternIndex,
    Subscriptions,
    count_of,
    literal_prefix,
    literal_suffix,
)

_pattern = st.text("ab*?[]^\\-", max_size=6).map(str.encode)
_text = st.text("ab-]", max_size=6).map(str.encode)
_session = st.integers(1, 4)
_name = st.sampled_from([b"a", b"b", b"ab"])


@settings(max_examples=300, deadline=None)
@given(st.lists(_pattern, max_size=12), st.lists(st.integers(0, 11), max_size=6), _text)
def test_the_index_finds_what_a_scan_of_all_patterns_finds(patterns, removed, text):
    index = PatternIndex()
    naive: dict[bytes, None] = {}
    for pattern in patterns:
        index.add(pattern)
        naive[pattern] = None
    for i in removed:
        if i < len(patterns) and patterns[i] in naive:
            index.remove(patterns[i])
            del naive[patterns[i]]
    assert index.find(text) == [pattern for pattern in naive if matches(pattern, text)]


@settings(max_examples=300, deadline=None)
@given(_pattern, _text)
def test_what_matches_begins_and_ends_with_the_literal_texts(pattern, text):
    if matches(pattern, text):
        assert text.startswith(literal_prefix(pattern))
        assert text.endswith(literal_suffix(pattern))


def test_patterns_that_begin_or_end_otherwise_are_not_looked_at():
    """Of 20000 patterns one is matched against the channel for its beginning, and one for its end."""
    index = PatternIndex()
    for i in range(10_000):
        index.add(b"user:%05d:*" % i)
        index.add(b"*:order:%05d" % i)
    assert index.find(b"user:00017:order:00042") == [b"user:00017:*", b"*:order:00042"]
    for ends, lengths in ((index._prefixes, [11]), (index._suffixes, [12])):
        assert ends.lengths == lengths
        assert len(ends.patterns) == 10_000 and all(isinstance(one, bytes) for one in ends.patterns.values())


def test_an_index_that_was_emptied_holds_nothing():
    index = PatternIndex()
    patterns = [b"*", b"a*", b"*a", b"[a]*", b"ab?", b""]
    for pattern in patterns:
        index.add(pattern)
        index.add(pattern)
    for pattern in patterns:
        index.remove(pattern)
    for ends in (index._prefixes, index._suffixes):
        assert not ends.patterns and not ends.lengths and not ends._texts
    assert index.find(b"a") == []


class Machine(RuleBasedStateMachine):
    """Against sets of (session, name)."""

    def __init__(self) -> None:
        super().__init__()
        self.real = Subscriptions()
        self.channels: dict[bytes, dict[int, int]] = {}
        self.patterns: dict[bytes, dict[int, int]] = {}
        self.shards: dict[bytes, dict[int, int]] = {}

    @rule(session=_session, name=_name)
    def subscribe(self, session, name):
        self.real.subscribe(session, name)
        self.channels.setdefault(name, {}).setdefault(session, PLAIN)

    @rule(session=_session, name=_name, form=st.sampled_from([WITH_ID, AS_PATTERN]))
    def resume(self, session, name, form):
        self.real.resume(session, name, form)
        self.channels.setdefault(name, {})[session] = form

    @rule(session=_session, name=_name)
    def psubscribe(self, session, name):
        self.real.psubscribe(session, name + b"*")
        self.patterns.setdefault(name + b"*", {}).setdefault(session, PLAIN)

    @rule(session=_session, name=_name)
    def ssubscribe(self, session, name):
        self.real.ssubscribe(session, name)
        self.shards.setdefault(name, {}).setdefault(session, PLAIN)

    @rule(session=_session, name=_name, kind=st.integers(0, 2))
    def leave(self, session, name, kind):
        if kind == 0:
            self.real.unsubscribe(session, name)
            self._leave(self.channels, session, name)
        elif kind == 1:
            self.real.punsubscribe(session, name + b"*")
            self._leave(self.patterns, session, name + b"*")
        else:
            self.real.sunsubscribe(session, name)
            self._leave(self.shards, session, name)

    @staticmethod
    def _leave(table, session, name):
        if name in table:
            table[name].pop(session, None)
            if not table[name]:
                del table[name]

    @invariant()
    def the_tables_agree(self):
        for real, model in (
            (self.real.channels, self.channels),
            (self.real.patterns, self.patterns),
            (self.real.shards, self.shards),
        ):
            assert real.key_list() == list(model)
            for name, members in real.items():
                listed = members if isinstance(members, dict) else {members: PLAIN}
                assert listed == model[name]
                assert count_of(members) == len(model[name])

    @invariant()
    def patterns_are_found(self):
        for name in (b"a", b"abc", b"x"):
            assert self.real.patterns_of(name) == [p for p in self.patterns if matches(p, name)]


def test_a_session_with_many_subscriptions_goes_little_by_little():
    real = Subscriptions()
    mine, others = Table(), Table()
    for i in range(5000):
        real.subscribe(1, b"%d" % i)
        mine.set(b"%d" % i, True)
    for i in range(0, 5000, 2):
        real.psubscribe(1, b"%d*" % i)
        others.set(b"%d*" % i, True)
    real.subscribe(2, b"7")
    real.leave(1, mine, others, Table())
    releases = 0
    while real.is_releasing:
        before = len(real.channels) + len(real.patterns)
        real.release(1000)
        assert before - len(real.channels) - len(real.patterns) <= 1100
        releases += 1
    assert releases >= 6
    assert real.on_channel(b"7") == {2: PLAIN}
    assert (len(real.channels), len(real.patterns)) == (1, 0)
    assert real.patterns_of(b"40") == []


def test_few_subscriptions_end_at_once():
    real = Subscriptions()
    mine = Table()
    for name in (b"a", b"b"):
        real.ssubscribe(1, name)
        mine.set(name, True)
    real.leave(1, Table(), Table(), mine)
    assert not real.is_releasing
    assert len(real.shards) == 0


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSubscriptions = Machine.TestCase
