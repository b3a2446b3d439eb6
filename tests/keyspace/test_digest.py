"""The digest of a data set depends on the data and on nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from support.engine import Harness
from support.servers import redis_server

EVERYTHING = [
    "SET string value",
    "SET number 12345",
    "RPUSH list a b c",
    "SADD set x y z 17",
    "HSET hash f1 v1 f2 v2",
    "ZADD zset 1 one 2.5 two -inf low 1e20 high",
    "XADD stream 1-1 f v g w",
    "XADD stream 2-5 f v",
    "SELECT 3",
    "SET other 1",
]


def filled(*more: str) -> Harness:
    h = Harness()
    for request in [*EVERYTHING, *more]:
        assert not str(h.run(request)).startswith("-"), request
    return h


def digest(h: Harness) -> str:
    return h.run("DEBUG DIGEST")


def test_an_empty_data_set_is_all_zeros() -> None:
    h = filled()
    assert digest(h) != "0" * 40
    h.run("FLUSHALL")
    assert digest(h) == "0" * 40
    assert h.run("DEBUG DIGEST-VALUE nothing") == ["0" * 40]


def test_the_way_to_the_data_does_not_count() -> None:
    detour = Harness()
    for request in (
        "SELECT 3",
        "SET other 1",
        "SELECT 0",
        "ZADD zset 1e20 high 9 two 1 one",
        "ZADD zset 2.5 two -inf low",
        "HSET hash f2 v2 f1 v1",
        "SADD set 17 z y x w",
        "SREM set w",
        "RPUSH list b c",
        "LPUSH list a",
        "SET number 12344",
        "INCR number",
        "SET string value EX 10",
        "PERSIST string",
        "XADD stream 1-1 f v g w",
        "XADD stream 2-5 f v",
    ):
        detour.run(request)
    assert digest(detour) == digest(filled())


@pytest.mark.parametrize(
    "change",
    [
        "SET other 2",
        "SELECT 0|SET other 1",
        "RENAME other another",
        "EXPIRE other 10",
        "SELECT 0|LSET list 1 a",
        "SELECT 0|SADD set q",
        "SELECT 0|HSET hash f1 v2",
        "SELECT 0|ZADD zset 1.5 one",
        "SELECT 0|XADD stream 3-1 f v",
        "SELECT 0|XDEL stream 2-5",
        "SELECT 0|XSETID stream 9-9",
        "SELECT 0|XGROUP CREATE stream g 0",
        "SWAPDB 0 3",
    ],
)
def test_every_change_counts(change: str) -> None:
    assert digest(filled(*change.split("|"))) != digest(filled())


def test_what_a_group_holds_counts() -> None:
    seen = set()
    base = ["SELECT 0", "XGROUP CREATE stream g 0"]
    for more in (
        [],
        ["XGROUP CREATECONSUMER stream g c"],
        ["XGROUP CREATECONSUMER stream g d"],
        ["XREADGROUP GROUP g c COUNT 1 STREAMS stream >"],
        ["XREADGROUP GROUP g c STREAMS stream >"],
        ["XREADGROUP GROUP g c STREAMS stream >", "XACK stream g 1-1"],
        ["XGROUP SETID stream g 1-1"],
    ):
        seen.add(digest(filled(*base, *more)))
    assert len(seen) == 7


def test_the_time_of_expiry_counts_and_an_expired_key_does_not() -> None:
    h = filled("SELECT 0", "DEBUG SET-ACTIVE-EXPIRE 0", "SET gone 1 PX 100")
    later = filled("SELECT 0", "SET gone 1 PX 101")
    assert digest(h) != digest(later)
    h.advance(1)
    assert h.run("DBSIZE") == 8
    assert digest(h) == digest(filled())


def test_values_of_equal_text_but_other_types_differ() -> None:
    h = Harness()
    for request in ("SET a x", "RPUSH b x", "SADD c x"):
        h.run(request)
    assert len(set(h.run("DEBUG DIGEST-VALUE a b c"))) == 3


def test_it_is_the_same_in_every_process() -> None:
    program = (
        "from support.engine import Harness\n"
        "h = Harness()\n"
        f"for request in {EVERYTHING!r}: h.run(request)\n"
        "print(h.run('DEBUG DIGEST'))\n"
    )
    tests = Path(__file__).parents[1]
    for seed in ("1", "2"):
        path = os.pathsep.join([str(tests), *[part for part in sys.path if part]])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
        printed = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True)
        assert printed.strip() == digest(filled())


def test_redis_has_the_same_digest_for_the_same_data(tmp_path: Path) -> None:
    h = filled("SELECT 0", "SET volatile 1 EX 100000", "XGROUP CREATE stream g 0")
    with redis_server(tmp_path, "--enable-debug-command", "yes") as port, redis.Redis(port=port, protocol=2) as client:
        for request in [*EVERYTHING, "SELECT 0", "SET volatile 1 EX 100000", "XGROUP CREATE stream g 0"]:
            client.execute_command(*request.split())
        assert h.run("DEBUG DIGEST REDIS").encode() == client.execute_command("DEBUG", "DIGEST")
        for key in ("string", "number", "list", "set", "hash", "zset", "stream", "volatile"):
            theirs = client.execute_command("DEBUG", "DIGEST-VALUE", key)
            assert [each.encode() for each in h.run("DEBUG", "DIGEST-VALUE", key)] == theirs
