"""Server CPU per request, beside redis-server, in one run: `make bench`.

Each row: redis-benchmark drives one server, then the other, several times in turn; the server's CPU microseconds per
request come from /proc, so that what the load generator costs does not count. Server and load are pinned to different
cores. The table shows medians; the ratio is the median of the pairs' ratios.
"""

import argparse
import datetime
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# name: (redis-benchmark arguments, requests at P=1, limit of the ratio at P=1, at P=16)
ROWS: dict[str, tuple[list[str], float | None, float | None]] = {
    "PING": (["-t", "ping_mbulk"], None, None),
    "SET": (["-t", "set"], 1.3, 1.6),
    "GET": (["-t", "get"], 1.3, 1.6),
    "INCR": (["-t", "incr"], None, None),
    "LPUSH": (["-t", "lpush"], 1.8, 1.8),
    "RPOP": (["-t", "rpop"], None, None),
    "SADD": (["-t", "sadd"], None, None),
    "HSET": (["-t", "hset"], None, None),
    "ZADD": (["-t", "zadd"], None, None),
    "MSET (10 keys)": (["-t", "mset"], None, None),
    "LRANGE 100": (["-t", "lrange_100"], None, None),
    "SET, 1M random keys": (["-r", "1000000", "-t", "set"], None, None),
    "XADD": (["xadd", "stream:__rand_int__", "*", "field", "value"], 1.8, 1.8),
    "PUBLISH": (["publish", "channel", "message"], 1.8, 1.8),
}


class Server:
    """A server process pinned to one core."""

    def __init__(self, argv: list[str], core: int, folder: Path) -> None:
        self.port = _free_port()
        log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), *argv, "--port", str(self.port), "--dir", str(folder)],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with status {self.process.returncode}: {self.process.args}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                    sock.sendall(b"PING\r\n")
                    if sock.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"the server does not answer: {self.process.args}")

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


def cpu_seconds(pid: int) -> float:
    """Of a process: all its threads, also those that have ended."""
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) spells it on Linux


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def measure(server: Server, arguments: list[str], pipeline: int, requests: int, core: int) -> tuple[float, float]:
    """(CPU microseconds of the server per request, thousand requests a second)."""
    extra = arguments if "-t" in arguments else ["-r", "1000", *arguments]
    command = ["taskset", "-c", str(core), "redis-benchmark", "-p", str(server.port), "-c", "50"]
    command += ["-P", str(pipeline), "-n", str(requests), "-q", *extra]
    before, started = server.cpu_seconds(), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    return (server.cpu_seconds() - before) / requests * 1e6, requests / seconds / 1000


def compare(ours: Server, theirs: Server, name: str, pipeline: int, options: argparse.Namespace) -> str:
    arguments, limit_1, limit_16 = ROWS[name]
    requests = options.requests * (4 if pipeline > 1 else 1)
    mine, redis, ratios, rates = [], [], [], []
    for _ in range(options.rounds):
        cost, rate = measure(ours, arguments, pipeline, requests, 1)
        reference, reference_rate = measure(theirs, arguments, pipeline, requests, 1)
        mine.append(cost)
        redis.append(reference)
        ratios.append(cost / reference)
        rates.append((rate, reference_rate))
    limit = limit_1 if pipeline == 1 else limit_16
    goal = f"{limit:.1f}" if limit else ""
    rate, reference_rate = (statistics.median(column) for column in zip(*rates, strict=True))
    return (
        f"| {name} | {pipeline} | {statistics.median(mine):.2f} | {statistics.median(redis):.2f} | "
        f"{statistics.median(ratios):.2f} | {goal} | {rate:.0f} | {reference_rate:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--requests", type=int, default=200_000, help="for each row at P=1; four times as many at P=16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows, separated by commas")
    parser.add_argument("--durable", action="store_true", help="with the append-only log, appendfsync everysec")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    durability = ["--appendonly", "yes" if options.durable else "no", "--save", ""]
    servers = []
    try:
        for name, argv in (("ours", options.server.split()), ("redis", ["redis-server"])):
            (folder / name).mkdir()
            servers.append(Server([*argv, *durability], 0, folder / name))
        print_table(servers[0], servers[1], options)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder)


def print_table(ours: Server, theirs: Server, options: argparse.Namespace) -> None:
    banner = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    version = banner.split()[2].removeprefix("v=")
    print(f"{datetime.date.today()}, {_cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"redis-server {version}, 50 clients, appendonly {'yes' if options.durable else 'no'}\n")  # fmt: skip
    print("| request | P | us ours | us redis | ratio | goal | k/s ours | k/s redis |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    chosen = [name for name in ROWS if not options.only or name in options.only.split(",")]
    for pipeline in (1, 16):
        for name in chosen:
            print(compare(ours, theirs, name, pipeline, options), flush=True)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
