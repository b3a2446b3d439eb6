"""The commands of single members of sorted sets, and popping; ranges and several sets have files of their own."""

import re
from random import Random

import pytest
from support.engine import Client, Harness
from support.same_data import assert_replays, contents, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_FLOAT = "-ERR value is not a valid float"
SYNTAX = "-ERR syntax error"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("SET text a")
    harness.run("ZADD abc 1 a 2 b 3 c")
    harness.journal()
    return harness


def test_zadd_counts_new_members(h: Harness) -> None:
    assert h.run("ZADD k 1 a") == 1
    assert h.run("ZADD k 1 a") == 0
    assert h.run("ZADD k 5 a 2 b inf c 2 b") == 2
    assert h.run("ZRANGE k 0 -1 WITHSCORES") == [b"b", 2.0, b"a", 5.0, b"c", float("inf")]
    assert (h.run("ZCARD k"), h.run("ZCARD no")) == (3, 0)


@pytest.mark.parametrize(
    ("options", "pairs", "reply", "scores"),
    [
        ("NX", "9 a 9 d", 1, [1, 2, 3, 9]),
        ("XX", "9 a 9 d", 0, [9, 2, 3, None]),
        ("XX CH", "9 a 2 b 9 d", 1, [9, 2, 3, None]),
        ("CH", "9 a 2 b 9 d", 2, [9, 2, 3, 9]),
        ("GT CH", "0 a 5 b 9 d", 2, [1, 5, 3, 9]),
        ("LT CH", "0 a 5 b 9 d", 2, [0, 2, 3, 9]),
        ("xx gt ch", "0 a 5 b 9 d", 1, [1, 5, 3, None]),
        ("NX INCR", "5 d", 5, [1, 2, 3, 5]),
        ("NX INCR", "5 a", None, [1, 2, 3, None]),
        ("XX INCR", "5 d", None, [1, 2, 3, None]),
        ("INCR", "5 a", 6, [6, 2, 3, None]),
        ("GT INCR", "-5 a", None, [1, 2, 3, None]),
        ("LT INCR", "-5 a", -4, [-4, 2, 3, None]),
    ],
)
def test_options_of_zadd(h: Harness, options: str, pairs: str, reply: object, scores: list[object]) -> None:
    before = contents(h)
    assert h.run(f"ZADD abc {options} {pairs}") == reply
    assert h.run("ZMSCORE abc a b c d") == scores
    assert bool(h.journal()) is (contents(h) != before)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("ZADD k 1 a 2", SYNTAX),
        ("ZADD k NX CH", SYNTAX),
        ("ZADD k INCR 1", SYNTAX),
        ("ZADD k x a", NOT_FLOAT),
        ("ZADD k nan a", NOT_FLOAT),
        ("ZADD k 1 a x b", NOT_FLOAT),
        ("ZADD k NX XX x a", "-ERR XX and NX options at the same time are not compatible"),
        ("ZADD k NX GT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("ZADD k GT LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("ZADD k INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair"),
        ("ZINCRBY k x a", NOT_FLOAT),
        ("ZRANK k a WITHSCORES", SYNTAX),
        ("ZRANK k a WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command"),
        ("ZREVRANK k a WITHSCORE x", "-ERR wrong number of arguments for 'zrevrank' command"),
        ("ZRANDMEMBER k x", "-ERR value is not an integer or out of range"),
        ("ZRANDMEMBER k 1 x", SYNTAX),
        ("ZRANDMEMBER k 9223372036854775807 WITHSCORES", "-ERR value is out of range"),
        ("ZPOPMIN k -1", "-ERR value is out of range, must be positive"),
        ("ZPOPMAX k 1 x", SYNTAX),
        ("ZMPOP 0 k MIN", "-ERR numkeys should be greater than 0"),
        ("ZMPOP 1 k MIN COUNT 0", "-ERR count should be greater than 0"),
        ("ZMPOP 1 k LOW", SYNTAX),
        ("ZMPOP 2 k MIN", SYNTAX),
        ("BZMPOP 0 1 k MIN COUNT", SYNTAX),
        ("BZPOPMIN k x", "-ERR timeout is not a float or out of range"),
        ("ZSCAN k x", "-ERR invalid cursor"),
        ("ZSCAN abc 0 COUNT 0", SYNTAX),
    ],
)
def test_requests_that_make_no_sense(h: Harness, request_: str, error: str) -> None:
    before = contents(h)
    assert h.run(request_) == error
    assert contents(h) == before
    assert h.journal() == []


@pytest.mark.parametrize(
    "request_",
    [
        "ZADD text 1 a", "ZADD text NX 1 a", "ZINCRBY text 1 a", "ZREM text a", "ZCARD text", "ZSCORE text a",
        "ZMSCORE text a", "ZRANK text a", "ZREVRANK text a", "ZRANDMEMBER text", "ZRANDMEMBER text 1", "ZSCAN text 0",
        "ZPOPMIN text", "ZPOPMAX text 1", "ZMPOP 1 text MIN", "BZPOPMIN no text 0", "BZMPOP 0 2 no text MAX",
    ],
)  # fmt: skip
def test_a_key_of_another_type_is_refused(h: Harness, request_: str) -> None:
    assert h.run(request_) == WRONG
    assert h.journal() == []


def test_zincrby(h: Harness) -> None:
    assert h.run("ZINCRBY abc 1.5 a") == 2.5
    assert h.run("ZINCRBY abc -inf new") == float("-inf")
    assert h.run("ZINCRBY abc inf new") == "-ERR resulting score is not a number (NaN)"
    assert wire(h, "ZINCRBY abc 1 a") == (b"$3\r\n3.5\r\n", b",3.5\r\n")


def test_a_change_that_changes_nothing_is_not_journaled(h: Harness) -> None:
    for request in ("ZADD abc 1 a", "ZADD abc XX CH 2 b 3 c", "ZADD abc GT 0 a", "ZINCRBY abc 0 a", "ZREM abc z"):
        h.run(request)
    assert h.journal() == []


def test_zrem(h: Harness) -> None:
    assert h.run("ZREM abc a z a") == 1
    assert h.run("ZREM abc b c") == 2
    assert (h.run("EXISTS abc"), h.run("ZREM abc a")) == (0, 0)


def test_scores_and_ranks(h: Harness) -> None:
    assert (h.run("ZSCORE abc b"), h.run("ZSCORE abc z"), h.run("ZSCORE no a")) == (2.0, None, None)
    assert (h.run("ZMSCORE abc c z a"), h.run("ZMSCORE no a b")) == ([3.0, None, 1.0], [None, None])
    assert [h.run(f"ZRANK abc {member}") for member in "abcz"] == [0, 1, 2, None]
    assert [h.run(f"ZREVRANK abc {member}") for member in "abcz"] == [2, 1, 0, None]
    assert (h.run("ZRANK abc c withscore"), h.run("ZREVRANK abc c WITHSCORE")) == ([2, 3.0], [0, 3.0])
    assert wire(h, "ZRANK abc z WITHSCORE") == (b"*-1\r\n", b"_\r\n")
    assert wire(h, "ZRANK no z") == (b"$-1\r\n", b"_\r\n")


def test_members_of_one_score_are_ordered_by_their_bytes(h: Harness) -> None:
    h.run("ZADD", "k", 1, b"b", 1, b"\xff", 1, b"", 1, b"a\0", 1, b"a")
    assert h.run("ZRANGE k 0 -1") == [b"", b"a", b"a\0", b"b", b"\xff"]


def test_popping(h: Harness) -> None:
    assert wire(h, "ZPOPMIN abc") == (b"*2\r\n$1\r\na\r\n$1\r\n1\r\n", b"*2\r\n$1\r\na\r\n,1\r\n")
    assert wire(h, "ZPOPMAX abc 1") == (b"*2\r\n$1\r\nc\r\n$1\r\n3\r\n", b"*1\r\n*2\r\n$1\r\nc\r\n,3\r\n")
    assert h.run("ZPOPMAX abc 0") == []
    h.run("ZADD abc 1 a 3 c")
    assert h.run("ZPOPMAX abc 2") == [b"c", 3.0, b"b", 2.0]
    assert h.run("ZPOPMIN abc 9") == [b"a", 1.0]
    assert (h.run("EXISTS abc"), h.run("ZPOPMIN abc"), h.run("ZPOPMIN abc 2")) == (0, [], [])


def test_zmpop_takes_from_the_first_that_is_there(h: Harness) -> None:
    assert wire(h, "ZMPOP 2 no abc MIN COUNT 2") == (
        b"*2\r\n$3\r\nabc\r\n*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n",
        b"*2\r\n$3\r\nabc\r\n*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2\r\n",
    )
    assert h.run("ZMPOP 2 no abc MAX COUNT 9") == [b"abc", [[b"c", 3.0]]]
    assert wire(h, "ZMPOP 2 no abc MAX") == (b"*-1\r\n", b"_\r\n")
    assert h.journal() == [[b"ZPOPMIN", b"abc", b"2"], [b"ZPOPMAX", b"abc", b"1"]]


def test_zrandmember(h: Harness) -> None:
    assert h.run("ZRANDMEMBER abc") in (b"a", b"b", b"c")
    assert h.run("ZRANDMEMBER no") is None
    assert sorted(h.run("ZRANDMEMBER abc 9")) == [b"a", b"b", b"c"]
    assert len(set(h.run("ZRANDMEMBER abc 2"))) == 2
    repeated = h.run("ZRANDMEMBER abc -50 WITHSCORES")
    assert len(repeated) == 100
    assert {(member, score) for member, score in zip(repeated[::2], repeated[1::2], strict=True)} == {
        (b"a", 1.0),
        (b"b", 2.0),
        (b"c", 3.0),
    }
    assert (h.run("ZRANDMEMBER abc 0"), h.run("ZRANDMEMBER no 2 WITHSCORES")) == ([], [])
    h.run("ZADD one 5 x")
    resp2, resp3 = wire(h, "ZRANDMEMBER one 1 WITHSCORES")
    assert resp2 == b"*2\r\n$1\r\nx\r\n$1\r\n5\r\n"
    assert resp3 == b"*1\r\n*2\r\n$1\r\nx\r\n,5\r\n"


def test_zscan_walks_over_all_members() -> None:
    h = Harness()
    for i in range(1000):
        h.run("ZADD", "k", i, f"m{i}")
    seen: dict[bytes, bytes] = {}
    cursor, rounds = b"0", 0
    while rounds == 0 or cursor != b"0":
        cursor, flat = h.run("ZSCAN", "k", cursor, "COUNT", 50)
        seen.update(zip(flat[::2], flat[1::2], strict=True))
        rounds += 1
    assert seen == {b"m%d" % i: b"%d" % i for i in range(1000)}
    assert 5 < rounds < 50


def test_zscan_of_few_members(h: Harness) -> None:
    assert h.run("ZSCAN abc 0 COUNT 1") == [b"0", [b"a", b"1", b"b", b"2", b"c", b"3"]]
    assert h.run("ZSCAN abc 0 MATCH [bc]") == [b"0", [b"b", b"2", b"c", b"3"]]
    assert h.run("ZSCAN no 0 whatever") == [b"0", []]
    assert wire(h, "ZSCAN abc 0 MATCH a")[1] == b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"


# -- waiting


def waiting(h: Harness, request: str) -> Client:
    client = h.client()
    client.run(request)
    assert client.session.is_blocked, request
    return client


def test_bzpopmin_serves_the_longest_waiter_first(h: Harness) -> None:
    waiters = [waiting(h, f"{name} k 0") for name in ("BZPOPMIN", "BZPOPMAX", "BZPOPMIN")]
    h.run("ZADD k 1 a 2 b 3 c 4 d")
    assert [re.findall(rb"\$1\r\n(.)", waiter.received()) for waiter in waiters] == [
        [b"k", b"a", b"1"],
        [b"k", b"d", b"4"],
        [b"k", b"b", b"2"],
    ]
    assert h.run("ZRANGE k 0 -1") == [b"c"]
    assert [entry[0] for entry in h.journal()] == [b"ZADD", b"ZPOPMIN", b"ZPOPMAX", b"ZPOPMIN"]
    assert h.run("BZPOPMIN no k 0") == [b"k", b"c", 3.0]
    assert h.run("EXISTS k") == 0


def test_bzmpop_waits_for_any_of_its_keys(h: Harness) -> None:
    waiter = waiting(h, "BZMPOP 0 2 k1 k2 MAX COUNT 2")
    h.run("ZADD k2 1 a 2 b 3 c")
    assert waiter.received() == (b"*2\r\n$2\r\nk2\r\n*2\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n")
    assert h.journal()[-1] == [b"ZPOPMAX", b"k2", b"2"]


@pytest.mark.parametrize("request_", ["ZINCRBY k 1 a", "ZUNIONSTORE k 1 abc", "ZRANGESTORE k abc 0 0", "COPY abc k"])
def test_whatever_makes_a_sorted_set_wakes_who_waits(h: Harness, request_: str) -> None:
    waiter = waiting(h, "BZPOPMIN k 0")
    h.run(request_)
    assert waiter.received() == b"*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n"


def test_waiting_ends_with_the_time_out_and_does_not_happen_in_a_transaction(h: Harness) -> None:
    waiter = waiting(h, "BZPOPMIN k 0.002")
    h.advance(0.002)
    assert waiter.received() == b"*-1\r\n"
    h.run("MULTI")
    h.run("BZPOPMIN k 0")
    h.run("BZMPOP 0 1 k MIN")
    assert h.run("EXEC") == [None, None]


# -- the journal


def test_the_journal_of_many_requests_gives_the_same_sorted_sets() -> None:
    h = Harness()
    rng = Random(7)
    for _ in range(1500):
        k, other = rng.choice(["k1", "k2", "k3"]), rng.choice(["k1", "k2", "k3"])
        n, m = rng.randrange(-3, 4), rng.choice("abcdef")
        busy = h.run(f"ZCARD {k}")
        h.run(
            rng.choice(
                [
                    f"ZADD {k} {n} {m} 1.5 x", f"ZADD {k} GT CH {n} {m}", f"ZADD {k} XX INCR {n} {m}",
                    f"ZINCRBY {k} 0.1 {m}", f"ZREM {k} {m}", f"ZPOPMIN {k}", f"ZPOPMAX {k} 2",
                    f"ZMPOP 2 {k} {other} MIN COUNT 2", f"ZUNIONSTORE {k} 2 {k} {other} WEIGHTS 1 0.5",
                    f"ZINTERSTORE {k} 2 k1 k2", f"ZDIFFSTORE {k} 2 k3 {other}",
                    f"ZRANGESTORE {k} {other} (-1 +inf BYSCORE LIMIT 0 4", f"ZREMRANGEBYRANK {k} {n} 1",
                    f"ZREMRANGEBYSCORE {k} {n} (3", f"BZPOPMAX {k} 0" if busy else f"ZCARD {k}",
                    f"BZMPOP 0 1 {k} MIN COUNT 2" if busy else f"ZCARD {k}",
                ]
            )
        )  # fmt: skip
    assert contents(h)
    assert_replays(h)
