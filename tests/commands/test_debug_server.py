"""DEBUG's switches, and what it tells of tables."""

from pathlib import Path

import pytest
from support.engine import Harness


@pytest.fixture
def h() -> Harness:
    return Harness()


def test_what_concerns_the_server_is_asked_of_it(h: Harness) -> None:
    for request in ("DEBUG PAUSE-CRON 1", "DEBUG CHANGE-REPL-ID", "DEBUG LOG hello"):
        assert h.run(request) == "OK"
    assert h.control.asked == [("pause_housekeeping", True), ("change_replication_id",), ("log", "hello")]


@pytest.mark.parametrize(
    "request_",
    ["REPLYBUFFER PEAK-RESET-TIME NEVER", "REPLYBUFFER peak-reset-time 100", "REPLYBUFFER RESIZING 0"]
    + ["DICT-RESIZING 0", "SET-DISABLE-DENY-SCRIPTS 1"],
)
def test_what_has_no_equal_here_is_taken(h: Harness, request_: str) -> None:
    assert h.run(f"DEBUG {request_}") == "OK"


def test_a_wrong_option_is_refused(h: Harness) -> None:
    assert h.run("DEBUG REPLYBUFFER x y").startswith("-ERR unknown subcommand or wrong number of arguments for")
    assert h.run("DEBUG REPLYBUFFER PEAK-RESET-TIME x") == "-ERR value is not an integer or out of range"


def test_tables_are_described(h: Harness) -> None:
    h.run("DEBUG POPULATE 100 key")
    h.run("EXPIRE key:1 1000")
    text = h.run("DEBUG HTSTATS 0")
    assert b"number of elements: 100" in text and b"number of elements: 1\n" in text
    assert b"No stats available" in h.run("DEBUG HTSTATS 1")
    assert h.run("DEBUG HTSTATS 16") == "-ERR Out of range database"
    h.run("SADD s a b c")
    assert b"number of elements: 3" in h.run("DEBUG HTSTATS-KEY s")
    assert h.run("DEBUG HTSTATS-KEY no") == "-ERR no such key"
    assert h.run("DEBUG HTSTATS-KEY key:1").endswith("is not represented using an hash table")


def test_lengths_of_a_string(h: Harness) -> None:
    h.run("SET key value")
    assert h.run("DEBUG SDSLEN key").startswith("key_sds_len:3, key_sds_avail:0,")
    h.run("RPUSH l a")
    assert h.run("DEBUG SDSLEN l") == "-ERR Not an sds encoded string."


def test_a_rewrite_can_be_made_to_write_everything(tmp_path: Path) -> None:
    from broker.config import load

    file = tmp_path / "m.conf"
    file.write_text("port 7777\n")
    config = load(file, [])
    config.rewrite(everything=True)
    lines = file.read_text().splitlines()
    assert "port 7777" in lines and "maxmemory-policy noeviction" in lines and len(lines) > 100
    assert load(file, []).get("port") == "7777"
