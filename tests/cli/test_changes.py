"""claim, ack and trim, on our server and on redis-server."""

import pytest


@pytest.fixture
def jobs(client):
    """Six entries, five of them with ann."""
    ids = [client.xadd("jobs", {"n": n}, id=f"{1_700_000_000_000 + n * 1000}-0") for n in range(6)]
    client.xgroup_create("jobs", "work", "0")
    client.xreadgroup("work", "ann", {"jobs": ">"}, count=5)
    return ids


def holders(client):
    found = client.xpending_range("jobs", "work", "-", "+", 10)
    return {each["message_id"]: (each["consumer"], each["times_delivered"]) for each in found}


def test_claim_gives_entries_to_another_consumer(client, run, jobs):
    shown = run("claim", "jobs", "work", "bob", jobs[0], jobs[2], "--idle", "0").stdout
    assert shown == f"{jobs[0]}\n{jobs[2]}\n2 entries given to bob\n"
    assert holders(client) == {entry: ("bob" if entry in (jobs[0], jobs[2]) else "ann", 1) for entry in jobs[:5]}


def test_claim_takes_the_oldest_of_those_that_are_idle(client, run, jobs):
    client.xclaim("jobs", "work", "ann", 0, jobs[1:4], idle=120_000, justid=True)
    assert run.json("claim", "jobs", "work", "bob", "-n", "2") == {"claimed": jobs[1:3]}
    assert run.json("claim", "jobs", "work", "bob", "--idle", "5m") == {"claimed": []}
    assert run.json("claim", "jobs", "work", "bob", "--idle", "90s") == {"claimed": [jobs[3]]}


def test_ack_ends_what_it_names(client, run, jobs):
    assert run("ack", "jobs", "work", jobs[0], jobs[5]).stdout == "1 entry acknowledged\n"
    assert list(holders(client)) == jobs[1:5]
    assert "either ids or --all" in run("ack", "jobs", "work", status=2).output


def test_ack_of_all_has_to_be_meant(client, run, jobs):
    result = run("ack", "jobs", "work", "--all", status=1)
    assert "Acknowledge 5 entries" in result.stderr and "--yes" in result.stderr
    assert len(holders(client)) == 5
    assert run.json("ack", "jobs", "work", "--all", "--yes") == {"acknowledged": 5}
    assert holders(client) == {}
    assert run.json("ack", "jobs", "work", "--all") == {"acknowledged": 0}


def test_ack_of_all_goes_through_more_than_a_page(client, run):
    with client.pipeline() as pipeline:
        for n in range(1, 1203):
            pipeline.xadd("jobs", {"f": "v"}, id=f"{n}-1")
        pipeline.xgroup_create("jobs", "work", "0")
        pipeline.xreadgroup("work", "ann", {"jobs": ">"})
        pipeline.execute()
    assert run.json("ack", "jobs", "work", "--all", "--yes") == {"acknowledged": 1202}


def test_trim_keeps_the_newest(client, run, jobs):
    assert run("trim", "jobs", "--keep", "4", "--yes").stdout == "2 entries removed\n"
    assert [entry for entry, _ in client.xrange("jobs")] == jobs[2:]


def test_trim_removes_what_is_older(client, run, jobs):
    assert run.json("trim", "jobs", "--before", "2023-11-14T22:13:22Z", "-y") == {"removed": 2}
    assert [entry for entry, _ in client.xrange("jobs")] == jobs[2:]
    assert run.json("trim", "jobs", "--before", jobs[3], "-y") == {"removed": 1}
    assert run.json("trim", "jobs", "--before", "now", "-y") == {"removed": 3}


def test_trim_asks_first(client, run, jobs):
    result = run("trim", "jobs", "--keep", "4", status=1)
    assert result.stderr == (
        "millstream: Remove the oldest 2 of 6 entries from jobs? Say --yes: no terminal is here to ask\n"
    )
    assert client.xlen("jobs") == 6
    for wrong in ([], ["--keep", "1", "--before", "now"]):
        assert "either --keep or --before" in run("trim", "jobs", *wrong, status=2).output
