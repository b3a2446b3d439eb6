"""What is due is appended: when, in which order, once, in one unit of the journal with what becomes of its ticket."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from support.engine import Client, Harness

from broker.engine.admission import IS_LOADING, WRITES_REFUSED
from broker.keyspace.database import Keyspace
from broker.protocol.requests import RequestParser

NOW = 1_700_000_000_000


def harness() -> Harness:
    """Its clock stands in the middle of a millisecond: adding fractions of a second can't fall short of the next."""
    h = Harness()
    h.time.advance(0.0005)
    return h


@pytest.fixture
def h() -> Harness:
    return harness()


def values(h: Harness, key: str = "s") -> list[bytes]:
    """The value of the first field of each entry."""
    return [fields[1] for _, fields in h.run(f"XRANGE {key} - +")]


def shown(h: Harness, key: str, name: str = "*") -> dict[str, Any]:
    (row,) = h.run(f"XSCHEDULES {key} MATCH {name}")
    return dict(zip([field.decode() for field in row[::2]], row[1::2], strict=True))


def entries_of(data: bytes) -> list[list[bytes]]:
    parser = RequestParser()
    parser.feed(data)
    entries: list[list[bytes]] = []
    parser.take(entries)
    return entries


def restarted(log: bytes, now: float) -> Harness:
    """A broker that read a log at start; its first turn has not been run yet."""
    h = Harness(seed=3)
    h.time.now = now
    h.engine.journal.enabled = False
    h.engine.keyspace.expiry = False
    ctx = h.engine.replay_session()
    h.engine.begin_turn()
    for argv in entries_of(log):
        reply = h.engine.execute(ctx, argv)
        assert type(reply).__name__ != "ErrorReply", argv
    h.engine.keyspace.expiry = True
    h.engine.journal.enabled = True
    assert not h.bugs
    return h


# -- when


def test_the_engine_knows_when_the_next_one_is_due(h: Harness) -> None:
    assert h.engine.next_deadline_ms() is None
    h.run("XSCHEDULE s ID t DELAY 300 f v")
    assert h.engine.next_deadline_ms() == 300
    h.run("XSCHEDULE u DELAY 100 f v")
    assert h.engine.next_deadline_ms() == 100
    h.advance(0.1)
    assert h.engine.next_deadline_ms() == 200
    h.run("XUNSCHEDULE s t")
    assert h.engine.next_deadline_ms() is None


def test_a_time_far_away_is_looked_at_every_second_as_the_clock_may_jump(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 3600000 f v")
    assert h.engine.next_deadline_ms() == 1000


def test_nothing_fires_before_its_time(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 300 f v")
    h.advance(0.299)
    assert h.run("XLEN s") == 0
    h.advance(0.001)
    assert h.run("XRANGE s - +") == [[b"%d-0" % (NOW + 300), [b"f", b"v"]]]
    assert h.run("XSCHEDULES s") == []


def test_messages_fire_in_the_order_of_their_times_and_then_of_arrival(h: Harness) -> None:
    for value, delay in (("c", 300), ("a", 100), ("d", 300), ("b", 200), ("e", 300)):
        h.run(f"XSCHEDULE s DELAY {delay} f {value}")
    h.advance(0.9)
    assert values(h) == [b"a", b"b", b"c", b"d", b"e"]


def test_the_time_of_a_message_that_is_due_now_is_the_end_of_its_turn(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 0 f v")
    assert h.run("XLEN s") == 1


def test_lists_are_pushed_at_either_end(h: Harness) -> None:
    h.run("RPUSH l m")
    h.run("LSCHEDULE l DELAY 100 a b")
    h.run("LSCHEDULE l LEFT DELAY 200 c d")
    h.advance(0.5)
    assert h.run("LRANGE l 0 -1") == [b"d", b"c", b"m", b"a", b"b"]


def test_a_stream_is_trimmed_as_the_schedule_says(h: Harness) -> None:
    h.run("XSCHEDULE s EVERY 10 MAXLEN 3 f v")
    for _ in range(10):
        h.advance(0.01)
    assert h.run("XLEN s") == 3


def test_many_that_are_due_at_once_take_several_turns(h: Harness) -> None:
    for i in range(450):
        h.run(f"XSCHEDULE s DELAY 100 i {i}")
    h.advance(0.1)
    first = h.engine.shared.commands[b"XADD"].calls
    assert 0 < first < 450
    assert h.engine.next_deadline_ms() == 0
    while h.engine.next_deadline_ms() == 0:
        h.advance(0)
    assert values(h) == [b"%d" % i for i in range(450)]
    assert h.engine.next_deadline_ms() is None


# -- who waits


def test_a_blocked_reader_gets_the_message_in_the_turn_in_which_it_is_due(h: Harness) -> None:
    h.run("XGROUP CREATE s g $ MKSTREAM")
    reader, group, popper = h.client(), h.client(), h.client()
    reader.run("XREAD BLOCK 0 STREAMS s $")
    group.run("XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
    popper.run("BLPOP l 0")
    h.run("XSCHEDULE s DELAY 100 f v")
    h.run("LSCHEDULE l DELAY 100 x")
    h.journal()
    h.advance(0.1)
    assert b"%d-0" % (NOW + 100) in reader.received()
    assert b"%d-0" % (NOW + 100) in group.received()
    assert popper.received() == b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"
    names = [entry[0] for entry in h.journal()]
    assert names[:4] == [b"MULTI", b"XADD", b"XUNSCHEDULE", b"EXEC"]
    assert names[-1] == b"LPOP", "who was served is journaled after what served him"


def test_a_reader_whose_time_is_up_when_the_message_is_due_still_gets_it(h: Harness) -> None:
    reader = h.client()
    reader.run("XREAD BLOCK 100 STREAMS s $")
    h.run("XSCHEDULE s DELAY 100 f v")
    h.advance(0.1)
    assert b"f" in reader.received()


# -- again and again


def test_a_period_does_not_drift(h: Harness) -> None:
    h.run("XSCHEDULE s EVERY 100 f v")
    for _ in range(20):
        h.advance(0.03)
    assert shown(h, "s")["next"] == NOW + 700
    assert h.run("XLEN s") == 6


def test_runs_are_counted_and_end_it(h: Harness) -> None:
    h.run("XSCHEDULE s EVERY 100 MAXRUNS 2 f v")
    h.advance(0.1)
    assert shown(h, "s")["runs"] == 1
    h.advance(0.1)
    assert h.run("XSCHEDULES s") == []
    h.advance(5)
    assert h.run("XLEN s") == 2


def test_the_last_time_ends_it(h: Harness) -> None:
    h.run(f"XSCHEDULE s EVERY 100 UNTIL {NOW + 300} f v")
    for _ in range(10):
        h.advance(0.1)
    assert h.run("XLEN s") == 3
    assert h.run("XSCHEDULES s") == []


def test_cron_fires_at_local_times(h: Harness) -> None:
    h.run("XSCHEDULE s CRON '0 9 * * *' TZ Asia/Tokyo f v")
    assert shown(h, "s")["next"] == 1_700_006_400_000, "nine o'clock there is midnight in UTC"
    h.time.now = 1_700_006_400.0
    h.advance(0)
    assert shown(h, "s")["next"] == 1_700_006_400_000 + 24 * 3600 * 1000
    assert h.run("XLEN s") == 1


# -- what was missed


@pytest.mark.parametrize(("missed", "messages"), [("", 1), ("MISSED one", 1), ("MISSED skip", 0), ("MISSED all", 50)])
@pytest.mark.parametrize("restart", [True, False])
def test_due_times_that_nobody_was_there_for(missed: str, messages: int, restart: bool) -> None:
    h = harness()
    h.run(f"XSCHEDULE s EVERY 100 {missed} f v")
    if restart:
        h = restarted(h.engine.journal.take(), h.time.now + 5)
    else:
        h.time.advance(5)
    h.advance(0)
    assert h.run("XLEN s") == messages
    assert shown(h, "s")["next"] == NOW + 5100
    assert shown(h, "s")["runs"] == messages
    h.advance(0.1)
    assert h.run("XLEN s") == messages + 1


def test_a_message_that_was_to_be_sent_once_is_sent_late_unless_it_is_to_be_skipped(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 100 f late")
    h.run("XSCHEDULE s DELAY 100 MISSED skip f never")
    h = restarted(h.engine.journal.take(), h.time.now + 3600)
    h.advance(0)
    assert values(h) == [b"late"]
    assert h.run("XSCHEDULES s") == []
    assert [entry[0] for entry in h.journal()] == [b"MULTI", b"XADD", b"XUNSCHEDULE", b"EXEC", b"XUNSCHEDULE"]


def test_a_moment_late_is_not_missed(h: Harness) -> None:
    h.run("XSCHEDULE s EVERY 400 MISSED skip f v")
    h.time.advance(1.3)
    h.advance(0)
    assert h.run("XLEN s") == 3


def test_replaying_fires_nothing(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 100 f v")
    other = restarted(h.engine.journal.take(), h.time.now + 60)
    assert len(other.engine.keyspace.databases[0].agenda) == 1
    assert other.engine.keyspace.databases[0].table.size == 0


def test_a_log_cut_anywhere_gives_each_due_time_once() -> None:
    """Every prefix of the log (whole units, as recovery leaves them), continued by the broker that reads it."""
    h = harness()
    h.run("XSCHEDULE s EVERY 100 MISSED all MAXRUNS 6 f v")
    h.run("XSCHEDULE s DELAY 250 f once")
    for _ in range(4):
        h.advance(0.1)
    units = split_units(h.engine.journal.take())
    assert len(units) == 8  # SELECT, two schedules, five firings
    for count in range(3, len(units) + 1):
        other = restarted(b"".join(b"".join(unit) for unit in units[:count]), h.time.now)
        other.advance(0)
        other.advance(5)
        assert sorted(values(other)) == [b"once"] + [b"v"] * 6
        assert other.run("XSCHEDULES s") == []


def split_units(data: bytes) -> list[list[bytes]]:
    """A log as units, each the wire of its commands: a transaction is one."""
    units: list[list[bytes]] = []
    inside = False
    for argv in entries_of(data):
        wire = b"*%d\r\n" % len(argv) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in argv)
        if inside:
            units[-1].append(wire)
        else:
            units.append([wire])
        inside = argv[0] == b"MULTI" or (inside and argv[0] != b"EXEC")
    return units


# -- clocks that jump


def test_a_clock_that_is_put_back_repeats_nothing(h: Harness) -> None:
    h.run("XSCHEDULE s EVERY 100 f v")
    h.advance(0.1)
    assert h.run("XLEN s") == 1
    h.advance(-3600)
    h.advance(0.1)
    assert h.run("XLEN s") == 1
    h.advance(3599.9)
    assert h.run("XLEN s") == 1
    h.advance(0.1)
    assert h.run("XLEN s") == 2, "the next due time comes when the clock gets there"


def test_a_clock_that_is_put_forward_is_a_time_that_was_missed(h: Harness) -> None:
    h.run("XSCHEDULE s EVERY 100 f v")
    h.advance(3600)
    assert h.run("XLEN s") == 1


# -- what can't be appended now


def test_a_message_for_a_key_of_another_type_is_held_and_nothing_is_lost(h: Harness) -> None:
    h.run("SET s string")
    h.run("XSCHEDULE s ID t DELAY 100 f v")
    h.journal()
    h.advance(0.1)
    facts = shown(h, "s")
    assert (facts["failures"], facts["next"]) == (1, NOW + 100)
    assert facts["error"].startswith(b"WRONGTYPE")
    assert h.journal() == []
    assert h.engine.next_deadline_ms() == 1000, "it is tried again, and not in a loop"
    h.advance(1)
    assert shown(h, "s")["failures"] == 2
    h.run("DEL s")
    h.advance(1)
    assert h.run("EXISTS s") == 0
    h.advance(1)
    assert values(h) == [b"v"]
    assert h.run("XSCHEDULES s") == []


def test_the_longest_hold_is_a_minute(h: Harness) -> None:
    h.run("SET s string")
    h.run("XSCHEDULE s DELAY 0 f v")
    for _ in range(40):
        h.advance(60)
    assert shown(h, "s")["failures"] >= 40
    h.run("DEL s")
    h.advance(60)
    assert h.run("XLEN s") == 1


def test_one_that_is_held_keeps_no_other_back(h: Harness) -> None:
    h.run("SET s string")
    h.run("XSCHEDULE s EVERY 100 f v")
    h.run("XSCHEDULE t EVERY 100 f v")
    for _ in range(10):
        h.advance(0.1)
    assert h.run("XLEN t") == 10
    h.run("DEL s")
    h.advance(1)
    assert shown(h, "s")["runs"] == 1, "what passed meanwhile was missed, and makes one message"


@pytest.mark.parametrize("bit", [WRITES_REFUSED, IS_LOADING])
def test_nothing_fires_while_nothing_may_be_written(h: Harness, bit: int) -> None:
    h.run("XSCHEDULE s DELAY 100 f v")
    h.engine.gate |= bit
    h.advance(5)
    assert h.engine.next_deadline_ms() == 1000, "it is looked at again, and not in a loop"
    h.engine.gate &= ~bit
    assert h.run("XLEN s") == 0
    assert h.run("XLEN s") == 1


def test_nothing_fires_while_clients_are_paused(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 100 f v")
    h.engine.pause(NOW + 500, True)
    h.advance(0.3)
    assert h.run("XLEN s") == 0
    assert h.engine.next_deadline_ms() == 200
    h.advance(0.2)
    assert h.run("XLEN s") == 1


def test_a_key_that_expired_is_journaled_as_gone_before_the_message(h: Harness) -> None:
    h.run("SET s string PX 100")
    h.run("XSCHEDULE s DELAY 100 f v")
    h.journal()
    h.advance(0.1)
    assert [entry[0] for entry in h.journal()] == [b"DEL", b"MULTI", b"XADD", b"XUNSCHEDULE", b"EXEC"]


# -- at random


def test_random_schedules_fire_each_due_time_once_over_many_restarts() -> None:
    rng = Random(5)
    h = harness()
    log = b""
    expected: Counter[bytes] = Counter()  # {value: messages}
    for i in range(60):
        every, runs, start = rng.randrange(20, 400), rng.randrange(1, 6), rng.randrange(1, 3000)
        expected[b"%d" % i] = runs
        h.run(f"XSCHEDULE s NEXT {NOW + start} EVERY {every} MAXRUNS {runs} MISSED all f {i}")
    end = NOW + 6000
    while h.time.now * 1000 < end:
        wait = h.engine.next_deadline_ms()
        h.advance((1000 if wait is None else wait) / 1000)
        if rng.random() < 0.05:
            log += h.engine.journal.take()
            h = restarted(log, h.time.now + rng.choice([0, 0.2, 1.5]))
            h.advance(0)
    assert Counter(values(h)) == expected
    assert h.run("XSCHEDULES s") == []
    log += h.engine.journal.take()
    assert restarted(log, h.time.now).run("DEBUG DIGEST") == h.run("DEBUG DIGEST")


def test_databases_without_schedules_are_not_looked_at(h: Harness) -> None:
    keyspace: Keyspace = h.engine.keyspace
    client: Client = h.client()
    client.run("SELECT 5")
    client.run("XSCHEDULE s DELAY 100 f v")
    assert list(keyspace.planned) == [5]
    h.advance(0.1)
    h.advance(0.1)
    assert list(keyspace.planned) == []
    assert client.run("XLEN s") == 1
