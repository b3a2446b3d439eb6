"""What it takes to load a file, beside redis-server, in one run: `make bench-persistence`.

redis-server writes the files: RDB files of one kind of data each and of all kinds, and logs, with and without a base
in the form of RDB. Both load a copy of the same one, in turn, several times. CPU is that of the whole process up to its
first answer, less that of a start with an empty folder; the median of the rounds' ratios is the figure.

    python tests/bench/loading.py --only "RDB strings,log mixed" --keep /tmp/files

--keep leaves the files for the next run, and takes those that are there.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

from throughput import _cpu_model, _free_port, cpu_seconds

LIMIT = 2.5
Requests = Iterator[list[bytes]]


def text(rng: Random, least: int, most: int) -> bytes:
    """Something that compresses as texts of programs do: a little."""
    words = b"user order click page item cart 2026 true null name street value".split()
    made = b""
    while len(made) < most:
        made += rng.choice(words) + b":%d," % rng.randrange(10000)
    return made[: rng.randrange(least, most + 1)]


# -- data


def strings(count: int) -> Requests:
    rng = Random(1)
    for i in range(count):
        yield [b"SET", b"key:%012d" % i, b"%032x" % rng.getrandbits(128)]


def mixed(count: int) -> Requests:
    """Half strings; small and large collections; a tenth of the keys expires."""
    rng = Random(2)
    for i in range(count):
        key, kind = b"key:%d" % i, i % 20
        if kind < 10:
            yield [b"SET", key, text(rng, 20, 90) if kind < 8 else b"%d" % rng.randrange(10**6)]
        elif kind < 13:
            yield hash_of(key, 5, rng)
        elif kind < 15:
            yield [b"RPUSH", key, *[text(rng, 5, 30) for _ in range(8)]]
        elif kind < 17:
            yield set_of(key, 8, rng)
        else:
            yield zset_of(key, 8, rng)
        if i % 10 == 3:
            yield [b"EXPIRE", key, b"%d" % rng.randrange(10**6, 10**7)]
    for i in range(count // 20000):
        yield hash_of(b"large:hash:%d" % i, 2000, rng)
        yield [b"RPUSH", b"large:list:%d" % i, *[text(rng, 5, 30) for _ in range(2000)]]
        yield set_of(b"large:set:%d" % i, 2000, rng)
        yield zset_of(b"large:zset:%d" % i, 2000, rng)


def hash_of(key: bytes, size: int, rng: Random) -> list[bytes]:
    return [b"HSET", key, *[part for j in range(size) for part in (b"field:%d" % j, text(rng, 5, 30))]]


def set_of(key: bytes, size: int, rng: Random) -> list[bytes]:
    if rng.random() < 0.3:
        return [b"SADD", key, *[b"%d" % rng.randrange(10**6) for _ in range(size)]]
    return [b"SADD", key, *[b"member:%d" % rng.randrange(10**9) for _ in range(size)]]


def zset_of(key: bytes, size: int, rng: Random) -> list[bytes]:
    whole = rng.random() < 0.5
    scores = [b"%d" % rng.randrange(10**6) if whole else b"%.3f" % (rng.random() * 1000) for _ in range(size)]
    return [b"ZADD", key, *[part for score in scores for part in (score, b"member:%d" % rng.randrange(10**9))]]


def small(make: Callable[[bytes, int, Random], list[bytes]]) -> Callable[[int], Requests]:
    """Collections of 8."""

    def requests(count: int) -> Requests:
        rng = Random(3)
        for i in range(count // 4):
            yield make(b"key:%d" % i, 8, rng)

    return requests


def large(make: Callable[[bytes, int, Random], list[bytes]]) -> Callable[[int], Requests]:
    """Collections of 5000."""

    def requests(count: int) -> Requests:
        rng = Random(3)
        for i in range(count // 2000):
            yield make(b"key:%d" % i, 5000, rng)

    return requests


def list_of(key: bytes, size: int, rng: Random) -> list[bytes]:
    return [b"RPUSH", key, *[text(rng, 5, 30) for _ in range(size)]]


def expiring(count: int) -> Requests:
    rng = Random(4)
    for i in range(count // 2):
        yield [b"SET", b"session:%d" % i, text(rng, 20, 60), b"EX", b"%d" % rng.randrange(10**5, 10**7)]


def streams(count: int) -> Requests:
    """One long stream, with a group that has some entries pending, and many short ones."""
    rng = Random(5)
    yield [b"XGROUP", b"CREATE", b"log", b"workers", b"0", b"MKSTREAM"]
    for i in range(count // 2):
        yield [b"XADD", b"log", b"%d-1" % (1_700_000_000_000 + i * 3), *entry(i, rng)]
    for _ in range(count // 500):
        yield [b"XREADGROUP", b"GROUP", b"workers", b"one", b"COUNT", b"50", b"STREAMS", b"log", b">"]
    for i in range(count // 4):
        yield [b"XADD", b"stream:%d" % (i % (count // 40)), b"%d-1" % (1_700_000_000_000 + i * 7), *entry(i, rng)]


def entry(i: int, rng: Random) -> list[bytes]:
    return [b"user", b"user:%06d" % rng.randrange(5000), b"action", b"click", b"page", b"/p/%d" % rng.randrange(777),
            b"ms", b"%d" % rng.randrange(1000), b"ok", b"1"]  # fmt: skip


def commands(count: int) -> Requests:
    """As services write: a request here, a request there."""
    rng = Random(6)
    for i in range(count):
        kind, name = i % 10, rng.randrange(count // 10)
        if kind < 3:
            yield [b"RPUSH", b"list:%d" % name, text(rng, 10, 40)]
        elif kind < 5:
            yield [b"HSET", b"hash:%d" % name, b"field:%d" % rng.randrange(10), text(rng, 10, 40)]
        elif kind < 7:
            yield [b"XADD", b"stream:%d" % (name % 1000), b"*", *entry(i, rng)]
        elif kind < 9:
            yield [b"ZADD", b"zset:%d" % name, b"%d" % rng.randrange(10000), b"member:%d" % rng.randrange(20)]
        else:
            yield [b"EXPIRE", b"list:%d" % rng.randrange(count // 10), b"%d" % rng.randrange(10**5, 10**6)]


def transactions(count: int) -> Requests:
    """As scripts of queues leave them in a log."""
    rng = Random(7)
    for i in range(count // 5):
        name = rng.randrange(count // 50)
        yield [b"MULTI"]
        yield [b"HSET", b"job:%d" % i, b"data", text(rng, 20, 60)]
        yield [b"LPUSH", b"wait:%d" % (name % 100), b"job:%d" % i]
        yield [b"ZADD", b"times", b"%d" % (1_700_000_000_000 + i), b"%d" % name]
        yield [b"EXEC"]


RDB, LOG, BASE = "RDB", "log", "log with a base"  # BASE: the first half of the requests is in a base in the form of RDB
FILES: dict[str, tuple[str, Callable[[int], Requests]]] = {
    "RDB strings": (RDB, strings),
    "RDB mixed": (RDB, mixed),
    "RDB streams": (RDB, streams),
    "RDB hashes": (RDB, small(hash_of)),
    "RDB lists": (RDB, small(list_of)),
    "RDB sets": (RDB, small(set_of)),
    "RDB sorted sets": (RDB, small(zset_of)),
    "RDB large hashes": (RDB, large(hash_of)),
    "RDB large lists": (RDB, large(list_of)),
    "RDB large sets": (RDB, large(set_of)),
    "RDB large sorted sets": (RDB, large(zset_of)),
    "RDB expiring strings": (RDB, expiring),
    "log SET": (LOG, strings),
    "log mixed": (LOG, commands),
    "log mixed with a base": (BASE, commands),
    "log transactions": (LOG, transactions),
}


# -- the files


def write_files(kind: str, requests: Requests, folder: Path) -> None:
    """By redis-server, into a folder that is new."""
    folder.mkdir(parents=True)
    options = ["--appendonly", "no" if kind == RDB else "yes", "--auto-aof-rewrite-percentage", "0"]
    server = Process(["redis-server"], folder, [*options, "--appendfsync", "no"])
    every = list(requests)
    half = len(every) // 2 if kind == BASE else 0
    server.send(every[:half])
    if half:
        server.ask(b"BGREWRITEAOF")
        while b"aof_rewrite_in_progress:0" not in server.ask(b"INFO persistence"):
            time.sleep(0.1)
    server.send(every[half:])
    if kind == RDB:
        server.ask(b"SAVE")
    server.stop()


class Process:
    """A server pinned to core 0."""

    def __init__(self, argv: list[str], folder: Path, options: list[str]) -> None:
        self.port = _free_port()
        self._log = (folder / "log").open("wb")
        words = ["taskset", "-c", "0", *argv, "--port", str(self.port), "--dir", str(folder), "--save", "", *options]
        started = time.monotonic()
        self._process = subprocess.Popen(words, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)
        self._wait()
        self.seconds = time.monotonic() - started
        self.cpu_seconds = self._cpu_seconds()

    def _wait(self) -> None:
        """Until it has loaded."""
        while True:
            if self._process.poll() is not None:
                raise SystemExit(f"the server ended, see {self._log.name}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), 600) as sock:
                    sock.settimeout(600)
                    sock.sendall(b"PING\r\n")
                    if sock.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.02)

    def _cpu_seconds(self) -> float:
        return cpu_seconds(self._process.pid)

    def ask(self, line: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(line + b"\r\n")
            return sock.recv(65536)

    def send(self, requests: list[list[bytes]]) -> None:
        """redis-cli counts the replies."""
        data = b"".join(
            b"*%d\r\n" % len(argv) + b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in argv])
            for argv in requests
        )
        pipe = ["redis-cli", "-p", str(self.port), "--pipe"]
        subprocess.run(pipe, input=data, check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self.ask(b"SHUTDOWN NOSAVE")
        self._process.wait(60)
        self._log.close()


# -- the table


def load(argv: list[str], files: Path | None, options: list[str]) -> tuple[float, float]:
    """(CPU seconds, seconds) until the first answer, with a copy of the files in its folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        if files is not None:
            shutil.copytree(files, folder, dirs_exist_ok=True)
        server = Process(argv, folder, options)
        server.stop()
        return server.cpu_seconds, server.seconds


def compare(name: str, files: Path, programs: dict[str, list[str]], rounds: int) -> str:
    options = ["--appendonly", "no" if FILES[name][0] == RDB else "yes"]
    empty = {
        title: statistics.median([load(argv, None, options)[0] for _ in range(3)]) for title, argv in programs.items()
    }
    cpu: dict[str, list[float]] = {title: [] for title in programs}
    wall: dict[str, list[float]] = {title: [] for title in programs}
    for _ in range(rounds):
        for title, argv in programs.items():
            used, took = load(argv, files, options)
            cpu[title].append(used - empty[title])
            wall[title].append(took)
    ratio = statistics.median([a / max(b, 0.01) for a, b in zip(cpu["ours"], cpu["redis"], strict=True)])
    size = sum(path.stat().st_size for path in files.rglob("*") if path.is_file()) / 1e6
    cells = [f"{statistics.median(cpu[title]):.2f}" for title in programs]
    cells += [f"{ratio:.2f}", *[f"{statistics.median(wall[title]):.2f}" for title in programs]]
    return f"| {name} | {size:.0f} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--count", type=int, default=1_000_000, help="keys, entries or commands, about")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="rows, separated by commas")
    parser.add_argument("--keep", type=Path, help="where the files are, or are to be left")
    options = parser.parse_args()
    programs = {"ours": options.server.split(), "redis": ["redis-server"]}
    root = options.keep or Path(tempfile.mkdtemp(prefix="bench-"))
    print(f"{datetime.date.today()}, {_cpu_model()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
          f"CPU at most {LIMIT} times redis-server's\n")  # fmt: skip
    print("| file | MB | CPU s, ours | CPU s, redis | ratio | s, ours | s, redis |\n|---|---|---|---|---|---|---|")
    try:
        for name in [name for name in FILES if not options.only or name in options.only.split(",")]:
            kind, requests = FILES[name]
            files = root / name.replace(" ", "-")
            if not files.exists():
                write_files(kind, requests(options.count), files)
            print(compare(name, files, programs, options.rounds), flush=True)
    finally:
        if options.keep is None:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
