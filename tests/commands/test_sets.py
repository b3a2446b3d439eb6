"""The commands of sets: replies, errors, forms in RESP3, journal."""

from typing import Any

import pytest
from support.engine import Harness
from support.same_data import assert_replays, contents, wire

WRONG = "-WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    harness.run("RPUSH list a")
    harness.run("SADD abc a b c")
    harness.run("SADD bcd b c d")
    harness.run("SADD one c")
    harness.journal()
    return harness


def members(h: Harness, name: str) -> set[bytes]:
    return set(h.run("SMEMBERS", name))


def test_sadd_and_srem_count_what_changed(h: Harness) -> None:
    assert h.run("SADD s a b a") == 2
    assert h.run("SADD s b c") == 1
    assert h.run("SREM s a z a") == 1
    assert members(h, "s") == {b"b", b"c"}
    assert h.run("SREM s b c") == 2
    assert h.run("EXISTS s") == 0
    assert h.run("SREM s b") == 0


def test_asking_a_set(h: Harness) -> None:
    assert (h.run("SCARD abc"), h.run("SCARD no")) == (3, 0)
    assert (h.run("SISMEMBER abc a"), h.run("SISMEMBER abc z"), h.run("SISMEMBER no a")) == (1, 0, 0)
    assert h.run("SMISMEMBER abc a z c") == [1, 0, 1]
    assert h.run("SMISMEMBER no a z") == [0, 0]
    assert h.run("SMEMBERS no") == []
    assert h.run("SSCAN abc 0 MATCH [ab]")[0] == b"0"
    assert sorted(h.run("SSCAN abc 0 MATCH [ab]")[1]) == [b"a", b"b"]
    assert h.run("SSCAN no 0 whatever") == [b"0", []]
    assert h.run("SSCAN abc 0 whatever") == "-ERR syntax error"
    assert h.run("SSCAN abc 0 NOVALUES") == "-ERR NOVALUES option can only be used in HSCAN"


def test_smove(h: Harness) -> None:
    assert h.run("SMOVE abc bcd z") == 0
    assert h.run("SMOVE abc bcd a") == 1
    assert h.run("SMOVE abc bcd b") == 1
    assert members(h, "bcd") == {b"a", b"b", b"c", b"d"}
    assert h.run("SMOVE abc new c") == 1
    assert h.run("EXISTS abc") == 0 and members(h, "new") == {b"c"}
    assert (h.run("SMOVE new new c"), h.run("SMOVE new new z")) == (1, 0)
    assert h.run("SMOVE no list a") == 0
    assert h.run("SMOVE new list c") == h.run("SMOVE list new c") == h.run("SMOVE list list a") == WRONG


def test_algebra(h: Harness) -> None:
    assert set(h.run("SINTER abc bcd")) == {b"b", b"c"}
    assert set(h.run("SUNION abc no bcd")) == {b"a", b"b", b"c", b"d"}
    assert set(h.run("SDIFF abc bcd no")) == {b"a"}
    assert h.run("SDIFF no abc") == h.run("SINTER abc no") == h.run("SUNION no") == []
    assert set(h.run("SINTER abc abc")) == {b"a", b"b", b"c"}


def test_a_wrong_type_wins_over_an_empty_result(h: Harness) -> None:
    for name in ("SINTER", "SUNION", "SDIFF"):
        assert h.run(name, "no", "list") == WRONG
        assert h.run(f"{name}STORE", "abc", "no", "list") == WRONG
    assert h.run("SINTERCARD 2 no list") == WRONG
    assert members(h, "abc") == {b"a", b"b", b"c"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("SINTERSTORE", {b"c"}), ("SUNIONSTORE", {b"a", b"b", b"c", b"d"}), ("SDIFFSTORE", {b"a"})],
)
def test_storing_replaces_whatever_was_there(h: Harness, name: str, expected: set[bytes]) -> None:
    keys = {"SINTERSTORE": "abc bcd one", "SUNIONSTORE": "abc bcd", "SDIFFSTORE": "abc bcd"}[name]
    h.run("EXPIRE list 100")
    assert h.run(f"{name} list {keys}") == len(expected)
    assert members(h, "list") == expected
    assert h.run("TTL list") == -1
    assert h.run(f"{name} abc {keys}") == len(expected)
    assert members(h, "abc") == expected


def test_storing_nothing_deletes_the_key(h: Harness) -> None:
    assert h.run("SINTERSTORE list abc no") == 0
    assert h.run("EXISTS list") == 0
    h.journal()
    assert h.run("SDIFFSTORE list no abc") == 0
    assert h.journal() == []


def test_sintercard(h: Harness) -> None:
    assert h.run("SINTERCARD 2 abc bcd") == 2
    assert h.run("SINTERCARD 2 abc bcd LIMIT 1") == 1
    assert h.run("SINTERCARD 1 abc limit 0") == 3
    assert h.run("SINTERCARD 1 abc LIMIT 2") == 2
    assert h.run("SINTERCARD 2 abc no") == 0
    assert h.run("SINTERCARD 0 abc") == h.run("SINTERCARD x abc") == "-ERR numkeys should be greater than 0"
    assert h.run("SINTERCARD 3 abc bcd") == "-ERR Number of keys can't be greater than number of args"
    assert h.run("SINTERCARD 1 abc LIMIT -1") == h.run("SINTERCARD 1 abc LIMIT x") == "-ERR LIMIT can't be negative"
    assert h.run("SINTERCARD 1 abc LIMIT") == h.run("SINTERCARD 1 abc foo 1") == "-ERR syntax error"


def test_sunioncard_and_sdiffcard(h: Harness) -> None:
    assert [h.run(f"SUNIONCARD 3 abc bcd no{limit}") for limit in ("", " LIMIT 2", " LIMIT 9", " APPROX LIMIT 0")] == [
        4,
        2,
        4,
        4,
    ]
    assert [h.run(f"SDIFFCARD 2 abc {rest}") for rest in ("bcd", "no", "no LIMIT 2", "abc")] == [1, 3, 2, 0]
    assert (h.run("SUNIONCARD 1 no"), h.run("SDIFFCARD 2 no abc")) == (0, 0)
    for name in ("SUNIONCARD", "SDIFFCARD"):
        assert h.run(f"{name} 0 abc") == "-ERR numkeys should be greater than 0"
        assert h.run(f"{name} 3 abc bcd") == "-ERR Number of keys can't be greater than number of args"
        assert h.run(f"{name} 1 abc LIMIT -1") == "-ERR LIMIT can't be negative"
        assert h.run(f"{name} 2 no list") == WRONG
    assert h.run("SDIFFCARD 1 abc APPROX") == h.run("SINTERCARD 1 abc APPROX") == "-ERR syntax error"


def test_srandmember(h: Harness) -> None:
    assert h.run("SRANDMEMBER abc") in (b"a", b"b", b"c")
    assert sorted(h.run("SRANDMEMBER abc 5")) == [b"a", b"b", b"c"]
    assert len(set(h.run("SRANDMEMBER abc 2"))) == 2
    assert len(h.run("SRANDMEMBER abc -20")) == 20
    assert h.run("SRANDMEMBER abc 0") == h.run("SRANDMEMBER no 3") == h.run("SRANDMEMBER no -3") == []
    assert h.run("SRANDMEMBER no") is None
    assert h.run("SRANDMEMBER abc 1 2") == "-ERR syntax error"
    assert h.run("SRANDMEMBER abc x") == "-ERR value is not an integer or out of range"
    assert h.run("SRANDMEMBER abc -9223372036854775808") == (
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    )
    assert h.run("SRANDMEMBER abc -4000000000") == "-ERR value is out of range"


def test_spop_takes_what_it_returns(h: Harness) -> None:
    member = h.run("SPOP abc")
    assert members(h, "abc") == {b"a", b"b", b"c"} - {member}
    popped = h.run("SPOP abc 1")
    assert members(h, "abc") == {b"a", b"b", b"c"} - {member, *popped}
    assert len(h.run("SPOP abc 9")) == 1 and h.run("EXISTS abc") == 0
    assert h.run("SPOP abc") is None
    assert h.run("SPOP abc 3") == h.run("SPOP bcd 0") == []
    assert h.run("SPOP abc -1") == h.run("SPOP list x") == "-ERR value is out of range, must be positive"
    assert h.run("SPOP abc 1 2") == "-ERR syntax error"
    assert h.run("SPOP one") == b"c" and h.run("EXISTS one") == 0


@pytest.mark.parametrize(
    "request_line",
    [
        "SADD list a", "SREM list a", "SCARD list", "SISMEMBER list a", "SMISMEMBER list a", "SMEMBERS list",
        "SPOP list", "SPOP list 1", "SRANDMEMBER list", "SRANDMEMBER list 1", "SSCAN list 0", "SINTER list",
        "SINTERCARD 1 list", "SUNIONSTORE x list",
    ],
)  # fmt: skip
def test_another_type_is_refused(h: Harness, request_line: str) -> None:
    assert h.run(request_line) == WRONG
    assert h.journal() == []


def test_forms_in_resp3() -> None:
    h = Harness()
    h.run("SADD s a")
    h.run("SADD t a")
    one, as_set = b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"
    for line in ("SMEMBERS s", "SINTER s", "SUNION s", "SDIFF s", "SPOP s 1"):
        assert wire(h, line) == (one, as_set), line
    assert wire(h, "SRANDMEMBER t 1") == wire(h, "SRANDMEMBER t -1") == (one, one)
    assert wire(h, "SMEMBERS no")[1] == wire(h, "SPOP no 2")[1] == b"~0\r\n"
    assert wire(h, "SPOP no") == (b"$-1\r\n", b"_\r\n")
    assert wire(h, "SMISMEMBER t a b")[1] == b"*2\r\n:1\r\n:0\r\n"


@pytest.mark.parametrize(
    ("request_line", "journal"),
    [
        ("SADD abc a z", [[b"SADD", b"abc", b"a", b"z"]]),
        ("SADD abc a", []),
        ("SREM abc a z", [[b"SREM", b"abc", b"a", b"z"]]),
        ("SREM abc z", []),
        ("SMOVE abc bcd a", [[b"SMOVE", b"abc", b"bcd", b"a"]]),
        ("SMOVE abc abc a", []),
        ("SPOP one", [[b"SREM", b"one", b"c"]]),
        ("SPOP abc 3", [[b"DEL", b"abc"]]),
        ("SPOP abc 0", []),
        ("SRANDMEMBER abc 2", []),
        ("SINTERSTORE x abc bcd", [[b"SINTERSTORE", b"x", b"abc", b"bcd"]]),
    ],
)
def test_what_is_journaled(h: Harness, request_line: str, journal: list[list[bytes]]) -> None:
    h.run(request_line)
    assert h.journal() == journal


def test_spop_journals_what_it_drew(h: Harness) -> None:
    drawn: list[Any] = [h.run("SPOP abc"), *h.run("SPOP bcd 2")]
    assert h.journal() == [[b"SREM", b"abc", drawn[0]], [b"SREM", b"bcd", *drawn[1:]]]


def test_a_great_spop_is_journaled_in_pieces_of_one_unit() -> None:
    h = Harness()
    h.run("SADD", "s", *range(3000))
    h.journal()
    h.run("SPOP s 2500")
    journal = h.journal()
    assert [entry[0] for entry in journal] == [b"MULTI", b"SREM", b"SREM", b"SREM", b"EXEC"]
    assert sum(len(entry) - 2 for entry in journal[1:-1]) == 2500


def test_the_journal_gives_the_same_data() -> None:
    h = Harness()
    for i in range(60):
        h.run("SADD", f"s{i % 5}", i % 17, f"m{i % 13}", i)
        h.run("SPOP", f"s{i % 3}", i % 4)
        h.run("SPOP", f"s{(i + 1) % 5}")
        h.run("SREM", f"s{i % 5}", i % 7)
        h.run("SMOVE", f"s{i % 5}", f"s{i % 4}", i % 11)
        h.run(("SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE")[i % 3], f"d{i % 4}", f"s{i % 2}", f"s{i % 5}")
    assert contents(h)
    assert_replays(h)


def test_notifications() -> None:
    h = Harness("--notify-keyspace-events", "Esg")
    h.run("SADD src a")
    listener = h.client()
    listener.run("PSUBSCRIBE *")
    for line in (
        "SADD src a", "SADD src b", "SMOVE src dst a", "SMOVE src dst b", "SREM dst z", "SPOP dst", "SPOP dst 4",
        "SADD s a", "SUNIONSTORE t s", "SINTERSTORE t s no", "SINTERSTORE t s no", "SREM s a",
    ):  # fmt: skip
        h.run(line)
    lines = listener.received().split(b"\r\n")
    seen = [line[15:] + b" " + lines[i + 2] for i, line in enumerate(lines) if line.startswith(b"__keyevent@0__:")]
    assert seen == [
        b"sadd src", b"srem src", b"sadd dst", b"srem src", b"del src", b"sadd dst", b"spop dst", b"spop dst",
        b"del dst", b"sadd s", b"sunionstore t", b"del t", b"srem s", b"del s",
    ]  # fmt: skip
