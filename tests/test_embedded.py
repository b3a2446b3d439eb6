"""`open_broker`: a broker inside a program of Trio, with its clock, its errors and its cancellation."""

import gc
import re
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
import trio
import trio.lowlevel
import trio.testing
from support.inside import Client

import broker
from broker.clock import Clock
from broker.config import ConfigError
from broker.server.listeners import ListenError

PAGE = Path(__file__).parents[1] / "docs" / "embedded.md"


@asynccontextmanager
async def client_of(b):
    async with await trio.open_tcp_stream("127.0.0.1", b.port) as stream:
        yield Client(stream)


async def time_of(ask):
    return int(await ask("EVAL", "return redis.call('TIME')[1]", 0))


async def is_closed(port):
    try:
        await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
    except OSError:
        return True
    return False


async def test_a_broker_answers_on_a_port_of_its_own_and_is_gone_afterwards(capsys):
    async with broker.open_broker() as b, client_of(b) as ask:
        assert b.url == f"redis://127.0.0.1:{b.port}"
        assert await ask("SET", "k", "v") == b"+OK"
        assert await ask("GET", "k") == b"v"
        assert await ask("CONFIG", "SET", "loglevel", "debug") == b"+OK"
    assert await is_closed(b.port)
    assert capsys.readouterr() == ("", "")


async def test_two_at_once_know_nothing_of_each_other():
    async with broker.open_broker() as one, broker.open_broker() as two:
        assert one.port != two.port
        async with client_of(one) as ask_one, client_of(two) as ask_two:
            await ask_one("SET", "k", "1")
            assert await ask_two("GET", "k") == b"$-1"
            await one.advance(100)
            assert 99 <= await time_of(ask_one) - await time_of(ask_two) <= 101


async def test_what_is_in_a_folder_is_there_again(tmp_path):
    folder = tmp_path / "data"
    async with broker.open_broker(dir=folder) as b, client_of(b) as ask:
        await ask("XADD", "s", "5-1", "f", "v")
    async with broker.open_broker(dir=str(folder)) as b, client_of(b) as ask:
        assert await ask("XLEN", "s") == b":1"


async def test_settings_go_by_the_names_of_the_server():
    async with broker.open_broker(maxmemory="100mb", requirepass="a b/c", save=["900", "1"], lazyfree_lazy_expire=True,
                                  appendfsync="always", maxclients=7) as b:  # fmt: skip
        assert b.url == f"redis://:a%20b%2Fc@127.0.0.1:{b.port}"
        with redis.Redis.from_url(b.url, protocol=2) as client:
            found = await trio.to_thread.run_sync(client.config_get, "*")
    assert found["maxmemory"] == str(100 << 20)
    assert (found["save"], found["maxclients"], found["appendfsync"]) == ("900 1", "7", "always")


async def test_a_unix_socket_will_do(tmp_path):
    path = tmp_path / "socket"
    async with broker.open_broker(unixsocket=path) as b:
        assert (b.port, b.url) == (0, f"unix://{path}")
        async with await trio.open_unix_socket(path) as stream:
            assert await Client(stream)("PING") == b"+PONG"
    assert not path.exists()


async def test_what_can_not_start_says_why_without_a_group(tmp_path):
    with pytest.raises(ConfigError, match="no-such-thing"):
        async with broker.open_broker(no_such_thing=1):
            raise AssertionError("it started")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ListenError):
            async with broker.open_broker(port=taken.getsockname()[1]):
                raise AssertionError("it started")
    async with broker.open_broker(dir=tmp_path):
        with pytest.raises(OSError):
            async with broker.open_broker(dir=tmp_path):
                raise AssertionError("it started")


async def test_the_error_of_the_program_comes_as_it_is_and_the_data_is_kept(tmp_path):
    error = KeyError("mine")

    async def fail():
        async with broker.open_broker(dir=tmp_path) as b, client_of(b) as ask:
            await ask("SET", "k", "v")
            raise error

    with pytest.raises(KeyError) as caught:
        await fail()
    assert caught.value is error
    async with broker.open_broker(dir=tmp_path) as b, client_of(b) as ask:
        assert await ask("GET", "k") == b"v"


async def test_cancellation_ends_it_in_order(tmp_path):
    with trio.CancelScope() as scope:
        async with broker.open_broker(dir=tmp_path) as b, client_of(b) as ask:
            await ask("SET", "k", "v")
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert await is_closed(b.port)
    async with broker.open_broker(dir=tmp_path) as b, client_of(b) as ask:
        assert await ask("GET", "k") == b"v"


async def test_a_bug_in_the_server_ends_the_program_with_that_bug():
    class Broken(Clock):
        broken = False

        def __init__(self):
            super().__init__(wall=self.look)

        def look(self):
            if self.broken:
                raise ZeroDivisionError
            return 1e9

    clock = Broken()

    async def go_on():
        async with broker.open_broker(clock=clock) as b:
            async with await trio.open_tcp_stream("127.0.0.1", b.port) as stream:
                clock.broken = True
                await stream.send_all(b"PING\r\n")
                await trio.sleep_forever()

    with pytest.raises(ZeroDivisionError):
        await go_on()


async def test_shutdown_by_a_client_leaves_the_program_running():
    async with broker.open_broker() as b:
        async with await trio.open_tcp_stream("127.0.0.1", b.port) as stream:
            await stream.send_all(b"SHUTDOWN NOSAVE\r\n")
            assert await stream.receive_some() == b""
        await trio.lowlevel.checkpoint()
    assert await is_closed(b.port)


async def test_collection_of_garbage_stays_with_the_program():
    frozen = gc.get_freeze_count()
    async with broker.open_broker() as b, client_of(b) as ask:
        await ask("PING")
        assert gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() == frozen


# Time


async def test_time_goes_as_the_machine_has_it_unless_told_otherwise():
    async with broker.open_broker() as b, client_of(b) as ask:
        assert abs(await time_of(ask) - time.time()) < 5


async def test_advancing_lets_keys_expire_and_wakes_who_waits():
    async with broker.open_broker() as b, client_of(b) as ask:
        await ask("SET", "k", "v", "EX", 3600)
        waiting = await trio.open_tcp_stream("127.0.0.1", b.port)
        await waiting.send_all(b"BLPOP nothing 60\r\n")
        while b"blocked_clients:1" not in await ask("INFO", "clients"):
            await trio.lowlevel.checkpoint()
        await b.advance(59)
        assert await ask("EXISTS", "k") == b":1"
        await b.advance(1)
        with trio.fail_after(5):
            assert await waiting.receive_some() == b"*-1\r\n"
        await waiting.aclose()
        await b.advance(3541)
        assert await ask("DBSIZE") == b":0"
    with pytest.raises(ValueError):
        await b.advance(-1)


async def test_a_clock_of_the_program_s_own_is_followed():
    now = 1_000_000_000.0
    async with broker.open_broker(clock=Clock(lambda: now, lambda: now)) as b, client_of(b) as ask:
        assert await ask("XADD", "s", "*", "f", "v") == b"1000000000000-0"
        now += 5
        assert await ask("XADD", "s", "*", "f", "v") == b"1000000005000-0"
        await b.advance(5)
        assert await ask("XADD", "s", "*", "f", "v") == b"1000000010000-0"


async def test_a_mock_clock_of_trio_is_the_broker_s_too(autojump_clock):
    """Delays jump: of the program's and of the broker's, in the order in which they fall due."""
    async with broker.open_broker() as b, client_of(b) as ask:
        began = trio.current_time()
        await ask("SET", "k", "v", "PX", 100_000)
        await trio.sleep(99)
        assert await ask("EXISTS", "k") == b":1"
        await trio.sleep(1.1)
        assert await ask("EXISTS", "k") == b":0"
        assert await ask("BLPOP", "nothing", 1000) == b"*-1"
        assert 1100 <= trio.current_time() - began < 1101


async def test_a_broker_at_rest_wakes_nobody_up(autojump_clock):
    """Else a delay of days would be as many jumps of a mock clock as it has seconds."""

    class Steps(trio.abc.Instrument):
        taken = 0

        def before_task_step(self, task):
            self.taken += 1

    async with broker.open_broker() as b, client_of(b) as ask:
        await ask("SET", "k", "v", "EX", 80000)
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        await trio.sleep(80001)
        assert steps.taken < 100
        assert await ask("EXISTS", "k") == b":0"
        await trio.sleep(2)
        assert "instantaneous_ops_per_sec:0" in (await ask("INFO", "stats")).decode()


async def test_advancing_moves_a_mock_clock(mock_clock):
    async with broker.open_broker() as b, client_of(b) as ask:
        began = trio.current_time()
        await ask("SET", "k", "v", "EX", 10)
        await b.advance(10)
        assert trio.current_time() == began + 10
        assert await ask("DBSIZE") == b":0"


# The page


def blocks():
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(3))
def test_the_programs_of_the_page_run(number, tmp_path, monkeypatch, capsys):
    found = blocks()
    assert len(found) == 3
    source = found[number]
    monkeypatch.chdir(tmp_path)
    expected = re.findall(r"# prints (.*)$", source, re.MULTILINE)
    assert expected
    module: dict[str, object] = {"__name__": "__main__"}
    exec(compile(source, f"{PAGE.name}, block {number}", "exec"), module)
    assert capsys.readouterr().out.splitlines() == expected


def test_importing_the_package_imports_no_server():
    """Tests of clients import `broker` where nothing of it is needed, and a program does not import trio.testing."""
    script = (
        "import sys, broker; print(sorted(name for name in sys.modules if name in ('trio', 'broker.embedded')));"
        "from broker import open_broker; print('trio.testing' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(Path(broker.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "[]\nFalse\n"
    with pytest.raises(AttributeError):
        broker.nothing
