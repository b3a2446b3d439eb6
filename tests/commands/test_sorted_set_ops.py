"""Union, intersection and difference of sorted sets, and of plain sets beside them."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays, contents, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "-ERR syntax error"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("SET text a")
    harness.run("ZADD x 1 a 2 b 3 c")
    harness.run("ZADD y 10 b 20 c 30 d")
    harness.run("SADD plain c d e")
    harness.run("ZADD far inf a -inf b")
    harness.journal()
    return harness


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("ZUNION 2 x y", {b"a": 1, b"b": 12, b"c": 23, b"d": 30}),
        ("ZUNION 2 x y WEIGHTS 2 0.5", {b"a": 2, b"b": 9, b"c": 16, b"d": 15}),
        ("ZUNION 2 x y AGGREGATE MAX", {b"a": 1, b"b": 10, b"c": 20, b"d": 30}),
        ("ZUNION 2 x y aggregate min weights 1 -1", {b"a": 1, b"b": -10, b"c": -20, b"d": -30}),
        ("ZUNION 2 x x", {b"a": 2, b"b": 4, b"c": 6}),
        ("ZUNION 2 no x", {b"a": 1, b"b": 2, b"c": 3}),
        ("ZUNION 1 no", {}),
        ("ZUNION 2 y plain WEIGHTS 1 5", {b"b": 10, b"c": 25, b"d": 35, b"e": 5}),
        ("ZUNION 1 far WEIGHTS 0", {b"a": 0, b"b": 0}),
        ("ZUNION 2 far far WEIGHTS 1 -1", {b"a": 0, b"b": 0}),
        ("ZINTER 2 x y", {b"b": 12, b"c": 23}),
        ("ZINTER 3 x y plain", {b"c": 24}),
        ("ZINTER 2 x y WEIGHTS 1 0 AGGREGATE MAX", {b"b": 2, b"c": 3}),
        ("ZINTER 2 x no", {}),
        ("ZINTER 2 plain plain", {b"c": 2, b"d": 2, b"e": 2}),
        ("ZINTER 2 far far WEIGHTS 1 -1", {b"a": 0, b"b": 0}),
        ("ZDIFF 2 x y", {b"a": 1}),
        ("ZDIFF 2 x no", {b"a": 1, b"b": 2, b"c": 3}),
        ("ZDIFF 3 y x plain", {}),
        ("ZDIFF 2 plain x", {b"d": 1, b"e": 1}),
        ("ZDIFF 2 no x", {}),
    ],
)
def test_results_returned_and_stored_in_order(h: Harness, request_: str, expected: dict[bytes, float]) -> None:
    ordered = [part for score, member in sorted((s, m) for m, s in expected.items()) for part in (member, score)]
    assert h.run(f"{request_} WITHSCORES") == ordered
    assert h.run(request_) == ordered[::2]
    name, _, rest = request_.partition(" ")
    h.run("SET dst something EX 10")
    assert h.run(f"{name}STORE dst {rest}") == len(expected)
    assert h.run("ZRANGE dst 0 -1 WITHSCORES") == ordered
    assert h.run("TTL dst") == (-1 if expected else -2)


def test_aggregate_count_ignores_scores_and_adds_weights(h: Harness) -> None:
    h.run("ZADD p inf a 5 b")
    h.run("SADD q b c")
    assert h.run("ZUNION 2 p q AGGREGATE COUNT WITHSCORES") == [b"a", 1.0, b"c", 1.0, b"b", 2.0]
    assert h.run("ZUNION 2 p q WEIGHTS 2 -3 AGGREGATE count WITHSCORES") == [b"c", -3.0, b"b", -1.0, b"a", 2.0]
    assert h.run("ZINTER 2 p q WEIGHTS 2 0.5 AGGREGATE COUNT WITHSCORES") == [b"b", 2.5]
    assert h.run("ZUNIONSTORE d 2 p q WEIGHTS inf -inf AGGREGATE COUNT") == 3
    assert h.run("ZSCORE d b") == 0.0


def test_scores_are_pairs_in_resp3(h: Harness) -> None:
    assert wire(h, "ZDIFF 2 x y WITHSCORES") == (b"*2\r\n$1\r\na\r\n$1\r\n1\r\n", b"*1\r\n*2\r\n$1\r\na\r\n,1\r\n")


def test_zintercard_counts_up_to_a_limit(h: Harness) -> None:
    assert [h.run(f"ZINTERCARD 2 x y{limit}") for limit in ("", " LIMIT 0", " LIMIT 1", " LIMIT 9")] == [2, 2, 1, 2]
    assert (h.run("ZINTERCARD 2 x no"), h.run("ZINTERCARD 1 plain")) == (0, 3)
    assert h.run("ZINTERCARD 2 x y LIMIT -1") == h.run("ZINTERCARD 2 x y LIMIT x") == "-ERR LIMIT can't be negative"
    assert h.run("ZINTERCARD 2 x y LIMIT") == h.run("ZINTERCARD 2 x y WITHSCORES") == SYNTAX


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("ZUNION 0 x", "-ERR at least 1 input key is needed for 'zunion' command"),
        ("ZINTERSTORE d -1 x", "-ERR at least 1 input key is needed for 'zinterstore' command"),
        ("ZINTERCARD 0 x", "-ERR at least 1 input key is needed for 'zintercard' command"),
        ("ZDIFF x x", "-ERR value is not an integer or out of range"),
        ("ZUNION 3 x y", SYNTAX),
        ("ZUNION 2 x text WHATEVER", WRONG),
        ("ZUNION 2 x y WHATEVER", SYNTAX),
        ("ZUNION 2 x y WEIGHTS 1", SYNTAX),
        ("ZUNION 2 x y WEIGHTS 1 x", "-ERR weight value is not a float"),
        ("ZUNION 2 x y AGGREGATE", SYNTAX),
        ("ZUNION 2 x y AGGREGATE AVG", SYNTAX),
        ("ZUNIONSTORE d 2 x y WITHSCORES", SYNTAX),
        ("ZDIFF 2 x y WEIGHTS 1 1", SYNTAX),
        ("ZDIFFSTORE d 1 x WITHSCORES", SYNTAX),
    ],
)
def test_requests_that_make_no_sense(h: Harness, request_: str, error: str) -> None:
    before = contents(h)
    assert h.run(request_) == error
    assert contents(h) == before
    assert h.journal() == []


def test_an_empty_result_deletes_what_was_there(h: Harness) -> None:
    h.run("RPUSH dst a")
    assert h.run("ZINTERSTORE dst 2 x no") == 0
    assert h.run("EXISTS dst") == 0
    assert len(h.journal()) == 2
    assert h.run("ZINTERSTORE dst 2 x no") == 0
    assert h.journal() == []


def test_a_set_can_be_stored_over_one_of_its_sources(h: Harness) -> None:
    assert h.run("ZUNIONSTORE x 2 x y") == 4
    assert h.run("ZDIFFSTORE y 2 y y") == 0
    assert (h.run("ZSCORE x b"), h.run("EXISTS y")) == (12.0, 0)


def test_what_is_stored_is_in_the_journal() -> None:
    h = Harness()
    for request in ("ZADD x 1 a 2 b", "SADD s b c", "ZUNIONSTORE u 2 x s", "ZINTERSTORE i 2 x s", "ZDIFFSTORE x 2 x s"):
        h.run(request)
    assert_replays(h)
