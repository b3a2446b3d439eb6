"""Big values that are deleted, written over, trimmed or flushed go in steps: no turn frees more than its share."""

import pytest
from support.engine import Harness

from broker.datatypes.trash import TRASH

COUNT = 5000


@pytest.fixture
def h() -> Harness:
    return Harness()


def build(h: Harness, kind: str) -> None:
    """A value of COUNT elements at `v`, within one turn."""
    engine = h.engine
    for i in range(COUNT):
        argv = {
            "hash": [b"HSET", b"v", b"f%d" % i, b"x"],
            "set": [b"SADD", b"v", b"m%d" % i],
            "zset": [b"ZADD", b"v", b"%d" % i, b"m%d" % i],
            "list": [b"RPUSH", b"v", b"%d" % i],
            "agenda": [b"XSCHEDULE", b"v", b"DELAY", b"1000000", b"f", b"x"],
            "keys": [b"SET", b"k%d" % i, b"x", b"EX", b"1000"],
        }[kind]
        engine.execute(h.main.ctx, argv)


def left_after(h: Harness, *request: str) -> int:
    """What is to be freed when the turn of a request is over."""
    h.run(*request)
    return int(TRASH.size)


@pytest.mark.parametrize("kind", ["hash", "set", "zset", "list"])
@pytest.mark.parametrize("how", ["DEL v", "UNLINK v", "SET v x", "FLUSHALL", "RENAME w v", "SINTERSTORE v none",
                                 "PEXPIRE v -1"])  # fmt: skip
def test_a_big_value_is_freed_in_several_turns(h: Harness, kind: str, how: str) -> None:
    build(h, kind)
    h.run("SET w x")
    left = left_after(h, how)
    assert left > 0
    assert h.engine.next_deadline_ms() == 0
    turns = 0
    while TRASH.size:
        before = int(TRASH.size)
        h.advance(0)
        turns += 1
        assert turns < 50
        assert TRASH.size < before + 1000  # containers that were within others are counted when they are seen
    assert turns >= 2
    assert h.engine.next_deadline_ms() is None


def test_a_value_that_expires_is_freed_in_several_turns(h: Harness) -> None:
    build(h, "hash")
    h.run("PEXPIRE v 10")
    h.advance(1)
    assert h.run("EXISTS v") == 0
    assert TRASH.size > 0


@pytest.mark.parametrize("kind", ["keys", "agenda"])
def test_a_flush_frees_in_several_turns(h: Harness, kind: str) -> None:
    build(h, kind)
    assert left_after(h, "FLUSHALL") > 0
    assert h.run("DBSIZE") == 0
    build(h, kind)  # while the others are on their way out
    while TRASH.size:
        h.advance(0)
    if kind == "keys":
        assert h.run("DBSIZE") == COUNT
        assert h.run("TTL k77") == 1000
    else:
        assert len(h.run("XSCHEDULES v COUNT 10")) > 0


def test_a_trim_of_a_long_list_or_stream_frees_later(h: Harness) -> None:
    build(h, "list")
    h.run("RPUSH v last")
    for i in range(128 * 200):
        h.engine.execute(h.main.ctx, [b"XADD", b"s", b"%d-1" % (i + 1), b"f", b"v"])
    assert left_after(h, "LTRIM", "v", str(4 * COUNT // 5), "-1") == 0  # less than is worth the trouble
    assert h.run("LLEN v") == COUNT // 5 + 1
    assert left_after(h, "XTRIM s MAXLEN 100") > 0
    assert h.run("XLEN s") == 100
    assert h.run("LINDEX v -1") == b"last"
    h.run("XGROUP CREATE s g 0")
    assert len(h.run("XREADGROUP GROUP g c STREAMS s >")[0][1]) == 100


def test_small_values_are_freed_where_they_are_dropped(h: Harness) -> None:
    h.run("HSET v a 1 b 2")
    h.run("XADD s 1-1 f v")
    freed = int(TRASH.freed)
    h.run("DEL v s")
    assert TRASH.freed == freed


def test_what_is_freed_is_counted_in_values_until_the_statistics_are_set_back(h: Harness) -> None:
    h.run("CONFIG RESETSTAT")
    build(h, "zset")
    h.run("UNLINK v")
    assert TRASH.freed == 1, "a sorted set is made of more parts than one"
    for i in range(100):
        h.run("SET", f"k{i}", i)
    h.run("FLUSHDB ASYNC")
    assert TRASH.freed == 101
    h.run("CONFIG RESETSTAT")
    assert TRASH.freed == 0
