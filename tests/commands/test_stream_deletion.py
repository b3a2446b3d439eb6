"""XDELEX, XACKDEL, and KEEPREF, DELREF and ACKED of XADD and XTRIM: replies, errors, references, journal."""

import pytest
from support.engine import Harness
from support.streams import assert_replays_streams

WRONG_TYPE = "-WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "-ERR syntax error"


@pytest.fixture
def h() -> Harness:
    return Harness()


def fill(h: Harness, count: int, *groups: str) -> None:
    """Entries 1-0, 2-0 ...; all of them pending in each group."""
    for i in range(1, count + 1):
        h.run("XADD", "s", f"{i}-0", "n", i)
    for group in groups:
        h.run("XGROUP", "CREATE", "s", group, 0)
        h.run("XREADGROUP", "GROUP", group, "c", "STREAMS", "s", ">")


def ids(h: Harness) -> list[int]:
    return [int(row[0].split(b"-")[0]) for row in h.run("XRANGE s - +")]


def pending(h: Harness, group: str) -> list[int]:
    return [int(row[0].split(b"-")[0]) for row in h.run("XPENDING", "s", group, "-", "+", 1000)]


# -- XDELEX


def test_xdelex_keeps_references_unless_told_otherwise(h: Harness) -> None:
    fill(h, 3, "g")
    assert h.run("XDELEX s IDS 2 1-0 9-0") == [1, -1]
    assert h.run("XDELEX s KEEPREF IDS 1 2-0") == [1]
    assert ids(h) == [3]
    assert pending(h, "g") == [1, 2, 3]
    assert_replays_streams(h)


def test_xdelex_delref_drops_references_even_of_what_is_gone(h: Harness) -> None:
    fill(h, 3, "g", "k")
    h.run("XDEL s 2-0")
    assert h.run("XDELEX s DELREF IDS 3 1-0 2-0 9-0") == [1, -1, -1]
    assert pending(h, "g") == pending(h, "k") == [3]
    assert_replays_streams(h)


def test_xdelex_acked_spares_what_a_group_has_yet_to_read_or_to_acknowledge(h: Harness) -> None:
    fill(h, 3, "g", "k")
    h.run("XADD s 4-0 n 4")
    h.run("XACK s g 1-0 2-0")
    h.run("XACK s k 1-0 3-0")
    h.journal()
    assert h.run("XDELEX s ACKED IDS 5 1-0 2-0 3-0 4-0 9-0") == [1, 2, 2, 2, 2], "what is yet to come counts as unread"
    assert h.journal() == [[b"XDEL", b"s", b"1-0"]]
    h.run("XGROUP DESTROY s g")
    assert h.run("XDELEX s ACKED IDS 3 2-0 3-0 4-0") == [2, 1, 2]
    h.run("XGROUP DESTROY s k")
    assert h.run("XDELEX s ACKED IDS 2 2-0 4-0") == [1, 1]


def test_ids_may_stand_before_the_policy(h: Harness) -> None:
    fill(h, 2, "g")
    assert h.run("XDELEX s IDS 1 1-0 acked") == [2]
    assert h.run("XACKDEL s g IDS 1 1-0 delref") == [1]


def test_nothing_is_found_without_key_or_group(h: Harness) -> None:
    assert h.run("XDELEX s IDS 2 1-1 2-2") == [-1, -1]
    assert h.run("XACKDEL s g IDS 2 1-1 2-2") == [-1, -1]
    h.run("XADD s 1-0 f v")
    h.journal()
    assert h.run("XACKDEL s g IDS 1 1-0") == [-1]
    assert h.run("EXISTS s") == 1
    assert h.journal() == []


@pytest.mark.parametrize("start", ["XDELEX s", "XACKDEL s g"])
@pytest.mark.parametrize(
    ("rest", "error"),
    [
        ("IDS abc 1-1", "-ERR Number of IDs must be a positive integer"),
        ("IDS 0 1-1", "-ERR Number of IDs must be a positive integer"),
        ("IDS -5 1-1", "-ERR Number of IDs must be a positive integer"),
        ("IDS 3 1-1 2-2", "-ERR The `numids` parameter must match the number of arguments"),
        ("IDS 1 1-1 2-2", SYNTAX),
        ("KEEPREF DELREF IDS 1 1-1", SYNTAX),
        ("DELREF ACKED IDS 1 1-1", SYNTAX),
        ("DELREF 1 1-1 1-1", SYNTAX),
        ("KEEPREF IDS 1 x", "-ERR Invalid stream ID specified as stream command argument"),
        ("IDS 2 1-0 x", "-ERR Invalid stream ID specified as stream command argument"),
    ],
)
def test_errors_change_nothing(h: Harness, start: str, rest: str, error: str) -> None:
    fill(h, 1, "g")
    h.journal()
    assert h.run(f"{start} {rest}") == error
    assert h.journal() == []
    assert ids(h) == pending(h, "g") == [1]


def test_another_type_is_refused(h: Harness) -> None:
    h.run("SET s v")
    assert h.run("XDELEX s IDS 1 1-1") == WRONG_TYPE
    assert h.run("XACKDEL s g IDS 1 1-1") == WRONG_TYPE


# -- XACKDEL


def test_xackdel_keepref_leaves_others_with_what_is_gone(h: Harness) -> None:
    fill(h, 2, "g", "k")
    assert h.run("XACKDEL s g KEEPREF IDS 2 1-0 2-0") == [1, 1]
    assert ids(h) == pending(h, "g") == []
    assert pending(h, "k") == [1, 2]
    assert h.run("XACKDEL s k IDS 3 1-0 2-0 3-0") == [1, 1, -1]
    assert pending(h, "k") == []
    assert_replays_streams(h)


def test_xackdel_delref_drops_references_everywhere(h: Harness) -> None:
    fill(h, 2, "g", "k")
    assert h.run("XACKDEL s g DELREF IDS 2 1-0 2-0") == [1, 1]
    assert ids(h) == pending(h, "g") == pending(h, "k") == []
    assert h.run("XACKDEL s k DELREF IDS 2 1-0 2-0") == [-1, -1]
    assert_replays_streams(h)


def test_xackdel_acked_deletes_with_the_last_group(h: Harness) -> None:
    fill(h, 2, "g", "k")
    assert h.run("XACKDEL s g ACKED IDS 2 1-0 2-0") == [2, 2]
    assert ids(h) == [1, 2]
    assert pending(h, "g") == []
    h.journal()
    assert h.run("XACKDEL s k ACKED IDS 1 1-0") == [1]
    assert h.journal() == [[b"MULTI"], [b"XACK", b"s", b"k", b"1-0"], [b"XDEL", b"s", b"1-0"], [b"EXEC"]]
    assert h.run("XACKDEL s k ACKED IDS 1 2-0") == [1]
    assert ids(h) == []


def test_xackdel_takes_many_ids(h: Harness) -> None:
    h.run("XGROUP CREATE s g $ MKSTREAM")
    request = ["XACKDEL", "s", "g", "IDS", "50", *[f"{i}-1" for i in range(50)]]
    assert h.run(*request) == [-1] * 50


# -- XADD and XTRIM


@pytest.mark.parametrize("operator", ["=", "~"])
def test_a_trim_of_what_is_acked_spares_the_rest(h: Harness, operator: str) -> None:
    fill(h, 5)
    h.run("XGROUP CREATE s g 0")
    h.run("XADD", "s", "MAXLEN", operator, 1, "ACKED", "6-0", "n", 6)
    assert ids(h) == [1, 2, 3, 4, 5, 6]
    h.run("XREADGROUP GROUP g c COUNT 1 STREAMS s >")
    h.run("XACK s g 1-0")
    h.run("XADD", "s", "MAXLEN", operator, 1, "ACKED", "7-0", "n", 7)
    assert ids(h) == [2, 3, 4, 5, 6, 7]
    h.run("XREADGROUP GROUP g c STREAMS s >")
    h.run("XACK s g 3-0 4-0 6-0 7-0")
    assert h.run("XTRIM", "s", "MAXLEN", operator, 3, "ACKED") == 3
    assert ids(h) == [2, 5, 7]
    h.run("XACK s g 2-0 5-0")
    h.run("XADD", "s", "ACKED", "MAXLEN", operator, 1, "8-0", "n", 8)
    assert ids(h) == [8]
    assert_replays_streams(h)


def test_an_approximate_trim_of_what_is_acked_does_not_let_a_stream_grow(h: Harness) -> None:
    """One entry that nobody acknowledges pins itself, and nothing else."""
    h.run("XGROUP CREATE s g 0 MKSTREAM")
    for i in range(1, 1001):
        h.run("XADD", "s", "ACKED", "MAXLEN", "~", 10, f"{i}-0", "n", i)
        h.run("XREADGROUP GROUP g c STREAMS s >")
        if i != 5:
            h.run("XACK", "s", "g", f"{i}-0")
    assert ids(h) == [5, *range(992, 1001)]
    assert_replays_streams(h)


def test_a_trim_by_id_of_what_is_acked(h: Harness) -> None:
    fill(h, 6, "g")
    h.run("XACK s g 1-0 2-0 4-0 6-0")
    h.journal()
    assert h.run("XTRIM s MINID 5 ACKED") == 3
    assert h.journal() == [
        [b"MULTI"], [b"XTRIM", b"s", b"MAXLEN", b"=", b"4"], [b"XDEL", b"s", b"4-0"], [b"EXEC"],
    ]  # fmt: skip
    assert ids(h) == [3, 5, 6]


def test_the_policy_means_nothing_without_groups(h: Harness) -> None:
    fill(h, 4)
    assert h.run("XTRIM s MAXLEN 3 ACKED") == 1
    assert h.run("XTRIM s DELREF MAXLEN 2") == 1
    h.run("XADD s KEEPREF MAXLEN = 1 5-0 n 5")
    assert ids(h) == [5]
    h.run("XADD s KEEPREF 6-0 n 6")
    assert ids(h) == [5, 6]
    assert_replays_streams(h)


def test_a_trim_drops_the_references_to_what_it_removes(h: Harness) -> None:
    fill(h, 5, "g", "k")
    h.run("XDEL s 1-0")
    assert h.run("XTRIM s MAXLEN 2 DELREF") == 2
    assert pending(h, "g") == pending(h, "k") == [1, 4, 5]  # what was gone before stays as it is
    h.run("XADD s MAXLEN = 1 DELREF 6-0 n 6")
    assert pending(h, "g") == [1]
    assert_replays_streams(h)


def test_a_trim_that_drops_references_is_exact_and_limited_by_blocks(h: Harness) -> None:
    fill(h, 250, "g")
    assert h.run("XTRIM s MAXLEN ~ 120 LIMIT 99 DELREF") == 0, "the first block has 100"
    assert h.run("XTRIM s MAXLEN ~ 120 LIMIT 199 DELREF") == 100
    assert pending(h, "g") == list(range(101, 251))
    assert h.run("XTRIM s MAXLEN ~ 120 DELREF") == 30
    h.run("XADD s DELREF MAXLEN ~ 20 900-0 n 900")
    assert pending(h, "g") == list(range(232, 251))
    assert_replays_streams(h)


def test_a_trim_of_what_is_acknowledged_is_limited_by_blocks(h: Harness) -> None:
    fill(h, 250, "g")
    h.run("XACK", "s", "g", *[f"{i}-0" for i in range(1, 251) if i % 50])  # 50, 100 ... stay pending
    assert h.run("XTRIM s MAXLEN ~ 0 LIMIT 99 ACKED") == 0
    assert h.run("XTRIM s MAXLEN ~ 0 LIMIT 100 ACKED") == 98
    assert h.run("XTRIM s MAXLEN ~ 0 LIMIT 102 ACKED") == 98, "2 of the first block are left, then 100"
    assert h.run("XTRIM s MAXLEN ~ 0 ACKED") == 49
    assert ids(h) == [50, 100, 150, 200, 250]
    assert_replays_streams(h)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XTRIM s MAXLEN 1 KEEPREF ACKED", SYNTAX),
        ("XTRIM s DELREF DELREF MAXLEN 1", SYNTAX),
        ("XTRIM s ACKED 1", "-ERR syntax error"),
        ("XADD s ACKED KEEPREF * f v", "-ERR Invalid stream ID specified as stream command argument"),
    ],
)
def test_one_policy_at_most(h: Harness, request_: str, error: str) -> None:
    fill(h, 2)
    assert h.run(request_) == error
    assert ids(h) == [1, 2]


# -- XADD IFLAST


def test_iflast_appends_only_after_the_entry_that_was_meant(h: Harness) -> None:
    assert h.run("XADD s IFLAST 0 1-0 n 1") == b"1-0"
    assert h.run("XADD s IFLAST 0 2-0 n 2") == "-STALE The last ID of the stream is 1-0"
    assert h.run("XADD t IFLAST 5 2-0 n 2") == "-STALE The last ID of the stream is 0-0"
    assert h.run("EXISTS t") == 0
    assert h.run("XADD s IFLAST x 2-0 n 2") == "-ERR Invalid stream ID specified as stream command argument"
    h.journal()
    assert h.run("XADD s IFLAST 1-0 MAXLEN 1 2-0 n 2") == b"2-0"
    assert h.run("XADD s IFLAST 2-0 3-0 n 3") == b"3-0"
    assert h.journal() == [
        [b"XADD", b"s", b"MAXLEN", b"=", b"1", b"2-0", b"n", b"2"],
        [b"XADD", b"s", b"3-0", b"n", b"3"],
    ]


def test_iflast_counts_entries_that_were_deleted(h: Harness) -> None:
    fill(h, 2)
    h.run("XDEL s 2-0")
    assert h.run("XADD s IFLAST 1-0 * n 3") == "-STALE The last ID of the stream is 2-0"
    assert h.run("XADD s IFLAST 2-0 3-0 n 3") == b"3-0"


def test_readers_who_wait_for_room_go_on(h: Harness) -> None:
    """A group with a cap on what is in flight has room again, whichever command made it."""
    fill(h, 2)
    h.run("XGROUP CREATE s g 0")
    h.run("XGROUP POLICY s g MAXPENDING 1")
    h.run("XREADGROUP GROUP g c STREAMS s >")
    assert pending(h, "g") == [1]
    reader = h.client()
    reader.run("XREADGROUP GROUP g d BLOCK 0 STREAMS s >")
    assert reader.received() == b""
    h.run("XACKDEL s g IDS 1 1-0")
    assert pending(h, "g") == [2]
    assert b"2-0" in reader.received()
    h.run("XDEL s 2-0")
    h.run("XADD s 3-0 n 3")
    reader.run("XREADGROUP GROUP g d BLOCK 0 STREAMS s >")
    assert h.run("XDELEX s DELREF IDS 1 2-0") == [-1]
    assert b"3-0" in reader.received()
