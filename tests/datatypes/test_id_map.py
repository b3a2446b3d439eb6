"""An IdMap against a dict, with few entries and with many."""

from random import Random

import pytest

from broker.datatypes.id_map import IdMap


@pytest.mark.parametrize(("keys", "steps"), [(20, 500), (9000, 30_000)])
def test_an_id_map_agrees_with_a_dict(keys: int, steps: int) -> None:
    rng = Random(keys)
    real: IdMap[bytes] = IdMap()
    model: dict[int, bytes] = {}
    for _ in range(steps):
        entry_id = (1_700_000_000_000 + rng.randrange(keys) // 3) << 64 | rng.randrange(3)
        if rng.random() < 0.7:
            real[entry_id] = model[entry_id] = b"%d" % rng.randrange(100)
        else:
            assert real.discard(entry_id) == model.pop(entry_id, None)
        assert real.get(entry_id) == model.get(entry_id)
        assert (entry_id in real) == (entry_id in model)
    twin = real.copy()
    twin[7] = b"x"
    assert len(real) == len(model) == len(twin) - 1
    assert sorted(real) == sorted(model)
    assert dict(real.items()) == model
    assert sorted(real.values()) == sorted(model.values())
    with pytest.raises(KeyError):
        real[7]


def test_many_entries_are_spread_over_dicts_of_like_size() -> None:
    real: IdMap[bytes] = IdMap()
    for i in range(50_000):
        real[(1_700_000_000_000 + i) << 64] = b""
    sizes = [len(part) for part in real.parts() if isinstance(part, dict)]
    assert len(sizes) == 1024
    assert max(sizes) < 150
