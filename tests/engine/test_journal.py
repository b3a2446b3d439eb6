"""What changed, as commands: units, databases, expiry; and replaying it gives the same data."""

import pytest
from support.engine import Harness

from broker.engine.journal import Journal
from broker.protocol.requests import RequestParser


def entries(data: bytes) -> list[list[bytes]]:
    parser = RequestParser()
    parser.feed(data)
    out: list[list[bytes]] = []
    parser.take(out)
    assert parser.complete == len(data)
    return out


@pytest.fixture
def journal() -> Journal:
    journal = Journal()
    journal.enabled = True
    return journal


def test_one_effect_stands_alone(journal: Journal) -> None:
    journal.record(0, [b"DEL", b"a"])
    journal.commit()
    assert entries(journal.take()) == [[b"SELECT", b"0"], [b"DEL", b"a"]]
    assert journal.take() == b""


def test_several_effects_are_one_unit(journal: Journal) -> None:
    journal.record(3, [b"DEL", b"a"])
    journal.record(3, [b"DEL", b"b"])
    journal.commit()
    assert entries(journal.take()) == [[b"MULTI"], [b"SELECT", b"3"], [b"DEL", b"a"], [b"DEL", b"b"], [b"EXEC"]]


def test_a_database_is_selected_when_it_changes_and_not_again(journal: Journal) -> None:
    for database in (0, 0, 1, 1, 0):
        journal.write(database, [b"INCR", b"n"])
    chosen = [entry[1] for entry in entries(journal.take()) if entry[0] == b"SELECT"]
    assert chosen == [b"0", b"1", b"0"]
    journal.write(0, [b"INCR", b"n"])
    assert entries(journal.take()) == [[b"INCR", b"n"]]
    journal.forget_selection()
    journal.write(0, [b"INCR", b"n"])
    assert entries(journal.take()) == [[b"SELECT", b"0"], [b"INCR", b"n"]]


def test_a_unit_over_two_databases_selects_inside(journal: Journal) -> None:
    journal.record(0, [b"DEL", b"a"])
    journal.record(1, [b"DEL", b"b"])
    journal.commit()
    assert entries(journal.take()) == [
        [b"MULTI"],
        [b"SELECT", b"0"],
        [b"DEL", b"a"],
        [b"SELECT", b"1"],
        [b"DEL", b"b"],
        [b"EXEC"],
    ]


def test_without_a_reader_nothing_is_kept() -> None:
    journal = Journal()
    journal.record(0, [b"DEL", b"a"])
    journal.commit()
    journal.write(0, [b"DEL", b"b"])
    assert journal.take() == b""
    journal.enabled = True
    journal.write(0, [b"DEL", b"c"])
    assert entries(journal.take()) == [[b"SELECT", b"0"], [b"DEL", b"c"]]


# -- as the engine uses it


def test_what_changes_nothing_is_not_journaled() -> None:
    harness = Harness()
    harness.run("SET a 1")
    harness.journal()
    for request in ("GET a", "DEL none", "SETNX a 2", "EXPIRE none 5", "LPOP none", "SADD", "INCR a b", "LPUSH a x"):
        harness.run(request)
    assert harness.journal() == []


def test_a_transaction_is_one_unit_and_an_empty_one_is_none() -> None:
    harness = Harness()
    for request in ("MULTI", "SET a 1", "GET a", "INCR a", "EXEC", "MULTI", "GET a", "EXEC"):
        harness.run(request)
    assert harness.journal() == [[b"MULTI"], [b"SET", b"a", b"1"], [b"INCR", b"a"], [b"EXEC"]]


def test_a_transaction_that_failed_in_part_keeps_what_succeeded() -> None:
    harness = Harness()
    for request in ("MULTI", "SET a 1", "LPUSH a x", "SET b 2", "EXEC"):
        harness.run(request)
    assert harness.journal() == [[b"MULTI"], [b"SET", b"a", b"1"], [b"SET", b"b", b"2"], [b"EXEC"]]


def test_an_expiry_is_journaled_as_a_deletion_before_what_met_it() -> None:
    harness = Harness()
    harness.run("SET a 1 PX 100")
    assert [entry[0] for entry in harness.journal()] == [b"SET"]
    harness.time.advance(0.2)
    assert harness.run("SETNX a 2") == 1
    assert harness.journal() == [[b"DEL", b"a"], [b"SET", b"a", b"2"]]


def test_a_read_that_meets_an_expired_key_journals_its_deletion() -> None:
    harness = Harness()
    harness.run("SET a 1 PX 100")
    harness.journal()
    harness.time.advance(0.2)
    assert harness.run("GET a") is None
    assert harness.journal() == [[b"DEL", b"a"]]


def test_keys_expire_by_themselves_and_are_journaled() -> None:
    harness = Harness()
    for i in range(300):
        harness.run(f"SET k{i} x PX 100")
    harness.journal()
    assert harness.engine.next_deadline_ms() == 100
    harness.advance(0.1)
    assert harness.engine.next_deadline_ms() == 0, "more than a turn may take: the rest is due at once"
    harness.advance(0)
    assert sorted(harness.journal()) == sorted([b"DEL", b"k%d" % i] for i in range(300))
    assert harness.engine.next_deadline_ms() is None


def test_an_expiry_met_while_serving_who_waits_is_journaled_in_its_turn() -> None:
    harness = Harness()
    client = harness.client()
    harness.run("RPUSH a x")
    harness.run("PEXPIRE a 100")
    client.run("BLPOP b 0")
    harness.journal()
    harness.time.advance(0.2)
    harness.run("RPUSH b y")
    journal = harness.journal()
    assert [b"DEL", b"a"] in journal
    assert [entry for entry in journal if entry[1] == b"b"] == [[b"RPUSH", b"b", b"y"], [b"LPOP", b"b"]]


def test_replaying_the_journal_gives_the_same_data() -> None:
    harness = Harness()
    other = harness.client()
    other.run("SELECT 2")
    other.run("BLPOP q 0")
    requests = [
        "SET a 1 EX 100",
        "INCRBYFLOAT f 0.1",
        "RPUSH l a b c",
        "LMOVE l m LEFT RIGHT",
        "SADD s a b c d",
        "SPOP s",
    ]
    requests += [
        "XADD x * f v",
        "XADD x * f w",
        "ZADD z 1 a 2 b",
        "HSET h f 1",
        "HINCRBYFLOAT h f 0.25",
        "GETEX a PERSIST",
    ]
    requests += ["SET gone x PX 50", "EXPIRE l 1000", "COPY l l2", "RENAME m m2", "MULTI", "INCR n", "INCR n", "EXEC"]
    requests += ["SELECT 2", "RPUSH q one two", "SELECT 0", "MOVE a 3", "SORT nothing STORE l2", "GETDEL f"]
    for request in requests:
        harness.run(request)
    harness.advance(1)
    log = entries(harness.engine.journal.take())
    copy = Harness()
    copy.time.now = harness.time.now
    copy.engine.keyspace.expiry = False
    ctx = copy.engine.replay_session()
    for argv in log:
        copy.engine.begin_turn()
        copy.engine.execute(ctx, argv)
    assert copy.run("DEBUG DIGEST") == harness.run("DEBUG DIGEST")
    assert harness.run("DEBUG DIGEST") != "0" * 40
