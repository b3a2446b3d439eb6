"""The commands of lists that never wait: replies, errors, journal. Waiting: test_blocking_lists.py."""

import re
from random import Random
from typing import Any

import pytest
from support.engine import Harness
from support.same_data import assert_replays, contents, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"
NOT_INT = "-ERR value is not an integer or out of range"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("SET text a")
    harness.run("RPUSH abc a b c")
    harness.run("RPUSH dup a b a c a")
    harness.journal()
    return harness


def values(h: Harness, name: str) -> Any:
    return h.run("LRANGE", name, 0, -1)


def test_pushing_at_both_ends(h: Harness) -> None:
    assert h.run("RPUSH k a b") == 2
    assert h.run("LPUSH k c d") == 4
    assert values(h, "k") == [b"d", b"c", b"a", b"b"]
    assert (h.run("LPUSHX k x"), h.run("RPUSHX k y z")) == (5, 7)
    assert (h.run("LPUSHX no x"), h.run("RPUSHX no x"), h.run("EXISTS no")) == (0, 0, 0)
    assert (h.run("LLEN k"), h.run("LLEN no")) == (7, 0)


def test_popping_one_and_several(h: Harness) -> None:
    assert (h.run("LPOP abc"), h.run("RPOP abc")) == (b"a", b"c")
    assert h.run("LPOP dup 2") == [b"a", b"b"]
    assert h.run("RPOP dup 2") == [b"a", b"c"]
    assert h.run("LPOP dup 0") == []
    assert h.run("RPOP dup 10") == [b"a"]
    assert h.run("EXISTS dup") == 0
    assert h.run("LPOP no 0") is None
    assert h.run("LPOP abc -1") == "-ERR value is out of range, must be positive"
    assert h.run("LPOP abc 1 2") == "-ERR wrong number of arguments for 'lpop' command"
    assert h.run("RPOP abc 1 2") == "-ERR wrong number of arguments for 'rpop' command"


def test_a_missing_list_pops_a_null_of_the_right_shape(h: Harness) -> None:
    assert wire(h, "LPOP no") == (b"$-1\r\n", b"_\r\n")
    assert wire(h, "LPOP no 1") == (b"*-1\r\n", b"_\r\n")
    assert wire(h, "LMPOP 1 no LEFT") == (b"*-1\r\n", b"_\r\n")


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (0, -1, b"abc"), (0, 0, b"a"), (1, 99, b"bc"), (-2, -1, b"bc"), (-99, 1, b"ab"), (2, 1, b""), (3, 5, b""),
        (0, -9, b""),
    ],
)  # fmt: skip
def test_lrange(h: Harness, start: int, stop: int, expected: bytes) -> None:
    assert b"".join(h.run("LRANGE", "abc", start, stop)) == expected


def test_lindex_and_lset(h: Harness) -> None:
    assert [h.run("LINDEX", "abc", i) for i in (0, 2, 3, -1, -3, -4)] == [b"a", b"c", None, b"c", b"a", None]
    assert h.run("LINDEX no x") is None
    assert h.run("LINDEX abc x") == NOT_INT
    assert (h.run("LSET abc 0 A"), h.run("LSET abc -1 C")) == ("OK", "OK")
    assert values(h, "abc") == [b"A", b"b", b"C"]
    assert h.run("LSET abc 3 x") == h.run("LSET abc -4 x") == "-ERR index out of range"
    assert h.run("LSET no x x") == "-ERR no such key"


def test_linsert(h: Harness) -> None:
    assert h.run("LINSERT abc before b x") == 4
    assert h.run("LINSERT abc AFTER c y") == 5
    assert values(h, "abc") == [b"a", b"x", b"b", b"c", b"y"]
    assert (h.run("LINSERT abc AFTER z y"), h.run("LINSERT no AFTER z y")) == (-1, 0)
    assert h.run("LINSERT no NEAR z y") == "-ERR syntax error"


def test_lrem_counts_from_the_end_that_the_sign_says(h: Harness) -> None:
    assert h.run("LREM dup 1 a") == 1
    assert values(h, "dup") == [b"b", b"a", b"c", b"a"]
    assert h.run("LREM dup -1 a") == 1
    assert values(h, "dup") == [b"b", b"a", b"c"]
    assert (h.run("LREM dup 0 z"), h.run("LREM no 0 z")) == (0, 0)
    assert h.run("LREM abc x a") == NOT_INT
    assert [h.run("LREM", "dup", -(2**63), value) for value in "bac"] == [1, 1, 1]
    assert h.run("EXISTS dup") == 0


def test_ltrim(h: Harness) -> None:
    assert h.run("LTRIM dup 1 -2") == "OK"
    assert values(h, "dup") == [b"b", b"a", b"c"]
    assert h.run("LTRIM dup -100 100") == "OK"
    assert h.run("LLEN dup") == 3
    assert h.run("LTRIM dup 2 1") == "OK"
    assert h.run("EXISTS dup") == 0
    assert h.run("LTRIM no 0 0") == "OK"


def test_a_trim_that_trims_nothing_fails_watch_and_is_not_journaled(h: Harness) -> None:
    other = h.client()
    other.run("WATCH abc")
    h.run("LTRIM abc 0 -1")
    other.run("MULTI")
    assert other.run("EXEC") is None
    assert h.journal() == []


def test_lpos(h: Harness) -> None:
    assert (h.run("LPOS dup a"), h.run("LPOS dup z"), h.run("LPOS no a")) == (0, None, None)
    assert (h.run("LPOS dup a RANK 2"), h.run("LPOS dup a RANK -1"), h.run("LPOS dup a rank 4")) == (2, 4, None)
    assert h.run("LPOS dup a COUNT 0") == [0, 2, 4]
    assert h.run("LPOS dup a COUNT 2 RANK -1") == [4, 2]
    assert h.run("LPOS dup a COUNT 0 MAXLEN 3") == [0, 2]
    assert h.run("LPOS dup a COUNT 0 MAXLEN 1 RANK -2") == []
    assert (h.run("LPOS dup z COUNT 0"), h.run("LPOS no z COUNT 0")) == ([], [])
    assert h.run("LPOS", "dup", "a", "RANK", -(2**63)).startswith("-ERR value is out of range, value must between")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (
            "RANK 0",
            "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... "
            "or use negative to start from the end of the list",
        ),
        ("RANK x", NOT_INT),
        ("COUNT -1", "-ERR COUNT can't be negative"),
        ("COUNT x", "-ERR COUNT can't be negative"),
        ("MAXLEN -1", "-ERR MAXLEN can't be negative"),
        ("COUNT", "-ERR syntax error"),
        ("FIRST 1", "-ERR syntax error"),
    ],
)
def test_options_of_lpos_that_make_no_sense(h: Harness, options: str, error: str) -> None:
    assert h.run(f"LPOS dup a {options}") == error


def test_lmove_between_all_ends(h: Harness) -> None:
    assert h.run("LMOVE abc to LEFT RIGHT") == b"a"
    assert h.run("LMOVE abc to right left") == b"c"
    assert values(h, "to") == [b"c", b"a"]
    assert h.run("RPOPLPUSH abc to") == b"b"
    assert h.run("EXISTS abc") == 0
    assert h.run("RPOPLPUSH to to") == b"a"
    assert values(h, "to") == [b"a", b"b", b"c"]
    assert h.run("LMOVE no text LEFT LEFT") is None
    assert h.run("LMOVE to text LEFT LEFT") == h.run("LMOVE text to LEFT LEFT") == WRONG
    assert h.run("LMOVE to to UP LEFT") == h.run("LMOVE to to LEFT UP") == "-ERR syntax error"


def test_a_list_of_one_can_be_moved_onto_itself(h: Harness) -> None:
    h.run("RPUSH one v")
    assert h.run("LMOVE one one LEFT RIGHT") == b"v"
    assert values(h, "one") == [b"v"]


def test_lmpop_takes_from_the_first_list_that_is_there(h: Harness) -> None:
    assert h.run("LMPOP 2 no abc LEFT") == [b"abc", [b"a"]]
    assert h.run("LMPOP 3 no abc dup RIGHT COUNT 5") == [b"abc", [b"c", b"b"]]
    assert h.run("LMPOP 2 no abc LEFT") is None
    assert h.run("LMPOP 2 no text LEFT") == WRONG
    assert h.journal() == [[b"LPOP", b"abc", b"1"], [b"RPOP", b"abc", b"2"]]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("LMPOP 0 abc LEFT", "-ERR numkeys should be greater than 0"),
        ("LMPOP x abc LEFT", "-ERR numkeys should be greater than 0"),
        ("LMPOP 2 abc LEFT", "-ERR syntax error"),
        ("LMPOP 1 abc UP", "-ERR syntax error"),
        ("LMPOP 1 abc LEFT COUNT 0", "-ERR count should be greater than 0"),
        ("LMPOP 1 abc LEFT COUNT", "-ERR syntax error"),
        ("LMPOP 1 abc LEFT COUNT 1 COUNT 1", "-ERR syntax error"),
    ],
)
def test_requests_to_lmpop_that_make_no_sense(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == error


@pytest.mark.parametrize(
    "request_",
    [
        "LPUSH text a", "RPUSH text a", "LPUSHX text a", "RPUSHX text a", "LINSERT text BEFORE a b", "LLEN text",
        "LINDEX text 0", "LRANGE text 0 1", "LPOS text a", "LSET text 0 a", "LTRIM text 0 1", "LREM text 0 a",
        "LPOP text", "RPOP text 0", "RPOPLPUSH text abc", "RPOPLPUSH abc text", "LMPOP 1 text LEFT",
    ],
)  # fmt: skip
def test_a_key_of_another_type_is_refused_and_left_alone(h: Harness, request_: str) -> None:
    before = contents(h)
    assert h.run(request_) == WRONG
    assert contents(h) == before
    assert h.journal() == []


def test_events_tell_what_happened() -> None:
    h = Harness()
    h.run("CONFIG SET notify-keyspace-events Elg")
    listener = h.client()
    listener.run("PSUBSCRIBE __keyevent@0__:*")
    listener.received()
    for request in ("RPUSH k a a b", "LMOVE k to LEFT RIGHT", "LREM k 0 a", "LTRIM k 0 -1", "LPOP k 9"):
        h.run(request)
    names = re.findall(rb"__keyevent@0__:(\w+)", listener.received())
    assert [name.decode() for name in names] == ["rpush", "rpush", "lpop", "lrem", "ltrim", "lpop", "del"]


def test_the_journal_of_many_requests_gives_the_same_lists() -> None:
    h = Harness()
    rng = Random(11)
    keys = ["k1", "k2", "k3"]
    for _ in range(1500):
        k, other, n = rng.choice(keys), rng.choice(keys), rng.randrange(-4, 5)
        value = rng.choice("abc")
        h.run(
            rng.choice(
                [
                    f"LPUSH {k} {value} {value} x", f"RPUSH {k} {value} y", f"LPOP {k}", f"RPOP {k} 2",
                    f"LREM {k} {n} {value}", f"LTRIM {k} {n} -2", f"LSET {k} {n} {value}",
                    f"LINSERT {k} BEFORE {value} z", f"RPUSHX {k} {value}",
                    f"LMOVE {k} {other} LEFT RIGHT", f"RPOPLPUSH {k} {other}", f"LMPOP 2 {k} {other} LEFT COUNT 2",
                    f"BLPOP {k} 1" if h.run(f"LLEN {k}") else f"LLEN {k}",
                    f"BLMOVE {k} {other} RIGHT LEFT 1" if h.run(f"LLEN {k}") else f"LLEN {k}",
                ]
            )
        )  # fmt: skip
    assert contents(h)
    assert_replays(h)


# -- LMOVEM


@pytest.fixture
def fresh() -> Harness:
    return Harness()


@pytest.mark.parametrize(
    ("source_end", "target_end", "order", "moved"),
    [
        ("LEFT", "LEFT", "OBO", [b"3", b"2", b"1"]),
        ("LEFT", "LEFT", "BULK", [b"1", b"2", b"3"]),
        ("LEFT", "RIGHT", "OBO", [b"1", b"2", b"3"]),
        ("LEFT", "RIGHT", "BULK", [b"1", b"2", b"3"]),
        ("RIGHT", "RIGHT", "OBO", [b"5", b"4", b"3"]),
        ("RIGHT", "RIGHT", "BULK", [b"3", b"4", b"5"]),
        ("RIGHT", "LEFT", "OBO", [b"3", b"4", b"5"]),
        ("RIGHT", "LEFT", "BULK", [b"3", b"4", b"5"]),
    ],
)
def test_lmovem_moves_one_by_one_or_in_bulk(
    fresh: Harness, source_end: str, target_end: str, order: str, moved: list[bytes]
) -> None:
    fresh.run("RPUSH s 1 2 3 4 5")
    fresh.run("RPUSH d x")
    assert fresh.run("LMOVEM", "s", "d", source_end, target_end, "COUNT", 3, order) == moved
    assert fresh.run("LRANGE d 0 -1") == (moved + [b"x"] if target_end == "LEFT" else [b"x"] + moved)
    assert fresh.run("LLEN s") == 2
    assert_replays(fresh)


def test_lmovem_without_a_count_moves_one_value(fresh: Harness) -> None:
    fresh.run("RPUSH s 1 2")
    assert fresh.run("LMOVEM s d LEFT RIGHT") == [b"1"]
    assert fresh.run("LMOVEM s d LEFT RIGHT COUNT 9 OBO") == [b"2"]
    assert fresh.run("EXISTS s") == 0
    assert fresh.run("LMOVEM s d LEFT RIGHT COUNT 9 OBO") == []
    assert fresh.run("LRANGE d 0 -1") == [b"1", b"2"]
    assert_replays(fresh)


def test_lmovem_exactly_moves_all_or_nothing(fresh: Harness) -> None:
    fresh.run("RPUSH s 1 2 3")
    fresh.journal()
    assert wire(fresh, "LMOVEM s d LEFT RIGHT EXACTLY 4 BULK") == (b"*-1\r\n", b"_\r\n")
    assert wire(fresh, "LMOVEM missing d LEFT RIGHT EXACTLY 1 BULK") == (b"*-1\r\n", b"_\r\n")
    assert fresh.journal() == []
    assert fresh.run("LMOVEM s d LEFT RIGHT EXACTLY 3 BULK") == [b"1", b"2", b"3"]
    assert fresh.run("EXISTS s") == 0


def test_lmovem_within_one_list(fresh: Harness) -> None:
    fresh.run("RPUSH s a b c")
    assert fresh.run("LMOVEM s s LEFT LEFT EXACTLY 2 OBO") == [b"b", b"a"]
    assert fresh.run("LRANGE s 0 -1") == [b"b", b"a", b"c"]
    assert fresh.run("LMOVEM s s LEFT RIGHT COUNT 9 BULK") == [b"b", b"a", b"c"]
    assert fresh.run("LRANGE s 0 -1") == [b"b", b"a", b"c"]
    assert_replays(fresh)


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        ("LMOVEM s d LEFT", "-ERR wrong number of arguments for 'lmovem' command"),
        ("BLMOVEM s d LEFT RIGHT", "-ERR wrong number of arguments for 'blmovem' command"),
        ("LMOVEM s d LEFT RIGHT COUNT 2", "-ERR syntax error"),
        ("LMOVEM s d LEFT RIGHT COUNT 2 OBO extra", "-ERR syntax error"),
        ("LMOVEM s d LEFT RIGHT BAD 2 OBO", "-ERR syntax error"),
        ("LMOVEM s d LEFT RIGHT COUNT 2 BAD", "-ERR syntax error"),
        ("LMOVEM s d BAD RIGHT COUNT 2 OBO", "-ERR syntax error"),
        ("LMOVEM s d LEFT BAD COUNT 2 OBO", "-ERR syntax error"),
        ("LMOVEM s d LEFT RIGHT COUNT 0 BULK", "-ERR count should be greater than 0"),
        ("LMOVEM s d LEFT RIGHT EXACTLY -1 BULK", "-ERR count should be greater than 0"),
        ("LMOVEM s d LEFT RIGHT COUNT a BULK", "-ERR count should be greater than 0"),
        ("LMOVEM string d LEFT RIGHT", WRONG),
        ("LMOVEM s string LEFT RIGHT COUNT 2 BULK", WRONG),
        ("BLMOVEM s d LEFT RIGHT x COUNT 2 BULK", "-ERR timeout is not a float or out of range"),
        ("BLMOVEM s d LEFT RIGHT -1", "-ERR timeout is negative"),
    ],
)
def test_what_lmovem_refuses_changes_nothing(fresh: Harness, request_line: str, error: str) -> None:
    fresh.run("RPUSH s a b")
    fresh.run("SET string v")
    fresh.journal()
    assert fresh.run(request_line) == error
    assert fresh.run("LRANGE s 0 -1") == [b"a", b"b"]
    assert fresh.journal() == []


def test_blmovem_is_journaled_as_the_lmovem_that_it_was(fresh: Harness) -> None:
    fresh.run("RPUSH s 1 2 3 4")
    fresh.journal()
    assert fresh.run("BLMOVEM s d LEFT RIGHT 0 COUNT 9 OBO") == [b"1", b"2", b"3", b"4"]
    assert fresh.journal() == [[b"LMOVEM", b"s", b"d", b"LEFT", b"RIGHT", b"EXACTLY", b"4", b"OBO"]]


def test_blmovem_exactly_waits_for_enough(fresh: Harness) -> None:
    reader = fresh.client()
    reader.run("BLMOVEM s d LEFT RIGHT 0 EXACTLY 3 BULK")
    fresh.run("RPUSH s 1 2")
    assert reader.received() == b""
    assert fresh.run("EXISTS d") == 0
    fresh.run("LINSERT s BEFORE 1 0")
    assert reader.received() == b"*3\r\n$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n"
    assert fresh.run("EXISTS s") == 0


def test_blmovem_counting_takes_what_there_is(fresh: Harness) -> None:
    reader = fresh.client()
    reader.run("BLMOVEM s d LEFT RIGHT 0 COUNT 5 BULK")
    fresh.run("RPUSH s 1 2")
    assert reader.received() == b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n"


def test_who_waits_for_many_does_not_hold_up_who_waits_for_one(fresh: Harness) -> None:
    many, one = fresh.client(), fresh.client()
    many.run("BLMOVEM s d LEFT RIGHT 0 EXACTLY 3 BULK")
    one.run("BLPOP s 0")
    fresh.run("RPUSH s 1")
    assert many.received() == b""
    assert one.received() == b"*2\r\n$1\r\ns\r\n$1\r\n1\r\n"


def test_blmovem_gives_up_with_a_null_array(fresh: Harness) -> None:
    reader = fresh.client()
    reader.run("BLMOVEM s d LEFT RIGHT 1 EXACTLY 3 BULK")
    fresh.advance(1.5)
    assert reader.received() == b"*-1\r\n"
    fresh.run("MULTI")
    fresh.run("BLMOVEM s d LEFT RIGHT 0 EXACTLY 3 BULK")
    assert fresh.run("EXEC") == [None]


def test_a_move_and_an_emptied_list_are_one_change_each() -> None:
    h = Harness()
    for request_line in ("RPUSH k a", "LMOVE k j LEFT LEFT", "LPOP j", "RPUSH k a b", "LMPOP 1 k LEFT COUNT 2"):
        before = h.engine.keyspace.dirty
        h.run(request_line)
        assert h.engine.keyspace.dirty == before + 1, request_line
