from datetime import timedelta

import pytest

from consumers import ConfigurationError
from consumers.durations import milliseconds, seconds


@pytest.mark.parametrize(
    ("written", "meant"),
    [(2, 2.0), (0.5, 0.5), ("50ms", 0.05), ("2m", 120.0),
     ("1h30m", 5400.0), ("1.5s", 1.5), ("3", 3.0), ("7d", 604800.0)]
    + [(" 10 s ", 10.0), (timedelta(minutes=1), 60.0), (0, 0.0)],
)  # fmt: skip
def test_a_duration_is_read_as_people_write_it(written: float | str | timedelta, meant: float) -> None:
    assert seconds(written) == pytest.approx(meant)


@pytest.mark.parametrize("wrong", ["", "soon", "5x", "s", "-1s", -1, float("inf"), float("nan"), "1h tomorrow"])
def test_what_is_no_duration_is_refused(wrong: float | str) -> None:
    with pytest.raises(ConfigurationError, match="duration"):
        seconds(wrong)


def test_milliseconds_are_rounded_up() -> None:
    assert [milliseconds(value) for value in (0.0001, "50ms", 1.0005)] == [1, 50, 1001]
