"""RDB files go both ways between this server and redis-server: all types, small and large, times, groups."""

import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from persistence.test_redis_compatibility import of_ours, of_theirs, write_of_every_type
from support.grammar_of_requests import FAMILIES
from support.servers import Broker, RedisServer, eventually
from support.wire import Wire

OURS = ["--appendonly", "no", "--save", "", "--enable-debug-command", "yes"]


def write_large_values(wire: Wire) -> None:
    """One of each type that is too large for one flat piece, and strings of all forms."""
    for number in (0, 1, -1, 127, 128, -129, 32768, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, "007", "-0", "1" * 21):
        wire("SET", f"n{number}", number)
    wire("SET", "long", "abc" * 10000, "PX", 10**10)
    wire("SET", "random", Random(1).randbytes(5000))
    wire("SET", "very long", b"some words " * 100_000)
    wire("SETRANGE", "very long too", 2_000_000, Random(2).randbytes(400_000))
    wire("HSET", "heavy", *[Random(i).randbytes(50_000) for i in range(20)])
    for start in range(0, 3000, 500):
        numbers = range(start, start + 500)
        wire("RPUSH", "list", *[f"element {i}" * (i % 9) for i in numbers])
        wire("SADD", "set", *[f"member {i}" for i in numbers])
        wire("SADD", "ints", *[i * i * i for i in numbers])
        wire("HSET", "hash", *[part for i in numbers for part in (f"field {i}", "v" * (i % 70))])
        wire("ZADD", "zset", *[part for i in numbers for part in (i / 7, f"member {i}")])
        for i in numbers:
            wire(
                "XADD",
                "stream",
                f"{i + 1}-{i % 3}",
                "n",
                i,
                "text",
                "x" * (i % 40),
                *(["odd", 1] if i % 50 == 0 else []),
            )
    wire("RPUSH", "big element", "x" * 100_000, "y", "z" * 20_000)
    wire("XGROUP", "CREATE", "stream", "g", "0")
    for consumer in ("a", "b", "c"):
        wire("XREADGROUP", "GROUP", "g", consumer, "COUNT", 700, "STREAMS", "stream", ">")
    wire("XDEL", "stream", "5-1", "6-2", "3000-2")
    wire("XTRIM", "stream", "MAXLEN", 2500)


def check(path: Path) -> None:
    program = shutil.which("redis-check-rdb")
    if program is None:
        pytest.skip("redis-check-rdb is not installed")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "RDB looks OK" in done.stdout, done.stdout


@pytest.mark.parametrize("options", [[], ["--rdbcompression", "no", "--rdbchecksum", "no"]], ids=["usual", "plain"])
def test_redis_server_loads_our_file(tmp_path, options):
    with Broker(tmp_path, *OURS, *options) as broker:
        with Wire(broker.port) as wire:
            write_of_every_type(wire, Random(1))
            write_large_values(wire)
            assert wire("SAVE") == "OK"
        expected = of_ours(broker)
        broker.kill()
    assert len(expected) > 40
    check(tmp_path / "dump.rdb")
    with RedisServer(tmp_path) as server:
        assert of_theirs(server) == expected


@pytest.mark.parametrize("options", [[], ["--rdbcompression", "no", "--rdbchecksum", "no"]], ids=["usual", "plain"])
def test_we_load_the_file_of_redis_server_and_it_our_file_of_that(tmp_path, options):
    with RedisServer(tmp_path, *options) as server:
        with Wire(server.port) as wire:
            write_of_every_type(wire, Random(2))
            write_large_values(wire)
            expected = of_theirs(server)
            assert wire("SAVE") == "OK"
        server.kill()
    with Broker(tmp_path, *OURS, *options) as broker, Wire(broker.port) as wire:
        assert of_ours(broker) == expected
        info = wire("INFO", "persistence")
        assert b"loading:0" in info and b"rdb_last_load_keys_loaded:0" not in info
        assert b"rdb_changes_since_last_save:0" in info
        [loaded] = [event for event in broker.events() if event["event"] == "rdb.loaded"]
        assert loaded["bytes"] == (tmp_path / "dump.rdb").stat().st_size
        assert wire("SAVE") == "OK"
        broker.kill()
    check(tmp_path / "dump.rdb")
    with RedisServer(tmp_path) as server:
        assert of_theirs(server) == expected


_requests = st.lists(st.one_of([*FAMILIES["everything"]]), min_size=30, max_size=120)


def save(port: int) -> None:
    """On a connection of its own: that of the random requests may be within MULTI, or subscribed."""
    with Wire(port) as wire:
        assert wire("SAVE") == "OK"


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(theirs=_requests, ours=_requests)
def test_random_requests_survive_the_way_there_and_back(tmp_path_factory, theirs, ours):
    folder = tmp_path_factory.mktemp("rdb")
    with RedisServer(folder) as server, Wire(server.port) as wire:
        for request in theirs:
            wire(*request)
        expected = of_theirs(server)
        save(server.port)
        server.kill()
    with Broker(folder, *OURS) as broker, Wire(broker.port) as wire:
        assert of_ours(broker) == expected
        for request in ours:
            wire(*request)
        expected = of_ours(broker)
        save(broker.port)
        broker.kill()
    with RedisServer(folder) as server:
        assert of_theirs(server) == expected


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-lfu"])
def test_hints_of_the_use_of_keys_go_both_ways(tmp_path, policy):
    """How long keys were not used, or how often they were: RESTORE gives values that no test has to wait for."""
    options = ["--maxmemory-policy", policy]
    question = "FREQ" if policy.endswith("lfu") else "IDLETIME"

    def uses(wire: Wire) -> list[int]:
        return [wire("OBJECT", question, f"k{i}") for i in range(4)]

    def is_as_before(found: list[int]) -> bool:
        """Seconds may pass, and a frequency may fade at the turn of a minute."""
        return all(
            abs(now - before) <= (1 if question == "FREQ" else 30) for now, before in zip(found, wanted, strict=True)
        )

    wanted = [200, 3, 17, 120] if question == "FREQ" else [100_000, 500, 63, 20_000]
    with Broker(tmp_path, *OURS, *options) as broker, Wire(broker.port) as wire:
        wire("SET", "other", "v")
        payload = wire("DUMP", "other")

        def restore() -> bool:
            for i, use in enumerate(wanted):
                wire("RESTORE", f"k{i}", 10**9 if i == 2 else 0, payload, "REPLACE", question, use)
            return is_as_before(uses(wire))

        eventually(restore, what="a clock that has ticked, so that each key has its own slot")
        for command in ("SAVE", "BGSAVE"):
            wire(command)
        eventually(lambda: b"rdb_bgsave_in_progress:0" in wire("INFO", "persistence"), what="the save")
        broker.kill()
    check(tmp_path / "dump.rdb")
    with RedisServer(tmp_path, *options) as server, Wire(server.port) as wire:
        assert is_as_before(uses(wire))
        wire("SAVE")
    with Broker(tmp_path, *OURS, *options) as broker, Wire(broker.port) as wire:
        assert is_as_before(uses(wire))
    with Broker(tmp_path, *OURS) as broker, Wire(broker.port) as wire:
        wire("SAVE")
        assert wire("GET", "k0") == b"v"
    with RedisServer(tmp_path, *options) as server, Wire(server.port) as wire:
        assert not is_as_before(uses(wire)), "the file of a server without such a policy says nothing of it"
