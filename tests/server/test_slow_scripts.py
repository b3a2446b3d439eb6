"""A script that does not end, in a real server: others are answered, new clients too, and may end it."""

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
