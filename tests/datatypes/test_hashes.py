"""HashValue against a dict, and what it remembers of its sizes."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.datatypes.hashes import HashValue

fields = st.integers(0, 80).map(lambda n: b"f%d" % n)
values = st.binary(max_size=5)


class HashMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.value = HashValue()
        self.model: dict[bytes, bytes] = {}
        self.most = 0

    @rule(pairs=st.lists(st.tuples(fields, values), max_size=60))
    def set(self, pairs: list[tuple[bytes, bytes]]) -> None:
        for field, value in pairs:
            assert self.value.set(field, value) == (field not in self.model)
            self.model[field] = value
            self.most = max(self.most, len(self.model))

    @rule(names=st.lists(fields, max_size=60))
    def pop(self, names: list[bytes]) -> None:
        for field in names:
            assert self.value.pop(field) == self.model.pop(field, None)

    @rule(field=fields)
    def get(self, field: bytes) -> None:
        assert self.value.get(field) == self.model.get(field)

    @rule()
    def pack(self) -> None:
        packed = self.value.packed is not None
        assert self.value.pack() == (not packed and 0 < len(self.model) <= 24)

    @rule()
    def go_on_with_a_copy(self) -> None:
        old = self.value
        self.value = old.copy()
        old.set(b"only in the old one", b"")

    @invariant()
    def same_as_a_dict(self) -> None:
        flat = self.value.flat()
        assert dict(zip(flat[::2], flat[1::2], strict=True)) == self.model
        assert sorted(self.value.values(), key=repr) == sorted(self.model.values(), key=repr)
        assert len(self.value) == len(self.model)
        assert self.value.most == self.most


TestHashValue = HashMachine.TestCase
TestHashValue.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_the_greatest_length_is_remembered() -> None:
    value = HashValue()
    value.set(b"f", b"x" * 70)
    value.set(b"f", b"")
    assert value.longest == 70
    value.set(b"g" * 90, b"")
    value.pop(b"g" * 90)
    assert (value.longest, value.copy().longest, value.copy().most) == (90, 90, 2)


def test_the_memory_estimate_counts_fields_and_values() -> None:
    value = HashValue()
    for i in range(1000):
        value.set(b"%d" % i, b"x" * 1000)
    assert 1_000_000 < value.approximate_bytes() < 1_300_000
    assert HashValue().approximate_bytes() < 400
