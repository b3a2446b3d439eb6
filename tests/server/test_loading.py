"""While a server loads what it had, clients are answered, and it can be ended."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.engine import Harness
from support.rdb_files import file_of
from support.servers import ENVIRONMENT, Broker, eventually, free_port
from support.wire import Wire


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A server that takes seconds to load, and its port."""
    harness = Harness()
    for number in range(8000):
        harness.run("SET", f"k{number}", number)
    (tmp_path / "dump.rdb").write_bytes(file_of(harness))
    port = free_port()
    options = ["--port", str(port), "--dir", str(tmp_path), "--appendonly", "no", "--key-load-delay", "150000"]
    process = subprocess.Popen([sys.executable, "-m", "broker", "serve", *options], env=ENVIRONMENT)
    yield process, port
    process.kill()
    process.wait()


def fields(wire: Wire) -> dict[str, str]:
    lines = wire("INFO", "persistence").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def connected(port: int) -> Wire:
    def attempt() -> Wire | None:
        try:
            return Wire(port)
        except OSError:
            return None

    wire = eventually(attempt, what="a connection")
    assert isinstance(wire, Wire)
    return wire


def test_clients_are_answered_while_a_server_loads(slow: tuple[subprocess.Popen[bytes], int]) -> None:
    with connected(slow[1]) as wire:
        loading = "LOADING Redis is loading the dataset in memory"
        assert str(wire("GET", "k1")).endswith(loading)
        assert str(wire("SET", "k1", "x")).endswith(loading)
        told = fields(wire)
        assert told["loading"] == "1"
        assert 0 <= int(told["loading_loaded_bytes"]) <= int(told["loading_total_bytes"])
        assert 0 <= float(told["loading_loaded_perc"]) <= 100 and int(told["loading_start_time"]) > 0
        eventually(lambda: fields(wire)["loading"] == "0", what="the end of loading")
        assert fields(wire)["rdb_last_load_keys_loaded"] == "8000"
        assert "loading_total_bytes" not in fields(wire)
        assert wire("GET", "k7999") == b"7999"


def test_a_server_that_is_ended_while_it_loads_leaves_the_file_alone(
    slow: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    before = (tmp_path / "dump.rdb").read_bytes()
    with connected(slow[1]) as wire:
        assert fields(wire)["loading"] == "1"
        slow[0].send_signal(signal.SIGTERM)
        assert slow[0].wait(10) == 0
    assert (tmp_path / "dump.rdb").read_bytes() == before


def test_a_damaged_file_keeps_the_server_from_starting_and_stays(tmp_path: Path) -> None:
    harness = Harness()
    harness.run("SET", "key", "value")
    data = bytearray(file_of(harness))
    data[-10] ^= 1  # in the value
    (tmp_path / "dump.rdb").write_bytes(data)
    with pytest.raises(AssertionError, match=r"dump\.rdb: at byte \d+: .*checksum"):
        Broker(tmp_path, "--appendonly", "no")
    assert (tmp_path / "dump.rdb").read_bytes() == data


def test_two_servers_do_not_save_to_one_file(tmp_path: Path) -> None:
    options = ["--appendonly", "no"]
    with Broker(tmp_path, *options):
        with pytest.raises(AssertionError, match="another server saves to this file"):
            Broker(tmp_path, *options)
        with Broker(tmp_path, *options, "--dbfilename", "other.rdb"), Broker(tmp_path, *options, "--save", ""):
            pass
    with Broker(tmp_path, *options):
        pass


def test_a_log_that_is_not_there_yet_begins_with_the_rdb_file(tmp_path: Path) -> None:
    """Whoever moves in with a copy of an RDB file need not know of `appendonly`, which is on."""
    harness = Harness()
    harness.run("SET", "moved", "in")
    (tmp_path / "dump.rdb").write_bytes(file_of(harness))
    with Broker(tmp_path, "--save", "") as broker, Wire(broker.port) as wire:
        assert wire("GET", "moved") == b"in"
        wire("SET", "new", 1)
        eventually(lambda: fields(wire)["aof_rewrite_in_progress"] == "0", what="the base of the log")
        assert fields(wire)["aof_last_bgrewrite_status"] == "ok"
        wire("SET", "newer", 2)
        broker.kill()
    (tmp_path / "dump.rdb").unlink()
    with Broker(tmp_path, "--save", "") as broker, Wire(broker.port) as wire:
        assert wire("MGET", "moved", "new", "newer") == [b"in", b"1", b"2"]
        wire("SET", "moved", "on")
        broker.kill()
    (tmp_path / "dump.rdb").write_bytes(file_of(harness))
    with Broker(tmp_path, "--save", "") as broker, Wire(broker.port) as wire:
        assert wire("GET", "moved") == b"on", "where there is a log, it decides"


EVERYTHING = [
    ("SET", "k", "v", "PX", 10**9),
    ("HSET", "h", "a", 1, "b", 2),
    ("HPEXPIRE", "h", 10**9, "FIELDS", 1, "a"),
    ("XADD", "x", "1-1", "f", "v"),
    ("XGROUP", "CREATE", "x", "g", "0"),
    ("XGROUP", "POLICY", "x", "g", "MAXDELIVER", 3),
    ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "x", ">"),
    ("XCFGSET", "x", "MAXLEN", 100),
    ("XSCHEDULE", "x", "DELAY", 10**8, "f", "later"),
    ("CHANNEL", "RETAIN", "news"),
    ("PUBLISH", "news", "hello"),
]


@pytest.mark.parametrize("appendonly", ["no", "yes"])
def test_what_was_loaded_counts_as_used_now_and_its_commands_as_no_requests(tmp_path: Path, appendonly: str) -> None:
    options = ["--appendonly", appendonly]
    with Broker(tmp_path, *options) as broker, Wire(broker.port) as wire:
        wire("SET", "k", "v")
        wire("SAVE")
    with Broker(tmp_path, *options) as broker, Wire(broker.port) as wire:
        assert int(wire("OBJECT", "IDLETIME", "k")) < 60
        assert b"cmdstat_set:" not in wire("INFO", "commandstats")


@pytest.mark.parametrize("appendonly", ["no", "yes"])
def test_debug_reload_and_loadaof_bring_everything_back(tmp_path: Path, appendonly: str) -> None:
    with Broker(tmp_path, "--appendonly", appendonly, "--enable-debug-command", "yes") as broker:
        with Wire(broker.port) as wire:
            for request in EVERYTHING:
                wire(*request)
            digest = wire("DEBUG", "DIGEST")
            wire("WATCH", "k")
            assert wire("DEBUG", "RELOAD") == "OK"
            assert [wire("MULTI"), wire("EXEC")] == ["OK", None]  # it was gone for a while, as in Redis
            assert wire("DEBUG", "DIGEST") == digest
            if appendonly == "yes":
                assert wire("DEBUG", "LOADAOF") == "OK"
                assert wire("DEBUG", "DIGEST") == digest
            wire("SET", "k", "changed")
            wire("SET", "new", 1)
            assert wire("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH", "MERGE") == "OK"
            assert [wire("GET", "k"), wire("GET", "new")] == [b"v", b"1"]
            assert str(wire("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH")).endswith("check server logs.")
            assert str(wire("DEBUG", "RELOAD", "FAST")).startswith("ERR DEBUG RELOAD only supports")
            assert wire("DEBUG", "RELOAD", "NOSAVE") == "OK"
            assert wire("DEBUG", "DIGEST") == digest
            assert wire("SET", "after", 1) == "OK"
