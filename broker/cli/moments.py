"""Times and durations as people type them. (consumers.durations reads them, too, but importing it takes a while.)"""

import re
from datetime import datetime
from typing import Final

import typer

FORMS: Final = "-15m, 2026-01-31T12:00, an id, -, +"

_UNITS_MS: Final = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_BARE: Final = re.compile(r"\d+(?:\.\d+)?")


def duration_ms(text: str, hint: str) -> int:
    """`90`, `90s`, `1h30m`, `250ms`: a bare number is seconds. Raises typer.BadParameter."""
    text = text.strip()
    if _BARE.fullmatch(text):
        return int(float(text) * 1000)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise typer.BadParameter(f"{text!r} is no duration: write 90s, 5m, 1h30m, 250ms", param_hint=hint)
    return int(sum(float(number) * _UNITS_MS[unit] for number, unit in parts))


def id_at(text: str, now_ms: int, hint: str) -> str:
    """The id that a moment stands for in XRANGE: `-15m` (ago), `now`, a date and time (local unless it has a zone), an
    id, `-` and `+`. Raises typer.BadParameter.
    """
    text = text.strip()
    if text in ("-", "+") or all(part.isdigit() for part in text.split("-", 1)):
        return text
    if text == "now":
        return str(now_ms)
    if text.startswith("-"):
        return str(max(now_ms - duration_ms(text[1:], hint), 0))
    try:
        return str(int(datetime.fromisoformat(text).timestamp() * 1000))
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time: write {FORMS}", param_hint=hint) from None
