"""Due times of cron expressions: where clocks are changed, what can't be read, what never comes."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from broker.cron import CronError, next_time


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def due_times(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next ones as local time."""
    found, at = [], ms(after)
    for _ in range(count):
        following = next_time(expression, zone, at)
        assert following is not None and following > at
        at = following
        found.append(datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).isoformat())
    return found


def test_a_due_time_lies_after_the_time_asked_about() -> None:
    at = ms("2027-01-01T12:00:00+00:00")
    assert next_time("0 12 * * *", "UTC", at) == ms("2027-01-02T12:00:00+00:00")
    assert next_time("0 12 * * *", "UTC", at - 1) == at
    assert next_time("*/5 * * * *", "utc", at + 1) == at + 300_000
    assert next_time("*/10 * * * * *", "UTC", at) == at + 10_000, "six fields begin with seconds"


def test_a_job_in_the_hour_that_is_left_out_runs_when_the_gap_ends() -> None:
    assert due_times("30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00+01:00", 2) == [
        "2027-03-28T03:00:00+02:00",
        "2027-03-29T02:30:00+02:00",
    ]


def test_a_job_at_a_fixed_time_runs_once_in_the_hour_that_comes_twice() -> None:
    assert due_times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


@pytest.mark.parametrize("minute", range(0, 60, 10))
def test_asked_within_the_second_of_the_two_hours_it_does_not_go_back(minute: int) -> None:
    after = f"2026-10-25T02:{minute:02}:00+01:00"
    assert due_times("30 2 * * *", "Europe/Berlin", after, 1) == ["2026-10-26T02:30:00+01:00"]


def test_a_job_that_goes_by_elapsed_time_runs_in_both_hours() -> None:
    assert due_times("0 */1 * * *", "Europe/Berlin", "2026-10-25T01:30:00+02:00", 3) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "*",
        "* * * *",
        "x * * * *",
        "60 * * * *",
        "* * * * * * *",
        "0 0 30 2 *",
        "1-5/0 * * * *",
        "@daily",
        "* " * 300,
    ]
    + ["9" * 250 + " * * * *", "\u0663 * * * *", "5-1 * * * *"],
)
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(CronError, match="cron expression"):
        next_time(expression, "UTC", 0)


@pytest.mark.parametrize("zone", ["", "Mars", "Europe", "../UTC", "/etc/passwd", "Europe/Berlin\0", "x" * 5000])
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(CronError, match="time zone"):
        next_time("* * * * *", zone, 0)


def test_a_time_beyond_the_calendar_never_comes() -> None:
    assert next_time("* * * * *", "UTC", 1 << 53) is None
    assert next_time("0 0 1 1 *", "Europe/Berlin", ms("9999-06-01T00:00:00+00:00")) is None


def test_an_expression_that_names_no_day_never_comes() -> None:
    assert next_time("0 0 */31 2 MON#5", "UTC", 0) is None
