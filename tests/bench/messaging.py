"""Groups that look after themselves, schedules and channels: server CPU of each message, beside redis-server where it
has the like, in one run: `python tests/bench/messaging.py`.

The servers and the load are pinned as in streams.py. Where redis-server has no such thing, it does what comes nearest
without (a plain group; XCLAIM JUSTID for XRENEW), or the column is empty.
"""

import argparse
import os
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from streams import BATCH, FIRST_MS, Requests, Wire, adds, encode, group_reads
from throughput import Server

PUBLISHED = b"x" * 32


class Side:
    """One of the two servers, and a connection to it."""

    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.is_ours = name == "ours"
        self.server = server
        self.wire = Wire(server)

    def ours(self, *request: bytes | str | int) -> None:
        """Asked of our server only."""
        if self.is_ours:
            self.wire.run([request])


Cost = Callable[[Side], float]


def ids_of(batch: int) -> list[str]:
    return [f"{FIRST_MS + i // 3}-{i % 3}" for i in range(batch * BATCH, (batch + 1) * BATCH)]


def fresh_group(side: Side, entries: int, *policy: bytes | str | int) -> None:
    side.wire.run([("DEL", "s")])
    side.wire.run(adds(entries), 200)
    side.wire.run([("XGROUP", "CREATE", "s", "g", 0)])
    if policy:
        side.ours("XGROUP", "POLICY", "s", "g", *policy)


def group(entries: int, *policy: bytes | str | int) -> Cost:
    """Read and acknowledged in batches, an entry."""

    def cost(side: Side) -> float:
        fresh_group(side, entries, *policy)
        requests: list[tuple[bytes | str | int, ...]] = []
        for batch in range(entries // BATCH):
            requests += list(group_reads(1))
            requests.append((b"XACK", b"s", b"g", *ids_of(batch)))
        return side.wire.cost(requests, entries)

    return cost


def renew(entries: int) -> Cost:
    def cost(side: Side) -> float:
        fresh_group(side, entries, "ACKWAIT", 3_600_000)
        side.wire.run(group_reads(entries // BATCH))

        def requests() -> Requests:
            for _ in range(5):
                for batch in range(entries // BATCH):
                    if side.is_ours:
                        yield ("XRENEW", "s", "g", "c", "IDS", BATCH, *ids_of(batch))
                    else:
                        yield ("XCLAIM", "s", "g", "c", 0, *ids_of(batch), "JUSTID")

        return side.wire.cost(requests(), 5 * entries)

    return cost


def schedule(count: int) -> Cost:
    def cost(side: Side) -> float:
        side.wire.run([("FLUSHALL",)])
        before = side.server.cpu_seconds()
        times = (3_600_000 + i * 7919 % 100_000 for i in range(count))
        side.wire.run((("XSCHEDULE", "q", "DELAY", delay, "n", 1) for delay in times), 160)
        return (side.server.cpu_seconds() - before) / count * 1e6

    return cost


def fire(count: int) -> Cost:
    """All due at one moment: from then until they are in the stream."""

    def cost(side: Side) -> float:
        side.wire.run([("FLUSHALL",)])
        due = int(time.time() * 1000) + 2000 + count // 10
        side.wire.run((("XSCHEDULE", "q", "AT", due, "n", i) for i in range(count)), 200)
        assert time.time() * 1000 < due, "the machine is too slow for so many"
        before = side.server.cpu_seconds()
        while length(side) < count:
            time.sleep(0.05)
        return (side.server.cpu_seconds() - before) / count * 1e6

    return cost


def length(side: Side) -> int:
    with socket.create_connection(("127.0.0.1", side.server.port)) as sock:
        sock.sendall(encode(("XLEN", "q")))
        return int(sock.recv(100)[1:-2])


def wait_for(sock: socket.socket, text: bytes, times: int) -> None:
    """Read until a text has come so many times."""
    left = times
    tail = b""
    while left > 0:
        got = sock.recv(1 << 20)
        assert got, "the server cut the connection"
        data = tail + got
        left -= data.count(text)
        tail = data[1 - len(text) :]


@contextmanager
def listeners(side: Side, count: int, requests: Callable[[int], Requests]) -> Iterator[Callable[[], None]]:
    """Connections that subscribed; the callable reads what they got, and forgets it."""
    socks = []
    selector = selectors.DefaultSelector()
    for i in range(count):
        sock = socket.create_connection(("127.0.0.1", side.server.port))
        for request in requests(i):
            sock.sendall(encode(request))
            time.sleep(0.001)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
        socks.append(sock)
    time.sleep(0.1)

    def drain() -> None:
        while ready := selector.select(0):
            for key, _ in ready:
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                sock.recv(1 << 20)

    drain()
    yield drain
    for sock in socks:
        sock.close()
    selector.close()


def publish(count: int, subscribers: int, command: str = "PUBLISH", retained: bool = False) -> Cost:
    verb = {"PUBLISH": "SUBSCRIBE", "SPUBLISH": "SSUBSCRIBE"}[command]

    def cost(side: Side) -> float:
        if retained:
            side.ours("CHANNEL", "RETAIN", "news", "MAXLEN", 10_000)
        with listeners(side, subscribers, lambda _: [(verb, "news")]) as drain:
            before = side.server.cpu_seconds()
            for _ in range(0, count, 160):
                side.wire.run(((command, "news", PUBLISHED) for _ in range(160)), 160)
                drain()
            spent = side.server.cpu_seconds() - before
        if retained:
            side.ours("CHANNEL", "RETAIN", "news", "OFF")
        return spent / count * 1e6

    return cost


def patterns(count: int, number: int) -> Cost:
    """One of `number` patterns matches."""

    def cost(side: Side) -> float:
        names = [f"user:{i}:*" for i in range(number)]
        with listeners(side, 1, lambda _: [("PSUBSCRIBE", *names)]) as drain:
            before = side.server.cpu_seconds()
            for _ in range(0, count, 160):
                side.wire.run((("PUBLISH", "user:0:news", PUBLISHED) for _ in range(160)), 160)
                drain()
            return (side.server.cpu_seconds() - before) / count * 1e6

    return cost


def resume(count: int, kept: int) -> Cost:
    """CHANNEL RESUME from the beginning of what is kept, a message."""

    def cost(side: Side) -> float:
        side.ours("CHANNEL", "RETAIN", "log", "MAXLEN", kept)
        side.wire.run((("PUBLISH", "log", PUBLISHED) for _ in range(kept)), 200)
        rounds = count // kept
        with listeners(side, 1, lambda _: []) as drain:
            del drain
            before = side.server.cpu_seconds()
            for _ in range(rounds):
                with socket.create_connection(("127.0.0.1", side.server.port)) as sock:
                    sock.sendall(encode(("CHANNEL", "RESUME", "log", "0")))
                    wait_for(sock, PUBLISHED, kept)
            return (side.server.cpu_seconds() - before) / (rounds * kept) * 1e6

    return cost


def subscriptions(count: int) -> Cost:
    """Subscribed to and unsubscribed from in requests of a hundred, a channel."""

    def cost(side: Side) -> float:
        with socket.create_connection(("127.0.0.1", side.server.port)) as sock:
            before = side.server.cpu_seconds()
            for verb in ("SUBSCRIBE", "UNSUBSCRIBE"):
                for first in range(0, count, 100):
                    sock.sendall(encode((verb, *(f"channel:{i}" for i in range(first, first + 100)))))
                    wait_for(sock, b"subscribe\r\n", 100)
            return (side.server.cpu_seconds() - before) / (2 * count) * 1e6

    return cost


def rows(scale: float) -> dict[str, tuple[Cost, bool]]:
    """{name: (what it costs, whether redis-server has the like)}"""
    many = max(int(200_000 * scale) // BATCH * BATCH, BATCH)
    some = max(int(50_000 * scale), 320)
    return {
        "XREADGROUP and XACK, plain group": (group(many), True),
        "... with ACKWAIT (redis: plain)": (group(many, "ACKWAIT", 60_000), True),
        "... with ORDERBY, 5000 values (redis: plain)": (group(many, "ACKWAIT", 60_000, "ORDERBY", "user"), True),
        "XRENEW of 100, an entry (redis: XCLAIM JUSTID)": (renew(many // 5), True),
        "XSCHEDULE": (schedule(many), False),
        "a scheduled message comes due": (fire(many), False),
        "PUBLISH to nobody": (publish(4 * many, 0), True),
        "PUBLISH to 100 subscribers": (publish(some // 10, 100), True),
        "SPUBLISH to 1 subscriber": (publish(many, 1, "SPUBLISH"), True),
        "PUBLISH, 1 pattern": (patterns(many, 1), True),
        "PUBLISH, 1000 patterns, 1 matches": (patterns(many, 1000), True),
        "PUBLISH to a retained channel, 1 subscriber (redis: not retained)": (publish(many, 1, retained=True), True),
        "CHANNEL RESUME, a message": (resume(many, max(int(10_000 * scale), 100)), False),
        "SUBSCRIBE and UNSUBSCRIBE, of 1M channels": (subscriptions(max(int(1_000_000 * scale), 1000)), True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of requests")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="rows that have this in their names")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.sched_setaffinity(0, {1})
    sides: list[Side] = []
    try:
        for name, argv in (("ours", options.server.split()), ("redis", ["redis-server"])):
            (folder / name).mkdir()
            sides.append(Side(name, Server([*argv, "--appendonly", "no", "--save", ""], 0, folder / name)))
        print("| what | us ours | us redis | ratio |\n|---|---|---|---|", flush=True)
        for name, (cost, both) in rows(options.scale).items():
            if options.only in name:
                print(row(name, cost, sides if both else sides[:1], options.rounds), flush=True)
    finally:
        for side in sides:
            side.server.stop()
        shutil.rmtree(folder)


def row(name: str, cost: Cost, sides: list[Side], rounds: int) -> str:
    columns: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for column, side in zip(columns, sides, strict=True):
            column.append(cost(side))
    if len(sides) == 1:
        return f"| {name} | {statistics.median(columns[0]):.2f} | | |"
    ratio = statistics.median(mine / theirs for mine, theirs in zip(*columns, strict=True))
    return f"| {name} | {statistics.median(columns[0]):.2f} | {statistics.median(columns[1]):.2f} | {ratio:.2f} |"


if __name__ == "__main__":
    main()
