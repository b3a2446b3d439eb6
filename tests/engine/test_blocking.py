"""Who waits for which key: order, time-outs, and what a waiter takes. No server; time in the test's hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Client, Harness


@pytest.fixture
def harness() -> Harness:
    return Harness()


def waiting(harness: Harness, request: str) -> Client:
    client = harness.client()
    client.run(request)
    assert client.session.is_blocked
    assert client.received() == b""
    return client


def test_blpop_serves_the_longest_waiter_first(harness: Harness) -> None:
    clients = [waiting(harness, "BLPOP l 0") for _ in range(5)]
    harness.run("RPUSH l a b c")
    assert [client.received() for client in clients] == [
        *[b"*2\r\n$1\r\nl\r\n$1\r\n%b\r\n" % element for element in (b"a", b"b", b"c")],
        b"",
        b"",
    ]
    harness.run("RPUSH l d")
    assert clients[3].received() == b"*2\r\n$1\r\nl\r\n$1\r\nd\r\n"
    assert [client.session.is_blocked for client in clients] == [False] * 4 + [True]


def test_one_who_comes_back_stands_at_the_end(harness: Harness) -> None:
    first, second = waiting(harness, "BLPOP l 0"), waiting(harness, "BLPOP l 0")
    harness.run("RPUSH l a")
    assert first.received() and not second.received()
    first.run("BLPOP l 0")
    harness.run("RPUSH l b")
    assert second.received() and not first.received()


def test_a_waiter_for_several_keys_takes_from_one_and_leaves_all_queues(harness: Harness) -> None:
    first, second = waiting(harness, "BLPOP a b c 0"), waiting(harness, "BLPOP c b 0")
    harness.run("RPUSH b 1 2")
    assert first.received() == b"*2\r\n$1\r\nb\r\n$1\r\n1\r\n"
    assert second.received() == b"*2\r\n$1\r\nb\r\n$1\r\n2\r\n"
    assert harness.run("RPUSH a x") == 1
    assert harness.run("RPUSH c x") == 1
    assert harness.engine.blocking.waiting_keys() == 0
    assert len(harness.engine.blocking) == 0
    assert all(not db.waited for db in harness.engine.keyspace.databases)


def test_the_same_key_twice_counts_once(harness: Harness) -> None:
    client = waiting(harness, "BLPOP a a a 1")
    harness.run("RPUSH a x y")
    assert client.received() == b"*2\r\n$1\r\na\r\n$1\r\nx\r\n"
    assert harness.run("LLEN a") == 1
    assert not harness.engine.keyspace.databases[0].waited


def test_keys_are_served_in_the_order_in_which_they_became_ready(harness: Harness) -> None:
    of_a, both, of_b = waiting(harness, "BLPOP a 0"), waiting(harness, "BLPOP a b 0"), waiting(harness, "BLPOP b 0")
    harness.run("MULTI")
    harness.run("RPUSH b 1")
    harness.run("RPUSH a 2")
    harness.run("EXEC")
    # b is first. Who waits longest for it waits for both, is executed again, and asks for a first (from Redis 7.2 on).
    assert both.received() == b"*2\r\n$1\r\na\r\n$1\r\n2\r\n"
    assert of_b.received() == b"*2\r\n$1\r\nb\r\n$1\r\n1\r\n"
    assert of_a.session.is_blocked


def test_a_transaction_serves_nobody_before_its_end(harness: Harness) -> None:
    client = waiting(harness, "BLPOP l 0")
    for request in ("MULTI", "RPUSH l a", "DEL l", "RPUSH l b", "LLEN l"):
        harness.run(request)
    assert harness.run("EXEC") == [1, 1, 1, 1]
    assert client.received() == b"*2\r\n$1\r\nl\r\n$1\r\nb\r\n"


def test_what_is_gone_again_at_the_end_of_a_transaction_wakes_nobody(harness: Harness) -> None:
    client = waiting(harness, "BLPOP l 0")
    for request in ("MULTI", "RPUSH l a", "DEL l", "EXEC"):
        harness.run(request)
    assert client.session.is_blocked and client.received() == b""


def test_waiting_inside_a_transaction_is_a_time_out_at_once(harness: Harness) -> None:
    for request in ("MULTI", "BLPOP l 0", "BLMOVE a b LEFT LEFT 0", "XREAD BLOCK 0 STREAMS s $"):
        harness.run(request)
    assert harness.run("EXEC") == [None, None, None]
    assert len(harness.engine.blocking) == 0


def test_a_chain_of_moves_runs_to_its_end_in_one_turn(harness: Harness) -> None:
    clients = [waiting(harness, f"BLMOVE l{i} l{i + 1} LEFT RIGHT 0") for i in range(20)]
    end = waiting(harness, "BLPOP l20 0")
    harness.run("RPUSH l0 x")
    assert all(client.received() == b"$1\r\nx\r\n" for client in clients)
    assert end.received() == b"*2\r\n$3\r\nl20\r\n$1\r\nx\r\n"
    assert harness.run("DBSIZE") == 0


def test_moves_in_a_circle_end(harness: Harness) -> None:
    clients = [waiting(harness, "BLMOVE a b LEFT RIGHT 0"), waiting(harness, "BLMOVE b a LEFT RIGHT 0")]
    harness.run("RPUSH a x")
    assert [client.received() for client in clients] == [b"$1\r\nx\r\n"] * 2
    assert harness.run("LRANGE a 0 -1") == [b"x"]


def test_a_key_of_another_type_wakes_nobody(harness: Harness) -> None:
    client = waiting(harness, "BLPOP k 0")
    harness.run("SET k text")
    harness.run("DEL k")
    harness.run("ZADD k 1 m")
    assert client.session.is_blocked and client.received() == b""
    harness.run("DEL k")
    harness.run("LPUSH k x")
    assert client.received() == b"*2\r\n$1\r\nk\r\n$1\r\nx\r\n"


@pytest.mark.parametrize(
    "requests",
    [["RPUSH src x", "RENAME src k"], ["RPUSH src x", "COPY src k"], ["RPUSH src x", "LMOVE src k LEFT LEFT"]]
    + [["SELECT 1", "RPUSH k x", "MOVE k 0"], ["SELECT 1", "RPUSH k x", "SWAPDB 0 1"]],
    ids=lambda requests: requests[-1],
)
def test_whatever_brings_a_list_into_being_wakes_who_waits(harness: Harness, requests: list[str]) -> None:
    client = waiting(harness, "BLPOP k 0")
    for request in requests:
        assert not str(harness.run(request)).startswith("-")
    assert client.received() == b"*2\r\n$1\r\nk\r\n$1\r\nx\r\n"


def test_databases_are_told_apart(harness: Harness) -> None:
    client = waiting(harness, "BLPOP k 0")
    other = harness.client()
    other.run("SELECT 1")
    other.run("RPUSH k x")
    assert client.received() == b""
    assert other.run("LLEN k") == 1


def test_time_outs_end_at_their_time_and_in_their_order(harness: Harness) -> None:
    late, early, never = (waiting(harness, f"BLPOP l {seconds}") for seconds in ("2.5", "0.5", "0"))
    assert harness.engine.next_deadline_ms() == 500
    harness.advance(0.499)
    assert early.received() == b""
    harness.advance(0.001)
    assert early.received() == b"*-1\r\n"
    assert late.received() == b""
    assert harness.engine.next_deadline_ms() == 2000
    harness.advance(2)
    assert late.received() == b"*-1\r\n"
    assert harness.engine.next_deadline_ms() is None
    assert never.session.is_blocked


def test_who_timed_out_or_went_away_takes_nothing(harness: Harness) -> None:
    timed, gone, there = (waiting(harness, f"BLPOP l {seconds}") for seconds in (1, 0, 0))
    harness.advance(1)
    assert timed.received() == b"*-1\r\n"
    harness.engine.close_session(gone.ctx)
    harness.run("RPUSH l x")
    assert timed.received() == gone.received() == b""
    assert there.received() == b"*2\r\n$1\r\nl\r\n$1\r\nx\r\n"


def test_many_short_waits_leave_nothing_behind(harness: Harness) -> None:
    client = harness.client()
    for i in range(2000):
        client.run("BLPOP l 1000")
        harness.run(f"RPUSH l {i}")
    assert len(harness.engine.blocking._deadlines) < 200
    assert len(harness.engine.blocking) == harness.engine.blocking.waiting_keys() == 0


def test_5000_who_wait_are_served_in_their_order_with_one_try_each(harness: Harness) -> None:
    clients = [waiting(harness, "BLPOP l 0") for _ in range(5000)]
    executed = harness.engine.executed
    for i in range(1000):
        harness.run(f"RPUSH l {i}")
    assert harness.engine.executed - executed == 2000, "each push, and one try for it"
    for i, client in enumerate(clients[:1000]):
        assert client.received().endswith(b"\r\n%d\r\n" % i)
    assert not any(client.received() for client in clients[1000:])
    assert harness.engine.commands[b"BLPOP"].calls == 1000, "who still waits is not counted yet"


def test_what_a_waiter_took_is_journaled_as_taken_after_what_brought_it(harness: Harness) -> None:
    waiting(harness, "BLPOP l 0")
    waiting(harness, "BLMOVE l m LEFT RIGHT 0")
    harness.journal()
    harness.run("RPUSH l a b c")
    journal = harness.journal()
    assert journal[0] == [b"RPUSH", b"l", b"a", b"b", b"c"]
    assert [entry[0] for entry in journal[1:]] in ([b"LPOP", b"LMOVE"], [b"LPOP", b"BLMOVE"])


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["wait", "push", "close", "tick"]), st.integers(0, 3), st.integers(1, 3)), max_size=40
    )
)
def test_every_element_goes_to_exactly_one_place(steps: list[tuple[str, int, int]]) -> None:
    """Pushed = received + left in the lists; and nobody waits for a list that has something."""
    harness = Harness()
    clients: list[Client] = []
    pushed, received = 0, 0
    for step, key, count in steps:
        if step == "wait":
            client = harness.client()
            clients.append(client)
            reply = client.run(f"BLPOP k{key} k{(key + 1) % 4} {count}")
            received += isinstance(reply, list) and len(reply) == 2
        elif step == "push":
            harness.run(f"RPUSH k{key} " + " ".join("e" * count))
            pushed += count
        elif step == "close" and clients:
            client = clients.pop(key % len(clients))
            received += client.received().count(b"*2\r\n")
            harness.engine.close_session(client.ctx)
        else:
            harness.advance(0.7)
    received += sum(client.received().count(b"*2\r\n") for client in clients)
    left = sum(harness.run(f"LLEN k{key}") for key in range(4))
    assert pushed == received + left
    for client in clients:
        if client.session.is_blocked:
            assert all(harness.run("EXISTS", key) == 0 for key in client.session.blocked_on)
