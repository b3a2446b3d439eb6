"""INFO: which sections there are, in which order, and what those say that no other test asks for."""

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from support.info_fields import FIELDS

from broker.config import load
from broker.protocol.replies import NOTHING, Reply, Verbatim
from broker.server.server import Server

# As Redis 8.9 has them.
SECTIONS = (
    "Server Clients Memory Persistence Threads Stats Replication CPU Hotkeys Modules Commandstats Errorstats "
    "Latencystats Cluster Keyspace Keysizes"
).split()
ONLY_WHEN_ASKED = ["Commandstats", "Latencystats"]

Ask = Callable[..., Reply]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A server takes over the collector of its process; give it back."""
    yield tmp_path
    gc.unfreeze()
    gc.enable()


@asynccontextmanager
async def serving(folder: Path, *options: str) -> AsyncIterator[tuple[Server, Ask]]:
    server = Server(load(None, ["--port", "0", "--dir", str(folder), "--appendonly", "no", *options]))
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            ctx = server.engine.open_session()

            def ask(*words: str) -> Reply:
                server.engine.begin_turn()
                reply = server.engine.execute(ctx, [word.encode() for word in words])
                return reply.text if isinstance(reply, Verbatim) else reply

            yield server, ask
            server.shutdown.ask()


def titles(text: Reply) -> list[str]:
    assert isinstance(text, bytes)
    return [line[2:] for line in text.decode().splitlines() if line.startswith("# ")]


async def test_sections_come_in_the_order_of_redis(folder: Path) -> None:
    async with serving(folder) as (_, ask):
        assert titles(ask("INFO", "everything")) == titles(ask("INFO", "all")) == SECTIONS
        default = [section for section in SECTIONS if section not in ONLY_WHEN_ASKED]
        assert titles(ask("INFO")) == titles(ask("INFO", "default")) == default
        assert titles(ask("INFO", "keysizes", "SERVER", "nosuch")) == ["Server", "Keysizes"]
        assert ask("INFO", "nosuch") == b""
        assert titles(ask("INFO", "default", "commandstats")) == [*default[:10], "Commandstats", *default[10:]]


# Of the compiler, of which there may be none, and what belongs to users and replicas.
NOT_TOLD = {"atomicvar_api", "gcc_version"}
NOT_YET = ("acl_access_denied_", "total_net_repl_", "instantaneous_input_repl_", "instantaneous_output_repl_")


async def test_every_field_of_redis_is_told(folder: Path) -> None:
    async with serving(folder) as (_, ask):
        text = ask("INFO", "everything")
        assert isinstance(text, bytes)
        for section in text.decode().split("\r\n\r\n"):
            title, *lines = section.splitlines()
            told = {line.split(":")[0] for line in lines}
            missing = set(FIELDS.get(title[2:], "").split()) - told - NOT_TOLD
            assert not [name for name in missing if not name.startswith(NOT_YET)], title


async def test_what_came_together_and_took_long_is_counted(folder: Path) -> None:
    async with serving(folder, "--slowlog-log-slower-than", "1000") as (server, ask):
        ask("DEBUG", "SLEEP", "0.002")
        text = ask("INFO", "stats")
        assert b"slowlog_commands_count:1\r\n" in text
        ask("SET", "k", "v", "PX", "1")
        ask("SET", "j", "v", "PX", "1")
        server.engine.clock.wall = lambda: 33_000_000_000.0
        ask("GET", "k")
        server.engine.end_turn()
        text = ask("INFO", "stats")
        assert b"expired_keys:2\r\nexpired_keys_active:1\r\n" in text
        ask("CONFIG", "RESETSTAT")
        text = ask("INFO", "stats")
        assert b"slowlog_commands_count:0\r\nslowlog_commands_time_ms_max:0.00\r\n" in text
        assert b"expired_keys:0\r\nexpired_keys_active:0\r\n" in text


async def test_debug_is_told_to_who_asks_for_it(folder: Path) -> None:
    async with serving(folder) as (server, ask):
        server.hub.wake()
        server.hub.turn()
        lines = ask("INFO", "debug")
        assert isinstance(lines, bytes)
        fields = dict(line.split(b":") for line in lines.split()[2:])
        assert list(fields) == [
            b"eventloop_duration_aof_sum",
            b"eventloop_duration_cron_sum",
            b"eventloop_duration_max",
            b"eventloop_cmd_per_cycle_max",
        ]
        assert int(fields[b"eventloop_duration_max"]) > 0
        ask("CONFIG", "RESETSTAT")
        assert b"eventloop_duration_max:0\r\n" in ask("INFO", "debug")


async def test_the_sizes_of_keys_are_told(folder: Path) -> None:
    async with serving(folder) as (_, ask):
        assert ask("INFO", "keysizes") == b"# Keysizes\r\n"
        ask("RPUSH", "l", "a", "b", "c")
        ask("SET", "s", "x" * 5000)
        expected = b"# Keysizes\r\ndb0_distrib_strings_sizes:4K=1\r\ndb0_distrib_lists_items:2=1\r\n"
        assert ask("INFO", "keysizes") == expected
        ask("DEL", "s")
        assert expected.split(b"\r\n")[1] not in ask("INFO")


async def test_of_many_keys_the_sizes_are_counted_in_steps(folder: Path) -> None:
    """Without a name INFO then shows what was counted last."""
    async with serving(folder) as (server, ask):
        for i in range(9000):
            ask("SET", f"k{i}", "x" * (i % 3))
        assert titles(ask("INFO"))[-1] == "Keysizes"
        assert b"distrib" not in ask("INFO")
        server.engine.pause(2**60, writes_only=True)
        assert ask("INFO", "keysizes") is NOTHING
        turns = 0
        while server.engine.unfinished():
            server.engine.end_turn()
            turns += 1
        assert turns == 2, "also while nothing may be written"
        assert b"db0_distrib_strings_sizes:0=3000,1=3000,2=3000\r\n" in ask("INFO")
