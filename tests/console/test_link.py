"""A connection inside the process: in order, bounded in time, and gone when it is gone."""

import socket

import pytest
import trio

from broker.console.link import ErrorReply, Link, LinkLost


class Server:
    """The other end, played by hand."""

    def __init__(self):
        self.link = Link(self._attach)

    def _attach(self, theirs: socket.socket) -> None:
        self.stream = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))


@pytest.fixture
async def server():
    playing = Server()
    async with playing.stream:
        yield playing
    playing.link.close()


async def answer(server, *replies):
    for reply in replies:
        await server.stream.receive_some()
        await server.stream.send_all(reply)


async def test_replies_come_in_the_order_of_the_requests(server, nursery):
    nursery.start_soon(answer, server, b"+OK\r\n:2\r\n-ERR no\r\n*2\r\n$1\r\na\r\n$-1\r\n")
    ok, two, refused, several = await server.link.call_many([("SET", b"\xff", 1)] * 4)
    assert (ok, two, several) == (b"OK", 2, [b"a", None])
    assert isinstance(refused, ErrorReply)
    assert str(refused) == "ERR no"


async def test_whoever_asks_meanwhile_waits(server, nursery):
    found = []

    async def call(name):
        found.append((name, await server.link.call_many([(name,)])))

    nursery.start_soon(answer, server, b"+1\r\n", b"+2\r\n")
    async with trio.open_nursery() as callers:
        callers.start_soon(call, "a")
        callers.start_soon(call, "b")
    assert sorted(reply for _, (reply,) in found) == [b"1", b"2"]


async def test_a_server_that_closes_ends_the_link(server):
    await server.stream.aclose()
    with pytest.raises(LinkLost):
        await server.link.call_many([("PING",)])
    assert not server.link.is_open
    with pytest.raises(LinkLost):
        await server.link.call_many([("PING",)])


async def test_a_server_that_is_silent_ends_the_link(server, autojump_clock):
    with pytest.raises(LinkLost):
        await server.link.call_many([("PING",)])
    assert not server.link.is_open


async def test_a_question_that_was_given_up_ends_the_link(server, autojump_clock):
    """Its reply may still come: nobody could tell whose it is."""
    with trio.move_on_after(1):
        await server.link.call_many([("PING",)])
    assert not server.link.is_open


async def test_more_than_the_buffers_hold_goes_through(server, nursery):
    size = 5_000_000

    async def echo():
        got = 0
        while got < size:
            got += len(await server.stream.receive_some())
        await server.stream.send_all(b"+OK\r\n")

    nursery.start_soon(echo)
    assert await server.link.call_many([("SET", "k", b"x" * size)]) == [b"OK"]
