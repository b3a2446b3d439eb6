"""Retention in random company: limits hold at every moment, and the journal gives the same data."""

from random import Random
from typing import Any

import pytest
from support.engine import Harness
from support.same_data import replay

from broker.datatypes.stream_settings import StreamSettings
from broker.datatypes.streams import MAX_ID, Stream
from broker.keyspace.digest import dataset_digest

KEYS = ("s", "t")
STEPS = 250


def request(rng: Random) -> list[str]:
    """Mostly entries that come and are acknowledged; now and then settings, groups and keys change."""
    key, other = rng.sample(KEYS, 2)
    group = rng.choice("gh")
    fields = ["n", str(rng.randrange(4)), "ttl", rng.choice(["700", "2500", "never"])]
    ids = [f"17000000{rng.randrange(100):02}000-{rng.randrange(3)}" for _ in range(2)]
    add: list[list[str]] = [
        ["XADD", key, "*", *fields],
        ["XADD", key, "IDMP", rng.choice("pq"), str(rng.randrange(6)), "*", *fields],
        ["XADD", key, "MAXLEN", rng.choice("=~"), "8", rng.choice(["KEEPREF", "DELREF", "ACKED"]), "*", *fields],
    ]
    work: list[list[str]] = [
        ["XREADGROUP", "GROUP", group, "c", "COUNT", "3", "STREAMS", key, ">"],
        ["XREADGROUP", "GROUP", group, "c", "COUNT", "1", "NOACK", "STREAMS", key, ">"],
        ["XACKDEL", key, group, rng.choice(["KEEPREF", "DELREF", "ACKED"]), "IDS", "2", *ids],
        ["XDELEX", key, rng.choice(["KEEPREF", "DELREF", "ACKED"]), "IDS", "2", *ids],
        ["XTRIM", key, "MAXLEN", "6", "ACKED"],
    ]
    rare: list[list[str]] = [
        ["XCFGSET", key, "MAXLEN", rng.choice(["0", "5", "12"])],
        ["XCFGSET", key, "MAXAGE", rng.choice(["0", "1500", "4000"])],
        [
            "XCFGSET",
            key,
            "RETAIN",
            rng.choice(["limits", "acked", "workqueue"]),
            "GROUPIDLE",
            rng.choice(["0", "3000"]),
        ],
        ["XCFGSET", key, "TTLFIELD", rng.choice(["", "ttl"]), "IDMP-DURATION", rng.choice(["2", "5"])],
        ["XGROUP", "CREATE", key, group, rng.choice(["0", "$"]), "MKSTREAM"],
        ["XGROUP", "DESTROY", key, group],
        ["RENAME", key, other],
        ["COPY", key, other, "REPLACE"],
        ["SWAPDB", "0", "1"],
        ["DEL", key],
    ]
    return rng.choice(rng.choices([add, work, rare], [5, 5, 1])[0])


def acknowledge(h: Harness, rng: Random) -> None:
    key, group = rng.choice(KEYS), rng.choice("gh")
    rows: Any = h.run("XPENDING", key, group, "-", "+", 5)
    if isinstance(rows, list) and rows:
        h.run("XACK", key, group, *[row[0] for row in rows if rng.random() < 0.7] or ["0-1"])


def streams(h: Harness) -> list[tuple[Stream, StreamSettings]]:
    values = [value for db in h.engine.keyspace.databases for value in db.table.values()]
    return [(value, value.settings) for value in values if isinstance(value, Stream) and value.settings is not None]


def assert_limits(h: Harness) -> None:
    now = h.engine.keyspace.now_ms
    for stream, settings in streams(h):
        if settings.max_length:
            assert len(stream) <= settings.max_length
        if settings.max_age_ms and stream.size:
            assert (stream.first_id >> 64) + settings.max_age_ms > now
        alive = set(stream.range(0, MAX_ID, -1, False).ids)
        assert not [entry_id for due, entry_id in settings.due_entries() if due <= now and entry_id in alive]


@pytest.mark.parametrize("seed", range(12))
def test_limits_hold_and_the_journal_tells_all(seed: int) -> None:
    rng = Random(seed)
    h = Harness()
    for key in KEYS:
        h.run("XGROUP", "CREATE", key, "g", "0", "MKSTREAM")
    for _ in range(STEPS):
        reply = h.run(*request(rng))
        assert "internal" not in str(reply)
        acknowledge(h, rng)
        assert_limits(h)
        if rng.random() < 0.4:
            h.advance(rng.choice([0.001, 0.2, 1.1]))
            assert_limits(h)
    expected = dataset_digest(h.engine.keyspace, True)
    other = replay(h)
    other.engine.keyspace.now_ms = h.engine.keyspace.now_ms
    assert dataset_digest(other.engine.keyspace, True) == expected
    # And on from there, as after a restart: with the same clock, nothing but what is due goes.
    other.time.now = h.time.now
    other.engine.keyspace.expiry = True
    other.advance(0)
    assert_limits(other)


@pytest.mark.parametrize("limit", ["MAXLEN 10", "MAXAGE 1"])
def test_a_limit_on_a_long_stream_with_groups_is_reached_in_several_looks(limit: str) -> None:
    """Each entry that goes may be pending somewhere: thousands of them are not looked for in one turn."""
    h = Harness()
    h.advance(1)
    for i in range(7000):
        h.engine.execute(h.main.ctx, [b"XADD", b"long", b"%d-1" % (i + 1), b"f", b"v"])
    h.run("XGROUP CREATE long g 0")
    h.run("XREADGROUP GROUP g c STREAMS long >")
    if limit == "MAXLEN 10":
        h.run("XADD", "long", "*", "f", "v")
    h.engine.begin_turn()
    h.engine.execute(h.main.ctx, [b"XCFGSET", b"long", *limit.encode().split()])
    assert h.engine.keyspace.databases[0].table.get(b"long").size >= 4990
    while h.engine.next_deadline_ms() == 0:
        h.advance(0)
    assert h.run("XLEN long") == (10 if limit == "MAXLEN 10" else 0)
    assert h.run("XPENDING long g")[0] == (9 if limit == "MAXLEN 10" else 0)
