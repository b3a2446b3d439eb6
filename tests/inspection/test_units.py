import pytest

from broker.inspection.units import (
    age_of,
    human_age,
    human_bytes,
    human_count,
    human_micros,
    human_rate,
    local_time,
    printable,
    sparkline,
)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0ms"),
        (250, "250ms"),
        (12_345, "12s"),
        (192_000, "3m 12s"),
        (7_205_000, "2h"),
        (7_260_000, "2h 1m"),
        (273_600_000, "3d 4h"),
        (65_750_400_000, "2y 31d"),
    ],
)
def test_ages_have_two_units_at_most(ms, text):
    assert human_age(ms) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (1 << 41, "2.0 TiB")],
)
def test_sizes_are_short(size, text):
    assert human_bytes(size) == text


def test_counts_rates_and_durations():
    assert [human_count(number) for number in (None, 0, 1234567)] == ["unknown", "0", "1,234,567"]
    assert [human_rate(rate) for rate in (None, 0, 0.25, 12.6, 4321.5)] == ["-", "0/s", "0.2/s", "13/s", "4,322/s"]
    assert [human_micros(micros) for micros in (12, 3400, 1_200_000)] == ["12us", "3.4ms", "1.2s"]


def test_an_id_that_holds_no_time_has_no_age():
    assert (age_of("5-1", 10), local_time("5-1"), local_time("18446744073709551615-0")) == ("-", "-", "-")


def test_what_would_steer_a_terminal_is_shown_and_not_done():
    assert printable(b"a\x1b[2J\n\xff\xc2\x9b") == "a\\x1b[2J\\x0a\\xff\\x9b"


def test_sparklines_show_the_last_values_against_the_highest():
    assert sparkline([9, 0, 1, 2, 4, 8], 5) == "▁▂▃▅█"
    assert sparkline([0, 0], 5) == "▁▁"
    assert sparkline([], 5) == ""
