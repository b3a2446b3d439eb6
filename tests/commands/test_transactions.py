"""MULTI, EXEC, DISCARD, WATCH."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays

from broker.engine.admission import WRITES_REFUSED

ABORTED = "-EXECABORT Transaction discarded because of previous errors."


@pytest.fixture
def h() -> Harness:
    return Harness()


def test_what_is_queued_is_executed_by_exec_in_its_order(h: Harness) -> None:
    assert h.run("MULTI") == "OK"
    assert h.run("SET a 1") == "QUEUED"
    assert h.run("INCR a") == "QUEUED"
    assert h.run("GET a") == "QUEUED"
    assert h.client().run("GET a") is None
    assert h.run("EXEC") == ["OK", 2, b"2"]
    assert h.run("GET a") == b"2"
    assert h.run("EXEC") == "-ERR EXEC without MULTI"


def test_a_transaction_is_one_unit_of_the_journal(h: Harness) -> None:
    for request in ("MULTI", "SET a 1", "GET a", "SELECT 1", "SET b 2", "EXEC"):
        h.run(request)
    assert h.journal() == [[b"MULTI"], [b"SET", b"a", b"1"], [b"SET", b"b", b"2"], [b"EXEC"]]
    h.run("MULTI")
    h.run("SET c 3")
    h.run("EXEC")
    assert h.journal() == [[b"SET", b"c", b"3"]]
    h.run("MULTI")
    h.run("GET c")
    h.run("EXEC")
    assert h.journal() == []


def test_the_journal_of_transactions_gives_the_same_data(h: Harness) -> None:
    h.run("RPUSH list x")
    for request in ("MULTI", "SET a 1 EX 100", "LPUSH a x", "SELECT 3", "RPUSH l a b", "LPOP l", "SPOP s", "EXEC"):
        h.run(request)
    assert_replays(h)


def test_an_error_at_execution_stops_nothing(h: Harness) -> None:
    h.run("MULTI")
    h.run("SET a x")
    h.run("INCR a")
    h.run("LPUSH a y")
    h.run("SET b 1")
    replies = h.run("EXEC")
    assert replies == [
        "OK",
        "-ERR value is not an integer or out of range",
        "-WRONGTYPE Operation against a key holding the wrong kind of value",
        "OK",
    ]


@pytest.mark.parametrize("bad", ["nosuch a", "GET", "CONFIG nosuch", "CONFIG"])
def test_an_error_while_queueing_fails_the_transaction(h: Harness, bad: str) -> None:
    h.run("MULTI")
    h.run("SET a 1")
    assert h.run(bad).startswith("-ERR")
    assert h.run("SET b 1") == "QUEUED"
    assert h.run("EXEC") == ABORTED
    assert h.run("GET a") is None
    h.run("MULTI")
    assert h.run("EXEC") == []


def test_multi_can_not_be_nested_and_goes_on(h: Harness) -> None:
    h.run("MULTI")
    assert h.run("MULTI") == "-ERR MULTI calls can not be nested"
    h.run("SET a 1")
    assert h.run("EXEC") == ["OK"]


def test_watch_inside_multi_is_an_error_that_fails_nothing(h: Harness) -> None:
    h.run("MULTI")
    assert h.run("WATCH a") == "-ERR WATCH inside MULTI is not allowed"
    h.run("SET a 1")
    assert h.run("EXEC") == ["OK"]


def test_discard_forgets_queue_and_watch(h: Harness) -> None:
    assert h.run("DISCARD") == "-ERR DISCARD without MULTI"
    h.run("WATCH a")
    h.run("MULTI")
    h.run("SET a 1")
    h.client().run("SET a 2")
    assert h.run("DISCARD") == "OK"
    h.run("MULTI")
    assert h.run("EXEC") == []
    assert h.run("GET a") == b"2"


@pytest.mark.parametrize(
    "change",
    ["SET k 2", "DEL k", "EXPIRE k 100", "APPEND k x", "RENAME k other", "RENAME other k", "FLUSHALL", "FLUSHDB"]
    + ["SWAPDB 0 1", "COPY other k REPLACE", "PEXPIRE k -1", "MOVE k 1"],
)
def test_a_change_of_a_watched_key_fails_exec(h: Harness, change: str) -> None:
    h.run("SET k 1")
    h.run("SET other 1")
    h.run("WATCH nothing k")
    assert not str(h.client().run(change)).startswith("-")
    h.run("MULTI")
    h.run("SET done 1")
    assert h.run("EXEC") is None
    assert h.run("GET done") is None
    h.run("MULTI")
    assert h.run("EXEC") == []


@pytest.mark.parametrize("request_line", ["GET k", "TTL k", "SET other 1", "DEL nothing", "PERSIST k", "SETNX k 5"])
def test_what_changes_nothing_of_it_does_not_fail_exec(h: Harness, request_line: str) -> None:
    h.run("SET k 1")
    h.run("WATCH k")
    h.client().run(request_line)
    h.run("MULTI")
    h.run("SET done 1")
    assert h.run("EXEC") == ["OK"]


def test_ones_own_change_counts_too(h: Harness) -> None:
    h.run("WATCH k")
    h.run("SET k 1")
    h.run("MULTI")
    assert h.run("EXEC") is None


def test_a_watched_key_of_another_database_is_another_key(h: Harness) -> None:
    h.run("SELECT 1")
    h.run("WATCH k")
    h.client().run("SET k 1")
    h.run("SELECT 0")
    h.run("MULTI")
    assert h.run("EXEC") == []


def test_a_watched_key_whose_time_comes_fails_exec(h: Harness) -> None:
    h.run("SET k 1 PX 100")
    h.run("WATCH k")
    h.time.advance(1)
    h.run("MULTI")
    h.run("SET done 1")
    assert h.run("EXEC") is None


def test_a_key_that_has_expired_already_is_watched_as_missing(h: Harness) -> None:
    h.run("DEBUG SET-ACTIVE-EXPIRE 0")
    h.run("SET k 1 PX 100")
    h.advance(1)
    h.run("WATCH k")
    h.run("MULTI")
    h.run("SET done 1")
    assert h.run("EXEC") == ["OK"]


def test_unwatch_forgets(h: Harness) -> None:
    h.run("WATCH k")
    h.client().run("SET k 1")
    assert h.run("UNWATCH") == "OK"
    h.run("MULTI")
    assert h.run("EXEC") == []


def test_a_failed_transaction_says_so_even_if_a_watched_key_changed(h: Harness) -> None:
    h.run("WATCH k")
    h.client().run("SET k 1")
    h.run("MULTI")
    h.run("nosuch")
    assert h.run("EXEC") == ABORTED


def test_nothing_blocks_in_a_transaction(h: Harness) -> None:
    h.run("MULTI")
    h.run("BLPOP a 0")
    h.run("BRPOPLPUSH a b 0")
    assert h.run("EXEC") == [None, None]
    assert not h.main.session.is_blocked


def test_waiters_are_served_after_the_whole_transaction(h: Harness) -> None:
    waiter = h.client()
    waiter.run("BLPOP l 0")
    h.run("MULTI")
    h.run("RPUSH l a b")
    h.run("LPOP l")
    assert h.run("EXEC") == [2, b"a"]
    assert waiter.received() == b"*2\r\n$1\r\nl\r\n$1\r\nb\r\n"
    assert h.journal() == [[b"MULTI"], [b"RPUSH", b"l", b"a", b"b"], [b"LPOP", b"l"], [b"EXEC"], [b"LPOP", b"l"]]


def test_a_client_that_went_away_watches_nothing(h: Harness) -> None:
    client = h.client()
    client.run("WATCH a b")
    h.engine.close_session(client.ctx)
    assert h.engine.keyspace.watches.count() == 0


def test_select_in_a_transaction_lasts(h: Harness) -> None:
    for request in ("MULTI", "SELECT 2", "SET a 1"):
        h.run(request)
    assert h.run("EXEC") == ["OK", "OK"]
    assert h.run("GET a") == b"1"
    assert h.client().run("GET a") is None


def test_a_refused_exec_ends_the_transaction() -> None:
    harness = Harness()
    harness.run("MULTI")
    harness.run("SET k v")
    harness.engine.gate |= WRITES_REFUSED
    assert harness.run("EXEC").startswith("-EXECABORT Transaction discarded because of: MISCONF ")
    harness.engine.gate &= ~WRITES_REFUSED
    assert harness.run("EXEC") == "-ERR EXEC without MULTI"
    assert harness.run("GET k") is None


def test_an_exec_that_is_no_exec_ends_the_transaction() -> None:
    harness = Harness()
    harness.run("MULTI")
    expected = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    assert harness.run("EXEC now") == expected
    assert harness.run("EXEC") == "-ERR EXEC without MULTI"
    assert harness.run("EXEC now") == expected


def test_an_unknown_subcommand_of_command_fails_the_transaction_when_it_is_queued() -> None:
    harness = Harness()
    harness.run("MULTI")
    assert harness.run("COMMAND bogus") == "-ERR unknown subcommand 'bogus'. Try COMMAND HELP."
    assert harness.run("EXEC") == "-EXECABORT Transaction discarded because of previous errors."
