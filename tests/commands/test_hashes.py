"""The commands of hashes: replies, errors, forms in RESP3, journal."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("RPUSH list a")
    harness.journal()
    return harness


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_hset_counts_the_fields_that_are_new(h: Harness) -> None:
    assert h.run("HSET k a 1 b 2") == 2
    assert h.run("HSET k a 3 c 4 c 5") == 1
    assert pairs(h.run("HGETALL k")) == {b"a": b"3", b"b": b"2", b"c": b"5"}
    assert h.run("HMSET k a 0") == "OK"
    assert h.run("HGET k a") == b"0"


@pytest.mark.parametrize("name", ["HSET", "HMSET", "hset"])
def test_a_field_without_a_value_is_refused_before_anything_is_looked_at(h: Harness, name: str) -> None:
    error = f"-ERR wrong number of arguments for '{name.lower()}' command"
    assert h.run(name, "k", "a", "1", "b") == error
    assert h.run(name, "list", "a", "1", "b") == error
    assert h.run("EXISTS k") == 0


def test_hsetnx_sets_only_what_is_not_there(h: Harness) -> None:
    assert h.run("HSETNX k a 1") == 1
    assert h.run("HSETNX k a 2") == 0
    assert h.run("HSETNX k b 2") == 1
    assert h.run("HMGET k a b c") == [b"1", b"2", None]


def test_reading_a_hash_that_is_not_there(h: Harness) -> None:
    assert h.run("HGET no a") is None
    assert h.run("HMGET no a b") == [None, None]
    assert h.run("HGETALL no") == h.run("HKEYS no") == h.run("HVALS no") == []
    assert h.run("HEXISTS no a") == h.run("HLEN no") == h.run("HSTRLEN no a") == h.run("HDEL no a") == 0
    assert h.run("HRANDFIELD no") is None
    assert h.run("HRANDFIELD no 3") == h.run("HRANDFIELD no -3 WITHVALUES") == []
    assert h.run("HSCAN no 0") == [b"0", []]


def test_reading_parts_of_a_hash(h: Harness) -> None:
    h.run("HSET k a 1 b four")
    assert sorted(h.run("HKEYS k")) == [b"a", b"b"]
    assert sorted(h.run("HVALS k")) == [b"1", b"four"]
    assert (h.run("HLEN k"), h.run("HEXISTS k a"), h.run("HEXISTS k z")) == (2, 1, 0)
    assert (h.run("HSTRLEN k b"), h.run("HSTRLEN k z")) == (4, 0)


def test_a_hash_without_fields_is_no_key(h: Harness) -> None:
    h.run("HSET k a 1 b 2 c 3")
    assert h.run("HDEL k a a z") == 1
    assert h.run("HDEL k b c") == 2
    assert h.run("EXISTS k") == 0


def test_hincrby_counts_in_64_bits(h: Harness) -> None:
    assert h.run("HINCRBY k n 5") == 5
    assert h.run("HINCRBY k n -7") == -2
    h.run("HSET k big 9223372036854775807 text x float 1.5")
    assert h.run("HINCRBY k big 1") == "-ERR increment or decrement would overflow"
    assert h.run("HINCRBY k text 1") == "-ERR hash value is not an integer"
    assert h.run("HINCRBY k float 1") == "-ERR hash value is not an integer"
    assert h.run("HINCRBY list text x") == "-ERR value is not an integer or out of range"
    assert h.run("HGET k big") == b"9223372036854775807"


def test_a_refused_increment_makes_no_hash(h: Harness) -> None:
    assert h.run("HINCRBY no n 1.5") == "-ERR value is not an integer or out of range"
    assert h.run("HINCRBYFLOAT no n x") == "-ERR value is not a valid float"
    assert h.run("EXISTS no") == 0


def test_hincrbyfloat_prints_as_long_doubles_do(h: Harness) -> None:
    assert h.run("HINCRBYFLOAT k f 10.5") == b"10.5"
    assert h.run("HINCRBYFLOAT k f 0.1") == b"10.6"
    assert h.run("HINCRBYFLOAT k f -5.6e0") == b"5"
    h.run("HSET k text x")
    assert h.run("HINCRBYFLOAT k text 1") == "-ERR hash value is not a float"
    for infinity in ("inf", "+INF", "-infinity"):
        assert h.run("HINCRBYFLOAT", "k", "f", infinity) == "-ERR value is NaN or Infinity"
    h.run("HSET k endless -inf")
    assert h.run("HINCRBYFLOAT k endless 1") == "-ERR increment would produce NaN or Infinity"
    assert h.run("HINCRBYFLOAT k f nan") == "-ERR value is not a valid float"


@pytest.mark.parametrize(
    "request_line",
    [
        "HSET list a 1", "HMSET list a 1", "HSETNX list a 1", "HGET list a", "HMGET list a", "HGETALL list",
        "HDEL list a", "HEXISTS list a", "HLEN list", "HKEYS list", "HVALS list", "HSTRLEN list a", "HINCRBY list a 1",
        "HINCRBYFLOAT list a 1", "HSCAN list 0", "HRANDFIELD list", "HRANDFIELD list 1", "HRANDFIELD list 1 WITHVALUES",
    ],
)  # fmt: skip
def test_another_type_is_refused(h: Harness, request_line: str) -> None:
    assert h.run(request_line) == WRONG
    assert h.journal() == []


def test_hrandfield_draws_different_fields_or_with_repetition(h: Harness) -> None:
    for i in range(100):
        h.run("HSET", "k", f"f{i}", i)
    assert len(set(h.run("HRANDFIELD k 7"))) == 7
    assert len(set(h.run("HRANDFIELD k 90"))) == 90
    assert len(h.run("HRANDFIELD k 900")) == 100
    assert h.run("HRANDFIELD k 0") == []
    repeated = h.run("HRANDFIELD k -400")
    assert len(repeated) == 400 and 50 < len(set(repeated)) <= 100
    flat = h.run("HRANDFIELD k -5 withvalues")
    assert [b"f" + value for value in flat[1::2]] == flat[::2] and len(flat) == 10
    assert {h.run("HRANDFIELD k") for _ in range(30)} <= {b"f%d" % i for i in range(100)}


def test_hrandfield_errors(h: Harness) -> None:
    h.run("HSET k a 1")
    assert h.run("HRANDFIELD k x") == "-ERR value is not an integer or out of range"
    assert h.run("HRANDFIELD k 1 foo") == "-ERR syntax error"
    assert h.run("HRANDFIELD k 1 withvalues foo") == "-ERR syntax error"
    assert h.run("HRANDFIELD k 9223372036854775807 WITHVALUES") == "-ERR value is out of range"
    assert h.run("HRANDFIELD k -9223372036854775808") == (
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    )


def test_a_number_of_draws_that_no_memory_could_hold_is_refused(h: Harness) -> None:
    h.run("HSET k a 1")
    assert h.run("HRANDFIELD k -4000000000") == "-ERR value is out of range"


def test_hscan_gives_pairs_or_fields(h: Harness) -> None:
    h.run("HSET k a 1 b 2")
    assert h.run("HSCAN k 0 MATCH a*") == [b"0", [b"a", b"1"]]
    assert h.run("HSCAN k 0 NOVALUES MATCH a* COUNT 5") == [b"0", [b"a"]]
    assert h.run("HSCAN k 0 COUNT 0") == "-ERR syntax error"
    assert h.run("HSCAN k x") == "-ERR invalid cursor"
    assert h.run("HSCAN k 0 TYPE hash") == "-ERR syntax error"


def test_forms_in_resp3() -> None:
    h = Harness()
    h.run("HSET k a 1")
    assert wire(h, "HGETALL k") == (b"*2\r\n$1\r\na\r\n$1\r\n1\r\n", b"%1\r\n$1\r\na\r\n$1\r\n1\r\n")
    assert wire(h, "HRANDFIELD k 1 WITHVALUES") == (
        b"*2\r\n$1\r\na\r\n$1\r\n1\r\n",
        b"*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n",
    )
    assert wire(h, "HGET k z") == (b"$-1\r\n", b"_\r\n")
    assert wire(h, "HKEYS k")[1] == wire(h, "HRANDFIELD k 1")[1] == b"*1\r\n$1\r\na\r\n"
    assert wire(h, "HGETALL no")[1] == b"%0\r\n"
    assert wire(h, "HINCRBYFLOAT k a 1.5")[1] == b"$3\r\n2.5\r\n"


@pytest.mark.parametrize(
    ("request_line", "journal"),
    [
        ("HSET k a 1 z 2", [[b"HSET", b"k", b"a", b"1", b"z", b"2"]]),
        ("HMSET k a 1", [[b"HMSET", b"k", b"a", b"1"]]),
        ("HSETNX k z 1", [[b"HSETNX", b"k", b"z", b"1"]]),
        ("HSETNX k a 1", []),
        ("HDEL k a z", [[b"HDEL", b"k", b"a", b"z"]]),
        ("HDEL k z", []),
        ("HINCRBY k n 3", [[b"HINCRBY", b"k", b"n", b"3"]]),
        ("HINCRBYFLOAT k n 0.5", [[b"HSET", b"k", b"n", b"7.5"]]),
        ("HRANDFIELD k 2", []),
        ("HSCAN k 0", []),
    ],
)
def test_what_is_journaled(request_line: str, journal: list[list[bytes]]) -> None:
    h = Harness()
    h.run("HSET k a 0 n 7")
    h.journal()
    h.run(request_line)
    assert h.journal() == journal


def test_the_journal_gives_the_same_data() -> None:
    h = Harness()
    for i in range(60):
        h.run("HSET", "k", f"f{i % 40}", i)
        h.run("HINCRBYFLOAT", "k", f"n{i % 7}", "0.1")
        h.run("HINCRBY", "other", f"n{i % 3}", i)
        h.run("HDEL", "k", f"f{i % 11}")
        h.run("HSETNX", f"key{i}", "a", i)
        h.run("HDEL", f"key{i // 2}", "a")
    assert_replays(h)


def test_notifications() -> None:
    h = Harness("--notify-keyspace-events", "Ehg")
    h.run("HSET k a 1 b 2")
    listener = h.client()
    listener.run("PSUBSCRIBE *")
    for line in ("HSET k c 3", "HDEL k z", "HSETNX k a 1", "HINCRBY k c 1", "HINCRBYFLOAT k c 1", "HDEL k a b c"):
        h.run(line)
    received = listener.received()
    events = [part for part in received.split(b"\r\n") if part.startswith(b"__keyevent@0__:")]
    assert [event[15:] for event in events] == [b"hset", b"hincrby", b"hincrbyfloat", b"hdel", b"del"]
