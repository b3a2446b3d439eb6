"""kill -9 at any moment: what was acknowledged is there, once, and transactions are there whole or not at all."""

import contextlib
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.log_folder import NAME, load
from support.servers import Broker, eventually
from support.wire import Error, Wire

CLIENTS = 4
Request = tuple[Any, ...]


class Writer:
    """One client that writes numbers, each once in its life, through restarts of the server, and notes which of them
    were acknowledged. Whatever number is there must have been sent; whatever was acknowledged must be there."""

    def __init__(self, name: int) -> None:
        self.name = name
        self.rng = Random(name)
        self.sent = 0
        self.acknowledged: dict[str, list[int]] = {kind: [] for kind in self.kinds()}
        self.stream_ids: dict[int, bytes] = {}
        self.increments_sent = 0
        self.increment_seen = 0
        self.error: Exception | None = None

    def kinds(self) -> dict[str, Callable[[int], list[Request]]]:
        """{kind: the requests that write a number}. Each of them gives one reply, the last one acknowledges."""
        name = self.name
        return {
            "set": lambda n: [("SET", f"s:{name}:{n}", n)],
            "push": lambda n: [("RPUSH", f"p:{name}", n)],
            "stream": lambda n: [("XADD", f"x:{name}", "*", "n", n)],
            "increment": lambda n: [("INCR", f"i:{name}")],
            "transaction": lambda n: [("MULTI",), ("RPUSH", f"a:{name}", n), ("RPUSH", f"b:{name}", n), ("EXEC",)],
            "move": lambda n: [("RPUSH", f"q:{name}", n), ("LMOVE", f"q:{name}", f"d:{name}", "LEFT", "RIGHT")],
        }

    def run(self, port: int) -> None:
        """Write until the server is gone."""
        try:
            with Wire(port) as wire:
                while True:
                    self._write_some(wire)
        except (OSError, EOFError):
            return
        except Exception as error:
            self.error = error

    def _write_some(self, wire: Wire) -> None:
        """Some numbers in one pipeline."""
        kinds = self.kinds()
        pipeline: list[tuple[str, int, int]] = []
        for _ in range(self.rng.randint(1, 4)):
            kind = self.rng.choice(list(kinds))
            self.sent += 1
            self.increments_sent += kind == "increment"
            requests = kinds[kind](self.sent)
            pipeline.append((kind, self.sent, len(requests)))
            for request in requests:
                wire.send(*request)
        for kind, number, replies in pipeline:
            for _ in range(replies):
                reply = wire.read()
                assert not isinstance(reply, Error), reply
            self.acknowledged[kind].append(number)
            if kind == "increment":
                self.increment_seen = reply
            elif kind == "stream":
                self.stream_ids[number] = reply

    def check(self, wire: Wire) -> None:
        name = self.name
        values = dict(zip(self.acknowledged["set"], self._get_all(wire), strict=True))
        assert all(value == b"%d" % number for number, value in values.items())
        self._check_numbers("push", _numbers(wire("LRANGE", f"p:{name}", 0, -1)))
        pairs = _numbers(wire("LRANGE", f"a:{name}", 0, -1))
        assert pairs == _numbers(wire("LRANGE", f"b:{name}", 0, -1))
        self._check_numbers("transaction", pairs)
        queue = _numbers(wire("LRANGE", f"q:{name}", 0, -1))
        self._check_numbers("move", _numbers(wire("LRANGE", f"d:{name}", 0, -1)) + queue)
        entries = {int(fields[1]): entry_id for entry_id, fields in wire("XRANGE", f"x:{name}", "-", "+")}
        self._check_numbers("stream", list(entries))
        assert {number: entries[number] for number in self.stream_ids} == self.stream_ids
        assert self.increment_seen <= int(wire("GET", f"i:{name}") or 0) <= self.increments_sent

    def _get_all(self, wire: Wire) -> list[bytes]:
        keys = [f"s:{self.name}:{number}" for number in self.acknowledged["set"]]
        return wire("MGET", *keys) if keys else []

    def _check_numbers(self, kind: str, there: list[int]) -> None:
        """One client sent them one after another, so they are there in order; and each at most once."""
        assert there == sorted(set(there))
        assert set(self.acknowledged[kind]) <= set(there)
        assert not there or there[-1] <= self.sent


def _numbers(values: list[bytes]) -> list[int]:
    return [int(value) for value in values]


def kill_again_and_again(folder: Path, policy: str, kills: int, meanwhile: Callable[[Wire, Random], None]) -> int:
    """The number of acknowledged writes in all."""
    options = ["--appendonly", "yes", "--appendfsync", policy]
    writers = [Writer(number) for number in range(CLIENTS)]
    rng = Random(kills)
    for _ in range(kills):
        with Broker(folder, *options) as broker:
            with Wire(broker.port) as wire:
                for writer in writers:
                    writer.check(wire)
                _load_and_kill(broker, wire, writers, rng, meanwhile)
    with Broker(folder, *options) as broker, Wire(broker.port) as wire:
        for writer in writers:
            writer.check(wire)
    return sum(len(numbers) for writer in writers for numbers in writer.acknowledged.values())


def _load_and_kill(
    broker: Broker, wire: Wire, writers: list[Writer], rng: Random, meanwhile: Callable[[Wire, Random], None]
) -> None:
    threads = [threading.Thread(target=writer.run, args=(broker.port,)) for writer in writers]
    for thread in threads:
        thread.start()
    timer = threading.Timer(rng.uniform(0.02, 0.6), broker.kill)
    timer.start()
    with contextlib.suppress(OSError, EOFError):  # it is dead: that is what this is about
        while timer.is_alive():
            meanwhile(wire, rng)
    for thread in [timer, *threads]:
        thread.join(20)
        assert not thread.is_alive(), "a reply is stuck"
    for writer in writers:
        if writer.error:
            raise writer.error


def _ping(wire: Wire, rng: Random) -> None:
    assert wire("PING") == "PONG"


def _change_policy(wire: Wire, rng: Random) -> None:
    assert wire("CONFIG", "SET", "appendfsync", rng.choice(["always", "everysec", "no"])) == "OK"


def test_kill_9_under_always_loses_no_acknowledged_write(tmp_path):
    assert kill_again_and_again(tmp_path, "always", 15, _ping) > 200


@pytest.mark.parametrize("policy", ["everysec", "no"])
def test_kill_9_loses_nothing_under_the_other_policies_either_since_the_system_has_it(tmp_path, policy):
    """They differ from `always` when the machine dies. What was answered was written before: a kill can't take it."""
    assert kill_again_and_again(tmp_path, policy, 3, _ping) > 50


def test_kill_9_while_the_policy_is_changed_all_the_time_loses_nothing(tmp_path):
    assert kill_again_and_again(tmp_path, "always", 4, _change_policy) > 50


def test_a_server_that_runs_out_of_disk_space_refuses_writes_and_mends_by_itself(tmp_path):
    """RLIMIT_FSIZE stands for a full disk: a write goes half-way, then fails."""
    options = ["--appendonly", "yes", "--appendfsync", "everysec"]
    path = tmp_path / "appendonlydir" / f"{NAME}.1.incr.aof"
    with Broker(tmp_path, *options) as broker, Wire(broker.port) as wire:
        assert wire("SET", "ballast", "x" * 200_000) == "OK"
        _, hard = resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 1000, hard))
        acknowledged = 0
        while not isinstance(reply := wire("RPUSH", "l", acknowledged), Error):
            acknowledged += 1
        assert reply.startswith("MISCONF")
        assert wire("LLEN", "l") == acknowledged
        assert b"aof_last_write_status:err" in wire("INFO", "persistence")
        resource.prlimit(broker.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        eventually(lambda: wire("DEL", "none") == 0, what="an accepted write")
        assert wire("RPUSH", "l", acknowledged) == acknowledged + 1
        broker.kill()
    harness, done = load(tmp_path / "appendonlydir")
    assert harness.run("LRANGE l 0 -1") == [b"%d" % number for number in range(acknowledged + 1)]
    assert done.cut == 0
