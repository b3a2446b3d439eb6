"""Which time a request sees: that of its turn, read anew when the turn takes long, but never in mid-transaction."""

import time
from typing import Any

import pytest
from support.engine import Client, Harness, plain


class Slow(Harness):
    """Where DEBUG LOG takes a second by the clock of the test, and two real milliseconds, which the engine notices."""

    def __init__(self) -> None:
        super().__init__()
        self.control.log = self.pass_time  # type: ignore[method-assign]

    def pass_time(self, message: str) -> None:
        time.sleep(0.002)
        self.time.advance(1)

    def one_turn(self, client: Client, *requests: str) -> list[Any]:
        self.engine.begin_turn()
        replies = [plain(self.engine.execute(client.ctx, request.encode().split())) for request in requests]
        self.engine.end_turn()
        return replies


@pytest.fixture
def slow() -> Slow:
    return Slow()


def test_what_expires_during_a_slow_request_is_gone_for_the_next_one_of_its_turn(slow: Slow) -> None:
    replies = slow.one_turn(slow.main, "SET k v PX 500", "DEBUG LOG x", "GET k", "TTL k")
    assert replies == ["OK", "OK", None, -2]
    assert slow.journal()[-1] == [b"DEL", b"k"]


def test_so_is_a_field_of_a_hash(slow: Slow) -> None:
    slow.run("HSET h f 1 g 2")
    replies = slow.one_turn(slow.main, "HPEXPIRE h 500 FIELDS 1 f", "DEBUG LOG x", "HLEN h", "HGETALL h")
    assert replies == [[1], "OK", 1, [b"g", b"2"]]
    assert slow.journal()[-1] == [b"HDEL", b"h", b"f"]


def test_the_clock_is_not_read_for_each_request(slow: Slow) -> None:
    slow.engine.begin_turn()
    slow.engine.execute(slow.main.ctx, b"SET k v PX 500".split())
    slow.time.advance(1)
    assert slow.engine.execute(slow.main.ctx, [b"GET", b"k"]) == b"v", "the turn has not taken a millisecond"
    assert slow.run("GET k") is None


def test_time_stands_still_in_a_transaction(slow: Slow) -> None:
    requests = (
        "MULTI",
        "SET k v PX 500",
        "TIME",
        "DEBUG LOG x",
        "TIME",
        "PTTL k",
        "XADD s * a 1",
        "EXEC",
        "GET k",
        "TIME",
    )
    *_, executed, after, time_after = slow.one_turn(slow.main, *requests)
    assert executed[1] == executed[3]
    assert executed[4] == 500
    assert executed[5] == executed[1][0] + b"000-0"
    assert after is None
    assert time_after == [b"%d" % (int(executed[1][0]) + 1), b"0"]


def test_time_stands_still_in_a_script(slow: Slow) -> None:
    slow.run("DEBUG SET-DISABLE-DENY-SCRIPTS 1")
    body = """
        redis.call('SET', 'k', 'v', 'PX', 500)
        local before = redis.call('TIME')[1]
        redis.call('DEBUG', 'LOG', 'x')
        return {before == redis.call('TIME')[1], redis.call('GET', 'k')}
    """
    first, second = (slow.run("EVAL", body, 0) for _ in range(2))
    assert first == second == [1, b"v"]
    assert slow.run("GET k") is None
    assert slow.run("MULTI") == "OK"
    for request in ("TIME", "DEBUG LOG x"):
        slow.run(request)
    slow.run("EVAL", "return redis.call('TIME')[1]", 0)
    replies = slow.run("EXEC")
    assert replies[2] == replies[0][0], "that of the transaction around it"


def test_who_is_served_after_a_slow_transaction_does_not_get_what_expired_in_it(slow: Slow) -> None:
    waiter = slow.client()
    waiter.raw("BLPOP l 0")
    slow.one_turn(slow.main, "MULTI", "RPUSH l a", "PEXPIRE l 500", "DEBUG LOG x", "EXEC")
    assert waiter.received() == b""
    slow.run("RPUSH l b")
    assert waiter.received() == b"*2\r\n$1\r\nl\r\n$1\r\nb\r\n"
