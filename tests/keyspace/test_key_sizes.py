"""The distribution of sizes agrees with a count by TYPE and the commands that tell sizes."""

from random import Random

import pytest
from support.engine import Harness

from broker.keyspace.key_sizes import KeySizes

FILL = {
    "strings_sizes": "SET {key} {text}",
    "lists_items": "RPUSH {key} {words}",
    "sets_items": "SADD {key} {words}",
    "zsets_items": "ZADD {key} {pairs}",
    "hashes_items": "HSET {key} {pairs}",
}


def filled(h: Harness, keys: int) -> dict[str, dict[int, int]]:
    """{kind: {least size of its class: keys}}, by sizes that are known."""
    rng = Random(3)
    expected: dict[str, dict[int, int]] = {}
    for i in range(keys):
        kind = rng.choice(list(FILL))
        size = rng.choice([1, 2, 3, 4, 7, 8, 20, 24, 25, 64])
        words = " ".join(map(str, range(size)))
        pairs = " ".join(f"{n} {n}" for n in range(size))
        assert h.run(FILL[kind].format(key=f"k{i}", text="x" * size, words=words, pairs=pairs)) in ("OK", size)
        least = max(power for power in (1, 2, 4, 8, 16, 32, 64) if power <= size)
        counts = expected.setdefault("distrib_" + kind, {})
        counts[least] = counts.get(least, 0) + 1
    return expected


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("at_once", [1, 100_000])
def test_each_key_is_counted_once(packed: bool, at_once: int) -> None:
    h = Harness()
    expected = filled(h, 400)
    h.run("XADD stream * a 1")
    if packed:
        for key in h.run("KEYS *"):
            value = h.engine.keyspace.databases[0].table.get(key)
            if hasattr(value, "pack"):
                value.pack()
    sizes = KeySizes(h.engine.keyspace.databases)
    while not sizes.walk(at_once):
        pass
    told = {}
    for name, text in sizes.fields().items():
        parts = [part.split("=") for part in text.split(",")]
        told[name.removeprefix("db0_")] = {int(size): int(keys) for size, keys in parts}
    assert told == expected
    assert list(sizes.fields()) == [f"db0_distrib_{kind}" for kind in FILL], "in the order of Redis"


def test_sizes_have_units_and_databases_lines_of_their_own() -> None:
    h = Harness()
    for exponent in (0, 9, 10, 19, 20, 21):
        h.run("SET", f"k{exponent}", b"x" * 2**exponent)
        h.run("SET", f"j{exponent}", b"x" * (2 ** (exponent + 1) - 1))
    h.run("SET", "empty", b"")
    h.run("SELECT 3")
    h.run("SADD s a b c")
    sizes = KeySizes(h.engine.keyspace.databases)
    assert sizes.walk(1000)
    assert sizes.fields() == {
        "db0_distrib_strings_sizes": "0=1,1=2,512=2,1K=2,512K=2,1M=2,2M=2",
        "db3_distrib_sets_items": "2=1",
    }
