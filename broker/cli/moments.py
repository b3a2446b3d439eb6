"""Times and durations as people type them."""

from datetime import datetime
from typing import Final

import typer

from consumers.durations import milliseconds
from consumers.errors import ConfigurationError

FORMS: Final = "-15m, 2026-01-31T12:00, an id, -, +"


def duration_ms(text: str, hint: str) -> int:
    """`90`, `90s`, `1h30m`: a bare number is seconds. Raises typer.BadParameter."""
    try:
        return milliseconds(text)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error), param_hint=hint) from None


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
