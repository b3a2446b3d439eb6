"""CONFIG SET port and bind: the server listens elsewhere, and who is connected stays so."""

import socket
from pathlib import Path

import pytest
import trio
from support.inside import Client, serving
from support.servers import free_port


async def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        async with await trio.open_tcp_stream(host, port) as stream:
            return await Client(stream)("PING") == b"+PONG"
    except OSError:
        return False


async def test_the_port_can_change_while_clients_are_connected(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, client):
        old, new = server._facts.port, free_port()
        assert await client("CONFIG", "SET", "port", new) == b"+OK"
        assert await answers(new)
        assert not await answers(old)
        assert f"tcp_port:{new}".encode() in await client("INFO", "server")


async def test_a_port_that_is_taken_leaves_all_as_it_was(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, client):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            reply = await client("CONFIG", "SET", "port", other.getsockname()[1])
        assert reply == (
            b"-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. "
            b"Check server logs."
        )
        assert await client("PING") == b"+PONG"
        assert await answers(server._facts.port)


async def test_addresses_can_change_though_one_covers_another(tmp_path: Path) -> None:
    port = free_port()
    async with serving(tmp_path, "--port", str(port)) as (_, client):
        for addresses in ("*", "127.0.0.1", "127.0.0.1 -::1"):
            assert await client("CONFIG", "SET", "bind", addresses) == b"+OK"
            assert await answers(port)
        assert (await client("CONFIG", "SET", "bind", "203.0.113.1")).endswith(
            b"argument 'bind') - Failed to bind to specified addresses."
        )
        assert await answers(port)


@pytest.mark.parametrize("name", ["http-port", "http-host"])
async def test_what_can_not_change_can_be_set_to_what_it_is(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path) as (server, client):
        assert await client("CONFIG", "SET", name, server.config.get(name)) == b"+OK"
        other = {"http-port": "1", "http-host": "127.0.0.2"}[name]
        assert b"it can't be changed while the server runs" in await client("CONFIG", "SET", name, other)
