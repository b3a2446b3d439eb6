"""Commands of a log: executed in order, up to the first that fails, and counted nowhere."""

import pytest
from support.engine import Harness

from broker.engine.replay import Replay


def requests(*lines: str) -> list[list[bytes]]:
    return [line.encode().split() for line in lines]


def test_commands_are_executed_in_order_and_the_selection_lasts() -> None:
    h = Harness()
    replay = Replay(h.engine)
    assert replay.apply(requests("SET a 1", "select 1", "INCR a", "config resetstat")) is None
    assert replay.apply(requests("INCR a")) is None
    assert [h.run("GET a"), h.run("SELECT 1"), h.run("GET a")] == [b"1", "OK", b"2"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("INCR text", "ERR value is not an integer or out of range"),
        ("LPUSH text x", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("NOSUCH x", "ERR unknown command 'NOSUCH', with args beginning with: 'x' "),
        ("CONFIG NOSUCH", "ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP."),
        ("GET", "ERR wrong number of arguments for 'get' command"),
    ],
)
def test_the_first_that_fails_is_named_and_those_after_it_are_not_executed(bad: str, why: str) -> None:
    h = Harness()
    assert Replay(h.engine).apply(requests("SET text x", bad, "SET after 1")) == (1, why)
    assert [h.run("EXISTS text"), h.run("EXISTS after")] == [1, 0]


def test_nothing_of_it_is_counted_or_noted() -> None:
    h = Harness("--slowlog-log-slower-than", "0")
    before = int(h.engine.executed)
    assert Replay(h.engine).apply(requests("SET a x", "HSET h f v", "INCR b")) is None
    assert h.engine.executed == before and h.engine.commands[b"SET"].calls == 0
    assert h.run("SLOWLOG LEN") == 0
    h.advance(100)
    assert Replay(h.engine).apply(requests("SETRANGE a 0 y")) is None
    assert h.run("OBJECT IDLETIME a") >= 99
    h.run("GET a")
    assert h.run("OBJECT IDLETIME a") == 0


def test_what_waits_for_a_key_is_served_by_a_log_that_is_loaded_beside_it() -> None:
    h = Harness()
    waiting = h.client()
    waiting.run("BLPOP l 0")
    assert Replay(h.engine).apply(requests("RPUSH l x")) is None
    assert h.run("LLEN l") == 0
