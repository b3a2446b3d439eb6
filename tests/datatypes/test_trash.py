"""Big things are taken apart in steps; what somebody still has stays whole."""

import gc
import weakref

from broker.datatypes.trash import Trash


class Leaf:
    """Something whose end can be seen."""


def nothing(_: object) -> list[object]:
    return []


def leaves(count: int) -> tuple[list[object], list[weakref.ref[Leaf]]]:
    made: list[object] = [Leaf() for _ in range(count)]
    return made, [weakref.ref(leaf) for leaf in made if isinstance(leaf, Leaf)]


def alive(refs: list[weakref.ref[Leaf]]) -> int:
    return sum(ref() is not None for ref in refs)


def drain(trash: Trash, steps: int = 1000) -> int:
    sweeps = 0
    while trash.size:
        trash.sweep(steps, nothing)
        sweeps += 1
    trash.sweep(steps, nothing)
    return sweeps


def test_a_list_goes_a_little_in_each_sweep() -> None:
    trash = Trash()
    made, refs = leaves(10_000)
    trash.add([made])
    del made
    before = alive(refs)
    while trash.size:
        trash.sweep(500, nothing)
        now = alive(refs)
        assert before - now <= 500
        assert now == 0 or now < before
        before = now
    assert alive(refs) == 0


def test_a_dict_goes_a_little_in_each_sweep() -> None:
    trash = Trash()
    made, refs = leaves(3000)
    table = dict(enumerate(made))
    del made
    trash.add([table])
    del table
    trash.sweep(8000, nothing)
    assert 1900 < alive(refs) < 2100
    drain(trash)
    assert alive(refs) == 0


def test_big_things_in_big_things_are_taken_apart_too() -> None:
    trash = Trash()
    made, refs = leaves(4000)
    outer: list[object] = [made[i : i + 1000] for i in range(0, 4000, 1000)]
    del made
    trash.add([outer])
    del outer
    trash.sweep(500, nothing)
    assert alive(refs) > 3000
    drain(trash)
    assert alive(refs) == 0


def test_values_are_asked_what_they_are_made_of() -> None:
    class Value:
        def __init__(self, inner: list[object]) -> None:
            self.inner = inner

    def parts_of(thing: object) -> list[object]:
        return [thing.inner] if isinstance(thing, Value) else []

    trash = Trash()
    made, refs = leaves(1000)
    trash.add([[Value(made)]])
    del made
    trash.sweep(100, parts_of)
    assert alive(refs) > 800
    while trash.size:
        trash.sweep(100, parts_of)
    trash.sweep(100, parts_of)
    assert alive(refs) == 0


def test_what_somebody_has_still_is_left_alone() -> None:
    trash = Trash()
    kept: list[object] = [[b"x"] * 200 for _ in range(100)]
    inner: list[object] = [b"y"] * 5000
    trash.add([kept, [inner, {1: inner}]])
    drain(trash)
    assert trash.size == 0
    assert len(kept) == 100
    assert inner == [b"y"] * 5000


def test_the_size_counts_down_to_nothing() -> None:
    trash = Trash()
    trash.add([[b""] * 100, {i: i for i in range(50)}, [[b""] * 500]])
    assert trash.size == 151
    assert trash.freed == 1
    trash.add([[b""], [b""]], 2)
    assert trash.freed == 3
    drain(trash, 10)
    assert trash.size == 0


def test_more_is_freed_in_a_turn_the_more_there_is() -> None:
    trash = Trash()
    few = trash.steps()
    trash.add([[None] * 1_000_000])
    assert few < trash.steps() <= 8000
    drain(trash, 100_000)
    assert trash.steps() == few
    gc.collect()
