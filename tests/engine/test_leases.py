"""Groups with policies: against a naive model, and with workers that vanish at any moment."""

from collections import defaultdict
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.engine import Client, Harness
from support.groups import assert_replays, delivered, group_info, pending
from support.same_data import replay

KEYS = ["a", "b", "c", ""]
NEVER = 2**63 - 1


class Entry:
    """One entry in the model. state: new, owned, back, gone."""

    def __init__(self, number: int, key: str) -> None:
        self.number = number
        self.key = key
        self.state = "new"
        self.owner = ""
        self.since = 0
        self.due = 0
        self.turn = 0  # of those that came back with one due time
        self.deliveries = 0
        self.failures = 0
        self.is_dead = False

    @property
    def is_pending(self) -> bool:
        return self.state in ("owned", "back")


class Model:
    """A group with a policy, as simply as it can be said."""

    def __init__(self, policy: dict[str, Any]) -> None:
        self.policy = policy
        self.entries: list[Entry] = []
        self.letters: list[tuple[int, int]] = []  # (id, failures)
        self.now = 0
        self.turns = 0

    def is_behind(self, entry: Entry) -> bool:
        if not self.policy["ORDERBY"] or not entry.key:
            return False
        return any(e.is_pending and e.key == entry.key and e.number < entry.number for e in self.entries)

    def give_back(self, entry: Entry, due: int) -> None:
        entry.state, entry.owner = "back", ""
        entry.due = NEVER if entry.is_dead or self.is_behind(entry) else due
        self.turns += 1
        entry.turn = self.turns

    def leave(self, entry: Entry) -> None:
        entry.state = "gone"
        for other in self.entries:
            if other.state == "back" and other.due == NEVER and not other.is_dead and not self.is_behind(other):
                if other.key == entry.key:
                    self.give_back(other, 0)

    def fail(self, entry: Entry, when: int, delay: int, fatal: bool) -> None:
        if entry.state == "owned" or fatal:
            entry.failures += 1
        if fatal or (self.policy["MAXDELIVER"] and entry.failures >= self.policy["MAXDELIVER"]):
            if self.policy["DEADLETTER"]:
                self.letters.append((entry.number, entry.failures))
                self.leave(entry)
                return
            entry.is_dead = True
            if fatal:
                entry.deliveries = NEVER
            self.give_back(entry, NEVER)
            return
        backoff = self.policy["BACKOFF"]
        rest = delay or (backoff[min(entry.failures, len(backoff)) - 1] if backoff and entry.failures else 0)
        entry.is_dead = False
        self.give_back(entry, when + rest if rest else 0)

    def deliver(self, entry: Entry, consumer: str) -> None:
        entry.state, entry.owner, entry.since = "owned", consumer, self.now
        entry.deliveries = min(entry.deliveries + 1, NEVER)

    def put_in_order(self) -> None:
        wait = self.policy["ACKWAIT"]
        late = [e for e in self.entries if e.state == "owned" and wait and self.now - e.since >= wait]
        for entry in sorted(late, key=lambda e: (e.since, e.number)):
            self.fail(entry, entry.since + wait, 0, False)

    def read(self, consumer: str, count: int) -> list[int]:
        self.put_in_order()
        owned = [e for e in self.entries if e.state == "owned"]
        room = count
        if self.policy["MAXPENDING"]:
            room = min(room, self.policy["MAXPENDING"] - len(owned))
        if self.policy["MAXPENDINGPERCONSUMER"]:
            mine = [e for e in owned if e.owner == consumer]
            room = min(room, self.policy["MAXPENDINGPERCONSUMER"] - len(mine))
        found: list[int] = []
        back = [e for e in self.entries if e.state == "back" and e.due <= self.now]
        for entry in sorted(back, key=lambda e: (e.due, e.turn))[: max(room, 0)]:
            self.deliver(entry, consumer)
            found.append(entry.number)
        for entry in self.entries:
            if len(found) >= room:
                break
            if entry.state != "new":
                continue
            if self.is_behind(entry):
                self.give_back(entry, 0)
            else:
                self.deliver(entry, consumer)
                found.append(entry.number)
        return found

    def holds(self, entry: Entry, consumer: str) -> bool:
        wait = self.policy["ACKWAIT"]
        return entry.state == "owned" and entry.owner == consumer and (not wait or self.now - entry.since < wait)


class Pair:
    """The engine and the model, told the same things."""

    def __init__(self, policy: dict[str, Any], keys: list[str]) -> None:
        self.h = Harness()
        self.model = Model(policy)
        self.h.run("XGROUP CREATE s g 0 MKSTREAM")
        words: list[Any] = []
        for name, value in policy.items():
            words += [name, *(value or [0])] if name == "BACKOFF" else [name, value]
        # One option that changes nothing: a policy with nothing set is none.
        assert self.h.run("XGROUP", "POLICY", "s", "g", "CONSUMERTTL", 10**9, *words) == "OK"
        for key in keys:
            self.add(key)

    def entry(self, number: int) -> Entry | None:
        return self.model.entries[number - 1] if number <= len(self.model.entries) else None

    def add(self, key: str) -> None:
        number = len(self.model.entries) + 1
        self.h.run("XADD", "s", f"{number}-0", "k" if key else "other", key)
        self.model.entries.append(Entry(number, key))

    def read(self, consumer: str, count: int) -> None:
        reply = self.h.run("XREADGROUP", "GROUP", "g", consumer, "COUNT", count, "STREAMS", "s", ">")
        assert delivered(reply) == [f"{number}-0" for number in self.model.read(consumer, count)]

    def acknowledge(self, number: int) -> None:
        entry = self.entry(number)
        was_pending = entry is not None and entry.is_pending
        assert self.h.run("XACK", "s", "g", f"{number}-0") == was_pending
        if entry is not None and was_pending:
            self.model.leave(entry)

    def acknowledge_with_a_fence(self, number: int, consumer: str) -> None:
        entry = self.entry(number)
        holds = entry is not None and self.model.holds(entry, consumer)
        assert self.h.run("XACK", "s", "g", "FENCE", consumer, f"{number}-0") == holds
        if entry is not None and holds:
            self.model.leave(entry)

    def nack(self, number: int, mode: str, delay: int) -> None:
        entry = self.entry(number)
        was_pending = entry is not None and entry.is_pending
        assert self.h.run("XNACK", "s", "g", mode, "IDS", 1, f"{number}-0", "DELAY", delay) == was_pending
        if entry is None or not was_pending:
            return
        if mode == "SILENT":
            entry.deliveries = max(entry.deliveries - 1, 0)
            entry.is_dead = False
            self.model.give_back(entry, self.model.now + delay if delay else 0)
        else:
            self.model.fail(entry, self.model.now, delay, mode == "FATAL")

    def renew(self, number: int, consumer: str) -> None:
        entry = self.entry(number)
        holds = entry is not None and self.model.holds(entry, consumer)
        assert self.h.run("XRENEW", "s", "g", consumer, "IDS", 1, f"{number}-0") == [holds]
        if entry is not None and holds:
            entry.since = self.model.now

    def leave_and_release(self, consumer: str) -> None:
        self.h.run("XGROUP", "DELCONSUMER", "s", "g", consumer, "RELEASE")
        for entry in self.model.entries:
            if entry.state == "owned" and entry.owner == consumer:
                entry.deliveries = max(entry.deliveries - 1, 0)
                self.model.give_back(entry, 0)

    def advance(self, ms: int) -> None:
        self.h.advance(ms / 1000)
        self.model.now = self.h.engine.keyspace.now_ms - 1_700_000_000_000
        self.model.put_in_order()

    def go_on_with_a_copy(self) -> None:
        assert self.h.run("COPY s copy REPLACE") == 1
        assert self.h.run("RENAME copy s") == "OK"

    def compare(self) -> None:
        expected = [(f"{e.number}-0", e.owner, e.deliveries) for e in self.model.entries if e.is_pending]
        assert pending(self.h) == expected
        letters = self.h.run("XRANGE dead - +")
        facts = [dict(zip(letter[1][::2], letter[1][1::2], strict=True)) for letter in letters]
        assert [(int(f[b"dead.id"].split(b"-")[0]), int(f[b"dead.attempts"])) for f in facts] == self.model.letters
        assert group_info(self.h)["dead"] == sum(e.is_dead for e in self.model.entries if e.is_pending)


CHOICES: dict[str, list[Any]] = {
    "ACKWAIT": [0, 100, 100],
    "MAXDELIVER": [0, 1, 2, 3],
    "BACKOFF": [[], [30], [10, 70]],
    "DEADLETTER": ["", "dead"],
    "MAXPENDING": [0, 0, 3],
    "MAXPENDINGPERCONSUMER": [0, 0, 2],
    "ORDERBY": ["", "k"],
}
names = st.sampled_from(["ann", "bob"])
numbers = st.integers(1, 7)


class PolicyMachine(RuleBasedStateMachine):
    pair: Pair

    @initialize(
        policy=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()}),
        keys=st.lists(st.sampled_from(KEYS), min_size=3, max_size=6),
    )
    def begin(self, policy: dict[str, Any], keys: list[str]) -> None:
        self.pair = Pair(policy, keys)

    @precondition(lambda self: len(self.pair.model.entries) < 7)
    @rule(key=st.sampled_from(KEYS))
    def add(self, key: str) -> None:
        self.pair.add(key)

    @rule(consumer=names, count=st.integers(1, 4))
    def read(self, consumer: str, count: int) -> None:
        self.pair.read(consumer, count)

    @rule(number=numbers, consumer=names, fenced=st.booleans())
    def acknowledge(self, number: int, consumer: str, fenced: bool) -> None:
        if fenced:
            self.pair.acknowledge_with_a_fence(number, consumer)
        else:
            self.pair.acknowledge(number)

    @rule(number=numbers, mode=st.sampled_from(["SILENT", "FAIL", "FATAL"]), delay=st.sampled_from([0, 0, 25]))
    def nack(self, number: int, mode: str, delay: int) -> None:
        self.pair.nack(number, mode, delay)

    @rule(number=numbers, consumer=names)
    def renew(self, number: int, consumer: str) -> None:
        self.pair.renew(number, consumer)

    @rule(consumer=names)
    def leave_and_release(self, consumer: str) -> None:
        self.pair.leave_and_release(consumer)

    @rule(ms=st.sampled_from([1, 10, 25, 40, 100]))
    def advance(self, ms: int) -> None:
        self.pair.advance(ms)

    @rule()
    def go_on_with_a_copy(self) -> None:
        self.pair.go_on_with_a_copy()

    @invariant()
    def they_agree(self) -> None:
        if hasattr(self, "pair"):
            self.pair.compare()

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            assert_replays(self.pair.h)


TestPolicy = PolicyMachine.TestCase
TestPolicy.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("seed", range(40))
def test_long_histories_agree_with_the_model(seed: int) -> None:
    """What the machine above rarely comes to: entries that fail again and again, long lanes, full groups."""
    rng = Random(seed)
    pair = Pair({name: rng.choice(values) for name, values in CHOICES.items()}, [])
    for _ in range(150):
        known = len(pair.model.entries)
        number = max(1, known - int(rng.expovariate(0.25)))
        consumer = rng.choice(["ann", "bob", "eve"])
        act = rng.random()
        if act < 0.25:
            pair.add(rng.choice(KEYS))
        elif act < 0.5:
            pair.read(consumer, rng.randint(1, 4))
        elif act < 0.6:
            pair.acknowledge(number)
        elif act < 0.66:
            pair.acknowledge_with_a_fence(number, consumer)
        elif act < 0.8:
            pair.nack(number, rng.choice(["SILENT", "FAIL", "FAIL", "FAIL", "FATAL"]), rng.choice([0, 0, 25]))
        elif act < 0.84:
            pair.renew(number, consumer)
        elif act < 0.86:
            pair.leave_and_release(consumer)
        elif act < 0.98:
            pair.advance(rng.choice([1, 10, 25, 40, 100]))
        else:
            pair.go_on_with_a_copy()
        pair.compare()
    assert_replays(pair.h)


# -- workers that vanish


class Worker:
    """Reads with BLOCK 0, handles one entry after another, and may vanish at any moment: then it just never answers."""

    def __init__(self, h: Harness, name: str) -> None:
        self.h = h
        self.name = name
        self.client: Client = h.client()
        self.client.run("HELLO 3")
        self.taken: list[int] = []

    def read(self, count: int) -> list[int]:
        if self.client.session.is_blocked:
            return []
        reply = self.client.run(f"XREADGROUP GROUP g {self.name} COUNT {count} BLOCK 0 STREAMS s >")
        return [int(text.split("-")[0]) for text in delivered(reply)] if isinstance(reply, list) else []

    def received(self) -> list[int]:
        """What came while it was blocked."""
        words = self.client.received().split(b"\r\n")
        return [int(word[:-2]) for word in words if word.endswith(b"-0")]


POLICIES = [
    "ACKWAIT 100",
    "ACKWAIT 100 ORDERBY k",
    "ACKWAIT 100 MAXDELIVER 3 DEADLETTER dead",
    "ACKWAIT 100 MAXDELIVER 3 DEADLETTER dead BACKOFF 20 60 ORDERBY k",
    "ACKWAIT 100 MAXPENDING 4 ORDERBY k",
    "ACKWAIT 100 MAXPENDINGPERCONSUMER 1 BACKOFF 30",
    "ACKWAIT 100 MAXDELIVER 2 DEADLETTER dead MAXPENDING 5 MAXPENDINGPERCONSUMER 2 ORDERBY k CONSUMERTTL 500",
]


class Company:
    """Workers, and what is known of each entry from outside."""

    def __init__(self, policy: str, rng: Random) -> None:
        self.h = Harness()
        self.rng = rng
        self.policy = policy
        self.keys = [rng.choice("abcde") for _ in range(80)]
        self.h.run("XGROUP CREATE s g 0 MKSTREAM")
        self.h.run(f"XGROUP POLICY s g {policy}")
        self.workers = [Worker(self.h, f"w{i}") for i in range(5)]
        self.born = 5
        self.added = 0
        self.held: dict[int, tuple[str, int]] = {}  # {id: (worker, since)} as of the last delivery, until it ended
        self.failures: dict[int, int] = defaultdict(int)
        self.done: list[int] = []

    def take(self, worker: Worker, ids: list[int]) -> None:
        now = self.h.engine.keyspace.now_ms
        for entry_id in ids:
            if entry_id in self.held:  # the lease of another ran out, or it failed
                before = self.held[entry_id]
                assert before[0] == "returned" or now - before[1] >= 100, "delivered while it was leased"
                if before[0] not in ("returned", "released"):
                    self.failures[entry_id] += 1
            assert entry_id not in self.done, "delivered after it was acknowledged"
            self.held[entry_id] = (worker.name, now)
            worker.taken.append(entry_id)
            if "ORDERBY" in self.policy:
                key = self.keys[entry_id - 1]
                earlier = [i for i in range(1, entry_id) if self.keys[i - 1] == key]
                assert all(i in self.done or i in self.dead() for i in earlier), "out of order"

    def dead(self) -> dict[int, int]:
        """{id: failed attempts} of the dead letters."""
        rows = self.h.run("XRANGE dead - +")
        facts = [dict(zip(row[1][::2], row[1][1::2], strict=True)) for row in rows]
        return {int(f[b"dead.id"].split(b"-")[0]): int(f[b"dead.attempts"]) for f in facts}

    def collect(self) -> None:
        for worker in self.workers:
            self.take(worker, worker.received())

    def act(self, worker: Worker) -> None:
        rng = self.rng
        if not worker.taken:
            self.take(worker, worker.read(rng.randint(1, 4)))
            self.collect()
            return
        entry_id = worker.taken.pop(0)
        what = rng.random()
        if what < 0.6:
            if self.h.run(f"XACK s g FENCE {worker.name} {entry_id}-0"):
                self.done.append(entry_id)
                del self.held[entry_id]
        elif what < 0.75:
            mode = rng.choice(["FAIL", "SILENT"])
            if self.h.run(f"XNACK s g {mode} IDS 1 {entry_id}-0 FENCE {worker.name}"):
                self.held[entry_id] = ("returned", 0)
                self.failures[entry_id] += mode == "FAIL"
        elif what < 0.85:
            if self.h.run(f"XRENEW s g {worker.name} IDS 1 {entry_id}-0") == [1]:
                self.held[entry_id] = (worker.name, self.h.engine.keyspace.now_ms)
                worker.taken.append(entry_id)
        else:
            self.vanish(worker)
        self.collect()

    def vanish(self, worker: Worker) -> None:
        self.h.engine.close_session(worker.client.ctx)
        self.workers.remove(worker)
        self.born += 1
        self.workers.append(Worker(self.h, f"w{self.born}"))

    def step(self) -> None:
        rng = self.rng
        if self.added < len(self.keys) and rng.random() < 0.5:
            self.added += 1
            self.h.run("XADD", "s", f"{self.added}-0", "k", self.keys[self.added - 1])
            self.collect()
        self.act(rng.choice(self.workers))
        if rng.random() < 0.5:
            self.h.advance(rng.choice([1, 5, 40]) / 1000)
            self.collect()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(4))
def test_workers_that_vanish_lose_nothing_and_keep_order_and_counts(policy: str, seed: int) -> None:
    company = Company(policy, Random(seed))
    steps = 0
    while len(company.done) + len(company.dead()) < len(company.keys):
        company.step()
        steps += 1
        assert steps < 20_000, "it does not end"
    dead = company.dead()
    assert sorted(company.done + list(dead)) == list(range(1, 81)), "each entry ends once, in one way"
    if "MAXDELIVER" in policy:
        limit = int(policy.split("MAXDELIVER ")[1].split()[0])
        assert set(dead.values()) <= {limit}
        assert all(company.failures[i] < limit for i in company.done)
        # The last failure of a dead letter is its move: nobody saw another delivery.
        assert all(company.failures[i] in (limit, limit - 1) for i in dead)
    assert pending(company.h) == []
    assert_replays(company.h)


# -- when nobody reads


def test_dead_letters_move_by_the_clock_and_are_journaled_though_nobody_reads() -> None:
    h = Harness()
    h.run("XADD s 1-0 n 1")
    h.run("XGROUP CREATE s g 0")
    h.run("XGROUP POLICY s g ACKWAIT 100 MAXDELIVER 1 DEADLETTER dead")
    h.run("XREADGROUP GROUP g c STREAMS s >")
    assert h.engine.next_deadline_ms() == 100
    h.advance(0.1)
    assert h.run("XLEN dead") == 1
    assert h.engine.next_deadline_ms() is None
    assert_replays(h)


def test_leases_run_out_after_a_rename_too() -> None:
    h = Harness()
    h.run("XADD s 1-0 n 1")
    h.run("XGROUP CREATE s g 0")
    h.run("XGROUP POLICY s g ACKWAIT 100 MAXDELIVER 1 DEADLETTER dead")
    h.run("XREADGROUP GROUP g c STREAMS s >")
    h.run("RENAME s t")
    h.advance(0.05)
    h.advance(0.05)
    assert h.run("XLEN dead") == 1
    assert_replays(h)


def test_many_blocked_readers_cost_one_look_at_the_group() -> None:
    """Those who wait in a group with leases have no timers of their own."""
    h = Harness()
    h.run("XADD s 1-0 n 1")
    h.run("XGROUP CREATE s g 0")
    h.run("XGROUP POLICY s g ACKWAIT 100")
    h.run("XREADGROUP GROUP g c STREAMS s >")
    clients = [h.client() for _ in range(20)]
    for i, client in enumerate(clients):
        client.run(f"XREADGROUP GROUP g w{i} BLOCK 0 STREAMS s >")
    before = h.engine.executed
    h.advance(0.1)
    assert b"1-0" in clients[0].received()
    assert h.engine.executed - before <= 2
    assert all(client.session.is_blocked for client in clients[1:])


def test_leases_run_out_after_a_restart_though_nobody_reads() -> None:
    h = Harness()
    h.run("XADD s 1-0 n 1")
    h.run("XGROUP CREATE s g 0")
    h.run("XGROUP POLICY s g ACKWAIT 100 MAXDELIVER 1 DEADLETTER dead")
    h.run("XREADGROUP GROUP g c STREAMS s >")
    other = replay(h)
    other.engine.keyspace.expiry = True
    other.engine.journal.enabled = True
    other.advance(0.1)
    assert other.run("XLEN dead") == 1


def test_maxcount_and_maxsize_cap_what_a_group_reader_gets() -> None:
    h = Harness()
    for key in ("s", "t"):
        for i in range(1, 4):
            h.run("XADD", key, f"{i}-0", "n", "x" * 100)
        h.run("XGROUP", "CREATE", key, "g", "0")
    reply = h.run("XREADGROUP GROUP g c MAXCOUNT 4 STREAMS s t > >")
    assert [[row[0] for row in rows] for _, rows in reply] == [[b"1-0", b"2-0", b"3-0"], [b"1-0"]]
    reply = h.run("XREADGROUP GROUP g c MAXSIZE 1 STREAMS s t > >")
    assert [[row[0] for row in rows] for _, rows in reply] == [[b"2-0"]]
    h.run("XREADGROUP GROUP g d CLAIM 0 MAXCOUNT 2 STREAMS s >")
    assert [row[1] for row in h.run("XPENDING s g - + 9")] == [b"d", b"d", b"c"]
    reply = h.run("XREADGROUP GROUP g c MAXCOUNT 1 STREAMS t 0")
    assert len(reply[0][1]) == 1
    assert h.run("XREADGROUP GROUP g c MAXCOUNT 0 STREAMS s >").startswith("-ERR MAXCOUNT must be a positive integer")
    assert_replays(h)
