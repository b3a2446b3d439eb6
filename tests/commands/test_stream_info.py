"""XINFO: facts, forms in RESP2 and RESP3, errors."""

from typing import Any

import pytest
from support.engine import Harness
from support.same_data import wire
from support.streams import full

NOW = 1_700_000_000_000
BAD_SUBCOMMAND = "-ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP."


@pytest.fixture
def h() -> Harness:
    harness = Harness()
    for i in range(1, 16):
        harness.run("XADD", "s", f"{i}-0", "n", i)
    harness.run("XGROUP CREATE s g 0")
    return harness


def as_dict(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_a_stream_in_short(h: Harness) -> None:
    h.run("XDEL s 1 4")
    assert as_dict(h.run("XINFO STREAM s")) == {
        b"length": 13,
        b"radix-tree-keys": 1,
        b"radix-tree-nodes": 2,
        b"last-generated-id": b"15-0",
        b"max-deleted-entry-id": b"4-0",
        b"entries-added": 15,
        b"recorded-first-entry-id": b"2-0",
        b"groups": 1,
        b"first-entry": [b"2-0", [b"n", b"2"]],
        b"last-entry": [b"15-0", [b"n", b"15"]],
    }


def test_an_empty_stream_has_no_first_and_no_last_entry(h: Harness) -> None:
    h.run("XGROUP CREATE t g $ MKSTREAM")
    facts = as_dict(h.run("XINFO STREAM t"))
    assert (facts[b"length"], facts[b"first-entry"], facts[b"last-entry"]) == (0, None, None)
    resp2, resp3 = wire(h, "XINFO STREAM t")
    assert resp2.startswith(b"*20\r\n$6\r\nlength\r\n:0\r\n") and resp2.endswith(b"$10\r\nlast-entry\r\n$-1\r\n")
    assert resp3.startswith(b"%10\r\n$6\r\nlength\r\n:0\r\n") and resp3.endswith(b"$10\r\nlast-entry\r\n_\r\n")


def test_a_stream_in_full(h: Harness) -> None:
    h.run("XREADGROUP GROUP g ann COUNT 1 STREAMS s >")
    h.advance(1)
    h.run("XREADGROUP GROUP g bob COUNT 2 STREAMS s >")
    h.run("XGROUP CREATECONSUMER s g eve")
    facts = as_dict(h.run("XINFO STREAM s FULL"))
    assert len(facts[b"entries"]) == 10
    group = as_dict(facts[b"groups"][0])
    facts_of_group = (b"name", b"last-delivered-id", b"entries-read", b"lag", b"pel-count")
    assert [group[name] for name in facts_of_group] == [b"g", b"3-0", 3, 12, 3]
    assert group[b"pending"] == [
        [b"1-0", b"ann", NOW, 1], [b"2-0", b"bob", NOW + 1000, 1], [b"3-0", b"bob", NOW + 1000, 1],
    ]  # fmt: skip
    assert [as_dict(consumer) for consumer in group[b"consumers"]] == [
        {b"name": b"ann", b"seen-time": NOW, b"active-time": NOW, b"pel-count": 1, b"pending": [[b"1-0", NOW, 1]]},
        {b"name": b"bob", b"seen-time": NOW + 1000, b"active-time": NOW + 1000, b"pel-count": 2,
         b"pending": [[b"2-0", NOW + 1000, 1], [b"3-0", NOW + 1000, 1]]},
        {b"name": b"eve", b"seen-time": NOW + 1000, b"active-time": -1, b"pel-count": 0, b"pending": []},
    ]  # fmt: skip


@pytest.mark.parametrize(("count", "shown"), [("1", 1), ("0", 15), ("-3", 10), ("99", 15)])
def test_full_shows_as_much_as_it_is_asked_for(h: Harness, count: str, shown: int) -> None:
    h.run("XREADGROUP GROUP g c STREAMS s >")
    facts = as_dict(h.run(f"XINFO STREAM s full count {count}"))
    group = as_dict(facts[b"groups"][0])
    consumer = as_dict(group[b"consumers"][0])
    assert [len(facts[b"entries"]), len(group[b"pending"]), len(consumer[b"pending"])] == [shown] * 3
    assert group[b"pel-count"] == consumer[b"pel-count"] == 15


def test_full_is_made_of_maps_in_resp3(h: Harness) -> None:
    h.run("XGROUP CREATECONSUMER s g c")
    resp3 = wire(h, "XINFO STREAM s FULL COUNT 1")[1]
    assert resp3.startswith(b"%9\r\n")
    assert b"$6\r\ngroups\r\n*1\r\n%8\r\n$4\r\nname\r\n$1\r\ng\r\n" in resp3
    assert b"$9\r\nconsumers\r\n*1\r\n%5\r\n$4\r\nname\r\n$1\r\nc\r\n" in resp3


def test_groups_come_in_the_order_of_their_names(h: Harness) -> None:
    h.run("XGROUP CREATE s b $")
    h.run("XGROUP CREATE s a 3 ENTRIESREAD 3")
    h.run("XREADGROUP GROUP a c COUNT 2 STREAMS s >")
    groups = [as_dict(group) for group in h.run("XINFO GROUPS s")]
    assert groups[0] == {
        b"name": b"a", b"consumers": 1, b"pending": 2, b"last-delivered-id": b"5-0", b"entries-read": 5, b"lag": 10,
    }  # fmt: skip
    assert [(group[b"name"], group[b"entries-read"], group[b"lag"]) for group in groups[1:]] == [
        (b"b", None, 0), (b"g", None, 15),
    ]  # fmt: skip
    assert wire(h, "XINFO GROUPS s")[1].startswith(b"*3\r\n%6\r\n$4\r\nname\r\n$1\r\na\r\n")


def test_the_lag_is_counted_where_redis_cannot_tell_it(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >")
    h.run("XDEL s 8")
    assert as_dict(h.run("XINFO GROUPS s")[0])[b"lag"] == 12
    h.run("XREADGROUP GROUP g c STREAMS s >")
    group = as_dict(h.run("XINFO GROUPS s")[0])
    assert (group[b"entries-read"], group[b"lag"]) == (15, 0)


def test_what_entriesread_says_does_not_change_the_lag_and_counts_end_at_64_bits(h: Harness) -> None:
    h.run("XGROUP SETID s g 0 ENTRIESREAD 16")
    group = as_dict(h.run("XINFO GROUPS s")[0])
    assert (group[b"lag"], group[b"entries-read"]) == (15, 15), "no more than were added"
    h.run("XSETID s 15 ENTRIESADDED 9223372036854775807")
    h.run("XADD s 16-0 f v")
    assert as_dict(h.run("XINFO STREAM s"))[b"entries-added"] == 9223372036854775807
    h.run("XGROUP SETID s g 15 ENTRIESREAD 9223372036854775807")
    h.journal()
    h.run("XREADGROUP GROUP g c COUNT 1 STREAMS s >")
    assert b"9223372036854775807" in h.journal()[-2]
    assert full(h, "s")[b"groups"][0][b"entries-read"] == 9223372036854775807


def test_consumers_have_attempts_and_successes(h: Harness) -> None:
    h.run("XREADGROUP GROUP g c1 STREAMS s >")
    h.advance(2)
    h.run("XREADGROUP GROUP g c1 STREAMS s >")
    h.run("XREADGROUP GROUP g c2 STREAMS s >")
    h.advance(1)
    assert [as_dict(consumer) for consumer in h.run("XINFO CONSUMERS s g")] == [
        {b"name": b"c1", b"pending": 15, b"idle": 1000, b"inactive": 3000},
        {b"name": b"c2", b"pending": 0, b"idle": 1000, b"inactive": -1},
    ]
    h.run("XCLAIM s g c2 0 1")
    assert as_dict(h.run("XINFO CONSUMERS s g")[1])[b"inactive"] == 0
    assert wire(h, "XINFO CONSUMERS s g")[1].startswith(b"*2\r\n%4\r\n")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ("XINFO STREAM no FOO", "-ERR no such key"),
        ("XINFO GROUPS no", "-ERR no such key"),
        ("XINFO CONSUMERS no g", "-ERR no such key"),
        ("XINFO CONSUMERS s x", "-NOGROUP No such consumer group 'x' for key name 's'"),
        ("XINFO STREAM string", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("XINFO STREAM s FOO", BAD_SUBCOMMAND),
        ("XINFO STREAM s FULL COUNT", BAD_SUBCOMMAND),
        ("XINFO STREAM s FULL LIMIT 1", BAD_SUBCOMMAND),
        ("XINFO STREAM s FULL COUNT x", "-ERR value is not an integer or out of range"),
        ("XINFO STREAM", "-ERR wrong number of arguments for 'xinfo|stream' command"),
        ("XINFO GROUPS s x", "-ERR wrong number of arguments for 'xinfo|groups' command"),
        ("XINFO", "-ERR wrong number of arguments for 'xinfo' command"),
        ("XINFO FOO s", "-ERR unknown subcommand 'FOO'. Try XINFO HELP."),
    ],
)
def test_xinfo_refuses_what_redis_refuses(h: Harness, request_: str, error: str) -> None:
    h.run("SET string v")
    assert h.run(request_) == error


def test_help_is_lines_of_status(h: Harness) -> None:
    head, *lines = wire(h, "XINFO HELP")[0].split(b"\r\n")
    assert head == b"*%d" % (len(lines) - 1)
    assert lines[0].startswith(b"+XINFO <subcommand> ")
    assert any(line.startswith(b"+CONSUMERS ") for line in lines)
