"""The pool of connections, and riding out."""

import pytest
import trio
from coredis.exceptions import ConnectionError as LostConnection
from coredis.exceptions import ResponseError
from structlog.testing import capture_logs

from consumers.connection import open_client, ride_out


async def test_cancelled_reads_cost_no_slot_of_the_pool(broker_url: str) -> None:
    async with open_client(broker_url) as client:
        await client.xgroup_create("s", "g", identifier="0", mkstream=True)
        free = len(client.connection_pool._available_connections)
        for _ in range(5):
            with trio.move_on_after(0.02):
                await client.xreadgroup("g", "me", {"s": ">"}, block=5000)
            assert await client.ping() == b"PONG"
        assert len(client.connection_pool._available_connections) == free


async def test_failed_and_cancelled_attempts_to_connect_cost_no_slot(unused_url: str) -> None:
    async with open_client(unused_url) as client:
        free = len(client.connection_pool._available_connections)
        for _ in range(3):
            with pytest.raises(LostConnection):
                await client.ping()
            with trio.CancelScope() as scope:
                scope.cancel()
                await client.ping()
        assert len(client.connection_pool._available_connections) == free


@pytest.fixture
def unused_url() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{probe.getsockname()[1]}"


async def test_a_lost_connection_is_ridden_out_and_told_of_once(autojump_clock: trio.testing.MockClock) -> None:
    failures = [LostConnection("gone"), TimeoutError(), ConnectionRefusedError()]

    async def operation() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    with capture_logs() as logs:
        assert await ride_out(operation, "testing") == "done"
    assert [(line["event"], line.get("attempts")) for line in logs] == [
        ("connection.lost", None),
        ("connection.restored", 3),
    ]
    assert 0.1 < trio.current_time() < 1.0


async def test_a_refusal_is_not_ridden_out() -> None:
    async def operation() -> None:
        raise ResponseError("OOM")

    with pytest.raises(ResponseError):
        await ride_out(operation, "testing")
