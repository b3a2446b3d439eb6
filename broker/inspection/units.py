"""Words for people: ages, sizes, counts, ids, and text that can't steer a terminal. No clock: `now_ms` is given."""

from datetime import datetime
from typing import Final

_PLAUSIBLE_MS: Final = 1_000_000_000_000  # 2001: an id below was made by hand and holds no time
_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
_BARS: Final = "▁▂▃▄▅▆▇█"


def printable(raw: bytes | str) -> str:
    """Text for people. What would steer a terminal is shown as \\xNN: anybody may have written it into a stream."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return text.translate(_CONTROL)


def human_age(ms: float) -> str:
    """Two units at most: 250ms, 12s, 3m 12s, 4h 5m, 3d 4h, 2y 31d."""
    if ms < 1000:
        return f"{max(int(ms), 0)}ms"
    rest = int(ms) // 1000
    parts: list[str] = []
    for unit, size in (("y", 31_536_000), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def human_bytes(size: float | None) -> str:
    if size is None:
        return "-"
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def human_micros(micros: float) -> str:
    """How long something took: 12us, 3.4ms, 1.2s."""
    if micros < 1000:
        return f"{micros:.0f}us"
    return f"{micros / 1000:.1f}ms" if micros < 1_000_000 else f"{micros / 1_000_000:.1f}s"


def human_count(number: int | None) -> str:
    """With commas; None is what a server can't tell."""
    return "unknown" if number is None else f"{number:,}"


def entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number:,} entries"


def human_rate(per_second: float | None) -> str:
    """None: not known yet."""
    if per_second is None:
        return "-"
    return f"{per_second:,.0f}/s" if per_second >= 10 or per_second == 0 else f"{per_second:.1f}/s"


def time_of(entry_id: str) -> int | None:
    """The milliseconds in an id; None when it was plainly not made from a clock."""
    ms = int(entry_id.partition("-")[0])
    return ms if _PLAUSIBLE_MS <= ms < 10 * _PLAUSIBLE_MS else None


def local_moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000).astimezone().isoformat(" ", "milliseconds")


def local_time(entry_id: str) -> str:
    ms = time_of(entry_id)
    return "-" if ms is None else local_moment(ms)


def age_ms(entry_id: str, now_ms: int) -> int | None:
    ms = time_of(entry_id)
    return None if ms is None else max(now_ms - ms, 0)


def age_of(entry_id: str, now_ms: int) -> str:
    age = age_ms(entry_id, now_ms)
    return "-" if age is None else human_age(age)


def sparkline(values: list[float], width: int) -> str:
    """One bar for each of the last values, the highest of them full."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return _BARS[0] * len(shown)
    return "".join(_BARS[min(int(value / top * len(_BARS)), len(_BARS) - 1)] for value in shown)
