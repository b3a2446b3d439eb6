import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import Backoff, ConfigurationError


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(base=0.1, cap=1.0, jitter=0.0)
    assert [backoff.delay(attempt) for attempt in range(7)] == pytest.approx([0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_a_huge_number_of_attempts_stays_at_the_cap() -> None:
    assert Backoff(jitter=0.0).delay(10**9) == 30.0


@given(st.integers(1, 1000), st.text(), st.floats(0, 1))
def test_jitter_only_shortens_and_by_no_more_than_its_share(attempts: int, seed: str, jitter: float) -> None:
    full = Backoff(jitter=0.0).delay(attempts)
    assert full * (1 - jitter) - 1e-9 <= Backoff(jitter=jitter).delay(attempts, seed) <= full


def test_the_same_message_and_attempt_give_the_same_delay_everywhere() -> None:
    assert Backoff().delay(3, "1-1") == Backoff().delay(3, "1-1")


def test_different_messages_spread() -> None:
    assert len({Backoff().delay(3, f"1-{n}") for n in range(100)}) > 90


@pytest.mark.parametrize("wrong", [{"base": -1}, {"base": 2, "cap": 1}, {"factor": 0.5}, {"jitter": 1.5}])
def test_senseless_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        Backoff(**wrong)
