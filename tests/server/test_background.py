"""What happens by itself: time-outs and expiry, with nothing else going on."""

import time

import pytest
import trio
import trio.testing
from support.servers import Broker, eventually
from support.wire import Push, Wire

from broker.server.background import Timer
from broker.server.statistics import Statistics


@pytest.mark.parametrize("milliseconds", [1, 20, 250])
def test_a_wait_ends_within_milliseconds_of_its_time(wire: Wire, milliseconds: int) -> None:
    late = []
    for _ in range(5):
        start = time.monotonic()
        assert wire("BLPOP", "none", milliseconds / 1000) is None
        late.append((time.monotonic() - start) * 1000 - milliseconds)
    assert min(late) < 8, "other load on the machine may spoil some, not all"
    assert min(late) > -1.5, "and never before"


def test_many_waits_end_each_at_its_own_time(broker: Broker) -> None:
    clients = [Wire(broker.port) for _ in range(20)]
    start = time.monotonic()
    for i, client in enumerate(clients):
        client.send("BLPOP", "none", 0.5 - i * 0.02)
    for i, client in reversed(list(enumerate(clients))):
        assert client.read() is None
        assert time.monotonic() - start > 0.5 - i * 0.02 - 0.002
        client.close()
    assert time.monotonic() - start < 3


def test_a_key_expires_and_tells_so_without_anybody_asking(broker: Broker, wire: Wire) -> None:
    wire("CONFIG", "SET", "notify-keyspace-events", "KEx")
    with Wire(broker.port) as listener:
        listener("HELLO", 3)
        listener("PSUBSCRIBE", "__key*@*__:*")
        start = time.monotonic()
        wire("SET", "short", "x", "PX", 100)
        assert listener.read() == Push([b"pmessage", b"__key*@*__:*", b"__keyspace@0__:short", b"expired"])
        assert 0.09 < time.monotonic() - start < 1
        assert listener.read() == Push([b"pmessage", b"__key*@*__:*", b"__keyevent@0__:expired", b"short"])
        assert wire("DBSIZE") == 0
    wire("CONFIG", "SET", "notify-keyspace-events", "")


def test_many_keys_that_expire_at_once_are_all_removed_and_others_served_meanwhile(wire: Wire) -> None:
    wire("CONFIG", "RESETSTAT")
    before = int(wire("INFO", "stats").partition(b"expired_keys:")[2].partition(b"\r\n")[0])
    for start in range(0, 5000, 500):
        for i in range(start, start + 500):
            wire.send("SET", f"k{i}", "x", "PX", 150)
        assert [wire.read() for _ in range(500)] == ["OK"] * 500
    eventually(lambda: wire("DBSIZE") == 0, what="all of them gone")
    assert int(wire("INFO", "stats").partition(b"expired_keys:")[2].partition(b"\r\n")[0]) - before == 5000


def test_an_idle_server_takes_no_time(broker: Broker, wire: Wire) -> None:
    """Nothing polls: with a client that waits, and a key that will expire, the processor is left alone."""
    wire("SET", "later", "x", "EX", 1000)
    with Wire(broker.port) as waiting:
        waiting.send("BLPOP", "none", 0.7)
        turns = int(wire("INFO", "stats").partition(b"\r\nturns:")[2].partition(b"\r\n")[0])
        assert waiting.read() is None
        assert int(wire("INFO", "stats").partition(b"\r\nturns:")[2].partition(b"\r\n")[0]) - turns < 30


# -- the timer alone, on a clock that jumps


Clock = trio.testing.MockClock


async def run_timer(seconds: float, settings: list[tuple[float, float | None]]) -> list[float]:
    """Set the timer at the given times; when it called."""
    fired: list[float] = []
    begin = trio.current_time()
    timer = Timer(lambda: fired.append(round(trio.current_time() - begin, 6)))
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(timer.run)
            for at, value in settings:
                await trio.sleep_until(begin + at)
                timer.set(value)
            await trio.sleep_forever()
    return fired


async def test_the_timer_calls_once_at_its_time(autojump_clock: Clock) -> None:
    assert await run_timer(100, [(0, 5)]) == [5]


async def test_setting_the_timer_again_replaces_its_time(autojump_clock: Clock) -> None:
    settings = [(0, 5), (1, 1.5), (10, 20), (11, None), (50, 1), (50.5, 3)]
    assert await run_timer(100, settings) == [2.5, 53.5]


async def test_a_timer_set_by_its_own_call_runs_on(autojump_clock: Clock) -> None:
    times: list[float] = []

    def due() -> None:
        times.append(trio.current_time() - begin)
        timer.set(2)

    begin = trio.current_time()
    timer = Timer(due)
    timer.set(1)
    with trio.move_on_after(6):
        await timer.run()
    assert times == [1, 3, 5]


def test_how_often_turns_come_and_how_long_they_take_is_averaged() -> None:
    statistics = Statistics()
    assert statistics.turn_us() == 0.0
    for second in range(1, 5):  # 20 turns a second, of a millisecond each
        statistics.sample_turns(second * 20, second * 0.02, float(second))
    assert round(statistics.turns.value) == 20
    assert round(statistics.turn_us()) == 1000
