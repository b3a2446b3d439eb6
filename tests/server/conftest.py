"""One server for the tests of a file that leave no traces."""

from collections.abc import Iterator

import pytest
from support.servers import Broker, RedisServer
from support.wire import Wire


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), "--appendonly", "no") as server:
        yield server
        assert server.stop() == 0


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def wire(broker: Broker) -> Iterator[Wire]:
    with Wire(broker.port) as wire:
        wire("FLUSHALL")
        yield wire
