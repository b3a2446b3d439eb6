"""The commands that list, from streams to memory, on our server and on redis-server."""

import re
import time

import pytest

EMPTY = {
    "streams": "no streams",
    "groups": "no groups",
    "consumers": "no consumers",
    "pending": "nothing is pending",
    "lag": "no groups",
    "channels": "no channels with subscribers",
    "queues": "no queues",
    "keys": "no keys\n0 of 0 keys in this database",
}


@pytest.fixture
def orders(client):
    """Four entries, two of them delivered to ann, one of those acknowledged."""
    now = int(time.time() * 1000)
    ids = [client.xadd("orders", {"n": n, "who": "x"}, id=f"{now - 192_000 + n}-0") for n in range(4)]
    client.xgroup_create("orders", "billing", "0")
    client.xreadgroup("billing", "ann", {"orders": ">"}, count=2)
    client.xack("orders", "billing", ids[0])
    return ids


@pytest.mark.parametrize("name", EMPTY)
def test_of_nothing_it_says_so(client, run, name):
    assert run(name).stdout == EMPTY[name] + "\n"
    assert run.json(name) in ([], {"channels": [], "patterns": 0, "retained": []})


def test_streams_shows_each_stream_once_and_nothing_else(client, run, orders):
    client.set("text", "x")
    with client.pipeline() as pipeline:
        for n in range(700):
            pipeline.xadd(f"many:{n:03}", {"f": "v"}, id="5-1")
        pipeline.execute()
    lines = run.rows("streams")
    assert lines[0] == ["stream", "length", "groups", "last id", "age", "memory"]
    assert [line[0] for line in lines[1:]] == [*(f"many:{n:03}" for n in range(700)), "orders"]
    assert lines[1][1:5] == ["1", "0", "5-1", "-"]
    assert lines[-1][1:4] == ["4", "1", orders[-1]]
    assert re.fullmatch(r"3m 1[1-9]s", lines[-1][4])


def test_streams_takes_a_pattern_and_gives_json(client, run, orders):
    client.xadd("other", {"f": "v"}, id="5-1")
    (found,) = run.json("streams", "ord*")
    assert 190_000 < found.pop("age_ms") < 260_000
    assert found == {
        "key": "orders",
        "length": 4,
        "entries_added": 4,
        "groups": 1,
        "first_id": orders[0],
        "last_id": orders[-1],
        "memory": client.memory_usage("orders"),
        "added_per_s": None,
    }


def test_streams_sorts_and_cuts(client, run):
    for name, count in (("a", 2), ("b", 3), ("c", 1)):
        for n in range(count):
            client.xadd(name, {"f": "v"}, id=f"{n + 1}-1")
    assert [row[0] for row in run.rows("streams", "--sort", "length")[1:]] == ["b", "a", "c"]
    shown = run("streams", "--sort", "length", "-n", "1").stdout.splitlines()
    assert [shown[1].split()[0], shown[2]] == ["b", "... and 2 more (-n 0 shows all)"]
    assert [each["key"] for each in run.json("streams", "-n", "2")] == ["a", "b"]
    assert "--sort" in run("streams", "--sort", "nothing", status=2).output


def test_names_that_look_like_markup_or_control_are_shown_as_they_are(client, run):
    client.xadd("[red]x[/red]", {"f": "v"})
    client.xadd("a\x1b[2J\n", {"f": "v"})
    shown = run("streams").stdout
    assert "[red]x[/red]" in shown
    assert "a\\x1b[2J\\x0a" in shown


def test_an_emptied_stream_has_no_first_entry(client, run, orders):
    client.xtrim("orders", maxlen=0)
    (found,) = run.json("streams")
    assert (found["length"], found["first_id"], found["last_id"]) == (0, None, orders[3])


def test_groups_shows_what_waits(client, run, orders):
    head, line = run.rows("groups")
    assert head == ["stream", "group", "consumers", "pending", "lag", "last delivered id", "age"]
    assert line[:6] == ["orders", "billing", "1", "1", "2", orders[1]]
    (found,) = run.json("groups", "ord*")
    assert 190_000 < found.pop("age_ms") < 260_000
    assert found == {
        "stream": "orders",
        "name": "billing",
        "consumers": 1,
        "pending": 1,
        "lag": 2,
        "entries_read": 2,
        "last_delivered_id": orders[1],
        "policy": None,
        "in_flight": None,
        "waiting": None,
        "given_up": None,
    }


def test_groups_shows_policies_of_millstream(client, run, orders, is_ours):
    if not is_ours:
        pytest.skip("redis-server has no policies")
    client.execute_command("XGROUP", "POLICY", "orders", "billing", "ACKWAIT", 60000, "BACKOFF", 10, 20, "PAUSE")
    lines = run.rows("groups")
    assert lines[2:] == [
        ["policies"],
        ["stream", "group", "in flight", "waiting", "given up", "policy"],
        ["orders", "billing", "1", "0", "0", "ACKWAIT 60000 BACKOFF 10 20 PAUSE"],
    ]
    (found,) = run.json("groups")
    assert (found["in_flight"], found["policy"]["ackwait"], found["policy"]["backoff"]) == (1, 60000, [10, 20])


def test_consumers_shows_who_holds_what(client, run, orders):
    client.xgroup_create("orders", "other", "0")
    client.xgroup_createconsumer("orders", "other", "eve")
    assert [line[:4] for line in run.rows("consumers")] == [
        ["stream", "group", "consumer", "pending"],
        ["orders", "billing", "ann", "1"],
        ["orders", "other", "eve", "0"],
    ]
    (found,) = run.json("consumers", "--group", "billing")
    assert found.pop("idle_ms") >= 0
    assert (found.pop("inactive_ms") or 0) >= 0  # since Redis 7.2
    assert found == {"stream": "orders", "group": "billing", "name": "ann", "pending": 1}


def test_lag_shows_the_worst_first(client, run, orders):
    client.xgroup_create("orders", "done", "$")
    client.xgroup_create("orders", "new", "0")
    assert [line[:3] for line in run.rows("lag")[1:]] == [
        ["orders", "new", "4"],
        ["orders", "billing", "2"],
        ["orders", "done", "0"],
    ]
    found = run.json("lag", "-n", "2")
    assert [each["behind_ms"] for each in found] == [3, 2]
    assert found[1] == {
        "stream": "orders",
        "group": "billing",
        "lag": 2,
        "pending": 1,
        "behind_ms": 2,
        "added_per_s": None,
        "read_per_s": None,
        "clears_ms": None,
    }


def test_a_lag_that_the_server_does_not_know_comes_first(client, run, orders, is_ours):
    client.xgroup_create("orders", "late", orders[1])
    client.xdel("orders", orders[2])
    first = run.rows("lag")[1]
    assert first[:3] == (["orders", "billing", "1"] if is_ours else ["orders", "billing", "unknown"])


def test_pending_of_all_groups(client, run, orders):
    client.xgroup_create("orders", "idle", "0")
    assert [line[:5] for line in run.rows("pending")] == [
        ["stream", "group", "pending", "consumers", "oldest id"],
        ["orders", "billing", "1", "1", orders[1]],
    ]
    assert run.json("pending", "o*") == [
        {
            "stream": "orders",
            "group": "billing",
            "pending": 1,
            "first_id": orders[1],
            "last_id": orders[1],
            "consumers": {"ann": 1},
        }
    ]


def test_pending_of_one_group(client, run, orders):
    shown = run("pending", "orders", "billing").stdout
    assert shown.startswith("1 pending in group billing\n")
    lines = run.rows("pending", "orders", "billing")
    assert ["ann", "1"] in lines
    assert (lines[-1][0], lines[-1][2], lines[-1][4]) == (orders[1], "ann", "1")


def test_pending_takes_a_consumer_an_idle_time_and_a_count(client, run, orders):
    client.xreadgroup("billing", "bob", {"orders": ">"})
    client.xclaim("orders", "billing", "bob", 0, [orders[3]], idle=60_000)

    def ids(*options):
        found = run.json("pending", "orders", "billing", *options)
        assert (found["pending"], found["consumers"]) == (3, {"ann": 1, "bob": 2})
        assert all(set(entry) == {"id", "consumer", "idle_ms", "deliveries"} for entry in found["entries"])
        return [entry["id"] for entry in found["entries"]]

    assert ids() == orders[1:]
    assert ids("--consumer", "bob") == orders[2:]
    assert ids("--idle", "50s") == orders[3:]
    assert ids("-n", "1") == orders[1:2]
    assert ids("-n", "0") == orders[1:]
    assert "--idle" in run("pending", "orders", "billing", "--idle", "soon", status=2).output


def test_pending_goes_through_more_than_a_page(client, run):
    with client.pipeline() as pipeline:
        for n in range(1, 1203):
            pipeline.xadd("s", {"f": "v"}, id=f"{n}-1")
        pipeline.xgroup_create("s", "g", "0")
        pipeline.xreadgroup("g", "c", {"s": ">"})
        pipeline.execute()
    found = run.json("pending", "s", "g", "-n", "1201")
    assert [entry["id"] for entry in found["entries"]] == [f"{n}-1" for n in range(1, 1202)]


def test_channels_shows_who_listens(client, run, is_ours):
    with client.pubsub() as listener:
        listener.subscribe("news", "weather")
        listener.psubscribe("n*")
        for _ in range(3):
            listener.get_message(timeout=5)
        assert run.rows("channels") == [
            ["channel", "kind", "subscribers"],
            ["news", "channel", "1"],
            ["weather", "channel", "1"],
            ["1 subscriptions by pattern"],
        ]
        found = run.json("channels", "ne*")
    assert found == {
        "channels": [{"name": "news", "kind": "channel", "subscribers": 1}],
        "patterns": 1,
        "retained": [],
    }


def test_channels_shows_what_millstream_retains(client, run, is_ours):
    if not is_ours:
        pytest.skip("redis-server retains no channels")
    client.execute_command("CHANNEL", "RETAIN", "log.*", "MAXLEN", 7)
    try:
        client.publish("log.a", "x")
        (rule,) = run.json("channels")["retained"]
        assert (rule["pattern"], rule["max-length"], rule["channels"], rule["messages"]) == ("log.*", 7, 1, 1)
        assert run.rows("channels")[-1][:4] == ["log.*", "7", "1", "1"]
    finally:
        client.execute_command("CHANNEL", "RETAIN", "log.*", "OFF")


def test_queues_shows_the_longest_first(client, run):
    client.rpush("short", 1)
    client.rpush("long", 1, 2, 3)
    client.set("text", "x")
    assert [line[:2] for line in run.rows("queues")] == [["queue", "length"], ["long", "3"], ["short", "1"]]
    assert run.json("queues", "s*") == [{"key": "short", "length": 1, "memory": client.memory_usage("short")}]


def test_keys_shows_what_is_there(client, run):
    client.set("text", "four", ex=100)
    client.sadd("set", 1, 2)
    client.zadd("sorted", {"a": 1})
    client.hset("hash", "f", "v")
    client.xadd("stream", {"f": "v"})
    client.rpush("list", "x")
    found = {each["key"]: each for each in run.json("keys")}
    assert {name: (each["type"], each["size"]) for name, each in found.items()} == {
        "text": ("string", 4),
        "set": ("set", 2),
        "sorted": ("zset", 1),
        "hash": ("hash", 1),
        "stream": ("stream", 1),
        "list": ("list", 1),
    }
    assert 0 < found["text"].pop("ttl_ms") <= 100_000
    assert found["text"] == {
        "key": "text",
        "type": "string",
        "encoding": client.object("ENCODING", "text"),
        "size": 4,
        "memory": client.memory_usage("text"),
    }
    assert [line[0] for line in run.rows("keys", "--sort", "name", "-n", "2")] == [
        "key",
        "hash",
        "list",
        "2 of 6 keys in this database",
    ]
    assert [each["key"] for each in run.json("keys", "--type", "hash")] == ["hash"]
    assert [each["key"] for each in run.json("keys", "--sort", "ttl", "-n", "1")] == ["text"]
    assert "--sort" in run("keys", "--sort", "luck", status=2).output


def test_keys_stops_when_it_has_found_enough(client, run):
    client.mset({f"key:{n}": n for n in range(3000)})
    client.config_resetstat()
    assert len(run.json("keys", "-n", "10")) == 10
    assert client.info("commandstats")["cmdstat_scan"]["calls"] == 1


def test_slowlog_shows_what_took_long(client, run):
    client.slowlog_reset()
    client.config_set("slowlog-log-slower-than", 0)
    client.set("k", "a b\n")
    client.config_set("slowlog-log-slower-than", 10_000)
    found = [each for each in run.json("slowlog") if each["request"][0] == "SET"]
    assert [each["request"] for each in found] == [["SET", "k", "a b\\x0a"]]
    assert set(found[0]) == {"id", "time_s", "micros", "request", "address", "client_name"}
    assert any(line[-1] == "SET k a b\\x0a" for line in run.rows("slowlog"))
    client.slowlog_reset()
    assert run("slowlog").stdout == "no slow requests\n"


def test_clients_shows_who_is_connected(client, run):
    client.client_setname("tester")
    mine = client.client_id()
    found = {each["id"]: each for each in run.json("clients")}
    assert found[mine]["name"] == "tester"
    assert set(found[mine]) == {
        *("id", "address", "name", "age_s", "idle_s", "database", "command", "subscriptions", "is_blocked"),
        *("input_bytes", "output_bytes", "memory", "library"),
    }
    assert any("tester" in line for line in run.rows("clients", "--sort", "memory"))
    assert "--sort" in run("clients", "--sort", "luck", status=2).output


def test_memory_shows_what_is_used(client, run):
    client.set("big", "x" * 10_000)
    client.set("small", "x")
    found = run.json("memory", "--biggest", "1")
    assert found["used_memory"] > 0 and found["maxmemory"] == 0 and found["maxmemory_policy"] == "noeviction"
    assert found["biggest"] == [{"key": "big", "type": "string", "size": 10_000, "memory": client.memory_usage("big")}]
    shown = run.rows("memory", "--biggest", "1")
    assert ["limit (maxmemory)", "none"] in shown
    assert shown[-1][:3] == ["big", "string", "10,000"]
