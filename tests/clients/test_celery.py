"""Celery: a real worker, with the server as its broker and as its result backend."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery, chain, chord, group
from kombu import pools
from support.app_for_celery import make_app
from support.programs import ENVIRONMENT, Program
from support.servers import ServerProcess, eventually


@pytest.fixture
def client(server: ServerProcess) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port, decode_responses=True) as client:
        yield client


@pytest.fixture
def app(server: ServerProcess) -> Iterator[Celery]:
    app = make_app(f"{server.url}/0", f"{server.url}/1")
    yield app
    app.backend.result_consumer.stop()
    app.backend.client.close()
    pools.reset()
    app.close()


def worker(server: ServerProcess, folder: Path, *options: str) -> Program:
    servers = ["-b", f"{server.url}/0", "--result-backend", f"{server.url}/1"]
    return Program.of_python(folder, "-m", "celery", "-A", "support.app_for_celery", *servers, "worker", *options)


def test_a_worker_does_what_is_asked_of_it(
    app: Celery, client: redis.Redis, server: ServerProcess, tmp_path: Path
) -> None:
    ask_in_the_wrong_order(app, client, server.url)
    with worker(server, tmp_path, "--concurrency", "1"):
        eventually(lambda: client.llen("noted") == 9, seconds=30)
        urgent_first = [f"{name} {number}" for name in ("high", "middle", "low") for number in range(3)]
        assert client.lrange("noted", 0, -1) == urgent_first
        ask_for_results(app, server.url)
        eventually(lambda: not client.exists("unacked", "unacked_index"))
    assert client.lrange("noted", 0, -1) == urgent_first


def test_what_a_dead_worker_had_taken_is_done_by_another(
    app: Celery, client: redis.Redis, server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Late acknowledgement, and a visibility timeout: kombu's index of what is not acknowledged is a sorted set."""
    monkeypatch.setitem(ENVIRONMENT, "VISIBILITY_TIMEOUT", "1")
    began = time.time()
    result = app.tasks["wait_for"].delay(server.url, "go")
    with worker(server, tmp_path, "--pool", "solo", "--without-gossip", "--without-mingle") as doomed:
        assert client.blpop(["began"], timeout=30)
        doomed.kill()
    assert client.zcard("unacked_index") == client.hlen("unacked") == 1
    assert client.llen("jobs") == 0
    eventually(lambda: time.time() > client.zrange("unacked_index", 0, 0, withscores=True)[0][1] + 1)
    with worker(server, tmp_path, "--pool", "solo", "--without-gossip", "--without-mingle"):
        assert client.blpop(["began"], timeout=30)
        client.rpush("go", "now")
        assert result.get(timeout=20) == "('go', 'now')"
        eventually(lambda: not client.exists("unacked", "unacked_index"))
    assert time.time() - began > 1


def ask_in_the_wrong_order(app: Celery, client: redis.Redis, url: str) -> None:
    for name, priority in (("low", 9), ("middle", 3), ("high", 0)):
        for number in range(3):
            app.tasks["note"].apply_async((url, f"{name} {number}"), priority=priority)
    assert client.llen("jobs") == 3, "each priority is a list of its own"


def ask_for_results(app: Celery, url: str) -> None:
    add, total, note = app.tasks["add"], app.tasks["total"], app.tasks["note"]
    asked_for = time.time()
    later = add.apply_async((1, 2), countdown=1.5)
    note.apply_async((url, "revoked"), countdown=1).revoke()
    assert group(add.s(number, 1) for number in range(20))().get(timeout=20) == list(range(1, 21))
    assert chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=20) == 10
    assert chord((add.s(number, 1) for number in range(10)), total.s())().get(timeout=20) == 55
    assert app.tasks["fail_at_first"].delay(2).get(timeout=20) == 2
    with pytest.raises(ValueError, match="never"):
        app.tasks["fail"].delay().get(timeout=20)
    assert [list(reply.values()) for reply in app.control.ping(timeout=0.5)] == [[{"ok": "pong"}]]
    assert later.get(timeout=20) == 3
    assert time.time() - asked_for >= 1.5
