"""Every test here runs against redis-server and against our own broker."""

from collections.abc import Iterator

import pytest
import redis
import structlog
from support.worker_server import KINDS, Server
from support.workers import log_plainly


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    log_plainly()
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", params=KINDS)
def shared_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(request.param, tmp_path_factory.mktemp(request.param))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture
def broker_url(shared_server: Server) -> str:
    """The address of an empty server."""
    with redis.Redis.from_url(shared_server.url, protocol=2) as client:
        client.flushall()
    return shared_server.url
