"""HeavyHitters: never too large, exact while everything has room, and what weighs much is found."""

from hypothesis import given
from hypothesis import strategies as st

from broker.datatypes.heavy_hitters import HeavyHitters

KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"])


@given(st.lists(st.tuples(KEYS, st.integers(0, 50))), st.integers(2, 10))
def test_weights_are_never_too_large_and_exact_with_room(added: list[tuple[bytes, int]], capacity: int) -> None:
    hitters, exact = HeavyHitters(capacity), dict[bytes, int]()
    for key, weight in added:
        hitters.add(key, weight)
        exact[key] = exact.get(key, 0) + weight
        assert hitters.size() <= capacity
    top = hitters.top(capacity)
    assert hitters.total == sum(weight for _, weight in added)
    assert [weight for _, weight in top] == sorted((weight for _, weight in top), reverse=True)
    assert all(0 < weight <= exact[key] for key, weight in top)
    if sum(1 for weight in exact.values() if weight) <= capacity:
        assert dict(top) == {key: weight for key, weight in exact.items() if weight}


def test_a_heavy_key_is_found_among_very_many_light_ones() -> None:
    hitters = HeavyHitters(40)
    for number in range(20_000):
        hitters.add(b"light:%d" % number, 1)
        if number % 10 == 0:
            hitters.add(b"heavy", 1)
    assert hitters.top(1) == [(b"heavy", 2000)]
