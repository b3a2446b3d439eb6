"""Waiting for lists: who is served, with what, in which order, and what the journal says of it."""

import pytest
from support.engine import Client, Harness
from support.same_data import assert_replays

WRONG = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"


@pytest.fixture
def h() -> Harness:
    return Harness()


def waiting(h: Harness, request: str) -> Client:
    """A client that waits with this request."""
    client = h.client()
    client.run(request)
    assert client.session.is_blocked, request
    return client


def bulk(*values: bytes) -> bytes:
    return b"*%d\r\n" % len(values) + b"".join(b"$%d\r\n%b\r\n" % (len(value), value) for value in values)


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("BLPOP k 0", [b"k", b"a"]),
        ("BRPOP no k 0", [b"k", b"c"]),
        ("BLMPOP 0 2 no k LEFT COUNT 2", [b"k", [b"a", b"b"]]),
        ("BLMOVE k to LEFT LEFT 0", b"a"),
        ("BRPOPLPUSH k to 0", b"c"),
    ],
)
def test_nobody_waits_for_what_is_there(h: Harness, request_: str, reply: object) -> None:
    h.run("RPUSH k a b c")
    assert h.run(request_) == reply
    assert_replays(h)


def test_blpop_serves_the_longest_waiter_first(h: Harness) -> None:
    waiters = [waiting(h, "BLPOP k 0") for _ in range(100)]
    for i in range(100):
        h.run("RPUSH", "k", i)
    assert [waiter.received() for waiter in waiters] == [bulk(b"k", b"%d" % i) for i in range(100)]
    assert h.run("EXISTS k") == 0


def test_one_push_serves_as_many_as_it_has_values_for(h: Harness) -> None:
    first, second, third = (waiting(h, f"{name} k 0") for name in ("BLPOP", "BRPOP", "BLPOP"))
    assert h.run("LPUSH k a b") == 2
    assert first.received() == bulk(b"k", b"b")  # the last one pushed stands first
    assert second.received() == bulk(b"k", b"a")
    assert third.received() == b"" and third.session.is_blocked


def test_a_waiter_is_served_after_the_whole_push(h: Harness) -> None:
    waiter = waiting(h, "BLPOP k 0")
    h.run("RPUSH k a b c")
    assert waiter.received() == bulk(b"k", b"a")
    assert h.run("LRANGE k 0 -1") == [b"b", b"c"]


def test_any_of_several_keys_will_do(h: Harness) -> None:
    waiter = waiting(h, "BLPOP k1 k2 k3 0")
    h.run("RPUSH k2 a")
    assert waiter.received() == bulk(b"k2", b"a")
    h.run("RPUSH k3 b")
    assert waiter.received() == b""
    assert h.run("LLEN k3") == 1


def test_a_key_named_twice_serves_once(h: Harness) -> None:
    waiter = waiting(h, "BLPOP k k 0")
    h.run("RPUSH k a b")
    assert waiter.received() == bulk(b"k", b"a")
    assert h.run("LLEN k") == 1


def test_a_pushed_list_that_is_gone_at_the_end_of_a_transaction_serves_nobody(h: Harness) -> None:
    waiter = waiting(h, "BLPOP k 0")
    for request in ("MULTI", "RPUSH k a", "DEL k", "EXEC"):
        h.run(request)
    assert waiter.received() == b"" and waiter.session.is_blocked


def test_a_transaction_serves_when_it_is_through(h: Harness) -> None:
    waiter = waiting(h, "BLPOP k 0")
    for request in ("MULTI", "RPUSH k a", "RPUSH k b", "LPUSH k c", "EXEC"):
        h.run(request)
    assert waiter.received() == bulk(b"k", b"c")


@pytest.mark.parametrize(
    "request_",
    ["BLPOP k 0", "BRPOP k 0", "BLMPOP 0 1 k LEFT", "BLMOVE k to LEFT LEFT 0", "BRPOPLPUSH k to 0"],
)
def test_nothing_blocks_inside_a_transaction(h: Harness, request_: str) -> None:
    h.run("MULTI")
    h.run(request_)
    assert h.run("EXEC") == [None]
    assert not h.main.session.is_blocked


def test_another_type_is_an_error_when_another_key_becomes_ready(h: Harness) -> None:
    """From Redis 7.2 on: the request is executed again, and finds it."""
    waiter = waiting(h, "BLPOP k1 k2 0")
    h.run("SET k1 text")
    assert waiter.session.is_blocked
    h.run("RPUSH k2 a")
    assert waiter.received() == WRONG
    assert h.run("LRANGE k2 0 -1") == [b"a"]


def test_another_type_that_is_there_already_is_an_error(h: Harness) -> None:
    h.run("SET text a")
    for request in ("BLPOP no text 0", "BLMPOP 0 2 no text LEFT", "BLMOVE text k LEFT LEFT 0", "BRPOPLPUSH text k 0"):
        assert h.run(request) == WRONG.decode().strip()
    h.run("RPUSH k a")
    assert h.run("BLMOVE k text LEFT LEFT 0") == WRONG.decode().strip()
    assert h.run("LLEN k") == 1


def test_a_target_of_another_type_is_found_out_when_there_is_something_to_move(h: Harness) -> None:
    h.run("SET text a")
    waiter = waiting(h, "BLMOVE k text LEFT LEFT 0")
    other = waiting(h, "BLPOP k 0")
    h.run("RPUSH k v")
    assert waiter.received() == WRONG
    assert other.received() == bulk(b"k", b"v"), "the value went to the next in the queue"


def test_a_chain_of_moves_runs_through(h: Harness) -> None:
    first = waiting(h, "BLMOVE a b LEFT RIGHT 0")
    second = waiting(h, "BRPOPLPUSH b c 0")
    third = waiting(h, "BLPOP c 0")
    h.run("RPUSH a v")
    assert first.received() == second.received() == b"$1\r\nv\r\n"
    assert third.received() == bulk(b"c", b"v")
    assert h.run("DBSIZE") == 0
    assert_replays(h)


def test_a_list_that_is_renamed_into_place_serves(h: Harness) -> None:
    waiter = waiting(h, "BLPOP k 0")
    h.run("RPUSH other a")
    h.run("RENAME other k")
    assert waiter.received() == bulk(b"k", b"a")


def test_waiting_ends_with_the_time_out(h: Harness) -> None:
    early = waiting(h, "BLPOP k 0.1")
    late = waiting(h, "BLMOVE k to LEFT LEFT 2")
    for_ever = waiting(h, "BLMPOP 0 1 k LEFT")
    h.advance(0.05)
    assert early.received() == b""
    h.advance(0.05)
    assert early.received() == b"*-1\r\n"
    h.advance(2)
    assert late.received() == b"*-1\r\n"
    h.advance(1_000_000)
    assert for_ever.session.is_blocked
    h.run("RPUSH k a")
    assert (early.received(), late.received()) == (b"", b"")
    assert for_ever.received() == b"*2\r\n$1\r\nk\r\n*1\r\n$1\r\na\r\n"


def test_a_time_out_looks_different_in_resp3(h: Harness) -> None:
    client = h.client()
    client.run("HELLO 3")
    client.run("BLPOP k 1")
    h.advance(1)
    assert client.received() == b"_\r\n"


def test_who_went_away_takes_nothing(h: Harness) -> None:
    gone = waiting(h, "BLPOP k 0")
    here = waiting(h, "BLPOP k 0")
    h.engine.close_session(gone.ctx)
    h.run("RPUSH k a b")
    assert here.received() == bulk(b"k", b"a")
    assert h.run("LLEN k") == 1


def test_who_was_served_can_wait_again(h: Harness) -> None:
    waiter = waiting(h, "BLPOP k 0")
    for value in (b"a", b"b"):
        h.run("RPUSH", "k", value)
        assert waiter.received() == bulk(b"k", value)
        waiter.run("BLPOP k 0")
        assert waiter.session.is_blocked


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("BLPOP k x", "-ERR timeout is not a float or out of range"),
        ("BLPOP k -1", "-ERR timeout is negative"),
        ("BLMOVE k k UP LEFT x", "-ERR syntax error"),
        ("BLMOVE k k LEFT LEFT x", "-ERR timeout is not a float or out of range"),
        ("BRPOPLPUSH k k -0.1", "-ERR timeout is negative"),
        ("BLMPOP x 0 k LEFT", "-ERR numkeys should be greater than 0"),
        ("BLMPOP x 1 k LEFT", "-ERR timeout is not a float or out of range"),
    ],
)
def test_requests_that_make_no_sense_do_not_wait(h: Harness, request_: str, error: str) -> None:
    assert h.run(request_) == error
    assert not h.main.session.is_blocked


def test_what_a_waiter_took_is_journaled_as_the_plain_command_after_the_push(h: Harness) -> None:
    waiting(h, "BLPOP a 0")
    waiting(h, "BLMPOP 0 1 b RIGHT COUNT 2")
    waiting(h, "BLMOVE c d LEFT RIGHT 0")
    waiting(h, "BRPOPLPUSH d e 0")
    for name in "abc":
        h.run(f"RPUSH {name} 1 2 3")
    assert [b" ".join(entry).decode() for entry in h.journal()] == [
        "RPUSH a 1 2 3",
        "LPOP a",
        "RPUSH b 1 2 3",
        "RPOP b 2",
        "RPUSH c 1 2 3",
        "LMOVE c d LEFT RIGHT",
        "RPOPLPUSH d e",
    ]


def test_waiting_itself_is_not_journaled(h: Harness) -> None:
    waiting(h, "BLPOP k 1")
    h.advance(2)
    assert h.journal() == []


def test_who_waits_for_several_keys_takes_from_the_first_that_has_something() -> None:
    harness = Harness()
    mover, longest, both = harness.client(), harness.client(), harness.client()
    mover.run("BLMOVE k1 k2 LEFT LEFT 0")
    both.run("BLPOP k2 k1 0")
    longest.run("BLPOP k2 0")
    harness.run("RPUSH k1 a b")
    # `both` is executed again since k1 is ready, behind the mover, which took `a` to k2: it takes that (from 7.2 on).
    assert both.received() == b"*2\r\n$2\r\nk2\r\n$1\r\na\r\n"
    assert longest.session.is_blocked
    assert harness.run("LRANGE k1 0 -1") == [b"b"]


def test_blmove_in_multi_answers_a_null() -> None:
    harness = Harness()
    harness.run("MULTI")
    harness.run("BLMOVE k1 k2 LEFT LEFT 0")
    assert harness.main.raw("EXEC") == [None]
