"""What is noted beside execution: LATENCY, COMMANDLOG, MONITOR."""

import pytest
from support.engine import Client, Harness

from broker.commands.logs import add_time, cumulative, new_histogram, percentile


@pytest.fixture
def h() -> Harness:
    return Harness()


# -- latency


def test_histograms_count_every_call(h: Harness) -> None:
    for request in ("SET a 1", "SET b 2", "GET a", "CLIENT ID"):
        h.run(request)
    told = dict(zip(*[iter(h.run("LATENCY HISTOGRAM set get bogus"))] * 2, strict=True))
    assert {name: fields[:2] for name, fields in told.items()} == {b"set": [b"calls", 2], b"get": [b"calls", 1]}
    assert told[b"set"][3][-1] == 2
    assert h.run("LATENCY HISTOGRAM client")[0] == b"client|id"
    assert b"client|id" in h.run("LATENCY HISTOGRAM")
    h.run("CONFIG RESETSTAT")
    assert h.run("LATENCY HISTOGRAM set") == []


def test_histograms_can_be_switched_off(h: Harness) -> None:
    h.run("CONFIG SET latency-tracking no")
    h.run("SET a 1")
    assert h.run("LATENCY HISTOGRAM set") == []


def test_a_histogram_is_right_within_six_per_cent() -> None:
    counters = new_histogram()
    for microseconds in range(1, 10_001):
        add_time(counters, microseconds / 1e6)
    assert sum(counters) == 10_000
    for wanted in (1, 50, 90, 99, 99.9, 100):
        assert percentile(counters, wanted) == pytest.approx(wanted * 100, rel=0.065)
    steps = cumulative(counters)
    assert [step for step, _ in steps] == [1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227, 8454, 16908]
    assert steps[-1][1] == 10_000
    assert all(count == pytest.approx(step, rel=0.1, abs=1) for step, count in steps[:-1])


def test_latency_events_are_kept_by_the_second(h: Harness) -> None:
    h.run("CONFIG SET latency-monitor-threshold 10")
    latency = h.engine.shared.latency
    latency.note(b"command", 5_000, 9)
    latency.note(b"command", 5_000, 40)
    latency.note(b"command", 5_900, 30)
    latency.note(b"command", 7_000, 20)
    latency.note(b"expire-cycle", 7_000, 11)
    assert h.run("LATENCY HISTORY command") == [[5, 40], [7, 20]]
    assert h.run("LATENCY LATEST") == [[b"command", 7, 20, 40], [b"expire-cycle", 7, 11, 11]]
    graph = h.run("LATENCY GRAPH command").splitlines()
    assert graph[0] == b"command - high 40 ms, low 20 ms (all time high 40 ms)"
    assert graph[2].startswith(b"#") and graph[5].startswith(b"#_")
    assert b"expire-cycle: 1 spikes" in h.run("LATENCY DOCTOR")
    assert h.run("LATENCY GRAPH no") == "-ERR No samples available for event 'no'"
    assert h.run("LATENCY RESET command no") == 1
    assert h.run("LATENCY RESET") == 1
    assert h.run("LATENCY LATEST") == []


def test_a_slow_command_is_an_event(h: Harness) -> None:
    h.run("CONFIG SET latency-monitor-threshold 5")
    h.run("DEBUG SLEEP 0.006")
    assert h.run("LATENCY LATEST")[0][0] == b"command"


# -- COMMANDLOG


def test_the_logs_have_types(h: Harness) -> None:
    h.run("CONFIG SET slowlog-log-slower-than 0")
    h.run("PING")
    h.run("CONFIG SET commandlog-execution-slower-than -1")
    assert [entry[3] for entry in h.run("COMMANDLOG GET -1 slow")] == [entry[3] for entry in h.run("SLOWLOG GET")]
    assert h.run("COMMANDLOG LEN slow") == 2
    assert h.run("COMMANDLOG RESET SLOW") == "OK"
    assert h.run("SLOWLOG LEN") == 0
    assert h.run("COMMANDLOG LEN large-request") == 0
    assert h.run("COMMANDLOG LEN x") == "-ERR type should be one of the following: slow, large-request, large-reply"
    assert h.run("COMMANDLOG GET -2 slow") == "-ERR count should be greater than or equal to -1"


def test_large_requests_are_measured(h: Harness) -> None:
    h.run("CONFIG SET commandlog-request-larger-than 100")
    observation = h.engine.observation
    observation.note_request(h.main.session, [b"SET", b"k", b"x" * 50])
    observation.note_request(h.main.session, [b"SET", b"k", b"x" * 200])
    assert [entry[2] for entry in h.run("COMMANDLOG GET 10 large-request")] == [204]


# -- MONITOR


def shown(monitor: Client) -> list[str]:
    """What a monitor was told, without times."""
    return [line.decode().partition("] ")[2] for line in monitor.received().split(b"\r\n") if line]


def test_a_monitor_sees_what_others_do(h: Harness) -> None:
    monitor = h.client()
    assert monitor.run("MONITOR") == "OK"
    h.main.session.address = b"127.0.0.1:5"
    h.run("SET", "k", b'a\n"\x00')
    line = monitor.received()
    assert line == b'+1700000000.000000 [0 127.0.0.1:5] "SET" "k" "a\\n\\"\\x00"\r\n'


def test_a_monitor_sees_a_transaction_in_order_and_no_secrets(h: Harness) -> None:
    monitor = h.client()
    monitor.run("MONITOR")
    for request in ("multi", "set k v", "get k", "exec", "HELLO 3 AUTH default secret", "CONFIG GET x", "AUTH u p"):
        h.run(request)
    assert shown(monitor) == [
        '"multi"', '"set" "k" "v"', '"get" "k"', '"exec"', '"HELLO" "3" "AUTH" "(redacted)" "(redacted)"',
        '"AUTH" "(redacted)" "(redacted)"',
    ]  # fmt: skip


def test_a_blocked_request_is_shown_once(h: Harness) -> None:
    monitor, reader = h.client(), h.client()
    monitor.run("MONITOR")
    reader.run("BLPOP l 0")
    h.run("RPUSH l a")
    assert shown(monitor) == ['"BLPOP" "l" "0"', '"RPUSH" "l" "a"']


def test_a_monitor_that_resets_or_goes_is_told_no_more(h: Harness) -> None:
    one, other = h.client(), h.client()
    one.run("MONITOR")
    other.run("MONITOR")
    one.run("RESET")
    h.engine.close_session(other.ctx)
    h.run("PING")
    assert not h.engine.shared.monitors
    assert shown(one) == []


def test_a_script_is_shown_ahead_of_what_it_calls(h: Harness) -> None:
    monitor = h.client()
    monitor.run("MONITOR")
    h.main.session.address = b"127.0.0.1:5"
    h.run("EVAL", "redis.call('set', 'k', 'v')", 0)
    lines = [line.partition(b" ")[2] for line in monitor.received().split(b"\r\n") if line]
    assert lines == [
        b"[0 127.0.0.1:5] \"EVAL\" \"redis.call('set', 'k', 'v')\" \"0\"",
        b'[0 lua] "set" "k" "v"',
    ]
