"""Times of keys against a dict and a sort; that nothing piles up; that many of one time are no special case."""

from random import Random

import pytest

from broker.datatypes.expiries import Expiries

FAR = 1 << 50


class Model:
    def __init__(self) -> None:
        self.expiries = Expiries()
        self.times: dict[bytes, int] = {}

    def set(self, key: bytes, when: int) -> None:
        self.expiries.set(key, when)
        self.times[key] = when

    def copied(self) -> "Model":
        other = Model()
        other.expiries = self.expiries.copy()
        other.times = dict(self.times)
        return other

    def pop(self, key: bytes) -> None:
        assert self.expiries.pop(key) == self.times.pop(key, None)

    def expire(self, now: int) -> None:
        """Take out what is due, as a database does."""
        gone: dict[bytes, int] = {}
        while (earliest := self.expiries.next_ms()) is not None and earliest <= now:
            key = self.expiries.first_due(now)
            if key is not None:
                gone[key] = self.times[key]
                self.pop(key)
        assert all(when <= now for when in gone.values())
        assert all(when > now for when in self.times.values())

    def check(self) -> None:
        expiries = self.expiries
        for pos in range(len(expiries._blocks)):
            expiries._block(pos)  # it is sorted when somebody looks into it
        assert dict(expiries.items()) == self.times
        assert len(expiries) == len(self.times)
        assert standing(expiries) == sorted(self.times)
        places = [place for block in expiries._blocks for place in block.places]
        assert places == sorted(places)
        assert [block.places[-1] for block in expiries._blocks] == list(expiries._maxima)
        assert all(0 < len(block.keys) == len(block.places) <= 512 for block in expiries._blocks)
        earliest = expiries.next_ms()
        assert (earliest is None) == (not self.times)
        assert earliest is None or earliest <= min(self.times.values())


def standing(expiries: Expiries) -> list[bytes]:
    return sorted(key for block in expiries._blocks for key in block.keys)


@pytest.mark.parametrize("spread", [0, 3, 100_000])
def test_times_agree_with_a_dict_whatever_happens(spread: int) -> None:
    rng = Random(spread)
    model = Model()
    now = 1000
    for step in range(6000):
        key = b"k%d" % rng.randrange(2500)
        chance = rng.random()
        if chance < 0.75:
            model.set(key, now + 1 + rng.randint(0, spread) + (FAR if chance < 0.01 else 0))
        elif chance < 0.99:
            model.pop(key)
        else:
            now += rng.randint(0, spread // 20 + 1)
            model.expire(now)
        if step % 1500 == 0:
            model.check()
            other = model.copied()
            (model, other) = (other, model) if step % 1000 else (model, other)
            other_times = dict(other.times)
    model.check()
    assert other.times == other_times == dict(other.expiries.items()), "neither changes with the other"
    other.check()
    model.expire(now + spread + 1)
    model.check()
    model.expire(2 * FAR)
    assert len(model.expiries) == 0
    assert model.expiries.next_ms() is None


@pytest.mark.parametrize("spread", [0, 3, 100_000])
@pytest.mark.parametrize("count", [1, 511, 512, 5000])
@pytest.mark.parametrize("before", [0, 1000])
def test_keys_that_come_late_are_put_in_order_with_the_others(spread: int, count: int, before: int) -> None:
    rng = Random(count + spread)
    model = Model()
    for number in range(before):
        model.set(b"before%d" % number, 1 + rng.randint(0, spread))
    for number in range(count):
        when = 1 + rng.randint(0, spread) + (FAR if number % 100 == 99 else 0)
        model.expiries.set_late(b"k%d" % number, when)
        model.times[b"k%d" % number] = when
    for _ in model.expiries.arrange():
        pass
    model.check()
    model.expire(spread // 2 + 1)
    model.check()


@pytest.mark.parametrize("spread", [0, 3, 100_000])
def test_keys_that_came_late_take_every_change(spread: int) -> None:
    rng = Random(spread)
    model = Model()
    for number in range(5000):
        model.expiries.set_late(b"k%d" % number, 1 + number * 7919 % (spread + 1))
        model.times[b"k%d" % number] = 1 + number * 7919 % (spread + 1)
    model.expiries.settle()
    for _ in range(3000):
        key = b"k%d" % rng.randrange(7000)
        if rng.random() < 0.5:
            model.pop(key)
        else:
            model.set(key, 1 + rng.randint(0, spread))
    model.expire(spread // 3)
    assert model.expiries.soonest() in model.times
    model.check()
    model.expire(spread + 2)
    assert not model.times


def test_a_change_puts_what_came_late_in_order_at_once() -> None:
    for change in (lambda model: model.set(b"k5", 7), lambda model: model.pop(b"k5"), lambda model: model.pop(b"none")):
        model = Model()
        for number in range(2000):
            model.expiries.set_late(b"k%d" % number, 5000 - number)
            model.times[b"k%d" % number] = 5000 - number
        left = model.expiries.arrange()
        next(left)
        change(model)
        model.check()


def test_keys_go_in_the_order_of_their_times() -> None:
    expiries = Expiries()
    numbers = list(range(2000))
    Random(1).shuffle(numbers)
    for number in numbers:
        expiries.set(b"%d" % number, 10 + number)
    for number in range(2000):
        assert expiries.next_ms() == 10 + number
        assert expiries.first_due(9 + number) is None
        assert expiries.first_due(5000) == b"%d" % number
        expiries.pop(b"%d" % number)


def test_a_time_out_set_again_and_again_leaves_nothing_behind() -> None:
    expiries = Expiries()
    for round_ in range(50):
        for number in range(100):
            expiries.set(b"%d" % number, 1000 + (round_ * 7919 + number * 31) % 5000)
    assert len(standing(expiries)) == 100


def test_putting_a_time_out_off_does_not_move_the_key_before_its_old_time_has_come() -> None:
    expiries = Expiries()
    expiries.set(b"a", 100)
    expiries.set(b"b", 200)
    for when in range(300, 400):
        expiries.set(b"a", when)
    assert expiries.next_ms() == 100
    assert expiries.first_due(150) is None  # a moves now
    assert expiries.next_ms() == 200
    assert expiries.first_due(250) == b"b"
    expiries.pop(b"b")
    assert expiries.first_due(398) is None
    assert expiries.first_due(399) == b"a"


def test_a_time_out_brought_forward_again_holds() -> None:
    expiries = Expiries()
    expiries.set(b"a", 100)
    expiries.set(b"a", 300)
    expiries.set(b"a", 200)  # still behind the place where it stands
    assert expiries.first_due(150) is None
    assert expiries.next_ms() == 200
    expiries.set(b"a", 50)
    assert (expiries.next_ms(), expiries.first_due(50)) == (50, b"a")
    assert expiries.pop(b"a") == 50
    assert expiries.pop(b"a") is None
    assert standing(expiries) == []
