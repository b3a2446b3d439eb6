"""Libraries of functions in RDB files and in FUNCTION DUMP, from redis-server to ours and back."""

from pathlib import Path

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
