"""The longest turn that a command causes on data of the sizes that are promised: `python tests/bench/stalls.py`.

Each part builds one thing (a stream of 10M entries, a million pending entries, a million schedules, a million keys that
expire, a client with a million subscriptions ...) in an engine of this process, then lets single requests loose on it.
A line: the request, the milliseconds of its own turn with the reply encoded, and of the longest turn from there until
nothing is left to do (what was removed is freed in later turns). Milliseconds of CPU: on a busy machine the wall clock
tells of others. The goal is 10 ms for each. Only the compiled build counts. `--scale 0.01` tries it out.
"""

import argparse
import gc
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.engine import RecordingControl

from broker.clock import Clock
from broker.commands.context import Context
from broker.config import load
from broker.engine.engine import Engine
from broker.protocol.encoder import encode
from broker.protocol.replies import ErrorReply
from broker.version import is_compiled

GOAL_MS = 10.0
_QUIET_TURNS = 3


class Broker:
    """An engine, and turns of it with a watch in hand. Time passes as it does, unless ahead() lets it jump."""

    def __init__(self) -> None:
        self._ahead = 0.0
        clock = Clock(lambda: time.time() + self._ahead, lambda: time.monotonic() + self._ahead)
        self.engine = Engine(load(None, []), RecordingControl(), clock, Random(1), _fail)
        self.engine.journal.enabled = True
        self.ctx = self.engine.open_session()
        gc.collect()
        gc.freeze()
        gc.disable()

    def ahead(self, seconds: float) -> None:
        self._ahead += seconds

    def turn(self, argv: list[bytes] | None = None, ctx: Context | None = None) -> float:
        """Milliseconds."""
        engine = self.engine
        ctx = ctx or self.ctx
        started = time.thread_time()
        engine.begin_turn()
        if argv is not None:
            reply = engine.execute(ctx, argv)
            if isinstance(reply, ErrorReply):
                raise SystemExit(f"{argv[:4]!r}: {reply.text!r}")
            encode(reply, [], False)
        engine.end_turn()
        engine.journal.take()
        ctx.session.out.clear()
        engine.outgoing.clear()
        return (time.thread_time() - started) * 1000

    def fill(self, requests: Iterable[list[bytes]], ctx: Context | None = None) -> None:
        """Without turns in between."""
        engine = self.engine
        ctx = ctx or self.ctx
        engine.begin_turn()
        for count, argv in enumerate(requests):
            reply = engine.execute(ctx, argv)
            if isinstance(reply, ErrorReply):
                raise SystemExit(f"{argv[:4]!r}: {reply.text!r}")
            if count % 1000 == 0:
                engine.journal.take()
                ctx.session.out.clear()
        self.rest()

    def rest(self, ctx: Context | None = None) -> float:
        """Turns until nothing is left to do at once: the longest of them."""
        longest = 0.0
        quiet = 0
        while quiet < _QUIET_TURNS:
            longest = max(longest, self.turn(None, ctx))
            left = self.engine.next_deadline_ms()
            quiet = 0 if left is not None and left <= 0 else quiet + 1
        return longest

    def close(self, ctx: Context) -> float:
        started = time.thread_time()
        self.engine.close_session(ctx)
        return (time.thread_time() - started) * 1000


def _fail(command: str, error: Exception) -> None:
    raise SystemExit(f"{command} failed: {error!r}")


def resident() -> int:
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


class Report:
    """Lines of one part; `worst` over all of them."""

    def __init__(self) -> None:
        self.worst: list[tuple[float, str]] = []
        print("| data | request | ms | longest turn after it |\n|---|---|---|---|", flush=True)

    def line(self, data: str, request: str, own: float, after: float) -> None:
        mark = " (!)" if max(own, after) > GOAL_MS else ""
        print(f"| {data} | {request} | {own:.2f} | {after:.2f}{mark} |", flush=True)
        self.worst.append((max(own, after), f"{data}: {request}"))

    def ask(self, broker: Broker, data: str, *requests: str) -> None:
        for request in requests:
            own = broker.turn([part.encode() for part in request.split()])
            self.line(data, request if len(request) < 80 else request[:77] + "...", own, broker.rest())


def entry(i: int) -> list[bytes]:
    return [b"user", b"user:%06d" % (i * 7919 % 5000), b"action", b"click", b"page", b"/p/%d" % (i * 104729 % 777),
            b"ms", b"%d" % (i * 15485863 % 1000), b"ok", b"1"]  # fmt: skip


def adds(key: bytes, count: int, start: int = 1) -> Iterable[list[bytes]]:
    for i in range(start, start + count):
        yield [b"XADD", key, b"%d-1" % i, *entry(i)]


def big_stream(report: Report, count: int) -> None:
    """A stream of `count` entries."""
    broker = Broker()
    before = resident()
    broker.fill(adds(b"s", count))
    data = f"stream of {count:,}"
    print(f"| {data} | resident bytes an entry: {(resident() - before) / count:.1f} | | |", flush=True)
    middle = count // 2
    report.ask(
        broker, data, "XADD s * a b", "XLEN s", "XINFO STREAM s", "XINFO STREAM s FULL", "MEMORY USAGE s",
        f"XRANGE s {middle} + COUNT 100", f"XREVRANGE s {middle} - COUNT 100", "XGROUP CREATE s g 0",
        "XGROUP SETID s g 0 ENTRIESREAD 0", "XINFO GROUPS s", f"XDEL s {middle}-1", "XINFO GROUPS s",
        f"XGROUP SETID s g {middle}", "XINFO GROUPS s", "XDEL s " + " ".join(f"{middle + 1 + i}-1" for i in range(200)),
        "XINFO GROUPS s", f"XTRIM s MAXLEN ~ {count - 1000}", f"XTRIM s MAXLEN = {count - 50_000}",
        "XREADGROUP GROUP g c COUNT 100 STREAMS s >", f"XTRIM s MAXLEN {count // 2} ACKED",
        f"XTRIM s MINID {count // 4} DELREF", "XCFGSET s MAXBYTES 100000000000", "XADD s * a b", "XADD s * a b",
        "COPY s s2", "RENAME s2 s3", "DEL s3", "COPY s s2", "XTRIM s2 MAXLEN 0", "SET s2 x", "DEL s",
    )  # fmt: skip


def acked_trim(report: Report, count: int) -> None:
    """Trims that look at each group's pending entries."""
    broker = Broker()
    broker.fill(adds(b"s", count))
    broker.fill([[b"XGROUP", b"CREATE", b"s", b"g", b"0"]])
    for _ in range(10):
        broker.fill([[b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", b"%d" % (count // 10), b"STREAMS", b"s", b">"]])
    broker.fill([b"XACK", b"s", b"g", b"%d-1" % i] for i in range(1, count) if i % 3)
    data = f"stream of {count:,}, a third of it pending"
    report.ask(broker, data, f"XTRIM s MAXLEN {count // 2} ACKED", f"XTRIM s MAXLEN ~ {count // 2} ACKED",
               f"XTRIM s MAXLEN {count // 2} DELREF", "XTRIM s MAXLEN 0 DELREF")  # fmt: skip


def pending(report: Report, count: int) -> None:
    """A group with `count` pending entries."""
    broker = Broker()
    data = f"{count:,} pending entries"
    broker.fill(adds(b"s", count))
    broker.fill([[b"XGROUP", b"CREATE", b"s", b"g", b"0"]])
    before = resident()
    broker.fill(
        [b"XREADGROUP", b"GROUP", b"g", b"c%d" % (i % 10), b"COUNT", b"100", b"STREAMS", b"s", b">"]
        for i in range(count // 100)
    )
    print(f"| {data} | resident bytes each: {(resident() - before) / count:.1f} | | |", flush=True)
    middle = count // 2
    report.ask(
        broker, data, "XPENDING s g", "XPENDING s g - + 10", f"XPENDING s g IDLE 100 {middle} + 10 c3",
        "XAUTOCLAIM s g c1 1000000 0 COUNT 100", "XAUTOCLAIM s g c1 0 0 COUNT 100",
        f"XCLAIM s g c2 0 {middle}-1", f"XACK s g {middle}-1", f"XNACK s g FAIL IDS 1 {middle + 1}-1",
        "XREADGROUP GROUP g c1 COUNT 10 CLAIM 0 STREAMS s >", "XINFO GROUPS s", "XINFO CONSUMERS s g",
        "XINFO STREAM s FULL", "XGROUP POLICY s g ACKWAIT 3600000", "XREADGROUP GROUP g c1 COUNT 10 STREAMS s >",
        "XREADGROUP GROUP g c1 COUNT 10 STREAMS s 0", "XGROUP DELCONSUMER s g c4", "XGROUP DELCONSUMER s g c5 RELEASE",
        "XGROUP DELCONSUMER s g c6 REASSIGN c7", "XGROUP POLICY s g ORDERBY user", "XINFO GROUPS s",
        "XGROUP POLICY s g MAXDELIVER 1 DEADLETTER dead ACKWAIT 10",
    )  # fmt: skip
    broker.ahead(1)
    report.line(data, "all leases run out, to the dead letters", broker.turn(), broker.rest())
    report.ask(broker, data, "XINFO GROUPS s", "XREDRIVE dead COUNT 100", "XGROUP DESTROY s g", "DEL dead")


def schedules(report: Report, count: int) -> None:
    """`count` scheduled messages."""
    broker = Broker()
    data = f"{count:,} schedules"
    before = resident()
    broker.fill(
        [b"XSCHEDULE", b"q%d" % (i % 1000), b"DELAY", b"%d" % (3_600_000 + i * 7919 % 1_000_000), b"n", b"%d" % i]
        for i in range(count)
    )
    print(f"| {data} | resident bytes each: {(resident() - before) / count:.1f} | | |", flush=True)
    report.ask(broker, data, "XSCHEDULE q1 ID mine DELAY 5000000 n 1", "XSCHEDULES q1 COUNT 10", "XUNSCHEDULE q1 mine",
               "FLUSHALL")  # fmt: skip
    broker.fill([b"XSCHEDULE", b"q", b"DELAY", b"3600000", b"n", b"%d" % i] for i in range(count))
    report.ask(broker, data + " on a key", "XSCHEDULES q COUNT 10", "XSCHEDULES q MATCH x*")
    broker.ahead(7200)
    report.line(data, "all due at once", broker.turn(), broker.rest())
    report.ask(broker, data, "DEL q")


def expiring(report: Report, count: int) -> None:
    """`count` keys that expire."""
    broker = Broker()
    data = f"{count:,} expiring keys"
    before = resident()
    for i in range(count):
        broker.fill([[b"SET", b"key:%d" % i, b"x" * 10]]) if i == 0 else broker.engine.execute(
            broker.ctx, [b"SET", b"key:%d" % i, b"x" * 10]
        )
        if i % 1000 == 0:
            broker.engine.journal.take()
    without = resident()
    longest = 0.0
    for i in range(count):
        started = time.thread_time()
        broker.engine.execute(broker.ctx, [b"PEXPIRE", b"key:%d" % i, b"%d" % (3_600_000 + i % 10_000)])
        longest = max(longest, (time.thread_time() - started) * 1000)
        if i % 1000 == 0:
            broker.engine.journal.take()
    print(f"| {data} | resident bytes each: {(without - before) / count:.1f} for the key, "
          f"{(resident() - without) / count:.1f} for its time | | |", flush=True)  # fmt: skip
    report.line(data, "PEXPIRE, the slowest", longest, broker.rest())
    for name, change in (("later", 1_000_000), ("earlier", -1_000_000)):
        longest = 0.0
        for i in range(count):
            argv = [b"PEXPIRE", b"key:%d" % i, b"%d" % (3_600_000 + change + i % 10_000)]
            started = time.thread_time()
            broker.engine.execute(broker.ctx, argv)
            longest = max(longest, (time.thread_time() - started) * 1000)
            if i % 1000 == 0:
                broker.engine.journal.take()
        report.line(data, f"PEXPIRE {name}, the slowest", longest, broker.rest())
    report.ask(broker, data, "RANDOMKEY", "SCAN 0", "DBSIZE")
    broker.ahead(7200)
    report.line(data, "all due at once", broker.turn(), broker.rest())
    broker.fill([b"SET", b"key:%d" % i, b"x", b"EX", b"3600"] for i in range(count))
    report.ask(broker, data, "SWAPDB 0 1", "SWAPDB 0 1", "FLUSHALL")


def values(report: Report, count: int) -> None:
    """Values of `count` elements, deleted and written over."""
    broker = Broker()
    makers: dict[str, Callable[[int], list[bytes]]] = {
        "hash": lambda i: [b"HSET", b"v", b"f%d" % i, b"%d" % i],
        "hash with times": lambda i: [
            *[b"HSETEX", b"v", b"EX", b"%d" % (5000 + i % 1000)],
            *[b"FIELDS", b"1", b"f%d" % i, b"%d" % i],
        ],
        "set": lambda i: [b"SADD", b"v", b"m%d" % i],
        "sorted set": lambda i: [b"ZADD", b"v", b"%d" % i, b"m%d" % i],
        "list": lambda i: [b"RPUSH", b"v", b"%d" % i],
    }
    for name, make in makers.items():
        for how in ("DEL v", "UNLINK v", "SET v x", "expiry", "COPY v w", "FLUSHDB ASYNC"):
            broker.fill(make(i) for i in range(count))
            data = f"{name} of {count:,}"
            if how == "expiry":
                broker.turn([b"PEXPIRE", b"v", b"1000"])
                broker.ahead(2)
                report.line(data, how, broker.turn(), broker.rest())
            else:
                report.ask(broker, data, how)
            broker.turn([b"DEL", b"v", b"w"])
            broker.rest()


def subscriptions(report: Report, count: int) -> None:
    """A client with `count` subscriptions."""
    broker = Broker()
    data = f"{count:,} subscriptions"
    for command, leave in ((b"SUBSCRIBE", b"UNSUBSCRIBE"), (b"PSUBSCRIBE", b"PUNSUBSCRIBE"),
                           (b"SSUBSCRIBE", b"SUNSUBSCRIBE")):  # fmt: skip
        ctx = broker.engine.open_session()
        before = resident()
        longest = 0.0
        for i in range(0, count, 100):
            argv = [command] + [b"channel:%d:*" % n for n in range(i, i + 100)]
            started = time.thread_time()
            broker.engine.execute(ctx, argv)
            longest = max(longest, (time.thread_time() - started) * 1000)
            ctx.session.out.clear()
            broker.engine.outgoing.clear()
        what = f"{data} ({command.decode()})"
        print(f"| {what} | resident bytes each: {(resident() - before) / count:.1f} | | |", flush=True)
        report.line(what, "100 more, the slowest", longest, broker.rest())
        own = broker.turn([b"PUBLISH", b"channel:77:*", b"m"])
        report.line(what, "PUBLISH", own, broker.rest())
        for number in (5, 6):
            own = broker.turn([leave, b"channel:%d:*" % number], ctx)
            report.line(what, leave.decode() + " one", own, broker.rest())
        report.line(what, "the client goes", broker.close(ctx), broker.rest())
    ctx = broker.engine.open_session()
    for i in range(0, count, 100):
        broker.engine.execute(ctx, [b"SUBSCRIBE"] + [b"channel:%d:*" % n for n in range(i, i + 100)])
        ctx.session.out.clear()
        broker.engine.outgoing.clear()
    own = broker.turn([b"UNSUBSCRIBE"], ctx)
    report.line(data, "UNSUBSCRIBE from all (a reply for each)", own, broker.rest(ctx))


PARTS: dict[str, tuple[Callable[[Report, int], None], int]] = {
    "stream": (big_stream, 10_000_000),
    "acked": (acked_trim, 1_000_000),
    "pending": (pending, 1_000_000),
    "schedules": (schedules, 1_000_000),
    "expiring": (expiring, 1_000_000),
    "values": (values, 1_000_000),
    "subscriptions": (subscriptions, 1_000_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes")
    options = parser.parse_args()
    print(f"{'compiled' if is_compiled() else 'NOT COMPILED'}, {os.cpu_count()} cores\n")
    report = Report()
    for name, (part, count) in PARTS.items():
        if not options.only or name in options.only.split(","):
            part(report, int(count * options.scale))
    worst, where = max(report.worst)
    above = sum(ms > GOAL_MS for ms, _ in report.worst)
    print(f"\nlongest turn: {worst:.2f} ms ({where}); {above} of {len(report.worst)} above {GOAL_MS:.0f} ms")


if __name__ == "__main__":
    main()
