"""The same tests on our server and on redis-server: the inspector asks both the same."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from support.servers import Broker, RedisServer, ServerProcess
from typer.testing import CliRunner, Result

from broker.cli import make_app


@pytest.fixture(scope="module", params=["millstream", "redis"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp(request.param)
    with Broker(folder, "--appendonly", "no") if request.param == "millstream" else RedisServer(folder) as running:
        yield running


@pytest.fixture
def is_ours(server: ServerProcess) -> bool:
    return isinstance(server, Broker)


@pytest.fixture
def client(server: ServerProcess) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def url(server: ServerProcess) -> str:
    return server.url


class Terminal:
    """Runs sub-commands as the shell does, in this process."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, *words: object, status: int = 0, url: str = "", text: str | None = None) -> Result:
        name, *rest = [str(word) for word in words]
        result = CliRunner().invoke(make_app([name]), [name, *rest, "--url", url or self.url], input=text)
        assert result.exit_code == status, (result.output, result.exception)
        return result

    def rows(self, *words: object) -> list[list[str]]:
        """Of a table: the cells of each line."""
        return rows(self(*words).stdout)

    def json(self, *words: object) -> Any:
        return json.loads(self(*words, "--json").stdout)


def rows(text: str) -> list[list[str]]:
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def run(url: str) -> Terminal:
    return Terminal(url)
