"""XREADGROUP CLAIM, XNACK, XRENEW, FENCE, XGROUP DELCONSUMER RELEASE and REASSIGN, XREDRIVE."""

import pytest
from support.engine import Harness
from support.groups import (
    MOST,
    assert_replays,
    delivered,
    got,
    group_info,
    pending,
    read,
    stream_with_group,
    waiting,
)

NOW = 1_700_000_000_000  # ms, the Harness's clock


@pytest.fixture
def h() -> Harness:
    return stream_with_group(3)


# -- XREADGROUP CLAIM


def claim(h: Harness, consumer: str, min_idle: int, *options: str | int) -> list[list[object]]:
    """Rows [id, fields, idle, deliveries] of a reader with CLAIM."""
    reply = h.run("XREADGROUP", "GROUP", "g", consumer, "CLAIM", min_idle, *options, "STREAMS", "s", ">")
    return reply[0][1] if reply else []


def test_claim_takes_what_is_idle_and_then_what_is_new(h: Harness) -> None:
    read(h, "c", "COUNT", 2)
    h.advance(0.1)
    assert claim(h, "d", 50) == [
        [b"1-0", [b"n", b"1"], 100, 1],
        [b"2-0", [b"n", b"2"], 100, 1],
        [b"3-0", [b"n", b"3"], 0, 0],
    ]
    assert pending(h) == [("1-0", "d", 2), ("2-0", "d", 2), ("3-0", "d", 1)]
    assert_replays(h)


def test_claim_leaves_what_is_not_idle_for_long_enough(h: Harness) -> None:
    read(h, "c")
    h.advance(0.049)
    assert claim(h, "d", 50) == []
    h.advance(0.001)
    assert len(claim(h, "d", 50)) == 3


def test_claim_takes_the_most_idle_first_and_count_bounds_both_kinds(h: Harness) -> None:
    read(h, "c", "COUNT", 1)
    read(h, "c", "COUNT", 1)
    h.run("XCLAIM s g c 0 2-0 IDLE 5000 JUSTID")
    h.run("XCLAIM s g c 0 1-0 IDLE 1000 JUSTID")
    assert [row[0] for row in claim(h, "d", 100, "COUNT", 1)] == [b"2-0"]
    assert [row[0] for row in claim(h, "d", 100, "COUNT", 2)] == [b"1-0", b"3-0"]
    assert_replays(h)


def test_claim_with_noack_keeps_pending_what_was_pending(h: Harness) -> None:
    read(h, "c", "COUNT", 1)
    h.advance(1)
    assert len(claim(h, "d", 50, "NOACK")) == 3
    assert pending(h) == [("1-0", "d", 2)]
    assert_replays(h)


def test_claim_drops_what_was_deleted(h: Harness) -> None:
    read(h, "c")
    h.run("XDEL s 2-0")
    h.advance(1)
    assert [row[0] for row in claim(h, "d", 50)] == [b"1-0", b"3-0"]
    assert [row[0] for row in pending(h)] == ["1-0", "3-0"]
    assert_replays(h)


def test_a_blocked_reader_claims_at_the_time_when_the_entry_gets_idle(h: Harness) -> None:
    read(h, "c")
    client = waiting(h, "XREADGROUP GROUP g d BLOCK 5000 CLAIM 1000 STREAMS s >")
    assert h.engine.next_deadline_ms() == 1000
    h.advance(0.999)
    assert client.session.is_blocked
    h.advance(0.001)
    assert got(client) == ["1-0", "2-0", "3-0"]
    assert_replays(h)


def test_a_renewed_lease_puts_the_claim_of_a_blocked_reader_off(h: Harness) -> None:
    read(h, "c", "COUNT", 1)
    h.run("XGROUP SETID s g $")
    client = waiting(h, "XREADGROUP GROUP g d BLOCK 0 CLAIM 1000 STREAMS s >")
    h.advance(0.6)
    h.run("XRENEW s g c IDS 1 1-0")
    h.advance(0.6)
    assert client.session.is_blocked
    h.advance(0.4)
    assert got(client) == ["1-0"]


def test_a_plain_reader_in_front_does_not_keep_claim_from_what_was_given_back(h: Harness) -> None:
    read(h, "c")
    plain = waiting(h, "XREADGROUP GROUP g p BLOCK 0 STREAMS s >")
    claiming = waiting(h, "XREADGROUP GROUP g d BLOCK 0 CLAIM 100000 STREAMS s >")
    h.run("XNACK s g FAIL IDS 1 2-0")
    assert got(claiming) == ["2-0"]
    assert plain.session.is_blocked


def test_claim_is_ignored_for_history(h: Harness) -> None:
    read(h, "c")
    reply = h.run("XREADGROUP GROUP g c CLAIM 1000 STREAMS s 0")
    assert [len(row) for row in reply[0][1]] == [2, 2, 2]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XREADGROUP GROUP g c CLAIM x STREAMS s >", "-ERR min-idle-time is not an integer"),
        ("XREADGROUP GROUP g c CLAIM STREAMS s >", "-ERR min-idle-time is not an integer"),
        ("XREADGROUP GROUP g c CLAIM -1 STREAMS s >", "-ERR min-idle-time must be a positive integer"),
        ("XREADGROUP GROUP g c CLAIM -0 STREAMS s >", "-ERR min-idle-time is not an integer"),
        ("XREAD COUNT 2 CLAIM 10 STREAMS s 0", "-ERR The CLAIM option is only supported by XREADGROUP."),
        ("XREADGROUP GROUP x c CLAIM 50 STREAMS s >", "-NOGROUP No such key"),
    ],
)
def test_claim_refuses(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_).startswith(error)


# -- XNACK


def test_nack_gives_back_and_counts_by_mode(h: Harness) -> None:
    read(h, "c")
    assert h.run("XNACK s g SILENT IDS 1 1-0") == 1
    assert h.run("XNACK s g FAIL IDS 1 2-0") == 1
    assert h.run("XNACK s g FATAL IDS 1 3-0") == 1
    assert h.run("XPENDING s g - + 10") == [[b"1-0", b"", -1, 0], [b"2-0", b"", -1, 1], [b"3-0", b"", -1, MOST]]
    assert h.run("XPENDING s g - + 10 c") == []
    assert h.run("XPENDING s g") == [3, b"1-0", b"3-0", []]
    assert_replays(h)


def test_nack_counts_what_was_pending_and_each_time_it_is_named(h: Harness) -> None:
    read(h, "c", "COUNT", 2)
    assert h.run("XNACK s g FAIL IDS 4 1-0 9-9 3-0 1-0") == 2
    assert h.run("XNACK s g SILENT IDS 1 1-0") == 1
    assert h.run("XNACK s g SILENT IDS 1 1-0") == 1
    assert pending(h)[0] == ("1-0", "", 0)


def test_retrycount_overrides_the_mode(h: Harness) -> None:
    read(h, "c")
    h.run("XNACK s g FATAL IDS 1 1-0 RETRYCOUNT 42")
    h.run("XNACK s g SILENT RETRYCOUNT 7 IDS 1 2-0")
    assert [row[2] for row in pending(h)] == [42, 7, 1]
    assert_replays(h)


def test_force_makes_pending_what_was_not(h: Harness) -> None:
    assert h.run("XNACK s g FAIL IDS 2 1-0 9-9 FORCE") == 1
    assert h.run("XNACK s g FORCE_ IDS 1 1-0").startswith("-ERR mode must be")
    assert h.run("XNACK s g FATAL FORCE IDS 1 2-0") == 1
    assert pending(h) == [("1-0", "", 0), ("2-0", "", MOST)]
    assert_replays(h)


def test_what_was_given_back_can_be_claimed_whatever_the_idle_time(h: Harness) -> None:
    read(h, "c")
    h.run("XNACK s g FAIL IDS 3 3-0 1-0 2-0")
    assert len(h.run("XCLAIM s g d 99999 1-0")) == 1
    assert [row[0] for row in h.run("XAUTOCLAIM s g d 99999 0 COUNT 1")[1]] == [b"2-0"]
    assert claim(h, "e", 99999) == [[b"3-0", [b"n", b"3"], NOW, 1]], "as if out since 1970"
    assert_replays(h)


def test_given_back_comes_first_and_in_the_order_of_the_nacks(h: Harness) -> None:
    read(h, "c")
    h.advance(10)
    h.run("XNACK s g FAIL IDS 2 2-0 3-0")
    h.run("XNACK s g FAIL IDS 1 2-0")
    assert [row[0] for row in claim(h, "d", 5)] == [b"3-0", b"2-0", b"1-0"]
    assert_replays(h)


def test_a_delayed_nack_is_due_at_its_time_for_blocked_readers_too(h: Harness) -> None:
    read(h, "c")
    h.run("XNACK s g FAIL IDS 1 1-0 DELAY 500")
    assert h.run("XCLAIM s g d 1 1-0") == []
    client = waiting(h, "XREADGROUP GROUP g d BLOCK 0 CLAIM 100000 STREAMS s >")
    h.advance(0.499)
    assert client.session.is_blocked
    h.advance(0.001)
    assert got(client) == ["1-0"]
    assert_replays(h)


def test_given_back_entries_survive_copies_and_delconsumer_and_are_counted(h: Harness) -> None:
    read(h, "c")
    h.run("XNACK s g FAIL IDS 2 2-0 1-0")
    h.run("COPY s t")
    h.run("XACK s g 2-0")
    assert h.run("XGROUP DELCONSUMER s g c") == 1
    assert pending(h) == [("1-0", "", 1)]
    reply = h.run("XREADGROUP GROUP g d COUNT 2 CLAIM 100 STREAMS t >")
    assert delivered(reply) == ["2-0", "1-0"]
    assert b"nacked-count" in str(h.run("XINFO STREAM s FULL")).encode()
    assert_replays(h)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XNACK s g SILENT IDS 1", "-ERR wrong number of arguments for 'xnack' command"),
        ("XNACK none g SILENT IDS 1 1-0", "-NOGROUP No such key 'none' or consumer group 'g'"),
        ("XNACK s x SILENT IDS 1 1-0", "-NOGROUP No such key 's' or consumer group 'x'"),
        ("XNACK s g BADMODE IDS 1 1-0", "-ERR mode must be SILENT, FAIL, or FATAL"),
        ("XNACK s g FAIL FATAL IDS 1 1-0", "-ERR Unrecognized XNACK option 'FATAL'"),
        ("XNACK s g FAIL IDS 1 1-0 BADOPT", "-ERR Unrecognized XNACK option 'BADOPT'"),
        ("XNACK s g FAIL IDS 1 1-0 2-0", "-ERR Unrecognized XNACK option '2-0'"),
        ("XNACK s g SILENT FORCE RETRYCOUNT 5", "-ERR syntax error, expected IDS keyword"),
        ("XNACK s g SILENT IDS abc 1-0", "-ERR numids must be a positive integer"),
        ("XNACK s g SILENT IDS 0 1-0", "-ERR numids must be a positive integer"),
        ("XNACK s g SILENT IDS 2 1-0", "-ERR number of IDs doesn't match numids"),
        ("XNACK s g FAIL IDS 1 nope", "-ERR Invalid stream ID specified as stream command argument"),
        ("XNACK s g FAIL IDS 1 1-0 RETRYCOUNT abc", "-ERR value is not an integer or out of range"),
        ("XNACK s g FAIL IDS 1 1-0 RETRYCOUNT -1", "-ERR Invalid RETRYCOUNT value, must be >= 0"),
        ("XNACK s g FAIL IDS 1 1-0 RETRYCOUNT", "-ERR Unrecognized XNACK option 'RETRYCOUNT'"),
        ("XNACK s g FAIL IDS 1 1-0 DELAY -1", "-ERR Invalid DELAY value, must be >= 0"),
        ("XNACK s g FAIL IDS 1 1-0 AT 17", "-ERR Unrecognized XNACK option 'AT'"),
    ],
)
def test_nack_refuses(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == error


# -- fences and renewal


def test_a_fenced_ack_takes_only_what_is_still_the_callers(h: Harness) -> None:
    read(h, "c")
    h.run("XCLAIM s g d 0 2-0")
    h.run("XNACK s g SILENT IDS 1 3-0")
    assert h.run("XACK s g FENCE c 1-0 2-0 3-0") == 1
    assert pending(h) == [("2-0", "d", 2), ("3-0", "", 0)]
    assert h.run("XACK s g fence nobody 2-0") == 0
    assert h.run("XACK s g FENCE 1-0").startswith("-ERR Invalid stream ID")
    assert h.run("XACK s x FENCE c 1-0") == 0
    assert_replays(h)


def test_a_fenced_nack_gives_back_only_what_is_still_the_callers(h: Harness) -> None:
    read(h, "c")
    h.run("XCLAIM s g d 0 2-0")
    assert h.run("XNACK s g FAIL IDS 2 1-0 2-0 FENCE c") == 1
    assert pending(h)[:2] == [("1-0", "", 1), ("2-0", "d", 2)]
    assert_replays(h)


def test_a_lease_that_ran_out_is_none_noticed_or_not(h: Harness) -> None:
    h.run("XGROUP POLICY s g ACKWAIT 1000")
    read(h, "c")
    h.advance(0.999)
    assert h.run("XRENEW s g c IDS 1 1-0") == [1]
    h.advance(0.001)
    assert h.run("XRENEW s g c IDS 2 1-0 2-0") == [1, 0]
    assert h.run("XACK s g FENCE c 1-0 2-0") == 1
    assert h.run("XNACK s g FAIL IDS 1 2-0 FENCE c") == 0
    assert_replays(h)


def test_renewal_begins_the_lease_anew_and_counts_as_no_delivery(h: Harness) -> None:
    read(h, "c")
    h.advance(1)
    assert h.run("XRENEW s g c IDS 3 1-0 9-9 3-0") == [1, 0, 1]
    assert h.run("XRENEW s g d IDS 1 1-0") == [0]
    assert h.run("XPENDING s g - + 10") == [[b"1-0", b"c", 0, 1], [b"2-0", b"c", 1000, 1], [b"3-0", b"c", 0, 1]]
    assert h.run("XRENEW s g c 1 1-0 x x").startswith("-ERR syntax error, expected IDS")
    assert h.run("XRENEW s g c IDS 1 1-0 x") == "-ERR syntax error"
    assert h.run("XRENEW s x c IDS 1 1-0").startswith("-NOGROUP")
    assert_replays(h)


# -- XGROUP DELCONSUMER


def test_a_leaving_consumer_gives_back_what_it_has_uncounted(h: Harness) -> None:
    h.run("XGROUP POLICY s g ACKWAIT 60000 MAXDELIVER 1 DEADLETTER dead")
    read(h, "c", "COUNT", 2)
    assert h.run("XGROUP DELCONSUMER s g c RELEASE") == 2
    assert pending(h) == [("1-0", "", 0), ("2-0", "", 0)]
    assert read(h, "d") == ["1-0", "2-0", "3-0"]
    assert h.run("EXISTS dead") == 0
    assert_replays(h)


def test_a_leaving_consumer_hands_what_it_has_to_another(h: Harness) -> None:
    read(h, "c")
    h.advance(5)
    assert h.run("XGROUP DELCONSUMER s g c REASSIGN d") == 3
    assert h.run("XPENDING s g - + 10 d") == [[f"{i}-0".encode(), b"d", 0, 1] for i in (1, 2, 3)]
    assert group_info(h)["consumers"] == 1
    assert h.run("XGROUP DELCONSUMER s g d REASSIGN d") == "-ERR syntax error"
    assert h.run("XGROUP DELCONSUMER s g d x") == "-ERR wrong number of arguments for 'xgroup|delconsumer' command"
    assert h.run("XGROUP DELCONSUMER s g nobody RELEASE") == 0
    assert_replays(h)


def test_release_wakes_who_waits(h: Harness) -> None:
    h.run("XGROUP POLICY s g ACKWAIT 60000")
    read(h, "c")
    client = waiting(h, "XREADGROUP GROUP g d BLOCK 0 STREAMS s >")
    h.run("XGROUP DELCONSUMER s g c RELEASE")
    assert got(client) == ["1-0", "2-0", "3-0"]


# -- XREDRIVE


def dead(h: Harness) -> None:
    h.run("XGROUP POLICY s g DEADLETTER dead MAXDELIVER 1")
    read(h, "c")
    h.run("XNACK s g FAIL IDS 2 1-0 2-0 REASON broken")
    assert h.run("XLEN dead") == 2


def test_dead_letters_go_back_into_the_group_that_gave_them_up(h: Harness) -> None:
    h.run("XGROUP CREATE s other $")
    dead(h)
    reply = h.run("XREDRIVE dead COUNT 1")
    assert reply == [[f"{NOW}-0".encode(), b"s", b"1-0"]]
    assert h.run("XLEN dead") == 1
    assert h.run("XLEN s") == 3
    assert read(h, "d") == ["1-0"]
    assert h.run("XREADGROUP GROUP other c STREAMS s >") is None
    assert_replays(h)


def test_a_redriven_entry_has_all_its_attempts_again(h: Harness) -> None:
    dead(h)
    h.run("XREDRIVE dead")
    assert read(h, "d") == ["1-0", "2-0"]
    assert h.run("XLEN dead") == 0
    h.run("XNACK s g FAIL IDS 1 1-0")
    assert h.run("XLEN dead") == 1
    assert_replays(h)


def test_a_dead_letter_whose_entry_is_gone_is_appended_anew_without_the_facts(h: Harness) -> None:
    dead(h)
    h.run("XTRIM s MAXLEN 0")
    assert len(h.run("XREDRIVE dead")) == 2
    assert h.run("XRANGE s - +") == [[f"{NOW}-0".encode(), [b"n", b"1"]], [f"{NOW}-1".encode(), [b"n", b"2"]]]
    assert read(h, "d") == [f"{NOW}-0", f"{NOW}-1"]
    assert_replays(h)


def test_dead_letters_may_go_elsewhere_and_only_those_named(h: Harness) -> None:
    dead(h)
    second = h.run("XRANGE dead - +")[1][0].decode()
    assert h.run("XREDRIVE", "dead", "IDS", 1, second, "TO", "new") == [[second.encode(), b"new", f"{NOW}-0".encode()]]
    assert h.run("XRANGE new - +") == [[f"{NOW}-0".encode(), [b"n", b"2"]]]
    assert h.run("XLEN dead") == 1
    assert_replays(h)


def test_redrive_leaves_what_it_cannot_place(h: Harness) -> None:
    h.run("XADD letters 1-0 f v")
    h.run("SET text x")
    h.run("XADD letters 2-0 f v dead.stream text")
    assert h.run("XREDRIVE letters") == []
    assert h.run("XREDRIVE none") == []
    assert h.run("XREDRIVE text").startswith("-WRONGTYPE")
    assert h.run("XREDRIVE letters TO text").startswith("-WRONGTYPE")
    assert h.run("XREDRIVE letters TO letters").startswith("-ERR Dead letters can't")
    assert h.run("XREDRIVE letters COUNT 0") == "-ERR COUNT must be > 0"
    assert h.run("XREDRIVE letters NOW") == "-ERR syntax error"
    assert h.run("XLEN letters") == 2
