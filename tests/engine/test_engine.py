"""One request in, one reply out: finding the command, the checks before it, and what follows it."""

import pytest
from support.engine import Harness

from broker.commands.context import Context
from broker.commands.registry import Command
from broker.engine.admission import IS_LOADING, POSTPONED, WRITES_REFUSED
from broker.errors import CommandError
from broker.protocol.replies import Reply


@pytest.fixture
def harness() -> Harness:
    return Harness()


# -- finding


def test_a_command_is_found_in_any_case(harness: Harness) -> None:
    for name in ("PING", "ping", "PiNg"):
        assert harness.run(name) == "PONG"
    assert harness.run("config", "get", "port") == harness.run("CONFIG", "GET", "port")
    assert harness.run("Config GeT port") == harness.run("CONFIG GET port")


def test_an_unknown_command_is_told_with_the_beginning_of_its_arguments(harness: Harness) -> None:
    assert harness.run("NOSUCH a b") == "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "
    assert harness.run("NOSUCH") == "-ERR unknown command 'NOSUCH', with args beginning with: "
    long = harness.run("x" * 300, "y" * 300, "z")
    assert long == f"-ERR unknown command '{'x' * 128}', with args beginning with: '{'y' * 128}' "
    assert harness.run(b"a\r\nb") == "-ERR unknown command 'a  b', with args beginning with: "


def test_an_unknown_subcommand_is_told(harness: Harness) -> None:
    assert harness.run("CONFIG NOSUCH") == "-ERR unknown subcommand 'NOSUCH'. Try CONFIG HELP."
    assert harness.run("client nosuch x") == "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP."
    assert harness.run("CONFIG") == "-ERR wrong number of arguments for 'config' command"


def test_spellings_that_clients_invent_do_not_fill_memory(harness: Harness) -> None:
    for i in range(1 << 5):
        harness.run("".join(c.lower() if i >> n & 1 else c for n, c in enumerate("GETEX")), "k")
    for i in range(100):
        harness.run(f"NOSUCH{i}")
    assert len(harness.engine._lookup.spellings) <= 32


@pytest.mark.parametrize("request_", ["GET", "GET a b", "SET a", "CONFIG GET", "CLIENT ID x", "PING a b"])
def test_a_wrong_number_of_arguments_is_refused(harness: Harness, request_: str) -> None:
    words = request_.lower().split()
    name = "|".join(words[:2]) if words[0] in ("config", "client") else words[0]
    assert harness.run(request_) == f"-ERR wrong number of arguments for '{name}' command"


# -- the checks before


def test_without_a_password_given_little_is_allowed() -> None:
    harness = Harness("--requirepass", "secret")
    assert harness.run("GET a") == "-NOAUTH Authentication required."
    assert harness.run("NOSUCH").startswith("-ERR unknown command"), "as Redis: looked up first"
    assert harness.run("GET").startswith("-ERR wrong number"), "and counted"
    assert harness.run("AUTH wrong").startswith("-WRONGPASS")
    assert harness.run("AUTH secret") == "OK"
    assert harness.run("GET a") is None


def test_a_queued_error_aborts_the_transaction(harness: Harness) -> None:
    for bad in ("NOSUCH", "GET", "CONFIG NOSUCH", "WATCH a"):
        assert harness.run("MULTI") == "OK"
        assert harness.run("SET a 1") == "QUEUED"
        harness.run(bad)
        expected = "-EXECABORT Transaction discarded because of previous errors." if bad != "WATCH a" else ["OK"]
        assert harness.run("EXEC") == expected


def test_while_loading_only_what_needs_no_data_is_answered(harness: Harness) -> None:
    harness.engine.gate |= IS_LOADING
    assert harness.run("GET a") == "-LOADING Redis is loading the dataset in memory"
    assert harness.run("INFO") and not str(harness.run("CONFIG GET port")).startswith("-")
    harness.engine.gate &= ~IS_LOADING
    assert harness.run("GET a") is None


def test_when_the_log_can_not_be_written_writes_are_refused_and_reads_go_on(harness: Harness) -> None:
    harness.run("SET a 1")
    harness.engine.gate |= WRITES_REFUSED
    assert harness.run("SET a 2").startswith("-MISCONF ")
    assert harness.run("PING").startswith("-MISCONF ")
    assert harness.run("GET a") == b"1"
    harness.engine.gate &= ~WRITES_REFUSED
    assert harness.run("SET a 2") == "OK"


def test_a_paused_request_is_offered_again_and_the_pause_ends_by_itself(harness: Harness) -> None:
    engine = harness.engine
    engine.pause(harness.engine.clock.now_ms() + 1000, writes_only=True)
    assert harness.main.raw("SET a 1") is POSTPONED
    assert harness.main.raw("PUBLISH a 1") is POSTPONED
    assert harness.run("GET a") is None
    assert engine.next_deadline_ms() == 1000
    engine.pause(harness.engine.clock.now_ms() + 500, writes_only=False)
    assert harness.main.raw("GET a") is POSTPONED
    assert engine.paused_action() == ("all", 1000), "the longer end and the stronger kind are kept"
    harness.advance(1)
    assert harness.run("SET a 1") == "OK"
    assert engine.paused_action() == ("none", 0)


# -- the call


def register(harness: Harness, error: Exception) -> None:
    def fail(ctx: Context, argv: list[bytes]) -> Reply:
        raise error

    harness.engine.commands[b"FAIL"] = Command(b"FAIL", fail, -1, 0, "test", [], (), "1", "", "", "", False)


def test_a_bug_becomes_an_internal_error_and_is_reported(harness: Harness) -> None:
    error = ZeroDivisionError("a bug")
    register(harness, error)
    engine = harness.engine
    engine.begin_turn()
    reply = engine.execute(harness.main.ctx, [b"FAIL"])
    assert reply.wire == b"-ERR internal error\r\n"  # type: ignore[attr-defined]
    assert harness.bugs == [("FAIL", error)]
    harness.bugs.clear()
    assert engine.commands[b"FAIL"].failed == 1
    assert harness.run("PING") == "PONG"


def test_a_bug_inside_a_transaction_does_not_stop_it(harness: Harness) -> None:
    register(harness, KeyError("a bug"))
    for request in ("MULTI", "SET a 1", "FAIL", "SET b 2"):
        harness.run(request)
    engine = harness.engine
    engine.begin_turn()
    replies = engine.execute(harness.main.ctx, [b"EXEC"])
    assert isinstance(replies, list) and len(replies) == 3
    assert len(harness.bugs) == 1
    harness.bugs.clear()
    assert harness.run("MGET a b") == [b"1", b"2"]


def test_an_error_of_a_request_is_answered_byte_for_byte(harness: Harness) -> None:
    register(harness, CommandError("SOMECODE", "what was \udcff wrong"))
    engine = harness.engine
    assert engine.execute(harness.main.ctx, [b"FAIL"]).wire == b"-SOMECODE what was \xff wrong\r\n"  # type: ignore[attr-defined]
    assert engine.shared.errors == {b"SOMECODE": 1}
    assert harness.bugs == []


def test_calls_failures_and_rejections_are_counted(harness: Harness) -> None:
    for request in ("SET a x", "GET a", "GET a", "GET", "INCR a"):
        harness.run(request)
    commands = harness.engine.commands
    assert (commands[b"GET"].calls, commands[b"GET"].rejected) == (2, 1)
    assert (commands[b"INCR"].calls, commands[b"INCR"].failed) == (1, 1)
    assert harness.engine.error_replies == 2
    assert harness.engine.shared.errors == {b"ERR": 2}


def test_codes_that_clients_invent_do_not_fill_memory(harness: Harness) -> None:
    for i in range(1200):
        register(harness, CommandError(f"CODE{i}", "x"))
        harness.run("FAIL")
    errors = harness.engine.shared.errors
    assert len(errors) == 1025
    assert errors[b"ERRORSTATS_OVERFLOW"] == 1200 - 1024  # the rest, together


def test_codes_that_scripts_invent_leave_room_for_those_of_the_server(harness: Harness) -> None:
    for i in range(300):
        assert harness.run("EVAL", "return redis.error_reply(ARGV[1] .. ' x')", 0, f"CODE{i}") == f"-CODE{i} x"
    harness.run("SET a b c d")
    errors = harness.engine.shared.errors
    assert (errors[b"ERRORSTATS_OVERFLOW"], errors[b"CODE0"], errors[b"ERR"]) == (300 - 128, 1, 1)
    assert len(errors) == 130


def test_a_session_that_ends_leaves_nothing_behind(harness: Harness) -> None:
    client = harness.client()
    for request in ("WATCH a", "MULTI", "RESET", "SUBSCRIBE c d", "PSUBSCRIBE p*"):
        client.run(request)
    waiting = harness.client()
    waiting.run("WATCH a b")
    waiting.run("BLPOP l 100")
    harness.engine.close_session(client.ctx)
    harness.engine.close_session(waiting.ctx)
    assert harness.run("PUBSUB CHANNELS") == []
    assert harness.run("PUBSUB NUMPAT") == 0
    assert harness.engine.keyspace.watches.count() == 0
    assert len(harness.engine.blocking) == 0
    assert list(harness.engine.shared.sessions) == [harness.main.session.id]
    assert harness.run("PUBLISH c x") == 0


def test_what_expires_during_a_pause_is_not_shown_and_not_removed() -> None:
    harness = Harness()
    harness.run("SET k v PX 10")
    harness.journal()
    harness.engine.pause(harness.engine.clock.now_ms() + 1000, writes_only=True)
    harness.advance(0.1)
    assert harness.run("GET k") is None
    assert harness.run("DBSIZE") == 1
    assert harness.journal() == []
    harness.engine.unpause()
    harness.advance(0.1)
    assert harness.run("DBSIZE") == 0
    assert harness.journal() == [[b"DEL", b"k"]]
