"""What a client's own requests send to itself comes after their replies, as in Redis 7.2, and never inside them."""

from collections.abc import Iterator

import pytest
from support.servers import Broker
from support.wire import Push, Wire


@pytest.fixture
def own(broker: Broker) -> Iterator[Wire]:
    """A subscriber that may send anything, too."""
    with Wire(broker.port) as wire:
        wire("HELLO", "3")
        assert wire("SUBSCRIBE", "c") == [b"subscribe", b"c", 1]
        yield wire


def test_a_message_to_oneself_comes_after_the_number_of_receivers(own: Wire) -> None:
    assert own("PUBLISH", "c", "x") == 1
    message = own.read()
    assert isinstance(message, Push) and message == [b"message", b"c", b"x"]


def test_messages_of_a_transaction_come_after_its_array(own: Wire) -> None:
    for request in (["MULTI"], ["PING", "abc"], ["PUBLISH", "c", "x"], ["PUBLISH", "c", "y"], ["PING", "def"]):
        own(*request)
    assert own("EXEC") == [b"abc", 1, 1, b"def"]
    assert [own.read(), own.read()] == [[b"message", b"c", b"x"], [b"message", b"c", b"y"]]


def test_an_event_of_ones_own_change_comes_after_the_reply(own: Wire, wire: Wire) -> None:
    wire("CONFIG", "SET", "notify-keyspace-events", "K$")
    own("SUBSCRIBE", "__keyspace@0__:k")
    assert own("SET", "k", "v") == "OK"
    assert own.read() == [b"message", b"__keyspace@0__:k", b"set"]
    wire("CONFIG", "SET", "notify-keyspace-events", "")


def test_a_pipeline_has_each_message_after_its_request(own: Wire) -> None:
    own.send_raw(b"PUBLISH c 1\r\nPING a\r\nPUBLISH c 2\r\nPING b\r\n")
    assert [own.read() for _ in range(6)] == [1, [b"message", b"c", b"1"], b"a", 1, [b"message", b"c", b"2"], b"b"]


def test_a_client_that_wants_no_replies_gets_its_messages(own: Wire) -> None:
    own.send_raw(b"CLIENT REPLY OFF\r\nPUBLISH c 1\r\nPUBLISH c 2\r\nCLIENT REPLY ON\r\n")
    assert [own.read() for _ in range(3)] == [[b"message", b"c", b"1"], [b"message", b"c", b"2"], "OK"]
