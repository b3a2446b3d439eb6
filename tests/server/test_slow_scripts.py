"""A script that does not end, in a real server: others are answered, new clients too, and may end it."""

import shlex
import time
from pathlib import Path

import pytest
from support.servers import Broker
from support.wire import Wire

ENDLESS = "while true do end"
BUSY = "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."


def ask_until_busy(client: Wire, script: str) -> None:
    """Returns when the script has run longer than the threshold."""
    deadline = time.monotonic() + 20
    while client("GET", "a") != BUSY:
        assert time.monotonic() < deadline, f"{script} was never busy"


def test_new_clients_are_answered_and_may_kill_the_script(tmp_path: Path) -> None:
    with (
        Broker(tmp_path, "--busy-reply-threshold", "10") as broker,
        Wire(broker.port) as caller,
        Wire(broker.port) as old,
    ):
        caller.send("EVAL", ENDLESS, 0)
        caller.send("PING")  # waits behind it
        ask_until_busy(old, ENDLESS)
        with Wire(broker.port) as new:
            assert new("MULTI") == "OK"
            assert new("DISCARD") == "OK"
            assert new("SET", "a", 1) == BUSY
            assert new("SCRIPT", "KILL") == "OK"
        assert caller.read().startswith("ERR Script killed by user with SCRIPT KILL... script: ")
        assert caller.read() == "PONG"
        assert old("GET", "a") is None


# What Redis answers meanwhile; whatever is not here is BUSY.
ANSWERED = [
    ("MULTI", "OK"),
    ("GET a", BUSY),
    ("EXEC", f"EXECABORT Transaction discarded because of: {BUSY}"),
    ("EXEC", f"EXECABORT Transaction discarded because of: {BUSY}"),
    ("WATCH a", "OK"),
    ("UNWATCH", "OK"),
    ("MULTI", "OK"),
    ("DISCARD", "OK"),
    ("AUTH default x", "OK"),
    ("SHUTDOWN", BUSY),
    ("SHUTDOWN NOW", BUSY),
    ("SHUTDOWN ABORT", "ERR No shutdown in progress."),
    ("SHUTDOWN NOSAVE SAVE", "ERR syntax error"),
    ("FUNCTION STATS", BUSY),
    ("FUNCTION KILL", BUSY),
    ("PING", BUSY),
    ("INFO", BUSY),
    ("CLIENT LIST", BUSY),
    ("CLIENT KILL ID 1", BUSY),
    ("CONFIG SET maxmemory 0", BUSY),
    ("SCRIPT FLUSH", BUSY),
    ("FUNCTION FLUSH", BUSY),
    ("PUBLISH c m", BUSY),
    ("EVAL 'return 1' 0", BUSY),
    ("GET", "ERR wrong number of arguments for 'get' command"),
    ("NOSUCH", "ERR unknown command 'NOSUCH', with args beginning with: "),
    ("SUBSCRIBE c", BUSY),
    ("UNSUBSCRIBE c", BUSY),
    ("RESET", "RESET"),
    ("QUIT", "OK"),
]  # fmt: skip


def test_what_is_answered_and_what_is_busy(tmp_path: Path) -> None:
    with Broker(tmp_path, "--busy-reply-threshold", "10") as broker, Wire(broker.port) as caller, \
            Wire(broker.port) as queued, Wire(broker.port) as other:  # fmt: skip
        assert [queued("MULTI"), queued("SET", "b", 1)] == ["OK", "QUEUED"]
        caller.send("EVAL", ENDLESS, 0)
        ask_until_busy(other, ENDLESS)
        assert queued("EXEC") == f"EXECABORT Transaction discarded because of: {BUSY}"
        assert [(request, other(*shlex.split(request))) for request, _ in ANSWERED] == ANSWERED
        assert queued("SCRIPT", "KILL") == "OK"
        assert caller.read().startswith("ERR Script killed by user")
        assert queued("EXISTS", "b") == 0


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_a_script_that_wrote_ends_only_with_the_server(tmp_path: Path, fsync: str) -> None:
    options = ["--busy-reply-threshold", "10", "--appendonly", "yes", "--appendfsync", fsync]
    with Broker(tmp_path, *options) as broker, Wire(broker.port) as caller, Wire(broker.port) as other:
        assert other("SET", "before", 1) == "OK"
        caller.send("EVAL", "redis.call('SET', 'during', 1) " + ENDLESS, 0)
        ask_until_busy(other, ENDLESS)
        assert other("SCRIPT", "KILL").startswith("UNKILLABLE Sorry the script already executed write commands")
        assert other("SHUTDOWN") == BUSY
        other.send("SHUTDOWN", "NOSAVE")
        assert broker.process.wait(20) == 0
    with Broker(tmp_path, *options) as broker, Wire(broker.port) as client:
        assert client("MGET", "before", "during") == [b"1", None]
