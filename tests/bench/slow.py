"""Requests that grow with the data, beside redis-server, in one run: server CPU of each on a million members.

Run: `python tests/bench/slow.py [--only WORD]`. Each row fills both servers with the same data, then sends the same
requests to one and the other in turn, over one connection; the server's CPU microseconds per request come from /proc.
The table shows medians, and the median of the rounds' ratios. The limit of each is 5.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

from streams import Wire
from throughput import Server

Request = tuple[bytes | str | int, ...]
AT_ONCE = 500  # members in one request while a server is filled


@dataclass
class Row:
    """key: rows with the same one share their data, which `fill` makes. request: one, at random; count: of a round."""

    name: str
    key: str
    fill: Callable[[int], Iterator[Request]]
    request: Callable[[Random, int], Request]
    count: int


def batches(
    head: tuple[str, ...], size: int, part: Callable[[int], tuple[bytes | str | int, ...]]
) -> Iterator[Request]:
    for start in range(0, size, AT_ONCE):
        argv: list[bytes | str | int] = list(head)
        for i in range(start, min(start + AT_ONCE, size)):
            argv.extend(part(i))
        yield tuple(argv)


def sorted_set(size: int) -> Iterator[Request]:
    return batches(("ZADD", "z"), size, lambda i: (i * 7919 % size, b"member:%d" % i))


def numbers(size: int) -> Iterator[Request]:
    return batches(("RPUSH", "l"), size, lambda i: (b"value:%d" % i,))


def two_sets(size: int) -> Iterator[Request]:
    yield from batches(("SADD", "s"), size, lambda i: (b"member:%d" % i,))
    yield from batches(("SADD", "t"), size, lambda i: (b"member:%d" % (2 * i),))


def places(size: int) -> Iterator[Request]:
    rng = Random(1)
    return batches(("GEOADD", "g"), size, lambda i: (f"{rng.uniform(-180, 180):.6f}", f"{rng.uniform(-85, 85):.6f}", i))


def hash_of(size: int) -> Iterator[Request]:
    return batches(("HSET", "h"), size, lambda i: (b"field:%d" % i, b"value:%d" % i))


def keys(size: int) -> Iterator[Request]:
    return batches(("MSET",), size, lambda i: (b"key:%d" % i, b"value:%d" % i))


def bitmap(size: int) -> Iterator[Request]:
    """64 MiB for a million members, of which a pseudo-random half of the bits is set."""
    piece = Random(1).randbytes(size * 64 // 1_000_000 * 1024)
    for i in range(1024):
        yield ("SETRANGE", "b", i * len(piece), piece)
    yield ("BITOP", "NOT", "c", "b")
    yield ("SETRANGE", "zeros", 1024 * len(piece) - 1, "\x01")


def sketches(size: int) -> Iterator[Request]:
    yield from batches(("PFADD", "p"), size // 10, lambda i: (b"element:%d" % i,))
    yield from batches(("PFADD", "q"), size // 10, lambda i: (b"other:%d" % i,))
    yield from batches(("PFADD", "small"), 300, lambda i: (b"element:%d" % i,))


def unsorted(size: int) -> Iterator[Request]:
    """A tenth of the members: Redis takes seconds for all of them."""
    yield from batches(("RPUSH", "u"), size // 10, lambda i: (i * 7919 % size,))
    yield from batches(("MSET",), size // 10, lambda i: (b"w_%d" % (i * 7919 % size), i))


def near(rng: Random, kilometres: int, *rest: str) -> Request:
    where = (f"{rng.uniform(-170, 170):.6f}", f"{rng.uniform(-75, 75):.6f}")
    return ("GEOSEARCH", "g", "FROMLONLAT", *where, "BYRADIUS", kilometres, "km", *rest)


ROWS = [
    Row("ZRANK", "z", sorted_set, lambda rng, n: ("ZRANK", "z", b"member:%d" % rng.randrange(n)), 20_000),
    Row("ZRANGE, 10 by rank", "z", sorted_set, lambda rng, n: _ranks(rng, n, 10), 20_000),
    Row("ZRANGE, 10 by score", "z", sorted_set, lambda rng, n: _scores(rng, n), 20_000),
    Row("ZADD, another score", "z", sorted_set,
        lambda rng, n: ("ZADD", "z", rng.randrange(n), b"member:%d" % rng.randrange(n)), 20_000),
    Row("ZUNIONSTORE with itself", "z", sorted_set, lambda rng, n: ("ZUNIONSTORE", "y", 2, "z", "z"), 2),
    Row("ZRANGESTORE of all", "z", sorted_set, lambda rng, n: ("ZRANGESTORE", "y", "z", 0, -1), 2),
    Row("COPY of a sorted set", "z", sorted_set, lambda rng, n: ("COPY", "z", "y", "REPLACE"), 3),
    Row("LINDEX in the middle", "l", numbers, lambda rng, n: ("LINDEX", "l", n // 2 + rng.randrange(n // 100)), 5_000),
    Row("LINSERT in the middle", "l", numbers,
        lambda rng, n: ("LINSERT", "l", "BEFORE", b"value:%d" % (n // 2 + rng.randrange(n // 100)), "x"), 100),
    Row("LPOS of what is not there", "l", numbers, lambda rng, n: ("LPOS", "l", "none"), 5),
    Row("LREM of what is not there", "l", numbers, lambda rng, n: ("LREM", "l", 0, "none"), 5),
    Row("LRANGE of all", "l", numbers, lambda rng, n: ("LRANGE", "l", 0, -1), 3),
    Row("LRANGE 10 in the middle", "l", numbers, lambda rng, n: ("LRANGE", "l", n // 2, n // 2 + 9), 5_000),
    Row("SRANDMEMBER", "s", two_sets, lambda rng, n: ("SRANDMEMBER", "s"), 20_000),
    Row("SRANDMEMBER 100", "s", two_sets, lambda rng, n: ("SRANDMEMBER", "s", 100), 2_000),
    Row("SINTERCARD of two", "s", two_sets, lambda rng, n: ("SINTERCARD", 2, "s", "t"), 3),
    Row("SINTER of two", "s", two_sets, lambda rng, n: ("SINTER", "s", "t"), 3),
    Row("SDIFF of two", "s", two_sets, lambda rng, n: ("SDIFF", "s", "t"), 3),
    Row("SUNION of two", "s", two_sets, lambda rng, n: ("SUNION", "s", "t"), 2),
    Row("SUNIONSTORE of two", "s", two_sets, lambda rng, n: ("SUNIONSTORE", "u", "s", "t"), 2),
    Row("SMEMBERS", "s", two_sets, lambda rng, n: ("SMEMBERS", "s"), 3),
    Row("COPY of a set", "s", two_sets, lambda rng, n: ("COPY", "s", "u", "REPLACE"), 3),
    Row("SSCAN COUNT 100", "s", two_sets, lambda rng, n: ("SSCAN", "s", rng.randrange(1 << 16), "COUNT", 100), 5_000),
    Row("HGETALL", "h", hash_of, lambda rng, n: ("HGETALL", "h"), 3),
    Row("COPY of a hash", "h", hash_of, lambda rng, n: ("COPY", "h", "i", "REPLACE"), 3),
    Row("HRANDFIELD 10", "h", hash_of, lambda rng, n: ("HRANDFIELD", "h", 10), 5_000),
    Row("SCAN COUNT 100", "k", keys, lambda rng, n: ("SCAN", rng.randrange(1 << 15), "COUNT", 100), 10_000),
    Row("SCAN COUNT 100 MATCH", "k", keys,
        lambda rng, n: ("SCAN", rng.randrange(1 << 15), "COUNT", 100, "MATCH", "key:*7*"), 10_000),
    Row("KEYS of few", "k", keys, lambda rng, n: ("KEYS", "key:99999*"), 3),
    Row("BITCOUNT of 64 MiB", "b", bitmap, lambda rng, n: ("BITCOUNT", "b"), 5),
    Row("BITCOUNT of 64 MiB, bits", "b", bitmap, lambda rng, n: ("BITCOUNT", "b", 3, -5, "BIT"), 5),
    Row("BITPOS of 64 MiB", "b", bitmap, lambda rng, n: ("BITPOS", "zeros", 1), 20),
    Row("BITOP AND of 64 MiB", "b", bitmap, lambda rng, n: ("BITOP", "AND", "d", "b", "c"), 3),
    Row("SETBIT in 64 MiB", "b", bitmap, lambda rng, n: ("SETBIT", "b", rng.randrange(n * 64), 1), 20_000),
    Row("APPEND to 64 MiB", "b", bitmap, lambda rng, n: ("APPEND", "b", b"x" * 20), 20_000),
    Row("PFADD, dense", "p", sketches, lambda rng, n: ("PFADD", "p", rng.getrandbits(60)), 20_000),
    Row("PFADD, sparse", "p", sketches, lambda rng, n: ("PFADD", "small", rng.randrange(400)), 20_000),
    Row("PFCOUNT", "p", sketches, lambda rng, n: ("PFCOUNT", "p"), 20_000),
    Row("PFCOUNT after a change", "p", sketches, lambda rng, n: _change_or_count(rng), 2_000),
    Row("PFCOUNT of two", "p", sketches, lambda rng, n: ("PFCOUNT", "p", "q"), 500),
    Row("PFMERGE of two", "p", sketches, lambda rng, n: ("PFMERGE", "r", "p", "q"), 500),
    Row("SORT of 100k", "u", unsorted, lambda rng, n: ("SORT", "u", "LIMIT", 0, 10), 3),
    Row("SORT of 100k, ALPHA", "u", unsorted, lambda rng, n: ("SORT", "u", "ALPHA", "LIMIT", 0, 10), 3),
    Row("SORT of 100k BY w_*", "u", unsorted, lambda rng, n: ("SORT", "u", "BY", "w_*", "LIMIT", 0, 10), 3),
    Row("SORT of 100k, STORE", "u", unsorted, lambda rng, n: ("SORT", "u", "STORE", "v"), 3),
    Row("GEOSEARCH 50 km", "g", places, lambda rng, n: near(rng, 50), 3_000),
    Row("GEOSEARCH 500 km", "g", places, lambda rng, n: near(rng, 500), 100),
    Row("GEOSEARCH 500 km, the nearest 10", "g", places, lambda rng, n: near(rng, 500, "ASC", "COUNT", "10"), 100),
]  # fmt: skip


def _change_or_count(rng: Random) -> Request:
    """The last byte of the head says that the estimate is not known: half of the requests make it say so again."""
    return ("SETRANGE", "p", 15, b"\x80") if rng.random() < 0.5 else ("PFCOUNT", "p")


def _ranks(rng: Random, size: int, count: int) -> Request:
    start = rng.randrange(size - count)
    return ("ZRANGE", "z", start, start + count - 1)


def _scores(rng: Random, size: int) -> Request:
    start = rng.randrange(size - 10)
    return ("ZRANGE", "z", start, start + 9, "BYSCORE")


def compare(wires: list[Wire], row: Row, size: int, rounds: int) -> None:
    columns: list[list[float]] = [[], []]
    for number in range(rounds):
        for column, wire in zip(columns, wires, strict=True):
            rng = Random(number)
            column.append(wire.cost((row.request(rng, size) for _ in range(row.count)), row.count))
    ratio = statistics.median(one / max(other, 0.01) for one, other in zip(*columns, strict=True))
    ours, theirs = (statistics.median(column) for column in columns)
    print(f"| {row.name} | {ours:.1f} | {theirs:.1f} | {ratio:.2f} |", flush=True)


def measure(wires: list[Wire], rows: list[Row], size: int, rounds: int) -> None:
    print("| request | us ours | us redis | ratio |\n|---|---|---|---|")
    filled = ""
    for row in rows:
        if row.key != filled:
            for wire in wires:
                wire.run([("FLUSHALL",)])
                wire.run(row.fill(size))
            filled = row.key
        compare(wires, row, size, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows whose name has this word")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only in row.name]
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.sched_setaffinity(0, {1})
    servers: list[Server] = []
    try:
        for name, argv in (("ours", options.server.split()), ("redis", ["redis-server"])):
            (folder / name).mkdir()
            servers.append(Server([*argv, "--appendonly", "no", "--save", ""], 0, folder / name))
        measure([Wire(server) for server in servers], rows, options.size, options.rounds)
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
