"""XCFGSET, XCFGGET, XADD IDMP, XIDMPRECORD, and what a stream retains: replies, errors, time, groups, journal."""

from random import Random
from typing import Any

import pytest
from support.engine import Harness
from support.same_data import replay
from support.streams import assert_replays_streams

from broker.keyspace.digest import dataset_digest

NOW = 1_700_000_000_000  # ms, the Harness's clock
MIB = 1024 * 1024


@pytest.fixture
def h() -> Harness:
    return Harness()


def ids(h: Harness, key: str = "s") -> list[int]:
    return [int(row[0].split(b"-")[0]) for row in h.run("XRANGE", key, "-", "+")]


def pending(h: Harness, group: str) -> list[int]:
    return [int(row[0].split(b"-")[0]) for row in h.run("XPENDING", "s", group, "-", "+", 1000)]


def settings(h: Harness, key: str = "s") -> dict[bytes, Any]:
    flat = h.run("XCFGGET", key)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def info(h: Harness) -> dict[bytes, Any]:
    flat = h.run("XINFO STREAM s")
    return dict(zip(flat[::2], flat[1::2], strict=True))


def digest(h: Harness) -> bytes:
    return dataset_digest(h.engine.keyspace, True)


def assert_same_after_replay(h: Harness) -> None:
    """What the journal gives, an hour later, is what is there: nothing goes by itself meanwhile."""
    expected = digest(h)
    other = replay(h)
    other.engine.keyspace.now_ms = h.engine.keyspace.now_ms
    assert digest(other) == expected


# -- XCFGSET


def test_what_is_set_is_shown(h: Harness) -> None:
    h.run("XADD s 1-0 f v")
    assert settings(h) == {
        b"idmp-duration": 100, b"idmp-maxsize": 100, b"maxlen": 0, b"maxage": 0, b"maxbytes": 0, b"retain": b"limits",
        b"groupidle": 604_800_000, b"ttlfield": b"", b"idle-groups": [],
    }  # fmt: skip
    assert h.run("XCFGSET s IDMP-DURATION 5 IDMP-MAXSIZE 6 MAXLEN 7 MAXBYTES 9000 RETAIN acked") == "OK"
    assert h.run("XCFGSET s GROUPIDLE 10 TTLFIELD ttl") == "OK"
    assert settings(h) == {
        b"idmp-duration": 5, b"idmp-maxsize": 6, b"maxlen": 7, b"maxage": 0, b"maxbytes": 9000, b"retain": b"acked",
        b"groupidle": 10, b"ttlfield": b"ttl", b"idle-groups": [],
    }  # fmt: skip
    assert h.run("XCFGSET s MAXLEN 0 MAXBYTES 0 RETAIN limits TTLFIELD ''") == "OK"
    assert settings(h)[b"maxlen"] == 0
    assert_same_after_replay(h)


@pytest.mark.parametrize(
    ("rest", "error"),
    [
        ("", "-ERR At least one parameter must be specified"),
        ("IDMP-DURATION", "-ERR syntax error"),
        ("INVALID", "-ERR syntax error"),
        ("MAXLEN 5 RETAIN", "-ERR syntax error"),
        ("IDMP-DURATION 0", "-ERR IDMP-DURATION must be between 1 and 86400 seconds"),
        ("IDMP-DURATION 86401", "-ERR IDMP-DURATION must be between 1 and 86400 seconds"),
        ("IDMP-MAXSIZE 0", "-ERR IDMP-MAXSIZE must be between 1 and 10000 entries"),
        ("IDMP-MAXSIZE 10001", "-ERR IDMP-MAXSIZE must be between 1 and 10000 entries"),
        ("IDMP-DURATION 000", "-ERR value is not an integer or out of range"),
        ("IDMP-DURATION INVALID IDMP-MAXSIZE", "-ERR value is not an integer or out of range"),
        ("MAXLEN -1", "-ERR value is out of range, must be positive"),
        ("MAXAGE x", "-ERR value is not an integer or out of range"),
        ("RETAIN everything", "-ERR RETAIN must be one of limits, acked, workqueue"),
    ],
)
def test_refused_settings_change_nothing(h: Harness, rest: str, error: str) -> None:
    h.run("XADD s 1-0 f v")
    before = settings(h)
    h.journal()
    assert h.run(f"XCFGSET s {rest}") == error
    assert settings(h) == before
    assert h.journal() == []


def test_settings_belong_to_a_stream_that_exists(h: Harness) -> None:
    assert h.run("XCFGSET s MAXLEN 5") == "-ERR no such key"
    assert h.run("XCFGGET s") == "-ERR no such key"
    h.run("SET s v")
    assert h.run("XCFGSET s MAXLEN 5").startswith("-WRONGTYPE")
    assert h.run("XCFGGET s").startswith("-WRONGTYPE")


def test_settings_go_with_the_stream(h: Harness) -> None:
    h.run("XADD s * f v")
    h.run("XCFGSET s MAXLEN 2 MAXAGE 60000")
    h.run("XADD s IDMP p a * f v")
    h.run("COPY s t")
    h.run("RENAME s u")
    assert settings(h, "t") == settings(h, "u")
    h.run("XADD t * f v")
    assert h.run("XLEN t") == 2
    assert_same_after_replay(h)
    h.run("SWAPDB 0 1")
    h.run("COPY missing x")
    h.advance(61)
    h.run("SELECT 1")
    assert h.run("XLEN t") == h.run("XLEN u") == 0


# -- IDMP


def test_an_entry_added_again_is_the_entry_added_first(h: Harness) -> None:
    first = h.run("XADD s IDMP p pay-1 * amount 100")
    h.journal()
    assert h.run("XADD s IDMP p pay-1 * amount 200") == first
    assert h.journal() == []
    assert h.run("XADD s IDMP q pay-1 * amount 100") != first
    assert h.run("XADD s IDMP p pay-2 MAXLEN ~ 100 * amount 100") != first
    assert h.run("XADD s IDMP p pay-1 MAXLEN 1 * amount 100") == first
    assert h.run("XLEN s") == 3
    facts = info(h)
    assert [facts[b"idmp-duration"], facts[b"idmp-maxsize"]] == [100, 100]
    assert [facts[b"pids-tracked"], facts[b"iids-tracked"]] == [2, 3]
    assert [facts[b"iids-added"], facts[b"iids-duplicates"]] == [3, 2]


def test_idmpauto_goes_by_the_pairs_in_any_order(h: Harness) -> None:
    first = h.run("XADD s IDMPAUTO p * a 1 b 2")
    assert h.run("XADD s IDMPAUTO p * b 2 a 1") == first
    assert h.run("XADD s IDMPAUTO p * a 2 b 1") != first
    assert h.run("XADD s IDMPAUTO p * a 1") != first
    assert h.run("XADD s IDMPAUTO p * a1 '' b 2") != first
    assert h.run("XLEN s") == 4


def test_the_journal_has_what_was_added_and_under_which_name(h: Harness) -> None:
    h.run("XADD s IDMP p a * f v")
    assert h.journal() == [
        [b"MULTI"],
        [b"XADD", b"s", b"%d-0" % NOW, b"f", b"v"],
        [b"XIDMPRECORD", b"s", b"p", b"a", b"%d-0" % NOW],
        [b"EXEC"],
    ]


def test_names_outlive_a_restart(h: Harness) -> None:
    h.run("XADD s 9999999999999-5 f v")  # ahead of the clock
    first = h.run("XADD s IDMP p a * f v")
    h.run("XADD s IDMP p b MAXLEN 0 * f v")
    h.advance(50)
    other = replay(h)
    other.time.now = h.time.now
    assert other.run("XADD s IDMP p a * f v") == first
    assert other.run("XLEN s") == 0
    other.advance(50)
    assert other.run("XADD s IDMP p a * f v") != first


def test_names_are_forgotten_by_the_time_of_arrival(h: Harness) -> None:
    """Ids that run ahead of the clock do not make a window that never ends."""
    h.run("XADD s 9999999999999-5 f v")
    h.run("XCFGSET s IDMP-DURATION 10")
    first = h.run("XADD s IDMP p a * f v")
    h.advance(9.9)
    assert h.run("XADD s IDMP p a * f v") == first
    h.advance(0.1)
    second = h.run("XADD s IDMP p a * f v")
    assert second != first
    assert info(h)[b"iids-tracked"] == 1
    h.advance(100)
    assert info(h)[b"iids-tracked"] == info(h)[b"pids-tracked"] == 0
    h.run("XADD s IDMP q b * f v")
    stream = h.engine.keyspace.databases[0].table.get(b"s")
    assert list(stream.settings.window.producers) == [b"q"]  # type: ignore[attr-defined]


def test_the_oldest_names_of_a_producer_make_room(h: Harness) -> None:
    h.run("XADD s IDMP p init * f v")
    h.run("XCFGSET s IDMP-MAXSIZE 3 IDMP-DURATION 60")
    added = {name: h.run("XADD", "s", "IDMP", "p", name, "*", "f", "v") for name in "abc"}
    assert {name: h.run("XADD", "s", "IDMP", "p", name, "*", "f", "v") for name in "abc"} == added
    h.run("XADD s IDMP p d * f v")
    assert h.run("XADD s IDMP p a * f v") != added["a"]
    assert h.run("XADD s IDMP p c * f v") == added["c"]
    assert h.run("XLEN s") == 6
    assert info(h)[b"iids-added"] == 6
    assert_same_after_replay(h)


def test_other_rules_clear_the_names_and_equal_ones_do_not(h: Harness) -> None:
    first = h.run("XADD s IDMP p a * f v")
    h.run("XCFGSET s IDMP-DURATION 100 IDMP-MAXSIZE 100")
    assert h.run("XADD s IDMP p a * f v") == first
    h.run("XCFGSET s IDMP-DURATION 50")
    assert info(h)[b"iids-tracked"] == 0
    assert info(h)[b"iids-added"] == 1
    assert h.run("XADD s IDMP p a * f v") != first
    assert_same_after_replay(h)


def test_an_entry_added_again_is_not_stale(h: Harness) -> None:
    first = h.run("XADD s IDMP p a IFLAST 0 * f v")
    assert h.run("XADD s IDMP p a IFLAST 0 * f v") == first
    assert h.run("XADD s IDMP p b IFLAST 0 * f v").startswith("-STALE")


def test_the_usual_window_is_the_servers(h: Harness) -> None:
    h.run("CONFIG SET stream-idmp-duration 7 stream-idmp-maxsize 2")
    h.run("XADD s IDMP p a * f v")
    other = replay(h)
    assert settings(h) == settings(other)
    assert (settings(other)[b"idmp-duration"], settings(other)[b"idmp-maxsize"]) == (7, 2)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XADD s IDMP p * f v", "-ERR Invalid stream ID specified as stream command argument"),
        ("XADD s IDMP p a 1-1 f v", "-ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs"),
        ("XADD s IDMPAUTO p 1-* f v", "-ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs"),
        ("XADD s IDMP p a IDMP q b * f v", "-ERR syntax error, IDMP/IDMPAUTO specified multiple times"),
        ("XADD s IDMPAUTO p IDMP q b * f v", "-ERR syntax error, IDMP/IDMPAUTO specified multiple times"),
        ("XADD s IDMP '' a * f v", "-ERR syntax error, IDMP requires a non-empty producer ID"),
        ("XADD s IDMP p '' * f v", "-ERR syntax error, IDMP requires a non-empty idempotent ID"),
        ("XADD s IDMPAUTO '' * f v", "-ERR syntax error, IDMPAUTO requires a non-empty producer ID"),
        ("XADD s IDMP p a * f", "-ERR wrong number of arguments for 'xadd' command"),
    ],
)
def test_what_idmp_refuses(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == error
    assert h.run("EXISTS s") == 0


def test_nothing_is_remembered_of_what_was_not_added(h: Harness) -> None:
    assert h.run("XADD s NOMKSTREAM IDMP p a * f v") is None
    assert h.journal() == []


def test_xidmprecord_by_hand(h: Harness) -> None:
    assert h.run("XIDMPRECORD s p a 1-0") == "-ERR no such key"
    h.run("XADD s 1-0 f v")
    h.run("XADD", "s", f"{NOW}-0", "f", "v")
    assert h.run("XIDMPRECORD s p a 2-0") == "-ERR No such message in stream"
    assert h.run("XIDMPRECORD s '' a 1-0") == "-ERR producer ID must be non-empty"
    assert h.run("XIDMPRECORD s p '' 1-0") == "-ERR idempotent ID must be non-empty"
    assert h.run("XIDMPRECORD s p a 1-0@5").startswith("-ERR Invalid stream ID"), "the time of arrival is the log's"
    assert h.run("XIDMPRECORD", "s", "p", "a", f"{NOW}-0") == "OK"
    assert h.run("XIDMPRECORD", "s", "p", "a", f"{NOW}-0") == "OK"
    error = "-ERR IID already exists for this producer with a different stream ID"
    assert h.run("XIDMPRECORD s p a 1-0") == error
    assert h.run("XADD s IDMP p a * f v") == b"%d-0" % NOW
    assert_same_after_replay(h)


def test_xinfo_says_nothing_of_it_where_nothing_is_set(h: Harness) -> None:
    h.run("XADD s 1-0 f v")
    assert b"idmp-duration" not in info(h)
    h.run("XCFGSET s MAXLEN 5")
    assert info(h)[b"pids-tracked"] == 0
    full = h.run("XINFO STREAM s FULL")
    assert full[14:26:2] == [
        b"idmp-duration", b"idmp-maxsize", b"pids-tracked", b"iids-tracked", b"iids-added", b"iids-duplicates",
    ]  # fmt: skip


# -- MAXLEN, MAXBYTES


def test_a_length_is_kept_by_every_xadd(h: Harness) -> None:
    for i in range(1, 6):
        h.run("XADD", "s", f"{i}-0", "n", i)
    h.journal()
    h.run("XCFGSET s MAXLEN 3")
    assert h.journal() == [
        [b"MULTI"],
        [b"XCFGSET", b"s", b"MAXLEN", b"3"],
        [b"XTRIM", b"s", b"DELREF", b"MAXLEN", b"=", b"3"],
        [b"EXEC"],
    ]
    assert ids(h) == [3, 4, 5]
    h.run("XADD s 6-0 n 6")
    assert h.journal() == [[b"XADD", b"s", b"DELREF", b"MAXLEN", b"=", b"3", b"6-0", b"n", b"6"]]
    h.run("XADD s IDMP p a NOMKSTREAM * n 7")
    h.run("XADD s MAXLEN 9 * n 8")
    assert h.run("XLEN s") == 3
    h.run("XCFGSET s MAXLEN 0")
    h.run("XADD s * n 9")
    assert h.run("XLEN s") == 4


def test_retention_is_replayed_as_it_was(h: Harness) -> None:
    h.run("XGROUP CREATE s g 0 MKSTREAM")
    h.run("XCFGSET s MAXLEN 20 MAXAGE 3000 TTLFIELD ttl RETAIN acked")
    for i in range(200):
        h.run("XADD", "s", *(["IDMP", "p", i] if i % 3 == 0 else []), "*", "n", i, "ttl", 500 + i % 7 * 400)
        if i % 4 == 0:
            read = h.run("XREADGROUP GROUP g c COUNT 3 STREAMS s >")
            if read and i % 8:
                h.run("XACK", "s", "g", *[row[0] for row in read[0][1]])
        h.advance(0.05 + i % 5 * 0.02)
    assert 0 < h.run("XLEN s") <= 20
    assert_same_after_replay(h)


def test_what_goes_is_pending_no_more(h: Harness) -> None:
    h.run("XGROUP CREATE s g 0 MKSTREAM")
    h.run("XCFGSET s MAXLEN 2")
    for i in range(1, 5):
        h.run("XADD", "s", f"{i}-0", "n", i)
        h.run("XREADGROUP GROUP g c STREAMS s >")
    assert pending(h, "g") == [3, 4]
    assert_replays_streams(h)


def test_bytes_are_kept_within_a_limit(h: Harness) -> None:
    h.run("XADD s * f v")
    h.run("XCFGSET", "s", "MAXBYTES", MIB)
    rng = Random(1)
    for i in range(3000):
        h.run("XADD", "s", "*", "n", i, "f", rng.randbytes(1000))
    stream: Any = h.engine.keyspace.databases[0].table.get(b"s")
    assert 0.5 * MIB < stream.approximate_bytes() < 1.2 * MIB
    assert 500 < h.run("XLEN s") < 1200
    assert_same_after_replay(h)


# -- MAXAGE, TTLFIELD


def test_entries_go_by_the_clock_without_any_request(h: Harness) -> None:
    h.run("XADD s * n 1")
    h.run("XCFGSET s MAXAGE 1000")
    h.advance(0.5)
    h.run("XADD s * n 2")
    h.journal()
    assert h.engine.next_deadline_ms() == 500
    h.advance(0.499)
    assert h.run("XLEN s") == 2
    h.advance(0.001)
    assert h.journal() == [[b"XTRIM", b"s", b"DELREF", b"MAXLEN", b"=", b"1"]]
    assert h.engine.next_deadline_ms() == 500
    h.advance(0.5)
    assert h.journal() == [[b"XTRIM", b"s", b"DELREF", b"MAXLEN", b"=", b"0"]]
    assert h.engine.next_deadline_ms() is None
    h.run("XADD s * n 3")
    assert h.engine.next_deadline_ms() == 1000


def test_the_first_request_after_the_time_does_not_see_what_is_over(h: Harness) -> None:
    h.run("XADD s * n 1")
    h.run("XCFGSET s MAXAGE 1000")
    h.time.advance(1)
    assert h.run("XLEN s") == 0


def test_an_entry_that_is_too_old_already_does_not_stay(h: Harness) -> None:
    h.run("XADD s 1-0 n 1")
    h.run("XCFGSET s MAXAGE 1000")
    assert h.run("XLEN s") == 0
    h.journal()
    assert h.run("XADD s 2-0 n 2") == b"2-0"
    assert h.journal() == [[b"XADD", b"s", b"DELREF", b"MAXLEN", b"=", b"0", b"2-0", b"n", b"2"]]


def test_each_entry_lives_as_long_as_it_says(h: Harness) -> None:
    h.run("XADD s 1-0 ttl 5")
    h.run("XCFGSET s TTLFIELD ttl")
    h.run("XGROUP CREATE s g 0")
    for i, ttl in enumerate(["3000", "1000", "soon", "-1", "2000"]):
        h.run("XADD", "s", "*", "n", i, "ttl", ttl)
    h.run("XREADGROUP GROUP g c STREAMS s >")
    h.journal()
    assert h.engine.next_deadline_ms() == 1000
    h.advance(1)
    assert h.journal() == [[b"XDELEX", b"s", b"DELREF", b"IDS", b"1", b"%d-1" % NOW]]
    assert h.run("XLEN s") == len(pending(h, "g")) == 5
    h.advance(9)
    assert h.run("XLEN s") == len(pending(h, "g")) == 3  # without a time, with an odd one, and from before it was set
    assert h.engine.next_deadline_ms() is None


def test_time_does_nothing_while_a_log_is_read(h: Harness) -> None:
    h.run("XADD s * n 1")
    h.run("XCFGSET s MAXAGE 1000 TTLFIELD ttl")
    h.run("XADD s * ttl 1")
    other = replay(h)
    other.advance(10)
    assert other.run("XLEN s") == 2
    other.engine.keyspace.expiry = True
    assert other.run("XLEN s") == 0


def test_time_fails_a_transaction_that_watched_the_stream(h: Harness) -> None:
    h.run("XADD s * n 1")
    h.run("XCFGSET s MAXAGE 1000")
    client = h.client()
    client.run("WATCH s")
    h.advance(1)
    client.run("MULTI")
    client.run("PING")
    assert client.run("EXEC") is None


# -- RETAIN


def grouped(h: Harness, retain: str, *groups: str) -> None:
    """Entries 1-0 to 5-0, all pending in each group."""
    for i in range(1, 6):
        h.run("XADD", "s", f"{i}-0", "n", i)
    h.run("XCFGSET", "s", "RETAIN", retain)
    for group in groups:
        h.run("XGROUP", "CREATE", "s", group, 0)
    for group in groups:
        h.run("XREADGROUP", "GROUP", group, "c", "STREAMS", "s", ">")


@pytest.mark.parametrize("retain", ["acked", "workqueue"])
def test_an_entry_goes_with_the_last_acknowledgement(h: Harness, retain: str) -> None:
    grouped(h, retain, "g", "k")
    h.run("XACK s g 1-0 3-0 5-0")
    assert ids(h) == [1, 2, 3, 4, 5]
    h.journal()
    assert h.run("XACK s k 3-0 4-0") == 2
    assert ids(h) == [1, 2, 4, 5]
    assert h.journal() == [
        [b"MULTI"],
        [b"XACK", b"s", b"k", b"3-0", b"4-0"],
        [b"XDELEX", b"s", b"DELREF", b"IDS", b"1", b"3-0"],
        [b"EXEC"],
    ]
    h.run("XACK s k 1-0 2-0 5-0")
    h.run("XACK s g 2-0 4-0")
    assert ids(h) == []


@pytest.mark.parametrize("retain", ["acked", "workqueue"])
def test_what_a_group_has_yet_to_read_stays(h: Harness, retain: str) -> None:
    grouped(h, retain, "g")
    h.run("XGROUP CREATE s late 2-0")
    h.run("XACK s g 1-0 2-0 3-0")
    assert ids(h) == [3, 4, 5]
    assert_replays_streams(h)


def test_acked_lets_go_of_what_the_last_group_in_the_way_held(h: Harness) -> None:
    grouped(h, "acked", "g", "k")
    h.run("XACK s g 1-0 2-0 3-0")
    h.journal()
    h.run("XGROUP DESTROY s k")
    assert ids(h) == [4, 5]
    assert h.journal()[1:] == [
        [b"XGROUP", b"DESTROY", b"s", b"k"], [b"XTRIM", b"s", b"DELREF", b"MAXLEN", b"=", b"2"], [b"EXEC"],
    ]  # fmt: skip
    h.run("XGROUP DESTROY s g")
    assert ids(h) == [4, 5]  # nobody reads, nobody is done


def test_acked_counts_reading_without_acknowledging(h: Harness) -> None:
    h.run("XGROUP CREATE s g 0 MKSTREAM")
    h.run("XCFGSET s RETAIN acked")
    h.run("XADD s 1-0 n 1")
    h.run("XADD s 2-0 n 2")
    h.run("XREADGROUP GROUP g c COUNT 1 NOACK STREAMS s >")
    assert ids(h) == [2]


def test_an_idle_group_pins_nothing(h: Harness) -> None:
    grouped(h, "acked", "g", "dead")
    h.run("XCFGSET s GROUPIDLE 5000")
    for _ in range(4):
        h.advance(1)
        h.run("XREADGROUP GROUP g c STREAMS s >")
    h.run("XACK s g 1-0 2-0 3-0")
    assert ids(h) == [1, 2, 3, 4, 5]
    h.journal()
    h.advance(1)
    assert h.journal() == [[b"XTRIM", b"s", b"DELREF", b"MAXLEN", b"=", b"2"]]
    assert settings(h)[b"idle-groups"] == [b"dead"]
    assert pending(h, "dead") == [4, 5]
    h.run("XACK s g 4-0")
    assert ids(h) == [5]
    h.run("XREADGROUP GROUP dead c STREAMS s 0")
    h.run("XACK s g 5-0")
    assert ids(h) == [5]
    assert settings(h)[b"idle-groups"] == []


def test_a_group_that_falls_idle_is_warned_of_once_until_it_comes_back(h: Harness) -> None:
    grouped(h, "acked", "g", "dead")
    h.run("XCFGSET s GROUPIDLE 5000")
    warned = h.control.asked
    warned.clear()
    for _ in range(10):
        h.advance(1)
        h.run("XREADGROUP GROUP g c STREAMS s >")
    assert warned == [("group_idle", 0, b"s", b"dead", 5000)]
    h.run("XREADGROUP GROUP dead c STREAMS s 0")
    h.run("XACK s g 1-0")
    assert len(warned) == 1
    h.run("SELECT 0")
    for _ in range(10):
        h.advance(1)
    assert warned[1:] == [("group_idle", 0, b"s", b"g", 5000), ("group_idle", 0, b"s", b"dead", 5000)]


def test_what_a_stream_remembers_of_producers_is_part_of_its_size(h: Harness) -> None:
    stream: Any = None
    sizes = []
    for length in (1, 60):
        h.run("XADD", "s", "IDMP", "p" * 1000, "a" * length, "*", "n", 1)
        stream = h.engine.keyspace.databases[0].table.get(b"s")
        sizes.append(stream.approximate_bytes())
    assert sizes[1] - sizes[0] > 200
    before = stream.settings
    with_settings = stream.approximate_bytes()
    stream.settings = None
    assert with_settings - stream.approximate_bytes() == before.approximate_bytes() > 1500


def test_limits_hold_besides(h: Harness) -> None:
    grouped(h, "workqueue", "g")
    h.run("XCFGSET s MAXLEN 2")
    assert ids(h) == pending(h, "g") == [4, 5]


def test_a_blocked_reader_who_takes_without_acknowledging_lets_go(h: Harness) -> None:
    h.run("XGROUP CREATE s g 0 MKSTREAM")
    h.run("XCFGSET s RETAIN acked")
    reader = h.client()
    reader.run("XREADGROUP GROUP g c BLOCK 0 NOACK STREAMS s >")
    h.run("XADD s 1-0 n 1")
    assert reader.received()
    assert ids(h) == []
    assert_same_after_replay(h)


def test_acknowledging_in_a_transaction(h: Harness) -> None:
    grouped(h, "workqueue", "g")
    h.run("MULTI")
    h.run("XACK s g 1-0")
    h.run("XLEN s")
    assert h.run("EXEC") == [1, 4]
    assert_same_after_replay(h)
