"""The log goes both ways between this server and redis-server, with all types, times, groups and pending entries."""

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.comparison_of_servers import normalised
from support.grammar_of_requests import FAMILIES
from support.log_folder import NAME
from support.servers import Broker, RedisServer, eventually
from support.wire import Wire, encode

from broker.persistence.recovery import read_manifest

OURS = ["--appendonly", "yes", "--enable-debug-command", "yes"]
THEIRS = ["--appendonly", "yes", "--aof-use-rdb-preamble", "no"]


def digests(wire: Wire, *digest: str) -> dict[object, object]:
    """All that two servers with the same data agree on: the digest, times of expiry, streams with groups and pending
    entries."""
    facts: dict[object, object] = {"digest": wire(*digest)}
    for database in range(3):
        wire("SELECT", database)
        for key in sorted(wire("KEYS", "*")):
            facts[database, key, "expiry"] = wire("PEXPIRETIME", key)
            if wire("TYPE", key) == "stream":
                full = wire("XINFO", "STREAM", key, "FULL", "COUNT", 0)
                facts[database, key, "stream"] = normalised([b"XINFO"], full)
    wire("SELECT", 0)
    return facts


def of_ours(broker: Broker) -> dict[object, object]:
    with Wire(broker.port) as wire:
        return digests(wire, "DEBUG", "DIGEST", "REDIS")


def of_theirs(server: RedisServer) -> dict[object, object]:
    with Wire(server.port) as wire:
        return digests(wire, "DEBUG", "DIGEST")


def after_restart(folder: Path) -> dict[object, object]:
    """What redis-server has after it read its own log. (It forgets the entries-read of groups, which its XREADGROUP
    does not log; ours are kept.)"""
    with RedisServer(folder, *THEIRS) as server:
        facts = of_theirs(server)
        server.stop()
    return facts


def write_of_every_type(wire: Wire, rng: Random) -> None:
    """A few hundred requests, some of them in other databases and in transactions."""
    for number in range(200):
        key = f"k{rng.randrange(6)}"
        requests: list[tuple[object, ...]] = [
            ("SET", f"s{key}", rng.random()),
            ("SET", f"s{key}", number, "PX", rng.randrange(10**6, 10**9)),
            ("APPEND", f"s{key}", b"\0\r\n\xff"),
            ("INCRBYFLOAT", f"f{key}", rng.random()),
            ("RPUSH", f"l{key}", *range(rng.randrange(1, 50))),
            ("LPOP", f"l{key}", 3),
            ("LINSERT", f"l{key}", "BEFORE", 5, "five"),
            ("SADD", f"S{key}", *range(rng.randrange(1, 20)), "text"),
            ("SPOP", f"S{key}", 2),
            ("HSET", f"h{key}", number, rng.random(), "field", "x" * rng.randrange(100)),
            ("HINCRBYFLOAT", f"h{key}", "float", 0.1),
            ("HDEL", f"h{key}", number - 3),
            ("ZADD", f"z{key}", rng.random(), number, "inf", "top", "-inf", "bottom", -0.5, "half"),
            ("ZINCRBY", f"z{key}", 0.1, "half"),
            ("ZPOPMIN", f"z{key}"),
            ("XADD", f"x{key}", "*", "field", number, "other", "v"),
            ("XADD", f"x{key}", "MAXLEN", 10, "*", "field", number),
            ("XGROUP", "CREATE", f"x{key}", f"g{rng.randrange(2)}", "0", "MKSTREAM"),
            ("XREADGROUP", "GROUP", "g0", f"c{rng.randrange(3)}", "COUNT", 3, "STREAMS", f"x{key}", ">"),
            ("XAUTOCLAIM", f"x{key}", "g0", f"c{rng.randrange(3)}", 0, "0", "COUNT", 2),
            ("XGROUP", "CREATECONSUMER", f"x{key}", "g1", "idle"),
            ("EXPIRE", f"z{key}", rng.randrange(1000, 10**6)),
            ("COPY", f"x{key}", f"x{key}2", "DB", 1),
            ("RENAME", f"l{key}", f"l{key}2"),
            ("PERSIST", f"z{key}"),
            ("SELECT", rng.randrange(3)),
        ]
        chosen = rng.sample(requests, 3)
        if rng.random() < 0.3 and not any(request[0] == "SELECT" for request in chosen):
            chosen = [("MULTI",), *chosen, ("EXEC",)]
        for request in chosen:
            wire(*request)
    entries = wire("XRANGE", "xk0", "-", "+")
    for entry_id, _ in entries[::2]:
        wire("XACK", "xk0", "g0", entry_id)
    for entry_id, _ in entries[:2]:
        wire("XDEL", "xk0", entry_id)


@pytest.mark.parametrize("seed", range(2))
def test_redis_server_loads_our_log(tmp_path, seed):
    with Broker(tmp_path, *OURS) as broker:
        with Wire(broker.port) as wire:
            write_of_every_type(wire, Random(seed))
        expected = of_ours(broker)
        broker.kill()
    assert len(expected) > 30
    with RedisServer(tmp_path, *THEIRS) as server:
        assert of_theirs(server) == expected


def test_redis_server_goes_on_with_our_log_and_we_with_what_it_wrote(tmp_path):
    with Broker(tmp_path, *OURS) as broker, Wire(broker.port) as wire:
        write_of_every_type(wire, Random(11))
        assert broker.stop() == 0
    with RedisServer(tmp_path, *THEIRS) as server:
        with Wire(server.port) as wire:
            write_of_every_type(wire, Random(12))
        server.stop()
    expected = after_restart(tmp_path)
    with Broker(tmp_path, *OURS) as broker:
        assert of_ours(broker) == expected


@pytest.mark.parametrize("timestamps", ["no", "yes"])
@pytest.mark.parametrize("rewritten", [False, True], ids=["as written", "rewritten"])
def test_we_load_the_log_of_redis_server(tmp_path, timestamps, rewritten):
    with RedisServer(tmp_path, *THEIRS, "--aof-timestamp-enabled", timestamps) as server:
        with Wire(server.port) as wire:
            write_of_every_type(wire, Random(21))
            if rewritten:
                wire("BGREWRITEAOF")
                eventually(lambda: b"aof_rewrite_in_progress:0" in wire("INFO", "persistence"), what="the rewrite")
                assert b"aof_last_bgrewrite_status:ok" in wire("INFO", "persistence")
                write_of_every_type(wire, Random(22))
        server.stop()
    expected = after_restart(tmp_path)
    assert len(expected) > 30
    if timestamps == "yes":
        logs = b"".join(path.read_bytes() for path in (tmp_path / "appendonlydir").glob("*.aof"))
        assert b"#TS:" in logs
    with Broker(tmp_path, *OURS) as broker:
        assert of_ours(broker) == expected


PREAMBLE = ["--appendonly", "yes"]


@pytest.mark.parametrize("options", [[], ["--rdbcompression", "no", "--rdbchecksum", "no"]], ids=["usual", "plain"])
def test_we_load_a_log_with_a_base_in_rdb_form(tmp_path, options):
    with RedisServer(tmp_path, *PREAMBLE, *options) as server, Wire(server.port) as wire:
        write_of_every_type(wire, Random(41))
        wire("BGREWRITEAOF")
        eventually(lambda: b"aof_rewrite_in_progress:0" in wire("INFO", "persistence"), what="the rewrite")
        assert b"aof_last_bgrewrite_status:ok" in wire("INFO", "persistence")
        write_of_every_type(wire, Random(42))
        server.stop()
    base = next((tmp_path / "appendonlydir").glob("*.base.rdb"))
    assert base.read_bytes().startswith(b"REDIS")
    with RedisServer(tmp_path, *PREAMBLE) as server:
        expected = of_theirs(server)
        server.stop()
    assert len(expected) > 30
    with Broker(tmp_path, *OURS) as broker:
        assert of_ours(broker) == expected


def test_we_load_a_base_that_is_rdb_first_and_commands_then(tmp_path):
    """As servers before 7.0 wrote the one file of their log."""
    with RedisServer(tmp_path / "a", "--dbfilename", "d.rdb") as server, Wire(server.port) as wire:
        write_of_every_type(wire, Random(51))
        expected = of_theirs(server)
        wire("SAVE")
    folder = tmp_path / "b" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / f"{NAME}.manifest").write_bytes(f"file {NAME} seq 1 type b\n".encode())
    commands = encode("SELECT", "0") + encode("SET", "after", "wards")
    (folder / NAME).write_bytes((tmp_path / "a" / "d.rdb").read_bytes() + commands)
    with Broker(tmp_path / "b", *OURS) as broker, Wire(broker.port) as wire:
        assert wire("GET", "after") == b"wards"
        wire("DEL", "after")
        assert of_ours(broker) == expected


def _check(path: Path) -> str:
    program = shutil.which("redis-check-aof")
    if program is None:
        pytest.skip("redis-check-aof is not installed")
    result = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=20)
    return result.stdout + result.stderr


def test_redis_check_aof_passes_our_manifest_and_finds_the_torn_place_where_we_do(tmp_path):
    with Broker(tmp_path, *OURS) as broker, Wire(broker.port) as wire:
        write_of_every_type(wire, Random(31))
        broker.kill()
    manifest = tmp_path / "appendonlydir" / f"{NAME}.manifest"
    assert "All AOF files and manifest are valid" in _check(manifest)
    path = tmp_path / "appendonlydir" / f"{NAME}.1.incr.aof"
    size = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(encode("MULTI") + encode("SET", "k", "v"))
    assert f"ok_up_to={size}" in _check(manifest)
    with Broker(tmp_path, *OURS) as broker:
        [cut] = [event for event in broker.events() if event["event"] == "log.torn_end_cut"]
        assert cut["offset"] == size


def test_a_name_that_needs_quotes_is_read_by_redis_server(tmp_path):
    options = ["--appendfilename", "my log.aof", "--appenddirname", "the log"]
    with Broker(tmp_path, *OURS, *options) as broker, Wire(broker.port) as wire:
        wire("SET", "k", "v")
        broker.kill()
    assert read_manifest(tmp_path / "the log", "my log.aof") is not None
    with RedisServer(tmp_path, *THEIRS, *options) as server, Wire(server.port) as wire:
        assert wire("GET", "k") == b"v"


_requests = st.lists(st.one_of([*FAMILIES["everything"]]), min_size=30, max_size=120)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(ours=_requests, theirs=_requests)
def test_random_requests_survive_the_way_there_and_back(tmp_path_factory, ours, theirs):
    folder = tmp_path_factory.mktemp("log")
    with Broker(folder, *OURS) as broker:
        _send(broker.port, ours)
        expected = of_ours(broker)
        broker.kill()
    with RedisServer(folder, *THEIRS) as server:
        assert of_theirs(server) == expected
        _send(server.port, theirs)
        server.stop()
    expected = after_restart(folder)
    with Broker(folder, *OURS) as broker:
        assert of_ours(broker) == expected


def _send(port: int, requests: list[list[bytes]]) -> None:
    """Whatever the replies are: other tests compare them."""
    with Wire(port) as wire:
        for request in requests:
            wire(*request)
