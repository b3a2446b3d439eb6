"""Tickets and their order against naive models."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from broker.datatypes.schedules import (
    ALL,
    GRACE_MS,
    LIST,
    NEVER,
    ONE,
    PLAIN,
    SKIP,
    STREAM,
    Agenda,
    Terms,
    Ticket,
    outcome,
    pack,
    unpack,
)

NAMES = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
KEYS = st.sampled_from([b"k", b"l"])
KINDS = st.sampled_from([STREAM, LIST])
TIMES = st.integers(0, 20)


def ticket_of(kind: int = STREAM, key: bytes = b"k", name: bytes = b"t", due_ms: int = 0) -> Ticket:
    return Ticket(kind, key, name, due_ms, 0, PLAIN, b"")


class AgendaMachine(RuleBasedStateMachine):
    """The model: {(kind, key, name): [at, number, ticket]}, the first is found by looking at all."""

    def __init__(self) -> None:
        super().__init__()
        self.agenda = Agenda()
        self.model: dict[tuple[int, bytes, bytes], list] = {}
        self.count = 0

    @rule(kind=KINDS, key=KEYS, name=NAMES, due=TIMES)
    def add(self, kind: int, key: bytes, name: bytes, due: int) -> None:
        ticket = ticket_of(kind, key, name, due)
        self.agenda.add(ticket)
        self.model[kind, key, name] = [due, self.count, ticket]
        self.count += 1

    @rule(kind=KINDS, key=KEYS, name=NAMES)
    def remove(self, kind: int, key: bytes, name: bytes) -> None:
        assert self.agenda.remove(kind, key, name) == ((kind, key, name) in self.model)
        self.model.pop((kind, key, name), None)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), due=TIMES, runs=st.integers(0, 5))
    def move(self, data: st.DataObject, due: int, runs: int) -> None:
        entry = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        self.agenda.move(entry[2], due, runs)
        entry[0] = due
        assert (entry[2].due_ms, entry[2].runs, entry[2].failures, entry[2].error) == (due, runs, 0, b"")

    @precondition(lambda self: self.model)
    @rule(data=st.data(), until=TIMES)
    def hold(self, data: st.DataObject, until: int) -> None:
        entry = self.model[data.draw(st.sampled_from(sorted(self.model)))]
        due, failures = entry[2].due_ms, entry[2].failures
        self.agenda.hold(entry[2], until, b"why")
        entry[0] = until
        assert (entry[2].due_ms, entry[2].failures, entry[2].error) == (due, failures + 1, b"why")

    @precondition(lambda self: self.model)
    @rule()
    def take_the_first(self) -> None:
        first = self.agenda.first()
        assert first is not None
        self.remove(int(first.kind), first.key, first.name)

    @rule()
    def clear(self) -> None:
        self.agenda.clear()
        self.model.clear()

    @invariant()
    def the_first_is_the_least(self) -> None:
        least = min(self.model.values(), key=lambda entry: entry[:2], default=None)
        assert self.agenda.first() is (least[2] if least else None)

    @invariant()
    def what_is_found_is_what_was_added(self) -> None:
        assert len(self.agenda) == len(self.model)
        for place, entry in self.model.items():
            assert self.agenda.get(*place) is entry[2]
        for kind in (STREAM, LIST):
            assert sorted(self.agenda.keys(kind)) == sorted({key for k, key, _ in self.model if k == kind})
            for key in (b"k", b"l"):
                expected = {name for k, other, name in self.model if (k, other) == (kind, key)}
                assert {ticket.name for ticket in self.agenda.of_key(kind, key)} == expected
        by_age = sorted(self.model.values(), key=lambda entry: entry[1])
        assert self.agenda.tickets() == [entry[2] for entry in by_age]

    @invariant()
    def places_are_right(self) -> None:
        assert [int(ticket.place) for ticket in self.agenda._heap] == list(range(len(self.model)))


AgendaMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestAgenda = AgendaMachine.TestCase


@given(st.lists(st.binary(max_size=12)), st.integers(0, 3))
def test_a_message_comes_back_from_its_packed_form(parts: list[bytes], start: int) -> None:
    assert unpack(pack(parts, start)) == parts[start:]


def test_names_rise_and_are_never_given_twice() -> None:
    agenda = Agenda()
    assert agenda.new_name(5, STREAM, b"k") == b"5-0"
    agenda.add(ticket_of(name=b"5-1"))
    assert agenda.new_name(5, STREAM, b"k") == b"5-2", "5-1 is taken"
    assert agenda.new_name(4, STREAM, b"k") == b"5-3", "the clock went back"
    agenda.note_name(b"9-7", 9)
    assert agenda.new_name(9, STREAM, b"k") == b"9-8"
    for odd in (b"99-1", b"x", b"-", b"9-x", b"9-" + b"9" * 50, b"3-1"):
        agenda.note_name(odd, 9)
    assert agenda.new_name(9, STREAM, b"k") == b"9-9"


# -- what becomes of a ticket that is due


def no_cron(expression: str, zone: str, after_ms: int) -> int | None:
    raise AssertionError("not asked for")


def every_tenth_second(expression: str, zone: str, after_ms: int) -> int | None:
    assert (expression, zone) == ("x", "Z")
    return (after_ms // 10_000 + 1) * 10_000


def simulated(ticket: Ticket, now: int) -> tuple[int, list[int], int]:
    """(messages, due times they stand for, next due time) when all due times are gone through one by one."""
    terms = ticket.terms
    due, runs, done, missed = int(ticket.due_ms), int(ticket.runs), [], False
    while due != NEVER and due <= now:
        late = now - due > GRACE_MS
        missed |= late
        fires = not missed or terms.missed == ALL or (terms.missed == ONE and not done)
        if fires:
            done.append(due)
            runs += 1
        due = due + terms.every_ms if terms.every_ms else NEVER
        if (terms.until_ms and due > terms.until_ms) or (terms.max_runs and runs >= terms.max_runs):
            due = NEVER
    return len(done), done, due


@given(
    every=st.integers(0, 3000),
    late=st.integers(0, 9000),
    until=st.integers(0, 12_000),
    max_runs=st.integers(0, 5),
    missed=st.sampled_from([ONE, SKIP, ALL]),
)
@settings(max_examples=400)
def test_due_times_are_gone_through_as_one_by_one(
    every: int, late: int, until: int, max_runs: int, missed: int
) -> None:
    start = 1_000_000
    if 0 < every < 200:
        every = 200
    terms = Terms()
    terms.every_ms, terms.max_runs, terms.missed = every, max_runs, missed
    terms.until_ms = start + until if until else 0
    ticket = Ticket(STREAM, b"k", b"t", start, 0, terms, b"")
    now = start + late
    expected = simulated(Ticket(STREAM, b"k", b"t", start, 0, terms, b""), now)
    fired = 0
    agenda = Agenda()
    agenda.add(ticket)
    while len(agenda) and ticket.due_ms <= now:
        plan = outcome(ticket, now, no_cron)
        fired += plan.fires
        assert plan.runs == fired
        if plan.next_ms == NEVER:
            agenda.remove(STREAM, b"k", b"t")
        else:
            assert plan.next_ms > ticket.due_ms
            agenda.move(ticket, plan.next_ms, plan.runs)
    left = int(ticket.due_ms) if len(agenda) else NEVER
    assert (fired, left) == (expected[0], expected[2])


def test_a_due_time_within_the_grace_is_not_missed() -> None:
    terms = Terms()
    terms.missed = SKIP
    ticket = Ticket(STREAM, b"k", b"t", 5000, 0, terms, b"")
    assert outcome(ticket, 5000 + GRACE_MS, no_cron).fires
    assert not outcome(ticket, 5001 + GRACE_MS, no_cron).fires


def test_cron_is_asked_for_the_next_time() -> None:
    terms = Terms()
    terms.cron, terms.zone = b"x", b"Z"
    ticket = Ticket(STREAM, b"k", b"t", 20_000, 3, terms, b"")
    plan = outcome(ticket, 20_003, every_tenth_second)
    assert (plan.fires, plan.next_ms, plan.runs) == (True, 30_000, 4)
    plan = outcome(ticket, 75_000, every_tenth_second)
    assert (plan.fires, plan.next_ms) == (True, 80_000), "one message for all that were missed"
    terms.missed = ALL
    plan = outcome(ticket, 75_000, every_tenth_second)
    assert (plan.fires, plan.next_ms) == (True, 30_000)
    plan = outcome(ticket, 20_003, lambda expression, zone, after_ms: None)
    assert (plan.fires, plan.next_ms) == (True, NEVER)
