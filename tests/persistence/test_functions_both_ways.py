"""Libraries of functions in RDB files and in FUNCTION DUMP, from redis-server to ours and back."""

from pathlib import Path
from typing import Any

from support.servers import Broker, RedisServer
from support.wire import Wire

LIBRARY = b"""#!lua name=both
redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{function_name='look', callback=function(keys) return redis.call('GET', keys[1]) end,
                        flags={'no-writes'}, description='looks'}
"""
LIST = ("FUNCTION", "LIST", "WITHCODE")


def check_functions(wire: Wire, sources: list[bytes]) -> None:
    assert sorted(dict(zip(row[::2], row[1::2], strict=True))[b"library_code"] for row in wire(*LIST)) == sorted(
        sources
    )
    assert wire("FCALL", "put", 1, "k", "v") == "OK"
    assert wire("FCALL_RO", "look", 1, "k") == b"v"


def test_libraries_go_from_redis_to_ours_and_back(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server, Wire(server.port) as wire:
        wire("FUNCTION", "LOAD", LIBRARY)
        dumped = wire("FUNCTION", "DUMP")
        wire("SAVE")
    options = ("--appendonly", "no", "--enable-debug-command", "yes")
    with Broker(tmp_path / "redis", *options) as broker, Wire(broker.port) as wire:
        check_functions(wire, [LIBRARY])
        wire("DEBUG", "RELOAD")
        wire("FLUSHALL")
        assert wire("DEBUG", "RELOAD", "NOFLUSH").startswith("ERR Error trying to load the RDB dump")  # they are there
        assert wire("DEBUG", "RELOAD", "NOFLUSH", "MERGE") == "OK"
        check_functions(wire, [LIBRARY])
        wire("FUNCTION", "RESTORE", dumped, "REPLACE")
        other = LIBRARY.replace(b"both", b"other").replace(b"put", b"put2").replace(b"look", b"look2")
        wire("FUNCTION", "LOAD", other)
        ours = wire("FUNCTION", "DUMP")
        wire("CONFIG", "SET", "rdb-version", "10")
        wire("SAVE")
        assert broker.stop() == 0
    with RedisServer(tmp_path / "redis") as server, Wire(server.port) as wire:
        check_functions(wire, [LIBRARY, other])
        wire("FUNCTION", "RESTORE", ours, "FLUSH")
        check_functions(wire, [LIBRARY, other])


EFFECTS = """redis.call('SET', 'a', 1, 'EX', 1000) redis.call('SELECT', 2) redis.call('RPUSH', 'l', 1, 2)
redis.call('SPOP', 'none') redis.call('SELECT', 0) redis.call('INCRBYFLOAT', 'f', 1.5)
redis.call('XADD', 's', '*', 'f', 'v') error('half way')"""
STATE = """redis.call('SELECT', 2) local l = redis.call('LRANGE', 'l', 0, -1) redis.call('SELECT', 0)
return {redis.call('GET', 'a'), redis.call('EXPIRETIME', 'a'), redis.call('GET', 'f'), l, redis.call('DBSIZE'),
        redis.call('XRANGE', 's', '-', '+')}"""


def change(wire: Wire) -> list[Any]:
    wire("FUNCTION", "LOAD", LIBRARY)
    assert wire("EVAL", EFFECTS, 0).startswith("ERR user_script:3: half way")
    for request in (["MULTI"], ["FCALL", "put", 1, "k", "v"], ["EVAL", "return redis.call('INCR', 'n')", 0], ["EXEC"]):
        wire(*request)
    wire("FUNCTION", "LOAD", LIBRARY.replace(b"both", b"gone").replace(b"put", b"put2").replace(b"look", b"look2"))
    wire("FUNCTION", "DELETE", "gone")
    return state(wire)


def state(wire: Wire) -> list[Any]:
    return [wire("EVAL", STATE, 0), wire("MGET", "k", "n"), [library[-1] for library in wire(*LIST)]]


def test_a_log_of_scripts_and_functions_is_read_by_either(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server, Wire(server.port) as wire:
        theirs = change(wire)
    with Broker(tmp_path, "--appendonly", "yes") as broker, Wire(broker.port) as wire:
        assert state(wire) == theirs
        wire("FLUSHALL")
        wire("FUNCTION", "FLUSH")
        ours = change(wire)
        assert broker.stop() == 0
    with RedisServer(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        assert state(wire) == ours
