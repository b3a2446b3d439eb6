"""WATCH, MULTI and EXEC held against redis-server: three clients that watch, queue and write, step by step."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from support.engine import Harness
from support.servers import RedisServer
from support.wire import Wire

CLIENTS = ["one", "two", "other"]
KEYS = ["a", "b", "l", "s"]
CONTROL = [
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "WATCH {}",
    "WATCH {} {}",
    "WATCH {}",
    "DISCARD",
    "UNWATCH",
    "RESET",
]
DATA = ["SET {} 1", "SET {} x NX", "GET {}", "INCR {}", "DEL {} {}", "RENAME {} {}", "RENAMENX {} {}", "MOVE {} 1"]
DATA += ["COPY {} {}", "COPY {} {} DB 1", "COPY {} {} REPLACE", "EXPIRE {} 1000", "EXPIRE {} -1", "PERSIST {}"]
DATA += ["LPUSH {} x y", "LPOP {}", "LTRIM {} 0 -1", "RPOPLPUSH {} {}", "SADD {} x", "SREM {} x", "SMOVE {} {} x"]
DATA += ["SORT {} STORE {}", "SUNIONSTORE {} {}", "SETRANGE {} 0 x", "GETEX {}", "GETDEL {}", "APPEND {} x", "TOUCH {}"]
DATA += [
    "SELECT 0",
    "SELECT 1",
    "SWAPDB 0 1",
    "FLUSHDB",
    "FLUSHALL",
    "PING",
    "BLPOP {} {} 0",
    "BLMOVE {} {} LEFT LEFT 0",
]
DATA += ["PUBLISH c m", "WAIT 0 0", "EVALSHA nosuch 0", "SCRIPT EXISTS nosuch", "DBSIZE"]
WRONG = [
    "nosuch {}",
    "GET",
    "EXEC x",
    "DISCARD x",
    "MULTI x",
    "WATCH",
    "CONFIG",
    "CONFIG nosuch",
    "SELECT 99",
    "SELECT x",
]
WRONG += ["SAVE", "SHUTDOWN x", "RESTORE {} 0 x", "EXPIRE {} x", "BLPOP {} x", "MONITOR x", "SSUBSCRIBE"]
SCRIPTS = ["redis.call('set', KEYS[1], 1) redis.call('lpop', KEYS[1])", "return redis.call('get', KEYS[1])"]
SCRIPTS += ["redis.call('select', 1) return redis.call('del', KEYS[1])", "return redis.call('watch', KEYS[1])"]


@pytest.fixture(scope="module")
def oracle() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def steps(random: Random, count: int) -> list[tuple[str, list[str]]]:
    """Who asks, and what."""
    queueing: set[str] = set()
    found: list[tuple[str, list[str]]] = []
    for _ in range(count):
        who = random.choice(CLIENTS)
        line = random.choice(random.choices([CONTROL, DATA, WRONG], [5, 8, 1])[0])
        request = line.format(*random.choices(KEYS, k=2)).split()
        if random.random() < 0.1:
            request = ["EVAL", random.choice(SCRIPTS), "1", random.choice(KEYS)]
        if request[0] == "MULTI" and len(request) == 1:
            queueing.add(who)
        elif request[0] in ("EXEC", "DISCARD", "RESET"):
            queueing.discard(who)
        elif request[0].startswith("BL") and who not in queueing:
            continue  # it would wait
        found.append((who, request))
    return found


@pytest.mark.parametrize("seed", range(25))
def test_transactions_end_as_those_of_redis_do(oracle: RedisServer, seed: int) -> None:
    harness = Harness()
    ours = {who: harness.wire(False) for who in CLIENTS}
    theirs = {who: Wire(oracle.port) for who in CLIENTS}
    try:
        theirs["other"]("FLUSHALL")
        done: list[Any] = []
        for who, request in steps(Random(seed), 120):
            expected = theirs[who](*request)
            done.append((who, *request, expected))
            assert ours[who](*request) == expected, done
    finally:
        for wire in theirs.values():
            wire.close()
    assert not harness.bugs
