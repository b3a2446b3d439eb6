"""The bytes of one client, over real sockets."""

import socket
import threading
import time
from pathlib import Path

import pytest
from support.servers import Broker, RedisServer, eventually
from support.wire import Error, Push, Wire, encode


def send_beside(wire: Wire, data: bytes) -> threading.Thread:
    """Send from another thread, so that replies can be read meanwhile."""
    thread = threading.Thread(target=wire.send_raw, args=(data,))
    thread.start()
    return thread


def assert_closed(wire: Wire) -> None:
    """The server ended it (and tells so by a reset where it left something unread)."""
    with pytest.raises((EOFError, ConnectionResetError)):
        wire.read()


def rss(server: Broker) -> int:
    """Resident bytes of the server."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def unsent(wire: Wire) -> int:
    """Bytes that the client whose last request was GET has not taken yet."""
    line = next(line for line in wire("CLIENT", "LIST").splitlines() if b" cmd=get " in line)
    return int(line.partition(b"omem=")[2].partition(b" ")[0])


# -- pipelines


def test_a_pipeline_of_100000_requests_is_answered_in_order(wire: Wire) -> None:
    count = 100_000
    sending = send_beside(wire, b"".join(encode("ECHO", i) for i in range(count)))
    for i in range(count):
        assert wire.read() == b"%d" % i
    sending.join()


def test_others_are_served_while_a_long_pipeline_runs(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port) as other:
        sending = send_beside(wire, encode("INCR", "n") * 200_000)
        wire.read()
        assert other("PING") == "PONG"
        assert int(other("GET", "n")) < 200_000
        for i in range(2, 200_001):
            assert wire.read() == i
        sending.join()


def test_with_appendfsync_always_a_long_pipeline_is_answered_in_order(tmp_path: Path) -> None:
    """More requests than one turn takes, and no event of a socket to go on with after an fsync."""
    with Broker(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server, Wire(server.port, 30) as wire:
        sending = send_beside(wire, encode("INCR", "n") * 50_000)
        for i in range(1, 50_001):
            assert wire.read() == i
        sending.join()


def test_a_request_may_be_split_at_every_byte(wire: Wire) -> None:
    data = encode("SET", "k", "a\r\nb") + b'ECHO "x y"\r\n' + encode("GET", "k")
    for i in range(1, len(data)):
        wire.send_raw(data[:i])
        assert wire.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        wire.send_raw(data[i:])
        assert [wire.read(), wire.read(), wire.read()] == ["OK", b"x y", b"a\r\nb"]
    for byte in data:
        wire.send_raw(bytes([byte]))
    assert [wire.read(), wire.read(), wire.read()] == ["OK", b"x y", b"a\r\nb"]


def test_large_values_go_in_and_out_in_linear_time(wire: Wire) -> None:
    seconds = []
    for size in (12_500_000, 50_000_000):
        value = b"0123456789" * (size // 10)
        start = time.perf_counter()
        sending = send_beside(wire, encode("SET", "large", value) + encode("GET", "large"))
        assert wire.read() == "OK"
        assert wire.read() == value
        sending.join()
        seconds.append(time.perf_counter() - start)
    assert seconds[1] < 8 * seconds[0] + 1, "four times the size; sixteen times the time would be quadratic"
    wire("DEL", "large")


def test_many_large_replies_do_not_meet_in_memory(broker: Broker, wire: Wire) -> None:
    """A client that asks for 2 GB at once and does not read costs what the unsent output may hold, no more."""
    wire("SET", "large", b"x" * 1_000_000)
    before = rss(broker)
    wire.send_raw(encode("GET", "large") * 2000)
    with Wire(broker.port) as other:
        eventually(lambda: unsent(other) > 100_000_000, what="room for output used up")
        assert max(unsent(other) for _ in range(20)) < 150_000_000
        assert rss(broker) - before < 400_000_000
        assert other("PING") == "PONG"
        for _ in range(2000):
            assert len(wire.read()) == 1_000_000
        other("DEL", "large")
        eventually(lambda: rss(broker) - before < 150_000_000, what="the memory given back")


def test_what_a_client_sent_before_it_closed_is_executed(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port) as other:
        other.send_raw(encode("CLIENT", "REPLY", "OFF") + encode("INCR", "n") * 50_000)
    eventually(lambda: wire("GET", "n") == b"50000", what="every request executed")


def test_a_client_that_only_stopped_sending_gets_its_replies(broker: Broker, wire: Wire) -> None:
    wire("SET", "k", b"x" * 5_000_000)
    with Wire(broker.port) as other:
        other.send_raw(encode("GET", "k") * 5 + encode("ECHO", "end"))
        other.socket.shutdown(socket.SHUT_WR)
        assert other.read_to_end() == (b"$5000000\r\n" + b"x" * 5_000_000 + b"\r\n") * 5 + b"$3\r\nend\r\n"
    wire("DEL", "k")


def test_with_appendfsync_always_one_that_stopped_sending_gets_its_replies(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        for _ in range(20):
            with Wire(server.port) as wire:
                wire.send_raw(encode("SET", "a", "b") + encode("GET", "a"))
                wire.socket.shutdown(socket.SHUT_WR)
                assert wire.read_to_end() == b"+OK\r\n$1\r\nb\r\n"
            with Wire(server.port) as wire:
                # In one piece: what comes after the server has closed would be answered by a reset.
                wire.send_raw(encode("SET", "a", "c") + encode("QUIT") + encode("SET", "a", "after QUIT"))
                assert wire.read_to_end() == b"+OK\r\n+OK\r\n"
        with Wire(server.port) as wire:
            assert wire("GET", "a") == b"c"


# -- the state of a connection


def test_auth_lifts_the_limits_for_what_follows_it_in_the_pipeline(tmp_path: Path) -> None:
    with Broker(tmp_path, "--appendonly", "no", "--requirepass", "secret") as server:
        many = encode("DEL", *range(20))
        with Wire(server.port) as wire:
            wire.send_raw(encode("GET", "a") + encode("AUTH", "secret") + many + encode("ECHO", b"x" * 20_000))
            assert wire.read() == "NOAUTH Authentication required."
            assert wire.read() == "OK"
            assert wire.read() == 0
            assert wire.read() == b"x" * 20_000
        with Wire(server.port) as wire:
            wire.send_raw(encode("AUTH", "wrong") + many)
            assert str(wire.read()).startswith("WRONGPASS")
            assert wire.read() == "ERR Protocol error: unauthenticated multibulk length"
            assert_closed(wire)
        with Wire(server.port) as wire:
            wire.send_raw(encode("GET", b"x" * 20_000))
            assert wire.read() == "ERR Protocol error: unauthenticated bulk length"
            assert_closed(wire)
        with Wire(server.port) as wire:
            assert wire("HELLO", 3, "AUTH", "default", "secret")[b"proto"] == 3
            assert wire("GET", "a") is None
            assert wire("RESET") == "RESET"
            assert wire("GET", "a") == "NOAUTH Authentication required."


def test_quit_answers_and_closes_and_what_follows_is_not_executed(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port) as other:
        other.send_raw(encode("SET", "q", 1) + encode("QUIT") + encode("SET", "q", 2))
        assert other.read_to_end() == b"+OK\r\n+OK\r\n"
    assert wire("GET", "q") == b"1"


def test_reset_makes_a_connection_new(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port) as other:
        other("HELLO", 3, "SETNAME", "me")
        other("SELECT", 5)
        other("SUBSCRIBE", "channel")
        assert other("RESET") == "RESET"
        assert other("GET", "a") is None
    with Wire(broker.port) as other:
        other("HELLO", 3, "SETNAME", "me")
        other("SELECT", 5)
        other("MULTI")
        assert other("RESET") == "RESET"
        info = other("CLIENT", "INFO")
        assert b" db=0 " in info and b" resp=2 " in info and b" name= " in info and b" multi=-1 " in info
    assert wire("PUBSUB", "NUMSUB", "channel") == [b"channel", 0]


def both_give(broker: Broker, redis: RedisServer, data: bytes) -> list[bytes]:
    """All the bytes that come back from each server until it closed; `data` ends with QUIT."""
    answers = []
    for port in (redis.port, broker.port):
        with Wire(port) as wire:
            wire.send_raw(encode("FLUSHALL") + data)
            answers.append(wire.read_to_end())
    return answers


REPLIES = {
    "off and on": [
        ["CLIENT", "REPLY", "OFF"],
        ["SET", "a", 1],
        ["PING"],
        ["BAD"],
        ["CLIENT", "REPLY", "ON"],
        ["GET", "a"],
    ],
    "skip": [["CLIENT", "REPLY", "SKIP"], ["SET", "a", 1], ["GET", "a"], ["PING"]],
    "skip twice": [["CLIENT", "REPLY", "SKIP"], ["CLIENT", "REPLY", "SKIP"], ["PING"], ["ECHO", "x"]],
    "skip an error": [["CLIENT", "REPLY", "SKIP"], ["BAD"], ["PING"]],
    "skip while off": [["CLIENT", "REPLY", "OFF"], ["CLIENT", "REPLY", "SKIP"], ["PING"], ["CLIENT", "REPLY", "ON"]],
    "an array skipped": [["RPUSH", "l", 1, 2], ["CLIENT", "REPLY", "SKIP"], ["LRANGE", "l", 0, -1], ["LLEN", "l"]],
    "a time-out skipped": [["CLIENT", "REPLY", "SKIP"], ["BLPOP", "none", "0.01"], ["PING"]],
    "a time-out while off": [
        ["CLIENT", "REPLY", "OFF"],
        ["BLPOP", "none", "0.01"],
        ["CLIENT", "REPLY", "ON"],
        ["PING"],
    ],
    "quit while off": [["CLIENT", "REPLY", "OFF"], ["PING"]],
    "no such mode": [["CLIENT", "REPLY", "MAYBE"], ["PING"]],
}


@pytest.mark.parametrize("name", REPLIES)
def test_client_reply_withholds_what_a_real_server_withholds(broker: Broker, redis: RedisServer, name: str) -> None:
    theirs, ours = both_give(broker, redis, b"".join(encode(*argv) for argv in [*REPLIES[name], ["QUIT"]]))
    assert ours == theirs


def test_a_waiting_request_whose_reply_is_withheld_still_takes_its_element(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port) as other:
        other("CLIENT", "SETNAME", "waiter")
        other.send_raw(encode("CLIENT", "REPLY", "OFF") + encode("BLPOP", "list", 0))
        other.send_raw(encode("SET", "after", 1) + encode("CLIENT", "REPLY", "ON"))
        eventually(lambda: b"flags=b" in wire("CLIENT", "LIST"), what="the client waiting")
        assert wire("RPUSH", "list", "x") == 1
        assert other.read() == "OK"
        assert wire("LLEN", "list") == 0
        assert wire("GET", "after") == b"1"


# -- RESP2 and RESP3


def test_a_resp2_subscriber_may_do_little_else(broker: Broker, redis: RedisServer) -> None:
    requests = [["SUBSCRIBE", "a", "b"], ["PSUBSCRIBE", "c*"], ["GET", "x"], ["PING"], ["PING", "hi"], ["ECHO", "x"]]
    requests += [
        ["UNSUBSCRIBE", "a"],
        ["set", "x", 1],
        ["UNSUBSCRIBE"],
        ["PUNSUBSCRIBE"],
        ["GET", "x"],
        ["UNSUBSCRIBE"],
    ]
    theirs, ours = both_give(broker, redis, b"".join(encode(*argv) for argv in [*requests, ["QUIT"]]))
    assert ours == theirs


def test_a_resp3_subscriber_goes_on_as_before_and_gets_pushes(broker: Broker, wire: Wire) -> None:
    with Wire(broker.port) as other:
        assert other("HELLO", 3)[b"proto"] == 3
        assert other("SUBSCRIBE", "channel") == Push([b"subscribe", b"channel", 1])
        assert other("SET", "a", 1) == "OK"
        assert other("GET", "none") is None
        assert wire("PUBLISH", "channel", "one") == 1
        assert other.read() == Push([b"message", b"channel", b"one"])
        other.send("PUBLISH", "channel", "two")
        got = [other.read(), other.read()]
        assert Push([b"message", b"channel", b"two"]) in got and 1 in got
        assert other("PING") == "PONG"


def test_protocol_versions_change_in_the_middle_of_a_pipeline(broker: Broker, redis: RedisServer) -> None:
    requests = [["HSET", "h", "f", "v"], ["HGETALL", "h"], ["GET", "none"], ["BLPOP", "none", "0.01"]]
    for port in (broker.port, redis.port):
        with Wire(port) as wire:
            wire("DEL", "h")
            wire.send_raw(b"".join(encode(*argv) for argv in [*requests, ["HELLO", 3], *requests[1:], ["HELLO", 2]]))
            assert [wire.read() for _ in range(4)] == [1, [b"f", b"v"], None, None]
            assert wire.read()[b"proto"] == 3
            assert [wire.read() for _ in range(3)] == [{b"f": b"v"}, None, None]
            assert b"proto" in wire.read()
    with Wire(broker.port) as wire:
        assert wire("HELLO", 4) == "NOPROTO unsupported protocol version"
        assert isinstance(wire("HELLO", "x"), Error)
        assert wire("PING") == "PONG"
