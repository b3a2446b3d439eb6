"""Publish and subscribe, as subscribers and publishers see it."""

import pytest
from support.engine import Client, Harness
from support.same_data import wire

from broker.protocol.encoder import encode


@pytest.fixture
def h() -> Harness:
    return Harness()


def answer(client: Client, *request: str) -> bytes:
    """What goes to the client for this request: pushed or as its reply."""
    reply = client.raw(*request)
    out: list[bytes] = [client.received()]
    encode(reply, out, client.session.resp3)
    return b"".join(out)


def test_a_message_reaches_subscribers_in_the_order_of_their_subscription(h: Harness) -> None:
    clients = [h.client() for _ in range(3)]
    for client in reversed(clients):
        client.run("SUBSCRIBE news")
    h.engine.outgoing.clear()
    for client in clients:
        client.session.queued_for_sending = False
    assert h.run("PUBLISH news hello") == 3
    assert [session.id for session in h.engine.outgoing] == [client.session.id for client in reversed(clients)]
    for client in clients:
        assert client.received() == b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n"


def test_resp3_subscribers_get_pushes(h: Harness) -> None:
    client = h.client()
    client.run("HELLO 3")
    assert answer(client, "SUBSCRIBE a") == b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
    h.run("PUBLISH a x")
    assert client.received() == b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
    assert answer(client, "PSUBSCRIBE a*") == b">3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:2\r\n"
    h.run("PUBLISH a x")
    assert client.received() == (
        b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n>4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$1\r\nx\r\n"
    )
    assert client.run("GET k") is None


def test_each_channel_is_confirmed_with_the_number_of_subscriptions(h: Harness) -> None:
    assert h.run("SUBSCRIBE a b a") == [[b"subscribe", b"a", 1], [b"subscribe", b"b", 2], [b"subscribe", b"a", 2]]
    assert h.run("PSUBSCRIBE a") == [[b"psubscribe", b"a", 3]]
    assert h.run("UNSUBSCRIBE a x") == [[b"unsubscribe", b"a", 2], [b"unsubscribe", b"x", 2]]
    assert h.run("PUNSUBSCRIBE") == [[b"punsubscribe", b"a", 1]]
    assert h.run("UNSUBSCRIBE") == [[b"unsubscribe", b"b", 0]]
    assert h.run("UNSUBSCRIBE") == [[b"unsubscribe", None, 0]]
    assert h.run("PUNSUBSCRIBE") == [[b"punsubscribe", None, 0]]


def test_a_subscriber_to_channel_and_pattern_gets_the_message_twice(h: Harness) -> None:
    client = h.client()
    client.run("SUBSCRIBE a")
    client.run("PSUBSCRIBE ? [a-c] b*")
    assert h.run("PUBLISH a x") == 3
    assert client.received().count(b"$1\r\nx\r\n") == 3


def test_resp2_subscribers_may_do_little_else(h: Harness) -> None:
    h.run("SUBSCRIBE a")
    error = (
        "-ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
        "this context"
    )
    assert h.run("client id") == error
    for allowed in ("PING", "SUBSCRIBE b", "PSUBSCRIBE c", "PUNSUBSCRIBE c", "UNSUBSCRIBE b"):
        assert not str(h.run(allowed)).startswith("-")
    h.run("UNSUBSCRIBE")
    assert h.run("CLIENT ID") == h.main.session.id


def test_a_client_that_went_away_gets_nothing(h: Harness) -> None:
    client = h.client()
    client.run("SUBSCRIBE a")
    client.run("PSUBSCRIBE a")
    h.engine.close_session(client.ctx)
    assert h.run("PUBLISH a x") == 0
    assert h.run("PUBSUB CHANNELS") == []
    assert h.run("PUBSUB NUMPAT") == 0


def test_confirmations_come_though_replies_are_off(h: Harness) -> None:
    h.run("CLIENT REPLY OFF")
    assert answer(h.main, "SUBSCRIBE a b").count(b"subscribe") == 2
    h.client().run("PUBLISH a x")
    assert h.main.received() == b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
    assert answer(h.main, "UNSUBSCRIBE").count(b"unsubscribe") == 2


def test_subscriptions_may_be_made_in_a_transaction(h: Harness) -> None:
    h.run("MULTI")
    h.run("SUBSCRIBE a")
    h.run("PUBLISH a x")
    assert h.run("EXEC") == [[[b"subscribe", b"a", 1]], 1]
    assert h.main.received() == b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"


def test_pubsub_tells_who_listens(h: Harness) -> None:
    one, two = h.client(), h.client()
    one.run("SUBSCRIBE a b")
    two.run("SUBSCRIBE a")
    two.run("PSUBSCRIBE x* y*")
    one.run("PSUBSCRIBE x*")
    assert sorted(h.run("PUBSUB CHANNELS")) == [b"a", b"b"]
    assert h.run("PUBSUB CHANNELS [b-z]") == [b"b"]
    assert h.run("PUBSUB NUMSUB a b nobody a") == [b"a", 2, b"b", 1, b"nobody", 0, b"a", 2]
    assert h.run("PUBSUB NUMSUB") == []
    assert h.run("PUBSUB NUMPAT") == 2


def test_numsub_is_no_map_even_in_resp3(h: Harness) -> None:
    assert wire(h, "PUBSUB NUMSUB a") == (b"*2\r\n$1\r\na\r\n:0\r\n", b"*2\r\n$1\r\na\r\n:0\r\n")


def test_pubsub_refuses_what_it_does_not_know(h: Harness) -> None:
    error = "-ERR unknown subcommand or wrong number of arguments for 'channels'. Try PUBSUB HELP."
    assert h.run("pubsub channels a b") == error
    assert h.run("PUBSUB foo") == "-ERR unknown subcommand 'foo'. Try PUBSUB HELP."
    assert h.run("PUBSUB NUMPAT x") == "-ERR wrong number of arguments for 'pubsub|numpat' command"
    assert h.run("SUBSCRIBE") == "-ERR wrong number of arguments for 'subscribe' command"
    assert h.run("PUBLISH a") == "-ERR wrong number of arguments for 'publish' command"


def test_publishing_changes_no_data(h: Harness) -> None:
    h.client().run("SUBSCRIBE a")
    h.run("PUBLISH a x")
    assert h.journal() == []


def test_keyspace_events_are_messages(h: Harness) -> None:
    h.run("CONFIG SET notify-keyspace-events KEA")
    client = h.client()
    client.run("PSUBSCRIBE __key*__:*")
    client.received()
    h.run("SET k 1")
    received = client.received()
    assert b"$16\r\n__keyspace@0__:k\r\n$3\r\nset\r\n" in received
    assert b"$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n" in received


# -- shard channels


def test_shard_channels_are_a_namespace_and_a_count_of_their_own(h: Harness) -> None:
    assert h.run("SUBSCRIBE a") == [[b"subscribe", b"a", 1]]
    assert h.run("SSUBSCRIBE a b") == [[b"ssubscribe", b"a", 1], [b"ssubscribe", b"b", 2]]
    assert h.run("PSUBSCRIBE *") == [[b"psubscribe", b"*", 2]]
    other = h.client()
    assert other.run("SPUBLISH a x") == 1
    assert h.main.received() == b"*3\r\n$8\r\nsmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
    assert other.run("PUBLISH b x") == 1  # the pattern
    assert other.run("SPUBLISH c x") == 0
    assert h.run("SUNSUBSCRIBE a x") == [[b"sunsubscribe", b"a", 1], [b"sunsubscribe", b"x", 1]]
    assert h.run("SUNSUBSCRIBE") == [[b"sunsubscribe", b"b", 0]]
    assert h.run("SUNSUBSCRIBE") == [[b"sunsubscribe", None, 0]]


def test_pubsub_tells_of_shard_channels(h: Harness) -> None:
    one, two = h.client(), h.client()
    one.run("SSUBSCRIBE a b")
    two.run("SSUBSCRIBE a")
    assert sorted(h.run("PUBSUB SHARDCHANNELS")) == [b"a", b"b"]
    assert h.run("PUBSUB SHARDCHANNELS [b-z]") == [b"b"]
    assert h.run("PUBSUB SHARDNUMSUB a b c") == [b"a", 2, b"b", 1, b"c", 0]
    assert h.run("PUBSUB CHANNELS") == []
    assert h.run("PUBSUB SHARDCHANNELS a b") == (
        "-ERR unknown subcommand or wrong number of arguments for 'SHARDCHANNELS'. Try PUBSUB HELP."
    )


def test_a_shard_subscriber_is_a_subscriber(h: Harness) -> None:
    client = h.client()
    client.run("SSUBSCRIBE a")
    assert str(client.run("GET k")).startswith("-ERR Can't execute 'get'")
    assert b"flags=P" in h.run(f"CLIENT LIST ID {client.session.id}")
    assert b" ssub=1 " in h.run(f"CLIENT LIST ID {client.session.id}")
    assert client.run("RESET") == "RESET"
    assert h.run("PUBSUB SHARDCHANNELS") == []
    client.run("SSUBSCRIBE a")
    h.engine.close_session(client.ctx)
    assert h.run("PUBSUB SHARDCHANNELS") == []


def test_a_shard_subscription_is_refused_in_a_transaction(h: Harness) -> None:
    h.run("MULTI")
    h.run("SSUBSCRIBE a")
    h.run("SUNSUBSCRIBE")
    assert h.run("EXEC") == [
        "-ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        [[b"sunsubscribe", None, 0]],
    ]
    assert h.run("SSUBSCRIBE a") == [[b"ssubscribe", b"a", 1]]


# -- cost


def test_a_message_is_encoded_once_for_each_protocol_and_its_bytes_are_shared(h: Harness) -> None:
    old, new = [h.client() for _ in range(3)], [h.client() for _ in range(3)]
    for client in new:
        client.run("HELLO 3")
    for client in old + new:
        client.run("SUBSCRIBE a")
        client.run("PSUBSCRIBE a*")
        client.session.out.clear()
    assert h.run("PUBLISH a x") == 12
    for clients in (old, new):
        first = clients[0].session.out
        assert len(first) == 2
        for client in clients[1:]:
            assert [id(piece) for piece in client.session.out] == [id(piece) for piece in first]
    assert old[0].session.out[0][:1] == b"*" and new[0].session.out[0][:1] == b">"


def test_a_channel_with_one_subscriber_costs_no_table(h: Harness) -> None:
    """Channels for single results are subscribed to by the million."""
    h.run("SUBSCRIBE", *(f"result:{i}" for i in range(1000)))
    channels = h.engine.shared.subscriptions.channels
    assert len(channels) == 1000
    assert {type(members) for members in channels.values()} == {int}
    assert h.client().run("PUBLISH result:7 done") == 1
    h.run("UNSUBSCRIBE")
    assert not channels


def test_who_left_with_many_subscriptions_gets_no_messages_and_goes_in_several_turns(h: Harness) -> None:
    leaving, other = h.client(), h.client()
    for first in range(0, 5000, 100):
        leaving.run("SUBSCRIBE", *(f"c:{i}" for i in range(first, first + 100)))
    leaving.run("PSUBSCRIBE", "c:*")
    other.run("SUBSCRIBE", "c:0", "c:4999")
    other.received()
    h.engine.close_session(leaving.ctx)
    assert h.engine.next_deadline_ms() == 0
    assert [h.run("PUBLISH", f"c:{i}", "m") for i in (0, 1, 4999)] == [1, 0, 1]
    turns = 0
    while h.engine.next_deadline_ms() == 0:
        h.advance(0)
        turns += 1
    assert turns >= 1  # after the three of PUBLISH
    assert sorted(h.run("PUBSUB CHANNELS")) == [b"c:0", b"c:4999"]
    assert h.run("PUBSUB NUMPAT") == 0
    assert other.received().count(b"message") == 2
