"""XGROUP POLICY: leases, attempts, back-off, dead letters, limits, order, consumers that went away."""

import pytest
from support.engine import Client, Harness
from support.groups import MOST, assert_replays, got, group_info, pending, read, stream_with_group, waiting
from support.same_data import wire

NOW = 1_700_000_000_000  # ms, the Harness's clock


@pytest.fixture
def h() -> Harness:
    return stream_with_group(3)


def policy(h: Harness, options: str) -> None:
    assert h.run(f"XGROUP POLICY s g {options}") == "OK"


def keyed(*keys: str) -> Harness:
    """A stream s whose entries 1-0, 2-0 ... have these values in the field k, and a group ordered by it."""
    h = Harness()
    for i, key in enumerate(keys, 1):
        h.run("XADD", "s", f"{i}-0", "k", key)
    h.run("XGROUP CREATE s g 0 MKSTREAM")
    policy(h, "ORDERBY k")
    return h


def waits(h: Harness, consumer: str, *options: str) -> Client:
    return waiting(h, " ".join(["XREADGROUP GROUP g", consumer, *options, "BLOCK 0 STREAMS s >"]))


# -- the command itself


def test_a_policy_is_shown_by_itself_and_by_xinfo(h: Harness) -> None:
    assert b"policy" not in h.run("XINFO GROUPS s")[0]
    policy(h, "ackwait 1000 MAXDELIVER 3 BACKOFF 10 20 30 DEADLETTER dead MAXPENDING 5")
    policy(h, "MAXPENDINGPERCONSUMER 2 CONSUMERTTL 60000 ORDERBY n PAUSE")
    shown = h.run("XGROUP POLICY s g")
    assert dict(zip(shown[::2], shown[1::2], strict=True)) == {
        b"ackwait": 1000, b"maxdeliver": 3, b"backoff": [10, 20, 30], b"deadletter": b"dead", b"maxpending": 5,
        b"maxpendingperconsumer": 2, b"consumerttl": 60000, b"orderby": b"n", b"paused": 1,
    }  # fmt: skip
    assert group_info(h)["policy"] == shown
    assert wire(h, "XGROUP POLICY s g")[1].startswith(b"%9\r\n$7\r\nackwait\r\n:1000\r\n")
    h.run("COPY s t")
    assert h.run("XGROUP POLICY t g") == shown
    assert_replays(h)


def test_zero_and_the_empty_name_unset_an_option_and_a_group_without_any_is_plain(h: Harness) -> None:
    policy(h, "ACKWAIT 1000 BACKOFF 10 DEADLETTER dead ORDERBY n PAUSE")
    policy(h, "ACKWAIT 0 BACKOFF 0 DEADLETTER '' ORDERBY '' RESUME")
    assert "policy" not in group_info(h)
    assert_replays(h)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("ACKWAIT x", "-ERR ACKWAIT must be an integer between 0 and"),
        ("MAXDELIVER -1", "-ERR MAXDELIVER must be an integer between 0 and"),
        ("BACKOFF", "-ERR unknown subcommand or wrong number of arguments for 'POLICY'. Try XGROUP HELP."),
        ("NONSENSE 1", "-ERR unknown subcommand or wrong number of arguments for 'POLICY'. Try XGROUP HELP."),
        ("DEADLETTER s", "-ERR The dead letters of a stream can't go into the stream itself"),
    ],
)
def test_a_policy_is_refused_as_a_whole(h: Harness, options: str, error: str) -> None:
    assert h.run(f"XGROUP POLICY s g MAXPENDING 1 {options}").startswith(error)
    assert "policy" not in group_info(h)


def test_a_policy_needs_its_group(h: Harness) -> None:
    assert h.run("XGROUP POLICY s x ACKWAIT 1").startswith("-NOGROUP No such consumer group 'x' for key name 's'")
    assert h.run("XGROUP POLICY none g ACKWAIT 1").startswith("-ERR The XGROUP subcommand requires the key to exist.")


# -- leases and attempts


def test_what_was_leased_for_too_long_goes_to_the_next_reader_before_what_is_new(h: Harness) -> None:
    policy(h, "ACKWAIT 1000")
    assert read(h, "c", "COUNT", 2) == ["1-0", "2-0"]
    h.advance(0.5)
    h.run("XRENEW s g c IDS 1 1-0")
    h.advance(0.5)
    assert read(h, "d", "COUNT", 5) == ["2-0", "3-0"]
    assert pending(h) == [("1-0", "c", 1), ("2-0", "d", 2), ("3-0", "d", 1)]
    assert_replays(h)


def test_a_blocked_reader_gets_it_at_the_time(h: Harness) -> None:
    policy(h, "ACKWAIT 1000")
    read(h, "c")
    client = waits(h, "d", "COUNT 2")
    assert h.engine.next_deadline_ms() == 1000
    h.advance(0.999)
    assert got(client) == []
    h.advance(0.001)
    assert got(client) == ["1-0", "2-0"]
    assert_replays(h)


def test_only_leases_that_ran_out_and_fail_count_as_attempts(h: Harness) -> None:
    policy(h, "ACKWAIT 1000 MAXDELIVER 2 DEADLETTER dead")
    for _ in range(5):
        assert read(h, "c", "COUNT", 1) == ["1-0"]
        h.run("XREADGROUP GROUP g c STREAMS s 0")
        h.run("XNACK s g SILENT IDS 1 1-0")
    assert read(h, "c", "COUNT", 1) == ["1-0"]
    h.advance(1)  # the first failed attempt
    assert read(h, "c", "COUNT", 1) == ["1-0"]
    assert h.run("EXISTS dead") == 0
    h.run("XNACK s g FAIL IDS 1 1-0")  # the second
    assert h.run("XLEN dead") == 1
    assert pending(h) == []
    assert_replays(h)


def test_a_dead_letter_has_the_fields_and_the_facts(h: Harness) -> None:
    policy(h, "MAXDELIVER 1 DEADLETTER dead")
    read(h, "c", "COUNT", 1)
    h.advance(2)
    h.run("XNACK", "s", "g", "FAIL", "IDS", 1, "1-0", "REASON", "no such user")
    assert h.run("XRANGE dead - +") == [
        [
            f"{NOW + 2000}-0".encode(),
            [
                b"n", b"1", b"dead.stream", b"s", b"dead.id", b"1-0", b"dead.group", b"g", b"dead.consumer", b"c",
                b"dead.deliveries", b"1", b"dead.attempts", b"1", b"dead.reason", b"no such user",
                b"dead.time", b"%d" % (NOW + 2000),
            ],
        ]
    ]  # fmt: skip
    assert h.run("XLEN s") == 3
    assert_replays(h)


def test_the_move_to_the_dead_letters_is_one_unit_of_the_journal_and_wakes_their_readers(h: Harness) -> None:
    policy(h, "ACKWAIT 1000 MAXDELIVER 1 DEADLETTER dead")
    h.run("XGROUP CREATE dead g $ MKSTREAM")
    letters = waiting(h, "XREADGROUP GROUP g c BLOCK 0 STREAMS dead >")
    read(h, "c", "COUNT", 1)
    h.journal()
    h.advance(1)
    assert read(h, "d", "COUNT", 1) == ["2-0"]
    words = [entry[0] for entry in h.journal()]
    assert words[0] == b"MULTI"
    assert words.index(b"XADD") + 1 == words.index(b"XACK") < words.index(b"EXEC")
    assert b"dead.reason\r\n$5\r\nlease" in letters.received()


def test_a_fatal_nack_is_the_last_attempt(h: Harness) -> None:
    policy(h, "MAXDELIVER 10 DEADLETTER dead")
    read(h, "c", "COUNT", 1)
    h.run("XNACK s g FATAL IDS 1 1-0")
    letter = h.run("XRANGE dead - +")[0][1]
    assert letter[letter.index(b"dead.reason") + 1] == b"fatal"
    assert pending(h) == []
    assert_replays(h)


def test_without_dead_letters_a_spent_entry_stays_and_is_shown(h: Harness) -> None:
    policy(h, "ACKWAIT 1000 MAXDELIVER 1")
    read(h, "c", "COUNT", 1)
    h.advance(1)
    assert read(h, "d") == ["2-0", "3-0"]
    h.advance(0.5)
    assert pending(h)[0] == ("1-0", "", 1)
    assert (group_info(h)["dead"], group_info(h)["in-flight"], group_info(h)["returned"]) == (1, 2, 0)
    assert h.run("XCLAIM s g d 1 1-0") == []
    h.run("XNACK s g SILENT IDS 1 1-0 RETRYCOUNT 0")  # released by hand
    assert read(h, "e") == ["1-0"]
    assert group_info(h)["dead"] == 0
    assert_replays(h)


def test_spent_entries_move_when_there_are_dead_letters_at_last(h: Harness) -> None:
    policy(h, "MAXDELIVER 1")
    read(h, "c")
    h.run("XNACK s g FATAL IDS 2 3-0 1-0")
    assert group_info(h)["dead"] == 2
    assert pending(h) == [("1-0", "", MOST), ("2-0", "c", 1), ("3-0", "", MOST)]
    policy(h, "DEADLETTER dead")
    assert h.run("XLEN dead") == 2
    assert pending(h) == [("2-0", "c", 1)]
    assert_replays(h)


def test_a_key_of_another_type_takes_no_dead_letters(h: Harness) -> None:
    h.run("SET dead x")
    policy(h, "MAXDELIVER 1 DEADLETTER dead")
    read(h, "c", "COUNT", 1)
    h.run("XNACK s g FAIL IDS 1 1-0")
    assert group_info(h)["dead"] == 1
    assert h.run("GET dead") == b"x"
    assert_replays(h)


def test_a_deleted_entry_is_dropped_when_its_lease_runs_out(h: Harness) -> None:
    policy(h, "ACKWAIT 1000 MAXDELIVER 1 DEADLETTER dead")
    read(h, "c", "COUNT", 1)
    h.run("XDEL s 1-0")
    h.advance(1)
    assert read(h, "d") == ["2-0", "3-0"]
    assert pending(h) == [("2-0", "d", 1), ("3-0", "d", 1)]
    assert h.run("EXISTS dead") == 0
    assert_replays(h)


def test_backoff_spaces_the_attempts(h: Harness) -> None:
    policy(h, "ACKWAIT 1000 BACKOFF 100 500")
    read(h, "c")
    h.run("XACK s g 2-0 3-0")
    h.run("XNACK s g FAIL IDS 1 1-0")
    assert read(h, "d") == []
    h.advance(0.1)
    assert read(h, "d") == ["1-0"]
    h.advance(1.499)  # the lease runs out after 1 s; 500 ms after that
    assert read(h, "e") == []
    h.advance(0.001)
    assert read(h, "e") == ["1-0"]
    h.run("XNACK s g FAIL IDS 1 1-0")
    client = waits(h, "f")
    h.advance(0.499)
    assert client.session.is_blocked
    h.advance(0.001)
    assert got(client) == ["1-0"]
    assert_replays(h)


def test_a_delay_of_its_own_overrides_the_backoff(h: Harness) -> None:
    policy(h, "BACKOFF 60000")
    read(h, "c", "COUNT", 1)
    h.run("XNACK s g FAIL IDS 1 1-0 DELAY 50")
    h.run("XGROUP SETID s g $")
    h.advance(0.05)
    assert read(h, "d") == ["1-0"]
    assert_replays(h)


def test_a_lower_maxdeliver_holds_for_what_has_failed_before(h: Harness) -> None:
    policy(h, "MAXDELIVER 5 DEADLETTER dead")
    read(h, "c", "COUNT", 1)
    h.run("XNACK s g FAIL IDS 1 1-0")
    policy(h, "MAXDELIVER 1")
    assert read(h, "c", "COUNT", 1) == ["2-0"]
    assert h.run("XLEN dead") == 1
    assert_replays(h)


# -- limits, pause, consumers


def test_maxpending_caps_what_is_in_flight_and_an_ack_lets_the_next_go(h: Harness) -> None:
    policy(h, "MAXPENDING 2")
    assert read(h, "c", "COUNT", 9) == ["1-0", "2-0"]
    client = waits(h, "d")
    h.run("XADD s 4-0 n 4")
    assert client.session.is_blocked
    h.run("XACK s g 1-0")
    assert got(client) == ["3-0"]
    later = waits(h, "e")
    h.run("XNACK s g SILENT IDS 1 2-0")
    assert got(later) == ["2-0"]
    assert_replays(h)


@pytest.mark.parametrize("option", ["MAXPENDING 1", "ORDERBY k"])
@pytest.mark.parametrize(
    ("requests", "first"),
    [
        ("XACK s g 1-0", "2-0"),
        ("XACKDEL s g IDS 1 1-0", "2-0"),
        ("XACKDEL s g ACKED IDS 1 1-0", "2-0"),
        ("XDELEX s DELREF IDS 1 1-0", "2-0"),
        ("XDEL s 1-0; XDELEX s DELREF IDS 1 1-0", "2-0"),
        ("XTRIM s MINID 2 DELREF", "2-0"),
        ("XADD s MAXLEN 2 DELREF 9-0 k x", "3-0"),
        ("XCFGSET s MAXLEN 2", "2-0"),
        ("XGROUP DELCONSUMER s g c", "2-0"),
        ("XNACK s g FAIL IDS 1 1-0", "1-0"),
        ("XDEL s 1-0; XCLAIM s g c 0 1-0", "2-0"),
        ("XDEL s 1-0; XAUTOCLAIM s g c 0 0 COUNT 1", "2-0"),
    ],
)
def test_whatever_makes_room_lets_who_waits_go_on(option: str, requests: str, first: str) -> None:
    h = keyed("x", "x", "x")
    policy(h, f"ORDERBY '' {option}")
    assert read(h, "c", "COUNT", 1) == ["1-0"]
    client = waits(h, "d", "COUNT 1")
    for request in requests.split("; "):
        h.run(request)
    assert got(client) == [first]
    assert_replays(h)


def test_a_consumer_at_its_own_limit_does_not_keep_others_from_reading(h: Harness) -> None:
    policy(h, "MAXPENDINGPERCONSUMER 1")
    assert read(h, "c") == ["1-0"]
    full = waits(h, "c")
    assert read(h, "d") == ["2-0"]
    h.run("XGROUP SETID s g $")
    free = waits(h, "e")
    h.run("XADD s 4-0 n 4")
    assert got(free) == ["4-0"]
    assert full.session.is_blocked
    h.run("XADD s 5-0 n 5")
    h.run("XACK s g 1-0")
    assert got(full) == ["5-0"]
    assert_replays(h)


def test_a_paused_group_gives_nothing_until_it_resumes(h: Harness) -> None:
    policy(h, "PAUSE")
    assert read(h, "c") == []
    client = waits(h, "c")
    h.run("XADD s 4-0 n 4")
    assert client.session.is_blocked
    policy(h, "RESUME")
    assert got(client) == ["1-0", "2-0", "3-0", "4-0"]
    assert_replays(h)


def test_a_policy_set_later_holds_for_who_waits_already(h: Harness) -> None:
    read(h, "c")
    client = waits(h, "d")
    policy(h, "ACKWAIT 1000")
    h.advance(1)
    assert got(client) == ["1-0", "2-0", "3-0"]


def test_idle_consumers_without_pending_entries_go_and_those_who_wait_stay(h: Harness) -> None:
    policy(h, "CONSUMERTTL 10000")
    read(h, "busy", "COUNT", 1)
    read(h, "gone", "COUNT", 1)
    h.run("XACK s g 2-0")
    h.run("XGROUP SETID s g $")
    waits(h, "waiting")
    for _ in range(10):
        h.advance(2)
    names = [consumer[1] for consumer in h.run("XINFO CONSUMERS s g")]
    assert names == [b"busy", b"waiting"]
    assert_replays(h)


# -- order


def test_entries_with_one_key_go_one_after_another_and_others_beside_them() -> None:
    h = keyed("a", "a", "b", "a", "b", "c")
    assert read(h, "c1") == ["1-0", "3-0", "6-0"]
    assert read(h, "c2") == []
    h.run("XACK s g 1-0")
    assert read(h, "c2") == ["2-0"]
    h.run("XACK s g 3-0 2-0")
    assert read(h, "c1") == ["5-0", "4-0"]
    assert_replays(h)


def test_entries_without_the_field_are_ordered_with_none() -> None:
    h = keyed()
    for i in range(1, 4):
        h.run("XADD", "s", f"{i}-0", "x", "same")
    assert read(h, "c1", "COUNT", 1) == ["1-0"]
    assert read(h, "c2") == ["2-0", "3-0"]


def test_the_next_of_a_key_waits_for_all_attempts_of_the_one_before() -> None:
    h = keyed("a", "a")
    policy(h, "ACKWAIT 1000 BACKOFF 5000 MAXDELIVER 2 DEADLETTER dead")
    assert read(h, "c") == ["1-0"]
    h.run("XNACK s g FAIL IDS 1 1-0")
    assert read(h, "d") == []
    client = waits(h, "d")
    h.advance(5)
    assert got(client) == ["1-0"]
    h.advance(1)
    assert read(h, "e") == ["2-0"]
    assert h.run("XLEN dead") == 1
    assert_replays(h)


def test_what_is_held_back_cannot_be_claimed_past_the_order() -> None:
    h = keyed("a", "a")
    read(h, "c")
    assert pending(h) == [("1-0", "c", 1), ("2-0", "", 0)]
    assert h.run("XCLAIM s g d 0 2-0") == []
    h.run("XNACK s g SILENT IDS 1 2-0")
    assert h.run("XAUTOCLAIM s g d 0 1-1")[1] == []
    assert read(h, "d") == []
    assert h.run("XREADGROUP GROUP g d CLAIM 100 STREAMS s >") is None
    h.run("XACK s g 1-0")
    assert read(h, "d") == ["2-0"]
    assert_replays(h)


@pytest.mark.parametrize("end", ["XACK s g 1-0", "XGROUP DELCONSUMER s g c", "XNACK s g FATAL IDS 1 1-0"])
def test_a_blocked_reader_gets_the_next_of_a_key_at_once(end: str) -> None:
    h = keyed("a", "a")
    policy(h, "DEADLETTER dead")
    read(h, "c")
    client = waits(h, "d")
    h.run(end)
    assert got(client) == ["2-0"]
    assert_replays(h)


def test_what_order_held_back_may_go_when_there_is_no_order_any_more() -> None:
    h = keyed("a", "a", "b")
    read(h, "c")
    h.run("XADD s 4-0 k a")
    client = waits(h, "d")
    policy(h, "ORDERBY ''")
    assert got(client) == ["2-0", "4-0"]
    assert_replays(h)


def test_order_set_over_pending_entries_holds_for_them(h: Harness) -> None:
    h = keyed("a", "a", "a")
    policy(h, "ORDERBY ''")
    assert read(h, "c", "COUNT", 2) == ["1-0", "2-0"]
    policy(h, "ORDERBY k")
    assert read(h, "d") == []
    h.run("XACK s g 1-0")
    assert read(h, "d") == []
    h.run("XACK s g 2-0")
    assert read(h, "d") == ["3-0"]
    assert_replays(h)


def test_going_back_delivers_nothing_twice_at_once() -> None:
    h = keyed("a", "b", "a")
    assert read(h, "c") == ["1-0", "2-0"]
    h.run("XACK s g 2-0")
    h.run("XGROUP SETID s g 0")
    assert read(h, "d") == ["2-0"]
    h.run("XACK s g 1-0")
    assert read(h, "d") == ["3-0"]
    assert_replays(h)
