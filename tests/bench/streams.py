"""Streams beside redis-server, in one run: memory of an entry, and server CPU of the requests that streams live by.

Run: `python tests/bench/streams.py`. The entries are five short pairs, as a log of clicks has them. Each server is
pinned to core 0, the load to core 1; the server's CPU microseconds come from /proc, rounds of the two servers
alternate, the table shows medians and the median of the rounds' ratios. Memory is what VmRSS grew by. XADD and XRANGE
are redis-benchmark's, 50 clients, 16 requests at a time; groups are read and acknowledged over one connection.
"""

import argparse
import os
import re
import shutil
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from throughput import Server
from throughput import measure as load_with_benchmark

PIPELINE = 16
FIRST_MS = 1  # so that redis-benchmark's random numbers are ids of the stream
ADD = "user user:__rand_int__ action click page /p/__rand_int__ ms __rand_int__ ok 1".split()
BATCH = 100

Requests = Iterable[tuple[bytes | str | int, ...]]


def entry(i: int) -> list[bytes]:
    return [b"user", b"user:%06d" % (i * 7919 % 5000), b"action", b"click", b"page", b"/p/%d" % (i * 104729 % 777),
            b"ms", b"%d" % (i * 15485863 % 1000), b"ok", b"1"]  # fmt: skip


def encode(request: tuple[bytes | str | int, ...]) -> bytes:
    parts = [one if isinstance(one, bytes) else str(one).encode() for one in request]
    return b"*%d\r\n" % len(parts) + b"".join([b"$%d\r\n%s\r\n" % (len(part), part) for part in parts])


class Wire:
    """One connection, pipelined; replies are counted, not kept."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._sock = socket.create_connection(("127.0.0.1", server.port))
        self._file = self._sock.makefile("rb", 1 << 16)

    def run(self, requests: Requests, pipeline: int = PIPELINE) -> None:
        source: Iterator[tuple[bytes | str | int, ...]] = iter(requests)
        while chunk := list(islice(source, pipeline)):
            self._sock.sendall(b"".join([encode(one) for one in chunk]))
            for _ in chunk:
                self._skip_reply()

    def _skip_reply(self) -> None:
        left = 1
        while left:
            left -= 1
            line = self._file.readline()
            kind, rest = line[:1], line[1:-2]
            if kind == b"-":
                raise SystemExit(f"the server refused a request: {rest!r}")
            if kind == b"$" and rest != b"-1":
                self._file.read(int(rest) + 2)
            elif kind == b"*":
                left += max(int(rest), 0)

    def resident(self) -> int:
        status = Path(f"/proc/{self.server.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) * 1024

    def cost(self, requests: Requests, count: int) -> float:
        """CPU microseconds of the server for each of `count` things that the requests do."""
        before = self.server.cpu_seconds()
        self.run(requests)
        return (self.server.cpu_seconds() - before) / count * 1e6


def adds(count: int, start: int = 0) -> Requests:
    for i in range(start, start + count):
        yield (b"XADD", b"s", f"{FIRST_MS + i // 3}-{i % 3}", *entry(i))


def group_reads(batches: int) -> Requests:
    for _ in range(batches):
        yield (b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", BATCH, b"STREAMS", b"s", b">")


def acks(batches: int, first: int) -> Requests:
    for batch in range(batches):
        ids = range(first + batch * BATCH, first + (batch + 1) * BATCH)
        yield (b"XACK", b"s", b"g", *(f"{FIRST_MS + i // 3}-{i % 3}" for i in ids))


def benchmark(wire: Wire, request: list[str], count: int) -> float:
    return load_with_benchmark(wire.server, request, PIPELINE, count, 1)[0]


def report(name: str, unit: str, ours: list[float], theirs: list[float], goal: float | None) -> None:
    ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
    print(f"| {name} | {unit} | {statistics.median(ours):.2f} | {statistics.median(theirs):.2f} | {ratio:.2f} | "
          f"{goal if goal else ''} |", flush=True)  # fmt: skip


def compare(wires: list[Wire], name: str, rounds: int, goal: float | None, cost: Callable[[Wire], float]) -> None:
    columns: list[list[float]] = [[], []]
    for _ in range(rounds):
        for column, wire in zip(columns, wires, strict=True):
            column.append(cost(wire))
    report(name, "us", columns[0], columns[1], goal)


def measure(wires: list[Wire], entries: int, rounds: int) -> None:
    print("| what | unit | ours | redis | ratio | goal |\n|---|---|---|---|---|---|")
    memory: list[list[float]] = []
    for wire in wires:
        before = wire.resident()
        wire.run(adds(entries), 200)
        memory.append([(wire.resident() - before) / entries])
    report("an entry of five short pairs", "bytes", memory[0], memory[1], 0.5)
    rates = max(entries // 2, 1000)
    add = ["-r", "5000", "xadd", "t", "*", *ADD]
    compare(wires, "XADD, five pairs", rounds, 1.3, lambda wire: benchmark(wire, add, rates))
    for size in (10, 100):
        for where, start in (("one place", str(entries // 6)), ("all over", "__rand_int__")):
            request = ["-r", str(entries // 3), "xrange", "s", start, "+", "COUNT", str(size)]
            count = rates * 4 // size
            compare(wires, f"XRANGE {size}, {where}", rounds, 1.3,
                    lambda wire, n=count, argv=request: benchmark(wire, argv, n))  # type: ignore[misc]  # fmt: skip
    measure_group(wires, entries, rounds)


def measure_group(wires: list[Wire], entries: int, rounds: int) -> None:
    batches = entries // BATCH // (rounds + 1)
    read: dict[Wire, int] = dict.fromkeys(wires, 0)

    def consume(wire: Wire) -> float:
        cost = wire.cost(group_reads(batches), batches * BATCH)
        cost += wire.cost(acks(batches, read[wire]), batches * BATCH)
        read[wire] += batches * BATCH
        return cost

    for wire in wires:
        wire.run([(b"XGROUP", b"CREATE", b"s", b"g", 0)])
    compare(wires, "XREADGROUP 100 + XACK 100, an entry", rounds, 1.3, consume)
    memory: list[list[float]] = []
    for wire in wires:
        wire.run([(b"XGROUP", b"CREATE", b"s", b"many", 0)])
        before = wire.resident()
        wire.run((b"XREADGROUP", b"GROUP", b"many", b"c%d" % (i % 10), b"COUNT", 10, b"STREAMS", b"s", b">")
                 for i in range(entries // 10))  # fmt: skip
        memory.append([(wire.resident() - before) / entries])
    report("a pending entry", "bytes", memory[0], memory[1], None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--entries", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.sched_setaffinity(0, {1})
    servers: list[Server] = []
    try:
        for name, argv in (("ours", options.server.split()), ("redis", ["redis-server"])):
            (folder / name).mkdir()
            servers.append(Server([*argv, "--appendonly", "no", "--save", ""], 0, folder / name))
        measure([Wire(server) for server in servers], options.entries, options.rounds)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
