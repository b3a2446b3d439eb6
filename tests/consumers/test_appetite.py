from consumers.appetite import Appetite


def test_nothing_is_fetched_ahead_before_anything_is_known() -> None:
    assert Appetite(running=4).capacity == 4


def test_quick_handlers_get_many_and_slow_ones_none() -> None:
    quick, slow = Appetite(running=4), Appetite(running=4)
    for _ in range(100):
        quick.took(0.00001)
        slow.took(30.0)
    assert quick.ahead == 1000
    assert slow.ahead == 0


def test_it_follows_a_change() -> None:
    one = Appetite(running=1)
    for _ in range(100):
        one.took(0.0001)
    before = one.ahead
    for _ in range(100):
        one.took(0.05)
    assert before > 500
    assert one.ahead < 5


def test_options_win() -> None:
    one = Appetite(running=2, fixed=7)
    one.took(0.00001)
    assert one.capacity == 9


def test_no_more_is_fetched_than_may_begin_in_a_moment() -> None:
    one = Appetite(running=2, rate=50.0)
    one.took(0.00001)
    assert one.capacity == 7


def test_large_messages_are_few() -> None:
    one = Appetite(running=1)
    one.took(0.00001)
    for _ in range(100):
        one.weighed(100)
    assert one.ahead == 1000
    one.weighed(8 * 1024 * 1024)
    assert one.ahead == 2
    for _ in range(200):
        one.weighed(100)
    assert one.ahead == 1000
