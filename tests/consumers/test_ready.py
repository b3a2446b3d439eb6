from hypothesis import given
from hypothesis import strategies as st

from consumers.leases import Lease
from consumers.ready import Ready


def lease(number: int, key: str | None = None, level: int = 0) -> Lease:
    return Lease(f"1-{number}", 1, key=None if key is None else key.encode(), level=level)


def test_the_most_urgent_come_first_and_none_starves() -> None:
    ready = Ready(levels=3)
    for number in range(100):
        for level in range(3):
            ready.put(lease(number, level=level))
    taken = [one.level for one in (ready.take() for _ in range(48)) if one is not None]
    assert taken.count(0) > 40
    assert {1, 2} <= set(taken)


def test_a_message_of_a_key_waits_for_the_one_before_and_others_pass() -> None:
    ready = Ready()
    first, second, other = lease(1, "a"), lease(2, "a"), lease(3, "b")
    assert [ready.put(one) for one in (first, second, other)] == [True, False, True]
    assert [ready.take(), ready.take(), ready.take()] == [first, other, None]
    assert ready.done(first)
    assert not ready.done(first), "it bears repeating"
    assert ready.take() is second


def test_one_that_rested_comes_before_those_behind_it() -> None:
    ready = Ready()
    first, second = lease(1, "a"), lease(2, "a")
    ready.put(first)
    ready.put(second)
    assert ready.take() is first
    assert ready.take() is None
    ready.again(first)
    assert ready.take() is first


@given(st.lists(st.tuples(st.sampled_from("abc-"), st.booleans(), st.integers(0, 2)), max_size=60))
def test_each_comes_once_and_those_of_a_key_in_order_one_at_a_time(steps: list[tuple[str, bool, int]]) -> None:
    ready = Ready(levels=3)
    running: list[tuple[str, Lease]] = []
    order: dict[str, list[int]] = {}
    keys: dict[str, str] = {}

    def take() -> bool:
        one = ready.take()
        if one is None:
            return False
        key = keys[one.id]
        assert key == "-" or key not in [other for other, _ in running]
        order.setdefault(key, []).append(int(one.id[2:]))
        running.append((key, one))
        return True

    for number, (key, end, level) in enumerate(steps):
        keys[f"1-{number}"] = key
        ready.put(lease(number, None if key == "-" else key, level if key == "-" else 0))
        if end and not take() and running:
            ready.done(running.pop(0)[1])
    while take() or running:
        if running:
            ready.done(running.pop(0)[1])
    assert sorted(number for numbers in order.values() for number in numbers) == list(range(len(steps)))
    assert all(numbers == sorted(numbers) for key, numbers in order.items() if key != "-")
    assert not ready._lanes
