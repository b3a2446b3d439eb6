"""The window of idempotent adding, against a naive model that keeps every arrival."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.stream_settings import NOT_FOUND, StreamSettings, Window, content_id

names = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
producers = st.sampled_from([b"p", b"q", b"r"])


class WindowMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.window = Window(10, 3)
        self.arrivals: list[tuple[bytes, bytes, int, int]] = []  # (producer, name, id, ms), since the last clear
        self.now = 1_000_000
        self.next_id = 1
        self.added = 0

    def kept(self, producer: bytes) -> dict[bytes, tuple[int, int]]:
        """{name: (id, ms)}: the last of each name, then the newest three, then those that are young enough."""
        last: dict[bytes, tuple[int, int]] = {}
        for of, name, entry_id, ms in self.arrivals:
            if of == producer:
                last.pop(name, None)
                last[name] = (entry_id, ms)
                while len(last) > 3:
                    del last[next(iter(last))]
        return {name: found for name, found in last.items() if self.now - found[1] < 10_000}

    @rule(producer=producers, name=names)
    def add(self, producer: bytes, name: bytes) -> None:
        found = self.window.find(producer, name, self.now)
        expected = self.kept(producer).get(name)
        assert found == (NOT_FOUND if expected is None else expected[0])
        if found == NOT_FOUND:
            self.window.record(producer, name, self.next_id, self.now)
            self.arrivals.append((producer, name, self.next_id, self.now))
            self.next_id += 1
            self.added += 1

    @rule(ms=st.sampled_from([0, 1, 500, 3000, 9999, 10_000]))
    def wait(self, ms: int) -> None:
        self.now += ms

    @rule()
    def clear(self) -> None:
        self.window.clear()
        self.arrivals.clear()

    @rule()
    def copy(self) -> None:
        old, self.window = self.window, self.window.copy()
        old.record(b"p", b"x", 0, self.now)

    @invariant()
    def tracks_what_counts(self) -> None:
        kept = [len(self.kept(producer)) for producer in (b"p", b"q", b"r")]
        assert self.window.tracked(self.now) == (sum(1 for count in kept if count), sum(kept))
        assert self.window.added == self.added


WindowMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestWindow = WindowMachine.TestCase


def test_nothing_is_kept_of_producers_who_went_away() -> None:
    window = Window(1, 100)
    for i in range(1000):
        window.record(b"%d" % i, b"a", i, i * 100)
    assert len(window.producers) <= 11


def test_equal_pairs_in_any_order_are_one_content() -> None:
    assert content_id([b"a", b"1", b"b", b"2"]) == content_id([b"b", b"2", b"a", b"1"])
    different = [[b"a", b"1"], [b"a1", b""], [b"", b"a1"], [b"1", b"a"], [b"a", b"1", b"a", b"1"]]
    assert len({content_id(fields) for fields in different}) == len(different)


def test_due_entries_that_were_trimmed_do_not_pile_up() -> None:
    settings_ = StreamSettings()
    for i in range(10_000):
        settings_.expire_at(i, 1 << 40, i - 10)
    assert len(settings_.due_entries()) < 200
    assert len(settings_.take_due(1 << 41, 5)) == 5
