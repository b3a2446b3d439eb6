"""Reading a log at start: what is cut, what is refused, and that a refusal leaves every byte where it was."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from support.engine import Harness
from support.faulty_disk import FaultyDisk, PowerCut
from support.log_folder import NAME, load
from support.rdb_files import file_of
from support.servers import Broker
from support.wire import Wire, encode

from broker.errors import CorruptFile
from broker.persistence import recovery
from broker.persistence.aof import Disk
from broker.persistence.recovery import Recovered, read_manifest
from broker.persistence.upgrade import upgrade

MANIFEST = f"file {NAME}.1.base.aof seq 1 type b\nfile {NAME}.1.incr.aof seq 1 type i\n"


def write_log(folder: Path, *files: bytes, manifest: str = MANIFEST) -> Path:
    """A log of a base and an increment; the path of the increment."""
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}.manifest").write_text(manifest)
    names = [line.split()[1] for line in manifest.splitlines()]
    for name, data in zip(names, files, strict=True):
        (folder / name).write_bytes(data)
    return folder / names[-1]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(folder: Path, cut_torn: bool = True) -> CorruptFile:
    """The reason why the start is refused; not a byte may have changed."""
    before = bytes_of(folder)
    with pytest.raises(CorruptFile) as caught:
        load(folder, cut_torn)
    assert bytes_of(folder) == before
    return caught.value


SELECT = encode("SELECT", 0)
SET = encode("SET", "k", "v")
PUSH = encode("RPUSH", "l", 1, 2, 3)
UNIT = encode("MULTI") + encode("INCR", "a") + encode("INCR", "b") + encode("EXEC")


# -- whole logs


def test_base_and_increments_are_applied_in_order(tmp_path):
    manifest = MANIFEST + f"file {NAME}.2.incr.aof seq 2 type i\n"
    write_log(tmp_path, SET, PUSH, encode("LPOP", "l") + UNIT, manifest=manifest)
    harness, done = load(tmp_path)
    assert harness.run("GET k") == b"v"
    assert harness.run("LRANGE l 0 -1") == [b"2", b"3"]
    assert harness.run("MGET a b") == [b"1", b"1"]
    assert done == Recovered(5, len(SET + PUSH + encode("LPOP", "l") + UNIT), 0)


def test_every_file_begins_in_database_0(tmp_path):
    write_log(tmp_path, encode("SELECT", 3) + SET, SET)
    harness, _ = load(tmp_path)
    assert harness.run("DBSIZE") == 1
    harness.run("SELECT 3")
    assert harness.run("DBSIZE") == 1


def test_no_manifest_and_no_files_is_a_new_log(tmp_path):
    assert read_manifest(tmp_path, NAME) is None
    assert read_manifest(tmp_path / "not there", NAME) is None


def test_commands_of_the_log_meet_values_whose_time_has_come(tmp_path):
    """What a key's time-out does is in the log as DEL: until that comes the key is there."""
    write_log(tmp_path, b"", encode("SET", "k", "5", "PXAT", 1000) + encode("INCR", "k") + encode("PERSIST", "k"))
    assert load(tmp_path)[0].run("GET k") == b"6"


# -- torn ends


@pytest.mark.parametrize("chunk", [1, 16, 1 << 20])
def test_a_log_cut_at_any_byte_is_cut_back_to_its_last_whole_unit(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr(recovery, "_CHUNK", chunk)
    units = [SELECT, SET, UNIT, PUSH, UNIT]
    data = b"".join(units)
    ends = [0] + [len(b"".join(units[: i + 1])) for i in range(len(units))]
    for length in range(len(data) + 1):
        path = write_log(tmp_path, b"", data[:length])
        whole = max(end for end in ends if end <= length)
        with capture_logs() as logged:
            harness, done = load(tmp_path)
        assert path.read_bytes() == data[:whole]
        assert done.cut == length - whole
        assert harness.run("GET a") == harness.run("GET b")
        warnings = [event for event in logged if event["event"] == "log.torn_end_cut"]
        expected = {"file": str(path), "offset": whole, "bytes": length - whole}
        assert [{key: event[key] for key in expected} for event in warnings] == [expected] * (whole < length)


def test_nothing_of_a_torn_transaction_larger_than_the_read_chunk_is_applied(tmp_path):
    inner = b"".join(encode("SET", f"k{i}", "v" * 3000) for i in range(1000))
    path = write_log(tmp_path, b"", SET + encode("MULTI") + inner)
    harness, done = load(tmp_path)
    assert path.read_bytes() == SET
    assert harness.run("DBSIZE") == 1
    assert (done.commands, done.cut) == (1, len(encode("MULTI") + inner))
    path.write_bytes(SET + encode("MULTI") + inner + encode("EXEC"))
    assert load(tmp_path)[0].run("DBSIZE") == 1001


def test_a_torn_end_that_the_disk_filled_with_zeros_is_cut(tmp_path):
    for length in (1, 4, 12, len(UNIT) - 3):
        path = write_log(tmp_path, b"", SET + UNIT[:length] + bytes(100_000))
        harness, done = load(tmp_path)
        assert path.read_bytes() == SET
        assert done.cut == length + 100_000
        assert harness.run("KEYS *") == [b"k"]


def test_a_torn_end_is_refused_when_the_setting_says_so(tmp_path):
    write_log(tmp_path, b"", SET + PUSH[:9])
    error = refused(tmp_path, cut_torn=False)
    assert (error.path, error.offset) == (str(tmp_path / f"{NAME}.1.incr.aof"), len(SET))
    assert "aof-load-truncated" in error.why


def test_a_torn_end_of_a_file_that_is_not_the_last_is_refused(tmp_path):
    write_log(tmp_path, SET + PUSH[:9], SET)
    error = refused(tmp_path)
    assert (error.path, error.offset) == (str(tmp_path / f"{NAME}.1.base.aof"), len(SET))


# -- damage


@pytest.mark.parametrize(
    "bad",
    [
        SET.replace(b"*", b"+", 1),
        SET.replace(b"$3", b"$4", 1),
        SET.replace(b"$3", b"$900", 1),  # swallows all that follows, as if the file ended in it
        bytes(len(SET)),
        encode("EXEC"),
        encode("NOSUCHCOMMAND", "x"),
        encode("INCR", "k"),
        encode("GET"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("chunk", [7, 1 << 20])
@pytest.mark.parametrize("before", [SET * 5, SET + UNIT], ids=["commands", "a transaction"])
def test_damage_in_the_middle_stops_the_start_and_names_the_place(tmp_path, bad, chunk, before, monkeypatch):
    monkeypatch.setattr(recovery, "_CHUNK", chunk)
    write_log(tmp_path, b"", before + bad + SET * 20)
    error = refused(tmp_path)
    assert (error.path, error.offset) == (str(tmp_path / f"{NAME}.1.incr.aof"), len(before))
    assert "nothing was changed" in error.why


def test_a_command_that_fails_inside_a_transaction_stops_the_start_too(tmp_path):
    bad = encode("MULTI") + encode("SET", "x", 1) + encode("LPUSH", "k", 1) + encode("EXEC")
    write_log(tmp_path, b"", SET + bad + SET)
    error = refused(tmp_path)
    assert error.offset == len(SET)
    assert "LPUSH" in error.why and "WRONGTYPE" in error.why


def test_zeros_in_the_middle_are_damage_even_if_there_are_very_many(tmp_path, monkeypatch):
    monkeypatch.setattr(recovery, "_LOOK_AT", 4096)
    write_log(tmp_path, b"", SET + bytes(70_000) + SET)
    assert refused(tmp_path).offset == len(SET)


@given(st.data())
def test_any_one_damaged_byte_loses_nothing_that_was_not_damaged(tmp_path_factory, data):
    """Either the start is refused, with every byte in its place, or the log was cut within its last unit, or the byte
    was in an argument, where only the command itself can tell."""
    units = [SET, PUSH, UNIT, SET, UNIT, encode("SET", "last", "x" * 50)]
    log = b"".join(units)
    at = data.draw(st.integers(0, len(log) - 1))
    broken = bytearray(log)
    broken[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != log[at]))
    folder = tmp_path_factory.mktemp("log")
    path = write_log(folder, b"", bytes(broken))
    try:
        load(folder)
    except CorruptFile:
        assert path.read_bytes() == broken
    else:
        assert path.stat().st_size in (len(log), len(log) - len(units[-1]))


def rdb(*requests: str) -> bytes:
    harness = Harness()
    for request in requests:
        harness.run(request)
    return file_of(harness)


def test_a_base_in_rdb_form_is_loaded_and_keeps_what_has_expired_for_the_log_to_decide(tmp_path):
    base = rdb("SET a 1", "SET b 2 PXAT 1700000000001", "XADD x 1-1 f v")
    write_log(
        tmp_path,
        base + encode("SELECT", "0") + encode("SET", "c", "3"),
        encode("SELECT", "0") + encode("APPEND", "b", "2"),
    )
    harness, done = load(tmp_path)
    assert harness.run("MGET", "a", "c") == [b"1", b"3"]
    assert harness.engine.keyspace.databases[0].table.get(b"b") == b"22"
    assert (done.commands, done.cut) == (4, 0)


@pytest.mark.parametrize("at", [3, 20, 45, -9, -1])
def test_damage_in_a_base_in_rdb_form_is_refused_with_its_place(tmp_path, at):
    base = bytearray(rdb("SET key some-value", "RPUSH list 1 2 3"))
    base[at] ^= 0x55
    write_log(tmp_path, bytes(base), SET)
    assert refused(tmp_path).offset < len(base)


@pytest.mark.parametrize("cut", [1, 8, 9, 20])
def test_a_base_in_rdb_form_that_is_cut_is_refused(tmp_path, cut):
    base = rdb("SET key some-value", "RPUSH list 1 2 3")
    write_log(tmp_path, base[:-cut], b"")
    assert "file ends" in refused(tmp_path).why


def test_a_torn_end_after_an_rdb_part_is_cut_where_it_begins(tmp_path):
    base = rdb("SET key some-value")
    path = write_log(
        tmp_path, base + encode("SET", "a", "1") + b"*3\r\n$3\r\nSE", manifest=f"file {NAME} seq 1 type b\n"
    )
    harness, done = load(tmp_path)
    assert done.cut == 10
    assert path.read_bytes() == base + encode("SET", "a", "1")
    assert harness.run("MGET", "key", "a") == [b"some-value", b"1"]


# -- manifests that do not fit the folder


def test_a_manifest_that_names_a_missing_file_is_refused(tmp_path):
    write_log(tmp_path, SET, PUSH).unlink()
    assert "1.incr.aof, which is not there" in refused(tmp_path).why


@pytest.mark.parametrize("name", [f"{NAME}.1.incr.aof", f"{NAME}.3.base.rdb"])
def test_files_of_a_log_without_their_manifest_are_not_started_over(tmp_path, name):
    (tmp_path / name).write_bytes(SET)
    assert "manifest" in refused(tmp_path).why


def test_a_log_of_one_file_from_before_redis_7_becomes_a_base(tmp_path):
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    (tmp_path / NAME).write_bytes(SET)
    assert upgrade(folder, NAME, Disk())
    assert not (tmp_path / NAME).exists()
    harness, done = load(folder)
    assert (harness.run("GET k"), done.commands) == (b"v", 1)
    assert not upgrade(folder, NAME, Disk())


def test_an_upgrade_that_died_half_way_is_gone_on_with(tmp_path):
    for steps in range(7):
        parent = tmp_path / str(steps)
        folder = parent / "appendonlydir"
        folder.mkdir(parents=True)
        (parent / NAME).write_bytes(SET)
        disk = FaultyDisk()
        disk.cut_after = steps
        with contextlib.suppress(PowerCut):
            upgrade(folder, NAME, disk)
        upgrade(folder, NAME, Disk())
        harness, _ = load(folder)
        assert harness.run("GET k") == b"v"


def test_another_file_of_that_name_beside_the_log_is_left_alone(tmp_path):
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    write_log(folder, SET, PUSH)
    (tmp_path / NAME).write_bytes(b"something")
    assert not upgrade(folder, NAME, Disk())
    assert (tmp_path / NAME).read_bytes() == b"something"


def test_a_torn_increment_is_the_last_one_when_those_after_it_are_empty(tmp_path):
    manifest = MANIFEST + f"file {NAME}.2.incr.aof seq 2 type i\n"
    write_log(tmp_path, b"", SET + PUSH[:-3], b"", manifest=manifest)
    harness, done = load(tmp_path)
    assert (harness.run("GET k"), done.cut) == (b"v", len(PUSH) - 3)


def test_empty_files_without_a_manifest_are_what_a_dying_server_leaves(tmp_path):
    (tmp_path / f"{NAME}.1.incr.aof").touch()
    (tmp_path / "notes.txt").write_text("not of the log")
    assert read_manifest(tmp_path, NAME) is None


# -- a real server


def test_a_server_says_what_it_cut_and_one_that_may_not_cut_does_not_start(tmp_path):
    options = ["--appendonly", "yes", "--appendfsync", "always"]
    with Broker(tmp_path, *options) as broker, Wire(broker.port) as client:
        assert client("RPUSH", "l", 1, 2, 3) == 3
        broker.kill()
    path = tmp_path / "appendonlydir" / f"{NAME}.1.incr.aof"
    whole = path.read_bytes()
    path.write_bytes(whole + PUSH[:-1])
    with pytest.raises(AssertionError, match="aof-load-truncated is no"):
        Broker(tmp_path, *options, "--aof-load-truncated", "no")
    assert path.read_bytes() == whole + PUSH[:-1]
    with Broker(tmp_path, *options) as broker, Wire(broker.port) as client:
        assert client("LRANGE", "l", 0, -1) == [b"1", b"2", b"3"]
        [cut] = [event for event in broker.events() if event["event"] == "log.torn_end_cut"]
        assert (cut["file"], cut["offset"], cut["bytes"]) == (str(path), len(whole), len(PUSH) - 1)
        assert cut["level"] == "warning"


def test_a_server_does_not_start_on_a_damaged_log(tmp_path):
    folder = tmp_path / "appendonlydir"
    write_log(folder, b"", SET + b"rubbish\r\n" + SET)
    before = bytes_of(folder)
    with pytest.raises(AssertionError, match=rf"incr.aof: at byte {len(SET)}: no command") as caught:
        Broker(tmp_path, "--appendonly", "yes")
    assert "status 1" in str(caught.value)
    assert bytes_of(folder) == before


def test_a_second_server_on_the_same_log_does_not_start(tmp_path):
    with Broker(tmp_path, "--appendonly", "yes") as broker:
        with pytest.raises(AssertionError, match="another server uses this log"):
            Broker(tmp_path, "--appendonly", "yes")
        assert broker.alive()
