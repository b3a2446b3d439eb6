"""What is computed from what the server tells."""

from broker.console.sampling import keys_of, merged, percentile
from broker.inspection.facts import Server


def test_histograms_of_all_commands_are_one():
    get = [b"calls", 3, b"histogram_usec", [1, 1, 4, 3]]
    set_ = [b"calls", 2, b"histogram_usec", [4, 2]]
    assert merged([b"get", get, b"set", set_]) == {1: 1, 4: 4}


def test_a_percentile_is_the_bound_of_its_bucket():
    counts = {1: 50, 2: 49, 64: 1}
    assert percentile(counts, 0.5) == 1
    assert percentile(counts, 0.51) == 2
    assert percentile(counts, 0.99) == 2
    assert percentile(counts, 1.0) == 64
    assert percentile({}, 0.5) is None
    assert percentile({1: 0}, 0.5) is None


def test_keys_are_counted_over_all_databases():
    info = {"db0": "keys=3,expires=1,avg_ttl=0", "db12": "keys=4,expires=0,avg_ttl=0", "dbx": "keys=9"}
    assert sum(keys_of(Server(info))) == 7
