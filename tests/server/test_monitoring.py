"""/metrics, /healthz and /readyz of a running server."""

import http.client
import re
from collections.abc import Iterator

import pytest
from support.servers import Broker, free_port
from support.wire import Wire


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Broker, int]]:
    port = free_port()
    options = ["--appendonly", "no", "--http-port", str(port)]
    with Broker(tmp_path_factory.mktemp("monitored"), *options) as server:
        yield server, port
        assert server.stop() == 0


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_health_and_readiness_are_told(monitored: tuple[Broker, int]) -> None:
    _, port = monitored
    assert get(port, "/healthz")[0] == 200
    assert get(port, "/readyz")[0] == 200
    assert get(port, "/nothing")[0] == 404
    assert get(port, "/metrics", "POST")[0] == 405


def test_the_port_is_in_the_line_that_tells_that_it_is_ready(monitored: tuple[Broker, int]) -> None:
    server, port = monitored
    ready = next(event for event in server.events() if event["event"] == "Ready to accept connections")
    assert ready["http_port"] == port


def test_metrics_follow_what_happens(monitored: tuple[Broker, int]) -> None:
    server, port = monitored
    with Wire(server.port) as wire:
        for i in range(7):
            wire("SET", f"k{i}", "v")
        wire("GET")
        status, text = get(port, "/metrics")
        assert status == 200
        assert re.search(r'calls\w*\{[^}]*"set"[^}]*\} 7(\.0)?$', text, re.MULTILINE)
        assert re.search(r"connected_clients 1(\.0)?$", text, re.MULTILINE)
        assert re.search(r"keys\{[^}]*\} 7(\.0)?$", text, re.MULTILINE)
