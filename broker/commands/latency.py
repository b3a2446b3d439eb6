"""LATENCY: what took long, and how long each command takes."""

from typing import Final

from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.introspection import find_command
from broker.commands.logs import LatencyEvent, cumulative
from broker.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, Command, Group
from broker.errors import CommandError
from broker.protocol.replies import Map, Reply, Verbatim

command = Group("server").command
_ADMIN: Final = ADMIN | NOSCRIPT | LOADING | STALE


@command("LATENCY|LATEST", arity=2, flags=_ADMIN, since="2.8.13",
         summary="Of each event: when it last took long, how long, and the worst ever", cost="O(1)")  # fmt: skip
def latency_latest(ctx: Context, argv: list[bytes]) -> Reply:
    rows: list[Reply] = []
    for name, event in ctx.shared.latency.events.items():
        when, milliseconds = event.samples[-1]
        row: list[Reply] = [name, when, milliseconds, event.worst]
        rows.append(row)
    return rows


@command("LATENCY|HISTORY", arity=3, flags=_ADMIN, since="2.8.13", syntax="event",
         summary="Samples of an event: Unix time and milliseconds", cost="O(1)")  # fmt: skip
def latency_history(ctx: Context, argv: list[bytes]) -> Reply:
    rows: list[Reply] = []
    event = ctx.shared.latency.events.get(argv[2])
    if event is not None:
        for when, milliseconds in event.samples:
            row: list[Reply] = [when, milliseconds]
            rows.append(row)
    return rows


@command("LATENCY|RESET", arity=-2, flags=_ADMIN, since="2.8.13", syntax="[event [event ...]]",
         summary="Forget events; the number of those forgotten", cost="O(1)")  # fmt: skip
def latency_reset(ctx: Context, argv: list[bytes]) -> Reply:
    events = ctx.shared.latency.events
    if len(argv) == 2:
        count = len(events)
        events.clear()
        return count
    return sum([1 for name in argv[2:] if events.pop(name, None) is not None])


@command("LATENCY|GRAPH", arity=3, flags=_ADMIN, since="2.8.13", syntax="event",
         summary="A drawing of an event's samples", cost="O(1)")  # fmt: skip
def latency_graph(ctx: Context, argv: list[bytes]) -> Reply:
    event = ctx.shared.latency.events.get(argv[2])
    if event is None:
        raise CommandError("ERR", f"No samples available for event '{argv[2].decode('utf-8', 'surrogateescape')}'")
    values = [milliseconds for _, milliseconds in event.samples]
    head = f"high {max(values)} ms, low {min(values)} ms (all time high {event.worst} ms)"
    lines = [argv[2] + b" - " + head.encode(), b"-" * _COLUMNS]
    for start in range(0, len(values), _COLUMNS):
        lines.extend(_bars(list(event.samples)[start : start + _COLUMNS], min(values), max(values), ctx.now_ms // 1000))
    return Verbatim(b"\n".join(lines) + b"\n")


_COLUMNS: Final = 80
_ROWS: Final = 4
_TOPS: Final = b"_o#"  # a third of a row, two thirds, all of it


def _bars(samples: list[tuple[int, int]], low: int, high: int, now: int) -> list[bytes]:
    """Some rows of bars, and how long ago each was, to be read downwards."""
    steps = [max(1, (value - low) * _ROWS * 3 // max(1, high - low)) for _, value in samples]
    lines: list[bytes] = []
    for row in range(_ROWS - 1, -1, -1):
        heights = [min(3, max(0, step - row * 3)) for step in steps]
        lines.append(b"".join([b" " if height == 0 else _TOPS[height - 1 : height] for height in heights]))
    labels = [_ago(now - when) for when, _ in samples]
    lines.append(b"")
    for i in range(max([len(label) for label in labels])):
        lines.append(b"".join([label[i : i + 1] or b" " for label in labels]))
    return lines


def _ago(seconds: int) -> bytes:
    if seconds < 60:
        return b"%ds" % seconds
    if seconds < 3600:
        return b"%dm" % (seconds // 60)
    return b"%dh" % (seconds // 3600) if seconds < 86400 else b"%dd" % (seconds // 86400)


@command("LATENCY|DOCTOR", arity=2, flags=_ADMIN, since="2.8.13", summary="What makes the server slow, if anything",
         cost="O(1)",
         differs="Other words")  # fmt: skip
def latency_doctor(ctx: Context, argv: list[bytes]) -> Reply:
    latency = ctx.shared.latency
    if not latency.threshold:
        return Verbatim(
            b"Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> switches it on; SLOWLOG "
            b"GET shows the requests that took long, LATENCY HISTOGRAM the time that each command takes."
        )
    if not latency.events:
        return Verbatim(b"No latency spike was seen so far: nothing took %d ms or more." % latency.threshold)
    lines = [b"Latency spikes were seen (threshold: %d ms):" % latency.threshold]
    for name, event in latency.events.items():
        lines.append(_report(name, event))
    return Verbatim(b"\n".join(lines) + b"\n")


_ADVICE: Final = {
    b"command": b"SLOWLOG GET shows the requests: look for big collections and for commands of O(n).",
    b"fast-command": b"The process was held up: look at the load of the machine, at swapping, at its scheduler.",
    b"expire-cycle": b"Many keys expire at the same moment: spread their times.",
    b"eviction-cycle": b"Memory is short, and keys are evicted all the time: raise maxmemory, or write less.",
}


def _report(name: bytes, event: LatencyEvent) -> bytes:
    values = [milliseconds for _, milliseconds in event.samples]
    mean = sum(values) // len(values)
    text = b"%b: %d spikes, %d ms on average, %d ms at worst. " % (name, len(values), mean, event.worst)
    return text + _ADVICE.get(name, b"")


@command("LATENCY|HISTOGRAM", arity=-2, flags=_ADMIN, since="7.0.0", syntax="[command [command ...]]",
         summary="How long commands took: calls, and how many were done within 1, 2, 4 ... microseconds",
         cost="O(n), n commands asked for")  # fmt: skip
def latency_histogram(ctx: Context, argv: list[bytes]) -> Reply:
    asked: list[Command] = []
    if len(argv) == 2:
        asked = list(ctx.shared.commands.values())
    for name in argv[2:]:
        found = find_command(ctx, name)
        if found is not None:
            asked.append(found)
    flat: list[Reply] = []
    for top in asked:
        for each in [top, *top.subcommands.values()]:
            if each.times:
                flat.append(each.wire_name)
                flat.append(_times(each))
    return Map(flat)


def _times(each: Command) -> Reply:
    steps: list[Reply] = []
    for microseconds, count in cumulative(each.times):
        steps.append(microseconds)
        steps.append(count)
    return Map([b"calls", sum(each.times), b"histogram_usec", Map(steps)])


@command("LATENCY|HELP", arity=2, flags=LOADING | STALE, since="2.8.13", summary="What LATENCY can do", cost="O(1)")
def latency_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"LATENCY")
