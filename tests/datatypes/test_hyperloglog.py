"""HyperLogLog sketches against a plain model: a list of registers."""

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.datatypes import hyperloglog as hll

LIMIT = 3000
element = st.integers(0, 3000).map(lambda number: b"element %d" % number)


def decoded(text: bytes) -> list[int]:
    """Register by register, as the format is described; without anything of the module under test."""
    if text[4] == 0:
        number = int.from_bytes(text[16:], "little")
        return [number >> (6 * i) & 63 for i in range(16384)]
    registers: list[int] = []
    at = 16
    while at < len(text):
        code = text[at]
        if code & 0x80:
            registers += [(code >> 2 & 31) + 1] * ((code & 3) + 1)
        elif code & 0x40:
            at += 1
            registers += [0] * (((code & 0x3F) << 8 | text[at]) + 1)
        else:
            registers += [0] * (code + 1)
        at += 1
    assert len(registers) == 16384
    return registers


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 16383), st.integers(1, 51)), max_size=150), st.sampled_from([40, 200, LIMIT]))
def test_raising_registers_in_any_order(changes: list[tuple[int, int]], limit: int) -> None:
    model = [0] * 16384
    sparse, dense = hll.new_sketch(), hll.new_sketch()
    hll.make_dense(dense)
    for register, value in changes:
        higher = value > model[register]
        model[register] = max(model[register], value)
        assert hll.raise_register(sparse, register, value, limit) == higher
        assert hll.raise_register(dense, register, value, limit) == higher
        assert len(sparse) <= limit or not hll.is_sparse(sparse)
    assert decoded(bytes(sparse)) == decoded(bytes(dense)) == model
    assert list(hll.registers_of(sparse)) == list(hll.registers_of(dense)) == model
    assert hll.estimate(sparse) == hll.estimate(dense)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(element, max_size=60), min_size=1, max_size=4))
def test_a_merged_sketch_is_that_of_all_elements(groups: list[list[bytes]]) -> None:
    everything = hll.new_sketch()
    sketches = []
    for group in groups:
        sketch = hll.new_sketch()
        for each in group:
            hll.add(sketch, each, LIMIT)
            hll.add(everything, each, LIMIT)
        sketches.append(hll.packed_registers(sketch))
    merged = hll.new_sketch()
    hll.merge(merged, hll.greatest(sketches), LIMIT)
    assert hll.packed_registers(merged) == hll.greatest(sketches) == hll.packed_registers(everything)
    assert hll.estimate(merged) == hll.estimate(everything)


@given(st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_registers_survive_packing(seed: int) -> None:
    registers = bytes(Random(seed).choices(range(64), k=16384))
    sketch = hll.new_sketch()
    hll.set_registers(sketch, registers)
    assert decoded(bytes(sketch)) == list(registers)
    assert hll.registers_of(sketch) == registers
    other = hll.new_sketch()
    hll.set_registers(other, bytes(Random(seed + 1).choices(range(64), k=16384)))
    hll.merge(other, hll.greatest([hll.packed_registers(other), hll.packed_registers(sketch)]), LIMIT)
    second = bytes(Random(seed + 1).choices(range(64), k=16384))
    assert list(hll.registers_of(other)) == [max(pair) for pair in zip(registers, second, strict=True)]


@pytest.mark.parametrize("size", [1, 10, 100, 1000, 10_000])
def test_the_error_is_within_theory(size: int) -> None:
    sketch = hll.new_sketch()
    for i in range(size):
        hll.add(sketch, b"%d" % i, LIMIT)
    assert abs(hll.estimate(sketch) - size) <= max(1, 4 * 1.04 / math.sqrt(16384) * size)


@pytest.mark.parametrize(
    "runs", [b"", b"\x7f\xfe", b"\x7f\xff\x00", b"\x7f", b"\x84\x7f", b"\x7f\xff\x7f\xff"], ids=lambda runs: runs.hex()
)
def test_a_corrupt_sketch_is_found_out_and_left_alone(runs: bytes) -> None:
    sketch = bytearray(b"HYLL\x01" + bytes(11) + runs)
    before = bytes(sketch)
    with pytest.raises(hll.CorruptSketch):
        hll.registers_of(sketch)
    with pytest.raises(hll.CorruptSketch):
        hll.make_dense(sketch)
    assert sketch == before
    for i in range(20):  # what is before the damage may be changed; nothing beyond the end is read
        with_one = bytearray(before)
        try:
            hll.add(with_one, b"%d" % i, LIMIT)
        except hll.CorruptSketch:
            assert with_one == before
