"""The three paths over a real socket."""

import http.client
import socket

import pytest
import structlog
import trio

from broker.observability.http import serve_http
from broker.observability.metrics import CommandStat


class Server:
    """A server's state, to be set by hand."""

    def __init__(self):
        self.why = None
        self.broken = False

    @property
    def statistics(self):
        return self

    def unready(self):
        return self.why

    def info(self):
        if self.broken:
            raise RuntimeError("a bug")
        return {"connected_clients": 4}

    def command_stats(self):
        return [CommandStat("get", 1, 2, 3, 4)]

    def keyspace(self):
        return [(0, 1, 0)]


def ask_blocking(port, method, path, headers, host):
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


async def ask(port, method, path, headers=None, host="127.0.0.1"):
    return await trio.to_thread.run_sync(ask_blocking, port, method, path, headers, host)


@pytest.fixture
def state():
    return Server()


@pytest.fixture
async def port(nursery, state):
    return await nursery.start(serve_http, "127.0.0.1", 0, state)


async def test_metrics_are_served_in_the_form_of_prometheus(port):
    status, body, headers = await ask(port, "GET", "/metrics")
    assert status == 200
    assert b"millstream_connected_clients 4.0" in body
    assert b'millstream_command_calls_total{command="get"} 1.0' in body
    assert headers["content-type"].startswith("text/plain; version=")
    assert "server" not in headers


async def test_the_accept_header_chooses_the_form(port):
    _, body, headers = await ask(port, "GET", "/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


async def test_health_needs_no_readiness(port, state):
    state.why = "loading the log"
    assert (await ask(port, "GET", "/healthz"))[:2] == (200, b"ok\n")


async def test_readiness_comes_and_goes_with_its_reason(port, state):
    state.why = "loading the log"
    assert (await ask(port, "GET", "/readyz"))[:2] == (503, b"loading the log\n")
    state.why = None
    assert (await ask(port, "GET", "/readyz"))[:2] == (200, b"ready\n")


async def test_other_paths_and_methods_are_refused(port):
    assert (await ask(port, "GET", "/"))[0] == 404
    assert (await ask(port, "POST", "/metricsx"))[0] == 404
    status, _, headers = await ask(port, "POST", "/metrics")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


async def test_head_gives_the_headers_alone(port):
    status, body, headers = await ask(port, "HEAD", "/healthz")
    assert (status, body, headers["content-length"]) == (200, b"", "3")


async def test_a_query_does_not_change_the_path(port):
    assert (await ask(port, "GET", "/healthz?x=1"))[0] == 200


async def test_a_bug_while_answering_is_logged_and_costs_one_answer(port, state):
    state.broken = True
    with structlog.testing.capture_logs() as logged:
        assert (await ask(port, "GET", "/metrics"))[0] == 500
    assert [(entry["event"], entry["log_level"]) for entry in logged] == [("http.failed", "error")]
    state.broken = False
    assert (await ask(port, "GET", "/metrics"))[0] == 200


async def test_rubbish_is_answered_or_cut_and_the_next_one_is_served(port):
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(b"\x00\xff\r\n\r\n" * 10)
        with trio.fail_after(5):
            answer = await stream.receive_some(1000)
    assert answer == b"" or b" 400 " in answer
    assert (await ask(port, "GET", "/healthz"))[0] == 200


async def test_an_ipv6_address_works_too(nursery, state):
    try:
        port = await nursery.start(serve_http, "::1", 0, state)
    except OSError:
        pytest.skip("this host has no IPv6")
    assert (await ask(port, "GET", "/healthz", host="::1"))[0] == 200


async def test_an_address_in_use_is_a_plain_error(state):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            await serve_http("127.0.0.1", taken.getsockname()[1], state)


async def test_cancellation_ends_it_with_a_client_connected(state):
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(serve_http, "127.0.0.1", 0, state)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert b" 200 " in await stream.receive_some(1000)
                nursery.cancel_scope.cancel()
    with pytest.raises(OSError):
        await trio.open_tcp_stream("127.0.0.1", port)
