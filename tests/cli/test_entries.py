"""tail, read, replay, export and import, on our server and on redis-server."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
import redis
import typer
from support.servers import ENVIRONMENT, RedisServer

from broker.cli.entries import Condition, Entry
from broker.cli.moments import duration_ms, id_at
from broker.inspection.units import local_time

# Whoever runs the tests in the background has SIGINT ignored for all that he starts: a terminal has not.
PROGRAM = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from broker.cli import main; main()"


@pytest.fixture
def orders(client):
    """Ids of ten entries, one for each of the last ten minutes, the newest one a minute old."""
    now = int(time.time() * 1000)
    times = [now - minutes * 60_000 for minutes in range(10, 0, -1)]
    return [client.xadd("orders", {"n": n, "user": n % 3}, id=f"{ms}-{n}") for n, ms in enumerate(times)]


def shown(result):
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


# tail


def test_tail_shows_the_last_entries_oldest_first(run, orders):
    lines = run.rows("tail", "orders", "-n", "2")
    assert [row[0] for row in lines] == orders[8:]
    assert lines[0][1:] == [local_time(orders[8]), "n=8", "user=2"]
    assert shown(run("tail", "orders", "--json")) == orders


def test_tail_shows_the_wanted_fields_alone(client, run, orders):
    client.xadd("orders", {"other": "1"})
    assert [row[2:] for row in run.rows("tail", "orders", "-n", "2", "--field", "n")] == [["9"], ["-"]]
    lines = run.rows("tail", "orders", "-n", "2", "--field", "n", "--field", "user")
    assert [row[2:] for row in lines] == [["n=9", "user=0"], []]


def test_tail_gives_one_json_object_a_line(client, run):
    client.execute_command("XADD", "s", "5-1", "a", "1", "b", "2", "a", b"\xff\n")
    client.execute_command("XADD", "s", "1700000000000-7", "a", "é[b]")
    lines = [json.loads(line) for line in run("tail", "s", "--json").stdout.splitlines()]
    assert lines == [
        {"id": "5-1", "time_ms": None, "fields": {"a": ["1", "\\xff\\x0a"], "b": "2"}},
        {"id": "1700000000000-7", "time_ms": 1700000000000, "fields": {"a": "é[b]"}},
    ]


def test_tail_since_shows_all_of_that_time(run, orders):
    assert shown(run("tail", "orders", "--json", "--since", "-3m30s")) == orders[7:]
    assert shown(run("tail", "orders", "--json", "--since", orders[4], "--until", "-3m30s")) == orders[4:7]
    assert shown(run("tail", "orders", "--json", "--since", "-3m30s", "-n", "1")) == orders[9:]
    assert shown(run("tail", "orders", "--json", "--until", orders[2], "-n", "2")) == orders[1:3]
    moment = datetime.fromtimestamp(int(orders[8].split("-")[0]) / 1000, UTC).isoformat()
    assert shown(run("tail", "orders", "--json", "--since", moment)) == orders[8:]
    assert "--since" in run("tail", "orders", "--since", "yesterday", status=2).output


def test_tail_where_shows_the_last_that_match(client, run, orders):
    assert shown(run("tail", "orders", "--json", "--where", "user=1")) == [orders[n] for n in (1, 4, 7)]
    assert shown(run("tail", "orders", "--json", "--where", "user=1", "-n", "1")) == [orders[7]]
    assert shown(run("tail", "orders", "--json", "--where", "user=1", "--where", "n>=4")) == [orders[4], orders[7]]
    with client.pipeline() as pipeline:
        for _ in range(1200):
            pipeline.xadd("orders", {"user": "x"})
        pipeline.execute()
    assert shown(run("tail", "orders", "--json", "--where", "user=1")) == [orders[n] for n in (1, 4, 7)]
    result = run("tail", "orders", "--json", "--where", "user=1", "--scan", "600")
    assert result.stdout == ""
    assert result.stderr == "looked at the last 1,000 entries only; --scan 6000 looks further\n"


def test_tail_reads_no_more_than_it_shows(client, run, orders):
    client.config_resetstat()
    run("tail", "orders", "-n", "0")
    run("tail", "orders", "-n", "1")
    stats = client.info("commandstats")
    assert stats["cmdstat_xrevrange"]["calls"] == 1
    assert "cmdstat_xrange" not in stats


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("user=7", True),
        ("user=07", False),
        ("user!=7", False),
        ("other!=7", True),
        ("other=7", False),
        ("user>6.5", True),
        ("user<10", True),
        ("name<b", True),
        ("name>=ada", True),
        ("name~d", True),
        ("name~x", False),
        ("twice=2", True),
        ("text=a=b", True),
    ],
)
def test_conditions(condition, holds):
    fields = [(b"user", b"7"), (b"name", b"ada"), (b"twice", b"1"), (b"twice", b"2"), (b"text", b"a=b")]
    assert Condition(condition).holds(Entry("1-1", fields)) is holds


def test_a_condition_needs_a_field_and_a_sign():
    for text in ("user", "=7", ""):
        with pytest.raises(typer.BadParameter):
            Condition(text)


@pytest.mark.parametrize(
    ("text", "entry_id"),
    [
        ("-", "-"),
        ("+", "+"),
        ("now", "1700000000000"),
        ("-15m", "1699999100000"),
        ("-1h30m", "1699994600000"),
        ("5", "5"),
        ("1700000000000-3", "1700000000000-3"),
        ("2023-11-14T22:13:20+00:00", "1700000000000"),
        ("2023-11-14T22:13:20.500Z", "1700000000500"),
    ],
)
def test_moments(text, entry_id):
    assert id_at(text, 1_700_000_000_000, "--since") == entry_id


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("90", 90_000), ("0.5", 500), ("250ms", 250), ("1h30m", 5_400_000), ("1.5d", 129_600_000)],
)
def test_durations(text, ms):
    assert duration_ms(text, "--idle") == ms


@pytest.mark.parametrize("text", ["", "soon", "5 m", "5w", "-5", "m5", "5m!"])
def test_what_is_no_duration(text):
    with pytest.raises(typer.BadParameter):
        duration_ms(text, "--idle")


class Follower:
    """A real process that follows a stream."""

    def __init__(self, url, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "tail", *words, "--follow", "--json", "--url", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
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
    with Follower(url, "s", "-n", "1", "--where", "n!=7") as follower:
        assert follower.line()["id"] == first
        for n in (1, 7, 2):
            added = client.xadd("s", {"n": n})
            if n != 7:
                assert follower.line() == {"id": added, "time_ms": int(added.split("-")[0]), "fields": {"n": str(n)}}
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.communicate(timeout=10) == ("", "")
        assert follower.process.returncode == 130


def test_follow_of_a_stream_without_entries_shows_the_first_one(client, url):
    client.xadd("s", {"old": 1}, id="5-1")
    client.xtrim("s", maxlen=0)
    with Follower(url, "s") as follower:
        client.xadd("s", {"n": 1}, id="6-1")
        assert follower.line()["id"] == "6-1"


def test_follow_ends_with_one_line_when_the_server_goes(tmp_path):
    with RedisServer(tmp_path) as server:
        with redis.Redis(port=server.port) as client:
            client.xadd("s", {"f": "v"})
        follower = Follower(server.url, "s")
        follower.line()
    with follower:
        out, err = follower.process.communicate(timeout=10)
    assert (out, follower.process.returncode) == ("", 1)
    assert err.startswith("millstream: can't reach the server") and err.count("\n") == 1


# read


def test_read_shows_a_range_from_either_end(run, orders):
    assert shown(run("read", "orders", "--json", "--count", "3")) == orders[:3]
    assert shown(run("read", "orders", "--json", "--count", "3", "--reverse")) == orders[:6:-1]
    assert shown(run("read", "orders", "-5m30s", "-2m30s", "--json")) == orders[5:8]
    assert shown(run("read", "orders", orders[7], "+", "--json", "--reverse")) == orders[:6:-1]
    assert shown(run("read", "orders", "--json", "--where", "user=2", "--count", "2")) == [orders[2], orders[5]]


def test_read_goes_through_more_than_a_page(client, run):
    with client.pipeline() as pipeline:
        for n in range(1, 1203):
            pipeline.xadd("s", {"f": "v"}, id=f"{n}-1")
        pipeline.execute()
    everything = [f"{n}-1" for n in range(1, 1203)]
    assert shown(run("read", "s", "--count", "0", "--json")) == everything
    assert shown(run("read", "s", "--count", "0", "--json", "--reverse")) == everything[::-1]
    assert shown(run("read", "s", "--count", "0", "--json", "--where", "f=v")) == everything


# replay


def test_replay_adds_a_range_to_another_stream(client, run, orders):
    assert run("replay", "orders", "-5m30s", "-2m30s", "--into", "again").stdout == (
        "3 entries of orders added to again\n"
    )
    assert [fields["n"] for _, fields in client.xrange("again")] == ["5", "6", "7"]
    found = run.json("replay", "orders", "-", "+", "--into", "again", "--where", "user=0", "--count", "2")
    assert found == {"from": "orders", "into": "again", "entries": 2, "last_id": orders[3], "dry_run": False}
    assert [fields["n"] for _, fields in client.xrange("again")] == ["5", "6", "7", "0", "3"]
    shown = run("replay", "orders", "-", "now", "--into", "again", "--dry-run").stdout
    assert shown == "10 entries of orders would be added to again\n"
    assert client.xlen("again") == 5
    assert client.xlen("orders") == 10


def test_replay_into_the_same_stream_ends(client, run, orders):
    run("replay", "orders", "-", "+", "--into", "orders", "--rate", 0)
    assert client.xlen("orders") == 20


def test_replay_keeps_to_its_rate(client, run, orders):
    began = time.monotonic()
    run("replay", "orders", "-", "+", "--into", "again", "--rate", 20)
    assert 0.45 < time.monotonic() - began < 5


def test_replay_of_bytes_and_repeated_names(client, run):
    client.execute_command("XADD", "s", "5-1", "a", "1", "a", b"\xff")
    run("replay", "s", "-", "+", "--into", "t")
    with redis.Redis(port=client.connection_pool.connection_kwargs["port"], protocol=2) as plain:
        plain.response_callbacks.clear()
        assert plain.execute_command("XRANGE", "t", "-", "+")[0][1] == [b"a", b"1", b"a", b"\xff"]


def test_replay_tells_how_far_it_came(client, run, orders):
    client.set("text", "x")
    result = run("replay", "orders", "-", "+", "--into", "text", status=1)
    assert result.stderr.startswith("millstream: 0 entries added, up to none; then: WRONGTYPE")


# export and import


def test_a_stream_goes_out_and_in_again(client, run, orders, tmp_path):
    client.execute_command("XADD", "orders", "*", "a", "1", "a", b"\xff")
    file = tmp_path / "orders.jsonl"
    assert run("export", "orders", file).stderr == "11 entries of orders written\n"
    assert json.loads(file.read_text().splitlines()[0]) == {"id": orders[0], "fields": {"n": "0", "user": "0"}}
    assert run("import", "copy", file, "--keep-ids").stderr == "11 entries added to copy\n"
    port = client.connection_pool.connection_kwargs["port"]
    with redis.Redis(port=port, protocol=2) as plain:
        plain.response_callbacks.clear()
        assert plain.execute_command("XRANGE", "copy", "-", "+") == plain.execute_command("XRANGE", "orders", "-", "+")


def test_export_takes_a_range_and_a_condition(run, orders):
    assert shown(run("export", "orders", "--since", "-5m30s", "--until", "-2m30s")) == orders[5:8]
    assert shown(run("export", "orders", "--where", "user=1")) == [orders[n] for n in (1, 4, 7)]


def test_export_replaces_no_file_unless_told(run, orders, tmp_path):
    file = tmp_path / "there"
    file.write_text("mine")
    assert run("export", "orders", file, status=1).stderr.endswith("exists already; --force replaces it\n")
    assert file.read_text() == "mine"
    run("export", "orders", file, "--force")
    assert len(file.read_text().splitlines()) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert "No such file or directory" in run("export", "orders", tmp_path / "no" / "such", status=1).stderr


def test_import_takes_lines_written_by_hand(client, run):
    lines = '{"fields": {"a": 1, "b": "x"}}\n\n{"fields": [["a", {"base64": "/w=="}], ["a", 0.5]]}\n'
    run("import", "s", text=lines)
    with redis.Redis(port=client.connection_pool.connection_kwargs["port"], protocol=2) as plain:
        plain.response_callbacks.clear()
        entries = plain.execute_command("XRANGE", "s", "-", "+")
    assert [fields for _, fields in entries] == [[b"a", b"1", b"b", b"x"], [b"a", b"\xff", b"a", b"0.5"]]


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", '{"fields": {}}', '{"fields": [["a"]]}', '{"fields": {"a": null}}',
             '{"fields": {"a": {"base64": "?"}}}'],
)  # fmt: skip
def test_import_ends_at_a_bad_line_and_tells_which(client, run, line):
    result = run("import", "s", text=f'{{"fields": {{"a": "1"}}}}\n{line}\n', status=1)
    assert "then line 2: " in result.stderr and result.stderr.count("\n") == 1


def test_import_under_ids_that_are_not_above_those_there(client, run):
    client.xadd("s", {"f": "v"}, id="7-0")
    lines = '{"id": "8-0", "fields": {"a": "1"}}\n{"id": "5-0", "fields": {"a": "1"}}\n'
    result = run("import", "s", "--keep-ids", text=lines, status=1)
    assert "1 entry added, up to 8-0; then: The ID specified in XADD" in result.stderr
