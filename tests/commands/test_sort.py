"""SORT and SORT_RO: orders, patterns, errors, what is stored and journaled."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "-ERR syntax error"
NO_NUMBER = "-ERR One or more scores can't be converted into double"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("RPUSH list 3 1 10 2")
    harness.run("RPUSH words b a C ab")
    harness.run("SADD set 3 1 2")
    harness.run("ZADD zset 1 c 2 b 3 a")
    harness.run("MSET w_1 5 w_2 -1 w_3 1e1 o_1 one o_2 two")
    harness.run("APPEND o_2 !")
    harness.run("HSET h_1 f 2")
    harness.run("HSET h_3 f 1")
    return harness


def words(text: str) -> list[bytes]:
    return text.encode().split()


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ("SORT list", "1 2 3 10"),
        ("SORT_RO list DESC", "10 3 2 1"),
        ("SORT list ALPHA", "1 10 2 3"),
        ("SORT words ALPHA", "C a ab b"),
        ("SORT words ALPHA DESC", "b ab a C"),
        ("SORT set", "1 2 3"),
        ("SORT zset ALPHA", "a b c"),
        ("SORT zset BY nosort", "c b a"),
        ("SORT zset BY nosort DESC LIMIT 0 2", "a b"),
        ("SORT list BY nosort", "3 1 10 2"),
        ("SORT list LIMIT 1 2", "2 3"),
        ("SORT list LIMIT -5 2", "1 2"),
        ("SORT list LIMIT 2 -1", "3 10"),
        ("SORT list LIMIT 9 2", ""),
        ("SORT list LIMIT 0 0", ""),
        ("SORT list BY w_*", "2 10 1 3"),
        ("SORT list BY w_* DESC", "3 1 10 2"),
        ("SORT list BY h_*->f", "10 2 3 1"),
        ("SORT list BY o_* ALPHA LIMIT 2 2", "1 2"),
        ("SORT no", ""),
    ],
)
def test_orders(h: Harness, request_: str, expected: str) -> None:
    assert h.run(request_) == words(expected)


def test_get_looks_up_what_belongs_to_an_element(h: Harness) -> None:
    assert h.run("SORT set GET # GET o_* GET h_*->f GET fixed") == [
        *(b"1", b"one", b"2", None),
        *(b"2", b"two!", None, None),
        *(b"3", None, b"1", None),
    ]
    assert h.run("SORT set GET list GET h_* GET h_*->") == [None] * 9, "no pattern, another type, no field"


def test_equal_weights_are_ordered_by_the_elements(h: Harness) -> None:
    assert h.run("SORT words BY no_*") == words("C a ab b")
    assert h.run("SORT words BY no_* DESC") == words("b ab a C")


def test_numbers_are_read_as_c_reads_them(h: Harness) -> None:
    h.run("RPUSH", "odd", "0x10", " 7", "", "-inf", "1e2", b"3\0x")
    assert h.run("SORT odd") == [b"-inf", b"", b"3\0x", b" 7", b"0x10", b"1e2"]
    for text in ("x", "1x", " ", "nan", "1e999"):
        h.run("DEL bad")
        h.run("RPUSH", "bad", text)
        assert h.run("SORT bad") == NO_NUMBER, text


def test_storing(h: Harness) -> None:
    h.run("SET d v EX 100")
    h.journal()
    assert h.run("SORT list LIMIT 0 2 GET # GET o_* STORE d") == 4
    assert (h.run("LRANGE d 0 -1"), h.run("TTL d")) == (words("1 one 2 two!"), -1)
    assert h.journal()[1:3] == [words("DEL d"), words("RPUSH d 1 one 2 two!")]
    assert h.run("SORT set BY nosort GET h_*->f STORE d") == 3
    assert h.run("LRANGE d 0 -1") == [b"2", b"", b"1"], "a set is sorted before it is stored"
    h.journal()
    assert (h.run("SORT no STORE d"), h.run("EXISTS d"), h.run("SORT no STORE d")) == (0, 0, 0)
    assert h.journal() == [words("DEL d")]
    assert h.run("SORT list STORE list") == 4
    assert h.run("LRANGE list 0 -1") == words("1 2 3 10")


def test_a_long_result_is_journaled_in_parts() -> None:
    h = Harness()
    h.run("RPUSH", "long", *range(2500))
    assert h.run("SORT long DESC STORE d") == 2500
    assert_replays(h)


def test_notifications_and_those_who_wait(h: Harness) -> None:
    waiter, subscriber = h.client(), h.client()
    h.run("CONFIG SET notify-keyspace-events KEA")
    subscriber.run("PSUBSCRIBE __keyevent@0__:*")
    waiter.raw("BLPOP", "d", 0)
    subscriber.received()
    h.run("SORT list STORE d")
    assert waiter.received() == b"*2\r\n$1\r\nd\r\n$1\r\n1\r\n"
    assert b"__keyevent@0__:sortstore\r\n" in subscriber.received()


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("SORT words", NO_NUMBER),
        ("SORT list BY o_*", NO_NUMBER),
        ("SORT w_1", WRONG),
        ("SORT h_1 STORE d", WRONG),
        ("SORT list LIMIT 1", SYNTAX),
        ("SORT list LIMIT a b", "-ERR value is not an integer or out of range"),
        ("SORT list BY", SYNTAX),
        ("SORT list bogus", SYNTAX),
        ("SORT_RO list STORE d", SYNTAX),
    ],
)
def test_what_is_refused_and_changes_nothing(h: Harness, request_: str, error: str) -> None:
    h.journal()
    assert h.run(request_) == error
    assert (h.journal(), h.run("EXISTS d")) == ([], 0)


def test_the_keys_of_sort_are_found(h: Harness) -> None:
    assert h.run("COMMAND GETKEYS SORT a BY w_* STORE b GET STORE STORE c") == [b"a", b"c"]
    assert h.run("COMMAND GETKEYS SORT_RO a BY store") == [b"a"]
    specs = h.run("COMMAND INFO SORT")[0][8]
    assert [spec[3][1] for spec in specs] == [b"index", b"unknown", b"unknown"]


def test_limit_cuts_runs_of_equal_numbers_where_the_whole_order_has_them(h: Harness) -> None:
    """Equal numbers stand in the order of their texts: what LIMIT leaves is a part of the whole, whatever it is."""
    for i, text in enumerate(["1", "01", "2", "1.0", "3", "2.0", "02", "1.00", "3", "0"]):
        h.run("RPUSH", "l", text)
        h.run("SET", f"w_{text}", i % 3)
    for by in ([], ["BY", "w_*"]):
        for order in ("ASC", "DESC"):
            whole = h.run("SORT", "l", *by, order)
            for start in range(-1, 12):
                for count in range(-1, 12):
                    expected = whole[max(start, 0) :] if count < 0 else whole[max(start, 0) : max(start, 0) + count]
                    assert h.run("SORT", "l", *by, order, "LIMIT", start, count) == expected
