"""Saving and rewriting a million keys under write load, and `appendfsync always`, beside redis-server in one run:
`make bench-persistence`. (Loading: loading.py.)

Two processes load a server: redis-benchmark writes to random keys all the time; a probe sends one request after another
and notes how long each took. Memory is the resident size of the server, with redis-server's child what only the child
has. A row of a server that does nothing shows what the load alone does to the probe.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import redis

KINDS = 20  # of twenty keys: 14 strings, 2 hashes, 2 lists, 1 set, 1 sorted set


def requests(keys: int) -> Iterator[list[bytes]]:
    """What makes the data: keys of all types, most of them strings, every tenth with a time to live, and one stream."""
    rng = Random(7)
    for i in range(keys):
        name, kind = b"key:%012d" % i, i % KINDS
        five = [b"%d" % rng.randrange(1_000_000) for _ in range(5)]
        if kind < 14:
            yield [b"SET", name, b"v" * rng.randrange(20, 100), *([b"EX", b"100000"] if i % 10 == 0 else [])]
        elif kind < 16:
            yield [b"HSET", name, *[part for j, v in enumerate(five) for part in (b"field%d" % j, v)]]
        elif kind < 18:
            yield [b"RPUSH", name, *five]
        elif kind == 18:
            yield [b"SADD", name, *five]
        else:
            yield [b"ZADD", name, *[part for j, v in enumerate(five) for part in (b"%d" % j, v)]]
    for i in range(keys // 5):
        yield [
            b"XADD",
            b"stream",
            b"%d-1" % (i + 1),
            b"sensor",
            b"%d" % (i % 100),
            b"value",
            b"%d" % rng.randrange(9999),
        ]


class Server:
    def __init__(self, argv: list[str], folder: Path, *options: str) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.log = (folder / "log").open("ab")
        words = [*argv, "--port", str(self.port), "--dir", str(folder), "--save", "", *options]
        self.process = subprocess.Popen(
            words, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=lambda: pin(0)
        )
        self.client = redis.Redis(port=self.port, socket_timeout=600)
        while True:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended: see {folder}/log")
            try:
                if not self.client.info("persistence")["loading"]:
                    break
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                pass
            time.sleep(0.01)

    def fill(self, keys: int) -> None:
        pipe = self.client.pipeline(transaction=False)
        for number, request in enumerate(requests(keys)):
            pipe.execute_command(*request)
            if number % 1000 == 999:
                pipe.execute()
        pipe.execute()

    def memory_kb(self) -> int:
        """Resident, and what children have to themselves."""
        total = field_of(self.process.pid, "status", "VmRSS")
        for child in children(self.process.pid):
            total += field_of(child, "smaps_rollup", "Private_Dirty") + field_of(child, "smaps_rollup", "Private_Clean")
        return total

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(60)
        self.log.close()


def pin(core: int) -> None:
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


def field_of(pid: int, file: str, name: str) -> int:
    try:
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1])
    except (OSError, ProcessLookupError):
        pass  # it has just ended
    return 0


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


# -- a load, and what it feels


class Load:
    """redis-benchmark and the probe, until stop()."""

    def __init__(self, port: int, keys: int) -> None:
        command = ["redis-benchmark", "-p", str(port), "-c", "20", "-n", "1000000000", "-r", str(keys), "-q"]
        command += ["set", "key:__rand_int__", "x" * 60]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        self._writer = subprocess.Popen(command, preexec_fn=lambda: pin(1), **quiet)  # type: ignore[call-overload]
        probe = [sys.executable, __file__, "--probe", str(port)]
        self._probe = subprocess.Popen(
            probe, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, preexec_fn=lambda: pin(1)
        )

    def stop(self) -> list[float]:
        """Milliseconds of each request of the probe."""
        self._writer.terminate()
        self._writer.wait()
        told, _ = self._probe.communicate("stop\n")
        found: list[float] = json.loads(told)
        return found


def probe(port: int) -> None:
    """One request after another until stdin has a line; then the times go to stdout."""
    import select

    took = []
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not select.select([sys.stdin], [], [], 0)[0]:
            begun = time.perf_counter()
            sock.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nprobe\r\n$1\r\nx\r\n")
            sock.recv(64)
            took.append((time.perf_counter() - begun) * 1000)
    json.dump(took, sys.stdout)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def under_load(server: Server, keys: int, begin: str | None, is_done: str, seconds: float) -> dict[str, float]:
    """begin: the command, or None: nothing is done for so many seconds. is_done: the field of INFO that falls to 0."""
    before = server.memory_kb()
    load = Load(server.port, keys)
    time.sleep(1)
    base, peak = server.memory_kb(), 0
    started = time.monotonic()
    if begin:
        server.client.execute_command(begin)
    while time.monotonic() - started < seconds if not begin else server.client.info("persistence")[is_done]:
        peak = max(peak, server.memory_kb())
        time.sleep(0.02)
    took = time.monotonic() - started
    times = load.stop()
    return {
        "seconds": took,
        "before_mb": before / 1024,
        "growth": (peak - base) / base * 100,
        "p50": percentile(times, 0.5),
        "p99.9": percentile(times, 0.999),
        "longest": max(times),
        "writes": len(times) / took,
    }


def slices(folder: Path) -> float:
    """Milliseconds of the longest slice that ours has logged last."""
    for line in reversed((folder / "log").read_text(errors="replace").splitlines()):
        if "longest_slice_ms" in line:
            after = line.partition("longest_slice_ms")[2].lstrip('=": ')
            return float("".join(c for c in after.split()[0] if c.isdigit() or c == "."))
    return 0.0


# -- the tables


def row(*cells: Any) -> str:
    return "| " + " | ".join(f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in cells) + " |"


def snapshots(programs: dict[str, list[str]], keys: int, root: Path) -> None:
    print(f"Under load, {keys} keys and a stream of {keys // 5} entries\n")
    print(row("", "server", "s", "memory before, MB", "growth at the peak, %", "longest slice, ms",
              "p50 of a client, ms", "p99.9", "longest"))  # fmt: skip
    print(row(*["---"] * 9))
    for name, argv in programs.items():
        folder = root / name
        folder.mkdir()
        server = Server(argv, folder, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
        server.fill(keys)
        steps = [("idle", None, ""), ("BGSAVE", "BGSAVE", "rdb_bgsave_in_progress"),
                 ("BGREWRITEAOF", "BGREWRITEAOF", "aof_rewrite_in_progress")]  # fmt: skip
        for title, begin, field in steps:
            got = under_load(server, keys, begin, field, 5)
            longest = slices(folder) if begin and name == "millstream" else ""
            print(row(title, name, got["seconds"], got["before_mb"], got["growth"] if begin else "", longest,
                      got["p50"], got["p99.9"], got["longest"]), flush=True)  # fmt: skip
        server.stop()


def always(programs: dict[str, list[str]], root: Path, count: int) -> None:
    print("\n" + row("appendfsync", "server", "SET/s with 50 clients") + "\n" + row(*["---"] * 3))
    servers = {}
    for name, argv in programs.items():
        folder = Path(tempfile.mkdtemp(dir=root))
        servers[name] = Server(argv, folder, "--appendonly", "yes", "--appendfsync", "always")
    rates: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(3):
        for name, server in servers.items():
            started = time.monotonic()
            command = ["redis-benchmark", "-p", str(server.port), "-c", "50", "-n", str(count), "-q", "-t", "set"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            rates[name].append(count / (time.monotonic() - started))
    for name, server in servers.items():
        print(row("always", name, f"{statistics.median(rates[name]):.0f}"), flush=True)
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=50_000, help="for appendfsync always")
    parser.add_argument("--only", default="snapshots,always")
    parser.add_argument("--probe", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        probe(options.probe)
        return
    programs = {"millstream": options.server.split(), "redis-server": ["redis-server"]}
    root = Path(tempfile.mkdtemp(prefix="bench-"))
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    try:
        if "snapshots" in options.only:
            snapshots(programs, options.keys, root)
        if "always" in options.only:
            always(programs, root, options.requests)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
