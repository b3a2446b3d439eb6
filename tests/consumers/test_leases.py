from hypothesis import given
from hypothesis import strategies as st

from consumers.leases import Lease, Leases, State


def test_waiting_leases_come_back_in_the_order_of_their_due_times() -> None:
    leases = Leases()
    for id_, due in (("1-1", 5.0), ("1-2", 3.0), ("1-3", 4.0)):
        leases.wait(leases.hold(Lease(id_, 1), 0.0), due)
    assert leases.next_due() == 3.0
    assert leases.pop_due(2.9) is None
    order = []
    while (lease := leases.pop_due(4.5)) is not None:
        assert lease.state is State.QUEUED
        order.append(lease.id)
    assert order == ["1-2", "1-3"]
    assert leases.next_due() == 5.0


def test_a_dropped_lease_is_never_due() -> None:
    leases = Leases()
    lease = leases.hold(Lease("1-1", 1), 0.0)
    leases.wait(lease, 1.0)
    leases.drop(lease)
    assert leases.next_due() is None
    assert "1-1" not in leases


def test_dropping_an_old_lease_leaves_the_new_one_of_the_same_message() -> None:
    leases = Leases()
    old = leases.hold(Lease("1-1", 1), 0.0)
    new = leases.hold(Lease("1-1", 2), 1.0)
    leases.drop(old)
    assert leases.get("1-1") is new


def test_beyond_its_bound_the_table_forgets_rather_than_grows() -> None:
    leases = Leases(waiting_limit=1)
    assert leases.wait(leases.hold(Lease("1-1", 1), 0.0), 1.0)
    assert not leases.wait(leases.hold(Lease("1-2", 1), 0.0), 1.0)
    assert "1-2" not in leases
    assert leases.pop_due(1.0) is not None
    assert leases.wait(leases.hold(Lease("1-3", 1), 0.0), 2.0)


def test_only_what_was_not_renewed_lately_is_stale() -> None:
    leases = Leases()
    leases.hold(Lease("1-1", 1), 0.0)
    leases.hold(Lease("1-2", 1), 8.0)
    assert [lease.id for lease in leases.stale(10.0, 5.0)] == ["1-1"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 100), st.booleans()), max_size=40))
def test_every_waiting_lease_is_popped_exactly_once(steps: list[tuple[str, float, bool]]) -> None:
    leases = Leases()
    expected: dict[str, float] = {}
    for id_, due, dropped in steps:
        if (held := leases.get(id_)) is not None:
            leases.drop(held)
        leases.wait(leases.hold(Lease(id_, 1), 0.0), due)
        expected[id_] = due
        if dropped:
            leases.drop(leases.get(id_))  # type: ignore[arg-type]
            del expected[id_]
    popped = []
    while (lease := leases.pop_due(100.0)) is not None:
        popped.append((lease.id, lease.due))
    assert sorted(popped) == sorted(expected.items())
    assert [due for _, due in popped] == sorted(expected.values())
