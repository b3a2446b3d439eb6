"""Times of fields: replies, errors, what is hidden, what is removed when, notifications, journal."""

import pytest
from support.engine import Client, Harness
from support.same_data import replay

from broker.keyspace.digest import dataset_digest

NOW_MS = 1_700_000_000_000
WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("HSET k a 1 b 2 c 3")
    harness.run("RPUSH list x")
    harness.journal()
    return harness


def lazy(harness: Harness) -> None:
    """Leave the removal to those who look."""
    harness.engine.keyspace.active_expiry = False


def events_of(harness: Harness) -> Client:
    harness.run("CONFIG SET notify-keyspace-events Ehgxn")
    client = harness.client()
    client.run("PSUBSCRIBE *")
    client.received()
    return client


def told(client: Client) -> list[str]:
    parts = client.received().decode().split("\r\n")
    return [part[15:] for part in parts if part.startswith("__keyevent@0__:")]


# -- giving and reading times


def test_each_field_gets_its_own_answer(h: Harness) -> None:
    assert h.run("HEXPIRE k 100 FIELDS 3 a z b") == [1, -2, 1]
    assert h.run("HTTL k FIELDS 3 a c z") == [100, -1, -2]
    assert h.run("HPTTL k FIELDS 1 a") == [100_000]
    assert h.run("HEXPIRETIME k FIELDS 1 a") == [NOW_MS // 1000 + 100]
    assert h.run("HPEXPIRETIME k FIELDS 1 a") == [NOW_MS + 100_000]
    assert h.run("HPERSIST k FIELDS 3 a c z") == [1, -1, -2]
    assert h.run("HTTL k FIELDS 1 a") == [-1]


def test_seconds_are_rounded_up(h: Harness) -> None:
    h.run("HPEXPIRE k 1001 FIELDS 1 a")
    assert h.run("HTTL k FIELDS 1 a") == [2]
    h.run("HPEXPIREAT", "k", NOW_MS + 1, "FIELDS", 1, "a")
    assert h.run("HEXPIRETIME k FIELDS 1 a") == [NOW_MS // 1000 + 1]


@pytest.mark.parametrize("name", ["HTTL", "HPTTL", "HEXPIRETIME", "HPEXPIRETIME", "HPERSIST"])
def test_a_key_that_is_not_there_has_no_fields(h: Harness, name: str) -> None:
    assert h.run(f"{name} no FIELDS 2 a b") == [-2, -2]
    assert h.run(f"{name} list FIELDS 1 a") == WRONG
    assert h.run(f"{name} k FIELDS 0 a") == "-ERR Number of fields must be a positive integer"
    assert h.run(f"{name} k FIELDS 2 a") == "-ERR The `numfields` parameter must match the number of arguments"
    position = "-ERR Mandatory argument FIELDS is missing or not at the right position"
    assert h.run(f"{name} k FIELD 1 a") == position


def test_errors_of_those_that_give_times(h: Harness) -> None:
    assert h.run("HEXPIRE no 10 FIELDS 2 a b") == [-2, -2]
    assert h.run("HEXPIRE list 10 FIELDS 1 a") == WRONG
    assert h.run("HEXPIRE k x FIELDS 1 a") == "-ERR value is not an integer or out of range"
    assert h.run("HEXPIRE k -1 FIELDS 1 a") == "-ERR invalid expire time, must be >= 0"
    assert h.run("HEXPIRE", "k", 1 << 46, "FIELDS", 1, "a") == "-ERR invalid expire time in 'hexpire' command"
    assert h.run("HPEXPIREAT", "k", (1 << 46) - 1, "FIELDS", 1, "a") == [1]
    assert h.run("HPEXPIREAT", "k", 1 << 46, "FIELDS", 1, "a") == "-ERR invalid expire time in 'hpexpireat' command"
    assert h.run("HEXPIRE k 10 FIELDS 0 a") == "-ERR Parameter `numFields` should be greater than 0"
    assert h.run("HEXPIRE k 10 NX FIELDS 1 a b").startswith("-ERR The `numfields` parameter must match")
    assert h.run("HEXPIRE k 10 BOGUS FIELDS 1 a").startswith("-ERR Mandatory argument FIELDS")
    assert h.run("HEXPIRE k 10 FIELDS 1").startswith("-ERR wrong number of arguments")


@pytest.mark.parametrize(
    ("condition", "without", "earlier", "later"),
    [("NX", 1, 0, 0), ("XX", 0, 1, 1), ("GT", 0, 0, 1), ("LT", 1, 1, 0)],
)
def test_conditions(condition: str, without: int, earlier: int, later: int) -> None:
    for seconds, has_time, expected in ((50, False, without), (50, True, earlier), (200, True, later)):
        h = Harness()
        h.run("HSET k a 1")
        if has_time:
            h.run("HEXPIRE k 100 FIELDS 1 a")
        assert h.run(f"HEXPIRE k {seconds} {condition} FIELDS 1 a") == [expected]
        left = seconds if expected else 100 if has_time else -1
        assert h.run("HTTL k FIELDS 1 a") == [left]


def test_a_time_in_the_past_deletes_at_once(h: Harness) -> None:
    client = events_of(h)
    assert h.run("HEXPIREAT k 1 FIELDS 3 a z b") == [2, -2, 2]
    assert h.journal() == [[b"MULTI"], [b"HDEL", b"k", b"a"], [b"HDEL", b"k", b"b"], [b"EXEC"]]
    assert h.run("HPEXPIRE k 0 FIELDS 1 c") == [2]
    assert told(client) == ["hdel", "hdel", "del"]
    assert h.run("EXISTS k") == 0


def test_setting_a_field_takes_its_time_but_counting_keeps_it(h: Harness) -> None:
    h.run("HEXPIRE k 100 FIELDS 3 a b c")
    h.run("HSET k a 5")
    h.run("HINCRBY k b 5")
    h.run("HINCRBYFLOAT k c 0.5")
    assert h.run("HTTL k FIELDS 3 a b c") == [-1, 100, 100]
    h.run("HDEL k b")
    h.run("HSETNX k b 1")
    assert h.run("HTTL k FIELDS 1 b") == [-1]
    h.advance(101)
    assert sorted(h.run("HKEYS k")) == [b"a", b"b"]


# -- when the time has come


def test_a_field_is_gone_to_the_millisecond_and_the_key_with_the_last_one(h: Harness) -> None:
    client = events_of(h)
    h.run("HPEXPIRE k 1500 FIELDS 2 a b")
    h.run("HPEXPIRE k 2000 FIELDS 1 c")
    told(client)
    h.journal()
    assert h.engine.next_deadline_ms() == 1500
    h.advance(1.499)
    assert h.run("HLEN k") == 3
    h.advance(0.001)
    assert h.run("HGETALL k") == [b"c", b"3"]
    assert h.journal() == [[b"HDEL", b"k", b"a"], [b"HDEL", b"k", b"b"]]
    assert told(client) == ["hexpired"]
    h.advance(0.5)
    assert h.journal() == [[b"HDEL", b"k", b"c"]]
    assert told(client) == ["hexpired", "del"]
    assert h.run("EXISTS k") == 0
    assert h.engine.next_deadline_ms() is None
    assert h.engine.keyspace.expired_subkeys == 3


def test_no_request_of_a_turn_sees_what_is_due_in_it(h: Harness) -> None:
    h.run("HPEXPIRE k 100 FIELDS 1 a")
    h.time.advance(0.1)  # nothing happens in between
    assert h.run("HLEN k") == 2


def test_removal_goes_in_slices_and_hides_the_rest(h: Harness) -> None:
    for i in range(2500):
        h.run("HSET", "big", f"f{i}", i)
    h.run("HPEXPIRE", "big", 10, "FIELDS", 2500, *[f"f{i}" for i in range(2500)])
    h.run("HSET big stays 1")
    h.time.advance(1)
    h.engine.begin_turn()
    assert 1 < len(h.engine.keyspace.databases[0].table.get(b"big")) < 2501
    assert h.engine.next_deadline_ms() == 0
    assert h.engine.execute(h.main.ctx, [b"HKEYS", b"big"]) == [b"stays"]
    for _ in range(3):
        h.advance(0)
    assert h.run("HLEN big") == 1
    assert h.engine.next_deadline_ms() is None


@pytest.mark.parametrize("move", ["RENAME k m", "COPY k m", "MOVE k 1", "SWAPDB 0 1"])
def test_times_go_with_the_value(h: Harness, move: str) -> None:
    h.run("HPEXPIRE k 100 FIELDS 1 a")
    h.run(move)
    name = "m" if move.endswith("m") else "k"
    if move.endswith("1"):
        h.run("SELECT 1")
    assert h.run(f"HPTTL {name} FIELDS 1 a") == [100]
    h.journal()
    h.advance(0.1)
    assert [b"HDEL", name.encode(), b"a"] in h.journal()
    assert h.run(f"HLEN {name}") == 2


@pytest.mark.parametrize("goes", ["DEL k", "SET k x", "FLUSHALL", "HPERSIST k FIELDS 1 a", "HDEL k a"])
def test_nothing_is_planned_for_what_is_gone(h: Harness, goes: str) -> None:
    h.run("HPEXPIRE k 100 FIELDS 1 a")
    assert len(h.engine.keyspace.databases[0].field_agenda) == 1
    h.run(goes)
    assert len(h.engine.keyspace.databases[0].field_agenda) == 0
    h.journal()
    h.advance(1)
    assert h.journal() == []


def test_watchers_are_told(h: Harness) -> None:
    h.run("HPEXPIRE k 100 FIELDS 1 a")
    h.run("WATCH k")
    h.advance(1)
    h.run("MULTI")
    assert h.run("EXEC") is None


# -- fields that are due but still there


def test_who_asks_for_a_field_that_is_due_removes_it(h: Harness) -> None:
    lazy(h)
    client = events_of(h)
    h.run("HPEXPIRE k 1 FIELDS 3 a b c")
    told(client)
    h.journal()
    h.advance(1)
    assert h.run("HLEN k") == 3
    assert h.run("HGET k a") is None
    assert h.journal() == [[b"HDEL", b"k", b"a"]]
    assert h.run("HMGET k a b") == [None, None]
    assert h.run("HLEN k") == 1
    assert h.run("HSTRLEN k c") == h.run("HEXISTS k c") == h.run("EXISTS k") == 0
    assert told(client) == ["hexpired", "hexpired", "hexpired", "del"]
    assert h.journal() == [[b"HDEL", b"k", b"b"], [b"HDEL", b"k", b"c"]]


def test_who_lists_a_hash_leaves_out_what_is_due(h: Harness) -> None:
    lazy(h)
    h.run("HPEXPIRE k 1 FIELDS 2 a b")
    h.advance(1)
    assert h.run("HGETALL k") == [b"c", b"3"]
    assert (h.run("HKEYS k"), h.run("HVALS k"), h.run("HSCAN k 0")) == ([b"c"], [b"3"], [b"0", [b"c", b"3"]])
    assert h.run("HTTL k FIELDS 2 a c") == h.run("HPERSIST k FIELDS 2 a c") == [-2, -1]
    assert h.run("HLEN k") == 3
    assert h.run("HRANDFIELD k 5") == [b"c"]
    assert h.run("HLEN k") == 1


@pytest.mark.parametrize(
    ("request_line", "reply", "value"),
    [("HINCRBY k a 5", 5, b"5"), ("HINCRBYFLOAT k a 0.5", b"0.5", b"0.5"), ("HSETNX k a 7", 1, b"7")],
)
@pytest.mark.parametrize("in_multi", [False, True])
def test_a_field_that_is_due_counts_for_nothing(
    h: Harness, request_line: str, reply: object, value: bytes, in_multi: bool
) -> None:
    lazy(h)
    h.run("HPEXPIRE k 1 FIELDS 3 a b c")
    h.advance(1)
    if in_multi:
        h.run("MULTI")
        h.run(request_line)
        assert h.run("EXEC") == [reply]
    else:
        assert h.run(request_line) == reply
    assert h.run("HGET k a") == value
    assert h.run("HTTL k FIELDS 1 a") == [-1]


@pytest.mark.parametrize("request_line", ["HINCRBY k a 5", "HINCRBYFLOAT k a 0.5", "HSETNX k a 7", "HGET k a"])
def test_what_was_removed_in_passing_is_journaled_first(request_line: str) -> None:
    h = Harness()
    lazy(h)
    h.run("HSET k a 1")
    h.run("HPEXPIRE k 1 FIELDS 1 a")
    h.advance(1)
    h.run(request_line)
    other = replay(h)
    other.time.now = h.time.now
    other.engine.begin_turn()
    assert dataset_digest(other.engine.keyspace, True) == dataset_digest(h.engine.keyspace, True)


def test_while_clients_are_paused_nothing_is_removed(h: Harness) -> None:
    h.run("HPEXPIRE k 1 FIELDS 3 a b c")
    h.engine.pause(NOW_MS + 100_000, True)
    h.advance(1)
    assert (h.run("HGETALL k"), h.run("HGET k a"), h.run("HRANDFIELD k 3"), h.run("HLEN k")) == ([], None, [], 3)


# -- HGETDEL, HGETEX, HSETEX


def test_hgetdel(h: Harness) -> None:
    client = events_of(h)
    assert h.run("HGETDEL k FIELDS 3 a z a") == [b"1", None, None]
    assert h.journal() == [[b"HDEL", b"k", b"a"]]
    assert h.run("HGETDEL no FIELDS 1 a") == [None]
    assert h.run("HGETDEL list FIELDS 1 a") == WRONG
    assert h.run("HGETDEL k FIELDS 1 z") == [None]
    assert h.journal() == []
    assert h.run("HGETDEL k FIELDS 2 b c") == [b"2", b"3"]
    assert told(client) == ["hdel", "hdel", "del"]
    assert h.run("EXISTS k") == 0


def test_hgetex(h: Harness) -> None:
    client = events_of(h)
    assert h.run("HGETEX k FIELDS 2 a z") == [b"1", None]
    assert h.journal() == []
    assert h.run("HGETEX k EX 10 FIELDS 2 a z") == [b"1", None]
    assert h.journal() == [[b"HPEXPIREAT", b"k", b"%d" % (NOW_MS + 10_000), b"FIELDS", b"1", b"a"]]
    assert h.run("HGETEX k PERSIST FIELDS 2 a b") == [b"1", b"2"]
    assert h.journal() == [[b"HPERSIST", b"k", b"FIELDS", b"1", b"a"]]
    assert h.run("HGETEX k PXAT 1 FIELDS 1 a") == [b"1"]
    assert h.journal() == [[b"HDEL", b"k", b"a"]]
    assert h.run("HGETEX k EXAT 1 FIELDS 2 b c") == [b"2", b"3"]
    assert told(client) == ["hexpire", "hpersist", "hdel", "hdel", "del"]
    assert h.run("HGETEX k EX 1 FIELDS 1 a") == [None]
    assert h.run("HGETEX k EX -1 FIELDS 1 a") == "-ERR invalid expire time, must be >= 0"
    assert h.run("HGETEX k EX 1 FIELDS") == "-ERR Number of fields must be a positive integer"
    assert h.run("HGETEX k BOGUS FIELDS 1 a").startswith("-ERR Mandatory argument FIELDS")


def test_hsetex(h: Harness) -> None:
    client = events_of(h)
    assert h.run("HSETEX k EX 10 FIELDS 2 a 5 d 6") == 1
    when = b"%d" % (NOW_MS + 10_000)
    assert h.journal() == [
        [b"MULTI"],
        [b"HSET", b"k", b"a", b"5", b"d", b"6"],
        [b"HPEXPIREAT", b"k", when, b"FIELDS", b"2", b"a", b"d"],
        [b"EXEC"],
    ]
    assert h.run("HSETEX k KEEPTTL FIELDS 2 a 7 b 8") == 1
    assert h.journal() == [[b"HSETEX", b"k", b"KEEPTTL", b"FIELDS", b"2", b"a", b"7", b"b", b"8"]]
    assert h.run("HTTL k FIELDS 3 a b d") == [10, -1, 10]
    assert h.run("HSETEX k FIELDS 1 a 9") == 1
    assert h.journal() == [[b"HSET", b"k", b"a", b"9"]]
    assert h.run("HTTL k FIELDS 1 a") == [-1]
    assert told(client) == ["hset", "hexpire", "hset", "hset"]
    assert h.run("HSETEX no PXAT 1 FIELDS 1 a 1") == 1
    assert told(client) == ["new", "hset", "hdel", "del"]
    assert h.run("EXISTS no") == 0


def test_hsetex_conditions(h: Harness) -> None:
    assert h.run("HSETEX k FNX FIELDS 2 z 1 a 1") == h.run("HSETEX k FXX FIELDS 2 a 1 z 1") == 0
    assert h.run("HSETEX no FXX FIELDS 1 a 1") == h.run("EXISTS no") == 0
    assert h.journal() == []
    assert h.run("HSETEX k FXX FIELDS 2 a 1 b 1") == h.run("HSETEX k FNX FIELDS 2 y 1 z 1") == 1
    assert h.run("HSETEX list FNX FIELDS 1 a 1") == WRONG


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        ("FNX FXX FIELDS 1 a 1", "Only one of FXX or FNX arguments can be specified"),
        ("EX 1 KEEPTTL FIELDS 1 a 1", "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"),
        ("BOGUS FIELDS 1 a 1", "unknown argument: BOGUS"),
        ("FIELDS 0 a 1", "invalid number of fields"),
        ("FIELDS 2 a 1", "wrong number of arguments for 'hsetex' command"),
        ("FIELDS 1 a 1 b", "wrong number of arguments for 'hsetex' command"),
        ("EX 0x FIELDS 1 a 1", "value is not an integer or out of range"),
        ("FNX KEEPTTL PX 1", "Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"),
        ("FNX FNX KEEPTTL PX", "Only one of FXX or FNX arguments can be specified"),
    ],
)
def test_errors_of_hsetex(h: Harness, rest: str, error: str) -> None:
    assert h.run(f"HSETEX k {rest}") == f"-ERR {error}"


def test_the_journal_of_times_is_absolute_and_has_only_what_was_done(h: Harness) -> None:
    h.run("HEXPIRE k 10 FIELDS 1 a")
    h.journal()
    h.run("HEXPIRE k 20 NX FIELDS 3 a b z")
    assert h.journal() == [[b"HPEXPIREAT", b"k", b"%d" % (NOW_MS + 20_000), b"NX", b"FIELDS", b"1", b"b"]]
    h.run("HINCRBYFLOAT k a 1")
    assert h.journal()[1:3] == [
        [b"HSET", b"k", b"a", b"2"],
        [b"HPEXPIREAT", b"k", b"%d" % (NOW_MS + 10_000), b"FIELDS", b"1", b"a"],
    ]


def test_a_log_that_is_read_late_removes_nothing_by_itself(h: Harness) -> None:
    other = Harness()
    other.engine.keyspace.expiry = False
    session = other.engine.replay_session()
    other.engine.begin_turn()
    other.engine.execute(session, [b"HSET", b"k", b"a", b"1"])
    assert other.engine.execute(session, [b"HPEXPIREAT", b"k", b"1000", b"FIELDS", b"1", b"a"]) == [1]
    assert other.engine.execute(session, [b"HINCRBY", b"k", b"a", b"1"]) == 2
    other.advance(1)
    assert len(other.engine.keyspace.databases[0].table.get(b"k")) == 1
    other.engine.keyspace.expiry = True
    other.advance(0)
    assert other.run("EXISTS k") == 0


def test_encoding_and_counts(h: Harness) -> None:
    assert h.run("OBJECT ENCODING k") == b"listpack"
    h.run("HEXPIRE k 100 FIELDS 1 a")
    assert h.run("OBJECT ENCODING k") == b"listpackex"
    h.run("HPERSIST k FIELDS 1 a")
    assert h.run("OBJECT ENCODING k") == b"listpackex"
