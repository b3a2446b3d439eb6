"""XGROUP, XREADGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM: replies, errors and their order, journal, waiting."""

from typing import Any

import pytest
from support.engine import Client, Harness
from support.same_data import wire
from support.streams import assert_replays_streams, full

NOW = 1_700_000_000_000  # ms, the Harness's clock
WRONG_TYPE = "-WRONGTYPE Operation against a key holding the wrong kind of value"
INVALID_ID = "-ERR Invalid stream ID specified as stream command argument"
NOT_A_NUMBER = "-ERR value is not an integer or out of range"
SYNTAX = "-ERR syntax error"
NEEDS_KEY = (
    "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
    "option to create an empty stream automatically."
)
NO_GROUP = "-NOGROUP No such key 's' or consumer group 'x'"


def bad_subcommand(name: str) -> str:
    return f"-ERR unknown subcommand or wrong number of arguments for '{name}'. Try XGROUP HELP."


@pytest.fixture
def h() -> Harness:
    """A stream s with the entries 1-0 to 5-0 and a group g that has read nothing."""
    harness = Harness()
    for i in range(1, 6):
        harness.run("XADD", "s", f"{i}-0", "n", i)
    harness.run("XGROUP CREATE s g 0")
    return harness


def delivered(reply: Any) -> list[bytes]:
    """The ids in a reply of XREADGROUP for one stream."""
    return [row[0] for row in reply[0][1]]


def pending(h: Harness, key: str = "s") -> list[list[Any]]:
    return h.run("XPENDING", key, "g", "-", "+", 100)


def waiting(h: Harness, request: str) -> Client:
    client = h.client()
    client.run(request)
    assert client.session.is_blocked, request
    return client


# -- XGROUP


def test_a_group_begins_where_it_is_told(h: Harness) -> None:
    assert h.run("XGROUP CREATE s end $") == "OK"
    assert h.run("XGROUP CREATE s mid 3 ENTRIESREAD 3") == "OK"
    assert h.run("XREADGROUP GROUP end c STREAMS s >") is None
    assert delivered(h.run("XREADGROUP GROUP mid c STREAMS s >")) == [b"4-0", b"5-0"]
    assert_replays_streams(h)


def test_mkstream_makes_the_key(h: Harness) -> None:
    assert h.run("XGROUP CREATE t g $") == NEEDS_KEY
    assert h.run("XGROUP CREATE t g $ MKSTREAM") == "OK"
    assert h.run("XLEN t") == 0
    assert h.run("XGROUP CREATE t g $ mkstream") == "-BUSYGROUP Consumer Group name already exists"
    assert_replays_streams(h, "t")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XGROUP CREATE s g", "-ERR wrong number of arguments for 'xgroup|create' command"),
        ("XGROUP CREATE s g 0 FOO", bad_subcommand("CREATE")),
        ("XGROUP create s g 0 ENTRIESREAD", bad_subcommand("create")),
        ("XGROUP CREATE no g x ENTRIESREAD x", NOT_A_NUMBER),
        ("XGROUP CREATE no g x ENTRIESREAD -2", "-ERR value for ENTRIESREAD must be positive or -1"),
        ("XGROUP CREATE no g x", NEEDS_KEY),
        ("XGROUP CREATE s g x", INVALID_ID),
        ("XGROUP CREATE s g -", INVALID_ID),
        ("XGROUP CREATE s g 0", "-BUSYGROUP Consumer Group name already exists"),
        ("XGROUP CREATE s n x MKSTREAM MKSTREAM ENTRIESREAD 1", bad_subcommand("CREATE")),
        ("XGROUP CREATE string g $ MKSTREAM", WRONG_TYPE),
        ("XGROUP SETID s g 0 MKSTREAM", bad_subcommand("SETID")),
        ("XGROUP SETID no g x", NEEDS_KEY),
        ("XGROUP SETID s x y", "-NOGROUP No such consumer group 'x' for key name 's'"),
        ("XGROUP SETID s g x", INVALID_ID),
        ("XGROUP SETID s g x ENTRIESREAD 1 ENTRIESREAD 1", bad_subcommand("SETID")),
        ("XGROUP DESTROY no g", NEEDS_KEY),
        ("XGROUP DESTROY s g x", "-ERR wrong number of arguments for 'xgroup|destroy' command"),
        ("XGROUP CREATECONSUMER no g c", NEEDS_KEY),
        ("XGROUP CREATECONSUMER s x c", "-NOGROUP No such consumer group 'x' for key name 's'"),
        ("XGROUP DELCONSUMER s x c", "-NOGROUP No such consumer group 'x' for key name 's'"),
        ("XGROUP FOO s g", "-ERR unknown subcommand 'FOO'. Try XGROUP HELP."),
    ],
)
def test_xgroup_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    h.run("SET string v")
    before = full(h, "s")
    assert h.run(request_) == error
    assert full(h, "s") == before
    assert h.run("EXISTS no") == 0


@pytest.mark.parametrize(("text", "last_id"), [("3", b"3-0"), ("$", b"5-0"), ("-", b"0-0"),
                                               ("+", b"18446744073709551615-18446744073709551615")])  # fmt: skip
def test_setid_moves_a_group(h: Harness, text: str, last_id: bytes) -> None:
    assert h.run(f"XGROUP SETID s g {text} ENTRIESREAD 3") == "OK"
    group = full(h, "s")[b"groups"][0]
    assert (group[b"last-delivered-id"], group[b"entries-read"]) == (last_id, 3)
    assert h.run(f"XGROUP SETID s g {text}") == "OK"
    assert full(h, "s")[b"groups"][0][b"entries-read"] is None
    assert_replays_streams(h)


def test_a_group_and_a_consumer_go_with_what_is_pending(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 2 STREAMS s >")
    h.run("XREADGROUP GROUP g c2 COUNT 1 STREAMS s >")
    assert h.run("XGROUP DELCONSUMER s g c1") == 2
    assert h.run("XGROUP DELCONSUMER s g c1") == 0
    assert [row[0] for row in pending(h)] == [b"3-0"]
    assert h.run("XGROUP CREATECONSUMER s g c2") == 0
    assert h.run("XGROUP CREATECONSUMER s g c3") == 1
    assert_replays_streams(h)
    assert h.run("XGROUP DESTROY s g") == 1
    assert h.run("XGROUP DESTROY s g") == 0
    assert full(h, "s")[b"groups"] == []


def test_xgroup_help_is_lines_of_status(h: Harness) -> None:
    reply = wire(h, "XGROUP HELP")[0]
    head, *lines = reply.split(b"\r\n")
    assert head == b"*%d" % (len(lines) - 1)
    assert lines[0] == b"+XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    assert any(line.startswith(b"+CREATE ") for line in lines)
    assert reply.endswith(b"+HELP\r\n+    Print this help.\r\n")


# -- XREADGROUP


def test_each_entry_goes_to_one_consumer(h: Harness) -> None:
    assert delivered(h.run("XREADGROUP GROUP g c1 COUNT 2 STREAMS s >")) == [b"1-0", b"2-0"]
    assert delivered(h.run("XREADGROUP GROUP g c2 STREAMS s >")) == [b"3-0", b"4-0", b"5-0"]
    assert h.run("XREADGROUP GROUP g c1 STREAMS s >") is None
    assert pending(h) == [
        [b"1-0", b"c1", 0, 1], [b"2-0", b"c1", 0, 1],
        [b"3-0", b"c2", 0, 1], [b"4-0", b"c2", 0, 1], [b"5-0", b"c2", 0, 1],
    ]  # fmt: skip
    assert_replays_streams(h)


def test_a_delivery_is_journaled_as_one_claim(h: Harness) -> None:
    h.journal()
    h.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >")
    assert h.journal() == [
        [b"MULTI"],
        b"XGROUP CREATECONSUMER s g c".split(),
        b"XCLAIM s g c 0 1-0 2-0 TIME %d RETRYCOUNT 1 FORCE JUSTID LASTID 2-0".replace(b"%d", b"%d" % NOW).split(),
        b"XGROUP SETID s g 2-0 ENTRIESREAD 2".split(),
        [b"EXEC"],
    ]


def test_noack_leaves_nothing_pending(h: Harness) -> None:
    h.journal()
    assert delivered(h.run("XREADGROUP GROUP g c COUNT 2 NOACK STREAMS s >")) == [b"1-0", b"2-0"]
    assert h.run("XPENDING s g") == [0, None, None, None]
    assert h.journal()[1:-1] == [
        b"XGROUP CREATECONSUMER s g c".split(),
        b"XGROUP SETID s g 2-0 ENTRIESREAD 2".split(),
    ]


def test_history_is_what_is_pending_for_the_consumer_alone(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 3 STREAMS s >")
    h.run("XREADGROUP GROUP g c2 STREAMS s >")
    h.run("XACK s g 1")
    h.run("XDEL s 3")
    assert h.run("XREADGROUP GROUP g c1 STREAMS s 0") == [[b"s", [[b"2-0", [b"n", b"2"]], [b"3-0", None]]]]
    assert delivered(h.run("XREADGROUP GROUP g c1 COUNT 1 STREAMS s 2")) == [b"3-0"]
    assert h.run("XREADGROUP GROUP g c1 BLOCK 0 STREAMS s 3") == [[b"s", []]]
    assert h.run("XREADGROUP GROUP g new STREAMS s 0") == [[b"s", []]]
    assert wire(h, "XREADGROUP GROUP g c1 STREAMS s 2")[0].endswith(b"*2\r\n$3\r\n3-0\r\n*-1\r\n")


def test_deliveries_of_history_are_counted_and_journaled(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >")
    h.advance(3)
    h.run("XREADGROUP GROUP g c COUNT 1 STREAMS s 0")
    h.run("XREADGROUP GROUP g c STREAMS s 0")
    h.advance(1)
    assert pending(h) == [[b"1-0", b"c", 1000, 3], [b"2-0", b"c", 1000, 2]]
    assert_replays_streams(h)


def test_a_group_set_back_delivers_again_as_if_for_the_first_time(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 2 STREAMS s >")
    h.run("XREADGROUP GROUP g c1 STREAMS s 0")
    h.run("XGROUP SETID s g 0")
    h.run("XREADGROUP GROUP g c2 COUNT 1 STREAMS s >")
    assert pending(h) == [[b"1-0", b"c2", 0, 1], [b"2-0", b"c1", 0, 2]]
    assert_replays_streams(h)


def test_several_streams_in_one_request(h: Harness) -> None:
    h.run("XADD t 7-0 f v")
    h.run("XGROUP CREATE t g 0")
    reply = h.run("XREADGROUP GROUP g c COUNT 1 STREAMS s t s > > 0")
    assert [(name, [row[0] for row in rows]) for name, rows in reply] == [
        (b"s", [b"1-0"]), (b"t", [b"7-0"]), (b"s", [b"1-0"]),
    ]  # fmt: skip
    assert_replays_streams(h, "s", "t")


def test_xreadgroup_is_a_map_in_resp3(h: Harness) -> None:
    h.run("HELLO 3")
    assert wire(h, "XREADGROUP GROUP g c COUNT 1 STREAMS s >")[1].startswith(b"%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0")
    assert wire(h, "XREADGROUP GROUP g c STREAMS s 9")[1] == b"%1\r\n$1\r\ns\r\n*0\r\n"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XREADGROUP GROUP g c STREAMS s 0 t",
         "-ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified."),
        ("XREADGROUP COUNT 1 NOACK STREAMS s >", "-ERR Missing GROUP option for XREADGROUP"),
        ("XREADGROUP GROUP g c COUNT 1 s >", SYNTAX),
        ("XREADGROUP GROUP x c STREAMS s y", f"{NO_GROUP} in XREADGROUP with GROUP option"),
        ("XREADGROUP GROUP x c STREAMS s >", f"{NO_GROUP} in XREADGROUP with GROUP option"),
        ("XREADGROUP GROUP g c STREAMS s y", INVALID_ID),
        ("XREADGROUP GROUP g c STREAMS string >", WRONG_TYPE),
        ("XREADGROUP GROUP g c STREAMS s $",
         "-ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by "
         "specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result "
         "set."),
    ],
)  # fmt: skip
def test_xreadgroup_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    h.run("SET string v")
    before = full(h, "s")
    assert h.run(request_) == error
    assert full(h, "s") == before


def test_a_name_in_an_error_ends_at_a_zero_byte(h: Harness) -> None:
    reply = h.run(b"XPENDING", b"a\0b", b"\xffg")
    assert reply == "-NOGROUP No such key 'a' or consumer group '\N{REPLACEMENT CHARACTER}g'"


# -- waiting in a group


def test_an_entry_wakes_the_longest_waiter_of_a_group_only(h: Harness) -> None:
    h.run("XGROUP SETID s g $")
    waiters = [waiting(h, f"XREADGROUP GROUP g c{i} BLOCK 0 STREAMS s >") for i in range(5)]
    h.run("XADD s 6-0 f v")
    assert [b"6-0" in waiter.received() for waiter in waiters] == [True, False, False, False, False]
    for request in ("MULTI", "XADD s 7-0 f v", "XADD s 8-0 f v", "EXEC"):
        h.run(request)
    assert [waiter.received().count(b"-0\r\n") for waiter in waiters] == [0, 2, 0, 0, 0]
    assert [row[:2] for row in pending(h)] == [[b"6-0", b"c0"], [b"7-0", b"c1"], [b"8-0", b"c1"]]
    assert_replays_streams(h)


def test_of_many_waiters_of_a_group_only_as_many_are_tried_as_can_be_served(h: Harness) -> None:
    h.run("XGROUP SETID s g $")
    for i in range(50):
        waiting(h, f"XREADGROUP GROUP g c{i} BLOCK 0 STREAMS s >")
    executed = h.engine.executed
    h.run("XADD s 6-0 f v")
    assert h.engine.executed - executed <= 3, "XADD, the one who is served, and the one who finds nothing"


def test_each_group_has_a_waiter_woken(h: Harness) -> None:
    h.run("XGROUP CREATE s other $")
    h.run("XGROUP SETID s g $")
    first = waiting(h, "XREADGROUP GROUP g c COUNT 1 BLOCK 0 STREAMS s >")
    second = waiting(h, "XREADGROUP GROUP g d COUNT 1 BLOCK 0 STREAMS s >")
    other = waiting(h, "XREADGROUP GROUP other c BLOCK 0 STREAMS s >")
    reader = waiting(h, "XREAD BLOCK 0 STREAMS s $")
    for request in ("MULTI", "XADD s 7-0 f v", "XADD s 8-0 f v", "EXEC"):
        h.run(request)
    wires = [client.received() for client in (first, second, other, reader)]
    assert [(b"7-0" in wire_, b"8-0" in wire_) for wire_ in wires] == [
        (True, False), (False, True), (True, True), (True, True),
    ]  # fmt: skip


def test_a_consumer_exists_from_his_first_attempt(h: Harness) -> None:
    h.run("XGROUP SETID s g $")
    h.journal()
    client = waiting(h, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
    assert h.journal() == [b"XGROUP CREATECONSUMER s g c".split()]
    h.run("XGROUP DELCONSUMER s g c")
    assert client.session.is_blocked
    h.run("XADD s 6-0 f v")
    assert b"6-0" in client.received()
    assert [row[1] for row in pending(h)] == [b"c"]


@pytest.mark.parametrize(
    "requests",
    [
        "XGROUP DESTROY s g",
        "DEL s",
        "UNLINK s",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
        "RENAME s elsewhere",
        "RENAME other s",
        "COPY other s REPLACE",
        "MOVE s 1",
        "PEXPIRE s -1",
        "DEBUG SET-ACTIVE-EXPIRE 1; PEXPIRE s 1",
        "MULTI; XADD s 9-0 f v; XGROUP DESTROY s g; EXEC",
        "MULTI; DEL s; XADD s 9-0 f v; EXEC",
    ],
)
def test_who_waits_for_a_group_that_goes_is_told(h: Harness, requests: str) -> None:
    h.run("XGROUP SETID s g $")
    h.run("XADD other 1-0 f v")
    waiter = waiting(h, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
    for request in requests.split("; "):
        h.run(request)
    h.advance(0.002)
    expected = b"-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n"
    assert waiter.received() == expected
    assert not waiter.session.is_blocked


@pytest.mark.parametrize("request_", ["SET s v", "RENAME other s", "SUNIONSTORE s set", "SWAPDB 0 1"])
def test_who_waits_for_a_stream_that_becomes_something_else_is_told(h: Harness, request_: str) -> None:
    h.run("XGROUP SETID s g $")
    h.run("SET other v")
    h.run("SADD set a")
    h.run("SELECT 1")
    h.run("SET s v")
    h.run("SELECT 0")
    waiter = waiting(h, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
    h.run(request_)
    assert waiter.received().startswith(b"-WRONGTYPE ")


def test_who_waits_in_a_group_that_comes_with_another_stream_reads_on_there(h: Harness) -> None:
    h.run("XGROUP SETID s g $")
    h.run("XADD other 1-0 f v")
    h.run("XGROUP CREATE other g 0")
    waiter = waiting(h, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
    h.run("RENAME other s")
    assert b"1-0" in waiter.received()


def test_readers_of_a_group_get_what_a_transaction_added_one_consumer_each_in_their_order(h: Harness) -> None:
    h.run("XGROUP SETID s g $")
    waiters = [waiting(h, f"XREADGROUP GROUP g {name} COUNT 1 BLOCK 0 STREAMS s >") for name in "abc"]
    h.run("MULTI")
    h.run("XADD s 6-0 f v")
    h.run("XADD s 7-0 f v")
    assert [waiter.received() for waiter in waiters] == [b"", b"", b""]
    h.run("EXEC")
    assert [(b"6-0" in got, b"7-0" in got) for got in (waiter.received() for waiter in waiters)] == [
        (True, False), (False, True), (False, False),
    ]  # fmt: skip
    assert waiters[2].session.is_blocked


def test_a_reader_inside_a_transaction_never_waits(h: Harness) -> None:
    h.run("XGROUP SETID s g $")
    h.run("MULTI")
    h.run("XREADGROUP GROUP g c BLOCK 0 STREAMS s >")
    h.run("XREAD BLOCK 0 STREAMS s $")
    assert h.run("EXEC") == [None, None]


def test_acknowledging_wakes_nobody(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c STREAMS s >")
    waiter = waiting(h, "XREADGROUP GROUP g d BLOCK 0 STREAMS s >")
    executed = h.engine.executed
    h.run("XACK s g 1")
    assert h.engine.executed == executed + 1, "the waiter's request was tried, too"
    assert waiter.received() == b""


# -- XACK, XPENDING


def test_xack_counts_what_was_pending(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c COUNT 3 STREAMS s >")
    assert h.run("XACK s g 1 2-0 1 9") == 2
    assert h.run("XACK s g 1") == 0
    assert h.run("XACK s g 3 x") == INVALID_ID
    assert h.run("XACK s x y") == 0
    assert h.run("XACK no g y") == 0
    assert [row[0] for row in pending(h)] == [b"3-0"]
    assert_replays_streams(h)


def test_xpending_in_short(h: Harness) -> None:
    assert wire(h, "XPENDING s g") == (b"*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", b"*4\r\n:0\r\n_\r\n_\r\n_\r\n")
    h.run("XREADGROUP GROUP g zoe COUNT 1 STREAMS s >")
    h.run("XREADGROUP GROUP g ann COUNT 2 STREAMS s >")
    h.run("XGROUP CREATECONSUMER s g idle")
    assert h.run("XPENDING s g") == [3, b"1-0", b"3-0", [[b"ann", b"2"], [b"zoe", b"1"]]]


def test_xpending_in_full(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 2 STREAMS s >")
    h.advance(2)
    h.run("XREADGROUP GROUP g c2 STREAMS s >")
    h.advance(1)
    first, second, third = [b"1-0", b"c1", 3000, 1], [b"2-0", b"c1", 3000, 1], [b"3-0", b"c2", 1000, 1]
    assert h.run("XPENDING s g - + 3") == [first, second, third]
    assert h.run("XPENDING s g (1 3 10") == [second, third]
    assert h.run("XPENDING s g - + 10 c1") == [first, second]
    assert h.run("XPENDING s g - + 10 c1 ignored") == [first, second]
    assert h.run("XPENDING s g - + 10 nobody") == []
    assert h.run("XPENDING s g IDLE 3000 - + 10") == [first, second]
    assert h.run("XPENDING s g idle 1 - + 1 c2") == [third]
    assert h.run("XPENDING s g - + -1") == []


def test_xpending_looks_far_for_what_is_idle(h: Harness) -> None:
    for i in range(10, 1010):
        h.run("XADD", "s", i, "f", "v")
    h.run("XREADGROUP GROUP g old COUNT 900 STREAMS s >")
    h.advance(1)
    h.run("XREADGROUP GROUP g new STREAMS s >")
    h.run("XCLAIM s g new 0 " + " ".join(str(i) for i in range(1, 801)))
    assert len(h.run("XPENDING s g IDLE 1000 - + 1000")) == 104
    assert [row[0] for row in h.run("XPENDING s g IDLE 1000 - + 2")] == [b"801-0", b"802-0"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XPENDING s g -", SYNTAX),
        ("XPENDING s g - +", SYNTAX),
        ("XPENDING s g IDLE 5 - +", SYNTAX),
        ("XPENDING s g IDLE x - +", NOT_A_NUMBER),
        ("XPENDING s g - + 1 c 2 3 4", SYNTAX),
        ("XPENDING s g x y z", NOT_A_NUMBER),
        ("XPENDING s g x y 1", INVALID_ID),
        ("XPENDING s g - (0-0 1", "-ERR invalid end ID for the interval"),
        ("XPENDING s x - + x", NOT_A_NUMBER),
        ("XPENDING s x", NO_GROUP),
        ("XPENDING s x - + 1", NO_GROUP),
        ("XPENDING string x", WRONG_TYPE),
    ],
)
def test_xpending_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    h.run("SET string v")
    assert h.run(request_) == error


# -- XCLAIM


def test_xclaim_gives_idle_entries_to_another_consumer(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 2 STREAMS s >")
    h.advance(5)
    h.run("XREADGROUP GROUP g c1 COUNT 1 STREAMS s >")
    h.journal()
    assert h.run("XCLAIM s g c2 5000 1 2 3 4 9") == [[b"1-0", [b"n", b"1"]], [b"2-0", [b"n", b"2"]]]
    assert pending(h) == [[b"1-0", b"c2", 0, 2], [b"2-0", b"c2", 0, 2], [b"3-0", b"c1", 0, 1]]
    assert h.journal()[1:-1] == [
        b"XGROUP CREATECONSUMER s g c2".split(),
        b"XCLAIM s g c2 0 1-0 2-0 TIME".split()
        + [b"%d" % (NOW + 5000), *b"RETRYCOUNT 2 FORCE JUSTID LASTID 3-0".split()],
    ]


def test_xclaim_options(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 3 STREAMS s >")
    assert h.run("XCLAIM s g c2 0 1 JUSTID") == [b"1-0"]
    assert h.run("XCLAIM s g c2 0 2 IDLE 700 RETRYCOUNT 9 JUSTID") == [b"2-0"]
    assert h.run(f"XCLAIM s g c2 0 3 time {NOW - 300} justid") == [b"3-0"]
    assert h.run("XCLAIM s g c2 0 4") == []
    assert h.run("XCLAIM s g c2 0 4 FORCE") == [[b"4-0", [b"n", b"4"]]]
    assert h.run("XCLAIM s g c2 0 5 FORCE JUSTID RETRYCOUNT -1") == [b"5-0"]
    assert pending(h) == [
        [b"1-0", b"c2", 0, 1], [b"2-0", b"c2", 700, 9], [b"3-0", b"c2", 300, 1], [b"4-0", b"c2", 0, 2],
        [b"5-0", b"c2", 0, 1],
    ]  # fmt: skip
    assert_replays_streams(h)


@pytest.mark.parametrize("when", ["TIME 9999999999999", "TIME -5", "IDLE -9", "IDLE 9999999999999"])
def test_a_time_that_cannot_be_is_taken_for_now(h: Harness, when: str) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 1 STREAMS s >")
    h.advance(1)
    h.run(f"XCLAIM s g c2 0 1 {when}")
    assert pending(h) == [[b"1-0", b"c2", 0, 2]]
    assert_replays_streams(h)


def test_xclaim_moves_the_group_on_by_lastid(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 COUNT 2 STREAMS s >")
    h.journal()
    assert h.run("XCLAIM s g c1 0 9 LASTID 4") == []
    assert h.journal() == [b"XGROUP SETID s g 4-0 ENTRIESREAD 2".split()]
    assert h.run("XCLAIM s g c1 0 1 LASTID 3 JUSTID") == [b"1-0"]
    assert full(h, "s")[b"groups"][0][b"last-delivered-id"] == b"4-0"


def test_claiming_drops_what_was_deleted_from_the_stream(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 STREAMS s >")
    h.run("XDEL s 1 3 5")
    h.journal()
    assert h.run("XCLAIM s g c1 0 1 2 JUSTID") == [b"2-0"]
    assert h.run("XAUTOCLAIM s g c1 0 0 JUSTID") == [b"0-0", [b"2-0", b"4-0"], [b"3-0", b"5-0"]]
    assert [row[0] for row in pending(h)] == [b"2-0", b"4-0"]
    assert [entry[:5] for entry in h.journal() if entry[0] == b"XACK"] == [
        b"XACK s g 1-0".split(), b"XACK s g 3-0 5-0".split(),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XCLAIM s x c y z", NO_GROUP),
        ("XCLAIM no x c 0 1", "-NOGROUP No such key 'no' or consumer group 'x'"),
        ("XCLAIM string g c 0 1", WRONG_TYPE),
        ("XCLAIM s g c x 1", "-ERR Invalid min-idle-time argument for XCLAIM"),
        ("XCLAIM s g c 0 1 foo", "-ERR Unrecognized XCLAIM option 'foo'"),
        ("XCLAIM s g c 0 1 IDLE", "-ERR Unrecognized XCLAIM option 'IDLE'"),
        ("XCLAIM s g c 0 1 IDLE x", "-ERR Invalid IDLE option argument for XCLAIM"),
        ("XCLAIM s g c 0 1 TIME x", "-ERR Invalid TIME option argument for XCLAIM"),
        ("XCLAIM s g c 0 1 RETRYCOUNT x", "-ERR Invalid RETRYCOUNT option argument for XCLAIM"),
        ("XCLAIM s g c 0 1 LASTID x", INVALID_ID),
    ],
)
def test_xclaim_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    h.run("SET string v")
    before = full(h, "s")
    assert h.run(request_) == error
    assert full(h, "s") == before, "no consumer came into being"


# -- XAUTOCLAIM


def test_xautoclaim_walks_through_what_is_pending(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 STREAMS s >")
    h.advance(1)
    assert h.run("XAUTOCLAIM s g c2 1000 - COUNT 2") == [
        b"3-0", [[b"1-0", [b"n", b"1"]], [b"2-0", [b"n", b"2"]]], [],
    ]  # fmt: skip
    assert h.run("XAUTOCLAIM s g c2 1000 (3 COUNT 2 JUSTID") == [b"0-0", [b"4-0", b"5-0"], []]
    assert h.run("XAUTOCLAIM s g c2 1000 0") == [b"0-0", [[b"3-0", [b"n", b"3"]]], []]
    assert pending(h) == [
        [b"1-0", b"c2", 0, 2], [b"2-0", b"c2", 0, 2], [b"3-0", b"c2", 0, 2],
        [b"4-0", b"c2", 0, 1], [b"5-0", b"c2", 0, 1],
    ]  # fmt: skip
    assert_replays_streams(h)


def test_xautoclaim_looks_at_ten_entries_for_each_it_may_claim(h: Harness) -> None:
    for i in range(6, 31):
        h.run("XADD", "s", i, "f", "v")
    h.run("XREADGROUP GROUP g c1 STREAMS s >")
    assert h.run("XAUTOCLAIM s g c2 1000 0 COUNT 1") == [b"11-0", [], []]
    assert h.run("XAUTOCLAIM s g c2 1000 11 COUNT 3") == [b"0-0", [], []]


def test_deleted_entries_count_towards_the_count_of_xautoclaim(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 STREAMS s >")
    h.run("XDEL s 1 2")
    assert h.run("XAUTOCLAIM s g c2 0 0 COUNT 3 JUSTID") == [b"4-0", [b"3-0"], [b"1-0", b"2-0"]]
    assert_replays_streams(h)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XAUTOCLAIM s x c y z FOO", "-ERR Invalid min-idle-time argument for XAUTOCLAIM"),
        ("XAUTOCLAIM s x c 0 z FOO", INVALID_ID),
        ("XAUTOCLAIM s x c 0 0 FOO", SYNTAX),
        ("XAUTOCLAIM s x c 0 0 COUNT", SYNTAX),
        ("XAUTOCLAIM s x c 0 0 COUNT 0", "-ERR COUNT must be > 0"),
        ("XAUTOCLAIM s x c 0 0 COUNT x", "-ERR COUNT must be > 0"),
        ("XAUTOCLAIM s x c 0 0 COUNT 9223372036854775807", "-ERR COUNT must be > 0"),
        ("XAUTOCLAIM s x c 0 0", NO_GROUP),
        ("XAUTOCLAIM string x c 0 0", WRONG_TYPE),
    ],
)
def test_xautoclaim_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    h.run("SET string v")
    assert h.run(request_) == error


# -- the whole


def test_events_are_those_of_redis(h: Harness) -> None:
    h.run("CONFIG SET notify-keyspace-events Et")
    listener = h.client()
    listener.run("PSUBSCRIBE *")
    listener.received()
    for request in ("XGROUP CREATE s h 0", "XGROUP SETID s h 0", "XGROUP CREATECONSUMER s g c", "XREADGROUP GROUP g c "
                    "STREAMS s >", "XREADGROUP GROUP g d STREAMS s 0", "XACK s g 1", "XCLAIM s g e 0 2",
                    "XGROUP DELCONSUMER s g e", "XGROUP DESTROY s h"):  # fmt: skip
        h.run(request)
    heard = [line for line in listener.received().split(b"\r\n") if line.startswith(b"__keyevent")]
    assert [event.split(b":")[1] for event in heard] == [
        b"xgroup-create", b"xgroup-setid", b"xgroup-createconsumer", b"xgroup-createconsumer",
        b"xgroup-createconsumer", b"xgroup-delconsumer", b"xgroup-destroy",
    ]  # fmt: skip


def test_a_copy_of_a_stream_has_groups_of_its_own(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >")
    assert h.run("COPY s t") == 1
    assert full(h, "t") == full(h, "s")
    h.run("XACK t g 1")
    assert len(pending(h)) == 2
    assert h.run("MEMORY USAGE s") > 500


def test_the_journal_of_a_working_group_gives_the_same_group(h: Harness) -> None:
    for i in range(10, 300):
        h.run("XADD", "s", i, "f", "v")
        if i % 3 == 0:
            h.run("XREADGROUP", "GROUP", "g", f"c{i % 4}", "COUNT", 4, "STREAMS", "s", ">")
        if i % 5 == 0:
            h.run("XACK", "s", "g", i - 9, i - 8, i - 7)
        if i % 20 == 0:
            h.run("XDEL", "s", i - 5, i - 15)
            h.run("XAUTOCLAIM s g c9 40 0 COUNT 5")
        if i % 33 == 0:
            h.run("XREADGROUP GROUP g c9 STREAMS s 0")
            h.run("XTRIM s MAXLEN ~ 100")
        h.advance(0.01)
    assert pending(h)
    assert_replays_streams(h)


def test_xpending_finds_the_few_idle_ones_among_many(h: Harness) -> None:
    for i in range(1, 3001):
        h.engine.execute(h.main.ctx, [b"XADD", b"big", b"%d-0" % i, b"f", b"v"])
    h.run("XGROUP CREATE big g 0")
    h.run("XREADGROUP GROUP g c1 COUNT 2000 STREAMS big >")
    h.run("XREADGROUP GROUP g c2 STREAMS big >")
    h.advance(10)
    everybody = [b"%d-0" % i for i in range(1, 3001)]
    idle = {b"700-0", b"1900-0", b"2999-0"}
    h.run("XCLAIM", "big", "g", "c3", 0, *(name for name in everybody if name not in idle), "JUSTID")
    rows = h.run("XPENDING big g IDLE 5000 - + 10")
    assert [row[:2] for row in rows] == [[b"700-0", b"c1"], [b"1900-0", b"c1"], [b"2999-0", b"c2"]]
    assert [row[0] for row in h.run("XPENDING big g IDLE 5000 701 + 1")] == [b"1900-0"]
    assert [row[0] for row in h.run("XPENDING big g IDLE 5000 - + 10 c2")] == [b"2999-0"]
    assert h.run("XPENDING big g IDLE 5000 - 699 10") == []
    assert h.run("XPENDING big g IDLE 50000 - + 10") == []
    assert len(h.run("XPENDING big g IDLE 0 - + 5000")) == 3000
    h.run("XNACK big g SILENT IDS 2 50-0 2500-0")  # nobody's: idle since ever
    assert [row[0] for row in h.run("XPENDING big g IDLE 5000 - + 10")] == [b"50-0", b"700-0", b"1900-0", b"2500-0",
                                                                            b"2999-0"]  # fmt: skip
