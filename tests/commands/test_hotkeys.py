"""HOTKEYS, as Redis 8.9 has it."""

from typing import Any

import pytest
from support.engine import Harness


@pytest.fixture
def h() -> Harness:
    return Harness()


def found(h: Harness) -> dict[bytes, Any]:
    (told,) = h.run("HOTKEYS GET")
    return dict(told) if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))


def pairs(flat: list[Any]) -> dict[bytes, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("", "METRICS parameter is required"),
        ("METRICS", "METRICS parameter is required"),
        ("COUNT 1 METRICS 1 CPU", "METRICS parameter is required"),
        ("METRICS x", "METRICS count must be > 0 and <= 2"),
        ("METRICS 0 CPU", "METRICS count must be > 0 and <= 2"),
        ("METRICS 3 CPU NET CPU", "METRICS count must be > 0 and <= 2"),
        ("METRICS 2 CPU", "METRICS count does not match number of metric types provided"),
        ("METRICS 2 CPU cpu", "METRICS CPU defined more than once!"),
        ("METRICS 2 NET NET", "METRICS NET defined more than once!"),
        ("METRICS 1 GPU", "METRICS no valid metrics passed. Supported: CPU|NET"),
        ("METRICS 1 CPU NET", "syntax error"),
        ("METRICS 1 CPU COUNT", "syntax error"),
        ("METRICS 1 CPU COUNT 65", "COUNT must be between 1 and 64"),
        ("METRICS 1 CPU DURATION 0", "DURATION must be between 1 and 1000000"),
        ("METRICS 1 CPU SAMPLE 0", "SAMPLE ratio must be positive"),
        ("METRICS 1 CPU SLOTS 1 0", "SLOTS parameter cannot be used in non-cluster mode"),
    ],
)
def test_what_start_refuses(h: Harness, request_: str, error: str) -> None:
    assert h.run(f"HOTKEYS START {request_}") == f"-ERR {error}"
    assert h.run("HOTKEYS GET") is None


def test_a_session_from_start_to_reset(h: Harness) -> None:
    assert h.run("HOTKEYS STOP") is None
    assert h.run("HOTKEYS START METRICS 2 GPU CPU SAMPLE 1 COUNT 3") == "OK"
    assert h.run("HOTKEYS START METRICS 1 NET") == "-ERR hotkey tracking session already in progress"
    assert h.run("HOTKEYS RESET") == "-ERR hotkey tracking session in progress, stop tracking first"
    h.time.advance(2)
    assert h.run("HOTKEYS STOP") == "OK"
    assert h.run("HOTKEYS STOP") is None
    h.time.advance(5)
    told = found(h)
    assert (told[b"tracking-active"], told[b"collection-duration-ms"]) == (0, 2000)
    assert told[b"selected-slots"] == [[0, 16383]]
    assert b"by-cpu-time-us" in told
    assert b"total-net-bytes" not in told
    assert b"by-net-bytes" not in told
    assert h.run("HOTKEYS RESET") == "OK"
    assert h.run("HOTKEYS GET") is None


def test_it_ends_when_its_duration_is_over(h: Harness) -> None:
    h.run("HOTKEYS START METRICS 1 NET DURATION 1")
    h.run("SET a 1")
    h.time.advance(1)
    h.run("SET b 1")
    told = found(h)
    assert (told[b"tracking-active"], told[b"collection-duration-ms"]) == (0, 1000)
    assert list(pairs(told[b"by-net-bytes"])) == [b"a"]


def test_bytes_are_those_of_requests_and_replies_shared_among_keys(h: Harness) -> None:
    h.run("SET elsewhere 1")
    h.run("HOTKEYS START METRICS 1 NET")
    h.run("PING")
    h.run("SET a b")  # 27 + 5
    h.run("MSET a 1 b 2")  # 42 + 5, for two
    h.run("GET a")  # 20 + 7
    told = found(h)
    assert told[b"by-net-bytes"] == [b"a", 82, b"b", 23]
    assert told[b"net-bytes-all-commands-all-slots"] == 106
    assert told[b"total-net-bytes"] == 105


def test_what_a_transaction_executes_counts_one_by_one_and_a_script_as_a_whole(h: Harness) -> None:
    h.run("HOTKEYS START METRICS 1 NET")
    for request in ("MULTI", "SET a 1", "SET a 22", "SET b 1", "EXEC"):
        h.run(request)
    h.run("EVAL", "redis.call('set', 'hidden', 1)", 1, "x")
    sizes = pairs(found(h)[b"by-net-bytes"])
    assert set(sizes) == {b"a", b"b", b"x"}
    assert sizes[b"a"] > sizes[b"b"]


def test_a_request_that_waited_counts_once_it_is_served(h: Harness) -> None:
    h.run("HOTKEYS START METRICS 1 NET")
    waiting = h.client()
    waiting.run("BLPOP queue 0")
    assert found(h)[b"by-net-bytes"] == []
    h.run("RPUSH queue job")
    assert list(pairs(found(h)[b"by-net-bytes"])) == [b"queue"]


def test_samples_are_some_of_the_requests(h: Harness) -> None:
    h.run("HOTKEYS START METRICS 1 NET SAMPLE 10")
    for _ in range(500):
        h.run("SET a b")
    told = found(h)
    assert told[b"net-bytes-all-commands-all-slots"] == 500 * 32
    assert 20 * 32 < told[b"total-net-bytes"] < 100 * 32
