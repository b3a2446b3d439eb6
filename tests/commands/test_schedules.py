"""XSCHEDULE, LSCHEDULE and what goes with them: replies, errors, journal. When they fire is in tests/engine."""

import shlex
from typing import Any

import pytest
from support.engine import Harness
from support.same_data import wire

from broker.protocol.requests import RequestParser

NOW = 1_700_000_000_000


@pytest.fixture
def h() -> Harness:
    return Harness()


def rows(reply: Any) -> list[dict[str, Any]]:
    """What XSCHEDULES says, each row as a dict."""
    found = []
    for row in reply:
        names = [name.decode() for name in row[::2]]
        found.append(dict(zip(names, row[1::2], strict=True)))
    return found


def replayed(h: Harness) -> Harness:
    """Another engine that read the journal an hour later (and has the same time from then on)."""
    other = Harness(seed=9)
    other.time.advance(3600)
    other.engine.journal.enabled = False
    other.engine.keyspace.expiry = False
    ctx = other.engine.replay_session()
    parser = RequestParser()
    parser.feed(h.engine.journal.take())
    entries: list[list[bytes]] = []
    parser.take(entries)
    other.engine.begin_turn()
    for argv in entries:
        reply = other.engine.execute(ctx, argv)
        assert type(reply).__name__ != "ErrorReply", (argv, reply.text)
    assert not other.bugs
    other.time.now = h.time.now
    return other


# -- making schedules


def test_the_reply_is_the_ticket_given_or_a_new_one(h: Harness) -> None:
    assert h.run("XSCHEDULE s ID mine DELAY 5 f v") == b"mine"
    assert h.run("XSCHEDULE s DELAY 5 f v") == b"%d-0" % NOW
    assert h.run("XSCHEDULE t DELAY 5 f v") == b"%d-1" % NOW
    assert h.run("LSCHEDULE s DELAY 5 v") == b"%d-2" % NOW


def test_a_schedule_is_no_value_of_its_key(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 5000 f v")
    assert h.run("EXISTS s") == 0
    assert h.run("DBSIZE") == 0
    h.run("SET s string")
    assert h.run("XSCHEDULE s DELAY 5000 f v"), "what stands there matters when it is due"


@pytest.mark.parametrize(
    ("timing", "due"),
    [
        (f"AT {NOW + 77}", NOW + 77),
        (f"AT {NOW - 77}", NOW),
        ("AT 0", NOW),
        ("DELAY 0", NOW),
        ("DELAY 1500", NOW + 1500),
        ("EVERY 1500", NOW + 1500),
        (f"NEXT {NOW + 3} EVERY 1500", NOW + 3),
        ("CRON '*/5 * * * *'", 1_700_000_100_000),
        ("CRON '0 0 * * *'", 1_700_006_400_000),
        ("CRON '0 0 * * *' TZ Europe/Berlin", 1_700_002_800_000),
        (f"NEXT {NOW + 3} CRON '0 0 * * *' TZ Europe/Berlin", NOW + 3),
    ],
)
def test_the_first_due_time(h: Harness, timing: str, due: int) -> None:
    """Seen before the end of the turn, in which it may be due already."""
    ctx = h.main.ctx
    h.engine.begin_turn()
    h.engine.execute(ctx, [word.encode() for word in shlex.split(f"XSCHEDULE s {timing} f v")])
    ticket = ctx.db.agenda.first()
    assert ticket is not None
    assert ticket.due_ms == due


def test_a_ticket_of_the_same_name_is_replaced(h: Harness) -> None:
    h.run("XSCHEDULE s ID t EVERY 1000 f old")
    assert h.run("XSCHEDULE s ID t EVERY 2000 f new") == b"t"
    (row,) = rows(h.run("XSCHEDULES s"))
    assert (row["every"], row["message"]) == (2000, [b"f", b"new"])


def test_streams_lists_keys_and_databases_have_tickets_of_their_own(h: Harness) -> None:
    h.run("XSCHEDULE a ID t DELAY 5000 f v")
    h.run("XSCHEDULE b ID t DELAY 5000 f v")
    h.run("LSCHEDULE a ID t DELAY 5000 v")
    h.run("SELECT 1")
    h.run("XSCHEDULE a ID t DELAY 5000 f v")
    assert h.run("XUNSCHEDULE a t") == 1
    h.run("SELECT 0")
    assert [row[:2] for row in h.run("XSCHEDULES")] == [[b"a", 1], [b"b", 1]]
    assert [row[:2] for row in h.run("LSCHEDULES")] == [[b"a", 1]]


def test_what_looks_like_an_option_may_be_a_field(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 5000 id 42 next 7")
    h.run("XSCHEDULE s DELAY 5001 FIELDS MAXRUNS 3 FIELDS x")
    h.run("LSCHEDULE s DELAY 5000 left VALUES")
    h.run("LSCHEDULE s LEFT DELAY 5001 VALUES MISSED skip")
    assert [row["message"] for row in rows(h.run("XSCHEDULES s"))] == [
        [b"id", b"42", b"next", b"7"],
        [b"MAXRUNS", b"3", b"FIELDS", b"x"],
    ]
    lists = rows(h.run("LSCHEDULES s"))
    assert [(row["message"], row["side"]) for row in lists] == [
        ([b"left", b"VALUES"], b"right"),
        ([b"MISSED", b"skip"], b"left"),
    ]


@pytest.mark.parametrize(
    ("request_line", "error"),
    [
        ("XSCHEDULE s AT 5 f", "-ERR wrong number of arguments for 'xschedule' command"),
        ("XSCHEDULE s AT 5 f v w", "-ERR wrong number of arguments for 'xschedule' command"),
        ("XSCHEDULE s AT 5 MAXRUNS 3 FIELDS", "-ERR wrong number of arguments for 'xschedule' command"),
        ("LSCHEDULE s AT 5 VALUES", "-ERR wrong number of arguments for 'lschedule' command"),
        ("XSCHEDULE s f v f v", "-ERR syntax error"),
        ("XSCHEDULE s ID t UNTIL 5", "-ERR syntax error, one of AT, DELAY, EVERY and CRON is needed"),
        ("XSCHEDULE s LEFT AT 5 f v", "-ERR syntax error"),
        ("LSCHEDULE s MAXLEN 5 AT 5 f v", "-ERR syntax error"),
        ("XSCHEDULE s AT x f v", "-ERR value is not an integer or out of range"),
        ("XSCHEDULE s AT -1 f v", f"-ERR value is out of range, must be between 0 and {1 << 53}"),
        ("XSCHEDULE s EVERY 0 f v", f"-ERR value is out of range, must be between 1 and {1 << 53}"),
        ("XSCHEDULE s DELAY 9007199254740993 f v", f"-ERR value is out of range, must be between 0 and {1 << 53}"),
        ("XSCHEDULE s DELAY 1 MAXRUNS 0 f v", f"-ERR value is out of range, must be between 1 and {1 << 53}"),
        ("XSCHEDULE s DELAY 1 MISSED some f v", "-ERR MISSED must be one, skip or all"),
        ("XSCHEDULE s DELAY 1 MAXLEN -1 f v", "-ERR The MAXLEN argument must be >= 0."),
        ("XSCHEDULE s DELAY 1 MAXLEN x f v", "-ERR value is not an integer or out of range"),
        ("XSCHEDULE s DELAY 10 UNTIL 5 f v", "-ERR the message would never be due: UNTIL is before the first time"),
        (
            f"XSCHEDULE s DELAY {1 << 53} f v",
            "-ERR the message would never be due: UNTIL is before the first time",
        ),
        (
            "XSCHEDULE s RUNS 3 EVERY 10 MAXRUNS 3 f v",
            "-ERR the message would never be due: RUNS has reached MAXRUNS",
        ),
        ("XSCHEDULE s NEXT 5 DELAY 10 f v", "-ERR NEXT is for EVERY and CRON: AT and DELAY say when"),
        ("XSCHEDULE s CRON '* * *' f v", "-ERR the cron expression has a fault: Wrong number of fields"),
        ("XSCHEDULE s CRON '* * * * *' TZ Mars f v", "-ERR the time zone is unknown"),
        ("XSCHEDULE s CRON '\u00e9 * * * *' f v", "-ERR the cron expression or the time zone is not ASCII"),
        (
            "XSCHEDULE s CRON '0 0 */31 2 MON#5' f v",
            "-ERR the message would never be due: the cron expression names no day within 50 years",
        ),
        ("XSCHEDULE s RUN t x 1", "-ERR value is not an integer or out of range"),
        ("XSCHEDULES s MATCH", "-ERR syntax error"),
        ("XSCHEDULES s COUNT 0", "-ERR syntax error"),
        ("XSCHEDULES s t", "-ERR syntax error"),
    ],
)
def test_errors_change_nothing(h: Harness, request_line: str, error: str) -> None:
    digest = h.run("DEBUG DIGEST")
    assert h.run(request_line) == error
    assert h.run("DEBUG DIGEST") == digest
    assert h.journal() == []


# -- looking and removing


def test_schedules_are_shown_in_the_order_of_their_due_times(h: Harness) -> None:
    h.run("XSCHEDULE s ID once DELAY 9000 f v")
    h.run(f"XSCHEDULE s ID often EVERY 3000 UNTIL {NOW + 60_000} MAXRUNS 5 MISSED all MAXLEN ~ 100 f v g w")
    h.run("XSCHEDULE s ID daily CRON '0 9 * * 1-5' TZ Europe/Berlin MISSED skip f v")
    assert rows(h.run("XSCHEDULES s")) == [
        {
            "ticket": b"often",
            "next": NOW + 3000,
            "rule": b"every",
            "every": 3000,
            "runs": 0,
            "missed": b"all",
            "until": NOW + 60_000,
            "max-runs": 5,
            "max-length": 100,
            "message": [b"f", b"v", b"g", b"w"],
        },
        {
            "ticket": b"once",
            "next": NOW + 9000,
            "rule": b"once",
            "runs": 0,
            "missed": b"one",
            "message": [b"f", b"v"],
        },
        {
            "ticket": b"daily",
            "next": 1_700_035_200_000,
            "rule": b"cron",
            "cron": b"0 9 * * 1-5",
            "zone": b"Europe/Berlin",
            "runs": 0,
            "missed": b"skip",
            "message": [b"f", b"v"],
        },
    ]


def test_schedules_can_be_chosen_by_pattern_and_number(h: Harness) -> None:
    for i in range(20):
        h.run(f"LSCHEDULE l ID t{i} DELAY {1000 - i} v")
    named = [row["ticket"] for row in rows(h.run("LSCHEDULES l COUNT 3"))]
    assert named == [b"t19", b"t18", b"t17"]
    assert [row["ticket"] for row in rows(h.run("LSCHEDULES l MATCH t1[01]"))] == [b"t11", b"t10"]
    assert [row["ticket"] for row in rows(h.run("LSCHEDULES l MATCH t1* COUNT 1"))] == [b"t19"]
    assert [row["ticket"] for row in rows(h.run("LSCHEDULES l MATCH t7"))] == [b"t7"]
    assert h.run("LSCHEDULES l MATCH x") == []
    assert h.run("LSCHEDULES none") == h.run("XSCHEDULES l") == h.run("XSCHEDULES") == []


def test_which_keys_have_schedules_can_be_asked(h: Harness) -> None:
    h.run("XSCHEDULE b DELAY 500 f v")
    h.run("XSCHEDULE b DELAY 300 f v")
    h.run("XSCHEDULE a DELAY 400 f v")
    assert h.run("XSCHEDULES") == [[b"a", 1, NOW + 400], [b"b", 2, NOW + 300]]


def test_a_schedule_is_a_map_in_resp3(h: Harness) -> None:
    h.run("LSCHEDULE l ID t DELAY 5 a b")
    two, three = wire(h, "LSCHEDULES l")
    assert two.startswith(b"*1\r\n*14\r\n$6\r\nticket\r\n$1\r\nt\r\n$4\r\nnext\r\n:1700000000005\r\n")
    assert three.startswith(b"*1\r\n%7\r\n$6\r\nticket\r\n$1\r\nt\r\n$4\r\nnext\r\n:1700000000005\r\n")
    assert two.endswith(b"$7\r\nmessage\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n") and three.endswith(two[-37:])


def test_tickets_are_removed_by_name(h: Harness) -> None:
    for name in "abc":
        h.run(f"XSCHEDULE s ID {name} DELAY 500 f v")
    h.journal()
    assert h.run("XUNSCHEDULE s a x c a") == 2
    assert h.journal() == [[b"XUNSCHEDULE", b"s", b"a", b"x", b"c", b"a"]]
    assert h.run("XUNSCHEDULE s a") == h.run("XUNSCHEDULE none b") == h.run("LUNSCHEDULE s b") == 0
    assert h.journal() == []
    h.advance(1)
    assert h.run("XLEN s") == 1


# -- what happens to the key


@pytest.mark.parametrize("request_line", ["DEL s", "UNLINK s", "RENAME s t", "MOVE s 1", "COPY s t", "PEXPIREAT s 1"])
def test_schedules_stay_with_the_name_of_their_key(h: Harness, request_line: str) -> None:
    h.run("XADD s 1-1 f v")
    h.run("XSCHEDULE s DELAY 500 f v")
    h.run(request_line)
    assert h.run("XSCHEDULES") == [[b"s", 1, NOW + 500]]
    assert h.run("XSCHEDULES t") == []


def test_flushing_drops_schedules(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 500 f v")
    h.run("SELECT 1")
    h.run("LSCHEDULE s DELAY 500 v")
    h.journal()
    h.run("FLUSHDB")
    assert h.journal() == [[b"FLUSHDB"]], "there was no key, and yet something changed"
    assert h.run("LSCHEDULES") == []
    h.run("FLUSHDB")
    assert h.journal() == []
    h.run("FLUSHALL")
    assert h.journal() == [[b"FLUSHALL"]]
    h.run("SELECT 0")
    assert h.run("XSCHEDULES") == []
    assert h.engine.next_deadline_ms() is None


def test_swapping_databases_swaps_schedules(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 500 f v")
    h.run("SWAPDB 0 3")
    assert h.run("XSCHEDULES") == []
    h.advance(0.5)
    assert h.run("XLEN s") == 0
    h.run("SELECT 3")
    assert h.run("XLEN s") == 1


def test_a_schedule_fails_no_transaction_that_watches_its_key(h: Harness) -> None:
    other = h.client()
    other.run("WATCH s")
    h.run("XSCHEDULE s DELAY 500 f v")
    other.run("MULTI")
    other.run("XSCHEDULE s ID t DELAY 500 f v")
    other.run("XUNSCHEDULE s t")
    assert other.run("EXEC") == [b"t", 1]
    other.run("WATCH s")
    h.advance(0.5)
    other.run("MULTI")
    assert other.run("EXEC") is None, "now there is an entry"


def test_keyspace_notifications_tell_of_schedules(h: Harness) -> None:
    h.run("CONFIG SET notify-keyspace-events KEA")
    listener = h.client()
    listener.run("PSUBSCRIBE __keyevent@0__:*")
    listener.received()
    h.run("XSCHEDULE s ID t DELAY 500 f v")
    h.run("XUNSCHEDULE s t")
    h.run("LSCHEDULE l ID t DELAY 500 v")
    h.run("LUNSCHEDULE l t")
    told = listener.received()
    places = [told.index(b"__:" + name + b"\r\n") for name in (b"xschedule", b"xunschedule", b"lschedule")]
    assert places == sorted(places) and b"__:lunschedule" in told


# -- journal


def test_what_was_relative_is_journaled_as_decided(h: Harness) -> None:
    h.run("XSCHEDULE s DELAY 500 MAXLEN 5 f v")
    h.run("XSCHEDULE s ID e EVERY 1000 MISSED skip f v")
    h.run(f"LSCHEDULE l LEFT CRON '0 0 * * *' UNTIL {NOW * 2} MAXRUNS 4 a b")
    assert h.journal() == [
        f"XSCHEDULE s ID {NOW}-0 AT {NOW + 500} MAXLEN = 5 FIELDS f v".encode().split(),
        f"XSCHEDULE s ID e NEXT {NOW + 1000} EVERY 1000 MISSED skip FIELDS f v".encode().split(),
        [b"LSCHEDULE", b"l", b"ID", b"%d-1" % NOW, b"LEFT", b"NEXT", b"1700006400000", b"CRON", b"0 0 * * *"]
        + f"TZ UTC UNTIL {NOW * 2} MAXRUNS 4 VALUES a b".encode().split(),
    ]


def test_replaying_gives_the_same_schedules(h: Harness) -> None:
    for request_line in (
        "XSCHEDULE s DELAY 500 f v",
        "XSCHEDULE s ID e EVERY 100 MISSED all MAXLEN ~ 3 MAXRUNS 30 f v",
        "LSCHEDULE l CRON '*/10 * * * * *' TZ America/New_York a b",
        "LSCHEDULE l LEFT DELAY 900 c",
        "XSCHEDULE s ID gone DELAY 900 f v",
        "XUNSCHEDULE s gone",
        "SELECT 2",
        "XSCHEDULE s ID skip EVERY 50 MISSED skip f v",
    ):
        assert not str(h.run(request_line)).startswith("-")
    for _ in range(40):
        h.advance(0.1)
    h.advance(30)
    other = replayed(h)
    assert other.run("DEBUG DIGEST") == h.run("DEBUG DIGEST")
    for database in (0, 2):
        other.run(f"SELECT {database}")
        h.run(f"SELECT {database}")
        assert other.run("XSCHEDULES s") == h.run("XSCHEDULES s")


def test_a_ticket_named_after_a_replay_is_new(h: Harness) -> None:
    first = h.run("XSCHEDULE s DELAY 500 f v")
    h.run("XUNSCHEDULE", "s", first)
    other = replayed(h)
    assert other.run("XSCHEDULE s DELAY 500 f v") != first
