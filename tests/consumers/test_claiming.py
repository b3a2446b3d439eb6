import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers import Backoff, Options
from consumers.claiming import Verdict, judge
from consumers.pending import Pending

OPTIONS = Options(stream="s", group="g", claim_idle=30, max_deliveries=3, backoff=Backoff(base=1, cap=8, jitter=0))


@pytest.mark.parametrize(
    ("idle", "deliveries", "verdict"),
    [
        (0.0, 1, Verdict.LEAVE),
        (30.9, 1, Verdict.LEAVE),  # its own worker may retry it after one second; then it has claim_idle
        (31.0, 1, Verdict.TAKE),
        (31.9, 2, Verdict.LEAVE),
        (32.0, 2, Verdict.TAKE),
        (30.0, 0, Verdict.TAKE),  # handed back, never begun
        (33.9, 3, Verdict.LEAVE),
        (34.0, 3, Verdict.BURY),
        (100.0, 9, Verdict.BURY),
    ],
)
def test_idle_time_and_deliveries_decide(idle: float, deliveries: int, verdict: Verdict) -> None:
    assert judge(Pending("1-1", "other", idle, deliveries), OPTIONS) is verdict


@given(st.floats(0, 1000), st.integers(0, 20), st.floats(0, 1))
def test_a_verdict_once_reached_stays(idle: float, deliveries: int, jitter: float) -> None:
    options = Options(stream="s", group="g", backoff=Backoff(jitter=jitter))
    before = judge(Pending("1-1", "other", idle, deliveries), options)
    later = judge(Pending("1-1", "other", idle + 60, deliveries), options)
    assert before is Verdict.LEAVE or later is before
    assert later is not Verdict.LEAVE
