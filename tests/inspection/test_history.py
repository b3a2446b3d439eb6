from broker.inspection.history import History


def test_a_rate_is_the_growth_between_two_samples():
    history = History(length=3)
    assert history.sample("a", 100, 10.0) is None
    assert history.sample("a", 130, 12.0) == 15
    assert history.sample("a", 130, 13.0) == 0
    assert (history.rate("a"), history.rate("b")) == (0, None)


def test_of_a_counter_that_fell_nothing_is_told():
    history = History()
    history.sample("a", 100, 10.0)
    assert history.sample("a", 5, 11.0) == 0
    assert history.sample("a", 7, 12.0) == 2


def test_two_samples_at_once_are_one():
    history = History()
    history.sample("a", 0, 10.0)
    history.sample("a", 10, 11.0)
    assert history.sample("a", 11, 11.001) == 10
    assert history.sample("a", 20, 12.0) == 10


def test_it_keeps_so_many_rates_and_so_many_names():
    history = History(length=3, most=2)
    for second in range(6):
        history.sample("a", second * second, float(second))
    assert history.rates("a") == [5, 7, 9]
    history.sample("b", 1, 1.0)
    history.sample("a", 40, 7.0)
    history.sample("c", 1, 1.0)
    assert [bool(history.rates(name)) for name in "abc"] == [True, False, False]
    history.sample("b", 2, 2.0)
    assert history.rates("b") == []
