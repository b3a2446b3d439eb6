"""Every test here runs against redis-server and against our own broker."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis
import structlog
from coredis import Redis
from support.worker_server import KINDS, Server
from support.workers import AS_PLAIN, PlainUrl, log_plainly

from consumers.connection import open_client


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    log_plainly()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def shared_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """By kind; each is started when it is first asked for."""
    started: dict[str, Server] = {}

    def server(kind: str) -> Server:
        if kind not in started:
            started[kind] = Server(kind, tmp_path_factory.mktemp(kind))
            started[kind].start()
        return started[kind]

    try:
        yield server
    finally:
        for one in started.values():
            one.kill()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "broker_url" in metafunc.fixturenames:
        more = [AS_PLAIN] if getattr(metafunc.module, "AS_PLAIN_TOO", False) else []
        metafunc.parametrize("broker_url", [*KINDS, *more], indirect=True)


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, shared_servers: Callable[[str], Server]) -> str:
    """The address of an empty server. A module with AS_PLAIN_TOO has our broker also as if it were a Redis."""
    server = shared_servers("millstream" if request.param == AS_PLAIN else request.param)
    with redis.Redis.from_url(server.url, protocol=2) as client:
        client.flushall()
    return PlainUrl(server.url) if request.param == AS_PLAIN else server.url


@pytest.fixture(params=KINDS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill and start again."""
    server = Server(request.param, tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def client(broker_url: str) -> AsyncIterator[Redis[bytes]]:
    async with open_client(broker_url) as opened:
        yield opened
