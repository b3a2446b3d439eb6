"""When a cron expression is due next, in a time zone, as Debian's cron has it (the library cronsim).

Where clocks are put forward, a job at a time that does not exist runs when the gap ends; where they are put back, a job
at a fixed time runs once, at the first of the two. One whose minute or hour begins with `*` goes by elapsed time.
"""

from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_MAX_LENGTH: Final = 256  # of an expression: what is longer is no honest one


class CronError(Exception):
    """The expression or the time zone can't be read; the text says which."""


@lru_cache(maxsize=4096)
def next_time(expression: str, zone: str, after_ms: int) -> int | None:
    """The first due time after `after_ms`, both in Unix ms; None when there is none within 50 years.

    expression: five fields (minute, hour, day, month, weekday), or six that begin with seconds. zone: an IANA name, or
    UTC. Raises CronError. Cached, as many schedules tend to share one expression and are then asked for at one time.
    """
    if len(expression) > _MAX_LENGTH:
        raise CronError("the cron expression is too long")
    seconds = after_ms // 1000
    try:
        # cronsim forgets, at fixed times, in which of two equal hours it began: what it finds may lie before that.
        for found in CronSim(expression, datetime.fromtimestamp(seconds, _zone(zone))):
            due = int(found.timestamp())
            if due > seconds:
                return due * 1000
    except CronSimError as error:
        raise CronError(f"the cron expression has a fault: {error}") from None
    except OverflowError:
        return None  # beyond the year 9999
    except ValueError as error:
        if "year" in str(error):
            return None
        raise CronError("the cron expression has a fault: a number is too long") from None
    return None


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; no name of a zone; a folder of zones
        raise CronError("the time zone is unknown") from None
