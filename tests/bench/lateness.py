"""How late keys expire and scheduled messages come, and how long others wait: `python tests/bench/lateness.py`.

The server has core 0, this process core 1. Each key is named by its due time, so that its `expired` event tells how
late it was, the way to this process included. A second connection asks PING all the time: the longest answer shows
stalls.
Wall-clock time, so only a quiet machine gives good figures.
"""

import argparse
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from streams import Wire, encode
from throughput import Server


class Pings(threading.Thread):
    """Asks again and again until it is told to stop. times: seconds of each answer."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.times: list[float] = []
        self.ending = False
        self._sock = socket.create_connection(("127.0.0.1", port))

    def run(self) -> None:
        while not self.ending:
            started = time.perf_counter()
            self._sock.sendall(b"PING\r\n")
            self._sock.recv(100)
            self.times.append(time.perf_counter() - started)
            time.sleep(0.001)


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    shown = [ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[len(ordered) * 999 // 1000]]
    return " | ".join(f"{value:.2f}" for value in [*shown, ordered[-1]])


def listener(server: Server, *requests: tuple[str | int, ...]) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port))
    for request in requests:
        sock.sendall(encode(request))
        sock.recv(1000)
    return sock


def now_ms() -> float:
    return time.time() * 1000


def observe(server: Server, name: str, lateness: Callable[[], list[float]]) -> None:
    pings = Pings(server.port)
    pings.start()
    try:
        late = lateness()
    finally:
        pings.ending = True
        pings.join()
    print(f"| {name} | {len(late)} | {spread(late)} | {max(pings.times) * 1000:.2f} |", flush=True)


def expired(server: Server, wire: Wire, due_of: Callable[[int], int], count: int) -> list[float]:
    """Milliseconds by which each of `count` keys was late."""
    sock = listener(server, ("SUBSCRIBE", "__keyevent@0__:expired"))
    wire.run((("SET", f"due:{due_of(i)}:{i}", "x", "PXAT", due_of(i)) for i in range(count)), 200)
    late: list[float] = []
    rest = b""
    pattern = re.compile(rb"due:(\d+):\d+\r\n")
    while len(late) < count:
        got = sock.recv(1 << 20)
        assert got, "the server cut the connection"
        now = now_ms()
        data = rest + got
        end = 0
        for found in pattern.finditer(data):
            late.append(now - int(found[1]))
            end = found.end()
        rest = data[end:]
    sock.close()
    return late


def expiries(server: Server, wire: Wire, count: int, few: int) -> None:
    wire.run([("CONFIG", "SET", "notify-keyspace-events", "Ex")])
    wire.run([("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")])
    wire.run((("SET", f"far:{i}", "x", "PX", 3_600_000 + i * 7919 % 1_000_000) for i in range(count)), 200)
    start = int(now_ms()) + 1000
    observe(server, f"{few} keys, one each 5 ms, beside {count:,} others", lambda: expired(
        server, wire, lambda i: start + i * 5, few))  # fmt: skip
    wire.run([("FLUSHALL",)])
    seconds = count // 15_000 + 1
    begin = int(now_ms()) + count // 25 + 2000  # when all are there
    observe(server, f"{count:,} keys within {seconds} s", lambda: expired(
        server, wire, lambda i: begin + i * 7919 % (seconds * 1000), count))  # fmt: skip
    at = int(now_ms()) + count // 25 + 2000
    observe(server, f"{count:,} keys in one ms", lambda: expired(server, wire, lambda i: at, count))


def scheduled(server: Server, wire: Wire, few: int) -> list[float]:
    start = int(now_ms()) + 1000
    wire.run((("XSCHEDULE", "q", "AT", start + i * 5, "due", f"due:{start + i * 5}:") for i in range(few)), 200)
    late: list[float] = []
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        last = "0"
        while len(late) < few:
            sock.sendall(encode(("XREAD", "BLOCK", 0, "STREAMS", "q", last)))
            data = b""
            while not data.endswith(b":\r\n"):
                data += sock.recv(1 << 20)
            now = now_ms()
            late += [now - int(due) for due in re.findall(rb"due:(\d+):\r\n", data)]
            last = re.findall(rb"\r\n(\d+-\d+)\r\n", data)[-1].decode()
    return late


def schedules(server: Server, wire: Wire, count: int, few: int) -> None:
    wire.run([("FLUSHALL",)])
    delays = (3_600_000 + i * 7919 % 1_000_000 for i in range(count))
    wire.run((("XSCHEDULE", f"far:{delay % 1000}", "DELAY", delay, "n", 1) for delay in delays), 200)
    observe(server, f"{few} messages, one each 5 ms, to a blocked reader, beside {count:,} others", lambda: scheduled(
        server, wire, few))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default=f"{sys.executable} -P -m broker serve", help="how ours is started")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=4000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    os.sched_setaffinity(0, {1})
    server = Server([*options.server.split(), "--appendonly", "no", "--save", ""], 0, folder)
    try:
        wire = Wire(server)
        print("| ms late | number | p50 | p99 | p99.9 | max | longest PING, ms |\n|---|---|---|---|---|---|---|")
        expiries(server, wire, options.count, options.few)
        schedules(server, wire, options.count, options.few)
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
