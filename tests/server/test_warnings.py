"""Lines of the log that warn of what commands and time did: which, and how many."""

from structlog.testing import capture_logs

from broker.server.control import LineLimit, ServerControl
from broker.server.shutdown import Shutdown


def test_a_line_of_one_kind_comes_so_often_a_minute_and_the_next_tells_how_many_were_left_out() -> None:
    limit = LineLimit(3)
    assert [limit.admit(now) for now in (5, 6, 7, 8, 60_004)] == [0, 0, 0, -1, -1]
    assert [limit.admit(now) for now in (60_005, 60_006)] == [2, 0]


def test_a_group_that_fell_idle_is_in_the_log() -> None:
    control = ServerControl(Shutdown())
    with capture_logs() as logged:
        for i in range(12):
            control.group_idle(2, b"jobs\xff", b"g%d" % i, 5000)
    assert len(logged) == 10
    assert logged[0] == {
        "event": "stream.group_idle",
        "log_level": "warning",
        "database": 2,
        "key": "jobs\\xff",
        "group": "g0",
        "idle_ms": 5000,
        "lines_left_out": 0,
    }
