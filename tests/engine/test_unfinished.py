"""Requests that take several turns: others are served in between, the reply comes with the last step, and the journal
brings back the same."""

import pytest
from support.engine import Client, Harness

COUNT = 2600


@pytest.fixture
def h() -> Harness:
    return Harness()


def fill(h: Harness, count: int = COUNT) -> None:
    for i in range(1, count + 1):
        h.engine.execute(h.main.ctx, [b"XADD", b"s", b"%d-0" % i, b"k", b"%d" % (i % 7)])
    h.run("XGROUP CREATE s g 0")


def turns_of(client: Client, *request: str) -> tuple[int, bytes]:
    """How many turns a request takes after its own, and the late reply."""
    h = client.harness
    client.received()
    assert client.run(*request) == []
    assert h.engine.next_deadline_ms() == 0
    assert client.session.is_blocked
    turns = 0
    while client.session.is_blocked:
        h.advance(0)
        turns += 1
        assert turns < 100
    return turns, client.received()


def replayed(h: Harness) -> Harness:
    """Another engine that has read what was journaled."""
    other = Harness()
    session = other.engine.replay_session()
    other.engine.keyspace.expiry = False
    for argv in h.journal():
        other.engine.begin_turn()
        other.engine.execute(session, argv)
    return other


def assert_replay_agrees(h: Harness) -> None:
    other = replayed(h)
    assert other.run("DEBUG DIGEST") == h.run("DEBUG DIGEST")


@pytest.mark.parametrize("how", ["", " RELEASE", " REASSIGN d"])
def test_a_consumer_with_much_pending_goes_in_several_turns(h: Harness, how: str) -> None:
    fill(h)
    h.run("XREADGROUP GROUP g c STREAMS s >")
    other = h.client()
    turns, reply = turns_of(h.main, "XGROUP DELCONSUMER s g c" + how)
    assert turns >= 4
    assert reply == b":%d\r\n" % COUNT
    assert other.run("XPENDING s g")[0] == (0 if not how else COUNT)
    names = [row[1] for row in other.run("XINFO CONSUMERS s g")]
    assert names == ([b"d"] if "d" in how else [])
    assert_replay_agrees(h)


def test_others_are_served_between_the_steps_and_the_client_waits(h: Harness) -> None:
    fill(h)
    h.run("XREADGROUP GROUP g c STREAMS s >")
    other = h.client()
    assert h.run("XGROUP DELCONSUMER s g c") == []
    before = other.run("XPENDING s g")[0]
    after = other.run("XPENDING s g")[0]
    assert 0 < after < before < COUNT
    assert other.run("SET x y") == "OK"
    other.run("DEL s")
    h.advance(0)
    assert h.main.received().startswith(b":")  # what there was is gone: it ends with what was done
    assert not h.main.session.is_blocked


def test_in_a_transaction_all_of_it_happens_at_once(h: Harness) -> None:
    fill(h)
    h.run("XREADGROUP GROUP g c STREAMS s >")
    h.run("MULTI")
    h.run("XGROUP DELCONSUMER s g c")
    h.run("XTRIM s MAXLEN 10 DELREF")
    assert h.run("EXEC") == [COUNT, COUNT - 10]
    assert h.engine.next_deadline_ms() is None
    assert_replay_agrees(h)


def test_when_the_client_goes_the_rest_is_done_all_the_same(h: Harness) -> None:
    fill(h)
    client = h.client()
    h.run("XREADGROUP GROUP g c STREAMS s >")
    client.run("XGROUP DELCONSUMER s g c")
    h.engine.close_session(client.ctx)
    while h.engine.next_deadline_ms() == 0:
        h.advance(0)
    assert h.run("XPENDING s g")[0] == 0
    assert h.run("XINFO CONSUMERS s g") == []


@pytest.mark.parametrize("policy", ["DELREF", "ACKED"])
@pytest.mark.parametrize("threshold", ["MAXLEN 100", "MAXLEN = 0", "MINID 2500"])
def test_an_exact_trim_that_looks_at_references_comes_to_the_same_in_steps(
    h: Harness, policy: str, threshold: str
) -> None:
    at_once = Harness()
    for one in (h, at_once):
        fill(one)
        one.run("XREADGROUP GROUP g c COUNT 2550 STREAMS s >")
        one.run("XACK", "s", "g", *(f"{i}-0" for i in range(1, 2551) if i % 5))
    at_once.run("MULTI")
    at_once.run(f"XTRIM s {threshold} {policy}")
    removed = at_once.run("EXEC")[0]
    turns, reply = turns_of(h.main, f"XTRIM s {threshold} {policy}")
    assert turns >= 1
    assert reply == b":%d\r\n" % removed
    assert h.run("XRANGE s - +") == at_once.run("XRANGE s - +")
    assert h.run("XPENDING s g") == at_once.run("XPENDING s g")
    assert_replay_agrees(h)


def test_lanes_of_many_pending_entries_are_made_in_several_turns_in_which_nothing_is_given_out(h: Harness) -> None:
    fill(h)
    h.run("XREADGROUP GROUP g c COUNT 2590 STREAMS s >")
    other = h.client()
    assert h.run("XGROUP POLICY s g ORDERBY k") == []
    assert other.run("XREADGROUP GROUP g d STREAMS s >") is None
    while h.main.session.is_blocked:
        h.advance(0)
    assert h.main.received() == b"+OK\r\n"
    assert other.run("XREADGROUP GROUP g d STREAMS s >") is None  # all lanes are taken
    assert_replay_agrees(h)
    for i in range(1, 2591):
        if i % 7 == 3:
            h.engine.execute(h.main.ctx, [b"XACK", b"s", b"g", b"%d-0" % i])
    rows = other.run("XREADGROUP GROUP g d STREAMS s >")[0][1]
    assert [row[0] for row in rows] == [b"2593-0"]


def test_an_order_that_is_set_anew_while_it_is_made_is_the_last_one(h: Harness) -> None:
    fill(h)
    h.run("XREADGROUP GROUP g c STREAMS s >")
    other = h.client()
    h.run("XGROUP POLICY s g ORDERBY none")
    other.run("XGROUP POLICY s g ORDERBY k")
    while h.main.session.is_blocked or other.session.is_blocked:
        h.advance(0)
    assert (h.main.received(), other.received()) == (b"+OK\r\n", b"+OK\r\n")
    policy = dict(zip(*[iter(h.run("XGROUP POLICY s g"))] * 2, strict=True))
    assert policy[b"orderby"] == b"k"
    assert_replay_agrees(h)


@pytest.mark.parametrize("kind", ["", "P", "S"])
@pytest.mark.parametrize("mode", ["ON", "OFF"])
def test_unsubscribing_from_very_many_confirms_each_over_several_turns(h: Harness, kind: str, mode: str) -> None:
    client = h.client()
    for first in range(0, 3000, 100):
        client.run(f"{kind}SUBSCRIBE", *(f"c{i}" for i in range(first, first + 100)))
    client.session.resp3 = True
    client.run("CLIENT REPLY", mode)
    client.received()
    client.run(f"{kind}UNSUBSCRIBE")
    while client.session.is_blocked:
        h.advance(0)
    told = client.received()
    assert told.count(f"{kind}UNSUBSCRIBE".lower().encode()) == 3000
    assert told.endswith(b":0\r\n")
    assert h.engine.next_deadline_ms() is None
    assert client.session.subscriptions == 0


def test_a_client_that_goes_while_it_unsubscribes_leaves_nothing_behind(h: Harness) -> None:
    client = h.client()
    for first in range(0, 5000, 100):
        client.run("SUBSCRIBE", *(f"c{i}" for i in range(first, first + 100)))
    client.run("UNSUBSCRIBE")
    h.engine.close_session(client.ctx)
    while h.engine.next_deadline_ms() == 0:
        h.advance(0)
    assert h.run("PUBSUB CHANNELS") == []


def test_the_first_of_very_many_schedules_are_found_in_several_turns(h: Harness) -> None:
    h.advance(0)  # so that it knows the time
    for i in range(6000):
        delay = b"%d" % (1_000_000 + i * 7919 % 6000)
        h.engine.execute(h.main.ctx, [b"XSCHEDULE", b"s", b"ID", b"t%d" % i, b"DELAY", delay, b"f", b"v"])
    expected = [i for _, i in sorted((i * 7919 % 6000, i) for i in range(6000))]
    _, reply = turns_of(h.main, "XSCHEDULES s COUNT 3")
    assert [reply.index(b"t%d\r" % i) for i in expected[:3]] == sorted(reply.index(b"t%d\r" % i) for i in expected[:3])
    assert reply.startswith(b"*3\r\n")
    assert h.run("XSCHEDULES s MATCH t77 COUNT 1")[0][:2] == [b"ticket", b"t77"]
    _, reply = turns_of(h.main, "XSCHEDULES s MATCH t?? COUNT 100")
    assert reply.startswith(b"*90\r\n")
    h.run("XSCHEDULES s COUNT 3")
    h.run("FLUSHALL")
    while h.main.session.is_blocked:
        h.advance(0)
