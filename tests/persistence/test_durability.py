"""WAITAOF, and durability as a client chooses it: who is answered when, whatever appendfsync says."""

import errno
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from support.disk_server import running, until
from support.engine import Harness
from support.wire import encode

OK = b"+OK\r\n"
SET = encode("SET", "k", "v")
ALWAYS = encode("CLIENT", "DURABILITY", "always")
EVERYSEC = encode("CLIENT", "DURABILITY", "everysec")
WAITAOF = encode("WAITAOF", 1, 0, 0)
DONE = b"*2\r\n:1\r\n:0\r\n"


@pytest.fixture(autouse=True)
def _garbage_collection_as_before() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


# -- what they answer


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
        ("WAITAOF a 0 0", "-ERR value is not an integer or out of range"),
        ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive"),
        ("WAITAOF 0 0 -1", "-ERR timeout is negative"),
        ("WAITAOF 0 0 x", "-ERR timeout is not an integer or out of range"),
        ("WAITAOF 1 0 0", "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."),
        ("WAITAOF 0 0 0", [0, 0]),
        ("CLIENT DURABILITY never", "-ERR syntax error"),
        ("CLIENT DURABILITY always", "-ERR CLIENT DURABILITY ALWAYS cannot be used when appendonly is disabled."),
        ("CLIENT DURABILITY everysec", "OK"),
    ],
)
def test_their_arguments_are_looked_at(request_: str, reply: object) -> None:
    assert Harness().run(request_) == reply


def test_waitaof_inside_multi_tells_how_it_is() -> None:
    h = Harness()
    h.engine.shared.log.enabled = True
    h.run("MULTI")
    h.run("SET k v")
    h.run("WAITAOF 1 0 0")
    assert h.run("EXEC") == ["OK", [0, 0]]


def test_waitaof_answers_when_its_time_is_up() -> None:
    h = Harness()
    h.engine.shared.log.enabled = True
    h.run("SET k v")
    h.engine.journal.take()
    client = h.main
    client.run("WAITAOF 1 0 100")
    h.advance(0.2)
    assert client.received() == b"*2\r\n:0\r\n:0\r\n"
    client.run("WAITAOF 0 1 100")
    h.engine.log_durable(1)
    h.advance(0.05)
    assert client.received() == b"", "there is no replica"
    h.advance(0.2)
    assert client.received() == DONE


def test_who_forgets_his_settings_forgets_this_one() -> None:
    h = Harness()
    h.run("CLIENT DURABILITY everysec")
    other = h.client()
    other.run("CLIENT DURABILITY everysec")
    assert h.engine.shared.durability_clients == 2
    h.run("RESET")
    h.engine.close_session(other.ctx)
    assert h.engine.shared.durability_clients == 0


# -- and when


@pytest.mark.parametrize("policy", ["everysec", "no"])
async def test_waitaof_asks_for_an_fsync_and_waits_for_it(tmp_path: Path, policy: str) -> None:
    async with running(tmp_path, policy) as run:
        run.log.retry_seconds = 60
        run.disk.sync_gate.clear()
        client, other = await run.client(), await run.client()
        await client.send(SET, WAITAOF)
        await client.expect(OK)
        await trio.to_thread.run_sync(run.disk.sync_started.wait)
        await other.send(SET)
        await other.expect(OK)
        assert client.has_nothing()
        run.disk.sync_gate.set()
        await client.expect(DONE)
        await other.send(WAITAOF)
        await other.expect(DONE)


@pytest.mark.parametrize("policy", ["everysec", "no"])
async def test_a_client_that_chose_always_is_answered_after_its_fsync(tmp_path: Path, policy: str) -> None:
    async with running(tmp_path, policy) as run:
        run.log.retry_seconds = 60
        safe, other = await run.client(), await run.client()
        await safe.send(ALWAYS)
        await safe.expect(OK)
        run.disk.sync_gate.clear()
        await safe.send(SET, encode("GET", "k"))
        await trio.to_thread.run_sync(run.disk.sync_started.wait)
        await other.send(SET, encode("PING"))
        await other.expect(OK + b"+PONG\r\n")
        await safe.send(encode("PING"))
        await run.executed(6)
        assert safe.has_nothing(), "what comes behind a held reply is held, too"
        run.disk.sync_gate.set()
        await safe.expect(OK + b"$1\r\nv\r\n+PONG\r\n")
        syncs = run.disk.syncs
        await safe.send(encode("GET", "k"))
        await safe.expect(b"$1\r\nv\r\n")
        assert run.disk.syncs == syncs, "reading needs no fsync"


async def test_a_client_that_chose_everysec_does_not_wait_where_others_do(tmp_path: Path) -> None:
    async with running(tmp_path, "always") as run:
        quick, other = await run.client(), await run.client()
        await quick.send(EVERYSEC)
        await quick.expect(OK)
        run.disk.sync_gate.clear()
        await other.send(SET)
        await trio.to_thread.run_sync(run.disk.sync_started.wait)
        await quick.send(SET)
        await quick.expect(OK)
        assert other.has_nothing()
        run.disk.sync_gate.set()
        await other.expect(OK)


async def test_while_the_disk_fails_only_who_waits_for_it_waits(tmp_path: Path) -> None:
    async with running(tmp_path, "everysec") as run:
        safe, other = await run.client(), await run.client()
        await safe.send(ALWAYS)
        await safe.expect(OK)
        run.disk.write_error = errno.ENOSPC
        await safe.send(SET)
        await run.failing()
        await other.send(encode("GET", "k"), SET)
        await other.expect(b"$1\r\nv\r\n")
        assert (await other.line()).startswith(b"-MISCONF")
        assert safe.has_nothing()
        run.disk.write_error = 0
        await safe.expect(OK)


async def test_what_waits_for_a_disk_that_hangs_is_bounded(tmp_path: Path) -> None:
    async with running(tmp_path, "always", "--client-output-buffer-limit", "normal 1mb 0 0") as run:
        client, writer = await run.client(), await run.client()
        await client.send(encode("SET", "big", "x" * 100_000))
        await client.expect(OK)
        run.disk.sync_gate.clear()
        await writer.send(SET)
        await trio.to_thread.run_sync(run.disk.sync_started.wait)
        before = run.server.engine.executed
        for number in range(1, 12):
            await client.send(encode("GET", "big"))
            await until(lambda number=number: run.server.engine.executed >= before + number)
        await until(lambda: len(run.server.hub.connections) == 1)
        assert run.server.hub.traffic.output_limit_cuts == 1
        assert writer.has_nothing()
        run.disk.sync_gate.set()
        await writer.expect(OK)


async def test_turning_the_log_off_lets_nobody_wait_for_ever(tmp_path: Path) -> None:
    async with running(tmp_path, "everysec") as run:
        safe, waiting, other = await run.client(), await run.client(), await run.client()
        await safe.send(ALWAYS)
        await safe.expect(OK)
        run.disk.sync_gate.clear()
        await safe.send(SET)
        await waiting.send(SET, WAITAOF)
        await waiting.expect(OK)
        await other.send(encode("CONFIG", "SET", "appendonly", "no"))
        await other.expect(OK)
        run.disk.sync_gate.set()
        await safe.expect(OK)
        await waiting.expect(DONE)
        await until(lambda: run.server.log is None)
        await safe.send(SET)
        await safe.expect(OK)
