"""Scheduled messages of a real server: on time for who waits, once over restarts and kill -9."""

import time
from collections import Counter
from pathlib import Path
from statistics import median

from support.servers import Broker, eventually
from support.wire import Wire

MESSAGES = 15


def now_ms() -> float:
    return time.time() * 1000


def test_a_blocked_reader_has_the_message_when_it_is_due(broker: Broker, wire: Wire) -> None:
    """The clients are quiet: nothing but the timer wakes the server. (A loaded machine may be late now and then.)"""
    late = []
    last = b"0"
    with Wire(broker.port) as reader:
        for i in range(MESSAGES):
            due = int(now_ms()) + 20 + i
            wire("XSCHEDULE", "s", "AT", due, "n", i)
            [[_, [[last, fields]]]] = reader("XREAD", "BLOCK", 5000, "STREAMS", "s", last)
            late.append(now_ms() - due)
            assert fields == [b"n", b"%d" % i]
            assert int(last.split(b"-")[0]) >= due, "never before its time"
    assert min(late) >= 0
    assert median(late) < 20, late


def test_a_worker_that_pops_waits_for_a_scheduled_value(broker: Broker, wire: Wire) -> None:
    wire("LSCHEDULE", "l", "EVERY", 20, "MAXRUNS", 3, "job")
    started = now_ms()
    assert [wire("BLPOP", "l", 5) for _ in range(3)] == [[b"l", b"job"]] * 3
    assert now_ms() - started >= 40
    assert wire("LSCHEDULES") == []


def test_hundreds_that_are_due_at_once_are_all_appended(broker: Broker, wire: Wire) -> None:
    due = int(now_ms()) + 50
    for i in range(700):
        wire("XSCHEDULE", "s", "AT", due, "n", i)
    eventually(lambda: wire("XLEN", "s") == 700, what="all messages")
    assert [fields[1] for _, fields in wire("XRANGE", "s", "-", "+")] == [b"%d" % i for i in range(700)]


def test_schedules_outlive_a_restart_and_what_was_missed_is_sent_at_start(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes") as broker:
        with Wire(broker.port) as wire:
            wire("XSCHEDULE", "s", "ID", "soon", "DELAY", 600, "n", "soon")
            wire("XSCHEDULE", "s", "ID", "later", "DELAY", 3_600_000, "n", "later")
            wire("XSCHEDULE", "s", "ID", "often", "EVERY", 600, "MISSED", "skip", "n", "often")
            wire("XSCHEDULE", "daily", "CRON", "0 9 * * *", "TZ", "Europe/Berlin", "n", "daily")
            before = wire("XSCHEDULES", "daily"), wire("XSCHEDULES", "s", "MATCH", "later")
        assert broker.stop() == 0
    time.sleep(1.8)  # not for a condition: this is the time in which nobody is there
    with Broker(tmp_path, "--appendonly", "yes") as broker:
        # Nobody has asked it for anything yet: what it writes to the log, it writes by itself.
        log = tmp_path / "appendonlydir"
        eventually(lambda: any(b"XUNSCHEDULE" in path.read_bytes() for path in log.glob("*.aof")))
        with Wire(broker.port) as wire:
            assert (wire("XSCHEDULES", "daily"), wire("XSCHEDULES", "s", "MATCH", "later")) == before
            assert wire("XSCHEDULES", "s", "MATCH", "soon") == []
            entries = [fields[1] for _, fields in wire("XRANGE", "s", "-", "+")]
            assert entries.count(b"soon") == 1
            eventually(lambda: wire("XLEN", "s") > len(entries), what="the next due time of what recurs")


def test_each_due_time_has_one_message_over_kills(tmp_path: Path) -> None:
    runs = 40
    expected = Counter({b"%d" % i: runs for i in range(5)})
    for attempt in range(4):
        with Broker(tmp_path, "--appendonly", "yes", "--appendfsync", "everysec") as broker:
            with Wire(broker.port) as wire:
                if attempt == 0:
                    for i in range(5):
                        wire("XSCHEDULE", "s", "EVERY", 10 + i, "MAXRUNS", runs, "MISSED", "all", "n", i)
                wait_for_more(wire, 5 * runs)
            broker.kill()
    with Broker(tmp_path, "--appendonly", "yes") as broker, Wire(broker.port) as wire:
        eventually(lambda: wire("XSCHEDULES") == [], what="the end of all runs")
        assert Counter(fields[1] for _, fields in wire("XRANGE", "s", "-", "+")) == expected
        assert broker.stop() == 0


def wait_for_more(wire: Wire, most: int) -> None:
    """Until the stream has some entries more than now."""
    enough = min(wire("XLEN", "s") + 20, most)
    eventually(lambda: wire("XLEN", "s") >= enough, what="more messages")
