"""What goes wrong is one plain line and status 1: a server that is away, dies, wants a password; a pipe that closes."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from support.servers import ENVIRONMENT, RedisServer, free_port
from typer.testing import CliRunner

from broker.cli import make_app
from broker.cli.client import without_password

EACH = [
    *(["streams"], ["groups"], ["consumers"], ["pending"], ["pending", "s", "g"], ["lag"], ["channels"], ["queues"]),
    *(["keys"], ["slowlog"], ["clients"], ["memory"], ["tail", "s"], ["tail", "s", "--follow"], ["read", "s"]),
    *(["replay", "s", "-", "+", "--into", "t"], ["export", "s"], ["claim", "s", "g", "c"], ["ack", "s", "g", "1-1"]),
    *(["trim", "s", "--keep", "1", "-y"], ["dlq", "ls"], ["dlq", "show", "s"], ["dlq", "retry", "s", "--all"]),
    *(["dlq", "drop", "s", "--all", "-y"], ["import", "s", os.devnull]),
]


@pytest.mark.parametrize("words", EACH[:-1], ids=" ".join)
def test_a_server_that_is_away_is_one_line_at_once_and_shows_no_password(words):
    port = free_port()
    began = time.monotonic()
    address = f"redis://bob:secret@127.0.0.1:{port}/1"
    result = CliRunner().invoke(make_app([words[0]]), [*words, "--url", address])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"millstream: can't reach the server at redis://127.0.0.1:{port}/1: ")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.output
    assert time.monotonic() - began < 3


def test_a_missing_or_wrong_password_is_one_line(client, run, url):
    client.config_set("requirepass", "secret")
    try:
        for address in (url, url.replace("//", "//:wrong@")):
            for words in (["streams"], ["tail", "s"]):
                error = run(*words, url=address, status=1).stderr
                assert error.startswith(f"millstream: {url} wants a name or password")
                assert error.count("\n") == 1 and "wrong@" not in error
        assert run("streams", url=url.replace("//", "//:secret@")).stdout == "no streams\n"
    finally:
        client.config_set("requirepass", "")


def test_a_wrong_url_is_one_line(run):
    result = run("streams", url="ftp://x:secret@y", status=1)
    assert result.stderr.startswith("millstream: ftp://y: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["tail"], ["read"], ["pending", "g"], ["export"], ["trim", "--keep", "1"], ["claim", "g", "c"], ["dlq", "show"]],
    ids=" ".join,
)
def test_a_missing_key_and_a_wrong_type_are_one_line(client, run, words):
    client.lpush("queue", "x")
    at = 2 if words[0] == "dlq" else 1
    result = run(*words[:at], "none", *words[at:], status=1)
    assert (result.stdout, result.stderr) == ("", "millstream: no such key: none\n")
    result = run(*words[:at], "queue", *words[at:], status=1)
    assert (result.stdout, result.stderr) == ("", "millstream: queue is a list, not a stream\n")


def test_a_missing_group_is_one_line(client, run):
    client.xadd("s", {"f": "v"})
    for words in (["pending", "s", "nobody"], ["claim", "s", "nobody", "ann"], ["ack", "s", "nobody", "--all"]):
        result = run(*words, status=1)
        assert result.stderr.startswith("millstream: NOGROUP") and result.stderr.count("\n") == 1


def test_the_address_may_come_from_the_environment(client, url):
    client.xadd("orders", {"f": "v"})
    result = CliRunner().invoke(make_app(["streams"]), ["streams", "--json"], env={"MILLSTREAM_URL": url})
    assert '"key": "orders"' in result.stdout


def test_a_password_is_taken_out_of_an_address():
    assert without_password("rediss://a:b@c@host:1/2") == "rediss://host:1/2"
    assert without_password("redis://host:1") == "redis://host:1"


def test_a_server_that_goes_silent_in_the_middle_is_one_line(tmp_path):
    """It takes the connection, answers some requests, and closes in the middle of a reply."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for _ in range(2):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(b"*2\r\n$10\r\n17000")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        result = CliRunner().invoke(make_app(["streams"]), ["streams", "--url", url])
        assert result.exit_code == 1
        assert result.stderr.startswith("millstream: can't reach the server") and result.stderr.count("\n") == 1


def test_watch_ends_with_one_line_when_the_server_goes(tmp_path):
    with RedisServer(tmp_path) as server:
        words = ["lag", "--watch", "--every", "0.1", "--url", server.url]
        process = subprocess.Popen(
            [sys.executable, "-m", "broker", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        assert process.stdout.readline() == "no groups\n"
    with process:
        assert process.wait(20) == 1
        error = process.stderr.read()
    assert error.startswith("millstream: can't reach the server") and error.count("\n") == 1
