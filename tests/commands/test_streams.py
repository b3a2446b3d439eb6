"""XADD, XTRIM, XDEL, XSETID, XLEN, XRANGE, XREVRANGE, XREAD: replies, errors and their order, journal, waiting."""

import pytest
from support.engine import Client, Harness
from support.same_data import wire
from support.streams import assert_replays_streams

from broker.protocol.replies import ErrorReply

NOW = 1_700_000_000_000  # ms, the Harness's clock
WRONG_TYPE = "-WRONGTYPE Operation against a key holding the wrong kind of value"
INVALID_ID = "-ERR Invalid stream ID specified as stream command argument"
SYNTAX = "-ERR syntax error"
NOT_RISING = "-ERR The ID specified in XADD is equal or smaller than the target stream top item"
EXHAUSTED = "-ERR The stream has exhausted the last possible ID, unable to add more items"
LAST = "18446744073709551615-18446744073709551615"


@pytest.fixture
def h() -> Harness:
    return Harness()


def fill(h: Harness, count: int, key: str = "s") -> None:
    """Entries 1-0, 2-0 ... with the field n."""
    for i in range(1, count + 1):
        h.run("XADD", key, f"{i}-0", "n", i)


def ids(rows: list[list[bytes]]) -> list[bytes]:
    return [row[0] for row in rows]


def waiting(h: Harness, request: str) -> Client:
    client = h.client()
    client.run(request)
    assert client.session.is_blocked, request
    return client


# -- XADD


def test_xadd_chooses_ids_that_rise_with_the_clock_and_never_fall(h: Harness) -> None:
    assert h.run("XADD s * f v") == b"%d-0" % NOW
    assert h.run("XADD s * f v") == b"%d-1" % NOW
    h.advance(0.002)
    assert h.run("xadd s * f v") == b"%d-0" % (NOW + 2)
    h.time.now -= 5
    assert h.run("XADD s * f v") == b"%d-1" % (NOW + 2)
    assert h.run("TYPE s") == "stream"
    assert_replays_streams(h)


def test_xadd_takes_ids_that_rise(h: Harness) -> None:
    assert h.run("XADD s 5-3 f v") == b"5-3"
    assert h.run("XADD s 5-3 f v") == NOT_RISING
    assert h.run("XADD s 5-2 f v") == NOT_RISING
    assert h.run("XADD s 4 f v") == NOT_RISING
    assert h.run("XADD s 6 f v g w") == b"6-0"
    assert h.run("XRANGE s - +") == [[b"5-3", [b"f", b"v"]], [b"6-0", [b"f", b"v", b"g", b"w"]]]
    assert_replays_streams(h)


def test_xadd_fills_in_the_sequence_of_an_open_id(h: Harness) -> None:
    assert h.run("XADD s 0-* f v") == b"0-1"
    assert h.run("XADD s 5-* f v") == b"5-0"
    assert h.run("XADD s 5-* f v") == b"5-1"
    assert h.run("XADD s 4-* f v") == NOT_RISING
    h.run("XADD s 5-18446744073709551615 f v")
    assert h.run("XADD s 5-* f v") == NOT_RISING
    assert_replays_streams(h)


def test_xadd_ends_at_the_last_id(h: Harness) -> None:
    assert h.run(f"XADD s {LAST} f v") == LAST.encode()
    assert h.run("XADD s * f v") == EXHAUSTED
    assert h.run("XADD s 1-* f v") == EXHAUSTED
    assert h.run(f"XADD s {LAST} f v") == EXHAUSTED


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XADD s * f", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s * f v g", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s 1-1 f v g", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s NOMKSTREAM * f", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s MAXLEN 5 NOMKSTREAM", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s 0-0 f v", "-ERR The ID specified in XADD must be greater than 0-0"),
        ("XADD s 0 f v", "-ERR The ID specified in XADD must be greater than 0-0"),
        ("XADD s 0-0 f v g", "-ERR wrong number of arguments for 'xadd' command"),
        ("XADD s x f v", INVALID_ID),
        ("XADD s - f v", INVALID_ID),
        ("XADD s x f v g", INVALID_ID),
        ("XADD s 1-x f v", INVALID_ID),
        ("XADD s MAXLEN x * f v", "-ERR value is not an integer or out of range"),
        ("XADD s MAXLEN -1 * f v", "-ERR The MAXLEN argument must be >= 0."),
        ("XADD s MINID x * f v", INVALID_ID),
        ("XADD s MAXLEN 1 MINID 1 * f v",
         "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible"),
        ("XADD s MAXLEN ~ 1 LIMIT -1 * f v", "-ERR The LIMIT argument must be >= 0."),
        ("XADD s LIMIT 1 * f v",
         "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"),
        ("XADD s MAXLEN 1 LIMIT 1 * f v",
         "-ERR syntax error, LIMIT cannot be used without the special ~ option"),
        ("XADD s MAXLEN = 1 LIMIT 0 * f v",
         "-ERR syntax error, LIMIT cannot be used without the special ~ option"),
    ],
)  # fmt: skip
def test_xadd_refuses_what_redis_refuses_and_makes_no_key(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == error
    assert h.run("EXISTS s") == 0
    assert h.journal() == []


def test_xadd_of_another_type_is_an_error(h: Harness) -> None:
    h.run("SET k v")
    for request in ("XADD k * f v", "XADD k 1-1 f v", "XADD k NOMKSTREAM * f v", "XTRIM k MAXLEN 1", "XDEL k 1",
                    "XLEN k", "XRANGE k - +", "XREAD STREAMS k 0", "XSETID k 1"):  # fmt: skip
        assert h.run(request) == WRONG_TYPE, request


def test_nomkstream_adds_to_what_exists_only(h: Harness) -> None:
    assert h.run("XADD s NOMKSTREAM * f v") is None
    assert h.run("EXISTS s") == 0
    h.run("XADD s 1-1 f v")
    assert h.run("XADD s nomkstream 2-1 f v") == b"2-1"
    assert_replays_streams(h)


def test_xadd_with_an_exact_trim_is_journaled_with_its_id(h: Harness) -> None:
    fill(h, 5)
    h.journal()
    assert h.run("XADD s MAXLEN 3 * f v") == b"%d-0" % NOW
    assert ids(h.run("XRANGE s - +")) == [b"4-0", b"5-0", b"%d-0" % NOW]
    assert h.run("XADD s MINID = 5 9999999999999-* f v") == b"9999999999999-0"
    assert h.run("XLEN s") == 3
    assert h.journal() == [
        [b"XADD", b"s", b"MAXLEN", b"3", b"%d-0" % NOW, b"f", b"v"],
        [b"XADD", b"s", b"MINID", b"=", b"5", b"9999999999999-0", b"f", b"v"],
    ]


def test_an_approximate_trim_drops_whole_blocks_and_is_journaled_as_its_result(h: Harness) -> None:
    fill(h, 250)
    h.journal()
    assert h.run("XADD s MAXLEN ~ 120 251-0 f v") == b"251-0"
    assert h.run("XLEN s") == 151
    assert h.run("XADD s MAXLEN ~ 120 252-0 f v") == b"252-0"
    assert h.run("XADD s MINID ~ 250 253-0 f v") == b"253-0"
    assert h.run("XLEN s") == 53
    assert h.journal() == [
        [b"XADD", b"s", b"MAXLEN", b"=", b"151", b"251-0", b"f", b"v"],
        [b"XADD", b"s", b"252-0", b"f", b"v"],
        [b"XADD", b"s", b"MAXLEN", b"=", b"53", b"253-0", b"f", b"v"],
    ]


def test_an_approximate_trim_may_empty_the_stream(h: Harness) -> None:
    fill(h, 100)
    assert h.run("XADD s MAXLEN ~ 0 200-0 f v") == b"200-0"
    assert h.run("XLEN s") == 0
    assert_replays_streams(h)


# -- XTRIM


def test_xtrim_by_length_and_by_id(h: Harness) -> None:
    fill(h, 250)
    assert h.run("XTRIM s MAXLEN 220") == 30
    assert h.run("XTRIM s MINID 100") == 69
    assert ids(h.run("XRANGE s - + COUNT 1")) == [b"100-0"]
    assert h.run("XTRIM s MAXLEN 1000") == 0
    assert h.run("XTRIM no MAXLEN 0") == 0
    assert_replays_streams(h)


def test_xtrim_within_a_limit(h: Harness) -> None:
    fill(h, 350)
    assert h.run("XTRIM s MAXLEN ~ 0 LIMIT 99") == 0
    assert h.run("XTRIM s MAXLEN ~ 0 LIMIT 250") == 200
    assert h.run("XTRIM s MINID ~ 310 LIMIT 0") == 100
    assert h.run("XLEN s") == 50
    assert_replays_streams(h)


def test_xtrim_removes_ten_thousand_at_once_unless_told_otherwise(h: Harness) -> None:
    for i in range(1, 10_301):
        h.run("XADD", "s", i, "f", "v")
    assert h.run("XTRIM s MAXLEN ~ 0") == 10_000
    assert h.run("XTRIM s MAXLEN ~ 0") == 300


def test_xtrim_is_journaled_by_its_result_when_blocks_decide(h: Harness) -> None:
    fill(h, 150)
    h.journal()
    h.run("XTRIM s MINID ~ 140")
    h.run("XTRIM s MAXLEN ~ 40")
    h.run("XTRIM s MAXLEN 40")
    assert h.journal() == [
        [b"XTRIM", b"s", b"MAXLEN", b"=", b"50"],
        [b"XTRIM", b"s", b"MAXLEN", b"40"],
    ]


def test_a_replayed_trim_knows_no_limit(h: Harness) -> None:
    """Redis replaces `~ n` by `= result` in its log, and leaves LIMIT where it was."""
    fill(h, 20)
    session = h.engine.replay_session()
    h.engine.execute(session, b"XADD s MAXLEN = 5 LIMIT 1 21-0 f v".split())
    assert h.run("XLEN s") == 5


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XTRIM s FOO 5", SYNTAX),
        ("XTRIM s MAXLEN 5 FOO", SYNTAX),
        ("XTRIM s MAXLEN 5 MINID 1", "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible"),
        ("XTRIM s LIMIT 5", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"),
        ("XTRIM s LIMIT 0", "-ERR syntax error, XTRIM must be called with a trimming strategy"),
        ("XTRIM s MAXLEN ~", "-ERR value is not an integer or out of range"),
    ],
)
def test_xtrim_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == error


# -- XDEL, XSETID


def test_xdel_counts_what_was_there(h: Harness) -> None:
    fill(h, 5)
    h.journal()
    assert h.run("XDEL s 2 2-0 9-9 4-0") == 2
    assert h.run("XDEL s 2") == 0
    assert h.run("XDEL no 2") == 0
    assert h.run("XDEL no x") == 0
    assert h.run("XDEL s 1 x") == INVALID_ID
    assert ids(h.run("XRANGE s - +")) == [b"1-0", b"3-0", b"5-0"]
    assert h.journal() == [b"XDEL s 2 2-0 9-9 4-0".split()]


def test_a_stream_without_entries_stays(h: Harness) -> None:
    fill(h, 1)
    assert h.run("XDEL s 1-0") == 1
    assert h.run("EXISTS s") == 1
    assert h.run("XRANGE s - +") == []
    assert h.run("XADD s 1-0 f v") == NOT_RISING
    assert_replays_streams(h)


def test_xsetid_sets_what_it_is_told(h: Harness) -> None:
    fill(h, 2)
    assert h.run("XSETID s 9-1 ENTRIESADDED 7 MAXDELETEDID 8-1") == "OK"
    info = h.run("XINFO STREAM s")
    assert info[info.index(b"last-generated-id") + 1] == b"9-1"
    assert info[info.index(b"entries-added") + 1] == 7
    assert info[info.index(b"max-deleted-entry-id") + 1] == b"8-1"
    assert h.run("XADD s 9-1 f v") == NOT_RISING
    assert_replays_streams(h)


def test_xsetid_may_free_ids_of_deleted_entries(h: Harness) -> None:
    fill(h, 5)
    h.run("XDEL s 3")
    h.run("XTRIM s MAXLEN 0")
    assert h.run("XSETID s 2-9") == "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
    assert h.run("XSETID s 3-0") == "OK"
    assert h.run("XADD s 3-5 f v") == b"3-5"
    assert ids(h.run("XRANGE s 3 5")) == [b"3-5"]
    assert_replays_streams(h)


def test_a_log_from_before_7_2_may_set_an_id_below_deleted_ones(h: Harness) -> None:
    replayed = Harness()
    session = replayed.engine.replay_session()
    for request in ("XADD s 1-0 f v", "XADD s 5-0 f v", "XDEL s 5-0", "XSETID s 3-0", "XADD s 3-5 f v"):
        reply = replayed.engine.execute(session, [word.encode() for word in request.split()])
        assert not isinstance(reply, ErrorReply), request
    assert ids(replayed.run("XRANGE s - +")) == [b"1-0", b"3-5"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XSETID no x FOO", INVALID_ID),
        ("XSETID no 1 FOO", SYNTAX),
        ("XSETID no 1 ENTRIESADDED", SYNTAX),
        ("XSETID no 1 ENTRIESADDED -1", "-ERR entries_added must be positive"),
        ("XSETID no 1 ENTRIESADDED x", "-ERR value is not an integer or out of range"),
        ("XSETID no 1 MAXDELETEDID 2",
         "-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"),
        ("XSETID no 1", "-ERR no such key"),
        ("XSETID s 1", "-ERR The ID specified in XSETID is smaller than the target stream top item"),
        ("XSETID s 9 ENTRIESADDED 1",
         "-ERR The entries_added specified in XSETID is smaller than the target stream length"),
    ],
)  # fmt: skip
def test_xsetid_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    fill(h, 2)
    assert h.run(request_) == error


# -- XRANGE, XREVRANGE, XLEN


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ("- +", ["1-1", "1-2", "2-0", "3-7"]),
        ("1 1", ["1-1", "1-2"]),
        ("1-2 2", ["1-2", "2-0"]),
        ("(1-1 (3-7", ["1-2", "2-0"]),
        ("(1 (2", ["1-1", "1-2", "2-0"]),  # an open end without a sequence is before the last id of its millisecond
        ("3 2", []),
        ("+ -", []),
        ("4 +", []),
        ("- + COUNT 2", ["1-1", "1-2"]),
        ("- + count 99", ["1-1", "1-2", "2-0", "3-7"]),
        ("- + COUNT 1 COUNT 3", ["1-1", "1-2", "2-0"]),
    ],
)
def test_xrange_gives_what_lies_between(h: Harness, bounds: str, expected: list[str]) -> None:
    for entry_id in ("1-1", "1-2", "2-0", "3-7"):
        h.run(f"XADD s {entry_id} f v")
    assert ids(h.run(f"XRANGE s {bounds}")) == [entry_id.encode() for entry_id in expected]


def test_xrevrange_begins_with_the_newest(h: Harness) -> None:
    fill(h, 250)
    h.run("XDEL s 249 150 149")
    assert ids(h.run("XREVRANGE s + - COUNT 2")) == [b"250-0", b"248-0"]
    assert ids(h.run("XREVRANGE s 151 (147")) == [b"151-0", b"148-0"]
    assert len(h.run("XREVRANGE s + -")) == 247


def test_xrange_of_nothing(h: Harness) -> None:
    fill(h, 1)
    assert h.run("XRANGE no - +") == []
    assert wire(h, "XRANGE s - + COUNT 0") == (b"*-1\r\n", b"_\r\n")
    assert wire(h, "XRANGE s - + COUNT -3") == (b"*-1\r\n", b"_\r\n")
    assert wire(h, "XRANGE no - + COUNT 0") == (b"*0\r\n", b"*0\r\n")
    assert h.run("XLEN no") == 0


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XRANGE s x y COUNT z", INVALID_ID),
        ("XRANGE s ( +", INVALID_ID),
        ("XRANGE s (- +", INVALID_ID),
        ("XRANGE s $ +", INVALID_ID),
        (f"XRANGE s ({LAST} +", "-ERR invalid start ID for the interval"),
        ("XRANGE s - (0-0", "-ERR invalid end ID for the interval"),
        (f"XREVRANGE s + ({LAST}", "-ERR invalid start ID for the interval"),
        ("XRANGE s - + COUNT", SYNTAX),
        ("XRANGE s - + LIMIT 1", SYNTAX),
        ("XRANGE s - + COUNT x", "-ERR value is not an integer or out of range"),
    ],
)
def test_xrange_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == error


# -- XREAD


def test_xread_gives_what_comes_after_an_id(h: Harness) -> None:
    fill(h, 3, "a")
    fill(h, 2, "b")
    assert h.run("XREAD COUNT 1 STREAMS a b c 1 0 0") == [
        [b"a", [[b"2-0", [b"n", b"2"]]]],
        [b"b", [[b"1-0", [b"n", b"1"]]]],
    ]
    assert [ids(rows) for _, rows in h.run("XREAD COUNT 0 STREAMS a 0")] == [[b"1-0", b"2-0", b"3-0"]]
    assert h.run("XREAD STREAMS a b 3 $") is None


def test_xread_is_a_map_in_resp3(h: Harness) -> None:
    fill(h, 1)
    h.run("HELLO 3")
    entry = b"*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nn\r\n$1\r\n1\r\n"
    assert wire(h, "XREAD STREAMS s 0")[1] == b"%1\r\n$1\r\ns\r\n" + entry
    assert wire(h, "XREAD STREAMS s $")[1] == b"_\r\n"
    h.run("HELLO 2")
    assert wire(h, "XREAD STREAMS s 0")[0] == b"*1\r\n*2\r\n$1\r\ns\r\n" + entry
    assert wire(h, "XREAD STREAMS s $")[0] == b"*-1\r\n"


def test_plus_is_the_newest_entry_that_is_there(h: Harness) -> None:
    fill(h, 3)
    h.run("XDEL s 3")
    assert h.run("XREAD STREAMS s no + +") == [[b"s", [[b"2-0", [b"n", b"2"]]]]]
    h.run("XDEL s 1 2")
    assert h.run("XREAD STREAMS s +") is None


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XREAD COUNT 1 STREAMS s", "-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be "
                                    "specified."),
        ("XREAD COUNT 1 a STREAMS", SYNTAX),
        ("XREAD COUNT 1 COUNT 2", SYNTAX),
        ("XREAD COUNT x STREAMS s 0", "-ERR value is not an integer or out of range"),
        ("XREAD BLOCK x STREAMS s 0", "-ERR timeout is not an integer or out of range"),
        ("XREAD BLOCK 1.5 STREAMS s 0", "-ERR timeout is not an integer or out of range"),
        ("XREAD BLOCK -1 STREAMS s 0", "-ERR timeout is negative"),
        ("XREAD BLOCK 9223372036854775807 STREAMS s 0", "-ERR timeout is out of range"),
        ("XREAD GROUP g c STREAMS s 0",
         "-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead."),
        ("XREAD NOACK STREAMS s 0", "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."),
        ("XREAD STREAMS s >", "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
                              "<consumer> option."),
        ("XREAD STREAMS s -", INVALID_ID),
        ("XREAD STREAMS string x", WRONG_TYPE),
    ],
)  # fmt: skip
def test_xread_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    h.run("SET string v")
    assert h.run(request_) == error


def test_xread_waits_for_what_comes_after_now(h: Harness) -> None:
    fill(h, 2)
    reader = waiting(h, "XREAD BLOCK 0 STREAMS s t $ $")
    h.run("XADD s 9-1 f v")
    assert reader.received() == b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n9-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    assert not reader.session.is_blocked
    h.run("XADD s 9-2 f v")
    assert reader.received() == b""


def test_everybody_who_waits_for_a_stream_gets_the_entry(h: Harness) -> None:
    readers = [waiting(h, "xread block 0 streams s $") for _ in range(3)]
    h.run("XADD s 1-1 f v")
    expected = b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
    assert [reader.received() for reader in readers] == [expected] * 3


def test_a_reader_in_resp3_is_answered_with_a_map(h: Harness) -> None:
    reader = h.client()
    reader.run("HELLO 3")
    reader.run("XREAD BLOCK 0 STREAMS s $")
    h.run("XADD s 1-1 f v")
    assert reader.received().startswith(b"%1\r\n$1\r\ns\r\n*1\r\n")


def test_a_reader_gets_all_that_one_transaction_added(h: Harness) -> None:
    reader = waiting(h, "XREAD COUNT 5 BLOCK 0 STREAMS s $")
    for request in ("MULTI", "XADD s 1-1 f v", "XADD s 1-2 f v", "EXEC"):
        h.run(request)
    assert reader.received().count(b"$1\r\nv\r\n") == 2


def test_a_reader_waits_on_when_the_entries_are_not_new_to_it(h: Harness) -> None:
    reader = waiting(h, "XREAD BLOCK 0 STREAMS s 5-0")
    h.run("XADD s 4-0 f v")
    h.run("XDEL s 4-0")
    assert reader.received() == b"" and reader.session.is_blocked
    h.run("XADD s 5-1 f v")
    assert b"5-1" in reader.received()


def test_a_reader_of_a_deleted_stream_waits_for_the_next_one(h: Harness) -> None:
    fill(h, 1)
    reader = waiting(h, "XREAD BLOCK 0 STREAMS s $")
    h.run("DEL s")
    h.run("SET s string")
    assert reader.session.is_blocked
    h.run("DEL s")
    h.run("XADD s 7-0 f v")
    assert b"7-0" in reader.received()


def test_a_reader_whose_time_is_up_gets_null(h: Harness) -> None:
    reader = waiting(h, "XREAD BLOCK 100 STREAMS s $")
    h.advance(0.099)
    assert reader.received() == b""
    h.advance(0.002)
    assert reader.received() == b"*-1\r\n"


def test_nobody_waits_in_a_transaction(h: Harness) -> None:
    h.run("MULTI")
    h.run("XREAD BLOCK 0 STREAMS s $")
    assert h.run("EXEC") == [None]


# -- the rest


def test_events_are_those_of_redis(h: Harness) -> None:
    h.run("CONFIG SET notify-keyspace-events Et")
    listener = h.client()
    listener.run("PSUBSCRIBE *")
    listener.received()
    for request in ("XADD s 1-1 f v", "XADD s MAXLEN 1 2-1 f v", "XTRIM s MAXLEN 0", "XTRIM s MAXLEN 0", "XADD s 3 f v",
                    "XDEL s 3", "XDEL s 3", "XSETID s 9"):  # fmt: skip
        h.run(request)
    heard = [line for line in listener.received().split(b"\r\n") if line.startswith(b"__keyevent")]
    assert [event.split(b":")[1] for event in heard] == [
        b"xadd", b"xadd", b"xtrim", b"xtrim", b"xadd", b"xdel", b"xsetid",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "fails"),
    [
        ("XADD s 9 f v", True),
        ("XDEL s 1", True),
        ("XDEL s 9", False),
        ("XTRIM s MAXLEN 1", True),
        ("XTRIM s MAXLEN 9", False),
        ("XSETID s 9", False),
        ("XGROUP CREATE s h 0", False),
        ("XREADGROUP GROUP g c STREAMS s >", False),
        ("XGROUP DESTROY s g", False),
        ("XGROUP CREATE new g 0 MKSTREAM", True),
    ],
)
def test_watch_fails_by_entries_alone(h: Harness, request_: str, fails: bool) -> None:
    fill(h, 2)
    h.run("XGROUP CREATE s g 0")
    client = h.client()
    client.run("WATCH s new")
    h.run(request_)
    client.run("MULTI")
    client.run("PING")
    assert client.run("EXEC") == (None if fails else ["PONG"])


def test_the_journal_of_many_writes_gives_the_same_stream(h: Harness) -> None:
    for i in range(1, 400):
        h.run("XADD", "s", "MAXLEN", "~", 150, "*", "n", i)
        h.advance(0.001 * (i % 3))
        if i % 7 == 0:
            h.run("XDEL", "s", h.run("XRANGE s - + COUNT 9")[-1][0])
        if i % 50 == 0:
            h.run("XTRIM s MAXLEN 120")
    assert_replays_streams(h)


# -- XREAD MAXCOUNT, MAXSIZE


def two_streams(h: Harness) -> None:
    fill(h, 5)
    fill(h, 5, "t")


def counts(reply: list[list[list[bytes]]] | None) -> dict[bytes, int] | None:
    return None if reply is None else {pair[0]: len(pair[1]) for pair in reply}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("MAXCOUNT 100", {b"s": 5, b"t": 5}),
        ("MAXCOUNT 7", {b"s": 5, b"t": 2}),
        ("MAXCOUNT 5", {b"s": 5}),
        ("MAXCOUNT 1", {b"s": 1}),
        ("COUNT 2 MAXCOUNT 3", {b"s": 2, b"t": 1}),
        ("COUNT 3 MAXCOUNT 3", {b"s": 3}),
        ("MAXSIZE 1", {b"s": 1}),
        ("MAXSIZE 1000", {b"s": 5, b"t": 5}),
        ("COUNT 1 MAXSIZE 1", {b"s": 1}),
        ("COUNT 2 MAXSIZE 1000", {b"s": 2, b"t": 2}),
        ("MAXSIZE 1000 MAXCOUNT 6", {b"s": 5, b"t": 1}),
    ],
)
def test_a_reply_is_capped_over_all_streams(h: Harness, options: str, expected: dict[bytes, int]) -> None:
    two_streams(h)
    assert counts(h.run(f"XREAD {options} STREAMS s t 0 0")) == expected


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("resp3", [False, True])
def test_no_entry_begins_after_so_many_bytes_of_the_reply(h: Harness, resp3: bool, group: bool) -> None:
    two_streams(h)
    h.main.session.resp3 = resp3
    head = len(b"$1\r\ns\r\n") if resp3 else len(b"*2\r\n$1\r\ns\r\n")
    size = len(b"*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nn\r\n$1\r\n1\r\n")
    all_of_s = head + 5 * size + len(b"*5\r\n")
    for limit, expected in (
        (head + 3 * size, {b"s": 3}),
        (head + 3 * size + 1, {b"s": 4}),
        (all_of_s, {b"s": 5}),
        (all_of_s + head, {b"s": 5}),
        (all_of_s + head + 1, {b"s": 5, b"t": 1}),
        (all_of_s + head + size + 1, {b"s": 5, b"t": 2}),
    ):
        request = f"XREAD MAXSIZE {limit} STREAMS s t 0 0"
        if group:
            for key in "st":
                h.run(f"XGROUP DESTROY {key} g")
                h.run(f"XGROUP CREATE {key} g 0")
            request = f"XREADGROUP GROUP g c MAXSIZE {limit} STREAMS s t > >"
        assert counts(h.run(request)) == expected, limit


def test_history_and_deleted_entries_count_for_the_caps_too(h: Harness) -> None:
    two_streams(h)
    for key in "st":
        h.run(f"XGROUP CREATE {key} g 0")
    h.run("XREADGROUP GROUP g c STREAMS s t > >")
    h.run("XDEL s 2-0")
    assert counts(h.run("XREADGROUP GROUP g c MAXCOUNT 3 STREAMS s t 0 0")) == {b"s": 3}
    assert counts(h.run("XREADGROUP GROUP g c MAXCOUNT 6 STREAMS s t 0 0")) == {b"s": 5, b"t": 1}
    deleted = len(b"*2\r\n$3\r\n2-0\r\n*-1\r\n")
    first = len(b"*2\r\n$1\r\ns\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nn\r\n$1\r\n1\r\n")
    assert counts(h.run(f"XREADGROUP GROUP g c MAXSIZE {first + deleted} STREAMS s t 0 0")) == {b"s": 2}
    assert counts(h.run(f"XREADGROUP GROUP g c MAXSIZE {first + deleted + 1} STREAMS s t 0 0")) == {b"s": 3}


def test_a_group_reader_who_got_enough_leaves_further_groups_alone(h: Harness) -> None:
    two_streams(h)
    for key in "st":
        h.run(f"XGROUP CREATE {key} g 0")
    h.run("XREADGROUP GROUP g c MAXCOUNT 2 STREAMS s t > >")
    assert h.run("XINFO CONSUMERS t g") == []


def test_many_entries_are_read_up_to_a_size(h: Harness) -> None:
    for i in range(1, 301):
        h.run("XADD", "s", f"{i}-0", "f", "x" * 100)
    read = h.run("XREAD MAXSIZE 20000 STREAMS s 0")[0][1]
    assert ids(read) == [b"%d-0" % i for i in range(1, len(read) + 1)]
    assert 100 < len(read) < 200


@pytest.mark.parametrize("word", ["MAXCOUNT", "MAXSIZE"])
def test_a_cap_is_a_positive_number(h: Harness, word: str) -> None:
    assert h.run(f"XREAD {word} 0 STREAMS s 0") == f"-ERR {word} must be a positive integer"
    assert h.run(f"XREAD {word} x STREAMS s 0") == "-ERR value is not an integer or out of range"
    assert h.run(f"XREAD {word} STREAMS s 0") == "-ERR value is not an integer or out of range"
    assert h.run("XREAD MAXCOUNT 1 COUNT 2 STREAMS s 0") == "-ERR MAXCOUNT must be greater than or equal to COUNT"


def test_a_capped_reader_can_wait(h: Harness) -> None:
    reader = waiting(h, "XREAD MAXCOUNT 1 BLOCK 0 STREAMS s t $ $")
    h.run("MULTI")
    h.run("XADD s 1-0 n 1")
    h.run("XADD t 1-0 n 1")
    h.run("EXEC")
    assert reader.received() == b"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nn\r\n$1\r\n1\r\n"


def test_plus_gives_a_blocked_reader_the_newest_entry_of_those_that_come_at_once(h: Harness) -> None:
    h.run("XADD s 1-0 f v")
    h.run("XDEL s 1-0")
    reader = h.client()
    reader.run("XREAD BLOCK 0 STREAMS s +")
    h.run("MULTI")
    h.run("XADD s 2-0 n 1")
    h.run("XADD s 3-0 n 2")
    h.run("EXEC")
    received = reader.received()
    assert b"3-0" in received
    assert b"2-0" not in received


@pytest.mark.parametrize(("entries", "removed"), [("1", 100), ("3", 300)])
def test_an_approximate_trim_without_limit_takes_100_blocks(entries: str, removed: int) -> None:
    h = Harness("--stream-node-max-entries", entries)
    for i in range(310):
        h.run("XADD", "s", f"{i + 1}-0", "f", "v")
    assert h.run("XTRIM s MAXLEN ~ 1") == removed
