"""MULTI, EXEC and WATCH at their edges: what is refused when, what time does to watched keys, what others see of it."""

import pytest
from support.engine import Harness

from broker.engine.admission import WRITES_REFUSED

MEMORY = "CONFIG SET maxmemory "


@pytest.fixture
def h() -> Harness:
    return Harness()


def fields(h: Harness) -> dict[str, str]:
    """CLIENT LIST's line of the main client, as another one sees it."""
    line: str = h.client().run("CLIENT LIST").splitlines()[0].decode()
    return dict(pair.split("=", 1) for pair in line.split())


# -- EXEC itself is refused


@pytest.mark.parametrize("in_multi", [True, False])
def test_exec_with_arguments_aborts_and_forgets(h: Harness, in_multi: bool) -> None:
    h.run("WATCH k")
    if in_multi:
        h.run("MULTI")
        h.run("SET k 1")
    reason = "wrong number of arguments for 'exec' command"
    assert h.run("EXEC x") == f"-EXECABORT Transaction discarded because of: {reason}"
    assert h.run("EXEC") == "-ERR EXEC without MULTI"
    assert h.engine.keyspace.watches.count() == 0
    assert h.engine.shared.errors == {b"EXECABORT": 1, b"ERR": 1}
    assert h.engine.commands[b"EXEC"].rejected == 1


def test_exec_is_refused_by_its_own_code_outside_of_multi_too(h: Harness) -> None:
    h.run("SUBSCRIBE c")
    assert h.run("EXEC").startswith("-EXECABORT Transaction discarded because of: Can't execute 'exec': only (P|S)SUB")
    h.client().run("CONFIG SET requirepass secret")
    stranger = h.client()
    assert stranger.run("EXEC") == "-EXECABORT Transaction discarded because of: NOAUTH Authentication required."


def test_monitors_see_that_a_refused_transaction_is_over(h: Harness) -> None:
    watching = h.client()
    watching.run("MONITOR")
    h.run("MULTI")
    h.run("SET k v")
    h.engine.gate |= WRITES_REFUSED
    h.run("EXEC")
    seen = [line.rpartition(b"] ")[2] for line in watching.received().split(b"\r\n") if line]
    assert seen == [b'"MULTI"', b'"EXEC"']


def test_a_container_without_a_subcommand_counts_as_refused(h: Harness) -> None:
    h.run("MULTI")
    assert h.run("CONFIG") == "-ERR wrong number of arguments for 'config' command"
    assert h.engine.commands[b"CONFIG"].rejected == 1


# -- memory


def test_reads_are_executed_though_memory_ran_out_meanwhile(h: Harness) -> None:
    h.run("SET k v")
    h.run("MULTI")
    h.run("GET k")
    h.client().run(MEMORY + "1")
    assert h.run("EXEC") == [b"v"]
    h.run("MULTI")
    assert h.run("GET k") == "-OOM command not allowed when used memory > 'maxmemory'."
    h.client().run(MEMORY + "0")
    assert h.run("EXEC") == "-EXECABORT Transaction discarded because of previous errors."


def test_what_takes_memory_fails_exec_when_there_is_none(h: Harness) -> None:
    h.run("MULTI")
    h.run("SET k v")
    h.run("GET k")
    h.client().run(MEMORY + "1")
    oom = "OOM command not allowed when used memory > 'maxmemory'."
    assert h.run("EXEC") == f"-EXECABORT Transaction discarded because of: {oom}"
    h.run("MULTI")
    assert h.run("DISCARD") == "OK"


def test_what_will_fail_is_not_queued(h: Harness) -> None:
    h.run("MULTI")
    h.run("SET k 1")
    h.run("nosuch")
    for _ in range(3):
        assert h.run("SET k 2") == "QUEUED"
    assert fields(h)["multi"] == "1"
    h.run("DISCARD")
    h.run("WATCH k")
    h.run("SET k 3")
    h.run("MULTI")
    assert h.run("SET k 4") == "QUEUED"
    assert (fields(h)["multi"], fields(h)["multi-mem"]) == ("0", "0")
    assert h.run("EXEC") is None


def test_ten_thousand_requests_take_room_until_they_are_executed(h: Harness) -> None:
    h.run("MULTI")
    for n in range(10_000):
        h.run("RPUSH", "list", n)
    assert int(fields(h)["multi-mem"]) > 10_000 * 14
    assert h.run("EXEC") == list(range(1, 10_001))
    assert fields(h)["multi-mem"] == "0"
    entries = h.journal()
    assert (len(entries), entries[0], entries[-1]) == (10_002, [b"MULTI"], [b"EXEC"])


# -- what CLIENT LIST tells


def test_a_client_that_failed_watches_nothing_any_more(h: Harness) -> None:
    h.run("WATCH a b c")
    h.run("SELECT 1")
    h.run("WATCH a a")
    assert (fields(h)["watch"], fields(h)["flags"]) == ("4", "N")
    h.client().run("SET b 1")
    assert (fields(h)["watch"], fields(h)["flags"]) == ("0", "d")
    assert h.run("WATCH d") == "OK"
    assert fields(h)["watch"] == "0"
    h.run("MULTI")
    assert h.run("EXEC") is None
    assert fields(h)["flags"] == "N"


@pytest.mark.parametrize("change", ["FLUSHALL", "FLUSHDB", "SWAPDB 0 1"])
def test_after_a_flush_it_is_shown_as_watching(h: Harness, change: str) -> None:
    h.run("SET a 1")
    h.run("WATCH a b")
    h.client().run(change)
    assert (fields(h)["watch"], fields(h)["flags"]) == ("2", "d")
    h.run("MULTI")
    assert h.run("EXEC") is None
    assert h.engine.keyspace.watches.count() == 0


def test_a_transaction_sees_itself(h: Harness) -> None:
    h.run("MULTI")
    h.run("PING")
    h.run("CLIENT INFO")
    seen = dict(pair.split(b"=", 1) for pair in h.run("EXEC")[1].split())
    assert (seen[b"flags"], seen[b"multi"], seen[b"cmd"]) == (b"x", b"2", b"exec")
    assert fields(h)["multi"] == "-1"


# -- time


def a_stale_key(h: Harness) -> None:
    """`k`, whose time has come, and nobody removed it: writes are paused."""
    h.run("SET k v PX 100")
    h.client().run("CLIENT PAUSE 100000 WRITE")
    h.time.advance(1)


def succeeds(h: Harness) -> bool:
    h.run("MULTI")
    return h.run("EXEC") == []


def test_a_key_whose_time_came_counts_though_it_can_not_be_removed(h: Harness) -> None:
    h.run("SET k v PX 100")
    h.run("WATCH k")
    h.client().run("CLIENT PAUSE 100000 WRITE")
    h.time.advance(1)
    assert not succeeds(h)


@pytest.mark.parametrize("after", ["GET k", "DEL k", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "TOUCH k", "PING"])
def test_a_key_that_was_stale_already_may_go(h: Harness, after: str) -> None:
    a_stale_key(h)
    h.run("WATCH k")
    assert h.run("GET k") is None
    h.client().run("CLIENT UNPAUSE")
    h.client().run(after)
    assert succeeds(h)


@pytest.mark.parametrize(
    "after", ["SET k 1", "MSET k 1", "SETEX k 10 v", "LPUSH k v", "COPY other k", "RENAME other k"]
)
def test_a_key_that_was_stale_already_may_not_come_back(h: Harness, after: str) -> None:
    h.run("SET other v")
    a_stale_key(h)
    h.run("WATCH k")
    h.client().run("CLIENT UNPAUSE")
    h.client().run(after)
    assert not succeeds(h)


# -- the order in which others are told


def messages(h: Harness, *requests: str) -> list[str]:
    listener = h.client()
    h.run("CONFIG SET notify-keyspace-events EA")
    listener.run("PSUBSCRIBE *")
    listener.received()
    for request in requests:
        h.run(request)
    lines = listener.received().split(b"\r\n")
    return [lines[i + 4].decode().partition("__:")[2] or lines[i + 6].decode() for i in range(2, len(lines) - 1, 9)]


def test_messages_and_events_of_a_transaction_keep_their_order(h: Harness) -> None:
    told = messages(h, "MULTI", "PUBLISH c 1", "SET a 1", "PUBLISH c 2", "DEL a", "PUBLISH c 3", "EXEC")
    assert told == ["1", "set", "2", "del", "3"]


def test_so_do_those_of_a_script(h: Harness) -> None:
    script = (
        "redis.call('SET', 'a', 1) redis.call('PUBLISH', 'c', 1) redis.call('SPUBLISH', 'c', 1) redis.call('DEL', 'a')"
    )
    assert messages(h, f'EVAL "{script}" 0') == ["set", "1", "del"]


def test_an_expiry_that_a_transaction_met_is_told_where_it_met_it(h: Harness) -> None:
    h.run("DEBUG SET-ACTIVE-EXPIRE 0")
    h.run("SET k v PX 100")
    h.time.advance(1)
    assert messages(h, "MULTI", "PUBLISH c 1", "SET k 1", "PUBLISH c 2", "EXEC") == ["1", "expired", "set", "2"]
    assert h.engine.keyspace.expired_keys == 1


@pytest.mark.parametrize("write", ["SET k 1", "MSET k 1", "SETEX k 10 1", "GETSET k 1", "SUNIONSTORE k s", "COPY o k"])
def test_what_is_written_over_had_expired_first(h: Harness, write: str) -> None:
    h.run("DEBUG SET-ACTIVE-EXPIRE 0")
    h.run("SADD s x")
    h.run("SET o x")
    h.run("SET k v PX 100")
    h.time.advance(1)
    h.journal()
    assert messages(h, write)[0] == "expired"
    assert h.engine.keyspace.expired_keys == 1
    assert h.journal()[0] == [b"DEL", b"k"]
