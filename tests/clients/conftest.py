"""One server for the tests of a file."""

from collections.abc import Iterator

import pytest
from support.servers import Broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), "--appendonly", "no") as server:
        yield server
        bugs = [event for event in server.events() if event["event"] == "command.bug"]
        assert server.stop() == 0
        assert not bugs
