"""Ranges of sorted sets: by rank, score and text; returned, counted, removed, stored."""

from typing import Any

import pytest
from support.engine import Harness
from support.same_data import assert_replays, contents, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_FLOAT = "-ERR min or max is not a float"
NOT_TEXT = "-ERR min or max not valid string range item"
NOT_INT = "-ERR value is not an integer or out of range"
SYNTAX = "-ERR syntax error"
NO_LIMIT = "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("SET text a")
    harness.run("ZADD k 1 a 2 b 3 c 4 d 5 e")
    harness.run("ZADD t 0 a 0 b 0 bb 0 c 0 d")
    harness.journal()
    return harness


def joined(h: Harness, request: str) -> Any:
    reply = h.run(request)
    return b" ".join(reply).decode() if isinstance(reply, list) else reply


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("ZRANGE k 0 -1", "a b c d e"),
        ("ZRANGE k 1 2", "b c"),
        ("ZRANGE k -2 99", "d e"),
        ("ZRANGE k -99 0", "a"),
        ("ZRANGE k 3 1", ""),
        ("ZRANGE k 5 9", ""),
        ("ZRANGE k 0 -9", ""),
        ("ZRANGE k 0 1 REV", "e d"),
        ("ZRANGE k -2 -1 rev", "b a"),
        ("ZREVRANGE k 0 1", "e d"),
        ("ZREVRANGE k -1 -1", "a"),
        ("ZRANGE k 2 (4 BYSCORE", "b c"),
        ("ZRANGE k (4 2 BYSCORE REV", "c b"),
        ("ZRANGE k 2 4 BYSCORE REV", ""),
        ("ZRANGE k -inf +inf BYSCORE LIMIT 1 2", "b c"),
        ("ZRANGE k +inf -inf BYSCORE REV LIMIT 1 2", "d c"),
        ("ZRANGEBYSCORE k (1 3", "b c"),
        ("ZRANGEBYSCORE k (inf +inf", ""),
        ("ZRANGEBYSCORE k -inf inf LIMIT 3 -1", "d e"),
        ("ZRANGEBYSCORE k -inf inf LIMIT 3 0", ""),
        ("ZRANGEBYSCORE k -inf inf LIMIT -1 2", ""),
        ("ZRANGEBYSCORE k -inf inf LIMIT 9 2", ""),
        ("ZREVRANGEBYSCORE k 3 1", "c b a"),
        ("ZREVRANGEBYSCORE k 1 3", ""),
        ("ZREVRANGEBYSCORE k inf -inf LIMIT 4 9", "a"),
        ("ZRANGE t [b (c BYLEX", "b bb"),
        ("ZRANGE t (c [b BYLEX REV", "bb b"),
        ("ZRANGEBYLEX t - +", "a b bb c d"),
        ("ZRANGEBYLEX t + -", ""),
        ("ZRANGEBYLEX t (b +", "bb c d"),
        ("ZRANGEBYLEX t [b [b", "b"),
        ("ZRANGEBYLEX t (b (b", ""),
        ("ZRANGEBYLEX t - + LIMIT 1 3", "b bb c"),
        ("ZREVRANGEBYLEX t + - LIMIT 1 1", "c"),
        ("ZREVRANGEBYLEX t [c (a", "c bb b"),
        ("ZRANGE no 0 -1", ""),
    ],
)
def test_ranges(h: Harness, request_: str, expected: str) -> None:
    assert joined(h, request_) == expected


def test_scores_are_pairs_of_doubles_in_resp3(h: Harness) -> None:
    assert wire(h, "ZRANGE k 0 1 WITHSCORES") == (
        b"*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
        b"*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2\r\n",
    )
    assert h.run("ZREVRANGEBYSCORE k 2 1 LIMIT 0 1 WITHSCORES") == [b"b", 2.0]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("ZCOUNT k 2 4", 3),
        ("ZCOUNT k (2 (4", 1),
        ("ZCOUNT k 4 2", 0),
        ("ZCOUNT k -inf (inf", 5),
        ("ZCOUNT no 0 1", 0),
        ("ZLEXCOUNT t - +", 5),
        ("ZLEXCOUNT t [b (d", 3),
        ("ZLEXCOUNT t (d [b", 0),
        ("ZLEXCOUNT no - +", 0),
    ],
)
def test_counting(h: Harness, request_: str, expected: int) -> None:
    assert h.run(request_) == expected


@pytest.mark.parametrize("bound", ["", "(", " 3", "3\0x", "0x3", "1e400", "-1e400", "infinity"])
def test_bounds_are_read_as_c_reads_them(h: Harness, bound: str) -> None:
    value = {"": 0, "(": 0, "1e400": 99, "-1e400": -99, "infinity": 99}.get(bound, 3)
    assert h.run("ZCOUNT", "k", "-inf", bound) == sum(score <= value for score in range(1, 6))


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("ZRANGE k x 1", NOT_INT),
        ("ZRANGE k 0 1 x", SYNTAX),
        ("ZRANGE k 0 1 BYSCORE BYLEX", SYNTAX),
        ("ZRANGE k 0 1 REV REV", SYNTAX),
        ("ZRANGE k 0 1 BYSCORE LIMIT 0", SYNTAX),
        ("ZRANGE k 0 1 BYSCORE LIMIT x 1", NOT_INT),
        ("ZRANGE k 0 1 LIMIT 0 1", NO_LIMIT),
        ("ZRANGE t - + BYLEX WITHSCORES", "-ERR syntax error, WITHSCORES not supported in combination with BYLEX"),
        ("ZRANGE k x 1 BYSCORE", NOT_FLOAT),
        ("ZRANGE k 1 b BYLEX", NOT_TEXT),
        ("ZREVRANGE k 0 1 REV", SYNTAX),
        ("ZRANGEBYSCORE k nan 1", NOT_FLOAT),
        ("ZRANGEBYSCORE k ((1 1", NOT_FLOAT),
        ("ZRANGEBYLEX t -x +", NOT_TEXT),
        ("ZCOUNT k x 1", NOT_FLOAT),
        ("ZLEXCOUNT t a b", NOT_TEXT),
        ("ZREMRANGEBYRANK k x 1", NOT_INT),
        ("ZREMRANGEBYSCORE k x 1", NOT_FLOAT),
        ("ZREMRANGEBYLEX t a b", NOT_TEXT),
        ("ZRANGESTORE d k 0 1 WITHSCORES", SYNTAX),
        ("ZRANGE text x 1", NOT_INT),
        ("ZRANGE text 0 1", WRONG),
        ("ZCOUNT text 0 1", WRONG),
        ("ZREMRANGEBYRANK text 0 1", WRONG),
        ("ZRANGESTORE k text 0 1", WRONG),
    ],
)
def test_requests_that_make_no_sense(h: Harness, request_: str, error: str) -> None:
    before = contents(h)
    assert h.run(request_) == error
    assert contents(h) == before
    assert h.journal() == []


@pytest.mark.parametrize(
    ("request_", "removed", "left"),
    [
        ("ZREMRANGEBYRANK k 0 1", 2, "c d e"),
        ("ZREMRANGEBYRANK k -2 -1", 2, "a b c"),
        ("ZREMRANGEBYRANK k 3 1", 0, "a b c d e"),
        ("ZREMRANGEBYRANK k 0 -1", 5, ""),
        ("ZREMRANGEBYSCORE k (1 3", 2, "a d e"),
        ("ZREMRANGEBYSCORE k 9 inf", 0, "a b c d e"),
        ("ZREMRANGEBYSCORE k -inf inf", 5, ""),
    ],
)
def test_removing_ranges(h: Harness, request_: str, removed: int, left: str) -> None:
    h.run("COPY k before")
    h.journal()
    assert h.run(request_) == removed
    assert joined(h, "ZRANGE k 0 -1") == left
    assert h.run("EXISTS k") == (1 if left else 0)
    assert len(h.journal()) == (1 if removed else 0)


def test_removing_ranges_of_texts(h: Harness) -> None:
    assert h.run("ZREMRANGEBYLEX t [b [bb") == 2
    assert joined(h, "ZRANGE t 0 -1") == "a c d"
    assert h.run("ZREMRANGEBYLEX t - +") == 3
    assert (h.run("EXISTS t"), h.run("ZREMRANGEBYLEX t - +")) == (0, 0)


def test_zrangestore_replaces_whatever_was_there(h: Harness) -> None:
    h.run("SET dst text EX 100")
    assert h.run("ZRANGESTORE dst k 1 2") == 2
    assert h.run("ZRANGE dst 0 -1 WITHSCORES") == [b"b", 2.0, b"c", 3.0]
    assert h.run("TTL dst") == -1
    assert h.run("ZRANGESTORE dst k 5 2 BYSCORE REV LIMIT 1 2") == 2
    assert joined(h, "ZRANGE dst 0 -1") == "c d"
    assert h.run("ZRANGESTORE k k 0 0") == 1
    assert h.run("ZRANGESTORE dst k 7 9") == 0
    assert (h.run("EXISTS dst"), h.run("ZRANGESTORE dst no 0 1")) == (0, 0)


def test_what_is_stored_and_removed_is_in_the_journal() -> None:
    h = Harness()
    h.run("ZADD k 1 a 2 b 3 c 4 d 5 e")
    h.run("ZRANGESTORE d k (1 +inf BYSCORE")
    h.run("ZREMRANGEBYRANK k 0 0")
    h.run("ZRANGESTORE e d 7 8")
    h.run("ZREMRANGEBYSCORE d 2 3")
    assert_replays(h)
