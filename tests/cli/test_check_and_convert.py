"""`millstream check` and `millstream convert`: files of ours and of redis-server, whole, torn and damaged."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.engine import Harness
from support.log_folder import NAME, load
from support.random_company import steps as random_steps
from support.random_company import take_step
from support.rdb_files import file_of, read
from support.servers import Broker, RedisServer
from support.wire import Wire, encode
from typer.testing import CliRunner

from broker.cli import make_app
from broker.keyspace.digest import dataset_digest

GOLDEN = Path(__file__).parents[1] / "persistence" / "golden"
EVERYTHING = [
    "SET text hello PXAT 2000000000000",
    "HSET hash a 1 b 2",
    "HPEXPIREAT hash 2000000000000 FIELDS 1 a",
    "RPUSH list a b c",
    "SADD set a b",
    "ZADD zset 1.5 a inf b",
    "XADD stream 1-1 f v",
    "XADD stream 2-1 f w",
    "XGROUP CREATE stream g 0",
    "XGROUP POLICY stream g MAXDELIVER 3",
    "XREADGROUP GROUP g c STREAMS stream >",
    "XNACK stream g FAIL IDS 1 1-1 DELAY 1000",
    "XCFGSET stream MAXLEN 100",
    "XSCHEDULE stream DELAY 1000000 f later",
    "CHANNEL RETAIN news",
    "PUBLISH news hello",
    "FUNCTION LOAD '#!lua name=lib\nredis.register_function(\"one\", function() return 1 end)'",
    "SELECT 5",
    "SET k v",
]


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output, what went to stderr."""
    result = CliRunner().invoke(make_app(["check", "convert"]), [str(one) for one in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def digest(harness: Harness) -> bytes:
    return dataset_digest(harness.engine.keyspace, True)


@pytest.fixture
def harness() -> Harness:
    harness = Harness()
    for line in EVERYTHING:
        reply = harness.run(line)
        assert not (isinstance(reply, str) and reply.startswith("-")), (line, reply)
    return harness


@pytest.fixture
def log(harness: Harness, tmp_path: Path) -> Path:
    """A log's folder: a base in RDB form, and an increment of three commands, the last one in a transaction."""
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (folder / f"{NAME}.1.base.rdb").write_bytes(file_of(harness))
    commands = [encode("SELECT", "0"), b"#TS:1000\r\n", encode("SET", "a", "1"), b"#TS:2000\r\n"]
    commands += [
        encode("SET", "b", "#TS:1\r\n"),
        b"#TS:3000\r\n",
        encode("MULTI"),
        encode("SET", "c", "3"),
        encode("EXEC"),
    ]
    (folder / f"{NAME}.1.incr.aof").write_bytes(b"".join(commands))
    manifest = f"file {NAME}.1.base.rdb seq 1 type b\nfile {NAME}.1.incr.aof seq 1 type i\n"
    (folder / f"{NAME}.manifest").write_text(manifest)
    return folder


# -- check


def test_check_counts_keys_by_type(harness, tmp_path):
    path = tmp_path / "dump.rdb"
    path.write_bytes(file_of(harness))
    status, out, _ = run("check", "--json", path)
    [report] = json.loads(out)
    assert (status, report["damage"], report["kind"]) == (0, "", "rdb")
    assert {name: one["keys"] for name, one in report["types"].items()} == {
        "string": 2, "hash": 1, "list": 1, "set": 1, "zset": 1, "stream": 1,
    }  # fmt: skip
    assert report["types"]["string"]["expiring"] == 1
    assert report["types"]["string"]["biggest"] == "text"
    assert sum(one["bytes"] for one in report["types"].values()) < report["bytes"] == report["whole"]
    assert report["records"] > 2 and report["version"] == "Redis 10"
    status, out, _ = run("check", path)
    assert status == 0 and "all is well" in out and "stream" in out


@pytest.mark.parametrize("name", ["redis-7.0", "redis-7.4", "valkey-8", "valkey-9", "zipmap", "version-1", "functions"])
def test_check_reads_files_of_other_servers(name):
    status, out, _ = run("check", GOLDEN / f"{name}.rdb")
    assert status == 0, out


def test_check_tells_the_first_damage(harness, tmp_path):
    path = tmp_path / "dump.rdb"
    data = bytearray(file_of(harness))
    data[-9 - 4] ^= 1
    path.write_bytes(data)
    status, out, _ = run("check", path)
    assert status == 1 and "DAMAGED at byte" in out
    status, out, error = run("check", "--fix", path)
    assert status == 1 and "can't be fixed" in error
    assert path.read_bytes() == data


def test_check_reads_a_log_with_its_base(log):
    for path in (log, log / f"{NAME}.manifest", log.parent):
        status, out, _ = run("check", "--json", path)
        base, increment = json.loads(out)
        assert (status, base["kind"], increment["kind"]) == (0, "rdb", "aof")
        assert increment["commands"] == {"SELECT": 1, "SET": 3}
        assert (increment["first_timestamp"], increment["last_timestamp"]) == (1000, 3000)


def test_check_fixes_a_torn_log(log):
    path = log / f"{NAME}.1.incr.aof"
    whole = path.read_bytes()
    path.write_bytes(whole + encode("MULTI") + encode("SET", "lost", "1"))
    status, out, _ = run("check", log)
    assert status == 1 and f"DAMAGED at byte {len(whole)}" in out
    assert path.read_bytes() != whole
    status, out, error = run("check", "--fix", log)
    assert status == 0 and f"cut at byte {len(whole)}" in error
    assert path.read_bytes() == whole


def test_check_fixes_a_log_that_is_damaged_inside(log):
    path = log / f"{NAME}.1.incr.aof"
    whole = path.read_bytes()
    at = whole.index(b"#TS:3000")
    path.write_bytes(whole[:at] + b"garbage" + whole[at:])
    assert run("check", "--fix", log)[0] == 0
    assert path.read_bytes() == whole[:at]


@pytest.mark.parametrize(("timestamp", "keys"), [(999, []), (1000, ["a"]), (2500, ["a", "b"]), (3000, ["a", "b", "c"])])
def test_a_log_is_cut_to_a_time(log, timestamp, keys):
    status, _, _ = run("check", "--truncate-to-timestamp", timestamp, log)
    assert status == 0
    harness, _ = load(log)
    assert [key for key in "abc" if harness.run("EXISTS", key)] == keys


def test_check_does_not_change_a_log_in_use(tmp_path):
    with Broker(tmp_path, "--appendonly", "yes") as broker, Wire(broker.port) as wire:
        wire("SET", "k", "v")
        folder = tmp_path / "appendonlydir"
        [path] = folder.glob("*.incr.aof")
        with path.open("ab") as stream:
            stream.write(b"*1\r\n$")
        status, _, error = run("check", "--fix", folder)
        assert status == 1 and "a server uses this log" in error


def test_check_executes_a_log_to_tell_what_it_amounts_to(log):
    status, out, _ = run("check", "--json", log)
    base, increment = json.loads(out)
    assert status == 0 and base["data"] == {}
    assert {name: one["keys"] for name, one in increment["data"].items()} == {
        "string": 5, "hash": 1, "list": 1, "set": 1, "zset": 1, "stream": 1
    }  # fmt: skip
    assert increment["data"]["string"]["expiring"] == 1
    assert increment["data"]["stream"]["biggest"] == "stream"
    _, out, _ = run("check", log)
    assert "the log as a whole" in out and "zset" in out
    _, out, _ = run("check", "--json", "--no-execute", log)
    assert json.loads(out)[1]["data"] == {}


def test_check_finds_a_command_that_fails(log):
    path = log / f"{NAME}.1.incr.aof"
    whole = path.read_bytes()
    path.write_bytes(whole + encode("LPUSH", "a", "x"))
    status, out, _ = run("check", "--json", log)
    report = json.loads(out)[1]
    assert status == 1 and "LPUSH" in report["damage"] and "WRONGTYPE" in report["damage"]
    assert report["offset"] <= len(whole) and report["data"] == {}
    assert run("check", "--no-execute", log)[0] == 0


def test_keys_before_the_damage_of_an_rdb_file_can_be_saved(harness, tmp_path):
    data = bytearray(file_of(harness))
    data[data.index(b"zset") - 2] = 99  # a kind of values that there is not
    (tmp_path / "a.rdb").write_bytes(data)
    status, _, error = run("check", "--fix", tmp_path / "a.rdb")
    assert status == 1 and "--until-damage" in error
    assert run("convert", tmp_path / "a.rdb", tmp_path / "b.rdb")[0] == 1
    status, _, error = run("convert", "--until-damage", tmp_path / "a.rdb", tmp_path / "b.rdb")
    assert status == 0 and "is left out" in error
    keyspace, reader = read((tmp_path / "b.rdb").read_bytes())
    assert 0 < reader.loaded < 8
    assert all(value is not None for _, value in keyspace.databases[0].table.items())


def test_what_is_not_there_is_told(tmp_path):
    assert run("check", tmp_path / "none")[0] == 1
    status, _, error = run("check", tmp_path)
    assert status == 1 and "no RDB file and no log" in error
    (tmp_path / "x.manifest").write_text("nonsense\n")
    assert run("check", tmp_path)[0] == 1


# -- convert


@settings(max_examples=40, deadline=None)
@given(random_steps, st.sampled_from([10, 11, 12]))
def test_whatever_there_is_survives_lines_of_json(tmp_path_factory, steps, version):
    folder = tmp_path_factory.mktemp("convert")
    harness = Harness()
    clients = [harness.client() for _ in range(3)]
    for who, what in steps:
        take_step(harness, clients, who, what)
    (folder / "a.rdb").write_bytes(file_of(harness))
    assert run("convert", folder / "a.rdb", folder / "b.jsonl")[0] == 0
    for line in (folder / "b.jsonl").read_text().splitlines():
        json.loads(line)
    assert run("convert", folder / "b.jsonl", folder / "c.rdb", "--rdb-version", version)[0] == 0
    keyspace, _ = read((folder / "c.rdb").read_bytes(), now_ms=0)
    keyspace.now_ms = harness.engine.keyspace.now_ms
    assert dataset_digest(keyspace, True) == digest(harness)


def test_a_log_is_converted_as_it_would_be_loaded(harness, log, tmp_path):
    for line in ["SELECT 0", "SET a 1", "SET b '#TS:1\r\n'", "SET c 3"]:
        harness.run(line)
    for target in ("x.rdb", "x.jsonl", "folder"):
        status, _, error = run("convert", log, tmp_path / target)
        assert status == 0 and "10 keys written" in error
    keyspace, _ = read((tmp_path / "x.rdb").read_bytes())
    assert dataset_digest(keyspace, True) == digest(harness)
    assert run("convert", tmp_path / "x.jsonl", tmp_path / "y.rdb")[0] == 0
    keyspace, _ = read((tmp_path / "y.rdb").read_bytes())
    assert dataset_digest(keyspace, True) == digest(harness)
    loaded, _ = load(tmp_path / "folder")
    assert digest(loaded) == digest(harness)
    assert run("check", tmp_path / "folder")[0] == 0


def test_commands_are_taken_by_redis_server(harness, tmp_path):
    path = tmp_path / "dump.rdb"
    (tmp_path / "appendonlydir").mkdir()
    harness.run("SELECT 0")
    harness.run("HPERSIST hash FIELDS 1 a")  # redis-server 7.0 knows no times of fields
    path.write_bytes(file_of(harness))
    target = tmp_path / "appendonlydir" / f"{NAME}.1.base.aof"
    target = target.with_name("base.aof")
    assert run("convert", path, target)[0] == 0
    (tmp_path / "appendonlydir" / f"{NAME}.manifest").write_text("file base.aof seq 1 type b\n")
    with RedisServer(tmp_path, "--appendonly", "yes") as server, Wire(server.port) as wire:
        assert wire("DEBUG", "DIGEST") == dataset_digest(harness.engine.keyspace, False).decode()
        assert wire("XPENDING", "stream", "g")[0] == 2
    loaded, _ = load(tmp_path / "appendonlydir")
    loaded.engine.keyspace.now_ms = harness.engine.keyspace.now_ms
    assert digest(loaded) == digest(harness), "and of what only we know nothing is lost"
    status, out, _ = run("check", "--json", target)
    [report] = json.loads(out)
    assert status == 0 and report["records"] > 3 and "#" not in report["commands"]
    assert run("convert", target, tmp_path / "back.rdb")[0] == 0
    keyspace, _ = read((tmp_path / "back.rdb").read_bytes())
    assert dataset_digest(keyspace, True) == digest(harness)


def test_a_target_is_not_replaced_unless_told_so(tmp_path):
    shutil.copy(GOLDEN / "redis-7.0.rdb", tmp_path / "a.rdb")
    (tmp_path / "b.jsonl").write_text("precious")
    status, _, error = run("convert", tmp_path / "a.rdb", tmp_path / "b.jsonl")
    assert status == 1 and "exists already" in error
    assert (tmp_path / "b.jsonl").read_text() == "precious"
    assert run("convert", "--force", tmp_path / "a.rdb", tmp_path / "b.jsonl")[0] == 0
    (tmp_path / "a.rdb").write_bytes(b"REDIS0010\xfe")
    assert run("convert", "--force", tmp_path / "a.rdb", tmp_path / "c.jsonl")[0] == 1
    assert not (tmp_path / "c.jsonl").exists()


ZSET = '{"db": 0, "key": "k", "type": "zset", "value": [["a", "b"]]}'
MOON = '{"db": 0, "key": "k", "type": "moon", "value": 1}'


@pytest.mark.parametrize("line", ["", "[]", "{}", MOON, ZSET])
def test_lines_that_are_no_keys_are_refused_with_their_place(tmp_path, line):
    good = '{"db": 0, "key": "k", "type": "string", "value": "v"}\n'
    (tmp_path / "a.jsonl").write_text(good + line + "\n")
    status, _, error = run("convert", tmp_path / "a.jsonl", tmp_path / "b.rdb")
    assert status == 1 and f"at byte {len(good)}" in error
