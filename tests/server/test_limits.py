"""Who takes too much is cut, and the others go on."""

import re
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.servers import Broker, RedisServer, eventually
from support.wire import Wire, encode


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A server whose settings the tests change; each puts back what it changed."""
    with Broker(tmp_path_factory.mktemp("limited"), "--appendonly", "no") as server:
        yield server


def reasons(server: Broker) -> list[str]:
    return [event["reason"] for event in server.events() if event["event"] == "client.closed"]


def assert_cut(wire: Wire) -> None:
    """What was sent can still be read, then the connection has ended."""
    try:
        wire.read_to_end()
    except ConnectionResetError:
        pass  # the server left something unread
    wire.close()


def flood(wire: Wire, data: bytes) -> None:
    """Send until the server ends the connection."""
    try:
        wire.send_raw(data)
        wire.read_to_end()
    except (ConnectionResetError, BrokenPipeError):
        pass


def fill(wire: Wire, request: bytes) -> int:
    """Send the request again and again until there is no more room. The bytes sent; the last request may be cut."""
    wire.socket.setblocking(False)
    sent = 0
    try:
        while sent < 100_000_000:
            sent += wire.socket.send(request * 100)
    except BlockingIOError:
        wire.socket.settimeout(10)
    return sent


def test_a_subscriber_that_never_reads_is_cut_at_its_hard_limit_and_others_get_everything(limited: Broker) -> None:
    with Wire(limited.port) as publisher, Wire(limited.port) as good:
        publisher("CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0")
        bad = Wire(limited.port)  # which does not read
        bad("SUBSCRIBE", "news")
        good("SUBSCRIBE", "news")
        message = b"x" * 100_000
        for _ in range(300):  # 30 MB: the system's buffers hold some of it
            publisher.send("PUBLISH", "news", message)
            assert good.read() == [b"message", b"news", message]
            publisher.read()
        assert publisher("PUBSUB", "NUMSUB", "news") == [b"news", 1]
        assert b"client_output_buffer_limit_disconnections:1\r\n" in publisher("INFO", "stats")
        assert_cut(bad)
        assert reasons(limited)[-1] == "output_limit"
        publisher("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")


def test_a_normal_client_that_never_reads_is_cut_at_its_hard_limit(limited: Broker) -> None:
    with Wire(limited.port) as other:
        other("SET", "large", b"x" * 1_000_000)
        other("CONFIG", "SET", "client-output-buffer-limit", "normal 8mb 0 0")
        bad = Wire(limited.port)  # which does not read
        before = len(reasons(limited))
        bad.send_raw(encode("GET", "large") * 100)
        eventually(lambda: len(reasons(limited)) > before, what="the client cut")
        assert other("PING") == "PONG"
        assert_cut(bad)
        assert reasons(limited)[-1] == "output_limit"
        other("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


def test_the_soft_limit_runs_out_even_if_nothing_more_is_sent(limited: Broker) -> None:
    with Wire(limited.port) as other:
        other("SET", "large", b"x" * 8_000_000)
        other("CONFIG", "SET", "client-output-buffer-limit", "normal 0 64kb 1")
        bad = Wire(limited.port)  # which does not read
        before = len(reasons(limited))
        bad.send_raw(encode("GET", "large") * 5)
        eventually(lambda: len(reasons(limited)) > before, what="the client cut")
        assert other("PING") == "PONG"
        assert_cut(bad)
        other("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


def test_a_client_that_reads_in_time_is_not_cut_by_a_soft_limit(limited: Broker) -> None:
    with Wire(limited.port) as wire:
        wire("SET", "large", b"x" * 8_000_000)
        wire("CONFIG", "SET", "client-output-buffer-limit", "normal 0 1mb 30")
        for _ in range(5):
            assert len(wire("GET", "large")) == 8_000_000
        wire("CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0")


def test_a_request_beyond_the_query_buffer_limit_ends_its_client(limited: Broker) -> None:
    with Wire(limited.port) as other, Wire(limited.port) as wire:
        other("CONFIG", "SET", "client-query-buffer-limit", "1mb")
        flood(wire, b"*2\r\n$4\r\nECHO\r\n$100000000\r\n" + b"x" * 20_000_000)
        eventually(lambda: reasons(limited)[-1] == "query_buffer_limit")
        with Wire(limited.port) as many:
            flood(many, b"*2147483647\r\n" + b"$0\r\n\r\n" * 1_000_000)
        eventually(lambda: reasons(limited)[-2:] == ["query_buffer_limit"] * 2)
        assert b"client_query_buffer_limit_disconnections:2\r\n" in other("INFO", "stats")
        other("CONFIG", "SET", "client-query-buffer-limit", "1gb")


def test_the_greatest_bulk_follows_its_setting_for_clients_that_are_connected(limited: Broker) -> None:
    with Wire(limited.port) as other, Wire(limited.port) as wire:
        assert wire("PING") == "PONG"
        other("CONFIG", "SET", "proto-max-bulk-len", "1mb")
        wire.send_raw(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n")
        assert wire.read() == "ERR Protocol error: invalid bulk length"
        other("CONFIG", "SET", "proto-max-bulk-len", "512mb")


@pytest.mark.parametrize("limit", ["1gb", "1mb"])
def test_a_waiting_client_is_read_ahead_within_bounds(limited: Broker, limit: str) -> None:
    """As is one with a long pipeline: what waits for its turn is no request beyond the limit."""
    with Wire(limited.port) as other, Wire(limited.port) as wire:
        other("CONFIG", "SET", "client-query-buffer-limit", limit)
        wire.send("BLPOP", "list", 0)
        sent = fill(wire, encode("ECHO", b"x" * 1000))
        assert sent < 30_000_000, "1 MB, and what the system's own buffers take"
        eventually(lambda: re.search(rb" qbuf=[789]\d{5} | qbuf=1\d{6} ", other("CLIENT", "LIST")))
        for _ in range(20):
            assert other("PING") == "PONG"  # turns in which more would be read
        assert other("RPUSH", "list", "e") == 1
        assert wire.read() == [b"list", b"e"]
        assert wire.read() == b"x" * 1000
        other("CONFIG", "SET", "client-query-buffer-limit", "1gb")


@pytest.mark.parametrize("name", ["SET", "WATCH"])
def test_who_holds_more_than_maxmemory_clients_goes(limited: Broker, name: str) -> None:
    """Each request is small; what is queued in MULTI, or watched, is not."""
    with Wire(limited.port) as other, Wire(limited.port) as wire:
        other("CONFIG", "SET", "maxmemory-clients", "2mb")
        if name == "SET":
            wire("MULTI")
        assert 10 <= held(wire, name) <= 25
        eventually(lambda: reasons(limited)[-1:] == ["client_eviction"])
        other("CONFIG", "SET", "maxmemory-clients", "0")


def held(wire: Wire, name: str) -> int:
    """How many requests of 100 KB were answered before the client was cut: at most 30."""
    for count in range(30):
        keys = [f"{count} {n} {'x' * 1000}" for n in range(100)] if name == "WATCH" else ["k", "x" * 100_000]
        try:
            wire(name, *keys)
        except (EOFError, OSError):
            return count
    return 30


def test_clients_beyond_maxclients_are_told_so_and_closed(tmp_path: Path, redis: RedisServer) -> None:
    with Broker(tmp_path, "--appendonly", "no", "--maxclients", "3") as server:
        wires = [Wire(server.port) for _ in range(3)]
        for wire in wires:
            assert wire("PING") == "PONG"
        with Wire(server.port) as refused:
            assert refused.read_to_end() == b"-ERR max number of clients reached\r\n"
        assert b"rejected_connections:1\r\n" in wires[0]("INFO", "stats")
        wires.pop().close()
        eventually(lambda: b"connected_clients:2\r\n" in wires[0]("INFO", "clients"), what="the place free")
        with Wire(server.port) as wire:
            assert wire("PING") == "PONG"
        for wire in wires:
            wire.close()
    with Wire(redis.port) as wire:
        wire("CONFIG", "SET", "maxclients", 1)
        with Wire(redis.port) as refused:
            assert refused.read_to_end() == b"-ERR max number of clients reached\r\n"
        wire("CONFIG", "SET", "maxclients", 1000)


def test_who_says_nothing_for_too_long_is_closed_but_not_who_waits_or_listens(limited: Broker) -> None:
    with (
        Wire(limited.port) as other,
        Wire(limited.port) as idle,
        Wire(limited.port) as waiting,
        Wire(limited.port) as listening,
    ):
        idle("PING")
        waiting.send("BLPOP", "nothing", 0)
        listening("SUBSCRIBE", "news")
        other("CONFIG", "SET", "timeout", 1)
        with pytest.raises(EOFError):
            idle.read()
        eventually(lambda: reasons(limited)[-1] == "idle")
        with Wire(limited.port) as again:
            again("CONFIG", "SET", "timeout", 0)
            assert again("PUBLISH", "news", "x") == 1
            assert again("RPUSH", "nothing", "x") == 1
        assert listening.read() == [b"message", b"news", b"x"]
        assert waiting.read() == [b"nothing", b"x"]


def test_10000_idle_connections_are_held_and_answer(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    wanted = 10_000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted + 500:
        pytest.skip(f"the hard limit of open files is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 500), hard))
    sockets: list[socket.socket] = []
    try:
        with Broker(tmp_path, "--appendonly", "no", "--maxclients", "10100") as server:
            before = resident(server)
            for _ in range(wanted):
                sockets.append(socket.create_connection(("127.0.0.1", server.port), 30))
            for sock in sockets:
                sock.sendall(b"PING\r\n")
            for sock in sockets:
                assert sock.recv(16) == b"+PONG\r\n"
            each = (resident(server) - before) / wanted
            record_property("bytes_per_connection", each)
            print(f"{each:.0f} bytes of memory for each idle connection")
            assert each < 16_000
            with Wire(server.port) as wire:
                assert f"connected_clients:{wanted + 1}\r\n".encode() in wire("INFO", "clients")
            assert server.stop() == 0
    finally:
        for sock in sockets:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident(server: Broker) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096
