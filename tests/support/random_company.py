"""Random requests of several clients in turn: every command, blocked clients, transactions, time that passes."""

from hypothesis import strategies as st
from support.engine import Client, Harness
from support.grammar_of_requests import (
    FAMILIES,
    TRANSACTIONS,
    consumer,
    count,
    database,
    end,
    group,
    key,
    many,
    maybe,
    member,
    one,
    seq,
    stream_id,
)

_short = one(b"1", b"2", b"30", b"-1")
_now = [
    seq(b"SPOP", key, maybe(count)),
    seq(b"XADD", key, maybe(b"MAXLEN", maybe(one(b"~", b"=")), one(b"1", b"3")), b"*", member, member),
    seq(b"SET", key, member, one(b"EX", b"PX"), _short),
    seq(b"GETEX", key, b"EX", _short),
    seq(one(b"EXPIRE", b"PEXPIRE"), key, _short),
    seq(b"SETEX", key, _short, member),
    seq(one(b"BLPOP", b"BRPOP"), many(key), one(b"0", b"2")),
    seq(b"BLMOVE", key, key, end, end, one(b"0", b"2")),
    seq(one(b"BZPOPMIN", b"BZPOPMAX"), many(key), b"0"),
    seq(b"BLMPOP", b"0", b"1", key, end, b"COUNT", b"2"),
    seq(b"XREADGROUP", b"GROUP", group, consumer, b"BLOCK", one(b"0", b"1500"), b"STREAMS", key, b">"),
    seq(b"XREADGROUP", b"GROUP", group, consumer, b"NOACK", b"STREAMS", key, b">"),
    seq(b"XCLAIM", key, group, consumer, one(b"0", b"1000"), many(stream_id), maybe(b"IDLE", _short), b"FORCE"),
    seq(b"XGROUP", b"CREATE", key, group, b"0", b"MKSTREAM"),
    seq(
        b"XGROUP",
        b"POLICY",
        key,
        group,
        b"ACKWAIT",
        one(b"0", b"300"),
        b"MAXDELIVER",
        one(b"0", b"1"),
        b"DEADLETTER",
        b"d",
    ),
    seq(b"XGROUP", b"POLICY", key, group, b"ORDERBY", one(b"", b"f"), b"BACKOFF", one(b"0", b"50")),
    seq(
        b"XNACK",
        key,
        group,
        one(b"SILENT", b"FAIL", b"FATAL"),
        b"IDS",
        b"1",
        stream_id,
        b"FORCE",
        maybe(b"DELAY", _short),
    ),
    seq(b"XGROUP", b"DELCONSUMER", key, group, consumer, one(b"RELEASE", b"REASSIGN"), maybe(consumer)),
    seq(b"XREDRIVE", b"d"),
    seq(one(b"HEXPIRE", b"HPEXPIRE"), key, _short, b"FIELDS", b"1", member),
    seq(b"HSETEX", key, one(b"EX", b"PX"), _short, b"FIELDS", b"1", member, member),
    seq(b"HSETEX", key, maybe(one(b"FNX", b"FXX")), b"KEEPTTL", b"FIELDS", b"1", member, member),
    seq(b"HGETEX", key, one(b"EX", b"PX"), _short, b"FIELDS", b"1", member),
    seq(b"HGETDEL", key, b"FIELDS", b"1", member),
    seq(b"SELECT", database),
    seq(b"XSCHEDULE", key, b"ID", member, b"DELAY", one(b"0", b"1", b"400", b"40000"), b"f", b"v"),
    seq(b"XSCHEDULE", key, b"EVERY", one(b"300", b"7000"), b"MISSED", one(b"one", b"skip", b"all"), b"f", b"v"),
    seq(b"LSCHEDULE", key, b"ID", member, b"EVERY", one(b"300", b"7000"), b"MAXRUNS", b"3", b"v", b"w"),
    seq(one(b"XUNSCHEDULE", b"LUNSCHEDULE"), key, many(member)),
]
_request = st.one_of(*FAMILIES["everything"], *_now, *_now, *TRANSACTIONS)
steps = st.lists(
    st.one_of(st.tuples(st.integers(0, 2), _request), st.tuples(st.just(-1), st.sampled_from([0.001, 0.5, 1.0, 31.0]))),
    min_size=1,
    max_size=40,
)


def take_step(harness: Harness, clients: list[Client], who: int, what: "list[bytes] | float") -> None:
    if who < 0:
        assert isinstance(what, float)
        harness.advance(what)
    elif not clients[who].session.is_blocked:
        assert isinstance(what, list)
        clients[who].raw(*what)
