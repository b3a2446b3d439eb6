"""Dead letters, as the worker framework files them, on our server and on redis-server."""

import pytest

from broker.inspection.units import local_time


def file_letter(client, dead, stream="orders", group="billing", reason="no", entry="5-1", **fields):
    facts = {"stream": stream, "id": entry, "group": group, "consumer": "ann", "deliveries": 5, "reason": reason}
    return client.xadd(dead, fields | {f"dead.{name}": value for name, value in facts.items()} | {"dead.time": 5000})


@pytest.fixture
def letters(client):
    client.xadd("orders", {"user": "0"}, id="5-0")
    return [file_letter(client, "orders.dead", reason=f"ValueError: {n}\n  at {n}", user=n) for n in range(3)]


def test_ls_finds_streams_of_dead_letters(client, run, letters):
    client.xadd("plain", {"f": "v"})
    file_letter(client, "graveyard", reason="other")
    client.xadd("empty.dead", {"f": "v"})
    client.xtrim("empty.dead", maxlen=0)
    assert [line[:2] for line in run.rows("dlq", "ls")] == [
        ["dead letters", "count"],
        ["empty.dead", "0"],
        ["graveyard", "1"],
        ["orders.dead", "3"],
    ]
    assert run.rows("dlq", "ls", "orders*")[1][4:] == ["billing", "ValueError: 2"]
    (found,) = run.json("dlq", "ls", "orders*")
    assert set(found) == {"key", "letters", "oldest_ms", "newest_ms", "last"}
    assert (found["key"], found["letters"], found["last"]["reason"]) == ("orders.dead", 3, "ValueError: 2\n  at 2")
    client.flushall()
    assert run("dlq", "ls").stdout == "no dead letters\n"


def test_show_lists_the_newest_first(run, letters):
    lines = run.rows("dlq", "show", "orders.dead", "-n", "2")
    assert lines[0] == ["id", "local time", "stream", "entry", "group", "tries", "reason"]
    assert [(line[0], *line[2:]) for line in lines[1:]] == [
        (letters[2], "orders", "5-1", "billing", "5", "ValueError: 2"),
        (letters[1], "orders", "5-1", "billing", "5", "ValueError: 1"),
    ]
    shown = run.json("dlq", "show", "orders.dead", "--where", "dead.reason~1", "--where", "user=1")
    assert shown == [
        {
            "id": letters[1],
            "stream": "orders",
            "entry_id": "5-1",
            "group": "billing",
            "consumer": "ann",
            "deliveries": 5,
            "attempts": None,
            "reason": "ValueError: 1\n  at 1",
            "time_ms": 5000,
            "history": [],
            "facts": {
                **{"stream": "orders", "id": "5-1", "group": "billing", "consumer": "ann", "deliveries": "5"},
                **{"reason": "ValueError: 1\n  at 1", "time": "5000"},
            },
            "fields": {"user": "1"},
        }
    ]


def test_show_of_one_tells_everything(run, letters):
    lines = run("dlq", "show", "orders.dead", letters[1]).stdout.splitlines()
    assert lines[0].startswith(f"dead letter {letters[1]}  ")
    assert "  group: billing" in lines
    at = lines.index("  reason: ValueError: 1")
    assert lines[at + 1] == "      at 1"
    assert lines[-3:] == ["message", "  user: 1", ""]
    assert run("dlq", "show", "orders.dead", "1-1").stdout == "no such dead letters\n"


def test_show_tells_each_attempt(client, run):
    history = '[{"at_ms": 1700000000000, "worker": "w1", "reason": "ValueError: x\\nmore"}]'
    letter = client.xadd("dead", {"n": 1, "dead.stream": "s", "dead.history": history})
    lines = run("dlq", "show", "dead", letter).stdout.splitlines()
    at = lines.index("attempts")
    assert lines[at + 1] == f"  {local_time('1700000000000-0')}  w1  ValueError: x"
    assert not any(line.startswith("  history") for line in lines)
    (found,) = run.json("dlq", "show", "dead")
    assert found["history"] == [{"time_ms": 1700000000000, "worker": "w1", "reason": "ValueError: x\nmore"}]


def test_retry_puts_letters_back(client, run, letters):
    lines = run.rows("dlq", "retry", "orders.dead", letters[1])
    (new,) = [entry for entry, fields in client.xrange("orders") if fields == {"user": "1"}]
    assert lines == [["dead letter", "stream", "id"], [letters[1], "orders", new], ["1 put back"]]
    assert [entry for entry, _ in client.xrange("orders.dead")] == [letters[0], letters[2]]
    assert run.json("dlq", "retry", "orders.dead", letters[1]) == []
    assert [fields for _, fields in client.xrange("orders")] == [{"user": "0"}, {"user": "1"}]


def test_retry_of_all_of_some_and_to_another_stream(client, run, letters):
    found = run.json("dlq", "retry", "orders.dead", "--where", "user=2", "--to", "second")
    assert [(each["letter_id"], each["stream"], each["error"]) for each in found] == [(letters[2], "second", None)]
    assert [fields for _, fields in client.xrange("second")] == [{"user": "2"}]
    assert [each["letter_id"] for each in run.json("dlq", "retry", "orders.dead", "--all")] == letters[:2]
    assert [fields for _, fields in client.xrange("orders")] == [{"user": "0"}, {"user": "0"}, {"user": "1"}]
    assert client.xlen("orders.dead") == 0


def test_retry_goes_through_more_than_a_page(client, run):
    with client.pipeline() as pipeline:
        for n in range(250):
            pipeline.xadd("dead", {"n": n, "dead.stream": "s", "dead.group": "g", "dead.id": "1-1"})
        pipeline.execute()
    assert len(run.json("dlq", "retry", "dead", "--all")) == 250
    assert [fields for _, fields in client.xrange("s")] == [{"n": str(n)} for n in range(250)]


def test_nothing_is_done_to_all_by_a_slip(client, run, letters):
    for words in (["retry", "orders.dead"], ["drop", "orders.dead"], ["retry", "orders.dead", letters[0], "--all"]):
        assert "either ids, or --where, or --all" in run("dlq", *words, status=2).output
    assert "--yes" in run("dlq", "drop", "orders.dead", "--all", status=1).stderr
    assert client.xlen("orders.dead") == 3


def test_drop_deletes(client, run, letters):
    assert run("dlq", "drop", "orders.dead", letters[0], "--yes").stdout == "1 dropped\n"
    assert run.json("dlq", "drop", "orders.dead", "--where", "user=2", "-y") == {"dropped": 1}
    assert run.json("dlq", "drop", "orders.dead", "--all", "-y") == {"dropped": 1}
    assert client.xlen("orders.dead") == 0


def test_a_policy_s_letters_go_back_into_their_group(client, run, is_ours):
    if not is_ours:
        pytest.skip("redis-server has no policies")
    entry = client.xadd("jobs", {"n": "1"})
    for group in ("work", "audit"):
        client.xgroup_create("jobs", group, "0")
    client.execute_command("XGROUP", "POLICY", "jobs", "work", "ACKWAIT", 60000, "MAXDELIVER", 1, "DEADLETTER", "gone")
    for group in ("work", "audit"):
        client.xreadgroup(group, "ann", {"jobs": ">"})
    client.execute_command("XNACK", "jobs", "work", "FAIL", "IDS", 1, entry, "REASON", "no such user")
    (listed,) = run.json("dlq", "ls")
    assert (listed["key"], listed["last"]["attempts"], listed["last"]["reason"]) == ("gone", 1, "no such user")
    (done,) = run.json("dlq", "retry", "gone", "--all")
    assert (done["stream"], done["id"]) == ("jobs", entry)
    assert client.xreadgroup("work", "bob", {"jobs": ">"}) == [["jobs", [(entry, {"n": "1"})]]]
    assert client.xreadgroup("audit", "ann", {"jobs": ">"}) == []
