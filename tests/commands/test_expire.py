"""Time-outs: setting them under conditions, reading them, and what the journal says of them."""

import pytest
from support.engine import Harness
from support.same_data import assert_replays, contents

NOW = 1_700_000_000_000  # where the harness's clock stands, in ms


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("SET k v")
    harness.journal()
    return harness


@pytest.mark.parametrize(
    ("line", "when"),
    [
        ("EXPIRE k 100", NOW + 100_000),
        ("PEXPIRE k 1500", NOW + 1500),
        ("EXPIREAT k 1700000100", NOW + 100_000),
        ("PEXPIREAT k 1700000000001", NOW + 1),
    ],
)
def test_a_time_out_is_kept_and_journaled_as_a_time_in_ms(h: Harness, line: str, when: int) -> None:
    assert h.run(line) == 1
    assert h.run("PEXPIRETIME k") == when
    assert h.journal() == [[b"PEXPIREAT", b"k", b"%d" % when]]
    h.advance((when - NOW) / 1000 - 0.001)
    assert h.run("EXISTS k") == 1
    h.advance(0.001)
    assert h.run("EXISTS k") == 0
    assert h.journal() == [[b"DEL", b"k"]]


@pytest.mark.parametrize("line", ["EXPIRE k 0", "EXPIRE k -1", "PEXPIRE k -5", "EXPIREAT k 1", "PEXPIREAT k -1",
                                  "PEXPIREAT k 1700000000000"])  # fmt: skip
def test_a_time_in_the_past_deletes_at_once(h: Harness, line: str) -> None:
    assert h.run(line) == 1
    assert h.run("EXISTS k") == 0
    assert h.journal() == [[b"DEL", b"k"]]


def test_a_key_that_is_not_there_has_no_time_out(h: Harness) -> None:
    for name in ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"):
        assert h.run(name, "no", 100) == 0
    assert h.run("PERSIST no") == 0
    for name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"):
        assert h.run(name, "no") == -2
        assert h.run(name, "k") == -1
    assert h.journal() == []


def test_reading_a_time_out(h: Harness) -> None:
    h.run("PEXPIRE k 10499")
    assert [h.run(name, "k") for name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")] == [
        10, 10499, 1_700_000_010, NOW + 10499,
    ]  # fmt: skip
    h.run("PEXPIRE k 10500")
    assert h.run("TTL k") == 11
    assert h.run("EXPIRETIME k") == 1_700_000_011


def test_persist(h: Harness) -> None:
    assert h.run("PERSIST k") == 0
    h.run("EXPIRE k 10")
    h.journal()
    assert h.run("PERSIST k") == 1
    assert h.run("TTL k") == -1
    assert h.journal() == [[b"PERSIST", b"k"]]
    h.advance(20)
    assert h.run("GET k") == b"v"


@pytest.mark.parametrize(
    ("current", "new", "allowed"),
    [
        (None, 100, {"NX", "LT"}),
        (50, 100, {"XX", "GT", "XX GT"}),
        (50, 20, {"XX", "LT", "LT XX"}),
        (50, 50, {"XX"}),
    ],
)
@pytest.mark.parametrize("condition", ["NX", "XX", "GT", "LT", "XX GT", "LT XX"])
def test_conditions(h: Harness, current: int | None, new: int, allowed: set[str], condition: str) -> None:
    if current is not None:
        h.run("EXPIRE", "k", current)
    before = h.run("PEXPIRETIME k")
    h.journal()
    done = h.run("EXPIRE", "k", new, *condition.lower().split())
    assert done == (1 if condition in allowed else 0)
    assert h.run("PEXPIRETIME k") == (NOW + new * 1000 if done else before)
    assert len(h.journal()) == done


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("x", "value is not an integer or out of range"),
        ("1.5", "value is not an integer or out of range"),
        ("x FOO", "Unsupported option FOO"),
        ("1 NX XX", "NX and XX, GT or LT options at the same time are not compatible"),
        ("1 nx gt lt", "NX and XX, GT or LT options at the same time are not compatible"),
        ("x GT LT", "GT and LT options at the same time are not compatible"),
        ("1 NX XX FOO", "Unsupported option FOO"),
    ],
)
def test_errors_and_which_of_them_wins(h: Harness, words: str, error: str) -> None:
    for name in ("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"):
        assert h.run(f"{name} k {words}") == "-ERR " + error
        assert h.run(f"{name} no {words}") == "-ERR " + error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("expire", 9223372036854775807),
        ("expire", -9223372036854775807),
        ("expire", 9223372036854775),
        ("pexpire", 9223372036854775807),
        ("expireat", 9223372036854776),
    ],
)
def test_a_time_beyond_64_bits_is_refused(h: Harness, name: str, value: int) -> None:
    assert h.run(name, "k", value) == f"-ERR invalid expire time in '{name}' command"
    assert h.run("TTL k") == -1


def test_the_greatest_time_is_taken(h: Harness) -> None:
    assert h.run("PEXPIREAT k 9223372036854775807") == 1
    assert h.run("PEXPIRETIME k") == 9223372036854775807


def test_replay_keeps_a_key_whose_time_is_over_until_its_del_comes() -> None:
    """The log decides, not the clock: what stands between the two may still need the key."""
    h = Harness()
    h.engine.keyspace.expiry = False
    session = h.engine.replay_session()
    h.engine.begin_turn()
    for argv in ([b"SET", b"k", b"v"], [b"PEXPIREAT", b"k", b"5"], [b"APPEND", b"k", b"w"]):
        h.engine.execute(session, argv)
    assert contents(h) == {(0, b"k"): (b"vw", 5)}


def test_the_journal_gives_the_same_data() -> None:
    h = Harness()
    for i in range(50):
        h.run("SET", f"k{i % 10}", i)
        h.run("EXPIRE", f"k{i % 7}", i % 5)
        h.run("PEXPIRE", f"k{i % 3}", 5000 + i, ("NX", "XX", "GT", "LT")[i % 4])
        if i % 6 == 5:
            h.run("PERSIST", f"k{i % 10}")
            h.advance(1)
    assert_replays(h)
