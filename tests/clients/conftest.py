"""Servers for the tests of this folder: one of ours for a file, or ours and redis-server for whole libraries."""

import shutil
from collections.abc import Iterator

import pytest
from support.servers import Broker, RedisServer, ServerProcess
from support.wire import Wire

from broker.version import is_compiled


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), "--appendonly", "no") as server:
        yield server
        end(server)


# What redis-server does needs no proof of each build of ours.
SERVERS = ["millstream"] if is_compiled() else ["millstream", "redis-server"]


@pytest.fixture(scope="session", params=SERVERS)
def running_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "millstream":
        with Broker(folder, "--appendonly", "yes") as ours:
            yield ours
            end(ours)
    elif shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    else:
        with RedisServer(folder) as theirs:
            yield theirs


@pytest.fixture
def server(running_server: ServerProcess) -> Iterator[ServerProcess]:
    """Ours, then redis-server, which shows that the test asks for what such a server does. Empty at first; what the
    library left in ours has to be the same out of the log and out of a snapshot."""
    with Wire(running_server.port) as wire:
        wire("FLUSHALL")
        wire("SCRIPT", "FLUSH")
        wire("FUNCTION", "FLUSH")
    yield running_server
    if isinstance(running_server, Broker):
        with Wire(running_server.port) as wire:
            assert_it_comes_back(wire)


def end(server: Broker) -> None:
    """No request of the tests may have met a bug."""
    bugs = [event for event in server.events() if event["event"] == "command.bug"]
    assert server.stop() == 0
    assert not bugs


def assert_it_comes_back(wire: Wire) -> None:
    keep_what_would_expire(wire)
    before = wire("DEBUG", "DIGEST"), wire("FUNCTION", "LIST", "WITHCODE")
    for way in ("LOADAOF", "RELOAD"):
        assert wire("DEBUG", way) == "OK"
        assert (wire("DEBUG", "DIGEST"), wire("FUNCTION", "LIST", "WITHCODE")) == before, way


def keep_what_would_expire(wire: Wire) -> None:
    """Otherwise it may be there before, and gone afterwards."""
    for number in range(3):  # Celery's results are in database 1
        wire("SELECT", number)
        for key in wire("KEYS", "*"):
            wire("PERSIST", key)
