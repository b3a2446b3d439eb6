"""HOTKEYS: find the keys that take most of the CPU time and of the traffic."""

from typing import Final

from broker.commands.args import to_int
from broker.commands.context import Context
from broker.commands.docs import help_of
from broker.commands.hot_key_watch import HotKeyWatch
from broker.commands.registry import ADMIN, LOADING, NOSCRIPT, STALE, Group
from broker.datatypes.heavy_hitters import HeavyHitters
from broker.errors import CommandError
from broker.protocol.replies import OK, Map, Reply

command = Group("server").command
_FLAGS: Final = ADMIN | NOSCRIPT
_KINDS: Final = 2  # CPU, NET
_MOST_KEYS: Final = 64
_MOST_SECONDS: Final = 1_000_000
_INT_MAX: Final = (1 << 31) - 1


def _ranged(text: bytes, most: int, refusal: str) -> int:
    """From 1 on. Redis: getRangeLongFromObjectOrReply, with a text of its own for whatever is wrong."""
    try:
        number = to_int(text)
    except CommandError:
        raise CommandError("ERR", refusal) from None
    if not 1 <= number <= most:
        raise CommandError("ERR", refusal)
    return number


def _metrics(argv: list[bytes]) -> tuple[set[bytes], int]:
    """What METRICS names, and the place behind it. Unknown names are passed over where a known one is there."""
    if len(argv) < 4 or argv[2].upper() != b"METRICS":
        raise CommandError("ERR", "METRICS parameter is required")
    count = _ranged(argv[3], _KINDS, f"METRICS count must be > 0 and <= {_KINDS}")
    found: set[bytes] = set()
    for word in argv[4 : 4 + count]:
        name = word.upper()
        if name in found:
            raise CommandError("ERR", f"METRICS {name.decode()} defined more than once!")
        if name in (b"CPU", b"NET"):
            found.add(name)
    if len(argv) < 4 + count:
        raise CommandError("ERR", "METRICS count does not match number of metric types provided")
    if not found:
        raise CommandError("ERR", "METRICS no valid metrics passed. Supported: CPU|NET")
    return found, 4 + count


def _watch_of(ctx: Context) -> HotKeyWatch | None:
    """The session, ended if its time is up."""
    watch = ctx.shared.hot_keys
    if watch is not None:
        watch.look_at_the_clock(ctx.now_ms)
    return watch


@command("HOTKEYS|START", arity=-2, flags=_FLAGS, since="8.6.0",
         syntax="METRICS count [CPU] [NET] [COUNT k] [DURATION seconds] [SAMPLE ratio] [SLOTS count slot [slot ...]]",
         summary="Begin to collect which keys take most CPU time or traffic", cost="O(1)")  # fmt: skip
def hotkeys_start(ctx: Context, argv: list[bytes]) -> Reply:
    watch = _watch_of(ctx)
    if watch is not None and watch.is_active:
        raise CommandError("ERR", "hotkey tracking session already in progress")
    metrics, at = _metrics(argv)
    count, seconds, ratio = 10, 0, 1
    while at < len(argv):
        option = argv[at].upper() if at + 1 < len(argv) else b""
        if option == b"COUNT":
            count = _ranged(argv[at + 1], _MOST_KEYS, f"COUNT must be between 1 and {_MOST_KEYS}")
        elif option == b"DURATION":
            seconds = _ranged(argv[at + 1], _MOST_SECONDS, f"DURATION must be between 1 and {_MOST_SECONDS}")
        elif option == b"SAMPLE":
            ratio = _ranged(argv[at + 1], _INT_MAX, "SAMPLE ratio must be positive")
        elif option == b"SLOTS":
            raise CommandError("ERR", "SLOTS parameter cannot be used in non-cluster mode")
        else:
            raise CommandError("ERR", "syntax error")
        at += 2
    ctx.shared.hot_keys = HotKeyWatch(
        b"CPU" in metrics,
        b"NET" in metrics,
        count,
        seconds * 1000,
        ratio,
        ctx.now_ms,
        ctx.keyspace.rng,
        ctx.shared.clock,
    )
    return OK


@command("HOTKEYS|STOP", arity=2, flags=_FLAGS, since="8.6.0", summary="End the collecting; what was found stays",
         cost="O(1)")  # fmt: skip
def hotkeys_stop(ctx: Context, argv: list[bytes]) -> Reply:
    watch = _watch_of(ctx)
    if watch is None or not watch.is_active:
        return None
    watch.stop(ctx.now_ms)
    return OK


@command("HOTKEYS|RESET", arity=2, flags=_FLAGS, since="8.6.0", summary="Forget what was found", cost="O(1)")
def hotkeys_reset(ctx: Context, argv: list[bytes]) -> Reply:
    watch = _watch_of(ctx)
    if watch is not None and watch.is_active:
        raise CommandError("ERR", "hotkey tracking session in progress, stop tracking first")
    ctx.shared.hot_keys = None
    return OK


@command("HOTKEYS|GET", arity=2, flags=_FLAGS, since="8.6.0",
         summary="The keys that took most CPU time and traffic, heaviest first",
         cost="O(k log k), k keys held",
         differs="Weights are never more than what was used")  # fmt: skip
def hotkeys_get(ctx: Context, argv: list[bytes]) -> Reply:
    watch = _watch_of(ctx)
    if watch is None:
        return None
    fields: list[Reply] = [
        b"tracking-active", int(watch.is_active),
        b"sample-ratio", watch.ratio,
        b"selected-slots", [[0, 16383]],
        b"all-commands-all-slots-us", int(watch.all_us),
        b"net-bytes-all-commands-all-slots", int(watch.all_bytes),
        b"collection-start-time-unix-ms", watch.started_ms,
        b"collection-duration-ms", watch.lasted_ms(ctx.now_ms),
    ]  # fmt: skip
    if watch.times is not None:
        user, system = watch.cpu_ms()
        fields += [b"total-cpu-time-user-ms", user, b"total-cpu-time-sys-ms", system]
    if watch.sizes is not None:
        fields += [b"total-net-bytes", int(watch.sizes.total)]
    if watch.times is not None:
        fields += [b"by-cpu-time-us", _flat(watch.times, watch.count)]
    if watch.sizes is not None:
        fields += [b"by-net-bytes", _flat(watch.sizes, watch.count)]
    return [Map(fields)]


def _flat(found: HeavyHitters, count: int) -> Reply:
    flat: list[Reply] = []
    for key, weight in found.top(count):
        flat.append(key)
        flat.append(weight)
    return flat


@command("HOTKEYS|HELP", arity=2, flags=LOADING | STALE, since="8.6.1", summary="What HOTKEYS can do", cost="O(1)")
def hotkeys_help(ctx: Context, argv: list[bytes]) -> Reply:
    return help_of(ctx, b"HOTKEYS")
