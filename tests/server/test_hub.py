"""Turns over many connections: who waits is served in order, garbage disturbs nobody, bugs end one client."""

import socket
from random import Random

import pytest
from support.engine import Harness
from support.servers import Broker, RedisServer, eventually
from support.wire import Wire, encode

from broker.commands.context import Context
from broker.commands.registry import Command
from broker.protocol.replies import Reply
from broker.server.hub import Hub

Server = Broker | RedisServer


@pytest.fixture(params=["ours", "theirs"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue("broker" if request.param == "ours" else "redis")
    return found


def wait_blocked(wire: Wire, count: int) -> None:
    eventually(lambda: f"blocked_clients:{count}\r\n".encode() in wire("INFO", "clients"), what=f"{count} waiting")


def blocked_in_order(server: Server, wire: Wire, count: int, *request: str | int) -> list[Wire]:
    """Clients that wait, the first one the longest."""
    waiting = []
    for i in range(count):
        client = Wire(server.port)
        client.send(*request)
        waiting.append(client)
        wait_blocked(wire, i + 1)
    return waiting


def test_100_clients_that_wait_for_one_list_are_served_first_come_first_served(server: Server) -> None:
    with Wire(server.port) as wire:
        waiting = blocked_in_order(server, wire, 100, "BLPOP", "fair", 0)
        for i in range(10):
            assert wire("RPUSH", "fair", i) == 1
        assert wire("RPUSH", "fair", *range(10, 50)) == 40
        wire.send_raw(
            encode("MULTI") + encode("RPUSH", "fair", *range(50, 60)) + encode("RPUSH", "fair", *range(60, 100))
        )
        wire.send_raw(encode("LLEN", "fair") + encode("EXEC"))
        assert [wire.read() for _ in range(5)][-1] == [10, 50, 50], "nobody is served in the middle of a transaction"
        assert [client.read() for client in waiting] == [[b"fair", b"%d" % i] for i in range(100)]
        assert wire("EXISTS", "fair") == 0
        for client in waiting:
            client.close()


def test_who_hung_up_while_waiting_takes_no_element(server: Server) -> None:
    with Wire(server.port) as wire:
        waiting = blocked_in_order(server, wire, 10, "BLPOP", "gone", 0)
        for client in waiting[::2]:
            client.close()
        wait_blocked(wire, 5)
        assert wire("RPUSH", "gone", *"abcdefg") == 7
        assert [client.read()[1] for client in waiting[1::2]] == [b"a", b"b", b"c", b"d", b"e"]
        assert wire("LRANGE", "gone", 0, -1) == [b"f", b"g"]
        wire("DEL", "gone")
        for client in waiting[1::2]:
            client.close()


def test_a_client_that_hung_up_and_a_push_in_the_same_moment_lose_nothing(broker: Broker) -> None:
    """Whichever the server sees first: the element is with the client or in the list, and never with the dead one."""
    with Wire(broker.port) as wire:
        for _ in range(50):
            waiting = blocked_in_order(broker, wire, 1, "BLPOP", "race", 0)[0]
            waiting.socket.shutdown(socket.SHUT_RDWR)
            waiting.close()
            wait_blocked(wire, 0)
            wire("RPUSH", "race", "x")
            assert wire("LLEN", "race") == 1
            wire("DEL", "race")


def test_what_follows_a_blocking_request_waits_for_it(server: Server) -> None:
    with Wire(server.port) as wire, Wire(server.port) as other:
        other.send_raw(
            encode("BLPOP", "seq", 0) + encode("RPUSH", "done", 1) + encode("BLPOP", "seq", 0) + encode("PING")
        )
        wait_blocked(wire, 1)
        assert wire("EXISTS", "done") == 0
        wire("RPUSH", "seq", "a", "b")
        assert [other.read() for _ in range(4)] == [[b"seq", b"a"], 1, [b"seq", b"b"], "PONG"]
        wire("DEL", "done")


def test_garbage_from_many_connections_never_disturbs_another(broker: Broker) -> None:
    random = Random(4)
    pieces = [
        b"*",
        b"$",
        b"\r\n",
        b"\n",
        b"\0",
        b'"',
        b"'",
        b"*1\r\n$4\r\nPING\r\n",
        b"*2147483647\r\n",
        b"$536870912\r\n",
    ]
    pieces += [
        b"*3\r\n$3\r\nSET\r\n",
        b"$1\r\n",
        b"-1",
        b"MULTI\r\n",
        b"EXEC\r\n",
        b"SUBSCRIBE a\r\n",
        b"BLPOP x 0\r\n",
    ]
    pieces += [b"XREAD BLOCK 0 STREAMS s $\r\n", b"HELLO 3\r\n", b"CLIENT REPLY SKIP\r\n", b"EVAL x 0\r\n", b"\xff\xfe"]
    pieces += [b"SORT \x80\r\n", b"DEBUG x\r\n", b"COMMAND DOCS\r\n", b"MONITOR\r\n", b"ZADD z nan a\r\n", b"RESET\r\n"]
    with Wire(broker.port) as good:
        good("SET", "good", "value")
        for round_ in range(300):
            sock = socket.create_connection(("127.0.0.1", broker.port), 10)
            data = b"".join(random.choices(pieces, k=random.randrange(1, 12))) + random.randbytes(random.randrange(40))
            try:
                sock.sendall(data[: len(data) // 2])
                if round_ % 3:
                    assert good("GET", "good") == b"value"
                sock.sendall(data[len(data) // 2 :])
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was told and closed in the middle
            if round_ % 2:
                assert good("ECHO", round_) == b"%d" % round_
            sock.close()
        eventually(lambda: b"connected_clients:1\r\n" in good("INFO", "clients"), what="all of them gone")
        assert b"blocked_clients:0\r\n" in good("INFO", "clients")
    assert not [event for event in broker.events() if event["event"] == "command.bug"]


# -- bugs of ours, in this process: a turn at a time


def break_(ctx: Context, argv: list[bytes]) -> Reply:
    raise RuntimeError("a bug")


def no_reply(ctx: Context, argv: list[bytes]) -> Reply:
    return [b"begun", 1.5]


def with_bugs() -> Harness:
    """An engine with two commands that no product has: one raises, one returns what can't be encoded."""
    harness = Harness()
    for name, function in ((b"BREAK", break_), (b"NOREPLY", no_reply)):
        harness.engine.commands[name] = Command(name, function, -1, 0, "test", [], (), "1", "", "", "", False)
    return harness


class Turns:
    """A hub without a server: the test runs the turns."""

    def __init__(self, harness: Harness) -> None:
        self.closed: list[str] = []
        self.hub = Hub(
            harness.engine,
            lambda data: None,
            lambda: False,
            lambda: None,
            lambda session, reason: self.closed.append(reason),
        )

    def client(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.hub.add(theirs, b"test", b"test")
        return ours

    def run(self) -> None:
        while self.hub.turn():
            pass


def test_a_bug_in_a_command_is_answered_and_told_and_the_client_goes_on() -> None:
    harness = with_bugs()
    turns = Turns(harness)
    client = turns.client()
    client.sendall(b"BREAK\r\nPING\r\n")
    turns.run()
    assert client.recv(100) == b"-ERR internal error\r\n+PONG\r\n"
    assert [(name, str(error)) for name, error in harness.bugs] == [("BREAK", "a bug")]
    client.close()
    turns.hub.close_all()


def test_a_bug_outside_of_a_command_ends_its_client_and_no_other() -> None:
    harness = with_bugs()
    turns = Turns(harness)
    client, other = turns.client(), turns.client()
    client.sendall(b"NOREPLY\r\nPING\r\n")
    other.sendall(b"PING\r\n")
    turns.run()
    assert other.recv(100) == b"+PONG\r\n"
    assert b"+PONG" not in client.recv(100)
    assert [(name, type(error)) for name, error in harness.bugs] == [("connection", TypeError)]
    assert turns.closed == ["internal_error"]
    other.sendall(b"PING\r\n")
    turns.run()
    assert other.recv(100) == b"+PONG\r\n"
    client.close()
    other.close()
    turns.hub.close_all()


def test_wake_makes_a_turn_due_once() -> None:
    turns = Turns(Harness())
    assert not turns.hub.turn()
    turns.hub.wake()
    turns.hub.wake()
    assert turns.hub.turn()
    assert not turns.hub.turn()
    turns.hub.close_all()
