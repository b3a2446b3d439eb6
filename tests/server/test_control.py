"""Acting on other clients: CLIENT KILL, PAUSE and UNBLOCK, over real sockets."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.servers import Broker, RedisServer, eventually
from support.wire import Wire, encode

Server = Broker | RedisServer


@pytest.fixture(params=["ours", "theirs"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each test here describes a real server, too."""
    found: Server = request.getfixturevalue("broker" if request.param == "ours" else "redis")
    return found


def is_silent(wire: Wire, other: Callable[[], object]) -> bool:
    """Nothing came, though the server had time to answer another."""
    other()
    wire.socket.setblocking(False)
    try:
        return not wire.socket.recv(1)
    except BlockingIOError:
        return True
    finally:
        wire.socket.settimeout(10)


def test_client_kill_ends_another_at_once(server: Server) -> None:
    with Wire(server.port) as wire, Wire(server.port) as other, Wire(server.port) as waiting:
        waiting.send("BLPOP", "kill-list", 0)
        victims = [other("CLIENT", "ID"), line_of(wire, b"cmd=blpop")["id"]]
        for victim in victims:
            assert wire("CLIENT", "KILL", "ID", victim) == 1
        for killed in (other, waiting):
            with pytest.raises((EOFError, ConnectionResetError)):
                killed.read()
        assert wire("RPUSH", "kill-list", "x") == 1
        assert wire("LLEN", "kill-list") == 1, "who was killed takes nothing"
        assert wire("CLIENT", "KILL", "ID", victims[0]) == 0
        assert wire("DEL", "kill-list") == 1


def line_of(wire: Wire, part: bytes) -> dict[str, str]:
    """The client in CLIENT LIST whose line has this part."""

    def find() -> bytes | None:
        return next((line for line in wire("CLIENT", "LIST").splitlines() if part in line), None)

    return dict(field.split("=", 1) for field in eventually(find).decode().split())


def test_client_kill_of_oneself_answers_first(server: Server) -> None:
    with Wire(server.port) as wire:
        number = wire("CLIENT", "ID")
        wire.send_raw(encode("CLIENT", "KILL", "ID", number, "SKIPME", "no") + encode("PING"))
        assert wire.read_to_end() == b":1\r\n"


def test_client_kill_of_a_type_spares_the_others(server: Server) -> None:
    with Wire(server.port) as wire, Wire(server.port) as subscriber, Wire(server.port) as other:
        subscriber("SUBSCRIBE", "kill-channel")
        assert wire("CLIENT", "KILL", "TYPE", "pubsub") == 1
        with pytest.raises((EOFError, ConnectionResetError)):
            subscriber.read()
        assert other("PING") == "PONG"
        assert wire("PUBLISH", "kill-channel", "x") == 0


def test_pausing_writes_holds_them_back_and_lets_reads_through(server: Server) -> None:
    with Wire(server.port) as wire, Wire(server.port) as other:
        wire("SET", "p", 0)
        assert wire("CLIENT", "PAUSE", 60_000, "WRITE") == "OK"
        assert other("GET", "p") == b"0"
        other.send_raw(encode("INCR", "p") + encode("GET", "p"))
        assert is_silent(other, lambda: wire("PING"))
        assert wire("GET", "p") == b"0"
        assert wire("CLIENT", "UNPAUSE") == "OK"
        assert [other.read(), other.read()] == [1, b"1"]


def test_pausing_writes_holds_transactions_that_write_and_publishing(server: Server) -> None:
    with (
        Wire(server.port) as wire,
        Wire(server.port) as reading,
        Wire(server.port) as writing,
        Wire(server.port) as pub,
    ):
        writing.send_raw(encode("MULTI") + encode("SET", "p", 5))
        assert [writing.read(), writing.read()] == ["OK", "QUEUED"]
        wire("CLIENT", "PAUSE", 60_000, "WRITE")
        reading.send_raw(encode("MULTI") + encode("GET", "none") + encode("EXEC"))
        assert [reading.read(), reading.read(), reading.read()] == ["OK", "QUEUED", [None]]
        writing.send("EXEC")
        pub.send("PUBLISH", "channel", "x")
        assert is_silent(writing, lambda: wire("PING"))
        assert is_silent(pub, lambda: wire("PING"))
        wire("CLIENT", "UNPAUSE")
        assert writing.read() == ["OK"]
        assert pub.read() == 0


def test_a_request_that_waits_counts_in_client_list_once_it_is_answered(broker: Broker) -> None:
    with Wire(broker.port) as wire, Wire(broker.port) as waiting:
        number = waiting("CLIENT", "ID")

        def counted() -> bytes:
            return bytes(wire("CLIENT", "LIST", "ID", number)).split(b"tot-cmds=")[1].strip()

        assert counted() == b"1"
        waiting.send("BLPOP", "counted", 0)
        assert any(b"cmd=blpop" in wire("CLIENT", "LIST", "ID", number) for _ in range(1000))
        assert counted() == b"1"
        wire("RPUSH", "counted", "x")
        assert waiting.read() == [b"counted", b"x"]
        assert counted() == b"2"
        waiting("EVAL", "redis.call('PING') redis.call('PING')", 0)
        assert counted() == b"5", "what a script calls counts, too"


def test_pausing_all_holds_every_request_until_its_time_is_over(server: Server) -> None:
    with Wire(server.port) as wire, Wire(server.port) as other:
        start = time.monotonic()
        assert wire("CLIENT", "PAUSE", 300) == "OK"
        wire.send("PING")
        other.send_raw(encode("PING") * 3)
        assert [other.read() for _ in range(3)] == ["PONG"] * 3
        assert wire.read() == "PONG"
        assert 0.25 < time.monotonic() - start < 2


def test_a_paused_pipeline_longer_than_a_turn_goes_on_when_the_pause_ends(server: Server) -> None:
    with Wire(server.port) as wire, Wire(server.port) as other:
        wire("CLIENT", "PAUSE", 200)
        other.send_raw(b"PING\r\n" * 30_000)
        assert other.read_raw(7 * 30_000) == b"+PONG\r\n" * 30_000


def test_a_pause_does_not_keep_the_server_busy(broker: Broker) -> None:
    with Wire(broker.port) as wire, Wire(broker.port) as other:
        wire("CLIENT", "PAUSE", 500, "WRITE")
        other.send_raw(encode("INCR", "busy") * 2000)
        before = cpu_seconds(broker)
        assert other.read() == 1
        assert cpu_seconds(broker) - before < 0.25


def cpu_seconds(server: Broker) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_client_unblock_ends_a_wait_as_by_time_out_or_with_an_error(server: Server) -> None:
    with Wire(server.port) as wire, Wire(server.port) as waiting:
        number = waiting("CLIENT", "ID")
        waiting.send_raw(encode("BLPOP", "unblock", 0) + encode("PING"))
        line_of(wire, b"cmd=blpop")
        assert wire("CLIENT", "UNBLOCK", number) == 1
        assert [waiting.read(), waiting.read()] == [None, "PONG"]
        assert wire("CLIENT", "UNBLOCK", number) == 0
        waiting.send("BLPOP", "unblock", 0)
        line_of(wire, b"cmd=blpop")
        assert wire("CLIENT", "UNBLOCK", number, "ERROR") == 1
        assert waiting.read() == "UNBLOCKED client unblocked via CLIENT UNBLOCK"
