"""Times as people write them: a number of seconds, a timedelta, or text such as "50ms", "2m", "1h30m"."""

import re
from datetime import timedelta

from consumers.errors import ConfigurationError

Duration = float | timedelta | str

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d|w)\s*")


def seconds(value: Duration) -> float:
    """As a number of seconds. Raises ConfigurationError for what is no duration, or a negative one."""
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, str):
        found = _parsed(value.strip())
    else:
        found = float(value)
    if not 0 <= found < float("inf"):
        raise ConfigurationError(f"{value!r} is no duration: it must be finite and not negative")
    return found


def optional_seconds(value: Duration | None) -> float | None:
    return None if value is None else seconds(value)


def milliseconds(value: Duration) -> int:
    """Rounded up: never before its time."""
    return -int(-seconds(value) * 1000 // 1)


def _parsed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    total, at = 0.0, 0
    while at < len(text) and (part := _PART.match(text, at)) is not None:
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not text or at != len(text):
        raise ConfigurationError(f"{text!r} is no duration: write 5, 0.5, '50ms', '30s', '2m', '1h30m', '7d'")
    return total
