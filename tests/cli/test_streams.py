"""`millstream streams` against a real server: the real commands, and one real process that follows."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime

import pytest
import redis
from support.servers import free_port, redis_server
from typer.testing import CliRunner

from broker.cli.client import without_password
from broker.cli.streams import age_of, app, human_age, human_bytes, local_time

# Whoever runs the tests in the background has SIGINT ignored for all that he starts: a terminal has not.
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from broker.cli.streams import app; app()"
)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("oracle")) as port:
        yield port


@pytest.fixture
def client(port):
    with redis.Redis(port=port, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def url(port):
    return f"redis://127.0.0.1:{port}"


def run(url, *words, status=0):
    result = CliRunner().invoke(app, [*words, "--url", url])
    assert result.exit_code == status, result.output
    return result


def rows(text):
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]


@pytest.fixture
def orders(client):
    """Four entries, two of them delivered to ann, one of those acknowledged."""
    now = int(time.time() * 1000)
    ids = [client.xadd("orders", {"n": n, "who": "x"}, id=f"{now - 192_000 + n}-0") for n in range(4)]
    client.xgroup_create("orders", "billing", "0")
    client.xreadgroup("billing", "ann", {"orders": ">"}, count=2)
    client.xack("orders", "billing", ids[0])
    return ids


def test_ls_shows_each_stream_once_and_nothing_else(client, url, orders):
    client.set("text", "x")
    for n in range(700):
        client.xadd(f"many:{n:03}", {"f": "v"}, id="5-1")
    lines = rows(run(url, "ls").stdout)
    assert lines[0] == ["stream", "length", "groups", "last id", "age", "memory"]
    assert [line[0] for line in lines[1:]] == [*(f"many:{n:03}" for n in range(700)), "orders"]
    assert lines[1][1:5] == ["1", "0", "5-1", "-"]
    assert lines[-1][1:4] == ["4", "1", orders[-1]]
    assert re.fullmatch(r"3m 1[1-9]s", lines[-1][4])


def test_ls_takes_a_pattern_and_gives_json(client, url, orders):
    client.xadd("other", {"f": "v"}, id="5-1")
    (found,) = json.loads(run(url, "ls", "ord*", "--json").stdout)
    assert found["key"] == "orders"
    assert (found["length"], found["groups"], found["last_id"]) == (4, 1, orders[-1])
    assert found["memory"] == client.memory_usage("orders")
    assert 190_000 < found["age_ms"] < 260_000


def test_ls_of_an_empty_database_says_so(client, url):
    assert run(url, "ls").stdout == "no streams\n"
    assert json.loads(run(url, "ls", "--json").stdout) == []


def test_ls_shows_names_that_look_like_markup_or_control_as_they_are(client, url):
    client.xadd("[red]x[/red]", {"f": "v"})
    client.xadd("a\x1b[2J\n", {"f": "v"})
    shown = run(url, "ls").stdout
    assert "[red]x[/red]" in shown
    assert "a\\x1b[2J\\x0a" in shown


def test_info_shows_groups_with_lag_and_consumers_with_what_they_hold(client, url, orders):
    shown = rows(run(url, "info", "orders").stdout)
    assert ["length", "4"] in shown
    assert ["entries ever added", "4"] in shown
    first = next(row for row in shown if row[0] == "first id")
    assert first[1] == orders[0]
    assert first[3].startswith(datetime.now().astimezone().strftime("%Y"))
    group = shown[shown.index(["groups"]) + 2]
    assert group[:5] == ["billing", "1", "1", "2", orders[1]]
    consumer = shown[shown.index(["consumers"]) + 2]
    assert consumer[:3] == ["billing", "ann", "1"]


def test_info_gives_json(client, url, orders):
    found = json.loads(run(url, "info", "orders", "--json").stdout)
    (group,) = found.pop("groups")
    (consumer,) = group.pop("consumers")
    assert found == {
        "key": "orders",
        "length": 4,
        "entries_added": 4,
        "first_id": orders[0],
        "last_id": orders[3],
        "last_generated_id": orders[3],
    }
    assert group == {
        "name": "billing",
        "pending": 1,
        "lag": 2,
        "entries_read": 2,
        "last_delivered_id": orders[1],
    }
    assert consumer.pop("idle_ms") >= 0
    assert consumer == {"name": "ann", "pending": 1}


def test_info_of_an_emptied_stream_and_an_unknown_lag(client, url, orders):
    client.xgroup_create("orders", "late", orders[1])
    client.xdel("orders", orders[2])
    late = next(row for row in rows(run(url, "info", "orders").stdout) if row[0] == "late")
    assert late[3] == "unknown"
    client.xtrim("orders", maxlen=0)
    found = json.loads(run(url, "info", "orders", "--json").stdout)
    assert (found["first_id"], found["last_id"], found["last_generated_id"]) == (None, None, orders[3])
    assert ["length", "0"] in rows(run(url, "info", "orders").stdout)


def test_tail_shows_the_last_entries_oldest_first(client, url, orders):
    shown = rows(run(url, "tail", "orders", "-n", "2").stdout)
    assert [row[0] for row in shown] == orders[2:]
    assert shown[0][1] == local_time(orders[2])
    assert shown[0][2:] == ["n=2", "who=x"]


def test_tail_shows_the_wanted_fields_alone(client, url, orders):
    client.xadd("orders", {"other": "1"})
    shown = rows(run(url, "tail", "orders", "-n", "2", "--field", "n").stdout)
    assert [row[2:] for row in shown] == [["3"], ["-"]]
    shown = rows(run(url, "tail", "orders", "-n", "2", "--field", "n", "--field", "who").stdout)
    assert [row[2:] for row in shown] == [["n=3", "who=x"], []]


def test_tail_gives_one_json_object_a_line(client, url):
    client.execute_command("XADD", "s", "5-1", "a", "1", "b", "2", "a", b"\xff\n")
    client.execute_command("XADD", "s", "1700000000000-7", "a", "é[b]")
    lines = [json.loads(line) for line in run(url, "tail", "s", "--json").stdout.splitlines()]
    assert lines == [
        {"id": "5-1", "time_ms": None, "fields": {"a": ["1", "\\xff\\x0a"], "b": "2"}},
        {"id": "1700000000000-7", "time_ms": 1700000000000, "fields": {"a": "é[b]"}},
    ]


def test_tail_reads_no_more_than_it_shows(client, url, orders):
    client.config_resetstat()
    run(url, "tail", "orders", "-n", "0")
    run(url, "tail", "orders", "-n", "1")
    stats = client.info("commandstats")
    assert stats["cmdstat_xrevrange"]["calls"] == 1
    assert "cmdstat_xrange" not in stats


def test_pending_shows_who_holds_what(client, url, orders):
    shown = run(url, "pending", "orders", "billing").stdout
    assert shown.startswith("1 pending in group billing\n")
    lines = rows(shown)
    assert ["ann", "1"] in lines
    assert lines[-1][0] == orders[1]
    assert lines[-1][2] == "ann"
    assert lines[-1][4] == "1"


def test_pending_takes_a_consumer_an_idle_time_and_a_count(client, url, orders):
    client.xreadgroup("billing", "bob", {"orders": ">"})
    client.xclaim("orders", "billing", "bob", 0, [orders[3]], idle=60_000)

    def ids(*options):
        found = json.loads(run(url, "pending", "orders", "billing", "--json", *options).stdout)
        assert (found["pending"], found["consumers"]) == (3, {"ann": 1, "bob": 2})
        return [entry["id"] for entry in found["entries"]]

    assert ids() == orders[1:]
    assert ids("--consumer", "bob") == orders[2:]
    assert ids("--idle", "50000") == orders[3:]
    assert ids("-n", "1") == orders[1:2]
    assert ids("-n", "0") == []


def test_pending_of_a_group_that_holds_nothing(client, url):
    client.xgroup_create("s", "g", mkstream=True)
    assert run(url, "pending", "s", "g").stdout == "0 pending in group g\n"


@pytest.mark.parametrize("command", ["info", "tail", "pending"])
def test_a_missing_key_and_a_wrong_type_are_one_line_and_status_1(client, url, command):
    client.lpush("queue", "x")
    group = ["g"] if command == "pending" else []
    result = run(url, command, "none", *group, status=1)
    assert (result.stdout, result.stderr) == ("", "millstream: no such key: none\n")
    result = run(url, command, "queue", *group, status=1)
    assert (result.stdout, result.stderr) == ("", "millstream: queue is a list, not a stream\n")


def test_a_missing_group_is_one_line(client, url, orders):
    result = run(url, "pending", "orders", "nobody", status=1)
    assert result.stderr.startswith("millstream: NOGROUP") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["ls"], ["info", "s"], ["tail", "s", "--follow"], ["pending", "s", "g"]])
def test_a_server_that_is_away_is_one_line_at_once_and_shows_no_password(command):
    port = free_port()
    began = time.monotonic()
    result = run(f"redis://bob:secret@127.0.0.1:{port}/1", *command, status=1)
    assert result.stderr.startswith(f"millstream: can't reach the server at redis://127.0.0.1:{port}/1: ")
    assert result.stderr.count("\n") == 1
    assert "secret" not in result.output
    assert time.monotonic() - began < 3


def test_a_wrong_password_and_a_wrong_url_are_one_line(client, url):
    assert run(url.replace("//", "//bob:secret@"), "ls", status=1).stderr.count("\n") == 1
    result = run("ftp://x:secret@y", "ls", status=1)
    assert result.stderr.startswith("millstream: ftp://y: ") and result.stderr.count("\n") == 1


def test_the_address_may_come_from_the_environment(client, url, orders):
    result = CliRunner().invoke(app, ["ls", "--json"], env={"MILLSTREAM_URL": url})
    assert [found["key"] for found in json.loads(result.stdout)] == ["orders"]


class Follower:
    """A real process that follows a stream."""

    def __init__(self, url, *words):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "tail", *words, "--follow", "--url", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        return json.loads(self.process.stdout.readline())


def test_follow_shows_what_is_added_and_ends_quietly_on_ctrl_c(client, url):
    first = client.xadd("s", {"n": 0})
    with Follower(url, "s", "-n", "1", "--json") as follower:
        assert follower.line()["id"] == first
        for n in (1, 2):
            added = client.xadd("s", {"n": n})
            assert follower.line() == {"id": added, "time_ms": int(added.split("-")[0]), "fields": {"n": str(n)}}
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.communicate(timeout=10) == ("", "")
        assert follower.process.returncode == 130


def test_follow_of_a_stream_without_entries_shows_the_first_one(client, url):
    client.xadd("s", {"old": 1}, id="5-1")
    client.xtrim("s", maxlen=0)
    with Follower(url, "s", "--json") as follower:
        client.xadd("s", {"n": 1}, id="6-1")
        assert follower.line()["id"] == "6-1"


def test_follow_ends_with_one_line_when_the_server_goes(tmp_path):
    with redis_server(tmp_path) as port:
        with redis.Redis(port=port) as client:
            client.xadd("s", {"f": "v"})
        follower = Follower(f"redis://127.0.0.1:{port}", "s", "--json")
        follower.line()
    with follower:
        out, err = follower.process.communicate(timeout=10)
    assert (out, follower.process.returncode) == ("", 1)
    assert err.startswith("millstream: can't reach the server") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0ms"),
        (250, "250ms"),
        (12_345, "12s"),
        (192_000, "3m 12s"),
        (7_205_000, "2h"),
        (7_260_000, "2h 1m"),
        (273_600_000, "3d 4h"),
        (65_750_400_000, "2y 31d"),
    ],
)
def test_ages_have_two_units_at_most(ms, text):
    assert human_age(ms) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (1 << 41, "2.0 TiB")],
)
def test_sizes_are_short(size, text):
    assert human_bytes(size) == text


def test_an_id_that_holds_no_time_has_no_age():
    assert (age_of("5-1", 10), local_time("5-1"), local_time("18446744073709551615-0")) == ("-", "-", "-")


def test_a_password_is_taken_out_of_an_address():
    assert without_password("rediss://a:b@c@host:1/2") == "rediss://host:1/2"
    assert without_password("redis://host:1") == "redis://host:1"
